/**
 * State and wiring of the page: the query's parts on one side, what is found on the other.
 *
 * Every change goes through `changed`, which writes the address, and asks the server when the hand
 * is still; of several requests the latest wins.
 */

import { aborted, Api, ApiError } from "./api.js";
import { Conversation } from "./answer.js";
import { showCitations } from "./citations.js";
import { showCode, startCode } from "./code.js";
import { byId, el, fill, icon } from "./dom.js";
import { examplesOf } from "./examples.js";
import { startIntake } from "./intake.js";
import { modalitiesOf } from "./kinds.js";
import { openMenu, openViewer } from "./menu.js";
import { Part, PartList } from "./parts.js";
import { Wall } from "./results.js";
import { startTheme } from "./theme.js";
import { read, write } from "./url.js";

const STILL = 120; // milliseconds without a change, after which the server is asked
const DEDUP = 0.94; // similarity from which two results are look-alikes
const PAGES = 5; // of results that come by scrolling; more on demand
const RETRY = 1500; // milliseconds between two looks at a server that is loading
const NARROW = matchMedia("(max-width: 999px)"); // as the style sheet has it: one column
const PLURAL = {
  image: "pictures",
  audio: "sounds",
  video: "videos",
  text: "texts",
  points: "point clouds",
  depth: "depth maps",
  thermal: "heat images",
  imu: "recordings of motion",
};

/** @type {import("./url.js").State} */
let state = read(location.hash);
/** @type {Part[]} */
let parts = [];
/** @type {import("./api.js").Index[]} */
let indices = [];
let served = { language_model: "", can_answer: false };
let offset = 0; // of the last page of results that was asked
let pages = 0;
let running = new AbortController(); // the latest search
let timer = 0;
/** @type {Part[][]} by the number in the browser's history: files cannot be in the address */
const past = [];

const api = new Api(askKey);
const picture = (/** @type {number} */ id, /** @type {number} */ size) =>
  api.picture(index().name, id, size);
const list = new PartList(byId("parts"), { changed: () => changed(), removed: remove, picture });
const wall = new Wall(byId("wall"), {
  picture,
  chosen: (result, tile) => openMenu(tile, choices(result, true)),
});
const conversation = new Conversation({
  api,
  shown,
  picture,
  chosen: (citation, button) => openMenu(button, choices(citation, true)),
  asked: (question) => {
    state.question = question;
    changed({ search: false });
  },
  drew: showDrawn,
});

/** The index that is searched. */
function index() {
  return indices.find(({ name }) => name === state.index) ?? indices[0];
}

// --- the query ---------------------------------------------------------------------------------

/**
 * After every change of the query.
 * @param {{search?: boolean, push?: boolean}} [options] whether to ask the server, and whether the
 *   browser's Back should come back to what was before
 */
function changed({ search = true, push = false } = {}) {
  const place = history.state?.place ?? 0;
  const next = push ? place + 1 : place;
  const written = write({
    ...state,
    parts: parts.map(({ text, id, weight }) => ({ text, id, weight })),
  });
  const address = `${location.pathname}${location.search}${written ? `#${written}` : ""}`;
  history[push ? "pushState" : "replaceState"]({ place: next }, "", address);
  past[next] = parts;
  show();
  if (!search) return;
  clearTimeout(timer);
  running.abort();
  timer = window.setTimeout(find, STILL);
}

/** Everything that follows from the state without asking. */
function show() {
  document.body.dataset.view = parts.length ? "found" : "empty";
  list.show(parts);
  byId("hint").hidden = !parts.some(({ file }) => file);
  byId("examples").hidden = parts.length > 0;
  const words = byId("text");
  const first =
    innerWidth < 640 ? "Describe a picture" : "Describe a picture, or drop anything here";
  words.placeholder = parts.length ? "Add words or files" : first;
  const button = byId("add");
  button.setAttribute("aria-label", parts.length ? "Add" : "Search");
  button.replaceChildren(icon(parts.length ? "add" : "search"));
  if (!parts.length) nothing();
  showCache();
  showSnippet();
  byId("ask").hidden = !served.can_answer;
}

function nothing() {
  clearTimeout(timer);
  running.abort();
  wall.clear();
  notice("");
  byId("found-head").hidden = true;
  byId("more").hidden = true;
  showDrawn([]);
}

/** @param {Part[]} more @param {{push?: boolean}} [options] */
function add(more, options = { push: true }) {
  if (!more.length) return;
  parts = [...parts, ...more];
  changed(options);
}

/** @param {Part} part */
function remove(part) {
  const at = parts.indexOf(part);
  parts = parts.filter((other) => other !== part);
  changed({ push: true });
  const next = byId("parts").children[Math.min(at, parts.length - 1)]?.querySelector("input");
  (next ?? byId("text")).focus();
}

