/** The prediction: label, confidence, probabilities, warnings and the attribution of the explained label. */

import { h } from "./dom.js";
import { featureTitle, formatCount, formatMeasurement, formatPercent, maxLength, shorten } from "./format.js";

const LONG_LABEL = 16; // characters; a longer one has a smaller font
const MAX_NAME = 40; // characters of a name in a sentence
const MIN_CONTRIBUTION = 0.005; // of a probability; the sentence leaves out smaller ones

/** Emits `explain` with a label when a person selects it. */
export class PredictionPanel extends EventTarget {
  #model;
  #result;
  #buttons;
  #attribution;
  #showsWarnings = false; // kept while the prediction changes

  constructor(result, probabilities, attribution, model) {
    super();
    this.#model = model;
    this.#result = result;
    this.#attribution = attribution;
    this.#buttons = model.labels.map((label, index) => this.#createButton(label, index));
    probabilities.append(...this.#buttons.map(({ element }) => element));
    probabilities.style.setProperty("--name-width", `${Math.min(14, maxLength(model.labels))}ch`);
    probabilities.setAttribute("role", "group");
    probabilities.setAttribute("aria-label", "Probabilities; select one to explain it");
  }

  #createButton(label, index) {
    const bar = h("span", { className: "bar", "aria-hidden": "true" }, h("span", { className: "fill" }));
    const share = h("span", { className: "share" });
    const element = h(
      "button",
      { type: "button", className: "probability", "data-label": index % 8 },
      h("span", { className: "label", title: label }, label),
      bar,
      share,
    );
    element.addEventListener("click", () => this.dispatchEvent(new CustomEvent("explain", { detail: label })));
    return { label, element, share, fill: bar.firstChild };
  }

  /** Shows the prediction and the attribution of `label`; without an explanation, how many measurements are missing. */
  show(explanation, label, missingCount) {
    this.#result.classList.toggle("empty", !explanation);
    for (const button of this.#buttons) this.#showProbability(button, explanation?.prediction, label);
    if (!explanation) {
      const missing = `${formatCount(missingCount, "measurement")} missing`;
      this.#result.replaceChildren(h("p", { className: "predicted-label" }, missing));
      this.#attribution.replaceChildren(h("p", {}, "Enter all measurements to get a prediction."));
      return;
    }
    const { prediction } = explanation;
    this.#result.setAttribute("data-label", this.#model.labels.indexOf(prediction.label) % 8);
    this.#result.replaceChildren(
      renderLabel(prediction.label),
      h("p", { className: "confidence" }, h("b", {}, formatPercent(prediction.confidence)), " confidence"),
    );
    this.#attribution.replaceChildren(
      ...this.#renderWarnings(prediction),
      ...this.#renderAttribution(explanation, label),
    );
  }

  #showProbability({ label, element, share, fill }, prediction, explained) {
    const probability = prediction?.probabilities[label] ?? 0;
    fill.style.width = `${100 * probability}%`;
    share.textContent = prediction ? formatPercent(probability) : "";
    element.setAttribute("aria-pressed", prediction ? label === explained : "false");
    element.disabled = !prediction;
    element.classList.toggle("best", label === prediction?.label);
  }

  #renderWarnings(prediction) {
    if (!prediction.warnings.length) return [];
    const count = prediction.warnings.length === 1 ? "one value lies" : `${prediction.warnings.length} values lie`;
    return [
      h(
        "details",
        {
          className: "warnings",
          open: this.#showsWarnings,
          ontoggle: ({ target }) => (this.#showsWarnings = target.open),
        },
        h("summary", {}, `Possibly unreliable: ${count} outside the training range of ${shorten(prediction.label, MAX_NAME)}`),
        h(
          "ul",
          {},
          prediction.warnings.map((warning) => h("li", {}, warning)),
        ),
      ),
    ];
  }

  #renderAttribution(explanation, label) {
    const { attributions, prediction } = explanation;
    if (!attributions) return [h("p", { className: "muted" }, `No explanation: ${explanation.attributions_reason}.`)];
    const contributions = this.#model.features
      .map((feature, index) => ({
        feature,
        value: explanation.layers[0].nodes[index].value,
        contribution: attributions.values[feature.name][label],
      }))
      .sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution));
    return [
      h("h3", { title: label }, `${label === prediction.label ? "Why" : "Why not"} ${shorten(label, MAX_NAME)}?`),
      renderSentence(contributions, label, attributions.base[label], prediction.probabilities[label]),
      renderWaterfall(
        contributions,
        attributions.base[label],
        prediction.probabilities[label],
        this.#model.labels.indexOf(label),
      ),
    ];
  }
}

