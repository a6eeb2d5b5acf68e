/** The measurements: a slider and a field for each, its track coloured by what the network would answer along it. */

import { h } from "./dom.js";
import { measure, number, settle, title, track, typed } from "./figures.js";

const STEPS = 1000; // places on a track
const GROOVE = 9; // px, the coloured part of a track; the line below it shows what training covered

export class Sliders extends EventTarget {
  #rows;
  #labels;

  /** Emits `measure` with `{name, value}` as detail whenever a person sets a value, and `point` with a name or null. */
  constructor(container, model) {
    super();
    this.#labels = model.labels;
    this.#rows = model.features.map((feature, place) => this.#row(feature, place, model));
    container.append(...this.#rows.map((row) => row.element));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
  }

  #row(feature, place, model) {
    const id = `feature-${place}`;
    const row = {
      feature,
      scale: track(feature),
      ranges: model.reference.ranges,
      answer: null,
      value: null,
      warned: false,
      wrong: null,
      open: false,
    };
    row.field = h("input", { id, type: "text", inputMode: "decimal", autocomplete: "off", size: 7 });
    row.field.setAttribute("aria-describedby", `${id}-hint ${id}-how`);
    row.slider = h("input", { type: "range", min: 0, max: STEPS, step: 1 });
    row.slider.setAttribute("aria-label", `${title(feature)}, slider`);
    row.slider.setAttribute("aria-describedby", `${id}-hint`);
    row.canvas = h("canvas", { "aria-hidden": "true" });
    row.hint = h("p", { className: "hint", id: `${id}-hint` });
    row.how = h("p", { className: "how", id: `${id}-how`, hidden: true }, howTo(feature));
    row.ask = h("button", { type: "button", className: "ask", onclick: () => this.#toggle(row) }, "?");
    row.ask.setAttribute("aria-label", `How to measure: ${title(feature)}`);
    row.ask.setAttribute("aria-expanded", "false");
    row.slider.addEventListener("input", () => this.#slid(row));
    row.field.addEventListener("input", () => this.#typed(row));
    row.field.addEventListener("change", () => this.#left(row));
    row.element = h(
      "div",
      { className: "row", onpointerenter: () => this.#point(feature), onpointerleave: () => this.#point(null) },
      h(
        "div",
        { className: "row-head" },
        h("label", { htmlFor: id }, title(feature)),
        row.ask,
        row.field,
        h("span", { className: "unit" }, feature.unit),
      ),
      h("div", { className: "track" }, row.canvas, row.slider),
      row.hint,
      row.how,
    );
    return row;
  }

  #point(feature) {
    this.dispatchEvent(new CustomEvent("point", { detail: feature?.name ?? null }));
  }

  #toggle(row) {
    row.open = !row.open;
    row.how.hidden = !row.open;
    row.ask.setAttribute("aria-expanded", row.open);
  }

  #slid(row) {
    const value = this.#placed(row);
    row.field.value = shown(value);
    this.#emit(row, value);
  }

  #typed(row) {
    const value = typed(row.field.value);
    const { minimum, maximum } = row.feature;
    const empty = row.field.value.trim() === "";
    if (empty || (value >= minimum && value <= maximum)) {
      this.#emit(row, empty ? null : value);
    } else {
      row.wrong = `${Number.isNaN(value) ? "Not a number: give" : "Give"} ${bounds(row.feature)}.`;
      this.#hint(row);
    }
  }

  /** A field that is left with what cannot be used goes back to what is shown. */
  #left(row) {
    row.wrong = null;
    row.field.value = shown(row.value);
    this.#hint(row);
  }

  #emit(row, value) {
    row.wrong = null;
    this.dispatchEvent(new CustomEvent("measure", { detail: { name: row.feature.name, value } }));
  }

  /** Shows values that came from elsewhere; what a person is just typing is left alone. */
  set(values) {
    for (const row of this.#rows) {
      row.value = values[row.feature.name];
      row.element.classList.toggle("empty", row.value === null);
      if (!says(row.field.value, row.value)) row.field.value = shown(row.value);
      if (this.#placed(row) !== row.value) this.#place(row);
      row.slider.setAttribute("aria-valuetext", row.value === null ? "not measured" : measure(row.feature, row.value));
    }
  }

  /** The value at which the slider stands. */
  #placed({ feature, scale, slider }) {
    return settle(feature, scale.invert(slider.value / STEPS));
  }

