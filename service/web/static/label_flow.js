/** Changed labels as a flow: from the labels of the serving version on the left to those of the shadow on the right. */

import { select } from "./vendor/d3.js";
import { h } from "./dom.js";
import { shorten } from "./format.js";

export const MAX_BANDS = 10;
const [WIDTH, TEXT_WIDTH, NODE_WIDTH] = [400, 118, 7]; // units of the drawing
const [BANDS_HEIGHT, NODE_GAP, MIN_NODE_HEIGHT, MIN_BAND_HEIGHT] = [110, 12, 14, 1.5];
const MAX_NAME_LENGTH = 14; // characters

/**
 * @param {{from: string, to: string, rows: number}[]} changes the most frequent first
 * @param {(label: string) => number} colorOf a label
 */
export function renderLabelFlow(changes, colorOf) {
  const bands = changes.slice(0, MAX_BANDS);
  const total = sum(bands);
  const size = ({ rows }) => Math.max(MIN_BAND_HEIGHT, (BANDS_HEIGHT * rows) / total);
  const [left, right] = ["from", "to"].map((side) => layOut(bands, side, size));
  const height = Math.max(left.height, right.height);
  const description = bands.map(({ from, to, rows }) => `${from} to ${to}: ${rows}`).join("; ");
  const svg = select(h("div", { className: "label-flow" }))
    .append("svg")
    .attr("viewBox", `0 0 ${WIDTH} ${height}`)
    .attr("role", "img")
    .attr("aria-label", `Rows whose label changes. ${description}`);
  const [start, end] = [TEXT_WIDTH + NODE_WIDTH, WIDTH - TEXT_WIDTH - NODE_WIDTH];
  for (const band of bands) {
    const path = svg.append("path").attr("class", "flow-band").attr("data-label", colorOf(band.to));
    path.attr("d", drawBand(start, left.offsets.get(band), end, right.offsets.get(band), size(band)));
    path.append("title").text(`${band.from} → ${band.to}: ${band.rows.toLocaleString("en")}`);
  }
  drawNodes(svg, left.nodes, { x: TEXT_WIDTH, textX: TEXT_WIDTH - 6, anchor: "end", colorOf });
  drawNodes(svg, right.nodes, { x: end, textX: end + NODE_WIDTH + 6, anchor: "start", colorOf });
  return svg.node().parentNode;
}

/** The labels of one side, one below the other, and where on them each band begins. */
function layOut(bands, side, size) {
  const nodes = [];
  const offsets = new Map();
  let y = 0;
  for (const label of new Set(bands.map((band) => band[side]))) {
    const own = bands.filter((band) => band[side] === label);
    const filled = own.reduce((height, band) => height + size(band), 0);
    const height = Math.max(MIN_NODE_HEIGHT, filled);
    let offset = y + (height - filled) / 2;
    for (const band of own) {
      offsets.set(band, offset);
      offset += size(band);
    }
    nodes.push({ label, rows: sum(own), y, height });
    y += height + NODE_GAP;
  }
  return { nodes, offsets, height: y - NODE_GAP };
}

function drawBand(x0, y0, x1, y1, height) {
  const middle = (x0 + x1) / 2;
  const [bottom0, bottom1] = [y0 + height, y1 + height];
  return (
    `M${x0},${y0}C${middle},${y0} ${middle},${y1} ${x1},${y1}` +
    `L${x1},${bottom1}C${middle},${bottom1} ${middle},${bottom0} ${x0},${bottom0}Z`
  );
}

function drawNodes(svg, nodes, { x, textX, anchor, colorOf }) {
  for (const { label, rows, y, height } of nodes) {
    const node = svg.append("g").attr("data-label", colorOf(label));
    node.append("rect").attr("class", "flow-node").attr("x", x).attr("y", y).attr("width", NODE_WIDTH).attr("height", height);
    const text = node.append("text").attr("x", textX).attr("y", y + height / 2).attr("dy", "0.35em").attr("text-anchor", anchor);
    const [name, count] = [shorten(label, MAX_NAME_LENGTH), rows.toLocaleString("en")];
    text.text(anchor === "end" ? `${name} ${count}` : `${count} ${name}`);
    node.append("title").text(label);
  }
}

function sum(bands) {
  return bands.reduce((total, { rows }) => total + rows, 0);
}