function renderLabel(label) {
  const className = label.length > LONG_LABEL ? "predicted-label long" : "predicted-label";
  return h("p", { className, title: label }, label);
}

/** The largest contributions in a sentence. */
function renderSentence(contributions, explainedLabel, base, probability) {
  const label = shorten(explainedLabel, MAX_NAME);
  const largest = (sign) =>
    contributions.filter(({ contribution }) => sign * contribution > MIN_CONTRIBUTION).slice(0, 2);
  const [up, down] = [largest(1), largest(-1)];
  const list = (selected) =>
    selected.flatMap(({ feature, value }, i) => [
      i ? " and " : "",
      h("b", { title: feature.name }, `${shorten(featureTitle(feature), MAX_NAME)} `),
      `(${formatMeasurement(feature, value)})`,
    ]);
  const conjugate = (verb, selected) => (selected.length === 1 ? `${verb}s` : verb);
  if (!up.length && !down.length) return h("p", {}, `No measurement clearly raises or lowers the probability of ${label}.`);
  const order =
    up.length && (probability >= base || !down.length)
      ? [up, "raise", down, "lower"]
      : [down, "lower", up, "raise"];
  const [strongest, verb, weaker, oppositeVerb] = order;
  const end = weaker.length
    ? ["; ", ...list(weaker), ` ${conjugate(oppositeVerb, weaker)} it.`]
    : [`; nothing clearly ${oppositeVerb}s it.`];
  return h(
    "p",
    { className: "sentence" },
    ...list(strongest),
    ` ${conjugate(verb, strongest)} the probability of ${label} most`,
    ...end,
  );
}

/** A waterfall chart from the average of the background rows to this row, one step for each contribution. */
function renderWaterfall(contributions, base, probability, labelIndex) {
  let level = base;
  const steps = contributions.map(({ feature, value, contribution }) => {
    const from = level;
    level += contribution;
    const text = formatPercentagePoints(contribution);
    const className = contribution < 0 ? "decreases" : "increases";
    return renderStep(featureTitle(feature), formatMeasurement(feature, value), from, level, text, className);
  });
  return h(
    "ol",
    { className: "waterfall", "data-label": labelIndex % 8, "aria-label": "From the average to this prediction" },
    renderStep("Average", "", 0, base, formatPercent(base), "level"),
    ...steps,
    renderStep("This input", "", 0, probability, formatPercent(probability), "level"),
  );
}

function renderStep(name, value, from, to, text, className) {
  const segment = h("span", { className: "bar-segment" });
  segment.style.left = `${100 * Math.min(from, to)}%`;
  segment.style.width = `${100 * Math.abs(to - from)}%`;
  return h(
    "li",
    { className },
    h("span", { className: "row-name", title: name }, name),
    h("span", { className: "row-value" }, value),
    h("span", { className: "bar-area", "aria-hidden": "true" }, segment),
    h("span", { className: "row-contribution" }, text),
  );
}

/** A difference of probabilities in percentage points: +31.4. */
function formatPercentagePoints(share) {
  const text = Math.abs(100 * share).toFixed(1);
  if (text === "0.0") return "0";
  return `${share < 0 ? "−" : "+"}${text}`;
}
