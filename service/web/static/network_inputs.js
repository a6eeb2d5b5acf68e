/** The columns of numbers that a network takes: the measurements, or what a model's encoders make of them. */

import { featureTitle, formatMeasurement, formatNumber } from "./format.js";

/**
 * `{name, feature, part, text}` in the order of the features: the feature is an index, the part is what of it the column
 * stands for ("Biscoe"), null for a number as it is.
 * @param {object[]|undefined} encoded of an explanation; models of numbers only have none
 */
export function findColumns(encoded, model) {
  if (!encoded) return model.features.map(({ name }, feature) => createColumn(name, feature, null, model));
  return encoded.flatMap(({ feature: name, columns }, feature) =>
    Object.keys(columns).map((column) => createColumn(column, feature, findPart(column, name), model)),
  );
}

/** What the service adds to the feature's name in that of a column: "island: Biscoe", "mass is missing", "word [2]". */
function findPart(column, name) {
  if (column === name) return null;
  return column.slice(name.length).replace(/^: |^ is |^ /, "");
}

function createColumn(name, feature, part, model) {
  const title = featureTitle(model.features[feature]);
  return { name, feature, part, text: part === null ? title : `${title}: ${part}` };
}

/** The values of all columns of an explanation by their names; of models of numbers only, those of the features. */
export function columnValues({ encoded, features }) {
  return encoded ? Object.assign({}, ...encoded.map(({ columns }) => columns)) : features;
}

/**
 * The entry in `encoded` of a feature with another value, null if only the service can encode that: a category, a missing
 * value, or a number that has further columns, for the range that it falls in.
 */
export function encodeNumber({ feature: name, columns }, value) {
  const known = { [name]: Math.fround(value), [`${name} is missing`]: 0 };
  const names = Object.keys(columns);
  if (typeof value !== "number" || !names.every((column) => column in known)) return null;
  return { feature: name, value, columns: Object.fromEntries(names.map((column) => [column, known[column]])) };
}

/** How an input node got its number: "island = Biscoe → 1". */
export function describeEncoding({ measured, inputName }, explanation) {
  const value = explanation.features[measured.name];
  const shown = formatMeasurement(measured, value);
  const isMissing = value === null && measured.default === null;
  return `${measured.name} ${isMissing ? "is" : "="} ${shown} → ${formatNumber(columnValues(explanation)[inputName])}`;
}
