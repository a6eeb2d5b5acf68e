/** The input of a category: a list to choose from, or a text field with suggestions where the list is long or open. */

import { findOwn } from "./alternatives.js";
import { h } from "./dom.js";
import { categoryType, exampleOfOther, indexOfCategory, isOptional, parseCategory, typicalCategory } from "./features.js";
import { featureTitle, formatMeasurement } from "./format.js";
import { createMissingButton, createRow, describeMeasuring, describeValues, showResult } from "./row_parts.js";
import { paintAlternatives } from "./track.js";

const MAX_OPTIONS = 30; // categories of a list; of more, a text field suggests some
const MAX_SUGGESTIONS = 50;
const MAX_NAMES_LENGTH = 18; // characters of the names of alternatives in a hint
const [OTHER, MISSING] = ["other", "missing"]; // options beside the categories, which have their index

/** As `SliderRow`: calls `onInput` with the feature's name and a value, and `onHover` with its name, or null. */
export class CategoryRow {
  #onInput;
  #value = null;
  #last = null; // the last value that was not missing
  #select = null;
  #field = null; // for any value, or for one that is not in the list
  #suggestions = null;
  #missingButton = null;
  #alternatives = null;
  #warning = null;
  #error = null;
  #shown; // what the hint and the list depend on, to skip updates that change nothing

