/** The calculation of a node's output: inputs times weights, the bias, the weighted sum and the activation. */

import { h } from "./dom.js";
import { featureTitle, formatFixed, formatMeasurement, formatNumber, formatPercent, formatSigned, spaced } from "./format.js";

const MAX_POWERS = 6; // more labels than this are not written out in the formula of softmax

/** The elements that show the calculation of the node with this key. */
export function renderWeightedSum(explanation, model, key) {
  const [layer, nodeIndex] = findNode(explanation, key);
  const node = layer.nodes[nodeIndex];
  const layerIndex = explanation.layers.indexOf(layer);
  if (layer.kind === "normalization") return renderNormalization(node, model.features[nodeIndex]);
  const inputNames = nameInputs(explanation, model, layerIndex);
  const heading =
    layerIndex === explanation.layers.length - 1 ? node.name : `${spaced(layer.name)}, node ${nodeIndex + 1}`;
  return [
    h("h3", {}, heading),
    h("p", { className: "formula" }, `output = ${layer.activation}(weighted sum of the inputs)`),
    h(
      "ul",
      { className: "terms", "aria-label": "Input times weight, for each connection" },
      ...renderTerms(node, inputNames),
    ),
    h("p", { className: "total" }, "weighted sum ", h("b", {}, formatFixed(node.weighted_sum))),
    h("p", { className: "output" }, ...renderActivation(layer, node)),
  ];
}

function findNode(explanation, key) {
  const layer = explanation.layers.find(
    ({ name }) => key.startsWith(`${name}.`) && /^\d+$/.test(key.slice(name.length + 1)),
  );
  return [layer, Number(key.slice(layer.name.length + 1)) - 1];
}

function nameInputs(explanation, model, layerIndex) {
  if (layerIndex === 1) return model.features.map(featureTitle);
  const { name, nodes } = explanation.layers[layerIndex - 1];
  return nodes.map((_, index) => `${spaced(name)}, ${index + 1}`);
}

function renderTerms(node, inputNames) {
  const terms = node.connections.map(({ input, weight, contribution }, index) =>
    renderTerm(contribution, `${formatFixed(input)} × ${parenthesizeNegative(weight)}`, inputNames[index]),
  );
  return [...terms, renderTerm(node.bias, formatFixed(node.bias), "bias")];
}

function renderTerm(value, text, name) {
  const sign = Math.abs(value) < 0.005 ? "neutral" : value > 0 ? "increases" : "decreases";
  return h(
    "li",
    { className: `term ${sign}` },
    h("span", { className: "term-name", title: name }, name),
    h("span", { className: "term-factors" }, text),
    h("span", { className: "term-value" }, formatSigned(value)),
  );
}

function renderActivation({ activation, nodes }, node) {
  const z = formatFixed(node.weighted_sum);
  if (activation === "softmax") {
    const powers = nodes.map(({ weighted_sum: other }) => h("span", {}, "e", h("sup", {}, formatFixed(other, 1))));
    const sum =
      nodes.length > MAX_POWERS ? ["sum of all such powers"] : powers.flatMap((power, i) => (i ? [" + ", power] : [power]));
    return [
      "output = e",
      h("sup", {}, formatFixed(node.weighted_sum, 1)),
      " ÷ (",
      ...sum,
      ") = ",
      h("b", {}, formatPercent(node.output)),
    ];
  }
  const result = [`output = ${activation}(${z}) = `, h("b", {}, formatFixed(node.output))];
  if (activation !== "relu") return result;
  const reason = node.weighted_sum > 0 ? "positive, so unchanged" : "not positive, so inactive";
  return [...result, h("span", { className: "muted" }, `, ${reason}`)];
}

function renderNormalization({ value, mean, standard_deviation: deviation, output }, feature) {
  const side = output >= 0 ? "above" : "below";
  return [
    h("h3", {}, featureTitle(feature)),
    h("p", { className: "formula" }, "output = (measured − mean) ÷ standard deviation"),
    h(
      "p",
      { className: "output" },
      `(${formatMeasurement(feature, value)} − ${formatMeasurement(feature, mean)}) ÷ ${formatNumber(deviation)} = `,
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

function parenthesizeNegative(value) {
  return value < 0 ? `(${formatFixed(value)})` : formatFixed(value);
}
