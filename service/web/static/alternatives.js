/** The alternatives of a category: what the prediction would be for each of its other values. */

import { formatNumberOf } from "./outputs.js";
import { categoryType, isCategory } from "./features.js";
import { formatShortPercent } from "./format.js";

export const OTHER = "(other)";

/**
 * A sweep of a category as a list of `{value, name, isMissing, isOther, colorIndex, strength, label, result}`, where the strength is
 * from 0 to 1; the label is that which is predicted, of a single classification only.
 * @param {object} sweep as `/explain` has it
 * @param {string[]} labels of a single classification, else empty
 * @param {object} column the explained one
 * @param {number[]} domain the smallest and the largest value of the column
 */
export function createAlternatives(feature, sweep, labels, column, domain) {
  return sweep.values.map((given, index) => {
    const place = placeOf(feature, given);
    if (!labels.length) return { ...place, ...describeOutput(sweep.outputs[column.key][index], column, domain) };
    const label = sweep.labels[index];
    const share = sweep.probabilities[label][index];
    const lowest = 1 / labels.length;
    const strength = Math.max(0, (share - lowest) / (1 - lowest)); // negative below a threshold
    return { ...place, label, strength, colorIndex: labels.indexOf(label), result: `${label} ${formatShortPercent(share)}` };
  });
}

function describeOutput(output, column, [lowest, highest]) {
  const strength = highest > lowest ? (output - lowest) / (highest - lowest) : 0.5;
  return { label: null, output, strength, colorIndex: column.index, result: formatNumberOf(column, output) };
}

/** The value, its name, and whether it stands for all values that are not known. */
function placeOf(feature, given) {
  if (given === null) return { value: null, name: "missing", isMissing: true };
  const isOther = given === OTHER && !feature.categories.includes(given);
  return { value: isOther ? null : given, name: isOther ? "another value" : String(given), isOther };
}

/** The index of the alternative that a row has itself, -1 if none. */
export function findOwn(feature, alternatives, value) {
  const own = value ?? feature.default;
  const known = alternatives.findIndex((each) => each.value === own && !each.isOther);
  return known >= 0 || own === null ? known : alternatives.findIndex(({ isOther }) => isOther);
}
