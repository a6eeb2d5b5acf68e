/** The inputs: a slider and a text field for each feature; the track shows the label that each value would get. */

import { h } from "./dom.js";
import {
  capitalize,
  createScale,
  featureTitle,
  formatExactly,
  formatMeasurement,
  formatValue,
  parseNumber,
  roundWithinBounds,
} from "./format.js";

const STEPS = 1000; // positions of a slider
const MIN_FIELD_LENGTH = 6; // characters
const TRACK_HEIGHT = 9; // px, the coloured part of a track; the line below it shows the training range

export class Sliders extends EventTarget {
  #rows;
  #labels;

  /** Emits `input` with `{name, value}` when a person sets a value, and `hover` with a feature's name or null. */
  constructor(container, model) {
    super();
    this.#labels = model.labels;
    this.#rows = model.features.map((feature, index) => this.#createRow(feature, index, model));
    container.append(...this.#rows.map((row) => row.element));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paintTracks());
  }

  #createRow(feature, index, model) {
    const id = `feature-${index}`;
    const row = {
      feature,
      scale: createScale(feature),
      ranges: model.reference.ranges,
      label: null,
      value: null,
      hasWarning: false,
      error: null,
      isHelpOpen: false,
    };
    row.field = h("input", { id, type: "text", inputMode: "decimal", autocomplete: "off", size: 7 });
    row.field.setAttribute("aria-describedby", `${id}-hint ${id}-help`);
    row.slider = h("input", { type: "range", min: 0, max: STEPS, step: 1 });
    row.slider.setAttribute("aria-label", `${featureTitle(feature)}, slider`);
    row.slider.setAttribute("aria-describedby", `${id}-hint`);
    row.canvas = h("canvas", { "aria-hidden": "true" });
    row.hint = h("p", { className: "hint", id: `${id}-hint` });
    row.help = h("p", { className: "help", id: `${id}-help`, hidden: true }, describeMeasuring(feature));
    row.helpButton = h(
      "button",
      { type: "button", className: "help-button", onclick: () => this.#toggleHelp(row) },
      "?",
    );
    row.helpButton.setAttribute("aria-label", `How to measure: ${featureTitle(feature)}`);
    row.helpButton.setAttribute("aria-expanded", "false");
    row.slider.addEventListener("input", () => this.#onSlide(row));
    row.field.addEventListener("input", () => this.#onType(row));
    row.field.addEventListener("change", () => this.#onLeave(row));
    row.element = h(
      "div",
      { className: "row", onpointerenter: () => this.#emitHover(feature), onpointerleave: () => this.#emitHover(null) },
      h(
        "div",
        { className: "row-head" },
        h("label", { htmlFor: id, title: feature.name }, featureTitle(feature)),
        row.helpButton,
        row.field,
        h("span", { className: "unit", title: feature.unit }, feature.unit),
      ),
      h("div", { className: "track" }, row.canvas, row.slider),
      row.hint,
      row.help,
    );
    return row;
  }

  #emitHover(feature) {
    this.dispatchEvent(new CustomEvent("hover", { detail: feature?.name ?? null }));
  }

  #toggleHelp(row) {
    row.isHelpOpen = !row.isHelpOpen;
    row.help.hidden = !row.isHelpOpen;
    row.helpButton.setAttribute("aria-expanded", row.isHelpOpen);
  }

  #onSlide(row) {
    const value = this.#sliderValue(row);
    setText(row.field, formatForField(value));
    this.#emit(row, value);
  }

  #onType(row) {
    fitWidth(row.field);
    const value = parseNumber(row.field.value);
    const { minimum, maximum } = row.feature;
    const isEmpty = row.field.value.trim() === "";
    if (isEmpty || (value >= minimum && value <= maximum)) {
      this.#emit(row, isEmpty ? null : value);
    } else {
      row.error = `${Number.isNaN(value) ? "Not a number: enter" : "Enter"} ${describeBounds(row.feature)}.`;
      this.#showHint(row);
    }
  }

  /** A field that is left with an invalid text returns to the current value. */
  #onLeave(row) {
    row.error = null;
    setText(row.field, formatForField(row.value));
    this.#showHint(row);
  }

