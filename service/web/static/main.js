/** The entry point: creates the parts of the page from the model's schema and connects them with state and service. */

import { Explainer, fetchJson, retry } from "./api.js";
import { h, showError } from "./dom.js";
import { DriftPanel } from "./drift.js";
import { isCategory, isEncoded, isOptional, typicalCategory, withAllFields } from "./features.js";
import { formatCount, roundWithinBounds } from "./format.js";
import { LocalPass } from "./local_pass.js";
import { renderModelCard } from "./model_card.js";
import { ModelMenu } from "./model_menu.js";
import { NetworkView } from "./network_view.js";
import { Outputs } from "./outputs.js";
import { PredictionPanel, describeCause } from "./prediction.js";
import { Presets } from "./presets.js";
import { DESCRIPTION } from "./service_paths.js";
import { ShadowPanel } from "./shadow.js";
import { Share } from "./share.js";
import { Sliders } from "./sliders.js";
import { State } from "./state.js";
import { renderCalculation } from "./weighted_sum.js";

const WIDE_LAYOUT = matchMedia("(min-width: 68rem)"); // each slider is beside its input node
const ANNOUNCE_DELAY = 800; // ms without change before a screen reader announces a prediction

const HINT =
  "Point at a node, or tap it, to see how its output is computed. The thicker a line, the larger its contribution: grey " +
  "lines increase the sum, red lines decrease it.";

const CELLS_HINT =
  "Nodes that have no room for their numbers are small, and darker for larger outputs; of a large layer, only the " +
  "strongest connections are drawn.";

const byId = (id) => document.getElementById(id);

async function start() {
  byId("load-warning").remove();
  new ModelMenu(byId("models"));
  const [given, report] = await retry(() => Promise.all([fetchJson(DESCRIPTION), fetchJson("page/report")]), showError);
  const model = withAllFields(given);
  const has = (name) => report.files.includes(name);
  const presets = has("presets.json") ? await retry(() => fetchJson("page/report/presets.json"), showError) : null;
  const page = new Page(model, schemaOf(given), presets);
  page.start();
  new DriftPanel(byId("drift"), model, page.outputs);
  new ShadowPanel(byId("shadow"), page.outputs);
  const evaluation = has("report.json") ? await retry(() => fetchJson("page/report/report.json"), showError) : null;
  if (evaluation) page.addReport(evaluation);
  renderModelCard(byId("card"), model, page.outputs, report.files, evaluation);
}

class Page {
  #explanation = null; // what is shown, null while measurements are missing
  #explained = null; // the newest one of the service
  #localPass = null; // made from that when needed
  #requestedValues = null;
  #version; // of the model that has answered last
  #inspectedNode = null; // the node under the pointer or with the focus
  #playerCaption = null;
  #pendingFrame = 0;
  #announceTimer;

  /** @param {string} schema of the model, from `schemaOf` */
  constructor(model, schema, presets) {
    this.model = model;
    this.schema = schema;
    this.#version = String(model.version);
    this.outputs = new Outputs(model);
    this.state = new State(model, this.outputs);
    this.sliders = new Sliders(byId("sliders"), model, this.outputs);
    this.network = new NetworkView(byId("network"), byId("controls"), model, this.outputs);
    const answer = ["prediction", "probabilities", "attribution"].map(byId);
    this.prediction = new PredictionPanel(...answer, model, this.outputs);
    this.presets = new Presets(byId("presets"), model, presets);
    this.share = new Share(byId("share"), byId("copy-link"), this.state);
    this.explainer = new Explainer(
      (explanation) => this.#onExplanation(explanation),
      showError,
      (version) => this.#checkVersion(version),
    );
    byId("stage").classList.toggle("with-list", this.sliders.hasList);
    byId("stage").classList.toggle("encoded", isEncoded(model));
    byId("sample-note").hidden = Boolean(model.reference);
    this.#describeModel();
  }

