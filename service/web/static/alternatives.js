/** The alternatives of a category: what would be predicted for each of its values. */

import { formatShortPercent } from "./format.js";
import { formatNumberOf } from "./outputs.js";

/**
 * The sweep of a category as a list of `{value, name, isMissing, isOther, label, output, colorIndex, strength, result}`.
 * The label is that of a single classification, null for other models, which have an output of the explained column. The
 * strength is from 0 to 1, and the result is the label or the output as text.
 * @param {string[]} labels of a single classification, else empty
 * @param {number[]} domain the smallest and the largest value of the column
 */
export function createAlternatives(entries, labels, column, domain) {
  return entries.map(({ value = null, other: isOther = false, ...entry }) => {
    const isMissing = value === null && !isOther;
    const name = isOther ? "another value" : isMissing ? "missing" : String(value);
    return { value, name, isMissing, isOther, ...describeEntry(entry, labels, column, domain) };
  });
}

/** What is predicted for one value: `{label, output, colorIndex, strength, result}`. */
export function describeEntry({ label = null, probabilities, outputs }, labels, column, [lowest, highest]) {
  if (label === null) {
    const output = outputs[column.key];
    const strength = highest > lowest ? (output - lowest) / (highest - lowest) : 0.5;
    return { label, output, strength, colorIndex: column.index, result: formatNumberOf(column, output) };
  }
  const even = 1 / labels.length;
  const strength = Math.max(0, (probabilities[label] - even) / (1 - even)); // negative below a threshold
  return { label, strength, colorIndex: labels.indexOf(label), result: `${label} ${formatShortPercent(probabilities[label])}` };
}

/** The index of the alternative that a row has itself, -1 if it is not among them. */
export function findOwn(feature, alternatives, value) {
  const own = value ?? feature.default;
  if (own === null) return alternatives.findIndex(({ isMissing }) => isMissing);
  const known = alternatives.findIndex((each) => each.value === own);
  return known >= 0 || feature.categories.includes(own) ? known : alternatives.findIndex(({ isOther }) => isOther);
}
