/**
 * The same query for a terminal and for programs, to be run as it stands in the folder of the
 * files.
 *
 * @typedef {{parts: import("./parts.js").Part[], base: string, index: string, encoder: string,
 *   languageModel: string, k: number, dedup: number | null, question: string, keyed: boolean,
 *   cache: import("./api.js").Cache | null, answerCache: import("./api.js").Cache | null}} Query
 *   `index` is empty for the first one; `cache` counts in the search, `answerCache` in the answer
 */

const KEY = "ANYBIND_API_KEY"; // the environment variable that the snippets read

/** By the name of their tab. */
export const SNIPPETS = { curl, Python: python, openai };

/** @param {string} text @returns {string} one word of a shell */
const word = (text) => (/^[\w./:=@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** @param {unknown} value @returns {string} as Python writes it; JSON's strings are Python's too */
const literal = (value) => JSON.stringify(value);

/** @param {Query} query */
function curl(query) {
  const fields = query.parts.map((part) => {
    if (part.file) return `-F ${word(`${part.modality}=@${quotedFile(part.file.name)}`)}`;
    return `--form-string ${word(`${part.modality}=${part.text ?? part.id}`)}`;
  });
  const counts = /** @type {Record<string, number>} */ ({});
  for (const part of query.parts) {
    const kind = part.modality;
    const position = (counts[kind] = (counts[kind] ?? -1) + 1);
    if (part.weight !== 1) fields.push(`-F weight=${kind}:${position}=${part.weight}`);
  }
  if (query.index) fields.push(`--form-string ${word(`index=${query.index}`)}`);
  const search = [...fields, `-F k=${query.k}`];
  if (query.dedup !== null) search.push(`-F dedup=${query.dedup}`);
  const cached = (/** @type {import("./api.js").Cache | null} */ cache) =>
    cache ? [`--form-string ${word(`cache=${JSON.stringify(cache)}`)}`] : [];
  const key = query.keyed ? [`-H "Authorization: Bearer $${KEY}"`] : [];
  const lines = [
    command("curl", `${query.base}v1/search`, [...key, ...search, ...cached(query.cache)]),
  ];
  if (query.question) {
    const asked = [...fields, `--form-string ${word(`question=${query.question}`)}`];
    lines.push(
      command("curl -N", `${query.base}v1/ask`, [
        ...key,
        ...asked,
        ...cached(query.answerCache),
        "-F stream=true",
      ]),
    );
  }
  return lines.join("\n\n");
}

/** @param {string} program @param {string} address @param {string[]} options */
const command = (program, address, options) =>
  [`${program} ${word(address)}`, ...options].join(" \\\n  ");

/** curl reads commas and semicolons in a file's name unless it is quoted. @param {string} name */
const quotedFile = (name) => (/[,;"\\]/.test(name) ? `"${name.replace(/["\\]/g, "\\$&")}"` : name);

/** @param {Query} query */
function python(query) {
  const index = query.index ? `, index=${literal(query.index)}` : "";
  const parts = query.parts.map((part) => {
    const value = part.file
      ? literal(part.file.name)
      : part.text !== undefined
        ? literal(part.text)
        : part.id;
    const weight = part.weight === 1 ? "" : `, weight=${part.weight}`;
    return `    anybind.Input(${literal(part.modality)}, ${value}${weight}),`;
  });
  const cached = (/** @type {import("./api.js").Cache | null} */ cache) =>
    cache
      ? [
          `    cache=anybind.Cache(k=${cache.k}, alpha=${cache.alpha}, weighting=${literal(cache.weighting)}),`,
        ]
      : [];
  const dedup = query.dedup === null ? [] : [`    dedup=${query.dedup},`];
  const lines = [
    "import anybind",
    "",
    `ab = anybind.Client(${literal(query.base)}${index})${query.keyed ? `  # with the key in ${KEY}` : ""}`,
    "hits = ab.search(",
    ...parts,
    `    k=${query.k},`,
    ...dedup,
    ...cached(query.cache),
    ")",
    "for hit in hits:",
    '    print(f"{hit.score:.3f}  {hit.id:6}  {hit.caption}")',
  ];
  if (query.question) {
    lines.push(
      "",
      "for piece in ab.ask(",
      `    ${literal(query.question)},`,
      ...parts,
      ...cached(query.answerCache),
      "    stream=True,",
      "):",
      '    print(piece, end="", flush=True)',
    );
  }
  return lines.join("\n");
}

/**
 * The vectors come from `embeddings`; a search is a route of ours, which its client posts to too.
 * @param {Query} query */
function openai(query) {
  const { parts } = query;
  const files = parts.some(({ file }) => file);
  const weight = (/** @type {import("./parts.js").Part} */ part) =>
    part.weight === 1 ? "" : `, "weight": ${part.weight}`;
  const embedded = (/** @type {import("./parts.js").Part} */ part) => {
    if (part.id !== undefined) return `"id": ${part.id}`;
    if (part.text !== undefined) return `"embedding": embed(${literal(part.text)})`;
    return `"embedding": embed(content(${literal(part.file?.name)}), modality=${literal(part.modality)})`;
  };
  const given = (/** @type {import("./parts.js").Part} */ part) => {
    if (!part.file) return `"${part.modality}": ${literal(part.text ?? part.id)}`;
    return `"modality": ${literal(part.modality)}, "data": content(${literal(part.file.name)})`;
  };
  const key = query.keyed ? `os.environ[${literal(KEY)}]` : '"none"';
  const body = ['"inputs": inputs', `"k": ${query.k}`];
  const extra = [];
  if (query.index)
    for (const fields of [body, extra]) fields.push(`"index": ${literal(query.index)}`);
  if (query.dedup !== null) body.push(`"dedup": ${query.dedup}`);
  if (query.cache) body.push(`"cache": ${literal(query.cache)}`);
  if (query.answerCache) extra.push(`"cache": ${literal(query.answerCache)}`);
  const lines = [
    ...(files ? ["import base64"] : []),
    ...(query.keyed ? ["import os"] : []),
    ...(files || query.keyed ? [""] : []),
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${literal(`${query.base}v1`)}, api_key=${key})`,
    "",
    "",
    "def embed(item, **more):",
    `    made = client.embeddings.create(model=${literal(query.encoder)}, input=item, extra_body=more)`,
    "    return made.data[0].embedding",
    "",
    "",
    ...(files
      ? [
          "def content(name):",
          '    with open(name, "rb") as file:',
          "        return base64.b64encode(file.read()).decode()",
          "",
          "",
        ]
      : []),
    "inputs = [",
    ...parts.map((part) => `    {${embedded(part)}${weight(part)}},`),
    "]",
    `found = client.post("/search", cast_to=object, body={${body.join(", ")}})`,
    'for hit in found["results"]:',
    `    print(f"{hit['score']:.3f}  {hit['id']:6}  {hit['caption']}")`,
  ];
  if (!query.question) return lines.join("\n");
  return [
    ...lines,
    "",
    "stream = client.chat.completions.create(",
    `    model=${literal(query.languageModel)},`,
    '    messages=[{"role": "user", "content": [',
    `        {"type": "text", "text": ${literal(query.question)}},`,
    ...parts.map(
      (part) => `        {"type": "anybind", "anybind": {${given(part)}${weight(part)}}},`,
    ),
    "    ]}],",
    `    extra_body={${extra.join(", ")}},`,
    "    stream=True,",
    ")",
    "for chunk in stream:",
    '    print(chunk.choices[0].delta.content or "", end="", flush=True)',
  ].join("\n");
}