/** @param {Iterable<File>} files */
async function addFiles(files) {
  notice("");
  const known = [];
  for (const file of files) {
    const options = await modalitiesOf(file);
    if (options.length) known.push(new Part({ file, options }));
    else
      notice(
        `${file.name} is of no kind that is known here; pictures, sounds, videos, point ` +
          "clouds, depth maps, heat images and motion are",
      );
  }
  add(known);
}

/** Parts as a request has them; one that fails says so on its card and is left out. */
async function inputs() {
  const asked = parts;
  const outcomes = await Promise.allSettled(asked.map((part) => part.input(api, index())));
  const ready = [];
  outcomes.forEach((outcome, i) => {
    const failed = outcome.status === "rejected" && !aborted(outcome.reason);
    asked[i].error = failed ? String(outcome.reason.message) : "";
    if (outcome.status === "fulfilled") ready.push({ ...outcome.value, weight: asked[i].weight });
  });
  list.show(parts);
  return ready;
}

/**
 * What the cache does to the query: nothing where all parts are pictures, or the index has none.
 */
function cacheOf() {
  const { k, alpha, weighting } = state.cache;
  if (index().modality !== "image" || !parts.some((part) => part.isPulled(index()))) return null;
  return { k: Math.min(k, index().items), alpha, weighting };
}

/** What a question is about. */
async function shown() {
  return { index: index().name, inputs: await inputs(), cache: cacheOf() };
}

// --- results -----------------------------------------------------------------------------------

/** Ask the server for the first page. */
async function find() {
  offset = 0;
  pages = 0;
  await turn([]);
}

/** @param {import("./api.js").Result[]} before results that stay in front */
async function turn(before) {
  if (!parts.length || !indices.length) return;
  running.abort();
  const mine = (running = new AbortController());
  const busy = byId("wall");
  busy.setAttribute("aria-busy", "true");
  try {
    const ready = await inputs();
    if (mine.signal.aborted) return;
    if (!ready.length) {
      wall.clear();
      byId("found-head").hidden = true;
      byId("more").hidden = true;
      return;
    }
    const k = Math.min(state.k, index().items - offset);
    const query = {
      index: index().name,
      inputs: ready,
      k,
      offset,
      dedup: state.dedup ? DEDUP : null,
      cache: state.cacheSearch ? cacheOf() : null,
    };
    const found = await api.search(query, mine.signal);
    notice("");
    const held = new Set(before.map(({ id }) => id));
    const results = [...before, ...found.results.filter(({ id }) => !held.has(id))];
    wall.show(results, index().modality);
    offset += found.results.length;
    pages += 1;
    byId("found-head").hidden = false;
    byId("status").textContent =
      `Nearest of ${count(index())} · ${Math.max(1, Math.round(found.took_ms))} ms`;
    byId("more").hidden = found.results.length < k || offset >= index().items;
    if (state.cacheSearch) showDrawn(found.query.citations);
  } catch (error) {
    if (!aborted(error)) notice(String(/** @type {Error} */ (error).message));
  } finally {
    if (running === mine) busy.setAttribute("aria-busy", "false");
  }
}

/** @param {import("./api.js").Index} found */
function count({ items, modality }) {
  return `${items.toLocaleString("en")} ${PLURAL[modality] ?? "items"}`;
}

/**
 * @param {import("./api.js").Result} result
 * @param {boolean} look whether to offer a closer look too
 */
function choices(result, look = false) {
  const only = () => {
    parts = [];
    add([new Part({ id: result.id })]);
    scrollTo({ top: 0, behavior: "smooth" });
  };
  return [
    { label: "Search with it", icon: "search", act: only },
    { label: "Add", icon: "add", act: () => add([new Part({ id: result.id })]) },
    {
      label: "Take away",
      icon: "minus",
      act: () => add([new Part({ id: result.id, weight: -0.5 })]),
    },
    ...(look ? [{ label: "Look closer", icon: "open", act: () => view(result) }] : []),
  ];
}

/** @param {import("./api.js").Result} result */
function view(result) {
  const { name, modality } = index();
  openViewer({
    picture: () => api.picture(name, result.id),
    item: () => api.item(name, result.id),
    caption: result.caption || result.key,
    modality,
    choices: choices(result),
  });
}

// --- panels ------------------------------------------------------------------------------------

function showCache() {
  const { alpha, k, weighting } = state.cache;
  byId("cache").hidden = indices.length > 0 && index().modality !== "image";
  byId("cache-search").checked = state.cacheSearch;
  for (const [id, value] of Object.entries({ alpha: alpha.toFixed(2), blend: String(k) })) {
    byId(id).value = value;
    fill(byId(id));
    byId(`${id}-value`).textContent = value;
  }
  byId("weighting").value = weighting;
  byId("cache-summary").textContent =
    `α ${alpha.toFixed(2)} · k ${k}${state.cacheSearch ? " · in the search" : ""}`;
  byId("dedup").checked = state.dedup;
}