  #place(row) {
    row.slider.value = row.value === null ? STEPS / 2 : Math.round(STEPS * row.scale(row.value));
  }

  /** Shows the sweeps of an answer, or with null none. */
  show(answer) {
    for (const row of this.#rows) {
      const { name } = row.feature;
      row.sweep = answer?.sweeps?.[name] ?? null;
      row.answer = answer?.prediction.label ?? null;
      row.warned = answer?.prediction.warnings.some((warning) => warning.startsWith(`${name} is `)) ?? false;
      this.#hint(row);
    }
    this.paint();
  }

  /** The heights of the rows' tracks, in px below `top`. */
  heights(top) {
    return this.#rows.map(({ element }) => {
      const box = element.querySelector(".track").getBoundingClientRect();
      return box.top + box.height / 2 - top - 2;
    });
  }

  #hint(row) {
    const { hint, feature, value, sweep, answer, warned, wrong } = row;
    const { below, above } = sweep?.changes ?? {};
    const said = JSON.stringify([wrong, value === null, warned && answer, below, above]);
    if (said === row.said) return; // a slider moves through many values that change nothing here
    row.said = said;
    row.element.classList.toggle("warned", warned && !wrong);
    row.element.classList.toggle("wrong", Boolean(wrong));
    row.field.setAttribute("aria-invalid", Boolean(wrong));
    if (wrong) hint.replaceChildren(wrong);
    else if (value === null) hint.replaceChildren(howTo(feature));
    else if (warned)
      hint.replaceChildren(`Every ${answer} it was trained on: ${covered(row.ranges[answer][feature.name], feature)}`);
    else hint.replaceChildren(this.#change(below, "below"), this.#change(above, "above"));
  }

  #change(change, way) {
    return change ? h("span", { className: way }, this.#chip(change.label), ` ${way} ${number(change.at)}`) : "";
  }

  #chip(label) {
    return h("span", { className: "chip", "data-label": this.#labels.indexOf(label) % 8 }, label);
  }

  /** Paints the tracks anew. */
  paint() {
    const styles = getComputedStyle(document.documentElement);
    const colours = this.#labels.map((_, place) => styles.getPropertyValue(`--label-${place % 8}`));
    for (const row of this.#rows) paint(row, this.#labels, colours, styles);
  }
}

function paint({ canvas, scale, sweep, ranges, answer, feature }, labels, colours, styles) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const dense = devicePixelRatio;
  if (canvas.width !== Math.round(width * dense)) [canvas.width, canvas.height] = [width * dense, height * dense];
  const pen = canvas.getContext("2d");
  pen.setTransform(dense, 0, 0, dense, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.save();
  pen.beginPath();
  pen.roundRect(0, 0, width, GROOVE, GROOVE / 2);
  pen.clip();
  pen.fillStyle = styles.getPropertyValue("--groove");
  pen.fillRect(0, 0, width, GROOVE);
  if (sweep) stripes(pen, sweep, (value) => width * scale(value), width, dense, labels, colours);
  pen.restore();
  if (!answer) return;
  const [least, most] = ranges[answer][feature.name];
  pen.fillStyle = styles.getPropertyValue("--soft");
  pen.fillRect(width * scale(least), GROOVE + 3, Math.max(2, width * (scale(most) - scale(least))), 1.5);
}

/** One stripe for each value that was tried, to half way to its neighbours, the paler the less sure. */
function stripes(pen, { values, labels: answers, probabilities }, x, width, dense, labels, colours) {
  const places = values.map(x);
  const floor = 1 / labels.length;
  for (let i = 0, from = 0; i < places.length; i++) {
    const to = i === places.length - 1 ? width : Math.round((dense * (places[i] + places[i + 1])) / 2) / dense; // whole pixels have no seams
    pen.globalAlpha = 0.2 + (0.8 * (probabilities[answers[i]][i] - floor)) / (1 - floor);
    pen.fillStyle = colours[labels.indexOf(answers[i])];
    pen.fillRect(from, 0, to - from, GROOVE);
    from = to;
  }
  pen.globalAlpha = 1;
}

/** A value as it stands in a field that can be typed in. */
function shown(value) {
  return value === null ? "" : number(value, 6);
}

/** Whether a field, as typed so far, already means the value. */
function says(text, value) {
  return text.trim() === "" ? value === null : typed(text) === value;
}

function bounds(feature) {
  return `a number from ${covered([feature.minimum, feature.maximum], feature)}`;
}

function covered([least, most], feature) {
  return `${number(least)} to ${measure(feature, most)}`;
}

function howTo(feature) {
  const said = feature.how || bounds(feature);
  return said.charAt(0).toUpperCase() + said.slice(1);
}