  start() {
    this.sliders.addEventListener("input", ({ detail }) => this.state.setValue(detail.name, detail.value));
    this.sliders.addEventListener("hover", ({ detail }) => this.#onHover(detail));
    this.presets.addEventListener("pick", ({ detail }) => this.#selectPreset(detail));
    this.network.addEventListener("inspect", ({ detail }) => this.#inspect(detail));
    this.network.addEventListener("pin", ({ detail }) => this.#pin(detail));
    this.network.addEventListener("caption", ({ detail }) => this.#setPlayerCaption(detail));
    this.prediction.addEventListener("explain", ({ detail }) => this.state.set({ label: detail }));
    this.state.addEventListener("change", () => this.#onChange());
    addEventListener("hashchange", () => this.state.load(location.hash));
    addEventListener("keydown", ({ key }) => key === "Escape" && this.#pin(null));
    const layOut = () => {
      this.network.layOut(
        WIDE_LAYOUT.matches && !this.sliders.hasList ? this.sliders.trackCenters(byId("network").getBoundingClientRect().top) : null,
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

  /** The medians and most frequent categories of the training rows; nothing is known of them if the model was adopted without a sample. */
  #initialValues() {
    const { features, reference } = this.model;
    const medianIndex = Math.max(0, reference?.probabilities.indexOf(0.5) ?? 0);
    const typical = (feature) => {
      const shares = reference?.categories?.[""]?.[feature.name];
      if (isCategory(feature)) return feature.hashing && isOptional(feature) ? null : typicalCategory(feature, shares);
      return roundWithinBounds(feature, reference?.features[feature.name][medianIndex] ?? 0);
    };
    return {
      ...Object.fromEntries(features.map((feature) => [feature.name, typical(feature)])),
      ...this.presets.first?.features,
    };
  }

  #describeModel() {
    const { isDrawnInFull } = this.network;
    const drawing = isDrawnInFull === null ? "" : isDrawnInFull ? ", drawn in full" : ", drawn layer by layer";
    byId("lead").textContent =
      `A ${isDrawnInFull ? "small " : ""}neural network${drawing}: ` +
      `${formatCount(this.model.features.length, "measurement")} in, ${this.outputs.summarize()}.`;
  }

  #onChange() {
    const { completeValues, values } = this.state;
    if (values !== this.#requestedValues) {
      this.#requestedValues = values;
      this.sliders.setValues(values);
      if (completeValues) {
        this.explainer.request(completeValues);
        this.#followLocally(completeValues);
      } else this.#clear();
    }
    this.#draw();
  }

  #clear() {
    this.explainer.cancel();
    this.#explanation = this.#explained = this.#localPass = null;
  }

  /** Loads the page anew if the version that serves now has other inputs or outputs; the URL keeps the measurements. */
  async #checkVersion(version) {
    if (version === this.#version) return;
    const model = await fetchJson(DESCRIPTION);
    if (schemaOf(model) !== this.schema) {
      this.state.save();
      location.reload();
      await new Promise(() => {}); // this page shows nothing more
    }
    this.#version = version ?? this.#version;
  }

  #onExplanation(explanation) {
    this.#explanation = this.#explained = explanation;
    this.#localPass = null;
    this.network.show(explanation);
    const { completeValues } = this.state;
    if (!isSame(explanation.features, completeValues)) this.#followLocally(completeValues);
    byId("stage").setAttribute("aria-busy", "false");
    this.#draw();
    clearTimeout(this.#announceTimer);
    this.#announceTimer = setTimeout(() => this.#announce(), ANNOUNCE_DELAY);
  }

  /** Follows values that the service has not explained yet, if it takes long to do so and the network is known. */
  #followLocally(values) {
    if (!this.#explained || !this.explainer.isSlow) return;
    this.#localPass ??= LocalPass.of(this.#explained, this.network.structure, this.outputs);
    this.#explanation = this.#localPass?.explain(values) ?? this.#explanation;
  }

  #announce() {
    if (!this.#explanation) return;
    const { prediction } = this.#explanation;
    const { warnings } = prediction;
    const caveat = warnings.length ? `, possibly unreliable: ${warnings.length} ${describeCause(warnings)}` : "";
    this.#readOut(`${this.outputs.describe(prediction)}${caveat}`);
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
      const { values, missingCount, completeValues, node } = this.state;
      const column = this.#explainedColumn;
      this.sliders.show(explanation, column);
      byId("legend").textContent = byId("legend").title = this.sliders.describe(explanation, column);
      byId("stage").classList.toggle("stale", Boolean(explanation?.isStale));
      this.network.show(explanation);
      this.#showStructure(explanation);
      this.network.pin(node);
      this.network.highlight(this.#inspectedNode ?? node);
      this.prediction.show(explanation, column, missingCount);
      this.presets.show(values, explanation, missingCount);
      this.share.show(completeValues);
      this.#drawCaption();
    });
  }

  /** The column that a person has selected, or the main one. */
  get #explainedColumn() {
    const main = this.#explanation ? this.outputs.mainColumn(this.#explanation.prediction) : this.outputs.columns[0];
    return this.outputs.find(this.state.label) ?? main;
  }

  /** A model that cannot be taken apart has no diagram: its sliders take that room. */
  #showStructure(explanation) {
    if (!explanation) return;
    byId("stage").classList.toggle("without-network", !explanation.layers);
    this.#describeModel();
  }

  get #hint() {
    if (!this.#explanation) return this.state.missingCount ? "The network needs a value for every measurement." : "…";
    const { layers, layers_reason: reason } = this.#explanation;
    if (!layers) return `The network is not drawn: ${reason}.`;
    return this.network.isDrawnInFull ? HINT : `${HINT} ${CELLS_HINT}`;
  }

  /** Why the sliders have no sweeps, if they have none. */
  get #sweepsReason() {
    const { sweeps, sweeps_reason: reason } = this.#explanation ?? {};
    return sweeps === null && this.model.reference ? ` No sweeps: ${reason}.` : "";
  }

  #drawCaption() {
    const node = this.#inspectedNode ?? (this.#playerCaption ? null : this.state.node);
    const inspected = this.#explanation?.layers ? this.network.find(node) : null;
    const hasSum = Boolean(inspected);
    byId("weighted-sum").hidden = !hasSum;
    byId("attribution").classList.toggle("covered", hasSum);
    if (hasSum) byId("weighted-sum").replaceChildren(...renderCalculation(inspected, this.#explanation));
    const { heading, text } = this.#playerCaption ?? {
      text: this.#hint + this.#sweepsReason,
    };
    byId("caption").replaceChildren(h("p", {}, heading ? h("strong", {}, `${heading}: `) : null, text));
  }

  #selectPreset(preset) {
    const emptyValues = Object.fromEntries(this.model.features.map(({ name }) => [name, null]));
    this.state.set({ values: { ...emptyValues, ...preset?.features }, label: null });
    if (!preset) byId("sliders").querySelector("input, select").focus();
  }

  #onHover(name) {
    const index = this.model.features.findIndex((feature) => feature.name === name);
    this.#inspect(this.#explanation?.layers ? this.network.inputKey(index) : null, { onlyHighlight: true });
  }

  #inspect(key, { onlyHighlight = false } = {}) {
    this.network.highlight(key ?? this.state.node);
    if (onlyHighlight) return;
    this.#inspectedNode = key;
    this.#drawCaption();
  }

  #pin(key) {
    if (key && !this.#explanation?.layers) return;
    this.network.stop();
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

/** A text that differs where two versions of a model need different pages. */
function schemaOf({ features, inputs, outputs }) {
  return JSON.stringify([features, inputs, outputs]);
}

function isSame(features, others) {
  return others !== null && Object.entries(features).every(([name, value]) => others[name] === value);
}

start();
