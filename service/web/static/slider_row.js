/** The input of one feature: a text field, and a slider if its bounds are known. */

import { h } from "./dom.js";
import {
  capitalize,
  createScale,
  featureTitle,
  formatExactly,
  formatMeasurement,
  formatValue,
  hasBounds,
  isWithinBounds,
  parseNumber,
  roundWithinBounds,
} from "./format.js";
import { formatNumberOf } from "./outputs.js";
import { paintTrack } from "./track.js";

const STEPS = 1000; // positions of a slider
const MIN_FIELD_LENGTH = 6; // characters

/** Calls `onInput` with the feature's name and a value, or null, and `onHover` with its name, or null. */
export class SliderRow {
  #onInput;
  #labels;
  #scale;
  #value = null;
  #sweep = null;
  #warning = null; // `{label, range}` while the value lies outside the training range
  #range = null; // the training range
  #error = null;
  #shown; // what the hint depends on, to skip updates that change nothing

  /** @param {string[]} labels those of a single classification; the tracks of other models show curves */
  constructor(feature, index, labels, { onInput, onHover }) {
    this.feature = feature;
    this.#labels = labels;
    this.#onInput = onInput;
    const id = `feature-${index}`;
    const title = featureTitle(feature);
    this.field = h("input", { id, type: "text", inputMode: "decimal", autocomplete: "off", size: 7 });
    this.field.setAttribute("aria-describedby", `${id}-hint ${id}-help`);
    this.field.addEventListener("input", () => this.#onType());
    this.field.addEventListener("change", () => this.#onLeave());
    this.hint = h("p", { className: "hint", id: `${id}-hint` });
    const help = h("p", { className: "help", id: `${id}-help`, hidden: true }, describeMeasuring(feature));
    this.head = h(
      "div",
      { className: "row-head" },
      h("label", { htmlFor: id, title: feature.name }, title),
      createHelpButton(title, help),
      this.field,
      h("span", { className: "unit", title: feature.unit }, feature.unit),
    );
    this.element = h(
      "div",
      { className: "row", onpointerenter: () => onHover(feature.name), onpointerleave: () => onHover(null) },
      this.head,
      ...(hasBounds(feature) ? [this.#createTrack(id, title)] : []),
      this.hint,
      help,
    );
    this.element.classList.toggle("without-slider", !hasBounds(feature));
  }

  #createTrack(id, title) {
    this.#scale = createScale(this.feature);
    this.slider = h("input", { type: "range", min: 0, max: STEPS, step: 1 });
    this.slider.setAttribute("aria-label", `${title}, slider`);
    this.slider.setAttribute("aria-describedby", `${id}-hint`);
    this.slider.addEventListener("input", () => this.#onSlide());
    this.canvas = h("canvas", { "aria-hidden": "true" });
    return h("div", { className: "track" }, this.canvas, this.slider);
  }

  #onSlide() {
    setText(this.field, formatForField(this.#sliderValue));
    this.#emit(this.#sliderValue);
  }

  #onType() {
    fitWidth(this.field);
    const value = parseNumber(this.field.value);
    const isEmpty = this.field.value.trim() === "";
    if (isEmpty || isWithinBounds(this.feature, value)) {
      this.#emit(isEmpty ? null : value);
    } else {
      this.#error = `${Number.isNaN(value) ? "Not a number: enter" : "Enter"} ${describeBounds(this.feature)}.`;
      this.#showHint();
    }
  }

  /** A field that is left with an invalid text returns to the current value. */
  #onLeave() {
    this.#error = null;
    setText(this.field, formatForField(this.#value));
    this.#showHint();
  }

  #emit(value) {
    this.#error = null;
    this.#onInput(this.feature.name, value);
  }

  /** Shows a value that changed elsewhere, without overwriting a text that already means the same. */
  setValue(value) {
    this.#value = value;
    this.element.classList.toggle("empty", value === null);
    if (!isSameValue(this.field.value, value)) setText(this.field, formatForField(value));
    if (!this.slider) return;
    if (this.#sliderValue !== value)
      this.slider.value = value === null ? STEPS / 2 : Math.round(STEPS * this.#scale(value));
    this.slider.setAttribute("aria-valuetext", value === null ? "not measured" : formatMeasurement(this.feature, value));
  }

  get #sliderValue() {
    return roundWithinBounds(this.feature, this.#scale.invert(this.slider.value / STEPS));
  }

  /**
   * @param {object|null} sweep what the prediction would be for other values, as `Sliders` prepares it
   * @param {number[]|null} range the training range
   * @param {string|null} warnedLabel if the value lies outside of that: the label that has this range, "" if all have
   */
  show(sweep, range, warnedLabel) {
    this.#sweep = sweep;
    this.#range = range;
    this.#warning = warnedLabel === null ? null : { label: warnedLabel, range };
    this.#showHint();
  }

  #showHint() {
    const [value, sweep, warning, error] = [this.#value, this.#sweep, this.#warning, this.#error];
    const { below, above } = sweep?.changes ?? {};
    const ends = sweep?.curve && [sweep.curve[0], sweep.curve.at(-1)].map((end) => formatNumberOf(sweep.column, end));
    const shown = JSON.stringify([error, value === null, warning?.label, below, above, ends]);
    if (shown === this.#shown) return; // most values that a slider passes change nothing here
    this.#shown = shown;
    this.element.classList.toggle("warned", Boolean(warning) && !error);
    this.element.classList.toggle("invalid", Boolean(error));
    this.field.setAttribute("aria-invalid", Boolean(error));
    if (error) this.hint.replaceChildren(error);
    else if (value === null) this.hint.replaceChildren(describeMeasuring(this.feature));
    else if (warning) this.hint.replaceChildren(...this.#renderWarning(warning));
    else if (ends) this.hint.replaceChildren(...renderEnds(ends));
    else this.hint.replaceChildren(this.#renderChange("below", below), this.#renderChange("above", above));
  }

  #renderWarning({ label, range }) {
    const ends = range.map((end) => formatValue(this.feature, end)).join(" to ");
    return [
      h("span", { className: "hint-label", title: label }, label ? `Training range of ${label}` : "Training range"),
      h("span", { className: "hint-range" }, `: ${ends}`),
      h("span", { className: "hint-unit" }, `\u00a0${this.feature.unit}`),
    ];
  }

  #renderChange(side, change) {
    if (!change) return "";
    const { label, at } = change;
    const chip = h("span", { className: "chip", "data-label": this.#labels.indexOf(label) % 8, title: label }, label);
    return h("span", { className: side }, chip, ` ${side} ${formatValue(this.feature, at)}`);
  }

  paint(styles) {
    if (!this.canvas) return;
    const isCurve = !this.#labels.length;
    paintTrack(this.canvas, { scale: this.#scale, sweep: this.#sweep, range: this.#range, isCurve }, styles);
  }

  /** The vertical centre of the track, or of the field if there is no track, in px below the top of the window. */
  get center() {
    const box = (this.canvas?.parentElement ?? this.field).getBoundingClientRect();
    return box.top + box.height / 2;
  }
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

/** What the explained output would be at the lower and at the upper bound. */
function renderEnds([low, high]) {
  return [h("span", { className: "below" }, low), h("span", { className: "above" }, high)];
}

/** A value as text for its field. */
function formatForField(value) {
  return value === null ? "" : formatExactly(value);
}

function setText(field, text) {
  field.value = text;
  fitWidth(field);
}

/** Makes a field as wide as its text: a part of a number would look like another number. */
function fitWidth(field) {
  field.style.setProperty("--length", `${Math.max(MIN_FIELD_LENGTH, field.value.length)}ch`);
}

/** Whether the text of a field already means the value. */
function isSameValue(text, value) {
  return text.trim() === "" ? value === null : parseNumber(text) === value;
}

function describeBounds(feature) {
  if (!hasBounds(feature)) return `any number${feature.unit ? `, in ${feature.unit}` : ""}`;
  return `a number from ${formatValue(feature, feature.minimum)} to ${formatMeasurement(feature, feature.maximum)}`;
}

function describeMeasuring(feature) {
  return capitalize(feature.how || describeBounds(feature));
}
