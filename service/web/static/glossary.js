/** The glossary of the diagram: definitions of its terms, each with the part of the drawing that it names. */

import { formatPercent, spaced } from "./format.js";

const MAX_NAMES = 6; // of layers or outputs in a sentence
const MAX_DEFINITIONS = 3; // of activations

/**
 * @param structure of `describeNetwork`
 * @returns {{term: string, definition: string, part: string|null}[]}
 */
export function createGlossary({ layers, nodes, groups }, outputs) {
  const connectionCount = nodes.reduce((sum, { sources }) => sum + sources.length, 0);
  const hidden = layers.filter(({ role }) => role === "hidden");
  const activations = [...new Set(layers.slice(1).map(({ activation }) => activation))];
  const definitions = activations.map((name) => ACTIVATION_DEFINITIONS[name]).filter(Boolean);
  const results = outputs.columns.some(({ isValue }) => isValue) ? "outputs" : "probabilities";
  return [
    {
      term: "layer",
      part: "layers",
      definition:
        `A column of nodes that are computed together. There are ${layers.length}: the input layer takes the measurements, ` +
        `${describeHidden(hidden)}and the output layer gives the ${results}.`,
    },
    ...(groups.length ? [{ term: "encoding", part: null, definition: `How a value becomes numbers for the network. ${describeEncodings(groups)}` }] : []),
    {
      term: "node",
      part: "nodes",
      definition:
        `A circle: the smallest unit that computes, with one output number. There are ${nodes.length}. The number in each ` +
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
        `The function that turns the weighted sum of a node into its output. ${definitions.slice(0, MAX_DEFINITIONS).join(" ")}`,
    },
    {
      term: "forward pass",
      part: null,
      definition:
        "The computation of a prediction, from left to right: measurements in, each layer computed from the one before, " +
        `${results} out. The service takes some millionths of a second for it. Press Play to follow it slowly.`,
    },
    describeOutputs(outputs),
  ];
}

/** A sentence on each kind of encoding that the inputs have. */
export function describeEncodings(groups) {
  const parts = groups.flat().map(({ part }) => part).filter(Boolean);
  const isEmbedded = (part) => /^(\[\d+\]|\(embedded\))$/.test(part);
  const sentences = [
    parts.some((part) => part !== "missing" && !isEmbedded(part)) &&
      "One-hot: there is a column for each value or range; it is 1 for the one that is there, and 0 for all others.",
    parts.some(isEmbedded) && "Embedding: each value has its own short list of numbers, most often learned in training.",
    parts.includes("missing") && "Missing indicator: a missing number is replaced by a fixed one, and a column of its own is then 1.",
  ];
  return sentences.filter(Boolean).join(" ");
}

function describeOutputs({ columns, heads, isClassification }) {
  const names = columns.slice(0, MAX_NAMES).map(({ key }) => key);
  const rest = columns.length - names.length;
  const list = `${names.join(", ")}${rest ? ` and ${rest} more` : ""}`;
  const definition = isClassification
    ? `One of the labels that can be predicted: ${list}. ${describeChoice(heads[0])}`
    : `What the network predicts: ${list}.`;
  return { term: isClassification ? "output class" : "output", part: "outputs", definition };
}

function describeChoice({ labels, threshold }) {
  if (threshold) return `${labels[1]} is predicted if its probability is above ${formatPercent(threshold)}.`;
  const nodes = labels.length > 2 ? "Each has a node in the last layer. " : "";
  return `${nodes}The label with the largest probability is the prediction, however small its lead.`;
}

/** A sentence on each activation function. */
export const ACTIVATION_DEFINITIONS = {
  relu: "relu leaves a positive sum unchanged and turns a negative one into 0: the node is then inactive.",
  softmax:
    "softmax turns the sums of the last layer into probabilities: the larger the sum, the larger its share of 100 %.",
  sigmoid: "sigmoid maps any sum to a number between 0 and 1.",
  leaky_relu: "leaky relu leaves a positive sum unchanged and makes a negative one small.",
  elu: "elu leaves a positive sum unchanged and bends a negative one towards a lower limit.",
  selu: "selu scales a positive sum and bends a negative one towards a lower limit.",
  gelu: "gelu leaves a large sum nearly unchanged and turns a very negative one into 0, with a smooth transition.",
  silu: "silu multiplies the sum by its sigmoid: a large sum stays, a very negative one becomes 0.",
  softplus: "softplus is a smooth relu: a large sum stays, a very negative one becomes 0.",
  softsign: "softsign maps any sum to a number between −1 and 1.",
  hard_sigmoid: "hard sigmoid maps any sum to a number between 0 and 1, along a straight line.",
  relu6: "relu6 turns a negative sum into 0 and limits a positive one to 6.",
  exponential: "exponential raises e to the power of the sum.",
  tanh: "tanh maps any sum to a number between −1 and 1.",
  linear: "linear leaves the sum unchanged.",
};

function describeHidden(layers) {
  if (!layers.length) return "";
  if (layers.length > MAX_NAMES) return `the ${layers.length} between them look for patterns, `;
  return `${layers.map(({ name }) => spaced(name)).join(" and ")} ${layers.length === 1 ? "looks" : "look"} for patterns, `;
}
