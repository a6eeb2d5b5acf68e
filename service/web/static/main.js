/** The entry point: creates the parts of the page from the model's schema and connects them with state and service. */

import { Explainer, fetchJson, retry } from "./api.js";
import { h } from "./dom.js";
import { DriftPanel } from "./drift.js";
import { formatCount, formatPercent, roundWithinBounds } from "./format.js";
import { ForwardPassPlayer } from "./forward_pass.js";
import { renderModelCard } from "./model_card.js";
import { NetworkDiagram } from "./network.js";
import { PredictionPanel } from "./prediction.js";
import { Presets } from "./presets.js";
import { Share } from "./share.js";
import { Sliders } from "./sliders.js";
import { State } from "./state.js";
import { renderWeightedSum } from "./weighted_sum.js";

const WIDE_LAYOUT = matchMedia("(min-width: 68rem)"); // each slider is beside its input node
const ANNOUNCE_DELAY = 800; // ms without change before a screen reader announces a prediction

const HINT =
  "Point at a node, or tap it, to see how its output is computed. The thicker a line, the larger its contribution: grey " +
  "lines increase the sum, red lines decrease it.";

const byId = (id) => document.getElementById(id);

function showError(error) {
  const banner = byId("error");
  banner.hidden = !error;
  if (error) banner.textContent = error.isPermanent ? error.message : `${error.message} Retrying …`;
}

async function start() {
  byId("load-warning").remove();
  const [model, report] = await retry(() => Promise.all([fetchJson("model"), fetchJson("page/report")]), showError);
  const has = (name) => report.files.includes(name);
  const presets = has("presets.json") ? await retry(() => fetchJson("page/report/presets.json"), showError) : null;
  const page = new Page(model, presets);
  page.start();
  new DriftPanel(byId("drift"), model);
  const evaluation = has("report.json") ? await retry(() => fetchJson("page/report/report.json"), showError) : null;
  if (evaluation) page.addReport(evaluation);
  renderModelCard(byId("card"), model, report.files, evaluation);
}

class Page {
  #explanation = null; // the newest one, null while measurements are missing
  #requestedValues = null;
  #inspectedNode = null; // the node under the pointer or with the focus
  #playerCaption = null;
  #pendingFrame = 0;
  #announceTimer;

