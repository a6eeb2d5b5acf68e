/** The input of one feature: a text field, and a slider if its bounds are known. */

import { h } from "./dom.js";
import { isOptional, isWithinBounds } from "./features.js";
import {
  SLIDER_STEPS,
  createScale,
  featureTitle,
  formatExactly,
  formatMeasurement,
  formatValue,
  hasBounds,
  hasStepsOfOne,
  parseNumber,
  roundWithinBounds,
} from "./format.js";
import { formatNumberOf } from "./outputs.js";
import { createMissingButton, createRow, describeMeasuring, describeValues, showResult } from "./row_parts.js";
import { paintTrack } from "./track.js";

const MIN_FIELD_LENGTH = 6; // characters

/** Calls `onInput` with the feature's name and a value, or null, and `onHover` with its name, or null. */
export class SliderRow {
  #onInput;
  #labels;
  #scale;
  #steps;
  #missingButton;
  #last = null; // the last value that was not missing
  #value = null;
  #sweep = null;
  #warning = null; // `{label, text, range}` while the value lies outside the training range
  #range = null; // the training range
  #error = null;
  #shown; // what the hint depends on, to skip updates that change nothing

  /** @param {string[]} labels those of a single classification; the tracks of other models show curves */
  constructor(feature, index, labels, { onInput, onHover }) {
    this.feature = feature;
    this.#labels = labels;
    this.#onInput = onInput;
    const id = `feature-${index}`;
    const inputMode = feature.kind === "integer" ? "numeric" : "decimal";
    this.field = h("input", { id, type: "text", inputMode, autocomplete: "off", size: 7 });
    this.field.setAttribute("aria-describedby", `${id}-hint ${id}-help`);
    this.field.addEventListener("input", () => this.#onType());
    this.field.addEventListener("change", () => this.#onLeave());
    this.#missingButton = isOptional(feature) ? createMissingButton(feature, () => this.#toggleMissing()) : null;
    const controls = [this.field, h("span", { className: "unit", title: feature.unit }, feature.unit)];
    const track = hasBounds(feature) ? this.#createTrack(id, featureTitle(feature)) : null;
    const line = track && this.#missingButton ? h("div", { className: "track-line" }, track, this.#missingButton) : track;
    if (!track && this.#missingButton) controls.unshift(this.#missingButton);
    Object.assign(this, createRow(feature, id, controls, line, onHover));
    this.element.classList.toggle("without-slider", !track);
  }

  #createTrack(id, title) {
    this.#scale = createScale(this.feature);
    const { minimum, maximum } = this.feature;
    this.#steps = hasStepsOfOne(this.feature) ? Math.max(1, maximum - minimum) : SLIDER_STEPS;
    this.slider = h("input", { type: "range", min: 0, max: this.#steps, step: 1 });
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
      this.#error = `${Number.isNaN(value) ? "Not a number: enter" : "Enter"} ${describeValues(this.feature)}.`;
      this.#showHint();
    }
  }

  #toggleMissing() {
    const value = this.#value === null ? (this.#last ?? this.#sliderValue) : null;
    setText(this.field, formatForField(value));
    this.#emit(value);
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
    if (this.#missingButton) {
      this.#last = value ?? this.#last;
      this.#missingButton.setAttribute("aria-pressed", value === null);
      this.field.placeholder = value === null ? formatMeasurement(this.feature, null) : "";
    }
    if (!isSameValue(this.field.value, value)) setText(this.field, formatForField(value));
    if (!this.slider) return;
    const shown = value ?? this.feature.default ?? this.#last;
    if (this.#sliderValue !== shown)
      this.slider.value = shown === null ? this.#steps / 2 : Math.round(this.#steps * this.#scale(shown));
    const isUnknown = value === null && !this.#missingButton;
    this.slider.setAttribute("aria-valuetext", isUnknown ? "not measured" : formatMeasurement(this.feature, value));
  }

  get #sliderValue() {
    return this.slider ? roundWithinBounds(this.feature, this.#scale.invert(this.slider.value / this.#steps)) : 0;
  }

  /**
   * @param {object|null} sweep what the prediction would be for other values, as `Sliders` prepares it
   * @param {number[]|null} range the training range
   * @param {object|null} warning if the value lies outside of that: `{label, text}`, the label that has this range or ""
   * if all have, and what is unusual about the value
   */
  show(sweep, range, warning) {
    this.#sweep = sweep;
    this.#range = range;
    this.#warning = warning && { ...warning, range };
    if (this.#missingButton) showResult(this.#missingButton, sweep?.missing);
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
    else if (value === null && !this.#missingButton) this.hint.replaceChildren(describeMeasuring(this.feature));
    else if (warning) this.hint.replaceChildren(...this.#renderWarning(warning));
    else if (ends) this.hint.replaceChildren(...renderEnds(ends));
    else this.hint.replaceChildren(this.#renderChange("below", below), this.#renderChange("above", above));
  }

  #renderWarning({ label, text, range }) {
    if (this.#value === null) return [text];
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
    const word = this.feature.kind === "integer" ? { below: "up to", above: "from" }[side] : side; // it holds at that value too
    return h("span", { className: side }, chip, ` ${word} ${formatValue(this.feature, at)}`);
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
