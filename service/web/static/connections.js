/** Which connections of a network are drawn, and how strong each is. */

import { columnValues } from "./network_inputs.js";

const MAX_ALL = 160; // connections into a layer; of more, only the strongest are drawn
const STRONGEST = 48; // into such a layer, and into or out of a highlighted node

/** Sets `raw` of every node, what an explanation says of it, and its `value`: what it passes on. */
export function setOutputs({ layers }, explanation) {
  const columns = columnValues(explanation);
  for (const layer of layers) {
    const explained = explanation.layers[layer.index]?.nodes;
    layer.nodes.forEach((node) => {
      node.raw = explained?.[node.position] ?? null;
      node.value = node.raw ? node.raw.output : columns[node.inputName];
    });
  }
}

/** The connections to draw, `{key, from, to, contribution, share, isMany}`; before an explanation, all of small layers. */
export function selectConnections({ layers }, highlighted) {
  return layers.flatMap((layer) => selectIntoLayer(layer, highlighted));
}

function selectIntoLayer(layer, highlighted) {
  const all = layer.nodes.flatMap((to) => to.sources.map((from, index) => createConnection(from, to, index)));
  const max = all.reduce((largest, { size }) => Math.max(largest, size), 0) || 1;
  const isMany = all.length > MAX_ALL;
  for (const connection of all) Object.assign(connection, { share: connection.size / max, isMany });
  if (!isMany) return all;
  const strongest = all.sort((a, b) => b.size - a.size).slice(0, STRONGEST);
  const touching = all.filter(({ from, to }) => isTouching(highlighted, from, to)).slice(0, STRONGEST);
  return [...new Set([...strongest, ...touching])];
}

/** Whether a connection belongs to the highlighted node: into it or, if it is an input, out of it. */
export function isTouching(highlighted, from, to) {
  return highlighted !== null && (highlighted.layer.role === "input" ? from : to) === highlighted;
}

/** A connection without a weight, into a node that takes only one, is as strong as what it passes on. */
function createConnection(from, to, index) {
  const contribution = to.raw?.connections?.[index].contribution ?? null;
  const size = to.raw ? Math.abs(contribution ?? 0) : 0;
  return { key: `${from.key}>${to.key}`, from, to, contribution, size };
}
