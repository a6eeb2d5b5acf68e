/** The words of the picture, each explained where it appears and pointed out in the drawing. */

import { spaced } from "./figures.js";

/**
 * Each word, what it means here, and which part of the drawing it is.
 * @returns {{word: string, means: string, part: string|null}[]}
 */
export function words(model) {
  const layers = model.layers;
  const nodes = layers.reduce((sum, { units }) => sum + units, 0);
  const links = layers.slice(1).reduce((sum, { units }, before) => sum + units * layers[before].units, 0);
  const hidden = layers.slice(1, -1);
  const [first, last] = [hidden[0] ?? layers.at(-1), layers.at(-1)];
  return [
    {
      word: "layer",
      part: "layers",
      means:
        `A column of nodes that work side by side on the same inputs. There are ${layers.length}: the input layer takes ` +
        `the measurements in, ${hidden.map(({ name }) => spaced(name)).join(" and ")} look for patterns, the output layer answers.`,
    },
    {
      word: "node",
      part: "nodes",
      means:
        `A circle, and the smallest thing here that computes: many numbers in, one number out. There are ${nodes}; the ` +
        "number in each is its output for these measurements. Point at one, or tap it, to see where its number comes from.",
    },
    {
      word: "connection",
      part: "links",
      means:
        `A line that hands one node’s output to a node of the next layer. There are ${links}. A thick line carries much; ` +
        "a grey one pushes the sum up, a red one pulls it down.",
    },
    {
      word: "weight",
      part: "links",
      means:
        "Every connection has one: a fixed number, found in training, by which whatever comes along is multiplied. " +
        "Large weights listen closely; negative ones turn more of the input into less of the sum.",
    },
    {
      word: "weighted sum",
      part: "nodes",
      means:
        "What a node adds up: each input times the weight of its connection, and then its bias, a number of its own. " +
        "It stands below the drawing for the node you look at.",
    },
    {
      word: "activation",
      part: "nodes",
      means:
        `What a node makes of its weighted sum before it passes it on. ${ACTIVATIONS[first.activation] ?? ""} ` +
        `${first.activation === last.activation ? "" : (ACTIVATIONS[last.activation] ?? "")}`,
    },
    {
      word: "forward pass",
      part: null,
      means:
        "One trip from left to right: measurements in, each layer computed from the one before, probabilities out. " +
        "Nothing is learnt on the way; it takes the service some millionths of a second. Press play for a slower one.",
    },
    {
      word: "output class",
      part: "outputs",
      means:
        `Each node of the last layer stands for one possible answer: ${model.labels.join(", ")}. The one with the ` +
        "largest probability is the answer, however small its lead.",
    },
  ];
}

/** What an activation does, in a sentence. */
export const ACTIVATIONS = {
  relu: "relu passes a positive sum on as it is and makes 0 of a negative one: the node then stays silent.",
  softmax:
    "softmax turns the sums of the last layer into probabilities: the larger the sum, the larger its share of 100 %.",
  sigmoid: "sigmoid squeezes any sum into a number between 0 and 1.",
  tanh: "tanh squeezes any sum into a number between −1 and 1.",
  linear: "linear passes the sum on as it is.",
};