/** @param {import("./api.js").Result[]} citations */
function showDrawn(citations) {
  byId("drawn").hidden = !citations.length;
  showCitations(byId("citations"), citations, picture, (citation, button) =>
    openMenu(button, choices(citation, true)),
  );
}

function showSnippet() {
  if (!indices.length) return;
  showCode({
    parts,
    base: new URL("./", location.href).href,
    index: index() === indices[0] ? "" : index().name,
    encoder: index().encoder,
    languageModel: served.language_model,
    k: state.k,
    dedup: state.dedup ? DEDUP : null,
    question: served.can_answer ? state.question : "",
    keyed: Boolean(api.key),
    cache: state.cacheSearch ? cacheOf() : null,
    answerCache: cacheOf(),
  });
}

function startCache() {
  const alter = (/** @type {string} */ id, /** @type {(control: any) => void} */ set) =>
    byId(id).addEventListener("input", (/** @type {Event} */ event) => {
      set(event.target);
      if (!state.cacheSearch && id !== "dedup") showDrawn([]);
      changed({ search: state.cacheSearch || id === "cache-search" || id === "dedup" });
    });
  alter("alpha", ({ value }) => (state.cache.alpha = Number(value)));
  alter("blend", ({ value }) => (state.cache.k = Number(value)));
  alter("weighting", ({ value }) => (state.cache.weighting = value));
  alter("cache-search", ({ checked }) => (state.cacheSearch = checked));
  alter("dedup", ({ checked }) => (state.dedup = checked));
}

function showExamples() {
  const chips = examplesOf(index()).map(({ label, given }) =>
    el("button", {
      type: "button",
      class: "pill",
      text: label,
      onclick: () => add([new Part(given())]),
    }),
  );
  byId("examples").replaceChildren(el("p", { text: "No sound at hand? Try" }), ...chips);
}

// --- beginning ---------------------------------------------------------------------------------

/** @param {string} text nothing hides it */
function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

/** @param {string} reason why the last one was not taken @returns {Promise<string>} a key */
function askKey(reason) {
  const dialog = byId("key");
  const field = byId("key-value");
  byId("key-reason").textContent = reason;
  field.value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.oncancel = (/** @type {Event} */ event) => event.preventDefault();
    dialog.querySelector("form").onsubmit = (/** @type {Event} */ event) => {
      event.preventDefault();
      dialog.close();
      resolve(field.value.trim());
    };
  });
}

/** Take the state from the address, and files from memory where the browser went back. */
function restore() {
  state = read(location.hash);
  const held = past[history.state?.place ?? -1];
  parts = held ?? [
    ...parts.filter(({ file }) => file),
    ...state.parts.map((written) => new Part(written)),
  ];
  byId("question").value = state.question;
  byId("index").value = index().name;
  changed();
}

/** Ask what is served until the server is there. */
async function connect() {
  for (;;) {
    try {
      const reply = await api.indices();
      indices = reply.indices;
      served = reply;
      return notice("");
    } catch (error) {
      const waiting = error instanceof ApiError && (error.status === 503 || error.status === 0);
      notice(String(/** @type {Error} */ (error).message));
      if (!waiting) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY));
    }
  }
}

/** Questions can be asked once the language model is loaded. */
async function awaitAnswers() {
  for (let wait = RETRY; !served.can_answer && wait < 60_000; wait *= 1.5) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    served = await api.indices().catch(() => served);
  }
  show();
}

function showServed() {
  const chooser = byId("index");
  chooser.replaceChildren(...indices.map(({ name }) => el("option", { value: name, text: name })));
  chooser.hidden = indices.length < 2;
  chooser.value = index().name;
  byId("facts").textContent = count(index());
}

async function start() {
  startTheme(() => dispatchEvent(new Event("resize")));
  startCode(showSnippet);
  startCache();
  startIntake({ files: addFiles, text: (text) => add([new Part({ text })]), notice });
  show();
  await connect();
  showServed();
  showExamples();
  byId("index").addEventListener("change", (/** @type {Event} */ event) => {
    const { value } = /** @type {HTMLSelectElement} */ (event.target);
    state.index = value === indices[0].name ? "" : value;
    parts = parts.filter(({ id }) => id === undefined); // numbers of another index
    conversation.reset();
    showServed();
    showExamples();
    changed({ push: true });
  });
  byId("more").addEventListener("click", () => turn(wall.results));
  new IntersectionObserver(([seen]) => {
    if (
      seen.isIntersecting &&
      !NARROW.matches &&
      pages &&
      pages < PAGES &&
      byId("wall").getAttribute("aria-busy") !== "true"
    )
      turn(wall.results);
  }).observe(byId("more"));
  addEventListener("popstate", restore);
  byId("brand").addEventListener("click", (/** @type {Event} */ event) => {
    event.preventDefault();
    parts = [];
    changed({ push: true });
    byId("text").focus();
  });
  restore();
  awaitAnswers();
}

start();
