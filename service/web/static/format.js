/** Numbers and names as text for people, text as numbers, and the scale of a feature's slider. */

import { scaleLinear, scaleLog } from "./vendor/d3.js";

const LOG_SCALE_RATIO = 100; // a feature whose bounds are further apart than this factor has a logarithmic slider
const [MIN_PLAIN, MAX_PLAIN] = [1e-4, 1e7]; // rounded numbers of other sizes are written with an exponent
export const SLIDER_STEPS = 1000; // positions of a slider, unless it has fewer whole numbers
const SNAKE_CASE = /^[a-z][a-z0-9]*(_[a-z0-9]+)+$/;
const DIGITS_WITHOUT_BOUNDS = 4; // of a value of which no usual range is known
export const FLOAT32_MAX = 3.4028234663852886e38; // the service accepts no larger number
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const [MIN_COMPACT, MAX_COMPACT] = [1e3, 1e15];
const MAX_PLAIN_LENGTH = 9; // characters; a longer number is written with an exponent if that is shorter

/** A number with three significant digits, or more where the integer part is longer: 0.0123, 61.5, 1234, 2.56e12. */
export function formatNumber(value, digits = 3) {
  const size = Math.abs(value);
  const isWhole = size >= 10 ** digits && size < MAX_PLAIN;
  const rounded = isWhole ? Math.round(value) : Number(value.toPrecision(digits));
  return size && (size < MIN_PLAIN || size >= MAX_PLAIN) ? formatScientific(rounded) : formatExactly(rounded);
}

/** A number with all of its digits. */
export function formatExactly(value) {
  const plain = String(value).replace("e+", "e").replaceAll("-", "−");
  const scientific = formatScientific(value);
  return plain.length > MAX_PLAIN_LENGTH && scientific.length < plain.length ? scientific : plain;
}

function formatScientific(value) {
  return value.toExponential().replace("e+", "e").replaceAll("-", "−");
}

/** A count with its noun: 1 measurement, 2 measurements. */
export function formatCount(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** A number with two decimals: all have the same width, so columns stay aligned while values change. */
export function formatFixed(value, decimals = 2) {
  const text = value.toFixed(decimals);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
}

/** A date and time as 29 Nov 2026, 12:07. */
export function formatTime(text) {
  return new Date(text).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

/** A signed number: +0.31, −0.20. */
export function formatSigned(value, decimals = 2) {
  const text = formatFixed(value, decimals);
  return text.startsWith("−") || Number(text) === 0 ? text : `+${text}`;
}

/** A signed number with three significant digits: +1230, −0.0412. */
export function formatSignedNumber(value) {
  return value > 0 ? `+${formatNumber(value)}` : formatNumber(value);
}

/** A number for a narrow place: two decimals if it is small, else three digits, as in 12.3 and 312K. */
export function formatCompact(value) {
  const size = Math.abs(value);
  if (size >= MAX_COMPACT) return formatScientific(Number(value.toPrecision(2)));
  return size >= MIN_COMPACT ? COMPACT.format(value).replace("-", "−") : formatFixed(value, size < 10 ? 2 : 1);
}

/** A probability in per cent, never rounded up to certainty. */
export function formatPercent(share) {
  if (share > 0.9999) return share === 1 ? "100 %" : "> 99.99 %";
  if (share < 0.0001) return share === 0 ? "0 %" : "< 0.01 %";
  return `${(100 * share).toFixed(share > 0.99 || share < 0.01 ? 2 : 1)} %`;
}

/** A probability in whole per cent, for narrow places. */
export function formatShortPercent(share) {
  if (share > 0.995 && share < 1) return ">99%";
  if (share < 0.005 && share > 0) return "<1%";
  return `${Math.round(100 * share)}%`;
}

/** A value and its unit, joined by a no-break space; of a category its name. */
export function formatMeasurement(feature, value) {
  if (value === null) return feature.default === null ? "missing" : formatMeasurement(feature, feature.default);
  if (feature.kind === "category") return String(value);
  const text = formatValue(feature, value);
  return feature.unit ? `${text}\u00a0${feature.unit}` : text;
}

/** A value of a feature, with as many digits as tell values within its bounds apart: seconds since 1970 need more. */
export function formatValue(feature, value) {
  return formatNumber(value, significantDigits(feature));
}

function significantDigits({ minimum, maximum }) {
  if (minimum === null || minimum === maximum) return DIGITS_WITHOUT_BOUNDS;
  const size = Math.max(Math.abs(minimum), Math.abs(maximum));
  return Math.min(17, 3 + Math.max(0, Math.floor(Math.log10(size / (maximum - minimum)))));
}

/** `body_mass_kg` as "Body mass", without the unit; a name that is not of this kind stays as it is. */
export function featureTitle(feature) {
  if (!SNAKE_CASE.test(feature.name)) return feature.name;
  const words = feature.name.split("_");
  const unit = feature.unit.toLowerCase().replace(/[^a-z0-9]/g, "");
  if (words.length > 1 && unit && words.at(-1).toLowerCase() === unit) words.pop();
  return words[0].length > 2 ? capitalize(words.join(" ")) : words.join(" ");
}

/** `hidden_1` as "hidden 1". */
export function spaced(name) {
  return name.replaceAll("_", " ");
}

export function capitalize(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The number of characters of the longest text. */
export function maxLength(texts) {
  return Math.max(...texts.map(({ length }) => length));
}

/** A scale from a feature's bounds to 0..1, logarithmic where they are far apart. */
export function createScale(feature) {
  const { minimum, maximum } = feature;
  const isLinear = hasStepsOfOne(feature) || minimum <= 0 || maximum / minimum <= LOG_SCALE_RATIO;
  const create = isLinear ? scaleLinear : scaleLog;
  return create().domain([minimum, maximum]).range([0, 1]).clamp(true);
}

/** Whether each position of a feature's slider is a whole number. */
export function hasStepsOfOne({ kind, minimum, maximum }) {
  return kind === "integer" && maximum - minimum <= SLIDER_STEPS;
}

/** `text`, or its beginning and an ellipsis if it is longer than so many characters. */
export function shorten(text, length) {
  return text.length > length ? `${text.slice(0, Math.max(1, length - 1))}…` : text;
}

/** A value from a slider, rounded to the significant digits of its feature and kept within the bounds. */
export function roundWithinBounds(feature, value) {
  const digits = Number(value.toPrecision(significantDigits(feature)));
  const rounded = feature.kind === "integer" ? Math.round(digits) : digits;
  return Math.min(feature.maximum ?? FLOAT32_MAX, Math.max(feature.minimum ?? -FLOAT32_MAX, rounded));
}

export function hasBounds({ minimum }) {
  return minimum !== null;
}

/** The number in a text, NaN if there is none; a decimal comma is accepted. */
export function parseNumber(text) {
  const normalized = text.trim().replace(",", ".").replaceAll("−", "-");
  return normalized === "" ? NaN : Number(normalized);
}
