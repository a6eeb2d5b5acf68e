/** The network diagram: every node with its output, every connection as thick as its contribution. */

import { linkHorizontal, scaleLinear, select } from "./vendor/d3.js";
import { featureTitle, formatFixed, formatShortPercent, maxLength, shorten, spaced } from "./format.js";

const MIN_WIDTH = 0.75; // px, a connection that contributes nothing
const CHARACTER_WIDTH = { input: 0.52, output: 0.62 }; // rem, on average
const MAX_WIDTH = 7; // px, the connection that contributes most in its layer
const curve = linkHorizontal()
  .x(([x]) => x)
  .y(([, y]) => y);

/**
 * The key of a node is `<layer>.<number from 1>`. The diagram emits `inspect` (pointer or focus, null when it leaves)
 * and `pin` (click or Enter, null for Escape) with a key as detail.
 */
export class NetworkDiagram extends EventTarget {
  #container;
  #svg;
  #layers;
  #nodes;
  #connections;
  #hasExplanation = false;

  constructor(container, model) {
    super();
    this.#container = container;
    this.#layers = model.layers.map((layer, index) => ({ ...layer, index, ...describeLayer(layer, index, model) }));
    this.#nodes = this.#layers.flatMap((layer) =>
      layer.names.map((name, position) => createNode(layer, name, position)),
    );
    const column = (index) => this.#nodes.filter((node) => node.layer.index === index);
    this.#connections = this.#layers
      .slice(1)
      .flatMap((layer) => column(layer.index).flatMap((to) => column(layer.index - 1).map((from) => ({ from, to }))));
    this.#draw();
    this.layOut();
  }

  #draw() {
    this.#svg = select(this.#container).append("svg").attr("role", "group");
    this.#svg.attr(
      "aria-label",
      `Network of ${this.#nodes.length} nodes: ${this.#layers.map(describeSize).join(", ")}. ` +
        "Arrow keys move between nodes, Enter pins a node, Escape unpins it.",
    );
    const headings = this.#svg.append("g").attr("class", "layer-headings").attr("aria-hidden", "true");
    const heading = headings.selectAll("g").data(this.#layers).join("g").attr("class", "layer-heading");
    heading.append("text").attr("class", "layer-name");
    heading
      .append("text")
      .attr("class", "layer-detail")
      .attr("dy", "1.25em")
      .text((layer) => layer.detail);
    this.#svg
      .append("g")
      .attr("class", "connections")
      .attr("aria-hidden", "true")
      .selectAll("path")
      .data(this.#connections)
      .join("path")
      .attr("class", "connection");
    const nodes = this.#svg.append("g").selectAll("g").data(this.#nodes).join("g");
    nodes
      .attr("class", (node) => `node ${node.role}`)
      .attr("role", "button")
      .attr("tabindex", (node, index) => (index === 0 ? 0 : -1))
      .attr("data-key", (node) => node.key)
      .attr("data-label", (node) => (node.role === "output" ? node.position % 8 : null))
      .on("pointerenter", (event, node) => event.pointerType !== "touch" && this.#emit("inspect", node.key))
      .on("pointerleave", (event) => event.pointerType !== "touch" && this.#emit("inspect", null))
      .on("focus", (event, node) => this.#onFocus(event.currentTarget, node))
      .on("blur", () => this.#emit("inspect", null))
      .on("click", (event, node) => this.#emit("pin", node.key))
      .on("keydown", (event, node) => this.#onKey(event, node));
    nodes.append("circle").attr("class", "body");
    nodes.filter(".output").append("circle").attr("class", "share").attr("pathLength", 1);
    nodes.append("text").attr("class", "value").attr("dy", ".35em");
    const named = nodes.filter((node) => node.role !== "hidden");
    named.append("text").attr("class", "name");
    named.append("title").text((node) => node.text);
  }

  /**
   * Positions everything; the unit is the page's pixel, so text has the same size at any width.
   * @param {number[]} [rowCenters] vertical centres of the inputs to the left; the first layer is aligned with them
   */
  layOut(rowCenters) {
    const width = Math.max(280, this.#container.clientWidth);
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const isNarrow = width < 30 * rem;
    const radius = isNarrow ? 1.08 * rem : 1.45 * rem;
    const top = 2.7 * rem;
    const maxUnits = Math.max(...this.#layers.map((layer) => layer.units));
    const minHeight = maxUnits * (2 * radius + (rowCenters ? 0.4 : 0.8) * rem);
    const [first, last] = rowCenters ? layerExtent(rowCenters, minHeight, top) : [top, top + minHeight];
    const height = Math.max(last, ...(rowCenters ?? []).map((y) => y + 2 * rem));
    const inputLength = maxLength(this.#layers[0].names);
    const outputLength = maxLength(this.#layers.at(-1).names);
    const left = rem * (rowCenters ? 0.25 : isNarrow ? 5 : Math.min(16, 0.55 * inputLength));
    const right = rem * (isNarrow ? 0.3 : Math.min(7.5, Math.max(4.2, 0.6 * outputLength + 0.9)));
    const x = scaleLinear([0, this.#layers.length - 1], [left + radius, width - right - radius]);
    for (const node of this.#nodes) {
      node.x = x(node.layer.index);
      const y = first + ((last - first) * (node.position + 0.5)) / node.layer.units;
      node.y = rowCenters && node.role === "input" ? rowCenters[node.position] : y;
    }
    this.#svg.attr("viewBox", `0 0 ${width} ${height}`).attr("width", width).attr("height", height);
    this.#svg.classed("beside", Boolean(rowCenters)).classed("narrow", isNarrow);
    this.#svg
      .selectAll(".layer-heading")
      .attr("transform", ({ index }) => `translate(${x(index) - (index === 0 ? radius : 0)},${1.1 * rem})`)
      .attr("text-anchor", ({ index }) =>
        index === 0 ? "start" : isNarrow && index === this.#layers.length - 1 ? "end" : "middle",
      )
      .filter(({ index }) => isNarrow && index === this.#layers.length - 1)
      .attr("transform", `translate(${width},${1.1 * rem})`);
    this.#svg.selectAll(".layer-name").text(({ title }) => (isNarrow ? title.replace(" layer", "") : title));
    const nodes = this.#svg.selectAll(".node").attr("transform", ({ x, y }) => `translate(${x},${y})`);
    nodes.selectAll(".body, .share").attr("r", radius);
    nodes.selectAll(".name").each(function (node) {
      const room = node.role === "input" ? left : isNarrow ? x(1) - x(0) - 0.5 * rem : right;
      renderName(select(this), node, radius, rem, isNarrow, Math.floor(room / (CHARACTER_WIDTH[node.role] * rem)));
    });
    this.#svg
      .selectAll(".connection")
      .attr("d", ({ from, to }) => curve({ source: [from.x + radius, from.y], target: [to.x - radius, to.y] }));
  }

  /** Shows an explanation; null empties the diagram. */
  show(explanation) {
    this.#hasExplanation = Boolean(explanation);
    this.#svg.classed("waiting", !explanation);
    if (!explanation) return this.#clear();
    for (const node of this.#nodes) Object.assign(node, explanation.layers[node.layer.index].nodes[node.position]);
    const maxContributions = this.#layers.map((layer) => maxContribution(explanation.layers[layer.index].nodes));
    for (const connection of this.#connections) {
      connection.contribution = connection.to.connections[connection.from.position].contribution;
      const max = maxContributions[connection.to.layer.index] || 1;
      connection.share = Math.abs(connection.contribution) / max;
    }
    this.#svg
      .selectAll(".connection")
      .classed("increases", ({ contribution }) => contribution > 0)
      .classed("decreases", ({ contribution }) => contribution < 0)
      .style("stroke-width", ({ share }) => `${MIN_WIDTH + (MAX_WIDTH - MIN_WIDTH) * share}px`)
      .style("--share", ({ share }) => share);
    this.#showOutputs(explanation);
  }

  #clear() {
    this.#svg.selectAll(".connection").attr("class", "connection").style("stroke-width", `${MIN_WIDTH}px`);
    this.#svg
      .selectAll(".node")
      .attr("class", ({ role }) => `node ${role}`)
      .attr("aria-label", ({ description }) => `${description}: no output yet`)
      .style("--fill", "0%");
    this.#svg.selectAll(".value").text("");
    this.#svg.selectAll(".share").style("stroke-dasharray", "0 1");
  }

  #showOutputs(explanation) {
    const maxOutputs = this.#layers.map((layer) =>
      Math.max(1e-9, ...explanation.layers[layer.index].nodes.map(({ output }) => Math.abs(output))),
    );
    const predictedLabel = explanation.prediction.label;
    const nodes = this.#svg
      .selectAll(".node")
      .classed("positive", ({ output }) => output > 0)
      .classed("negative", ({ output }) => output < 0)
      .classed("silent", ({ output, role }) => output === 0 && role === "hidden")
      .classed("best", (node) => node.role === "output" && node.text === predictedLabel)
      .style("--fill", ({ output, layer }) => `${Math.round((100 * Math.abs(output)) / maxOutputs[layer.index])}%`)
      .attr("aria-label", (node) => `${node.description}: output ${formatOutput(node)}`);
    nodes.select(".value").text(formatOutput);
    nodes.select(".share").style("stroke-dasharray", ({ output }) => `${output} 1`);
  }

  /** Highlights a node and its incoming connections, or outgoing ones for an input node; null highlights nothing. */
  highlight(key) {
    const highlighted = this.#nodes.find((node) => node.key === key) ?? null;
    const isInput = highlighted?.layer.index === 0;
    const neighbours = highlighted && highlighted.layer.index + (isInput ? 1 : -1);
    this.#svg.classed("has-highlight", Boolean(highlighted));
    this.#svg.selectAll(".connection").classed("highlighted", ({ from, to }) => (isInput ? from : to) === highlighted);
    this.#svg
      .selectAll(".node")
      .classed("highlighted", (node) => node === highlighted)
      .classed("neighbour", (node) => node.layer.index === neighbours);
  }

  /** Marks the pinned node; null marks none. */
  pin(key) {
    this.#svg
      .selectAll(".node")
      .classed("pinned", (node) => node.key === key)
      .attr("aria-pressed", (node) => node.key === key);
  }

  /** Shows a forward pass that has reached so many layers; `flowingLayer` is the layer whose inputs flow in, or null. */
  showForwardPass(reachedLayers, flowingLayer) {
    this.#svg.classed("forward-pass", reachedLayers < this.#layers.length || flowingLayer !== null);
    this.#svg
      .selectAll(".node")
      .classed("pending", ({ layer }) => layer.index >= reachedLayers)
      .classed("current", ({ layer }) => layer.index === reachedLayers - 1 && flowingLayer === null);
    this.#svg
      .selectAll(".connection")
      .classed("pending", ({ to }) => to.layer.index >= reachedLayers && to.layer.index !== flowingLayer)
      .classed("flowing", ({ to }) => to.layer.index === flowingLayer);
  }

  /** Marks one part of the diagram: `nodes`, `connections`, `layers` or `outputs`; null marks none. */
  markPart(part) {
    for (const name of ["nodes", "connections", "layers", "outputs"]) this.#svg.classed(`marks-${name}`, name === part);
  }

  hasNode(key) {
    return this.#nodes.some((node) => node.key === key);
  }

  #emit(type, detail) {
    if (this.#hasExplanation) this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #onFocus(element, node) {
    this.#svg.selectAll(".node").attr("tabindex", -1);
    element.setAttribute("tabindex", 0);
    if (element.matches(":focus-visible")) this.#emit("inspect", node.key);
  }

  #onKey(event, node) {
    const { index } = node.layer;
    const column = (layerIndex) => this.#nodes.filter((other) => other.layer.index === layerIndex);
    const nearest = (layerIndex) =>
      column(layerIndex).sort((a, b) => Math.abs(a.y - node.y) - Math.abs(b.y - node.y))[0];
    const moves = {
      ArrowUp: () => column(index)[node.position - 1],
      ArrowDown: () => column(index)[node.position + 1],
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

function describeLayer(layer, index, model) {
  const isLast = index === model.layers.length - 1;
  if (index === 0)
    return { names: model.features.map(featureTitle), role: "input", title: "input layer", detail: "normalized" };
  if (isLast) return { names: model.labels, role: "output", title: "output layer", detail: layer.activation };
  const names = Array.from({ length: layer.units }, (_, position) => String(position + 1));
  return { names, role: "hidden", title: spaced(layer.name), detail: layer.activation };
}

function createNode(layer, name, position) {
  const description = layer.role === "hidden" ? `${layer.title}, node ${name}` : `${layer.title}, ${name}`;
  return { key: `${layer.name}.${position + 1}`, layer, position, text: name, description, role: layer.role };
}

function describeSize({ title, units }) {
  return `${title} with ${units}`;
}

function formatOutput({ role, output }) {
  return role === "output" ? formatShortPercent(output) : formatFixed(output, Math.abs(output) < 10 ? 2 : 1);
}

function maxContribution(nodes) {
  return Math.max(
    0,
    ...nodes.flatMap((node) => (node.connections ?? []).map(({ contribution }) => Math.abs(contribution))),
  );
}

/** Renders the name of a node: left of an input, right of an output or, in a narrow diagram, below it. */
function renderName(element, { role, text }, radius, rem, isNarrow, maxLength) {
  const isBelow = isNarrow && role === "output";
  const lines = isNarrow && role === "input" ? text.split(/ (?=\S+$)/) : [text];
  const isWide = text.length > 6; // than its node
  element
    .attr("text-anchor", isBelow ? (isWide ? "end" : "middle") : role === "input" ? "end" : "start")
    .attr("dy", isBelow ? "1em" : ".35em")
    .text(null)
    .selectAll("tspan")
    .data(lines)
    .join("tspan")
    .attr("x", isBelow ? (isWide ? radius : 0) : (role === "input" ? -1 : 1) * (radius + 0.45 * rem))
    .attr("y", (_, line) => (isBelow ? radius + 0.15 * rem : 0.85 * rem * (line - (lines.length - 1) / 2)))
    .attr("dy", isBelow ? "1em" : ".35em")
    .text((line) => shorten(line, maxLength));
}

/** Top and bottom of the layers: those of the inputs, or further apart where the largest layer needs more room. */
function layerExtent(rowCenters, minHeight, top) {
  const [first, last] = [Math.min(...rowCenters), Math.max(...rowCenters)];
  const half = Math.max(((last - first) * rowCenters.length) / (rowCenters.length - 1 || 1), minHeight) / 2;
  const from = Math.max(top, (first + last) / 2 - half);
  return [from, from + 2 * half];
}
