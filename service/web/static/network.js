/** The network diagram: every node with its output, connections as thick as their contributions. */

import { isTouching, selectConnections, setOutputs } from "./connections.js";
import { formatCompact, formatShortPercent, shorten } from "./format.js";
import { columnValues, describeEncoding } from "./network_inputs.js";
import { layOutNetwork } from "./network_layout.js";
import { linkHorizontal, select } from "./vendor/d3.js";

const MIN_WIDTH = 0.75; // px, a connection that contributes nothing
const [MAX_WIDTH, MAX_WIDTH_OF_MANY] = [7, 4]; // px, the connection that contributes most in its layer
const CHARACTER_WIDTH = { input: 0.52, output: 0.62 }; // rem, on average
const CELL_CHARACTER_WIDTH = 0.46; // rem
const [MIN_HEADING, MIN_LONG_HEADING] = [5, 6.4]; // rem; columns that are closer have shorter headings, or only numbers
const PROBABILITIES = ["softmax", "sigmoid"];
const MIN_NAME = 3.4; // rem for the name of an output below its node
const MIN_CURVE = 3.2; // rem; between columns that are closer, connections are straight
const curve = linkHorizontal()
  .x(([x]) => x)
  .y(([, y]) => y);
const line = ({ source, target }) => `M${source}L${target}`;

/**
 * The key of a node is `<layer>.<number from 1>`. The diagram emits `inspect` (pointer or focus, null when it leaves)
 * and `pin` (click or Enter, null for Escape) with a key as detail.
 */
export class NetworkDiagram extends EventTarget {
  #container;
  #svg;
  #outputs;
  #structure;
  #connectionGroup;
  #highlighted = null;
  #explanation = null;
  #reached = Infinity; // columns that the forward pass has reached
  #flowing = null; // the column whose inputs flow in
  #size; // what `layOutNetwork` returns

  /** @param structure of `describeNetwork` */
  constructor(container, outputs, structure) {
    super();
    this.#container = container;
    this.#outputs = outputs;
    this.#structure = structure;
    this.#draw();
    this.layOut();
  }

  remove() {
    this.#svg.remove();
  }

