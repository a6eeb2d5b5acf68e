/** The forward pass played layer by layer, and the glossary; both provide the text of the caption. */

import { h } from "./dom.js";
import { formatCount, spaced } from "./format.js";
import { ACTIVATION_DEFINITIONS, createGlossary } from "./glossary.js";

const STEP_DURATIONS = { slow: 6000, normal: 3500, fast: 1200 }; // ms

/** Emits `caption` with `{heading, text}` to show, or with null to remove it. */
export class ForwardPassPlayer extends EventTarget {
  #diagram;
  #model;
  #explanation = null;
  #frameIndex = null;
  #timer = null;
  #selectedTerm = null;

  constructor(container, model, diagram) {
    super();
    this.#diagram = diagram;
    this.#model = model;
    this.playButton = h("button", { type: "button", className: "play", onclick: () => this.#toggle() });
    this.backButton = h("button", { type: "button", className: "step", onclick: () => this.#moveBy(-1) }, "‹");
    this.nextButton = h("button", { type: "button", className: "step", onclick: () => this.#moveBy(1) }, "›");
    this.backButton.setAttribute("aria-label", "Previous step");
    this.nextButton.setAttribute("aria-label", "Next step");
    this.paceSelect = h("select", {}, ...Object.keys(STEP_DURATIONS).map((pace) => h("option", { value: pace }, pace)));
    this.paceSelect.value = "normal";
    this.paceSelect.setAttribute("aria-label", "Speed");
    this.#updatePlayButton();
    container.append(
      h("div", { className: "playback" }, this.playButton, this.backButton, this.nextButton, this.paceSelect),
      h(
        "ul",
        { className: "glossary", "aria-label": "Glossary" },
        ...createGlossary(model).map((entry) => h("li", {}, this.#createTermButton(entry))),
      ),
    );
  }

  /** The explanation whose forward pass is played; null stops the player. */
  set explanation(explanation) {
    this.#explanation = explanation;
    if (!explanation) this.stop();
    for (const button of [this.playButton, this.backButton, this.nextButton]) button.disabled = !explanation;
    if (this.#frameIndex !== null) this.#showFrame();
  }

  get #isActive() {
    return this.#frameIndex !== null || this.#selectedTerm !== null;
  }

  /** Shows the whole diagram again. */
  stop() {
    if (!this.#isActive) return;
    clearTimeout(this.#timer);
    [this.#timer, this.#frameIndex] = [null, null];
    this.#diagram.showForwardPass(Infinity, null);
    this.#updatePlayButton();
    this.#selectTerm(null);
  }

  #createTermButton({ term, definition, part }) {
    const button = h("button", { type: "button", className: "glossary-term" }, term);
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () =>
      this.#selectTerm(this.#selectedTerm === button ? null : button, term, definition, part),
    );
    return button;
  }

  #selectTerm(button, term, definition, part = null) {
    this.#selectedTerm?.setAttribute("aria-pressed", "false");
    button?.setAttribute("aria-pressed", "true");
    this.#selectedTerm = button;
    this.#diagram.markPart(part);
    if (button && this.#frameIndex !== null) {
      clearTimeout(this.#timer);
      [this.#timer, this.#frameIndex] = [null, null];
      this.#diagram.showForwardPass(Infinity, null);
      this.#updatePlayButton();
    }
    this.#emitCaption(button ? { heading: term, text: definition } : null);
  }

  /** The first layer appears at once; for every other, first its connections and then its nodes. */
  get #frames() {
    return this.#model.layers.flatMap((_, index) =>
      index === 0
        ? [{ reachedLayers: 1, flowingLayer: null }]
        : [
            { reachedLayers: index, flowingLayer: index },
            { reachedLayers: index + 1, flowingLayer: null },
          ],
    );
  }

  #toggle() {
    if (this.#timer) {
      clearTimeout(this.#timer);
      this.#timer = null;
      return this.#updatePlayButton();
    }
    if (this.#frameIndex === null || this.#frameIndex === this.#frames.length - 1) this.#frameIndex = -1;
    this.#playNextFrame();
  }

  #playNextFrame() {
    this.#frameIndex++;
    const isLast = this.#frameIndex === this.#frames.length - 1;
    this.#timer = isLast ? null : setTimeout(() => this.#playNextFrame(), STEP_DURATIONS[this.paceSelect.value]);
    this.#showFrame();
  }

  #moveBy(by) {
    clearTimeout(this.#timer);
    this.#timer = null;
    const target = (this.#frameIndex ?? (by > 0 ? -1 : this.#frames.length)) + by;
    if (target < 0 || target >= this.#frames.length) return this.stop();
    this.#frameIndex = target;
    this.#showFrame();
  }

  #updatePlayButton() {
    this.playButton.textContent = this.#timer ? "Pause" : "Play";
    this.playButton.setAttribute("aria-label", `${this.playButton.textContent} the forward pass`);
    this.playButton.classList.toggle("running", Boolean(this.#timer));
  }

  #showFrame() {
    if (this.#selectedTerm) {
      this.#selectedTerm.setAttribute("aria-pressed", "false");
      this.#selectedTerm = null;
      this.#diagram.markPart(null);
    }
    const { reachedLayers, flowingLayer } = this.#frames[this.#frameIndex];
    this.#diagram.showForwardPass(reachedLayers, flowingLayer);
    this.#updatePlayButton();
    const heading = `Step ${this.#frameIndex + 1} of ${this.#frames.length}: ${flowingLayer === null ? "nodes" : "connections"}`;
    const text =
      flowingLayer === null ? this.#describeNodes(reachedLayers - 1) : this.#describeConnections(flowingLayer);
    this.#emitCaption({ heading, text });
  }

  #describeConnections(index) {
    const layer = this.#explanation.layers[index];
    const before = this.#explanation.layers[index - 1].nodes.length;
    const last = index === this.#explanation.layers.length - 1;
    const name = last ? "the output layer" : spaced(layer.name);
    return (
      `Every node of ${name} receives the output of ${before === 1 ? "the node" : `all ${before} nodes`} before it. Each connection multiplies its input by ` +
      "its weight. The line shows the product: grey lines increase the sum, red lines decrease it."
    );
  }

  #describeNodes(index) {
    const layer = this.#explanation.layers[index];
    if (index === 0) {
      return (
        "Each measurement enters one node, which normalizes it: the output is the number of standard deviations above (+) " +
        "or below (−) the mean of the training rows. From here on, all numbers are without units."
      );
    }
    const text = `Each node has added up its weighted inputs and its bias. ${ACTIVATION_DEFINITIONS[layer.activation] ?? ""}`;
    if (index < this.#explanation.layers.length - 1) {
      const silentNodes = layer.nodes.filter(({ output }) => output === 0).length;
      return `${text} Here ${layer.nodes.length - silentNodes} of ${formatCount(layer.nodes.length, "node")} are active.`;
    }
    return `${text} The largest is that of ${this.#explanation.prediction.label}, which is therefore the prediction.`;
  }

  #emitCaption(detail) {
    this.dispatchEvent(new CustomEvent("caption", { detail }));
  }
}
