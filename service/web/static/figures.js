/** Numbers and names as a person reads them, and values as places on a track. */

import { scaleLinear, scaleLog } from "./vendor/d3.js";

const DECADES = 100; // a feature whose bounds are further apart than this factor gets a logarithmic track

/** A number with three significant digits, or more where the integer part is longer: 0.0123, 61.5, 1234. */
export function number(value, digits = 3) {
  if (value === 0) return "0";
  const size = Math.floor(Math.log10(Math.abs(value)));
  if (size < -4) return value.toExponential(digits - 1).replace("-", "−");
  const rounded = Number(value.toFixed(Math.max(0, digits - 1 - size)));
  return String(rounded).replace("-", "−");
}

/** A number of the network with two decimals: all of one width, so that columns and moving figures stand still. */
export function fixed(value, decimals = 2) {
  const said = value.toFixed(decimals);
  return (Number(said) === 0 ? said.replace("-", "") : said).replace("-", "−");
}

/** A signed number: +0.31, −0.20. */
export function signed(value, decimals = 2) {
  const said = fixed(value, decimals);
  return said.startsWith("−") || Number(said) === 0 ? said : `+${said}`;
}

/** A probability in per cent, never rounded up to certainty. */
export function percent(share) {
  if (share > 0.9999) return share === 1 ? "100 %" : "> 99.99 %";
  if (share < 0.0001) return share === 0 ? "0 %" : "< 0.01 %";
  return `${(100 * share).toFixed(share > 0.99 || share < 0.01 ? 2 : 1)} %`;
}

/** The same where there is little room. */
export function shortPercent(share) {
  if (share > 0.995 && share < 1) return ">99%";
  if (share < 0.005 && share > 0) return "<1%";
  return `${Math.round(100 * share)}%`;
}

/** A value with its unit, unbroken. */
export function measure(feature, value) {
  return feature.unit ? `${number(value)}\u00a0${feature.unit}` : number(value);
}

/** `body_mass_kg` as "Body mass": the unit stands elsewhere. */
export function title(feature) {
  const words = feature.name.split(/[_\s]+/).filter(Boolean);
  const unit = feature.unit.toLowerCase().replace(/[^a-z0-9]/g, "");
  if (words.length > 1 && unit && words.at(-1).toLowerCase() === unit) words.pop();
  const said = words.join(" ");
  return said.charAt(0).toUpperCase() + said.slice(1);
}

/** `hidden_1` as "hidden 1". */
export function spaced(name) {
  return name.replaceAll("_", " ");
}

/** How many characters the longest of some texts has. */
export function longest(texts) {
  return Math.max(...texts.map(({ length }) => length));
}

/** A scale from a feature's bounds to 0..1, logarithmic where they span decades. */
export function track(feature) {
  const { minimum, maximum } = feature;
  const kind = minimum > 0 && maximum / minimum > DECADES ? scaleLog : scaleLinear;
  return kind().domain([minimum, maximum]).range([0, 1]).clamp(true);
}

/** A value off a track, rounded to what a hand can place, within the bounds. */
export function settle(feature, value) {
  const rounded = Number(value.toPrecision(3));
  return Math.min(feature.maximum, Math.max(feature.minimum, rounded));
}

/** What a person typed as a number, NaN if it is none; a decimal comma is one too. */
export function typed(text) {
  const said = text.trim().replace(",", ".").replace("−", "-");
  return said === "" ? NaN : Number(said);
}
