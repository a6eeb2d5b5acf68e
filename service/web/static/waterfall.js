/** A waterfall chart: from the average of the background rows to this row, one step for each feature. */

import { h } from "./dom.js";
import { isCategory } from "./features.js";
import { featureTitle, formatMeasurement, formatNumber } from "./format.js";
import { formatColumn, formatNumberOf, formatSignedValue } from "./outputs.js";

const MAX_STEPS = 12; // of more features, the strongest are shown, and the sum of the others
const [STRONGEST, MARGIN] = [10, 0.04];
const MAX_UNIT = 5; // characters; a longer unit has no room beside its number

/**
 * @param {object[]} contributions `{feature, value, contribution, error}`, largest first; the error may be undefined
 * @param {boolean} showsAll all features, also if they are many
 * @param {() => void} onToggle called when a person wants to see all, or fewer again
 */
export function renderWaterfall(contributions, column, base, output, showsAll, onToggle) {
  const hasMany = contributions.length > MAX_STEPS;
  const shown = hasMany && !showsAll ? contributions.slice(0, STRONGEST) : contributions;
  const steps = createSteps(shown, contributions, base);
  const scale = createScale(column, [base, output, ...steps.flatMap(({ from, to, error }) => spread(from, to, error))]);
  const isSampled = contributions.some(({ error }) => error !== undefined);
  const list = h(
    "ol",
    {
      className: `waterfall${isSampled ? " sampled" : ""}${column.isValue ? " values" : ""}`,
      "data-label": column.index % 8,
      "aria-label": "From the average to this prediction",
    },
    renderLevel("Average", base, column, scale),
    ...steps.map((step) => renderStep(step, column, scale)),
    renderLevel("This input", output, column, scale),
  );
  if (!hasMany) return [list];
  const text = showsAll ? "Show the strongest only" : `Show all ${contributions.length}`;
  return [list, h("button", { type: "button", className: "show-all", onclick: onToggle }, text)];
}

function createSteps(shown, contributions, base) {
  let level = base;
  const next = (contribution) => ({ from: level, to: (level += contribution), contribution });
  const steps = shown.map(({ feature, value, contribution, error }) => ({
    name: nameStep(feature, value),
    value: formatMeasurement(feature, value),
    error,
    ...next(contribution),
  }));
  const others = contributions.slice(shown.length);
  if (!others.length) return steps;
  const sum = others.reduce((total, { contribution }) => total + contribution, 0);
  return [...steps, { name: `${others.length} others`, value: "", ...next(sum) }];
}

/** A number is not named with its value, for which there is no room. */
function nameStep(feature, value) {
  const title = featureTitle(feature);
  if (value === null && feature.default === null) return `${title} is missing`;
  return isCategory(feature) ? `${title} = ${formatMeasurement(feature, value)}` : title;
}

function spread(from, to, error = 0) {
  return [from, to - error, to + error];
}

/** From a value to its place: probabilities on the whole range from 0 to 1, values between the smallest and largest. */
function createScale(column, values) {
  if (!column.isValue) return { place: (value) => 100 * value, origin: 0 };
  const [lowest, highest] = [Math.min(...values), Math.max(...values)];
  const span = highest - lowest || 1;
  return { place: (value) => 100 * (MARGIN + (1 - 2 * MARGIN) * ((value - lowest) / span)), origin: null };
}

/** A bar from zero to the level, or a mark at the level where the scale does not begin at zero. */
function renderLevel(name, level, column, { place, origin }) {
  const segment = createSegment(place(origin ?? level), place(level));
  const format = column.isValue && column.unit.length > MAX_UNIT ? formatNumberOf : formatColumn;
  return renderLine("level", name, "", [segment], format(column, level));
}

function renderStep({ name, value, from, to, contribution, error }, column, { place }) {
  const className = contribution < 0 ? "decreases" : "increases";
  const marks = [createSegment(place(from), place(to))];
  const format = column.isValue ? formatSignedValue : formatPercentagePoints;
  if (error === undefined) return renderLine(className, name, value, marks, format(contribution));
  const whisker = createSegment(place(to - error), place(to + error));
  whisker.className = "whisker";
  const text = h("span", {}, format(contribution), h("small", {}, ` ±${formatError(column, error)}`));
  return renderLine(className, name, value, [...marks, whisker], text);
}

function renderLine(className, name, value, marks, text) {
  return h(
    "li",
    { className },
    h("span", { className: "row-name", title: name }, name),
    h("span", { className: "row-value" }, value),
    h("span", { className: "bar-area", "aria-hidden": "true" }, ...marks),
    h("span", { className: "row-contribution" }, text),
  );
}

function createSegment(from, to) {
  const segment = h("span", { className: "bar-segment" });
  segment.style.left = `${Math.min(from, to)}%`;
  segment.style.width = `${Math.abs(to - from)}%`;
  return segment;
}

function formatError(column, error) {
  return column.isValue ? formatNumber(error, 2) : (100 * error).toFixed(1);
}

/** A difference of probabilities in percentage points: +31.4. */
function formatPercentagePoints(share) {
  const text = Math.abs(100 * share).toFixed(1);
  if (text === "0.0") return "0";
  return `${share < 0 ? "−" : "+"}${text}`;
}
