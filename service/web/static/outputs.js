/** The outputs of a model: what each column of the network's output means, and how it reads in a prediction. */

import { formatMeasurement, formatPercent, formatSignedNumber, formatValue } from "./format.js";

const DEFAULT_THRESHOLD = 0.5; // of labels that are independent of each other

/**
 * `heads` are the model's outputs, `columns` their labels and targets: `{key, name, head, index, isValue}`, a target
 * also with `unit` and `quantiles`. The key is that of attributions and sweeps.
 */
export class Outputs {
  constructor(model) {
    const isSingle = model.outputs.length === 1;
    this.probabilities = model.reference?.probabilities ?? [];
    this.heads = model.outputs.map((output) => ({ ...output, columns: [] }));
    this.columns = this.heads.flatMap((head) => {
      const targets = head.kind === "regression" ? head.targets : head.labels.map((name) => ({ name }));
      const isNamedAlone = isSingle || (targets.length === 1 && targets[0].name === head.name);
      head.columns = targets.map((target) => createColumn(target, head, isNamedAlone, model.reference));
      return head.columns;
    });
    this.columns.forEach((column, index) => (column.index = index));
    this.isSingle = isSingle;
    this.isClassification = isSingle && this.heads[0].kind === "classification";
    this.isTrainedHere = this.isClassification && hasNamesOfTraining(this.heads, model); // not adopted
  }

  find(key) {
    return this.columns.find((column) => column.key === key) ?? null;
  }

  /** What a prediction says of one output. */
  part(prediction, head) {
    return this.isSingle ? prediction : prediction.outputs[head.name];
  }

  value(prediction, { head, name, isValue }) {
    const part = this.part(prediction, head);
    return isValue ? part.values[name] : part.probabilities[name];
  }

  isPredicted(prediction, { head, name }) {
    const { label, labels } = this.part(prediction, head);
    return label === name || Boolean(labels?.includes(name));
  }

  /** The column that is explained unless a person selects another: the predicted label, or the first column. */
  mainColumn(prediction) {
    const { columns, kind } = this.heads[0];
    if (kind === "regression") return columns[0];
    const byValue = [...columns].sort((a, b) => this.value(prediction, b) - this.value(prediction, a));
    return columns.find((column) => kind === "classification" && this.isPredicted(prediction, column)) ?? byValue[0];
  }

  /** The prediction in words, for a screen reader. */
  describe(prediction) {
    return this.heads.map((head) => this.#describeHead(prediction, head)).join("; ");
  }

  #describeHead(prediction, head) {
    const { label, labels, confidence } = this.part(prediction, head);
    const name = this.isSingle ? "" : `${head.name}: `;
    if (head.kind === "classification") return `${name}${label}, ${formatPercent(confidence)} confidence`;
    if (head.kind === "multi_label") return `${name}${labels.join(", ") || "no label"}`;
    return head.columns
      .map((column) => `${column.key}: ${formatColumn(column, this.value(prediction, column))}`)
      .join(", ");
  }

  /** What the model gives, for the line at the top of the page. */
  summarize() {
    if (!this.isSingle) return `${this.heads.length} outputs out`;
    const [{ kind, columns }] = this.heads;
    if (kind === "classification") return `one of ${columns.length} labels out`;
    if (kind === "multi_label") return `any of ${columns.length} ${columns.length === 1 ? "label" : "labels"} out`;
    return columns.length === 1 ? "one value out" : `${columns.length} values out`;
  }
}

/** What training calls the only input and output; adoption calls them as the model's author did. */
function hasNamesOfTraining([{ name, layer }], { inputs, layers }) {
  return inputs.length === 1 && inputs[0].name === "features" && name === layer && layer === layers.at(-1).name;
}

function createColumn({ name, unit = "" }, head, isNamedAlone, reference) {
  const key = isNamedAlone ? name : `${head.name}.${name}`;
  const isValue = head.kind === "regression";
  const quantiles = isValue ? (reference?.targets?.[key] ?? null) : null;
  return {
    key, name, unit, head, isValue, quantiles,
    minimum: quantiles?.[0] ?? null,
    maximum: quantiles?.at(-1) ?? null,
  }; // prettier-ignore
}

/** The probability above which a label is predicted; null where only the largest probability counts. */
export function thresholdOf({ head }) {
  return head.kind === "multi_label" ? (head.threshold ?? DEFAULT_THRESHOLD) : (head.threshold ?? null);
}

/** Where a column's bar has the mark of the threshold. The first of two labels is predicted if the second is not. */
export function thresholdMark(column) {
  const threshold = thresholdOf(column);
  const isFirstOfTwo = column.head.kind === "classification" && column === column.head.columns[0];
  return threshold !== null && isFirstOfTwo ? 1 - threshold : threshold;
}

/** A probability in per cent, or a value with its unit; the digits of large values are in groups: 310,000. */
export function formatColumn(column, value) {
  return column.isValue ? groupDigits(formatMeasurement(column, value)) : formatPercent(value);
}

/** The same without the unit. */
export function formatNumberOf(column, value) {
  return column.isValue ? groupDigits(formatValue(column, value)) : formatPercent(value);
}

/** A contribution to a value, without its unit: +1,230. */
export function formatSignedValue(value) {
  return groupDigits(formatSignedNumber(value));
}

function groupDigits(text) {
  return text.replace(/^([+−]?)(\d{5,})(?![\d.e])/, (_, sign, digits) => sign + Number(digits).toLocaleString("en"));
}
