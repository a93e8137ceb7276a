/**
 * The server's routes as functions. Addresses are relative, so the page also works behind a prefix.
 *
 * @typedef {{modality?: string, text?: string, embedding?: number[], id?: number, weight: number}}
 *   Input
 * @typedef {{k: number, alpha: number, weighting: string}} Cache
 * @typedef {{id: number, score: number, key: string, caption: string | null, url: string | null,
 *   width: number | null, height: number | null, weight?: number}} Result
 * @typedef {{norm: number, weights: number[], citations: Result[]}} Facts
 * @typedef {{name: string, modality: string, encoder: string, items: number}} Index
 */

const KEY = "anybind-key"; // in the tab's storage
const TRIES = 6; // of a request that the server has no room for
const LONGEST_WAIT = 8; // seconds between two of them

/** What the server said is wrong. */
export class ApiError extends Error {
  /** @param {number} status of HTTP; 0 where there was no reply @param {string} detail */
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** @param {unknown} error @returns {boolean} whether it only means that nobody waits any more */
export const aborted = (error) => error instanceof DOMException && error.name === "AbortError";

export class Api {
  /** @param {(reason: string) => Promise<string>} askKey asks the person for a key */
  constructor(askKey) {
    this.askKey = askKey;
    this.asking = /** @type {Promise<string> | null} */ (null);
    this.pictures = /** @type {Map<string, Promise<string>>} */ (new Map());
  }

  get key() {
    return sessionStorage.getItem(KEY) ?? "";
  }

  /**
   * @returns {Promise<{indices: Index[], modalities: string[], language_model: string, can_answer:
   * boolean}>}
   */
  async indices() {
    return (await this.request("v1/index")).json();
  }

  /**
   * @param {{index: string, modality: string, file: File}} medium
   * @returns {Promise<number[]>} its unit vector
   */
  async embed({ index, modality, file }) {
    const body = new FormData();
    body.append("index", index);
    body.append(modality, file, file.name);
    const reply = await (await this.request("v1/embed", { method: "POST", body })).json();
    return reply.embeddings[0].embedding;
  }

  /**
   * @param {object} query as the route takes it
   * @param {AbortSignal} [signal]
   * @returns {Promise<{results: Result[], query: Facts, took_ms: number}>}
   */
  async search(query, signal) {
    return (await this.post("v1/search", query, signal)).json();
  }

  /**
   * The events of an answer as they come.
   * @param {object} query as the route takes it
   * @param {AbortSignal} [signal]
   */
  async *ask(query, signal) {
    const reply = await this.post("v1/ask", { ...query, stream: true }, signal);
    if (!reply.body) throw new ApiError(0, "the answer has no content");
    yield* events(reply.body.pipeThrough(new TextDecoderStream()));
  }

  /** @param {string} index @param {number} id */
  async item(index, id) {
    return (await this.request(`v1/items/${id}?${new URLSearchParams({ index })}`)).json();
  }

  /**
   * The address of an item's picture. With a key it is fetched here, since an image cannot send
   * one.
   * @param {string} index
   * @param {number} id
   * @param {number} [size] pixels of the longer side, at most; without it the original, if it is there
   * @returns {Promise<string>}
   */
  picture(index, id, size) {
    const options = new URLSearchParams(size ? { index, size: String(size) } : { index });
    const address = `v1/items/${id}/image?${options}`;
    if (!this.key) return Promise.resolve(address);
    let held = this.pictures.get(address);
    if (!held) {
      held = this.request(address).then(async (reply) => URL.createObjectURL(await reply.blob()));
      held.catch(() => this.pictures.delete(address));
      this.pictures.set(address, held);
    }
    return held;
  }

  /** @param {string} path @param {object} body @param {AbortSignal} [signal] */
  post(path, body, signal) {
    const headers = { "Content-Type": "application/json" };
    return this.request(path, { method: "POST", body: JSON.stringify(body), headers, signal });
  }

  /**
   * Waits where the server is busy, and asks for a key where it wants one.
   * @param {string} path
   * @param {RequestInit} [options]
   * @returns {Promise<Response>} a successful one
   */
  async request(path, options = {}) {
    for (let attempt = 1; ; attempt += 1) {
      const key = this.key;
      const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
      let reply;
      try {
        reply = await fetch(path, { ...options, headers });
      } catch (error) {
        if (aborted(error)) throw error;
        throw new ApiError(0, "the server does not answer; is it still running?");
      }
      if (reply.ok) return reply;
      const problem = await said(reply);
      if (reply.status === 401) {
        this.asking ??= this.askKey(key ? problem.message : "").finally(() => (this.asking = null));
        sessionStorage.setItem(KEY, await this.asking);
      } else if (reply.status === 429 && attempt < TRIES) {
        const wait = Number(reply.headers.get("Retry-After")) || 1;
        await pause(Math.min(wait, LONGEST_WAIT) * 1000, options.signal);
      } else {
        throw problem;
      }
    }
  }
}

/** @param {Response} reply @returns {Promise<ApiError>} */
async function said(reply) {
  try {
    const problem = await reply.json();
    return new ApiError(reply.status, problem.detail ?? problem.title ?? reply.statusText);
  } catch {
    return new ApiError(reply.status, `the server answered ${reply.status} ${reply.statusText}`);
  }
}

/** @param {number} ms @param {AbortSignal | null} [signal] */
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("", "AbortError"));
    });
  });
}

/**
 * Server-sent events out of the pieces of a reply (https://html.spec.whatwg.org, section 9.2.6).
 * @param {ReadableStream<string>} stream
 * @returns {AsyncGenerator<{event: string, data: any}>}
 */
export async function* events(stream) {
  const reader = stream.getReader();
  let held = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      held = (held + (value ?? "")).replace(/\r\n/g, "\n");
      const blocks = held.split("\n\n");
      held = blocks.pop() ?? "";
      for (const block of blocks) {
        let event = "message";
        const data = [];
        for (const line of block.split("\n")) {
          if (line.startsWith("event:")) event = line.slice(6).trim();
          else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
        }
        if (data.length) yield { event, data: JSON.parse(data.join("\n")) };
      }
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
