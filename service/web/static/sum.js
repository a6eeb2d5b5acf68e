/** A node's sum written out, as on paper: what comes in, times its weight, all added up, then the activation. */

import { h } from "./dom.js";
import { fixed, measure, percent, signed, spaced, title } from "./figures.js";

const FEW = 6; // labels whose powers of e are written out

/** What makes up the output of the node with this key. */
export function sum(answer, model, key) {
  const [layer, place] = find(answer, key);
  const node = layer.nodes[place];
  const index = answer.layers.indexOf(layer);
  if (layer.kind === "normalization") return rescaled(node, model.features[place]);
  const names = sources(answer, model, index);
  const whole = index === answer.layers.length - 1 ? node.name : `${spaced(layer.name)}, node ${place + 1}`;
  return [
    h("h3", {}, whole),
    h("p", { className: "formula" }, `output = ${layer.activation}(weighted sum of the inputs)`),
    h("ul", { className: "terms", "aria-label": "Input times weight, for each connection" }, ...terms(node, names)),
    h("p", { className: "total" }, "weighted sum ", h("b", {}, fixed(node.weighted_sum))),
    h("p", { className: "output" }, ...activated(layer, node)),
  ];
}

function find(answer, key) {
  const layer = answer.layers.find(
    ({ name }) => key.startsWith(`${name}.`) && /^\d+$/.test(key.slice(name.length + 1)),
  );
  return [layer, Number(key.slice(layer.name.length + 1)) - 1];
}

function sources(answer, model, index) {
  if (index === 1) return model.features.map(title);
  return answer.layers[index - 1].nodes.map((_, place) => `${spaced(answer.layers[index - 1].name)}, ${place + 1}`);
}

function terms(node, names) {
  const parts = node.connections.map(({ input, weight, contribution }, place) =>
    term(contribution, `${fixed(input)} × ${bracketed(weight)}`, names[place]),
  );
  return [...parts, term(node.bias, fixed(node.bias), "bias")];
}

function term(value, said, name) {
  const sign = Math.abs(value) < 0.005 ? "none" : value > 0 ? "adds" : "takes";
  return h(
    "li",
    { className: `term ${sign}` },
    h("span", { className: "term-name" }, name),
    h("span", { className: "term-sum" }, said),
    h("span", { className: "term-value" }, signed(value)),
  );
}

function activated({ activation, nodes }, node) {
  const z = fixed(node.weighted_sum);
  if (activation === "softmax") {
    const powers = nodes.map(({ weighted_sum: other }) => h("span", {}, "e", h("sup", {}, fixed(other, 1))));
    const all = nodes.length > FEW ? ["all such powers"] : powers.flatMap((power, i) => (i ? [" + ", power] : [power]));
    return [
      "output = e",
      h("sup", {}, fixed(node.weighted_sum, 1)),
      " ÷ (",
      ...all,
      ") = ",
      h("b", {}, percent(node.output)),
    ];
  }
  const end = [`output = ${activation}(${z}) = `, h("b", {}, fixed(node.output))];
  if (activation !== "relu") return end;
  const why = node.weighted_sum > 0 ? "positive, so passed on as it is" : "not positive, so the node stays silent";
  return [...end, h("span", { className: "soft" }, `, ${why}`)];
}

function rescaled({ value, mean, standard_deviation: deviation, output }, feature) {
  const way = output >= 0 ? "above" : "below";
  return [
    h("h3", {}, title(feature)),
    h("p", { className: "formula" }, "output = (measured − mean) ÷ standard deviation"),
    h(
      "p",
      { className: "output" },
      `(${measure(feature, value)} − ${measure(feature, mean)}) ÷ ${measure(feature, deviation)} = `,
      h("b", {}, fixed(output)),
    ),
    h(
      "p",
      { className: "soft" },
      `${fixed(Math.abs(output))} standard deviations ${way} the mean of the training rows. ` +
        "Rescaled like this, measurements of any unit can be added up.",
    ),
  ];
}

function bracketed(value) {
  return value < 0 ? `(${fixed(value)})` : fixed(value);
}
