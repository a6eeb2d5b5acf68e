/** The inputs: a row for each feature, in a list that can be searched and sorted where there are many. */

import { createAlternatives, describeEntry } from "./alternatives.js";
import { CategoryRow } from "./category_row.js";
import { h } from "./dom.js";
import { isCategory } from "./features.js";
import { capitalize, featureTitle, formatCount, hasBounds } from "./format.js";
import { SliderRow } from "./slider_row.js";

export const MAX_PLAIN_ROWS = 12; // more features are in a list that scrolls
const ALL_ROWS = ""; // the key of training ranges that hold whatever the label

export class Sliders extends EventTarget {
  #rows;
  #list;
  #model;
  #outputs;
  #labels; // of a single classification
  #search;
  #order;
  #count;
  #influences = null; // of the features on the explained column, by name
  #sortedFor = null; // the column by whose influences the rows are sorted

  /** Emits `input` with `{name, value}` when a person sets a value, and `hover` with a feature's name or null. */
  constructor(container, model, outputs) {
    super();
    this.#model = model;
    this.#outputs = outputs;
    const listeners = {
      onInput: (name, value) => this.dispatchEvent(new CustomEvent("input", { detail: { name, value } })),
      onHover: (name) => this.dispatchEvent(new CustomEvent("hover", { detail: name })),
    };
    const labels = outputs.isClassification ? outputs.columns.map(({ name }) => name) : [];
    this.#labels = labels;
    this.#rows = model.features.map((feature, index) =>
      isCategory(feature) ? new CategoryRow(feature, index, listeners) : new SliderRow(feature, index, labels, listeners),
    );
    this.#list = h("div", { className: "row-list" }, ...this.#rows.map((row) => row.element));
    this.hasList = this.#rows.length > MAX_PLAIN_ROWS;
    if (this.hasList) container.append(this.#createToolbar());
    container.classList.toggle("listed", this.hasList);
    container.classList.toggle("curved", !outputs.isClassification);
    container.append(this.#list);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paintTracks());
  }

  #createToolbar() {
    this.#search = h("input", { type: "search", placeholder: "Find", oninput: () => this.#filter() });
    this.#search.setAttribute("aria-label", "Find a measurement");
    this.#order = h(
      "select",
      { onchange: () => this.#sort() },
      h("option", { value: "schema" }, "as in the model"),
      h("option", { value: "influence" }, "by influence"),
    );
    this.#order.setAttribute("aria-label", "Order of the measurements");
    this.#count = h("p", { className: "list-count muted", role: "status" });
    return h("div", { className: "list-tools" }, this.#search, this.#order, this.#count);
  }

  #filter() {
    const query = this.#search.value.trim().toLowerCase();
    let shown = 0;
    for (const { feature, element } of this.#rows) {
      element.hidden = !`${feature.name}\n${featureTitle(feature)}`.toLowerCase().includes(query);
      if (!element.hidden) shown++;
    }
    this.#count.textContent = query ? `${shown} of ${formatCount(this.#rows.length, "measurement")}` : "";
    this.paintTracks();
  }

  /** Rows do not move while values change, only when the order or the explained column does. */
  #sort() {
    const rows = [...this.#rows];
    if (this.#order.value === "influence" && this.#influences) {
      const influence = ({ feature }) => this.#influences[feature.name];
      rows.sort((a, b) => influence(b) - influence(a));
    }
    this.#list.append(...rows.map(({ element }) => element));
    this.#list.scrollTop = 0;
  }

  /** Shows values that changed elsewhere. */
  setValues(values) {
    for (const row of this.#rows) row.setValue(values[row.feature.name]);
  }

  /** Shows the sweeps of an explanation, of the explained column where one can be chosen; null removes them. */
  show(explanation, column) {
    const sweeps = explanation?.sweeps ?? null;
    const domain = column.isValue && sweeps ? extent(Object.values(sweeps).flatMap((sweep) => outputsOf(sweep, column))) : [0, 1];
    const ranges = this.#model.reference?.ranges ?? {};
    const label = explanation && ALL_ROWS in ranges ? ALL_ROWS : (explanation?.prediction.label ?? null);
    for (const row of this.#rows) {
      const { name } = row.feature;
      const sweep = sweeps?.[name] ? this.#prepare(row.feature, sweeps[name], column, domain) : null;
      const warning = explanation?.prediction.warnings.find((sentence) => sentence.startsWith(`${name} is `)) ?? null;
      row.show(sweep, ranges[label]?.[name] ?? null, warning && { label, text: shortenWarning(warning, name) });
    }
    this.#showInfluences(explanation, column);
    this.paintTracks();
  }

  /** A sweep as a row shows it, with a scale of outputs that all rows share. */
  #prepare(feature, sweep, column, domain) {
    if (isCategory(feature)) return sweep.categories && createAlternatives(sweep.categories, this.#labels, column, domain);
    const missing = sweep.missing && describeEntry(sweep.missing, this.#labels, column, domain);
    if (this.#labels.length) return { ...sweep, missing, allLabels: this.#labels };
    return { values: sweep.values, curve: sweep.outputs[column.key], domain, column, missing, colorIndex: column.index };
  }

  #showInfluences(explanation, column) {
    if (!this.hasList || !explanation) return;
    const values = explanation.attributions?.values;
    this.#influences = values
      ? Object.fromEntries(this.#rows.map(({ feature: { name } }) => [name, Math.abs(values[name][column.key])]))
      : null;
    this.#order.hidden = !values;
    if (this.#sortedFor !== column.key && this.#order.value === "influence") this.#sort();
    this.#sortedFor = column.key;
  }

  /** What the tracks show, for the legend above them. */
  describe(explanation, column) {
    const numbers = this.#model.features.filter((feature) => !isCategory(feature));
    const hasTracks = numbers.some(hasBounds);
    if (!hasTracks && numbers.length === this.#model.features.length) return "Any number is accepted.";
    const range = this.#model.reference && hasTracks ? "Line: training range." : "";
    if (this.#outputs.isClassification) return `Colour: predicted label. ${range}`.trim();
    if (!explanation?.sweeps) return range;
    const unit = column.isValue && column.unit ? ` in ${column.unit}` : "";
    return `${range} Curve: ${column.key}${unit}.`;
  }

  /** The vertical centres of the rows' tracks, in px below `top`. */
  trackCenters(top) {
    return this.#rows.map((row) => row.center - top - 2);
  }

  paintTracks() {
    const styles = getComputedStyle(document.documentElement);
    for (const row of this.#rows) if (!row.element.hidden) row.paint(styles);
  }
}

/** The outputs of a column in a sweep, those of alternatives too. */
function outputsOf({ outputs, missing, categories }, column) {
  const entries = [missing, ...(categories ?? [])].filter(Boolean).map((entry) => entry.outputs[column.key]);
  return [...(outputs?.[column.key] ?? []), ...entries];
}

/** What a warning says of a value, without the name that stands above it: "Missing, which it is in no training row". */
function shortenWarning(sentence, name) {
  return capitalize(sentence.slice(`${name} is `.length).replace(/: [^:]*$/, ""));
}

function extent(values) {
  return values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
}