  constructor(feature, index, { onInput, onHover }) {
    this.feature = feature;
    this.#onInput = onInput;
    const id = `feature-${index}`;
    const hasList = feature.categories.length > 0 && feature.categories.length <= MAX_OPTIONS;
    if (hasList) this.#createSelect(id);
    else this.#createField(id, `${id}-suggestions`);
    const control = this.#select ?? this.#field;
    control.classList.add("category-value");
    control.setAttribute("aria-describedby", `${id}-hint ${id}-help`);
    const beside = hasList ? this.#field : this.#missingButton;
    const track = feature.hashing ? null : this.#createTrack();
    const line = track && beside ? h("div", { className: "track-line" }, track, beside) : track;
    Object.assign(this, createRow(feature, id, [...(track || !beside ? [] : [beside]), control, this.#suggestions], line, onHover));
    this.element.classList.toggle("without-slider", !track);
    this.element.classList.add("category");
  }

  /** A click on it chooses an alternative, as the list does for the keyboard. */
  #createTrack() {
    this.canvas = h("canvas", { "aria-hidden": "true", onclick: (event) => this.#pick(this.#alternativeAt(event)) });
    this.canvas.addEventListener("pointermove", (event) => (this.canvas.title = describeAlternative(this.#alternativeAt(event))));
    return h("div", { className: "track" }, this.canvas);
  }

  #createSelect(id) {
    const { categories, allow_other: allowsOther, allow_missing: allowsMissing } = this.feature;
    const options = [
      h("option", { value: "", hidden: true, disabled: true }, "choose …"),
      ...categories.map((category, index) => h("option", { value: index }, String(category))),
      ...(allowsOther ? [h("option", { value: OTHER }, "another value …")] : []),
      ...(allowsMissing ? [h("option", { value: MISSING }, "missing")] : []),
    ];
    this.#select = h("select", { id, onchange: () => this.#onSelect() }, ...options);
    if (!allowsOther) return;
    this.#field = this.#createTextField(`${id}-other`);
    this.#field.hidden = true;
    this.#field.setAttribute("aria-label", `${featureTitle(this.feature)}: another value`);
  }

  #createField(id, listId) {
    this.#field = this.#createTextField(id);
    if (isOptional(this.feature)) this.#missingButton = createMissingButton(this.feature, () => this.#toggleMissing());
    if (!this.feature.categories.length) return;
    this.#suggestions = h("datalist", { id: listId });
    this.#field.setAttribute("list", listId);
    this.#field.addEventListener("focus", () => this.#field.select());
    this.#suggest("");
  }

  #createTextField(id) {
    const isNumber = categoryType(this.feature) === "number";
    const field = h("input", { id, type: "text", inputMode: isNumber ? "numeric" : "text", autocomplete: "off", spellcheck: false, size: 7 });
    field.addEventListener("input", () => this.#onType());
    field.addEventListener("change", () => this.#onLeave());
    return field;
  }

  #onSelect() {
    const { value } = this.#select;
    if (value !== OTHER) return this.#emit(value === MISSING ? null : this.feature.categories[Number(value)]);
    this.#emit(exampleOfOther(this.feature));
    this.#field.focus();
    this.#field.select();
  }

  #onType() {
    const text = this.#field.value;
    this.#suggest(text);
    const value = text === "" ? null : parseCategory(this.feature, text);
    if (value !== null || (text === "" && !this.#select)) return this.#emit(value);
    this.#error = `Not known: enter ${describeValues(this.feature)}.`;
    this.#update();
  }

  /** A field that is left with an invalid text returns to the current value. */
  #onLeave() {
    this.#error = null;
    this.#showValue();
    this.#update();
  }

  #toggleMissing() {
    this.#emit(this.#value === null ? (this.#last ?? typicalCategory(this.feature)) : null);
  }

  #pick(alternative) {
    if (!alternative) return;
    this.#emit(alternative.isOther ? exampleOfOther(this.feature) : alternative.value);
  }

  #emit(value) {
    this.#error = null;
    this.#onInput(this.feature.name, value);
  }

  /** Suggests the categories that contain a text; the browser would take long to search thousands. */
  #suggest(text) {
    if (!this.#suggestions) return;
    const query = text.trim().toLowerCase();
    const matches = [];
    for (const category of this.feature.categories) {
      if (String(category).toLowerCase().includes(query)) matches.push(category);
      if (matches.length === MAX_SUGGESTIONS) break;
    }
    const results = new Map((this.#alternatives ?? []).map(({ value, result }) => [value, result]));
    this.#suggestions.replaceChildren(...matches.map((value) => h("option", { value: String(value), label: results.get(value) })));
  }

  /** Shows a value that changed elsewhere, without overwriting a text that already means the same. */
  setValue(value) {
    this.#value = value;
    this.#last = value ?? this.#last;
    this.element.classList.toggle("empty", value === null && !isOptional(this.feature));
    this.#missingButton?.setAttribute("aria-pressed", value === null);
    this.#showValue();
  }

  #showValue() {
    const isFocused = document.activeElement === this.#field;
    if (this.#select) {
      if (isFocused) return; // a known value may be the beginning of another one
      const [value, isOther] = this.#option;
      this.#select.value = value;
      if (this.#field) this.#field.hidden = !isOther;
      if (!isOther) return;
    }
    const isSame = this.#field.value !== "" && parseCategory(this.feature, this.#field.value) === this.#value;
    if (!isFocused || !isSame) this.#field.value = this.#value ?? "";
    this.#field.placeholder = this.#value === null && isOptional(this.feature) ? formatMeasurement(this.feature, null) : "";
  }

  /** The value of the option that is chosen, and whether that is the one for other values. */
  get #option() {
    const index = indexOfCategory(this.feature, this.#value);
    if (index >= 0) return [index, false];
    if (this.#value !== null) return [OTHER, true];
    return [this.feature.allow_missing ? MISSING : "", false];
  }

  /**
   * @param {object[]|null} alternatives of `createAlternatives`
   * @param {null} _ a category has no range
   * @param {object|null} warning `{text}`: why the prediction may be unreliable for this value
   */
  show(alternatives, _, warning) {
    this.#alternatives = alternatives;
    this.#warning = warning;
    this.#update();
  }

  #update() {
    const [alternatives, warning, error, isEmpty] = [this.#alternatives, this.#warning, this.#error, this.element.classList.contains("empty")];
    const results = alternatives?.map(({ result }) => result);
    const shown = JSON.stringify([error, isEmpty, warning, this.#value, results]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.element.classList.toggle("warned", Boolean(warning) && !error);
    this.element.classList.toggle("invalid", Boolean(error));
    this.#field?.setAttribute("aria-invalid", Boolean(error));
    this.#nameOptions();
    if (this.#missingButton) showResult(this.#missingButton, alternatives?.find(({ isMissing }) => isMissing));
    if (error) this.hint.replaceChildren(error);
    else if (isEmpty) this.hint.replaceChildren(describeMeasuring(this.feature));
    else if (warning) this.hint.replaceChildren(h("span", { className: "hint-text", title: warning.text }, warning.text));
    else this.hint.replaceChildren(...this.#renderAlternatives());
  }

  /** Writes the result of each alternative beside its name in the list. */
  #nameOptions() {
    if (!this.#select) return;
    const [chosen] = this.#option;
    for (const option of this.#select.options) {
      const found = this.#alternatives?.find((each) => String(optionOf(this.feature, each)) === option.value);
      option.dataset.name ??= option.textContent;
      const text = found && option.value !== String(chosen) ? `${option.dataset.name}: ${found.result}` : option.dataset.name;
      if (option.textContent !== text) option.textContent = text;
    }
  }

  #renderAlternatives() {
    const alternatives = this.#alternatives;
    if (!alternatives?.length) return [];
    return alternatives[0].label === null ? renderExtremes(alternatives) : renderLabels(alternatives, this.#own);
  }

  get #own() {
    return this.#alternatives ? findOwn(this.feature, this.#alternatives, this.#value) : -1;
  }

  #alternativeAt({ offsetX }) {
    const count = this.#alternatives?.length ?? 0;
    return this.#alternatives?.[Math.min(count - 1, Math.max(0, Math.floor((count * offsetX) / this.canvas.clientWidth)))];
  }

  paint(styles) {
    if (this.canvas) paintAlternatives(this.canvas, this.#alternatives ?? [], this.#own, styles);
  }

  /** The vertical centre of the track, or of the field if there is no track, in px below the top of the window. */
  get center() {
    const box = (this.canvas?.parentElement ?? this.#field).getBoundingClientRect();
    return box.top + box.height / 2;
  }
}

/** The value of the option for an alternative. */
function optionOf({ categories }, { value, isOther, isMissing }) {
  if (isOther) return OTHER;
  return isMissing ? MISSING : categories.indexOf(value);
}

/** The other labels that would be predicted, each with the values for which it would. */
function renderLabels(alternatives, own) {
  const byLabel = new Map();
  for (const each of alternatives) if (each.label !== alternatives[own]?.label) byLabel.set(each.label, [...(byLabel.get(each.label) ?? []), each]);
  return [...byLabel.values()].map((same) => {
    const [{ label, colorIndex }] = same;
    const names = fitting(same.map(({ name }) => name));
    const rest = same.length - names.length;
    const list = `${names.join(", ")}${rest ? ` and ${rest} more` : ""}`;
    const chip = h("span", { className: "chip", "data-label": colorIndex % 8, title: label }, label);
    return h("span", { className: "alternative", title: `${label}: ${list}` }, chip, ` if ${list}`);
  });
}

/** The first of several names, as many as a hint has room for. */
function fitting(names) {
  let length = names[0].length;
  const count = names.findIndex((name, index) => index > 0 && (length += name.length + 2) > MAX_NAMES_LENGTH);
  return count < 0 ? names : names.slice(0, count);
}

/** The alternatives with the smallest and with the largest output. */
function renderExtremes(alternatives) {
  const sorted = [...alternatives].sort((a, b) => a.output - b.output);
  return [sorted[0], sorted.at(-1)].map((each) => h("span", { className: "alternative" }, `${each.name}: ${each.result}`));
}

function describeAlternative(alternative) {
  return alternative ? `${alternative.name}: ${alternative.result}` : "";
}
