/** A model's encoders in the browser, for the forward pass there: as `models/encoding.py`, for one value. */

import { isCategory } from "./features.js";

const NO_COLUMN = -1;

/**
 * The columns of a feature's value, with the encoders that `GET /model` has of this feature. Null if only the service can
 * tell: the hash of a text, or a table that it does not send.
 */
export function encodeValue(feature, encoders, value) {
  const code = toCode(feature, value ?? feature.default);
  if (code === null) return null;
  const columns = encoders.map((encoder) => encodeCode(encoder, feature, code));
  return columns.includes(null) ? null : columns.flat();
}

/** The number that stands for a value: NaN for a missing one, of a category its index; null if it is not known. */
function toCode(feature, value) {
  if (value === null) return NaN;
  if (!isCategory(feature)) return Math.fround(value);
  if (feature.hashing) return null;
  const index = feature.categories.indexOf(value);
  return index < 0 ? feature.categories.length : index;
}

function encodeCode(encoder, feature, code) {
  if (encoder.kind === "number") return encodeNumber(encoder, code);
  const entry = entryOf(encoder, feature, code);
  if (encoder.kind === "table") return encoder.table?.[entry]?.map(Math.fround) ?? null;
  const column = encoder.columns?.[entry] ?? null;
  if (encoder.kind !== "one_hot" || column === null) return null;
  return Array.from({ length: encoder.width }, (_, index) => Number(column !== NO_COLUMN && index === column));
}

function encodeNumber({ fill = null, indicator = false }, code) {
  const isMissing = Number.isNaN(code);
  if (isMissing && fill === null) return null;
  const number = isMissing ? Math.fround(fill) : code;
  return indicator ? [number, Number(isMissing)] : [number];
}

/** The index of a code, or of the bin that a number falls in; a missing value comes after all others. */
function entryOf({ boundaries = [] }, feature, code) {
  if (Number.isNaN(code)) return boundaries.length ? boundaries.length + 1 : feature.categories.length + feature.allow_other;
  return boundaries.length ? boundaries.filter((boundary) => Math.fround(boundary) <= code).length : code;
}
