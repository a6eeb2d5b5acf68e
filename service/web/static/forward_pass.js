/** The forward pass played layer by layer, and the glossary; both provide the text of the caption. */

import { h } from "./dom.js";
import { formatCount, formatPercent, spaced } from "./format.js";
import { ACTIVATION_DEFINITIONS, createGlossary, describeEncodings } from "./glossary.js";

const STEP_DURATIONS = { slow: 6000, normal: 3500, fast: 1200 }; // ms

const EVEN_ODDS = 0.5; // the threshold of two labels unless the model has another

/** Emits `caption` with `{heading, text}` to show, or with null to remove it. */
export class ForwardPassPlayer extends EventTarget {
  #diagram;
  #structure;
  #outputs;
  #explanation = null;
  #frameIndex = null;
  #timer = null;
  #selectedTerm = null;

  /** @param structure of `describeNetwork`, which the diagram shows */
  constructor(container, outputs, structure, diagram) {
    super();
    this.#diagram = diagram;
    this.#structure = structure;
    this.#outputs = outputs;
    this.playButton = h("button", { type: "button", className: "play", onclick: () => this.#toggle() });
    this.backButton = h("button", { type: "button", className: "step", onclick: () => this.#moveBy(-1) }, "‹");
    this.nextButton = h("button", { type: "button", className: "step", onclick: () => this.#moveBy(1) }, "›");
    this.backButton.setAttribute("aria-label", "Previous step");
    this.nextButton.setAttribute("aria-label", "Next step");
    this.paceSelect = h("select", {}, ...Object.keys(STEP_DURATIONS).map((pace) => h("option", { value: pace }, pace)));
    this.paceSelect.value = "normal";
    this.paceSelect.setAttribute("aria-label", "Speed");
    this.#updatePlayButton();
    container.replaceChildren(
      h("div", { className: "playback" }, this.playButton, this.backButton, this.nextButton, this.paceSelect),
      h(
        "ul",
        { className: "glossary", "aria-label": "Glossary" },
        ...createGlossary(structure, outputs).map((entry) => h("li", {}, this.#createTermButton(entry))),
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

  /** The first column appears at once; for others with connections, first these and then the nodes. */
  get #frames() {
    return this.#structure.columns.flatMap((column, index) => {
      const nodes = { reached: index + 1, flowing: null };
      return column.some(({ kind }) => kind === "dense") && index ? [{ reached: index, flowing: index }, nodes] : [nodes];
    });
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
    const { reached, flowing } = this.#frames[this.#frameIndex];
    this.#diagram.showForwardPass(reached, flowing);
    this.#updatePlayButton();
    const heading = `Step ${this.#frameIndex + 1} of ${this.#frames.length}: ${flowing === null ? "nodes" : "connections"}`;
    const text = flowing === null ? this.#describeNodes(reached - 1) : this.#describeConnections(flowing);
    this.#emitCaption({ heading, text });
  }

  #describeConnections(index) {
    const layer = this.#structure.columns[index].find(({ kind }) => kind === "dense");
    const before = layer.nodes[0].sources.length;
    const name = layer.role === "output" ? "the output layer" : layer.title;
    return (
      `Every node of ${name} receives the output of ${before === 1 ? "the node" : `all ${before} nodes`} before it. Each connection multiplies its input by ` +
      "its weight. The line shows the product: grey lines increase the sum, red lines decrease it."
    );
  }

  #describeNodes(index) {
    const [layer] = this.#structure.columns[index];
    const text = describeLayer(layer);
    const { groups } = this.#structure;
    if (index === 0 && groups.length) return `Each measurement is encoded. ${describeEncodings(groups)} ${text.replaceAll("measurement", "column")}`;
    if (layer.role === "input") return text;
    if (layer.role === "output") return `${text} ${describeOutcome(layer, this.#outputs, this.#explanation.prediction)}`.trim();
    if (layer.kind === "rescaling" || layer.kind === "normalization") return text;
    const silentNodes = layer.nodes.filter(({ value }) => value === 0).length;
    return `${text} Here ${layer.nodes.length - silentNodes} of ${formatCount(layer.nodes.length, "node")} are active.`;
  }

  #emitCaption(detail) {
    this.dispatchEvent(new CustomEvent("caption", { detail }));
  }
}

/** What the nodes of a layer have computed. */
function describeLayer({ kind, role, activation }) {
  const definition = ACTIVATION_DEFINITIONS[activation] ?? "";
  if (kind === "dense") return `Each node has added up its weighted inputs and its bias. ${definition}`;
  if (kind === "activation") return `Each node applies ${spaced(activation)} to the node before it. ${definition}`;
  if (kind === "features") return "Each measurement enters one node as it is.";
  const isInput = role === "input";
  if (kind === "rescaling")
    return (
      `${isInput ? "Each measurement enters one node, which multiplies it" : "Each node multiplies its input"} by a fixed ` +
      "factor and adds a fixed offset."
    );
  if (!isInput) return "Each node subtracts a fixed mean from its input and divides it by a fixed standard deviation.";
  return (
    "Each measurement enters one node, which normalizes it: the output is the number of standard deviations above (+) " +
    "or below (−) the mean of the training rows. From here on, all numbers are without units."
  );
}

/** How the prediction follows from the last layer. */
function describeOutcome({ activation, nodes }, outputs, prediction) {
  if (!outputs.isClassification) return `The prediction is ${outputs.describe(prediction)}.`;
  const [{ threshold, labels }] = outputs.heads;
  const { label } = prediction;
  if (threshold || nodes.length === 1) {
    const limit = formatPercent(threshold ?? EVEN_ODDS);
    return `It is the probability of ${labels[1]}, predicted above ${limit}, so the prediction is ${label}.`;
  }
  if (!["softmax", "sigmoid"].includes(activation))
    return `Softmax turns these numbers into probabilities. The largest is that of ${label}, which is the prediction.`;
  return `The largest is that of ${label}, which is therefore the prediction.`;
}
