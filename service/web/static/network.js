/** The network drawn whole: every node with its output, every connection as thick as what it carries. */

import { linkHorizontal, scaleLinear, select } from "./vendor/d3.js";
import { fixed, longest, shortPercent, spaced, title } from "./figures.js";

const THIN = 0.75; // px, a connection that carries nothing
const THICK = 7; // px, the one that carries most of its layer
const curve = linkHorizontal()
  .x(([x]) => x)
  .y(([, y]) => y);

/**
 * The nodes' keys are `<layer>.<number from 1>`; the picture emits `look` (pointer or focus, null when it leaves) and
 * `pin` (click or Enter, null for Escape) with a key as detail.
 */
export class Network extends EventTarget {
  #container;
  #svg;
  #layers;
  #nodes;
  #links;
  #answered = false;

  constructor(container, model) {
    super();
    this.#container = container;
    this.#layers = model.layers.map((layer, index) => ({ ...layer, index, ...wording(layer, index, model) }));
    this.#nodes = this.#layers.flatMap((layer) => layer.names.map((name, place) => node(layer, name, place)));
    const column = (index) => this.#nodes.filter((node) => node.layer.index === index);
    this.#links = this.#layers
      .slice(1)
      .flatMap((layer) => column(layer.index).flatMap((to) => column(layer.index - 1).map((from) => ({ from, to }))));
    this.#draw();
    this.lay();
  }

