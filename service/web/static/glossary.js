/** The glossary of the diagram: definitions of its terms, each with the part of the drawing that it names. */

import { spaced } from "./format.js";

/** @returns {{term: string, definition: string, part: string|null}[]} */
export function createGlossary(model) {
  const layers = model.layers;
  const nodeCount = layers.reduce((sum, { units }) => sum + units, 0);
  const connectionCount = layers.slice(1).reduce((sum, { units }, index) => sum + units * layers[index].units, 0);
  const hidden = layers.slice(1, -1);
  const [first, last] = [hidden[0] ?? layers.at(-1), layers.at(-1)];
  return [
    {
      term: "layer",
      part: "layers",
      definition:
        `A column of nodes that are computed together. There are ${layers.length}: the input layer takes the measurements, ` +
        `${describeHidden(hidden)}and the output layer gives the probabilities.`,
    },
    {
      term: "node",
      part: "nodes",
      definition:
        `A circle: the smallest unit that computes, with one output number. There are ${nodeCount}. The number in each ` +
        "is its output for these measurements. Point at a node, or tap it, to see how its output is computed.",
    },
    {
      term: "connection",
      part: "connections",
      definition:
        `A line that passes the output of one node to a node of the next layer. There are ${connectionCount}. The thicker a ` +
        "line, the larger its contribution: grey lines increase the sum, red lines decrease it.",
    },
    {
      term: "weight",
      part: "connections",
      definition:
        "A fixed number, learned in training, by which a connection multiplies its input. The larger the weight, the " +
        "stronger the effect of the input. If the weight is negative, a larger input makes the sum smaller.",
    },
    {
      term: "weighted sum",
      part: "nodes",
      definition:
        "The sum that a node computes: each input times the weight of its connection, plus the bias, a fixed number of " +
        "the node. Select a node to see its weighted sum.",
    },
    {
      term: "activation",
      part: "nodes",
      definition:
        `The function that turns the weighted sum of a node into its output. ${ACTIVATION_DEFINITIONS[first.activation] ?? ""} ` +
        `${first.activation === last.activation ? "" : (ACTIVATION_DEFINITIONS[last.activation] ?? "")}`,
    },
    {
      term: "forward pass",
      part: null,
      definition:
        "The computation of a prediction, from left to right: measurements in, each layer computed from the one before, " +
        "probabilities out. The service takes some millionths of a second for it. Press Play to follow it slowly.",
    },
    {
      term: "output class",
      part: "outputs",
      definition:
        `One of the labels that can be predicted: ${model.labels.join(", ")}. Each has a node in the last layer. The ` +
        "label with the largest probability is the prediction, however small its lead.",
    },
  ];
}

/** A sentence on each activation function. */
export const ACTIVATION_DEFINITIONS = {
  relu: "relu leaves a positive sum unchanged and turns a negative one into 0: the node is then inactive.",
  softmax:
    "softmax turns the sums of the last layer into probabilities: the larger the sum, the larger its share of 100 %.",
  sigmoid: "sigmoid maps any sum to a number between 0 and 1.",
  tanh: "tanh maps any sum to a number between −1 and 1.",
  linear: "linear leaves the sum unchanged.",
};

function describeHidden(layers) {
  if (!layers.length) return "";
  return `${layers.map(({ name }) => spaced(name)).join(" and ")} ${layers.length === 1 ? "looks" : "look"} for patterns, `;
}
