/** The calculation of a node's output: of a dense layer, inputs times weights, the bias, their sum and the activation. */

import { h } from "./dom.js";
import {
  formatFixed,
  formatMeasurement,
  formatNumber,
  formatPercent,
  formatSigned,
  formatSignedNumber,
} from "./format.js";
import { describeEncoding } from "./network_inputs.js";

const MAX_POWERS = 6; // more labels than this are not written out in the formula of softmax
const [MAX_TERMS, LARGEST] = [16, 12]; // terms of a sum that are all shown; those shown of a longer one
const LARGE_TERM = 1000; // from which on a number has no decimals

/** The elements that show the calculation of a node of the diagram, which has what an explanation says of it in `raw`. */
export function renderCalculation(node, explanation) {
  const { layer } = node;
  const isEncoded = layer.role === "input" && explanation.encoded;
  const encoding = isEncoded ? [h("p", { className: "encoding" }, describeEncoding(node, explanation))] : [];
  if (layer.kind === "features") return renderFeature(node, encoding);
  const feature = layer.role === "input" && node.part === null ? node.measured : null;
  if (layer.kind === "normalization") return renderNormalization(node, feature, encoding);
  if (layer.kind === "rescaling") return renderRescaling(node, feature, encoding);
  if (layer.kind === "activation") return [...renderHeading(node), h("p", { className: "output" }, ...renderActivation(node, node.raw.value))];
  return [
    ...renderHeading(node),
    h("p", { className: "formula" }, `output = ${layer.activation}(weighted sum of the inputs)`),
    h(
      "ul",
      { className: "terms", "aria-label": "Input times weight, for each connection" },
      ...renderTerms(node.raw, node.sources.map(nameSource)),
    ),
    h("p", { className: "total" }, "weighted sum ", h("b", {}, formatTerm(node.raw.weighted_sum))),
    h("p", { className: "output" }, ...renderActivation(node, node.raw.weighted_sum)),
  ];
}

function renderHeading(node) {
  return [h("h3", { title: node.text }, nameNode(node))];
}

function nameNode({ layer, text, position }) {
  return layer.role === "hidden" ? `${layer.title}, node ${position + 1}` : text;
}

function nameSource({ layer, text, position }) {
  return layer.role === "hidden" ? `${layer.title}, ${position + 1}` : text;
}

/** The terms of a sum; of many, the largest, and the sum of the others. */
function renderTerms({ connections, bias }, names) {
  const all = connections.map((connection, index) => ({ ...connection, name: names[index] }));
  const hasMany = all.length > MAX_TERMS;
  const shown = hasMany ? [...all].sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution)).slice(0, LARGEST) : all;
  const terms = shown.map(({ input, weight, contribution, name }) =>
    renderTerm(contribution, `${formatTerm(input)} × ${parenthesizeNegative(weight)}`, name),
  );
  if (hasMany) {
    const sum = (list) => list.reduce((total, { contribution }) => total + contribution, 0);
    terms.push(renderTerm(sum(all) - sum(shown), "", `${all.length - shown.length} others`));
  }
  return [...terms, renderTerm(bias, formatTerm(bias), "bias")];
}

function renderTerm(value, text, name) {
  const sign = Math.abs(value) < 0.005 ? "neutral" : value > 0 ? "increases" : "decreases";
  return h(
    "li",
    { className: `term ${sign}` },
    h("span", { className: "term-name", title: name }, name),
    h("span", { className: "term-factors" }, text),
    h("span", { className: "term-value" }, formatSignedTerm(value)),
  );
}

function renderActivation({ layer, value: output, raw }, sum) {
  const { activation } = layer;
  const { gate } = raw;
  if (gate !== undefined)
    return [`output = ${formatTerm(sum)} × sigmoid(${formatTerm(gate)}) = `, h("b", {}, formatTerm(output))];
  if (activation === "softmax") return renderSoftmax(layer, output, sum);
  const result = [`output = ${activation}(${formatTerm(sum)}) = `, h("b", {}, formatTerm(output))];
  if (activation !== "relu") return result;
  const reason = sum > 0 ? "positive, so unchanged" : "not positive, so inactive";
  return [...result, h("span", { className: "muted" }, `, ${reason}`)];
}

function renderSoftmax({ nodes }, output, own) {
  const sums = nodes.map((node) => node.raw.weighted_sum ?? node.raw.value);
  const powers = sums.map((sum) => h("span", {}, "e", h("sup", {}, formatFixed(sum, 1))));
  const total =
    powers.length > MAX_POWERS ? ["sum of all such powers"] : powers.flatMap((power, i) => (i ? [" + ", power] : [power]));
  return ["output = e", h("sup", {}, formatFixed(own, 1)), " ÷ (", ...total, ") = ", h("b", {}, formatPercent(output))];
}

function renderFeature({ value, text, measured, part }, encoding) {
  const shown = part === null && !encoding.length ? formatMeasurement(measured, value) : formatNumber(value);
  return [
    h("h3", { title: measured.name }, text),
    ...encoding,
    h("p", { className: "output" }, "output = ", h("b", {}, shown)),
    h("p", { className: "muted" }, `The network takes this ${encoding.length ? "number" : "measurement"} as it is.`),
  ];
}

/** The feature is null for a normalization between other layers, whose inputs have no units. */
function renderNormalization(node, feature, encoding) {
  const { value, mean, standard_deviation: deviation, output } = node.raw;
  const format = (number) => (feature ? formatMeasurement(feature, number) : formatTerm(number));
  const side = output >= 0 ? "above" : "below";
  return [
    ...renderHeading(node),
    ...encoding,
    h("p", { className: "formula" }, `output = (${feature ? "measured" : "input"} − mean) ÷ standard deviation`),
    h(
      "p",
      { className: "output" },
      `(${format(value)} − ${format(mean)}) ÷ ${formatNumber(deviation)} = `,
      h("b", {}, formatFixed(output)),
    ),
    h(
      "p",
      { className: "muted" },
      `${formatFixed(Math.abs(output))} standard deviations ${side} the mean of the training rows. ` +
        "After normalization, measurements in different units can be added up.",
    ),
  ];
}

function renderRescaling(node, feature, encoding) {
  const { value, scale, offset, output } = node.raw;
  const input = feature ? formatMeasurement(feature, value) : formatTerm(value);
  return [
    ...renderHeading(node),
    ...encoding,
    h("p", { className: "formula" }, `output = ${feature ? "measured" : "input"} × scale + offset`),
    h(
      "p",
      { className: "output" },
      `${input} × ${parenthesize(formatNumber(scale))} + ${parenthesize(formatNumber(offset))} = `,
      h("b", {}, formatTerm(output)),
    ),
    h("p", { className: "muted" }, "Scale and offset are fixed: a rescaling, or a batch normalization after its training."),
  ];
}

/** A number of a sum: two decimals, or three digits if it is large. */
function formatTerm(value) {
  return Math.abs(value) < LARGE_TERM ? formatFixed(value) : formatNumber(value);
}

function formatSignedTerm(value) {
  return Math.abs(value) < LARGE_TERM ? formatSigned(value) : formatSignedNumber(value);
}

function parenthesizeNegative(value) {
  return parenthesize(formatTerm(value));
}

function parenthesize(text) {
  return text.startsWith("−") ? `(${text})` : text;
}
