/** The answer: what is predicted, the probability or value of each column, warnings and the attribution of one column. */

import { Attribution } from "./attribution.js";
import { ColumnList } from "./columns.js";
import { h } from "./dom.js";
import { formatCount, formatPercent, shorten } from "./format.js";
import { formatColumn } from "./outputs.js";

const LONG_LABEL = 16; // characters; a longer one has a smaller font
const MAX_NAME = 40; // characters of a name in a sentence

/** Emits `explain` with the key of a column when a person selects it. */
export class PredictionPanel extends EventTarget {
  #outputs;
  #result;
  #columns;
  #attribution;
  #attributionBox;
  #showsWarnings = false; // kept while the prediction changes
  #shown; // the arguments of `show`

  constructor(result, columns, attributionBox, model, outputs) {
    super();
    this.#outputs = outputs;
    this.#result = result;
    this.#attributionBox = attributionBox;
    this.#columns = new ColumnList(columns, outputs, (key) =>
      this.dispatchEvent(new CustomEvent("explain", { detail: key })),
    );
    this.#attribution = new Attribution(model, outputs, () => this.show(...this.#shown));
  }

  /** Shows the prediction and the attribution of a column; without an explanation, how many measurements are missing. */
  show(explanation, column, missingCount) {
    this.#shown = [explanation, column, missingCount];
    this.#result.classList.toggle("empty", !explanation);
    this.#columns.show(explanation?.prediction ?? null, column);
    if (!explanation) {
      const missing = missingCount ? `${formatCount(missingCount, "measurement")} missing` : "…";
      this.#result.replaceChildren(h("p", { className: "predicted-label" }, missing));
      const advice = missingCount ? "Enter all measurements to get a prediction." : "";
      this.#attributionBox.replaceChildren(h("p", {}, advice));
      return;
    }
    const { prediction } = explanation;
    this.#result.replaceChildren(...this.#renderResult(prediction, column));
    if (explanation.isStale) return;
    this.#attributionBox.replaceChildren(
      ...this.#renderWarnings(prediction),
      ...this.#attribution.render(explanation, column),
    );
  }

  /** The prediction of the output that the explained column belongs to. */
  #renderResult(prediction, column) {
    const { head } = column;
    const part = this.#outputs.part(prediction, head);
    const owner = this.#outputs.isSingle ? "" : `${shorten(head.name, MAX_NAME)}: `;
    if (column.isValue) {
      const value = formatColumn(column, this.#outputs.value(prediction, column));
      const name = h("p", { className: "confidence", title: column.key }, shorten(column.key, MAX_NAME));
      return [this.#renderLabel(value, column), name];
    }
    if (head.kind === "multi_label") {
      const predicted = head.columns.filter(({ name }) => part.labels.includes(name));
      const counts = ["b", {}, `${predicted.length} of ${head.columns.length}`];
      return [
        this.#renderLabel(part.labels.join(", ") || "no label", predicted[0] ?? null),
        h("p", { className: "confidence" }, owner, h(...counts), " labels"),
      ];
    }
    const predicted = head.columns.find(({ name }) => name === part.label);
    return [
      this.#renderLabel(part.label, predicted),
      h("p", { className: "confidence" }, owner, h("b", {}, formatPercent(part.confidence)), " confidence"),
    ];
  }

  #renderLabel(text, column) {
    this.#result.setAttribute("data-label", column ? column.index % 8 : "none");
    const className = `predicted-label${text.length > LONG_LABEL ? " long" : ""}${column?.isValue ? " value" : ""}`;
    return h("p", { className, title: text }, text);
  }

  #renderWarnings(prediction) {
    if (!prediction.warnings.length) return [];
    const { warnings } = prediction;
    const isRange = warnings.every(isOutOfRange);
    const verb = isRange ? ["lies", "lie"] : ["is", "are"];
    const count = warnings.length === 1 ? `one value ${verb[0]}` : `${warnings.length} values ${verb[1]}`;
    const range = isRange && warnings[0].includes("training range of ") && prediction.label;
    const owner = range ? ` of ${shorten(prediction.label, MAX_NAME)}` : "";
    return [
      h(
        "details",
        {
          className: "warnings",
          open: this.#showsWarnings,
          ontoggle: ({ target }) => (this.#showsWarnings = target.open),
        },
        h("summary", {}, `Possibly unreliable: ${count} ${describeCause(warnings)}${owner}`),
        h(
          "ul",
          {},
          warnings.map((warning) => h("li", {}, warning)),
        ),
      ),
    ];
  }
}

/** What is wrong with the values that warnings are about. */
export function describeCause(warnings) {
  return warnings.every(isOutOfRange) ? "outside the training range" : "unlike the training rows";
}

function isOutOfRange(warning) {
  return warning.includes(", outside the training range");
}
