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
        `A column of nodes that work side by side on the same inputs. There are ${layers.length}: the input layer takes ` +
        `the measurements in, ${hidden.map(({ name }) => spaced(name)).join(" and ")} look for patterns, the output layer answers.`,
    },
    {
      term: "node",
      part: "nodes",
      definition:
        `A circle, and the smallest thing here that computes: many numbers in, one number out. There are ${nodeCount}; the ` +
        "number in each is its output for these measurements. Point at one, or tap it, to see where its number comes from.",
    },
    {
      term: "connection",
      part: "connections",
      definition:
        `A line that hands one node’s output to a node of the next layer. There are ${connectionCount}. A thick line carries much; ` +
        "a grey one pushes the sum up, a red one pulls it down.",
    },
    {
      term: "weight",
      part: "connections",
      definition:
        "Every connection has one: a fixed number, found in training, by which whatever comes along is multiplied. " +
        "Large weights listen closely; negative ones turn more of the input into less of the sum.",
    },
    {
      term: "weighted sum",
      part: "nodes",
      definition:
        "What a node adds up: each input times the weight of its connection, and then its bias, a number of its own. " +
        "It stands below the drawing for the node you look at.",
    },
    {
      term: "activation",
      part: "nodes",
      definition:
        `What a node makes of its weighted sum before it passes it on. ${ACTIVATION_DEFINITIONS[first.activation] ?? ""} ` +
        `${first.activation === last.activation ? "" : (ACTIVATION_DEFINITIONS[last.activation] ?? "")}`,
    },
    {
      term: "forward pass",
      part: null,
      definition:
        "One trip from left to right: measurements in, each layer computed from the one before, probabilities out. " +
        "Nothing is learnt on the way; it takes the service some millionths of a second. Press play for a slower one.",
    },
    {
      term: "output class",
      part: "outputs",
      definition:
        `Each node of the last layer stands for one possible answer: ${model.labels.join(", ")}. The one with the ` +
        "largest probability is the answer, however small its lead.",
    },
  ];
}

/** A sentence on each activation function. */
export const ACTIVATION_DEFINITIONS = {
  relu: "relu passes a positive sum on as it is and makes 0 of a negative one: the node then stays silent.",
  softmax:
    "softmax turns the sums of the last layer into probabilities: the larger the sum, the larger its share of 100 %.",
  sigmoid: "sigmoid squeezes any sum into a number between 0 and 1.",
  tanh: "tanh squeezes any sum into a number between −1 and 1.",
  linear: "linear passes the sum on as it is.",
};