  #emit(row, value) {
    row.error = null;
    this.dispatchEvent(new CustomEvent("input", { detail: { name: row.feature.name, value } }));
  }

  /** Shows values that changed elsewhere, without overwriting a text that already means the same. */
  setValues(values) {
    for (const row of this.#rows) {
      row.value = values[row.feature.name];
      row.element.classList.toggle("empty", row.value === null);
      if (!isSameValue(row.field.value, row.value)) setText(row.field, formatForField(row.value));
      if (this.#sliderValue(row) !== row.value) this.#moveSlider(row);
      row.slider.setAttribute(
        "aria-valuetext",
        row.value === null ? "not measured" : formatMeasurement(row.feature, row.value),
      );
    }
  }

  #sliderValue({ feature, scale, slider }) {
    return roundWithinBounds(feature, scale.invert(slider.value / STEPS));
  }

  #moveSlider(row) {
    row.slider.value = row.value === null ? STEPS / 2 : Math.round(STEPS * row.scale(row.value));
  }

  /** Shows the sweeps of an explanation; null removes them. */
  show(explanation) {
    for (const row of this.#rows) {
      const { name } = row.feature;
      row.sweep = explanation?.sweeps?.[name] ?? null;
      row.label = explanation?.prediction.label ?? null;
      row.hasWarning = explanation?.prediction.warnings.some((warning) => warning.startsWith(`${name} is `)) ?? false;
      this.#showHint(row);
    }
    this.paintTracks();
  }

  /** The vertical centres of the tracks, in px below `top`. */
  trackCenters(top) {
    return this.#rows.map(({ element }) => {
      const box = element.querySelector(".track").getBoundingClientRect();
      return box.top + box.height / 2 - top - 2;
    });
  }

  #showHint(row) {
    const { hint, feature, value, sweep, label, hasWarning, error } = row;
    const { below, above } = sweep?.changes ?? {};
    const format = (end) => formatValue(feature, end);
    const shown = JSON.stringify([error, value === null, hasWarning && label, below, above]);
    if (shown === row.shown) return; // most values that a slider passes change nothing here
    row.shown = shown;
    row.element.classList.toggle("warned", hasWarning && !error);
    row.element.classList.toggle("invalid", Boolean(error));
    row.field.setAttribute("aria-invalid", Boolean(error));
    if (error) hint.replaceChildren(error);
    else if (value === null) hint.replaceChildren(describeMeasuring(feature));
    else if (hasWarning)
      hint.replaceChildren(
        h("span", { className: "hint-label", title: label }, `Training range of ${label}`),
        h("span", { className: "hint-range" }, `: ${row.ranges[label][feature.name].map(format).join(" to ")}`),
        h("span", { className: "hint-unit" }, `\u00a0${feature.unit}`),
      );
    else hint.replaceChildren(...[["below", below], ["above", above]].map((side) => this.#renderChange(feature, ...side)));
  }

  #renderChange(feature, side, change) {
    if (!change) return "";
    return h("span", { className: side }, this.#renderLabel(change.label), ` ${side} ${formatValue(feature, change.at)}`);
  }

  #renderLabel(label) {
    return h("span", { className: "chip", "data-label": this.#labels.indexOf(label) % 8, title: label }, label);
  }

  paintTracks() {
    const styles = getComputedStyle(document.documentElement);
    const colors = this.#labels.map((_, index) => styles.getPropertyValue(`--label-${index % 8}`));
    for (const row of this.#rows) paintTrack(row, this.#labels, colors, styles);
  }
}

function paintTrack({ canvas, scale, sweep, ranges, label, feature }, labels, colors, styles) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const ratio = devicePixelRatio;
  if (canvas.width !== Math.round(width * ratio)) [canvas.width, canvas.height] = [width * ratio, height * ratio];
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.save();
  context.beginPath();
  context.roundRect(0, 0, width, TRACK_HEIGHT, TRACK_HEIGHT / 2);
  context.clip();
  context.fillStyle = styles.getPropertyValue("--track");
  context.fillRect(0, 0, width, TRACK_HEIGHT);
  if (sweep) paintStripes(context, sweep, (value) => width * scale(value), width, ratio, labels, colors);
  context.restore();
  if (!label) return;
  const [lowest, highest] = ranges[label][feature.name];
  context.fillStyle = styles.getPropertyValue("--muted");
  context.fillRect(width * scale(lowest), TRACK_HEIGHT + 3, Math.max(2, width * (scale(highest) - scale(lowest))), 1.5);
}

/** One stripe for each value of the sweep, up to half way to its neighbours; paler where the probability is lower. */
function paintStripes(context, { values, labels: sweptLabels, probabilities }, x, width, ratio, labels, colors) {
  const positions = values.map(x);
  const lowest = 1 / labels.length;
  for (let i = 0, from = 0; i < positions.length; i++) {
    // Whole device pixels, so that no seam shows between stripes.
    const to = i === positions.length - 1 ? width : Math.round((ratio * (positions[i] + positions[i + 1])) / 2) / ratio;
    context.globalAlpha = 0.2 + (0.8 * (probabilities[sweptLabels[i]][i] - lowest)) / (1 - lowest);
    context.fillStyle = colors[labels.indexOf(sweptLabels[i])];
    context.fillRect(from, 0, to - from, TRACK_HEIGHT);
    from = to;
  }
  context.globalAlpha = 1;
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
  return `a number from ${formatRange([feature.minimum, feature.maximum], feature)}`;
}

function formatRange([lowest, highest], feature) {
  return `${formatValue(feature, lowest)} to ${formatMeasurement(feature, highest)}`;
}

function describeMeasuring(feature) {
  return capitalize(feature.how || describeBounds(feature));
}