  constructor(model, presets) {
    this.model = model;
    this.state = new State(model);
    this.sliders = new Sliders(byId("sliders"), model);
    this.network = new NetworkDiagram(byId("network"), model);
    this.player = new ForwardPassPlayer(byId("controls"), model, this.network);
    this.prediction = new PredictionPanel(byId("prediction"), byId("probabilities"), byId("attribution"), model);
    this.presets = new Presets(byId("presets"), model, presets);
    this.share = new Share(byId("share"), byId("copy-link"), this.state);
    this.explainer = new Explainer((explanation) => this.#onExplanation(explanation), showError);
    byId("lead").textContent =
      `A small neural network, drawn in full: ${formatCount(model.features.length, "measurement")} in, ` +
      `one of ${model.labels.length} labels out.`;
  }

  start() {
    this.sliders.addEventListener("input", ({ detail }) => this.state.setValue(detail.name, detail.value));
    this.sliders.addEventListener("hover", ({ detail }) => this.#onHover(detail));
    this.presets.addEventListener("pick", ({ detail }) => this.#selectPreset(detail));
    this.network.addEventListener("inspect", ({ detail }) => this.#inspect(detail));
    this.network.addEventListener("pin", ({ detail }) => this.#pin(detail));
    this.player.addEventListener("caption", ({ detail }) => this.#setPlayerCaption(detail));
    this.prediction.addEventListener("explain", ({ detail }) => this.state.set({ label: detail }));
    this.state.addEventListener("change", () => this.#onChange());
    addEventListener("hashchange", () => this.state.load(location.hash));
    addEventListener("keydown", ({ key }) => key === "Escape" && this.#pin(null));
    const layOut = () => {
      this.network.layOut(
        WIDE_LAYOUT.matches ? this.sliders.trackCenters(byId("network").getBoundingClientRect().top) : null,
      );
      this.sliders.paintTracks();
    };
    new ResizeObserver(layOut).observe(byId("stage"));
    new ResizeObserver(layOut).observe(byId("sliders"));
    if (!this.state.load(location.hash)) this.state.set({ values: this.#initialValues() });
    layOut();
  }

  /** Adds the evaluation results of the report. */
  addReport(report) {
    this.presets.addReport(report);
    this.#draw();
  }

  #initialValues() {
    const { features, reference } = this.model;
    const medianIndex = reference.probabilities.indexOf(0.5);
    const typical = (feature) =>
      roundWithinBounds(feature, reference.features[feature.name][medianIndex < 0 ? 0 : medianIndex]);
    return {
      ...Object.fromEntries(features.map((feature) => [feature.name, typical(feature)])),
      ...this.presets.first?.features,
    };
  }

  #onChange() {
    const { completeValues, values } = this.state;
    if (values !== this.#requestedValues) {
      this.#requestedValues = values;
      this.sliders.setValues(values);
      if (completeValues) this.explainer.request(completeValues);
      else this.#clear();
    }
    this.#draw();
  }

  #clear() {
    this.explainer.cancel();
    this.#explanation = null;
  }

  #onExplanation(explanation) {
    this.#explanation = explanation;
    byId("stage").setAttribute("aria-busy", "false");
    this.#draw();
    clearTimeout(this.#announceTimer);
    this.#announceTimer = setTimeout(() => this.#announce(), ANNOUNCE_DELAY);
  }

  #announce() {
    if (!this.#explanation) return;
    const { label, confidence, warnings } = this.#explanation.prediction;
    const caveat = warnings.length ? `, possibly unreliable: ${warnings.length} outside the training range` : "";
    this.#readOut(`${label}, ${formatPercent(confidence)} confidence${caveat}`);
  }

  /** Lets a screen reader announce a text, once. */
  #readOut(text) {
    if (byId("announcer").textContent !== text) byId("announcer").textContent = text;
  }

  /** Draws at most once per frame. */
  #draw() {
    this.#pendingFrame ||= requestAnimationFrame(() => {
      this.#pendingFrame = 0;
      const explanation = this.#explanation;
      const computation = explanation?.layers ? explanation : null; // null if the model cannot be explained
      const { values, missingCount, completeValues, label, node } = this.state;
      this.sliders.show(explanation);
      this.network.show(computation);
      this.network.pin(node);
      this.network.highlight(this.#inspectedNode ?? node);
      this.player.explanation = computation;
      this.prediction.show(explanation, label ?? explanation?.prediction.label, missingCount);
      this.presets.show(values, explanation, missingCount);
      this.share.show(completeValues);
      this.#drawCaption();
    });
  }

  get #hint() {
    if (!this.#explanation) return "The network needs a value for every measurement.";
    return this.#explanation.layers ? HINT : "The outputs of the layers are not available for this model.";
  }

  #drawCaption() {
    const node = this.#inspectedNode ?? (this.#playerCaption ? null : this.state.node);
    const hasSum = this.#explanation?.layers && this.network.hasNode(node);
    byId("weighted-sum").hidden = !hasSum;
    byId("attribution").classList.toggle("covered", Boolean(hasSum));
    if (hasSum) byId("weighted-sum").replaceChildren(...renderWeightedSum(this.#explanation, this.model, node));
    const { heading, text } = this.#playerCaption ?? {
      text: this.#hint,
    };
    byId("caption").replaceChildren(h("p", {}, heading ? h("strong", {}, `${heading}: `) : null, text));
  }

  #selectPreset(preset) {
    const emptyValues = Object.fromEntries(this.model.features.map(({ name }) => [name, null]));
    this.state.set({ values: preset ? { ...preset.features } : emptyValues, label: null });
    if (!preset) byId("sliders").querySelector("input").focus();
  }

  #onHover(name) {
    const index = this.model.features.findIndex((feature) => feature.name === name);
    this.#inspect(index < 0 || !this.#explanation?.layers ? null : `${this.model.layers[0].name}.${index + 1}`, {
      onlyHighlight: true,
    });
  }

  #inspect(key, { onlyHighlight = false } = {}) {
    this.network.highlight(key ?? this.state.node);
    if (onlyHighlight) return;
    this.#inspectedNode = key;
    this.#drawCaption();
  }

  #pin(key) {
    if (key && !this.#explanation?.layers) return;
    this.player.stop();
    this.state.set({ node: key === this.state.node ? null : key });
  }

  #setPlayerCaption(detail) {
    this.#playerCaption = detail;
    if (detail) {
      this.#readOut(`${detail.heading}. ${detail.text}`);
      if (this.state.node) this.state.set({ node: null });
    }
    this.#drawCaption();
  }
}

start();
