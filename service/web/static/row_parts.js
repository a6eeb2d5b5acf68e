/** What the rows of all measurements have: the name, how to measure it, a hint, and a button for a missing value. */

import { categoryType, isCategory } from "./features.js";
import { h } from "./dom.js";
import { capitalize, featureTitle, formatCount, formatMeasurement, formatValue, hasBounds } from "./format.js";

/**
 * The elements of a row, `{element, hint}`.
 * @param {Element[]} controls beside the name
 * @param {Element|null} track below it
 * @param {(name: string|null) => void} onHover
 */
export function createRow(feature, id, controls, track, onHover) {
  const title = featureTitle(feature);
  const hint = h("p", { className: "hint", id: `${id}-hint` });
  const help = h("p", { className: "help", id: `${id}-help`, hidden: true }, describeMeasuring(feature));
  const head = h(
    "div",
    { className: "row-head" },
    h("label", { htmlFor: id, title: feature.name }, title),
    createHelpButton(title, help),
    ...controls,
  );
  const element = h(
    "div",
    { className: "row", onpointerenter: () => onHover(feature.name), onpointerleave: () => onHover(null) },
    head,
    ...(track ? [track] : []),
    hint,
    help,
  );
  return { element, hint };
}

function createHelpButton(title, help) {
  const button = h("button", { type: "button", className: "help-button" }, "?");
  button.setAttribute("aria-label", `How to measure: ${title}`);
  button.setAttribute("aria-expanded", "false");
  button.addEventListener("click", () => {
    help.hidden = !help.hidden;
    button.setAttribute("aria-expanded", !help.hidden);
  });
  return button;
}

/** The button for a value that is missing, or for the default. */
export function createMissingButton(feature, onclick) {
  const text = feature.allow_missing ? "missing" : "default";
  const button = h("button", { type: "button", className: "missing-button", onclick }, text);
  button.setAttribute("aria-label", `${featureTitle(feature)}: ${text}`);
  button.setAttribute("aria-pressed", "false");
  return button;
}

/** Shows at a button what would be predicted; `null` if that is not known. */
export function showResult(button, entry) {
  button.title = entry ? `${button.textContent}: ${entry.result}` : "";
  if (entry) button.dataset.label = entry.colorIndex % 8;
  else delete button.dataset.label;
}

/** The valid values of a feature: "a number from 0 to 3 kg". */
export function describeValues(feature) {
  if (isCategory(feature)) return describeCategories(feature);
  const number = feature.kind === "integer" ? "whole number" : "number";
  if (!hasBounds(feature)) return `any ${number}${feature.unit ? `, in ${feature.unit}` : ""}`;
  return `a ${number} from ${formatValue(feature, feature.minimum)} to ${formatMeasurement(feature, feature.maximum)}`;
}

function describeCategories({ hashing, categories, allow_other: allowsOther, ...feature }) {
  const type = categoryType({ hashing, categories, ...feature });
  const any = type === "string" ? "any text" : "any whole number";
  if (hashing) return any;
  if (type === "boolean") return "true or false";
  const known = categories.length === 1 ? "the one known category" : `one of ${formatCount(categories.length, "known value")}`;
  return allowsOther ? `${known}, or ${any}` : known;
}

export function describeMeasuring(feature) {
  return capitalize(feature.how || describeValues(feature));
}
