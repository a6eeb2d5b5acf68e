/** The forward pass, played layer by layer, and the words of the picture: both speak through the caption. */

import { h } from "./dom.js";
import { spaced } from "./figures.js";
import { ACTIVATIONS, words } from "./words.js";

const PACES = { slow: 6000, normal: 3500, quick: 1200 }; // ms a step

/** Emits `tell` with the sentences to show, null when there is nothing to tell any more. */
export class Player extends EventTarget {
  #network;
  #model;
  #answer = null;
  #at = null;
  #timer = null;
  #word = null;

  constructor(container, model, network) {
    super();
    this.#network = network;
    this.#model = model;
    this.play = h("button", { type: "button", className: "play", onclick: () => this.#toggle() });
    this.back = h("button", { type: "button", className: "step", onclick: () => this.#step(-1) }, "‹");
    this.next = h("button", { type: "button", className: "step", onclick: () => this.#step(1) }, "›");
    this.back.setAttribute("aria-label", "One step back");
    this.next.setAttribute("aria-label", "One step on");
    this.pace = h("select", {}, ...Object.keys(PACES).map((pace) => h("option", { value: pace }, pace)));
    this.pace.value = "normal";
    this.pace.setAttribute("aria-label", "Pace");
    this.#named();
    container.append(
      h("div", { className: "playing" }, this.play, this.back, this.next, this.pace),
      h(
        "ul",
        { className: "words", "aria-label": "The words" },
        ...words(model).map((word) => h("li", {}, this.#button(word))),
      ),
    );
  }

  /** The answer whose forward pass is played; null stops. */
  set answer(answer) {
    this.#answer = answer;
    if (!answer) this.stop();
    for (const button of [this.play, this.back, this.next]) button.disabled = !answer;
    if (this.#at !== null) this.#show();
  }

  get busy() {
    return this.#at !== null || this.#word !== null;
  }

  /** Back to the whole picture. */
  stop() {
    if (!this.busy) return;
    clearTimeout(this.#timer);
    [this.#timer, this.#at] = [null, null];
    this.#network.pass(Infinity, null);
    this.#named();
    this.#tellWord(null);
  }

  #button({ word, means, part }) {
    const button = h("button", { type: "button", className: "word" }, word);
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => this.#tellWord(this.#word === button ? null : button, word, means, part));
    return button;
  }

  #tellWord(button, word, means, part = null) {
    this.#word?.setAttribute("aria-pressed", "false");
    button?.setAttribute("aria-pressed", "true");
    this.#word = button;
    this.#network.point(part);
    if (button && this.#at !== null) {
      clearTimeout(this.#timer);
      [this.#timer, this.#at] = [null, null];
      this.#network.pass(Infinity, null);
      this.#named();
    }
    this.#tell(button ? { head: word, says: means } : null);
  }

  /** The first layer shows at once; every other first flows in, then shows. */
  get #frames() {
    return this.#model.layers.flatMap((_, index) =>
      index === 0
        ? [{ reached: 1, flowing: null }]
        : [
            { reached: index, flowing: index },
            { reached: index + 1, flowing: null },
          ],
    );
  }

  #toggle() {
    if (this.#timer) {
      clearTimeout(this.#timer);
      this.#timer = null;
      return this.#named();
    }
    if (this.#at === null || this.#at === this.#frames.length - 1) this.#at = -1;
    this.#advance();
  }

  #advance() {
    this.#at++;
    const last = this.#at === this.#frames.length - 1;
    this.#timer = last ? null : setTimeout(() => this.#advance(), PACES[this.pace.value]);
    this.#show();
  }

  #step(by) {
    clearTimeout(this.#timer);
    this.#timer = null;
    const to = (this.#at ?? (by > 0 ? -1 : this.#frames.length)) + by;
    if (to < 0 || to >= this.#frames.length) return this.stop();
    this.#at = to;
    this.#show();
  }

  #named() {
    this.play.textContent = this.#timer ? "Pause" : "Play";
    this.play.setAttribute("aria-label", `${this.play.textContent} the forward pass`);
    this.play.classList.toggle("on", Boolean(this.#timer));
  }

  #show() {
    if (this.#word) {
      this.#word.setAttribute("aria-pressed", "false");
      this.#word = null;
      this.#network.point(null);
    }
    const { reached, flowing } = this.#frames[this.#at];
    this.#network.pass(reached, flowing);
    this.#named();
    const head = `Step ${this.#at + 1} of ${this.#frames.length}: ${flowing === null ? "nodes" : "connections"}`;
    this.#tell({ head, says: flowing === null ? this.#arrived(reached - 1) : this.#flows(flowing) });
  }

  #flows(index) {
    const layer = this.#answer.layers[index];
    const before = this.#answer.layers[index - 1].nodes.length;
    const last = index === this.#answer.layers.length - 1;
    const where = last ? "the output layer" : spaced(layer.name);
    return (
      `Every node of ${where} hears all ${before} nodes before it. What comes along a connection is multiplied by the ` +
      "connection’s weight: the product is what the line carries, up if it is grey, down if it is red."
    );
  }

  #arrived(index) {
    const layer = this.#answer.layers[index];
    if (index === 0) {
      return (
        "The measurements enter, one a node. Each is rescaled first: how many standard deviations it lies above (+) or " +
        "below (−) the mean of the training rows. From here on there are no kilograms and no centimetres, only numbers."
      );
    }
    const said = `Each node has added up what came in and its bias: its weighted sum. ${ACTIVATIONS[layer.activation] ?? ""}`;
    if (index < this.#answer.layers.length - 1) {
      const silent = layer.nodes.filter(({ output }) => output === 0).length;
      return `${said} Here ${layer.nodes.length - silent} of ${layer.nodes.length} nodes speak.`;
    }
    return `${said} The largest is ${this.#answer.prediction.label}: that output class is the answer.`;
  }

  #tell(detail) {
    this.dispatchEvent(new CustomEvent("tell", { detail }));
  }
}
