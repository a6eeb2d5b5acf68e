/** The structure of a network: its layers in columns, from left to right, and which nodes each node takes its input from. */

import { isEncoded } from "./features.js";
import { featureTitle, spaced } from "./format.js";
import { findColumns } from "./network_inputs.js";

const ELEMENTWISE = { normalization: "normalized", rescaling: "rescaled", activation: null }; // one input per node
const INPUT = "~input"; // the layer of the features where the network does not begin with one of its own

/** The layers as `/explain` has them, guessed from the model's schema; null if only an explanation can tell them. */
export function guessLayers(model, outputs) {
  if (!outputs.isTrainedHere || isEncoded(model)) return null;
  return model.layers.map(({ name, units, activation }, index) => ({
    name,
    activation,
    kind: index === 0 && units === model.features.length ? "normalization" : "dense",
    nodes: Array.from({ length: units }, (_, unit) => ({ name: index ? `${name}.${unit + 1}` : model.features[unit].name })),
  }));
}

/** A text that differs where two explanations have different networks. */
export function fingerprint({ layers, encoded }) {
  const columns = encoded?.map((entry) => Object.keys(entry.columns));
  return JSON.stringify([columns, layers.map(({ name, kind, activation, inputs, nodes }) => [name, kind, activation, inputs, nodes.length])]);
}

/**
 * `columns` are lists of layers; a layer has `{name, kind, activation, role, title, detail, nodes, column, index}`, where
 * the index is that in the explanation, -1 for the features. A node has `{key, name, text, description, layer, position,
 * sources, output, feature}`: `sources` are the nodes that it takes, `output` is the column of the outputs that it gives,
 * and `feature` the index of the feature that it stands for, `measured` the feature, `featureName` and `title` its names,
 * `inputName` that of the column of the network's input, and `part` what of the feature this is. `groups` are lists of the
 * input nodes of each feature if the network is encoded, else there are none.
 */
export function describeNetwork({ layers: explainedLayers, encoded }, model, outputs) {
  const layers = [];
  const byName = new Map();
  const add = (layer) => {
    for (const node of layer.nodes) byName.set(node.name, node);
    layers.push(layer);
  };
  const inputs = findColumns(encoded, model);
  const taking = explainedLayers.map((explained, index) => findInputs(explained, index, inputs));
  const rest = inputs.filter((input) => !taking.some((taken) => taken?.includes(input)));
  if (rest.length) add(createInputLayer(rest, model));
  explainedLayers.forEach((explained, index) => {
    const own = taking[index];
    const layer = createLayer(explained, index, own, model, outputs);
    const sources = explained.inputs?.map((name) => byName.get(name)) ?? layers.at(-1)?.nodes ?? [];
    const isElementwise = explained.kind in ELEMENTWISE;
    const count = layer.nodes.length;
    for (const node of layer.nodes) {
      const taken = isElementwise ? sources.filter((_, source) => source % count === node.position) : sources;
      node.sources = own ? [] : taken; // two of an elementwise layer whose input has gates
    }
    layer.column = own ? 0 : 1 + Math.max(...sources.map((source) => source.layer.column));
    add(layer);
  });
  moveOutputsToTheRight(layers);
  const columns = Array.from({ length: 1 + Math.max(...layers.map(({ column }) => column)) }, () => []);
  for (const layer of layers) columns[layer.column].push(layer);
  const nodes = columns.flat().flatMap((layer) => layer.nodes);
  return { columns, layers: columns.flat(), nodes, groups: encoded ? groupInputs(nodes) : [] };
}

/** The input nodes of each feature. */
function groupInputs(nodes) {
  const groups = new Map();
  for (const node of nodes) if (node.feature !== undefined) groups.set(node.feature, [...(groups.get(node.feature) ?? []), node]);
  return [...groups].sort(([one], [other]) => one - other).map(([, group]) => group);
}

/** The columns that a layer takes one by one, so that its nodes can stand for them; null for other layers. */
function findInputs({ kind, inputs: taken, nodes }, index, inputs) {
  if (kind !== "normalization" && kind !== "rescaling") return null;
  if (!taken && (index > 0 || nodes.length !== inputs.length)) return null;
  const found = nodes.map(({ name }) => inputs.find((input) => input.name === name));
  return found.every((input, unit) => input && (!taken || taken[unit] === input.name)) ? found : null;
}

/** The columns that the network takes as they are. */
function createInputLayer(inputs, model) {
  const isEncoding = inputs.some(({ part }) => part !== null);
  const detail = isEncoding ? "encoded" : "as measured";
  const layer = { name: INPUT, kind: "features", role: "input", title: "input layer", detail, index: -1, column: 0 };
  layer.nodes = inputs.map((input, position) => createInputNode(layer, position, input, model));
  return layer;
}

function createLayer({ name, kind, activation, nodes }, index, inputs, model, outputs) {
  const given = inputs ? null : columnsOf(name, nodes, outputs);
  const role = inputs ? "input" : given ? "output" : "hidden";
  const title = inputs ? "input layer" : given ? "output layer" : spaced(name);
  const detail = kind in ELEMENTWISE ? (ELEMENTWISE[kind] ?? activation) : activation;
  const layer = { name, kind, activation, role, title, detail, index };
  layer.nodes = nodes.map((node, position) =>
    inputs
      ? createInputNode(layer, position, inputs[position], model)
      : createNode(layer, node.name, position, given?.[position].name ?? String(position + 1), given?.[position]),
  );
  return layer;
}

/** The columns of the outputs that the nodes of a layer give, null for other layers. */
function columnsOf(layerName, nodes, outputs) {
  const named = nodes.map(({ name }) => outputs.find(name));
  if (named.every(Boolean)) return named;
  const columns = outputs.heads.filter(({ layer }) => layer === layerName).flatMap((head) => head.columns);
  if (columns.length === nodes.length) return columns;
  return nodes.length === 1 && columns.length === 2 ? [columns[1]] : null; // the second of two labels
}

function createInputNode(layer, position, { name, feature, text, part }, model) {
  const node = createNode(layer, name, position, text);
  const measured = model.features[feature];
  return { ...node, feature, measured, featureName: measured.name, inputName: name, part, title: featureTitle(measured) };
}

function createNode(layer, name, position, text, output = null) {
  const description = layer.role === "hidden" ? `${layer.title}, node ${text}` : `${layer.title}, ${text}`;
  return { key: `${layer.name}.${position + 1}`, name, layer, position, text, description, output, sources: [] };
}

/** Outputs that no other layer takes share the last column. */
function moveOutputsToTheRight(layers) {
  const taken = new Set(layers.flatMap(({ nodes }) => nodes.flatMap(({ sources }) => sources.map((node) => node.layer))));
  const last = Math.max(...layers.map(({ column }) => column));
  for (const layer of layers) if (layer.role === "output" && !taken.has(layer)) layer.column = last;
}
