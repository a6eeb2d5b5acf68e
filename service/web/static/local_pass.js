/**
 * The forward pass in the browser, with the weights of an explanation: it lets the drawing follow a slider where the
 * service takes too long to explain each value. It is used only if it reproduces the explanation that it is made from,
 * and the service's explanation of the last value replaces it.
 */

import { activate, softmax } from "./activations.js";
import { columnValues, encodeNumber } from "./network_inputs.js";

const TOLERANCE = 1e-4; // relative, of the service's single precision
const PROBABILITIES = ["softmax", "sigmoid"];

export class LocalPass {
  #explanation;
  #structure;
  #outputs;

  /** The pass with the weights of an explanation; null if it has none, or if they do not give its numbers. */
  static of(explanation, structure, outputs) {
    if (!explanation.layers || !structure) return null;
    const pass = new LocalPass(explanation, structure, outputs);
    const again = pass.explain(explanation.features);
    return again && pass.#agrees(again) ? pass : null;
  }

  constructor(explanation, structure, outputs) {
    this.#explanation = explanation;
    this.#structure = structure;
    this.#outputs = outputs;
  }

  /**
   * The explanation with the layers and the prediction for other features, null if a layer is not supported, or if only
   * the service can encode a value. Warnings, attributions and sweeps stay those of the features before: it is stale.
   */
  explain(features) {
    const encoded = this.#explanation.encoded?.map((entry) => this.#encode(entry, features[entry.feature]));
    if (encoded?.includes(null)) return null;
    const columns = columnValues({ encoded, features });
    const values = new Map(); // of each node
    const layers = [];
    for (const layer of this.#structure.layers) {
      if (layer.kind === "features") {
        for (const node of layer.nodes) values.set(node, Math.fround(columns[node.inputName]));
        continue;
      }
      const explained = this.#compute(layer, values, columns);
      if (!explained) return null;
      layer.nodes.forEach((node, position) => values.set(node, explained.nodes[position].output));
      layers[layer.index] = explained;
    }
    const prediction = this.#predict(values);
    return prediction && { ...this.#explanation, features, encoded, layers, prediction, isStale: true };
  }

  /** A feature with its columns; those of a value that has not changed are known. */
  #encode(entry, value) {
    return value === this.#explanation.features[entry.feature] ? entry : encodeNumber(entry, value);
  }

  #compute(layer, values, columns) {
    const explained = this.#explanation.layers[layer.index];
    const inputs = layer.nodes.map(({ inputName, sources }) =>
      inputName === undefined ? sources.map((source) => values.get(source)) : [Math.fround(columns[inputName])],
    );
    if (inputs.some((own) => own.length > 1) && layer.kind !== "dense") return null; // with gates
    const nodes = explained.nodes.map((node, position) => computeNode(layer.kind, node, inputs[position]));
    const { activation = "linear", parameters } = explained;
    const outputs = activate(activation, nodes.map(({ output }) => output), parameters);
    return outputs && { ...explained, nodes: nodes.map((node, position) => ({ ...node, output: outputs[position] })) };
  }

  /** The prediction as the service writes it; null if an output of the model is not one of the nodes. */
  #predict(values) {
    const parts = this.#outputs.heads.map((head) => this.#predictHead(head, values));
    if (parts.includes(null)) return null;
    const byName = Object.fromEntries(this.#outputs.heads.map(({ name }, index) => [name, parts[index]]));
    const { prediction } = this.#explanation;
    return this.#outputs.isSingle ? { ...prediction, ...parts[0] } : { ...prediction, outputs: byName };
  }

  #predictHead(head, values) {
    const nodes = this.#structure.nodes.filter(({ output }) => output?.head === head);
    if (!nodes.length) return null;
    const columns = toColumns(head, nodes[0].layer.activation, nodes.map((node) => values.get(node)));
    if (columns.length !== head.columns.length) return null;
    const byName = Object.fromEntries(head.columns.map(({ name }, index) => [name, columns[index]]));
    if (head.kind === "regression") return { ...this.#outputs.part(this.#explanation.prediction, head), values: byName };
    return { ...chooseLabels(head, columns), probabilities: byName };
  }

  /** Whether all nodes and columns are those of the service. */
  #agrees(again) {
    const { layers, prediction } = this.#explanation;
    const pairs = layers.flatMap(({ nodes }, layer) =>
      nodes.map(({ output }, position) => [output, again.layers[layer].nodes[position].output]),
    );
    for (const column of this.#outputs.columns)
      pairs.push([this.#outputs.value(prediction, column), this.#outputs.value(again.prediction, column)]);
    return pairs.every(([one, other]) => Math.abs(one - other) <= TOLERANCE * (1 + Math.abs(one)));
  }
}

/** A node with its inputs and, as its output, what its activation is applied to. */
function computeNode(kind, node, inputs) {
  const [value] = inputs;
  if (kind === "normalization") return { ...node, value, output: (value - node.mean) / node.standard_deviation };
  if (kind === "rescaling") return { ...node, value, output: value * node.scale + node.offset };
  if (kind === "activation") return { ...node, value, output: value };
  let sum = node.bias;
  const connections = node.connections.map((connection, index) => {
    const contribution = connection.weight * inputs[index];
    sum += contribution;
    return { ...connection, input: inputs[index], contribution };
  });
  return { ...node, connections, weighted_sum: sum, output: sum };
}

/** The columns of an output from the numbers that the network itself gives, which may be logits. */
function toColumns({ kind, columns }, activation, raw) {
  if (kind === "regression") return raw;
  const isProbability = PROBABILITIES.includes(activation);
  const isBinary = kind === "classification" && raw.length === 1 && columns.length === 2;
  if (isProbability) return isBinary ? [1 - raw[0], raw[0]] : raw;
  if (isBinary) return softmax([0, raw[0]]);
  return kind === "classification" ? softmax(raw) : activate("sigmoid", raw);
}

function chooseLabels({ kind, labels, threshold }, probabilities) {
  if (kind === "multi_label")
    return { labels: labels.filter((_, index) => probabilities[index] > (threshold ?? 0.5)) };
  const best = threshold ? Number(probabilities[1] > threshold) : probabilities.indexOf(Math.max(...probabilities));
  return { label: labels[best], confidence: probabilities[best] };
}
