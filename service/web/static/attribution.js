/** The attribution of one column: which features moved it away from the average, in a sentence and as a chart. */

import { h } from "./dom.js";
import { featureTitle, formatCount, formatMeasurement, shorten } from "./format.js";
import { renderWaterfall } from "./waterfall.js";

const MAX_NAME = 40; // characters of a name in a sentence
const [MIN_CONTRIBUTION, MIN_SHARE] = [0.005, 0.1]; // of a probability, or of the largest contribution to a value

export class Attribution {
  #model;
  #outputs;
  #showsAll = false;
  #redraw;

  /** @param {() => void} redraw called when a person wants to see more or fewer features */
  constructor(model, outputs, redraw) {
    this.#model = model;
    this.#outputs = outputs;
    this.#redraw = redraw;
  }

  render(explanation, column) {
    const { attributions, prediction, features } = explanation;
    if (!attributions) return [h("p", { className: "muted" }, `No explanation: ${explanation.attributions_reason}.`)];
    const { base: bases, values, standard_errors: errors } = attributions;
    const [base, output] = [bases[column.key], this.#outputs.value(prediction, column)];
    const contributions = this.#model.features
      .map((feature) => ({
        feature,
        value: features[feature.name],
        contribution: values[feature.name][column.key],
        error: errors?.[feature.name][column.key],
      }))
      .sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution));
    return [
      h("h3", { title: column.key }, this.#renderHeading(prediction, column)),
      renderSentence(contributions, column, base, output),
      ...renderWaterfall(contributions, column, base, output, this.#showsAll, () => this.#toggle()),
      ...(errors ? [renderSamplingNote(attributions.evaluations)] : []),
    ];
  }

  #renderHeading(prediction, column) {
    const name = shorten(column.name, MAX_NAME);
    if (column.isValue) return `Why this ${name}?`;
    return `${this.#outputs.isPredicted(prediction, column) ? "Why" : "Why not"} ${name}?`;
  }

  #toggle() {
    this.#showsAll = !this.#showsAll;
    this.#redraw();
  }
}

function renderSamplingNote(evaluations) {
  const rows = evaluations ? ` from ${formatCount(evaluations, "evaluated row")}` : "";
  return h("p", { className: "muted sampling-note" }, `Estimated${rows}; ± is the standard error.`);
}

/** The largest contributions in a sentence, which leaves out small ones. */
function renderSentence(contributions, column, base, output) {
  const name = shorten(column.name, MAX_NAME);
  const subject = column.isValue ? name : `the probability of ${name}`;
  const least = column.isValue ? MIN_SHARE * Math.abs(contributions[0].contribution) : MIN_CONTRIBUTION;
  const largest = (sign) => contributions.filter(({ contribution }) => sign * contribution > least).slice(0, 2);
  const [up, down] = [largest(1), largest(-1)];
  const list = (selected) =>
    selected.flatMap(({ feature, value }, i) => [
      i ? " and " : "",
      h("b", { title: feature.name }, `${shorten(featureTitle(feature), MAX_NAME)} `),
      `(${formatMeasurement(feature, value)})`,
    ]);
  const conjugate = (verb, selected) => (selected.length === 1 ? `${verb}s` : verb);
  if (!up.length && !down.length) return h("p", {}, `No measurement clearly raises or lowers ${subject}.`);
  const order =
    up.length && (output >= base || !down.length) ? [up, "raise", down, "lower"] : [down, "lower", up, "raise"];
  const [strongest, verb, weaker, oppositeVerb] = order;
  const end = weaker.length
    ? ["; ", ...list(weaker), ` ${conjugate(oppositeVerb, weaker)} it.`]
    : [`; nothing clearly ${oppositeVerb}s it.`];
  return h("p", { className: "sentence" }, ...list(strongest), ` ${conjugate(verb, strongest)} ${subject} most`, ...end);
}
