/** The columns of numbers that a network takes: the measurements, or what its encoders make of them. */

import { featureTitle } from "./format.js";
import { isEncoded } from "./features.js";

const SUFFIX = /^(?:: (.*)| is (missing)| \((embedded)\)| (\[\d+\])|)$/s; // what the service adds to a feature's name

/**
 * `{name, feature, text, part}`: the feature is an index, the part is what the column stands for beside the feature's
 * title ("Biscoe"), null for a number as it is. They are in the order of the features.
 */
export function findColumns(explainedLayers, model) {
  if (!isEncoded(model)) return model.features.map(({ name }, feature) => createColumn(name, feature, null, model));
  const names = model.network_inputs ?? collectNames(explainedLayers);
  const columns = names.map((name) => recognize(name, model)).filter(Boolean);
  return columns.sort((a, b) => a.feature - b.feature);
}

/** The names that layers take and that are not those of other layers' nodes. */
function collectNames(explainedLayers) {
  const computed = new Set();
  const names = new Set();
  explainedLayers.forEach(({ inputs, nodes }, index) => {
    const first = nodes[0].connections?.map(({ from }) => from) ?? nodes.map(({ name }) => name);
    for (const name of inputs ?? (index === 0 ? first : [])) if (!computed.has(name)) names.add(name);
    for (const { name } of nodes) if (!names.has(name)) computed.add(name);
  });
  return [...names];
}

/** The longest name of a feature that a column's name begins with says which one it is. */
function recognize(name, model) {
  let found = null;
  model.features.forEach((feature, index) => {
    const match = name.startsWith(feature.name) && name.slice(feature.name.length).match(SUFFIX);
    if (match && !(found && found.length >= feature.name.length)) found = { index, match, length: feature.name.length };
  });
  if (!found) return null;
  const [, value, ...others] = found.match;
  return createColumn(name, found.index, value ?? others.find(Boolean) ?? null, model);
}

function createColumn(name, feature, part, model) {
  const title = featureTitle(model.features[feature]);
  return { name, feature, part, text: part === null ? title : `${title}: ${part}` };
}