  #draw() {
    const { nodes, layers, columns, groups: groupTitles } = this.#structure;
    this.#svg = select(this.#container).append("svg").attr("role", "group");
    this.#svg.attr(
      "aria-label",
      `Network of ${nodes.length} nodes: ${layers.map(describeSize).join(", ")}. ` +
        "Arrow keys move between nodes, Enter pins a node, Escape unpins it.",
    );
    const headings = this.#svg.append("g").attr("class", "layer-headings").attr("aria-hidden", "true");
    const heading = headings.selectAll("g").data(columns).join("g").attr("class", "layer-heading");
    heading.append("title").text((column) => column.map(({ name, title, detail }) => `${title} (${name}): ${detail}`).join("\n"));
    heading.append("text").attr("class", "layer-name");
    heading.append("text").attr("class", "layer-detail").attr("dy", "1.25em");
    this.#connectionGroup = this.#svg.append("g").attr("class", "connections").attr("aria-hidden", "true");
    const groups = this.#svg.append("g").selectAll("g").data(nodes).join("g");
    groups
      .attr("class", classOf)
      .attr("role", "button")
      .attr("tabindex", (node, index) => (index === 0 ? 0 : -1))
      .attr("data-key", (node) => node.key)
      .attr("data-label", (node) => (node.output ? node.output.index % 8 : null))
      .on("pointerenter", (event, node) => event.pointerType !== "touch" && this.#emit("inspect", node.key))
      .on("pointerleave", (event) => event.pointerType !== "touch" && this.#emit("inspect", null))
      .on("focus", (event, node) => this.#onFocus(event.currentTarget, node))
      .on("blur", () => this.#emit("inspect", null))
      .on("click", (event, node) => this.#emit("pin", node.key))
      .on("keydown", (event, node) => this.#onKey(event, node));
    groups.append("circle").attr("class", "body");
    groups.filter(hasShare).append("circle").attr("class", "share").attr("pathLength", 1);
    groups.append("text").attr("class", "value").attr("dy", ".35em");
    const named = groups.filter((node) => node.layer.role !== "hidden");
    named.append("text").attr("class", "name");
    named.append("title").text((node) => node.text);
    if (!groupTitles.length) return;
    const titles = this.#svg.append("g").attr("aria-hidden", "true");
    titles.selectAll("text").data(groupTitles).join("text").attr("class", "group-title");
  }

  /** Positions everything; text has the same size at any width. For `rowCenters` see `layOutNetwork`. */
  layOut(rowCenters) {
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const available = Math.max(280, this.#container.clientWidth);
    this.#size = layOutNetwork(this.#structure, available, rem, rowCenters);
    const { width, height, isNarrow, spacing } = this.#size;
    this.#size.isTight = spacing < MIN_CURVE * rem;
    this.#svg.attr("viewBox", `0 0 ${width} ${height}`).attr("width", width).attr("height", height);
    this.#svg.classed("beside", this.#size.isBeside && !this.#size.isGrouped).classed("narrow", isNarrow);
    this.#container.classList.toggle("wide", width > available);
    this.#layOutHeadings(rem);
    this.#layOutNodes(rem);
    this.#drawConnections();
  }

  #layOutHeadings(rem) {
    const { width, isNarrow, radius, spacing } = this.#size;
    const last = this.#structure.columns.length - 1;
    const isBrief = spacing < (isNarrow ? 0.72 : 1) * MIN_HEADING * rem;
    const isShort = isNarrow || spacing < MIN_LONG_HEADING * rem;
    const units = (column) => column.reduce((sum, { nodes }) => sum + nodes.length, 0);
    const startsLeft = ([{ isCells }], index) => index === 0 && !isCells;
    const headings = this.#svg.selectAll(".layer-heading");
    headings
      .attr("transform", (column, index) => {
        const isAtEnd = isNarrow && index === last && !isBrief;
        const x = isAtEnd ? width : column[0].x - (startsLeft(column, index) ? radius : 0);
        return `translate(${x},${1.1 * rem})`;
      })
      .attr("text-anchor", (column, index) =>
        isBrief ? "middle" : startsLeft(column, index) ? "start" : isNarrow && index === last ? "end" : "middle",
      )
      .classed("brief", isBrief);
    headings.select(".layer-name").text((column) => {
      const { title } = column[0];
      return isBrief ? units(column) : isShort ? title.replace(" layer", "") : title;
    });
    headings.select(".layer-detail").text((column) => {
      const details = [...new Set(column.map(({ detail }) => detail))];
      const count = column.some(({ isCells }) => isCells) ? `${units(column)} nodes` : "";
      return isBrief ? "" : count || (details.length === 1 ? details[0] : "");
    });
  }

  #layOutNodes(rem) {
    const { isNarrow, radius, left, right, spacing, isGrouped: hasGroups } = this.#size;
    const nodes = this.#svg.selectAll(".node").attr("transform", ({ x, y }) => `translate(${x},${y})`);
    nodes.classed("cell", ({ layer }) => layer.isCells);
    this.#layOutGroups(rem);
    nodes.selectAll(".body").attr("r", ({ size, layer }) => (layer.isCells ? 0.86 * size : size));
    nodes.selectAll(".share").attr("r", ({ size }) => size);
    nodes.selectAll(".name").each(function (node) {
      const { role, isCells } = node.layer;
      const isNamed = node.isNamed ?? node.layer.isNamed;
      const isGrouped = role === "input" && hasGroups;
      const offset = isGrouped ? node.x - node.left : isCells ? node.size : radius;
      const room = role === "input" ? left : isNarrow && !isCells ? Math.max(spacing - 0.5 * rem, MIN_NAME * rem) : right;
      const maxLength = Math.floor(room / ((isCells ? CELL_CHARACTER_WIDTH : CHARACTER_WIDTH[role]) * rem));
      const element = select(this);
      if (!isNamed) element.text("");
      else renderName(element, isGrouped ? { ...node, text: node.part ?? node.title } : node, offset, rem, isNarrow && !isCells, maxLength);
    });
  }

  /** The name of a feature stands once, above its columns. */
  #layOutGroups(rem) {
    const maxLength = Math.floor(this.#size.left / (CELL_CHARACTER_WIDTH * rem)) + 4;
    this.#svg
      .selectAll(".group-title")
      .attr("x", ([first]) => first.left - 0.45 * rem)
      .attr("y", ([first]) => first.titleY)
      .text(([first]) => (first.titleY === null ? "" : shorten(first.title, maxLength)));
  }

  /** Shows an explanation; null empties the diagram. */
  show(explanation) {
    this.#explanation = explanation;
    this.#svg.classed("waiting", !explanation);
    if (explanation) setOutputs(this.#structure, explanation);
    this.#drawConnections();
    if (explanation) this.#showOutputs();
    else this.#clear();
  }

  #drawConnections() {
    const connections = selectConnections(this.#structure, this.#highlighted);
    const isKnown = Boolean(this.#explanation);
    const draw = this.#size.isTight ? line : curve;
    this.#connectionGroup
      .selectAll("path")
      .data(connections, ({ key }) => key)
      .join((enter) => enter.append("path").attr("class", "connection"))
      .attr("d", ({ from, to }) => draw({ source: [from.right, from.y], target: [to.left, to.y] }))
      .classed("increases", ({ contribution }) => isKnown && contribution > 0)
      .classed("decreases", ({ contribution }) => isKnown && contribution < 0)
      .classed("passes", ({ to, contribution }) => isKnown && contribution === null && to.layer.kind !== "dense")
      .classed("highlighted", ({ from, to }) => isTouching(this.#highlighted, from, to))
      .style("stroke-width", ({ share, isMany }) => `${isKnown ? strokeWidth(share, isMany) : MIN_WIDTH}px`)
      .style("--share", ({ share }) => (isKnown ? share : null))
      .classed("pending", ({ to }) => to.layer.column >= this.#reached && to.layer.column !== this.#flowing)
      .classed("flowing", ({ to }) => to.layer.column === this.#flowing);
  }

  #clear() {
    this.#svg
      .selectAll(".node")
      .attr("class", classOf)
      .classed("cell", ({ layer }) => layer.isCells)
      .attr("aria-label", ({ description }) => `${description}: no output yet`)
      .style("--fill", "0%");
    this.#svg.selectAll(".value").text("");
    this.#svg.selectAll(".share").style("stroke-dasharray", "0 1");
  }

  #showOutputs() {
    const { prediction } = this.#explanation;
    const strength = ({ value, layer }) => (layer.kind === "features" ? 0 : Math.abs(value) / maxOutput(layer));
    const nodes = this.#svg
      .selectAll(".node")
      .classed("positive", ({ value, layer }) => value > 0 && layer.kind !== "features")
      .classed("negative", ({ value, layer }) => value < 0 && layer.kind !== "features")
      .classed("silent", ({ value, layer }) => value === 0 && layer.role === "hidden")
      .classed("best", ({ output }) => Boolean(output) && this.#outputs.isPredicted(prediction, output))
      .style("--fill", (node) => `${Math.round(100 * strength(node))}%`)
      .attr("aria-label", (node) => `${node.description}: output ${formatOutput(node)}`);
    nodes.select(".value").text((node) => (node.layer.isCells ? "" : formatOutput(node)));
    nodes.select(".share").style("stroke-dasharray", ({ value }) => `${value} 1`);
    if (!this.#structure.groups.length) return;
    const columns = columnValues(this.#explanation);
    const inputs = nodes.filter(({ part }) => part !== undefined);
    inputs.select("title").text((node) => describeEncoding(node, this.#explanation));
    inputs.classed("quiet", ({ isNamedIfActive, inputName }) => isNamedIfActive && columns[inputName] === 0);
  }

  /** Highlights a node and its incoming connections, or outgoing ones for an input node; null highlights nothing. */
  highlight(key) {
    this.#highlighted = this.find(key);
    const node = this.#highlighted;
    const isInput = node?.layer.role === "input";
    const takers = isInput ? this.#structure.nodes.filter(({ sources }) => sources.includes(node)) : (node?.sources ?? []);
    const neighbours = new Set(takers);
    this.#svg.classed("has-highlight", Boolean(node));
    this.#drawConnections();
    this.#svg
      .selectAll(".node")
      .classed("highlighted", (other) => other === node)
      .classed("neighbour", (other) => neighbours.has(other));
  }

  /** Marks the pinned node; null marks none. */
  pin(key) {
    this.#svg
      .selectAll(".node")
      .classed("pinned", (node) => node.key === key)
      .attr("aria-pressed", (node) => node.key === key);
  }

  /** Shows a forward pass that has reached so many columns; the inputs of `flowing` flow in, null if none do. */
  showForwardPass(reached, flowing) {
    [this.#reached, this.#flowing] = [reached, flowing];
    this.#svg.classed("forward-pass", reached < this.#structure.columns.length || flowing !== null);
    this.#svg
      .selectAll(".node")
      .classed("pending", ({ layer }) => layer.column >= reached)
      .classed("current", ({ layer }) => layer.column === reached - 1 && flowing === null);
    this.#drawConnections();
  }

  /** Marks one part of the diagram: `nodes`, `connections`, `layers` or `outputs`; null marks none. */
  markPart(part) {
    for (const name of ["nodes", "connections", "layers", "outputs"]) this.#svg.classed(`marks-${name}`, name === part);
  }

  /** The node that stands for the feature with this index; of several, one that is not 0. */
  findInput(feature) {
    const nodes = this.#structure.nodes.filter((node) => node.feature === feature);
    const columns = nodes.length > 1 && this.#explanation ? columnValues(this.#explanation) : {};
    return nodes.find(({ inputName }) => columns[inputName]) ?? nodes[0] ?? null;
  }

  /** Whether every node is a circle with its number. */
  get isDrawnInFull() {
    return !this.#structure.layers.some(({ isCells }) => isCells);
  }

  /** The node with a key, null if there is none. */
  find(key) {
    return this.#structure.nodes.find((node) => node.key === key) ?? null;
  }

  #emit(type, detail) {
    if (this.#explanation) this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #onFocus(element, node) {
    this.#svg.selectAll(".node").attr("tabindex", -1);
    element.setAttribute("tabindex", 0);
    if (element.matches(":focus-visible")) this.#emit("inspect", node.key);
  }

  #onKey(event, node) {
    const { layer } = node;
    const nearest = (index) =>
      this.#structure.columns[index]
        ?.flatMap(({ nodes }) => nodes)
        .reduce((best, other) => (Math.abs(other.y - node.y) < Math.abs(best.y - node.y) ? other : best));
    const inColumn = this.#structure.columns[layer.column].flatMap(({ nodes }) => nodes);
    const moves = {
      ArrowUp: () => inColumn[inColumn.indexOf(node) - 1],
      ArrowDown: () => inColumn[inColumn.indexOf(node) + 1],
      ArrowLeft: () => nearest(layer.column - 1),
      ArrowRight: () => nearest(layer.column + 1),
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

function strokeWidth(share, isMany) {
  return MIN_WIDTH + ((isMany ? MAX_WIDTH_OF_MANY : MAX_WIDTH) - MIN_WIDTH) * share;
}

function classOf({ layer }) {
  return `node ${layer.role}`;
}

/** Whether a node gives a probability, which its ring shows. */
function hasShare({ output, layer }) {
  return Boolean(output) && !output.isValue && PROBABILITIES.includes(layer.activation);
}

function describeSize({ title, nodes }) {
  return `${title} with ${nodes.length}`;
}

function formatOutput(node) {
  return hasShare(node) ? formatShortPercent(node.value) : formatCompact(node.value);
}

function maxOutput({ nodes }) {
  return nodes.reduce((largest, { value }) => Math.max(largest, Math.abs(value)), 1e-9);
}

/** Renders the name of a node: left of an input, right of an output or, in a narrow diagram, below it. */
function renderName(element, { layer: { role }, text }, radius, rem, isNarrow, maxLength) {
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
