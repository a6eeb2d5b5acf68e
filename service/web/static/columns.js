/** A line for each label or target of a prediction: a bar with its threshold, or a scale of the training targets. */

import { h } from "./dom.js";
import { formatPercent, maxLength } from "./format.js";
import { formatColumn, formatNumberOf, thresholdMark, thresholdOf } from "./outputs.js";

const MAX_NAME_WIDTH = 14; // characters
const MAX_LINES = 10; // more are in a list that scrolls

/** The lines, in a group for each output. A line is a button: `onSelect` gets the key of the column to explain. */
export class ColumnList {
  #outputs;
  #lines;

  constructor(container, outputs, onSelect) {
    this.#outputs = outputs;
    this.#lines = outputs.columns.map((column) => createLine(column, outputs.probabilities, onSelect));
    const names = outputs.columns.filter(({ isValue }) => !isValue).map(nameWithMark);
    container.classList.toggle("many", outputs.columns.length > MAX_LINES);
    container.classList.toggle("only-target", outputs.columns.length === 1 && outputs.columns[0].isValue);
    container.style.setProperty("--name-width", `${Math.min(MAX_NAME_WIDTH, maxLength(names))}ch`);
    container.setAttribute("role", "group");
    container.setAttribute("aria-label", describeList(outputs));
    for (const head of outputs.heads) {
      if (!outputs.isSingle && !isNamedByItsOnlyColumn(head))
        container.append(h("h3", { className: "output-name", title: head.name }, head.name));
      container.append(...this.#lines.filter(({ column }) => column.head === head).map(({ element }) => element));
      const note = describeThreshold(head);
      if (note) container.append(h("p", { className: "threshold-note" }, note));
    }
  }

  /** Shows a prediction, or none if it is null; `explained` is the column whose attributions are shown. */
  show(prediction, explained) {
    for (const { column, element, draw } of this.#lines) {
      const isPredicted = prediction !== null && this.#outputs.isPredicted(prediction, column);
      draw(prediction === null ? null : this.#outputs.value(prediction, column));
      element.setAttribute("aria-pressed", prediction !== null && column === explained);
      element.disabled = prediction === null;
      element.classList.toggle("best", isPredicted);
    }
  }
}

/** A name with room for the mark of a predicted label. */
function nameWithMark({ name, head }) {
  return head.kind === "multi_label" ? `✓ ${name}  ` : name;
}

function createLine(column, probabilities, onSelect) {
  const { parts, draw } = column.isValue ? createScaleParts(column, probabilities) : createBarParts(column);
  const element = h(
    "button",
    {
      type: "button",
      className: `probability ${column.isValue ? "target" : column.head.kind}`,
      "data-label": column.index % 8,
      onclick: () => onSelect(column.key),
    },
    h("span", { className: "label", title: column.name }, column.name),
    ...parts,
  );
  return { column, element, draw };
}

function createBarParts(column) {
  const fill = h("span", { className: "fill" });
  const bar = h("span", { className: "bar", "aria-hidden": "true" }, fill);
  const mark = thresholdMark(column);
  const track = mark === null ? bar : h("span", { className: "marked" }, bar, createMark("threshold", mark));
  const share = h("span", { className: "share" });
  const draw = (probability) => {
    fill.style.width = `${100 * (probability ?? 0)}%`;
    share.textContent = probability === null ? "" : formatPercent(probability);
  };
  return { parts: [track, share], draw };
}

/** The value on a scale of the training targets: a line for all of them, a box for their middle half. */
function createScaleParts(column, probabilities) {
  const share = h("span", { className: "share" });
  const { quantiles, minimum, maximum } = column;
  if (!quantiles || minimum === maximum) {
    const draw = (value) => (share.textContent = value === null ? "" : formatColumn(column, value));
    return { parts: [share], draw };
  }
  const position = (value) => Math.min(1, Math.max(0, (value - minimum) / (maximum - minimum)));
  const atProbability = (index) => position(quantiles[Math.max(0, index)]);
  const quarters = [probabilities.findLastIndex((p) => p <= 0.25), probabilities.findIndex((p) => p >= 0.75)];
  const [from, to] = quarters.map(atProbability);
  const middle = h("span", { className: "scale-middle" });
  middle.style.left = `${100 * from}%`;
  middle.style.width = `${100 * (to - from)}%`;
  const marker = createMark("scale-value", 0.5);
  const scale = h("span", { className: "scale", "aria-hidden": "true" }, middle, marker);
  const note = h("span", { className: "scale-note" });
  const ends = [minimum, maximum].map((end) => h("span", {}, formatNumberOf(column, end)));
  const draw = (value) => {
    share.textContent = value === null ? "" : formatColumn(column, value);
    marker.hidden = value === null;
    if (value === null) return;
    marker.style.left = `${100 * position(value)}%`;
    marker.classList.toggle("outside", value < minimum || value > maximum);
    note.textContent = value < minimum ? "below all in training" : value > maximum ? "above all in training" : "training range";
  };
  return { parts: [share, scale, h("span", { className: "scale-ends" }, ends[0], note, ends[1])], draw };
}

function createMark(className, position) {
  const mark = h("span", { className });
  mark.style.left = `${100 * position}%`;
  return mark;
}

function describeThreshold(head) {
  const threshold = thresholdOf({ head });
  if (threshold === null) return null;
  const percent = `${Number((100 * threshold).toPrecision(3))} %`;
  return head.kind === "multi_label"
    ? `A label above the line, at ${percent}, is predicted.`
    : `${head.labels[1]} is predicted above ${percent}: the line.`;
}

function describeList({ isClassification }) {
  return isClassification ? "Probabilities; select one to explain it" : "Outputs; select one to explain it";
}

function isNamedByItsOnlyColumn({ name, columns }) {
  return columns.length === 1 && columns[0].name === name;
}
