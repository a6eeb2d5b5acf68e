/**
 * The features of a model: their kinds and their raw values. A number or an integer has numbers, a category has texts,
 * whole numbers or truth values; null is a missing value, or stands for the default.
 */

import { FLOAT32_MAX, hasBounds } from "./format.js";

const PLAIN = { kind: "number", categories: [], hashing: null, allow_other: false, allow_missing: false, default: null };
const WHOLE_NUMBER = /^[-+]?\d+$/;

/** A model with all fields of its features, of which the service leaves some out where all are numbers. */
export function withAllFields(model) {
  return { ...model, features: model.features.map((feature) => withWholeBounds({ ...PLAIN, ...feature })) };
}

function withWholeBounds(feature) {
  const { kind, minimum, maximum } = feature;
  return kind === "integer" && hasBounds(feature) ? { ...feature, minimum: Math.ceil(minimum), maximum: Math.floor(maximum) } : feature;
}

/** Whether the network takes other columns than the measurements themselves. */
export function isEncoded({ encoders, features }) {
  return Boolean(encoders?.length) || features.some((feature) => feature.kind !== "number" || isOptional(feature));
}

export function isCategory({ kind }) {
  return kind === "category";
}

/** Whether a value may be missing or have a default. */
export function isOptional(feature) {
  return feature.allow_missing || feature.default !== null;
}

/** Whether a category may have values that are not in a vocabulary. */
export function isOpen({ hashing, allow_other: allowsOther }) {
  return Boolean(hashing) || allowsOther;
}

/** The type of the categories: "string", "number" or "boolean". */
export function categoryType({ hashing, categories }) {
  if (hashing) return hashing.type === "text" ? "string" : "number";
  return typeof categories[0];
}

/** Whether the service accepts a value of a feature. */
export function isValid(feature, value) {
  if (value === null) return isOptional(feature);
  if (!isCategory(feature)) return typeof value === "number" && isWithinBounds(feature, value);
  const hasType = typeof value === categoryType(feature) && (typeof value !== "number" || Number.isSafeInteger(value));
  return hasType && (isOpen(feature) || feature.categories.includes(value));
}

/** Whether the service accepts a number of a feature. */
export function isWithinBounds({ kind, minimum, maximum }, value) {
  return (kind !== "integer" || Number.isInteger(value)) && value >= (minimum ?? -FLOAT32_MAX) && value <= (maximum ?? FLOAT32_MAX);
}

/** The category that a text means, null if there is none. */
export function parseCategory(feature, text) {
  const type = categoryType(feature);
  const isWhole = type === "number" && WHOLE_NUMBER.test(text.trim());
  const value = type === "string" ? text : isWhole ? Number(text) : (feature.categories.find((each) => String(each) === text) ?? null);
  return value !== null && isValid(feature, value) ? value : null;
}

/**
 * A value to begin with: the most frequent one of the training rows.
 * @param {number[]} [shares] of each category among the training rows
 */
export function typicalCategory({ hashing, categories }, shares = []) {
  if (hashing) return hashing.type === "text" ? "example" : 1; // which values are frequent is not known
  const known = shares.slice(0, categories.length);
  return categories[Math.max(0, known.indexOf(Math.max(...known)))];
}

/** A text or number that is not in the vocabulary, for "other". */
export function exampleOfOther(feature) {
  const isKnown = (value) => feature.categories.includes(value);
  if (categoryType(feature) === "number") return Math.max(0, ...feature.categories) + 1;
  return ["other", "another value", "something else"].find((value) => !isKnown(value)) ?? `not ${feature.categories[0]}`;
}

/** A value as text for the URL, where an empty text is null; texts that could be mistaken are in JSON's quotes. */
export function toText(value) {
  const isAmbiguous = typeof value === "string" && (value === "" || value.startsWith('"'));
  return isAmbiguous ? JSON.stringify(value) : String(value ?? "");
}

/** The value that `toText` has written, null if the service would not accept it. */
export function fromText(feature, text) {
  if (!text) return null;
  if (isCategory(feature)) return parseCategory(feature, text.startsWith('"') ? unquote(text) : text);
  return isValid(feature, Number(text)) ? Number(text) : null;
}

/** The index of a value in the vocabulary, -1 if it is not there. */
export function indexOfCategory({ categories, default: standard }, value) {
  return categories.indexOf(value ?? standard);
}

function unquote(text) {
  try {
    return String(JSON.parse(text));
  } catch {
    return text;
  }
}
