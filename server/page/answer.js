/**
 * Questions and their answers as they are written, with the pictures they drew on.
 *
 * A question sees what was shown last, so the parts are sent again only when they changed.
 */

import { aborted } from "./api.js";
import { byId, el, icon } from "./dom.js";
import { showCitations } from "./citations.js";

/**
 * @typedef {{question: string, answer: string, inputs: import("./api.js").Input[]}} Turn
 * @typedef {{
 *   api: import("./api.js").Api,
 *   shown: () => Promise<{index: string, inputs: import("./api.js").Input[], cache:
 * import("./api.js").Cache | null}>,
 *   picture: (id: number, size: number) => Promise<string>,
 *   chosen: (citation: import("./api.js").Result, button: HTMLElement) => void,
 *   asked: (question: string) => void,
 *   drew: (citations: import("./api.js").Result[]) => void,
 * }} Hooks
 */
export class Conversation {
  /** @param {Hooks} hooks */
  constructor(hooks) {
    this.hooks = hooks;
    /** @type {Turn[]} */
    this.turns = [];
    /** @type {AbortController | null} */
    this.running = null;
    this.list = byId("turns");
    this.field = byId("question");
    this.button = byId("send");
    this.again = byId("forget");
    this.idle();
    byId("questions").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      if (this.running) this.running.abort();
      else if (this.field.value.trim()) this.ask(this.field.value.trim());
    });
    this.again.addEventListener("click", () => this.reset());
  }

  /** Forget what was said. */
  reset() {
    this.running?.abort();
    this.turns = [];
    this.list.replaceChildren();
    this.again.hidden = true;
    this.field.focus();
  }

  /** @param {string} question */
  async ask(question) {
    const running = (this.running = new AbortController());
    const answer = el("p", { class: "answer running" });
    const drawn = el("ul", {
      class: "citations",
      "aria-label": "Pictures it drew on",
      hidden: true,
    });
    const turn = el(
      "li",
      { class: "turn" },
      el("p", { class: "asked", text: question }),
      answer,
      drawn,
    );
    this.list.append(turn);
    this.again.hidden = false;
    this.field.value = "";
    this.button.replaceChildren(icon("stop"));
    this.button.setAttribute("aria-label", "Stop");
    this.hooks.asked(question);
    this.scroll();
    try {
      const { inputs, ...shown } = await this.hooks.shown();
      const before = this.turns.findLast((past) => past.inputs.length)?.inputs ?? [];
      const fresh = JSON.stringify(before) === JSON.stringify(inputs) ? [] : inputs;
      const body = { ...shown, question, inputs: fresh, history: this.turns };
      let whole = /** @type {string | null} */ (null);
      for await (const { event, data } of this.hooks.api.ask(body, running.signal)) {
        if (event === "begin") this.begin(data, drawn, turn);
        else if (event === "text") answer.append(data.text);
        else if (event === "error") throw new Error(data.detail ?? "the answer broke off");
        else if (event === "end") whole = data.answer;
        this.scroll();
      }
      if (whole === null) throw new Error("the answer broke off; ask again");
      answer.textContent = whole;
      this.turns.push({ question, answer: whole, inputs: fresh });
    } catch (error) {
      const words = aborted(error) ? "Stopped." : String(/** @type {Error} */ (error).message);
      turn.append(el("p", { class: "note", role: aborted(error) ? null : "alert", text: words }));
      if (!answer.textContent) answer.remove();
    } finally {
      answer.classList.remove("running");
      if (this.running === running) this.idle();
      this.scroll();
    }
  }

  /**
   * @param {{query: import("./api.js").Facts | null, forgotten: number}} data
   * @param {HTMLElement} drawn
   * @param {HTMLElement} turn
   */
  begin({ query, forgotten }, drawn, turn) {
    const citations = query?.citations ?? [];
    drawn.hidden = !citations.length;
    showCitations(drawn, citations, this.hooks.picture, this.hooks.chosen);
    if (citations.length) this.hooks.drew(citations);
    if (forgotten)
      turn.append(
        el("p", {
          class: "note",
          text: `It no longer remembers the first ${forgotten} questions.`,
        }),
      );
  }

  idle() {
    this.running = null;
    this.button.replaceChildren(icon("send"));
    this.button.setAttribute("aria-label", "Ask");
  }

  scroll() {
    this.list.scrollTop = this.list.scrollHeight;
  }
}
