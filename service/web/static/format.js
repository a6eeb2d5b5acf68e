/** Numbers and names as text for people, text as numbers, and the scale of a feature's slider. */

import { scaleLinear, scaleLog } from "./vendor/d3.js";

const LOG_SCALE_RATIO = 100; // a feature whose bounds are further apart than this factor has a logarithmic slider

/** A number with three significant digits, or more where the integer part is longer: 0.0123, 61.5, 1234. */
export function formatNumber(value, digits = 3) {
  if (value === 0) return "0";
  const exponent = Math.floor(Math.log10(Math.abs(value)));
  if (exponent < -4) return value.toExponential(digits - 1).replace("-", "−");
  const rounded = Number(value.toFixed(Math.max(0, digits - 1 - exponent)));
  return String(rounded).replace("-", "−");
}

/** A number with two decimals: all have the same width, so columns stay aligned while values change. */
export function formatFixed(value, decimals = 2) {
  const text = value.toFixed(decimals);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
}

/** A signed number: +0.31, −0.20. */
export function formatSigned(value, decimals = 2) {
  const text = formatFixed(value, decimals);
  return text.startsWith("−") || Number(text) === 0 ? text : `+${text}`;
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

/** A value and its unit, joined by a no-break space. */
export function formatMeasurement(feature, value) {
  return feature.unit ? `${formatNumber(value)}\u00a0${feature.unit}` : formatNumber(value);
}

/** `body_mass_kg` as "Body mass", without the unit. */
export function featureTitle(feature) {
  const words = feature.name.split(/[_\s]+/).filter(Boolean);
  const unit = feature.unit.toLowerCase().replace(/[^a-z0-9]/g, "");
  if (words.length > 1 && unit && words.at(-1).toLowerCase() === unit) words.pop();
  return capitalize(words.join(" "));
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
  const create = minimum > 0 && maximum / minimum > LOG_SCALE_RATIO ? scaleLog : scaleLinear;
  return create().domain([minimum, maximum]).range([0, 1]).clamp(true);
}

/** A value from a slider, rounded to three significant digits and kept within the bounds. */
export function roundWithinBounds(feature, value) {
  const rounded = Number(value.toPrecision(3));
  return Math.min(feature.maximum, Math.max(feature.minimum, rounded));
}

/** The number in a text, NaN if there is none; a decimal comma is accepted. */
export function parseNumber(text) {
  const normalized = text.trim().replace(",", ".").replace("−", "-");
  return normalized === "" ? NaN : Number(normalized);
}
