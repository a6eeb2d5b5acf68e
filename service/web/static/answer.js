/** The answer: the label, how sure, the probabilities, and what speaks for and against it. */

import { h } from "./dom.js";
import { longest, measure, percent, title } from "./figures.js";

const SILENT = 0.005; // a smaller part of a probability is not worth a word

/** Emits `explain` with a label when a person wants to know about it. */
export class Answer extends EventTarget {
  #model;
  #verdict;
  #buttons;
  #why;
  #open = false; // whether a person wants to read the warnings

  constructor(verdict, probabilities, why, model) {
    super();
    this.#model = model;
    this.#verdict = verdict;
    this.#why = why;
    this.#buttons = model.labels.map((label, place) => this.#button(label, place));
    probabilities.append(...this.#buttons.map(({ element }) => element));
    probabilities.style.setProperty("--name", `${Math.min(14, longest(model.labels))}ch`);
    probabilities.setAttribute("role", "group");
    probabilities.setAttribute("aria-label", "Probabilities; choose one to explain");
  }

  #button(label, place) {
    const bar = h("span", { className: "bar", "aria-hidden": "true" }, h("span", { className: "fill" }));
    const share = h("span", { className: "share" });
    const element = h(
      "button",
      { type: "button", className: "probability", "data-label": place % 8 },
      h("span", { className: "label" }, label),
      bar,
      share,
    );
    element.addEventListener("click", () => this.dispatchEvent(new CustomEvent("explain", { detail: label })));
    return { label, element, share, fill: bar.firstChild };
  }

  /** Shows an answer and why `label` has the probability that it has; with null, what is missing. */
  show(answer, label, missing) {
    this.#verdict.classList.toggle("none", !answer);
    for (const button of this.#buttons) this.#share(button, answer?.prediction, label);
    if (!answer) {
      const rest = missing === 1 ? "One measurement" : `${missing} measurements`;
      this.#verdict.replaceChildren(h("p", { className: "said" }, `${rest} to go`));
      this.#why.replaceChildren(h("p", {}, "Fill in the form: the network answers once it has them all."));
      return;
    }
    const { prediction } = answer;
    this.#verdict.setAttribute("data-label", this.#model.labels.indexOf(prediction.label) % 8);
    this.#verdict.replaceChildren(
      h("p", { className: "said" }, prediction.label),
      h("p", { className: "confidence" }, h("b", {}, percent(prediction.confidence)), " sure"),
    );
    this.#why.replaceChildren(...this.#warnings(answer), ...this.#reasons(answer, label));
  }

  #share({ label, element, share, fill }, prediction, explained) {
    const probability = prediction?.probabilities[label] ?? 0;
    fill.style.width = `${100 * probability}%`;
    share.textContent = prediction ? percent(probability) : "";
    element.setAttribute("aria-pressed", prediction ? label === explained : "false");
    element.disabled = !prediction;
    element.classList.toggle("best", label === prediction?.label);
  }

  #warnings({ prediction }) {
    if (!prediction.warnings.length) return [];
    const count = prediction.warnings.length === 1 ? "one value is" : `${prediction.warnings.length} values are`;
    return [
      h(
        "details",
        { className: "warnings", open: this.#open, ontoggle: ({ target }) => (this.#open = target.open) },
        h("summary", {}, `A guess: ${count} unlike every ${prediction.label} it was trained on`),
        h(
          "ul",
          {},
          prediction.warnings.map((warning) => h("li", {}, warning)),
        ),
      ),
    ];
  }

  #reasons(answer, label) {
    const { attributions, prediction } = answer;
    if (!attributions) return [h("p", { className: "soft" }, `Not explained: ${answer.attributions_reason}.`)];
    const parts = this.#model.features
      .map((feature, place) => ({
        feature,
        value: answer.layers[0].nodes[place].value,
        adds: attributions.values[feature.name][label],
      }))
      .sort((a, b) => Math.abs(b.adds) - Math.abs(a.adds));
    return [
      h("h3", {}, label === prediction.label ? `Why ${label}?` : `Why not ${label}?`),
      sentence(parts, label, attributions.base[label], prediction.probabilities[label]),
      waterfall(parts, attributions.base[label], prediction.probabilities[label], this.#model.labels.indexOf(label)),
    ];
  }
}

/** The most important reasons in words. */
function sentence(parts, label, base, probability) {
  const loud = (sign) => parts.filter(({ adds }) => sign * adds > SILENT).slice(0, 2);
  const [up, down] = [loud(1), loud(-1)];
  const named = (some) =>
    some.flatMap(({ feature, value }, i) => [
      i ? " and " : "",
      h("b", {}, `${title(feature)} `),
      `(${measure(feature, value)})`,
    ]);
  const speaks = (some) => (some.length === 1 ? "speaks" : "speak");
  if (!up.length && !down.length) return h("p", {}, `Nothing speaks clearly for or against ${label}.`);
  const first =
    up.length && (probability >= base || !down.length)
      ? [up, "for", down, "against it"]
      : [down, "against", up, "for it"];
  const [most, way, rest, other] = first;
  const end = rest.length
    ? ["; ", ...named(rest), ` ${speaks(rest)} ${other}.`]
    : [`; nothing speaks clearly ${other}.`];
  return h("p", { className: "sentence" }, ...named(most), ` ${speaks(most)} most ${way} ${label}`, ...end);
}

/** From the average of the background rows to this one: what each measurement adds to the label's probability or takes from it. */
function waterfall(parts, base, probability, place) {
  let at = base;
  const steps = parts.map(({ feature, value, adds }) => {
    const from = at;
    at += adds;
    return step(title(feature), measure(feature, value), from, at, points(adds), adds < 0 ? "takes" : "adds");
  });
  return h(
    "ol",
    { className: "waterfall", "data-label": place % 8, "aria-label": "From the average to this answer" },
    step("Average", "", 0, base, percent(base), "whole"),
    ...steps,
    step("This one", "", 0, probability, percent(probability), "whole"),
  );
}

function step(name, value, from, to, said, kind) {
  const piece = h("span", { className: "piece" });
  piece.style.left = `${100 * Math.min(from, to)}%`;
  piece.style.width = `${100 * Math.abs(to - from)}%`;
  return h(
    "li",
    { className: kind },
    h("span", { className: "what" }, name),
    h("span", { className: "much" }, value),
    h("span", { className: "lane", "aria-hidden": "true" }, piece),
    h("span", { className: "points" }, said),
  );
}

/** A part of a probability in percentage points: +31.4. */
function points(share) {
  const said = Math.abs(100 * share).toFixed(1);
  if (said === "0.0") return "0";
  return `${share < 0 ? "−" : "+"}${said}`;
}
