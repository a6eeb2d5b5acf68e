/** The structure of a network: its layers in columns, from left to right, and which nodes each node takes its input from. */

import { featureTitle, spaced } from "./format.js";

const ELEMENTWISE = { normalization: "normalized", rescaling: "rescaled", activation: null }; // one input per node
const INPUT = "~input"; // the layer of the features where the network does not begin with one of its own

/** The layers as `/explain` has them, guessed from the model's schema; null if only an explanation can tell them. */
export function guessLayers(model, outputs) {
  if (!outputs.isTrainedHere) return null;
  return model.layers.map(({ name, units, activation }, index) => ({
    name,
    activation,
    kind: index === 0 && units === model.features.length ? "normalization" : "dense",
    nodes: Array.from({ length: units }, (_, unit) => ({ name: index ? `${name}.${unit + 1}` : model.features[unit].name })),
  }));
}

/** A text that differs where two explanations have different networks. */
export function fingerprint(layers) {
  return JSON.stringify(layers.map(({ name, kind, activation, inputs, nodes }) => [name, kind, activation, inputs, nodes.length]));
}

/**
 * `columns` are lists of layers; a layer has `{name, kind, activation, role, title, detail, nodes, column, index}`, where
 * the index is that in the explanation, -1 for the features. A node has `{key, name, text, description, layer, position,
 * sources, output, feature}`: `sources` are the nodes that it takes, `output` is the column of the outputs that it gives,
 * and `feature` the index of the feature that it stands for, `featureName` its name.
 */
export function describeNetwork(explainedLayers, model, outputs) {
  const layers = [];
  const byName = new Map();
  const add = (layer) => {
    for (const node of layer.nodes) byName.set(node.name, node);
    layers.push(layer);
  };
  const taking = explainedLayers.map((explained, index) => findFeatures(explained, index, model));
  const rest = model.features.map((_, index) => index).filter((index) => !taking.some((features) => features?.includes(index)));
  if (rest.length) add(createInputLayer(rest, model));
  explainedLayers.forEach((explained, index) => {
    const features = taking[index];
    const layer = createLayer(explained, index, features, model, outputs);
    const sources = explained.inputs?.map((name) => byName.get(name)) ?? layers.at(-1)?.nodes ?? [];
    const isElementwise = explained.kind in ELEMENTWISE;
    const count = layer.nodes.length;
    for (const node of layer.nodes) {
      const own = isElementwise ? sources.filter((_, source) => source % count === node.position) : sources;
      node.sources = features ? [] : own; // two of an elementwise layer whose input has gates
    }
    layer.column = features ? 0 : 1 + Math.max(...sources.map((source) => source.layer.column));
    add(layer);
  });
  moveOutputsToTheRight(layers);
  const columns = Array.from({ length: 1 + Math.max(...layers.map(({ column }) => column)) }, () => []);
  for (const layer of layers) columns[layer.column].push(layer);
  const nodes = columns.flat().flatMap((layer) => layer.nodes);
  return { columns, layers: columns.flat(), nodes };
}

/** The features that a layer takes one by one, so that its nodes can stand for them; null for other layers. */
function findFeatures({ kind, inputs, nodes }, index, model) {
  if (kind !== "normalization" && kind !== "rescaling") return null;
  if (!inputs) return index === 0 && nodes.length === model.features.length ? nodes.map((_, feature) => feature) : null;
  const features = nodes.map(({ name }) => model.features.findIndex((feature) => feature.name === name));
  return features.every((feature, unit) => feature >= 0 && inputs[unit] === nodes[unit].name) ? features : null;
}

/** The features that the network takes as they are. */
function createInputLayer(features, model) {
  const layer = { name: INPUT, kind: "features", role: "input", title: "input layer", detail: "as measured", index: -1, column: 0 };
  layer.nodes = features.map((feature, position) =>
    createFeatureNode(layer, model.features[feature].name, position, feature, model),
  );
  return layer;
}

function createLayer({ name, kind, activation, nodes }, index, features, model, outputs) {
  const given = features ? null : columnsOf(name, nodes, outputs);
  const role = features ? "input" : given ? "output" : "hidden";
  const title = features ? "input layer" : given ? "output layer" : spaced(name);
  const detail = kind in ELEMENTWISE ? (ELEMENTWISE[kind] ?? activation) : activation;
  const layer = { name, kind, activation, role, title, detail, index };
  layer.nodes = nodes.map((node, position) =>
    features
      ? createFeatureNode(layer, node.name, position, features[position], model)
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

function createFeatureNode(layer, name, position, feature, model) {
  const described = model.features[feature];
  return { ...createNode(layer, name, position, featureTitle(described)), feature, featureName: described.name };
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