  #draw() {
    this.#svg = select(this.#container).append("svg").attr("role", "group");
    this.#svg.attr(
      "aria-label",
      `Network of ${this.#nodes.length} nodes: ${this.#layers.map(said).join(", ")}. ` +
        "Arrow keys go from node to node, Enter keeps one, Escape lets go.",
    );
    const heads = this.#svg.append("g").attr("class", "heads").attr("aria-hidden", "true");
    const head = heads.selectAll("g").data(this.#layers).join("g").attr("class", "head");
    head.append("text").attr("class", "head-name");
    head
      .append("text")
      .attr("class", "head-more")
      .attr("dy", "1.25em")
      .text((layer) => layer.more);
    this.#svg
      .append("g")
      .attr("class", "links")
      .attr("aria-hidden", "true")
      .selectAll("path")
      .data(this.#links)
      .join("path")
      .attr("class", "link");
    const nodes = this.#svg.append("g").selectAll("g").data(this.#nodes).join("g");
    nodes
      .attr("class", (node) => `node ${node.kind}`)
      .attr("role", "button")
      .attr("tabindex", (node, index) => (index === 0 ? 0 : -1))
      .attr("data-key", (node) => node.key)
      .attr("data-label", (node) => (node.kind === "out" ? node.place % 8 : null))
      .on("pointerenter", (event, node) => event.pointerType !== "touch" && this.#emit("look", node.key))
      .on("pointerleave", (event) => event.pointerType !== "touch" && this.#emit("look", null))
      .on("focus", (event, node) => this.#focus(event.currentTarget, node))
      .on("blur", () => this.#emit("look", null))
      .on("click", (event, node) => this.#emit("pin", node.key))
      .on("keydown", (event, node) => this.#key(event, node));
    nodes.append("circle").attr("class", "body");
    nodes.filter(".out").append("circle").attr("class", "share").attr("pathLength", 1);
    nodes.append("text").attr("class", "value").attr("dy", ".35em");
    const named = nodes.filter((node) => node.kind !== "hidden");
    named.append("text").attr("class", "name");
  }

  /**
   * Places everything; the pixels of the picture are those of the page, so text keeps its size at any width.
   * @param {number[]} [rows] the heights of what stands to the left, which the first layer continues
   */
  lay(rows) {
    const width = Math.max(280, this.#container.clientWidth);
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const narrow = width < 30 * rem;
    const radius = narrow ? 1.08 * rem : 1.45 * rem;
    const top = 2.7 * rem;
    const tallest = Math.max(...this.#layers.map((layer) => layer.units));
    const least = tallest * (2 * radius + (rows ? 0.4 : 0.8) * rem);
    const [first, last] = rows ? spread(rows, least, top) : [top, top + least];
    const height = Math.max(last, ...(rows ?? []).map((y) => y + 2 * rem));
    const before = longest(this.#layers[0].names);
    const after = longest(this.#layers.at(-1).names);
    const left = rem * (rows ? 0.25 : narrow ? 5 : Math.min(16, 0.55 * before));
    const right = rem * (narrow ? 0.3 : Math.min(10, Math.max(4.2, 0.6 * after + 0.9)));
    const x = scaleLinear([0, this.#layers.length - 1], [left + radius, width - right - radius]);
    for (const node of this.#nodes) {
      node.x = x(node.layer.index);
      const level = first + ((last - first) * (node.place + 0.5)) / node.layer.units;
      node.y = rows && node.kind === "in" ? rows[node.place] : level;
    }
    this.#svg.attr("viewBox", `0 0 ${width} ${height}`).attr("width", width).attr("height", height);
    this.#svg.classed("beside", Boolean(rows)).classed("narrow", narrow);
    this.#svg
      .selectAll(".head")
      .attr("transform", ({ index }) => `translate(${x(index) - (index === 0 ? radius : 0)},${1.1 * rem})`)
      .attr("text-anchor", ({ index }) =>
        index === 0 ? "start" : narrow && index === this.#layers.length - 1 ? "end" : "middle",
      )
      .filter(({ index }) => narrow && index === this.#layers.length - 1)
      .attr("transform", `translate(${width},${1.1 * rem})`);
    this.#svg.selectAll(".head-name").text(({ title }) => (narrow ? title.replace(" layer", "") : title));
    const nodes = this.#svg.selectAll(".node").attr("transform", ({ x, y }) => `translate(${x},${y})`);
    nodes.selectAll(".body, .share").attr("r", radius);
    nodes.selectAll(".name").each(function (node) {
      name(select(this), node, radius, rem, narrow);
    });
    this.#svg
      .selectAll(".link")
      .attr("d", ({ from, to }) => curve({ source: [from.x + radius, from.y], target: [to.x - radius, to.y] }));
  }

  /** Shows an explanation; with null, a network that waits. */
  show(answer) {
    this.#answered = Boolean(answer);
    this.#svg.classed("waiting", !answer);
    if (!answer) return this.#clear();
    for (const node of this.#nodes) Object.assign(node, answer.layers[node.layer.index].nodes[node.place]);
    const most = this.#layers.map((layer) => greatest(answer.layers[layer.index].nodes));
    for (const link of this.#links) {
      link.carries = link.to.connections[link.from.place].contribution;
      link.share = Math.abs(link.carries) / (most[link.to.layer.index] || 1);
    }
    this.#svg
      .selectAll(".link")
      .classed("adds", ({ carries }) => carries > 0)
      .classed("takes", ({ carries }) => carries < 0)
      .style("stroke-width", ({ share }) => `${THIN + (THICK - THIN) * share}px`)
      .style("--share", ({ share }) => share);
    this.#values(answer);
  }

  #clear() {
    this.#svg.selectAll(".link").attr("class", "link").style("stroke-width", `${THIN}px`);
    this.#svg
      .selectAll(".node")
      .attr("class", ({ kind }) => `node ${kind}`)
      .attr("aria-label", ({ long }) => `${long}: waits`)
      .style("--fill", "0%");
    this.#svg.selectAll(".value").text("");
    this.#svg.selectAll(".share").style("stroke-dasharray", "0 1");
  }

  #values(answer) {
    const most = this.#layers.map((layer) =>
      Math.max(1e-9, ...answer.layers[layer.index].nodes.map(({ output }) => Math.abs(output))),
    );
    const best = answer.prediction.label;
    const nodes = this.#svg
      .selectAll(".node")
      .classed("positive", ({ output }) => output > 0)
      .classed("negative", ({ output }) => output < 0)
      .classed("silent", ({ output, kind }) => output === 0 && kind === "hidden")
      .classed("best", (node) => node.kind === "out" && node.said === best)
      .style("--fill", ({ output, layer }) => `${Math.round((100 * Math.abs(output)) / most[layer.index])}%`)
      .attr("aria-label", (node) => `${node.long}: output ${told(node)}`);
    nodes.select(".value").text(told);
    nodes.select(".share").style("stroke-dasharray", ({ output }) => `${output} 1`);
  }

  /** Lights a node and what comes into it, or of the first layer what goes out of it; null lights all. */
  light(key) {
    const lit = this.#nodes.find((node) => node.key === key) ?? null;
    const first = lit?.layer.index === 0;
    const beside = lit && lit.layer.index + (first ? 1 : -1);
    this.#svg.classed("lit", Boolean(lit));
    this.#svg.selectAll(".link").classed("on", ({ from, to }) => (first ? from : to) === lit);
    this.#svg
      .selectAll(".node")
      .classed("on", (node) => node === lit)
      .classed("feeds", (node) => node.layer.index === beside);
  }

  /** Marks which node is kept, or null. */
  pin(key) {
    this.#svg
      .selectAll(".node")
      .classed("pinned", (node) => node.key === key)
      .attr("aria-pressed", (node) => node.key === key);
  }

  /** How far a forward pass has come: layers from `reached` on are still to come, `flowing` is on its way. */
  pass(reached, flowing) {
    this.#svg.classed("passing", reached < this.#layers.length || flowing !== null);
    this.#svg
      .selectAll(".node")
      .classed("ahead", ({ layer }) => layer.index >= reached)
      .classed("now", ({ layer }) => layer.index === reached - 1 && flowing === null);
    this.#svg
      .selectAll(".link")
      .classed("ahead", ({ to }) => to.layer.index >= reached && to.layer.index !== flowing)
      .classed("flows", ({ to }) => to.layer.index === flowing);
  }

  /** Points out the parts that a word means: `nodes`, `links`, `layers` or `outputs`; null for none. */
  point(part) {
    for (const name of ["nodes", "links", "layers", "outputs"]) this.#svg.classed(`points-${name}`, name === part);
  }

  /** The key of the node that stands for a label. */
  keyOf(label) {
    return this.#nodes.find((node) => node.kind === "out" && node.said === label)?.key ?? null;
  }

  has(key) {
    return this.#nodes.some((node) => node.key === key);
  }

  #emit(type, detail) {
    if (this.#answered) this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #focus(element, node) {
    this.#svg.selectAll(".node").attr("tabindex", -1);
    element.setAttribute("tabindex", 0);
    if (element.matches(":focus-visible")) this.#emit("look", node.key);
  }

  #key(event, node) {
    const { index } = node.layer;
    const column = (at) => this.#nodes.filter((other) => other.layer.index === at);
    const nearest = (at) => column(at).sort((a, b) => Math.abs(a.y - node.y) - Math.abs(b.y - node.y))[0];
    const moves = {
      ArrowUp: () => column(index)[node.place - 1],
      ArrowDown: () => column(index)[node.place + 1],
      ArrowLeft: () => nearest(index - 1),
      ArrowRight: () => nearest(index + 1),
    };
    if (event.key === "Enter" || event.key === " ") this.#emit("pin", node.key);
    else if (event.key === "Escape") this.#emit("pin", null);
    else if (event.key in moves)
      this.#svg
        .selectAll(".node")
        .filter((other) => other === moves[event.key]())
        .node()
        ?.focus();
    else return;
    event.preventDefault();
  }
}

function wording(layer, index, model) {
  const last = index === model.layers.length - 1;
  if (index === 0) return { names: model.features.map(title), kind: "in", title: "input layer", more: "rescaled" };
  if (last) return { names: model.labels, kind: "out", title: "output layer", more: layer.activation };
  const names = Array.from({ length: layer.units }, (_, place) => String(place + 1));
  return { names, kind: "hidden", title: spaced(layer.name), more: layer.activation };
}

function node(layer, name, place) {
  const long = layer.kind === "hidden" ? `${layer.title}, node ${name}` : `${layer.title}, ${name}`;
  return { key: `${layer.name}.${place + 1}`, layer, place, said: name, long, kind: layer.kind };
}

function said({ title, units }) {
  return `${title} with ${units}`;
}

function told({ kind, output }) {
  return kind === "out" ? shortPercent(output) : fixed(output, Math.abs(output) < 10 ? 2 : 1);
}

function greatest(nodes) {
  return Math.max(
    0,
    ...nodes.flatMap((node) => (node.connections ?? []).map(({ contribution }) => Math.abs(contribution))),
  );
}

/** Writes a node's name: before the first layer, behind the last or, where there is no room, below it. */
function name(text, { kind, said }, radius, rem, narrow) {
  const below = narrow && kind === "out";
  const lines = narrow && kind === "in" ? said.split(/ (?=\S+$)/) : [said];
  text
    .attr("text-anchor", below ? "middle" : kind === "in" ? "end" : "start")
    .attr("dy", below ? "1em" : ".35em")
    .text(null)
    .selectAll("tspan")
    .data(lines)
    .join("tspan")
    .attr("x", below ? 0 : (kind === "in" ? -1 : 1) * (radius + 0.45 * rem))
    .attr("y", (_, line) => (below ? radius + 0.15 * rem : 0.85 * rem * (line - (lines.length - 1) / 2)))
    .attr("dy", below ? "1em" : ".35em")
    .text((line) => line);
}

/** From where to where the layers reach: as far as the rows of the first, or further where more nodes need room. */
function spread(rows, least, top) {
  const [first, last] = [Math.min(...rows), Math.max(...rows)];
  const half = Math.max(((last - first) * rows.length) / (rows.length - 1 || 1), least) / 2;
  const from = Math.max(top, (first + last) / 2 - half);
  return [from, from + 2 * half];
}
