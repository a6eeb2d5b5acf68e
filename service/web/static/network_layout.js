/** Where the nodes of a network diagram are: circles with numbers, or small cells where a layer has many nodes. */

import { maxLength } from "./format.js";
import { MAX_CIRCLES, chooseArrangement, groupMargin, groupsHeight, placeGroups } from "./input_groups.js";

const MAX_NAMED_CELLS = 32; // cells that have their names beside them
const [MAX_CELL, MIN_CELL, CELL_STEP] = [1.05, 0.22, 0.02]; // rem
const MAX_BLOCK_SHARE = 0.5; // of the distance between two columns that a block of cells may take
const [MIN_SPACING, WIDE_SPACING] = [1.6, 2.6]; // rem between two columns; a network with more is wider than the page
const MIN_GAP = 1.3; // rem between two circles of neighbouring columns
const NAME_GAP = 1.7; // rem between circles that have names below them
const BLOCK_MARGIN = 1.6; // rem left of a block of inputs without names, which is wider than a circle
const CELLS_HEIGHT = 29; // rem of the largest block

/**
 * Sets `x`, `y`, `left`, `right` and `size` of every node, and `x`, `isCells` and `isNamed` of every layer; the unit is
 * the page's pixel. Returns the size of the drawing, and what else depends on the width.
 * @param {number[]} [rowCenters] vertical centres of the inputs to the left; the first layer is aligned with them
 */
export function layOutNetwork({ columns, layers, groups }, available, rem, rowCenters) {
  const isNarrow = available < 30 * rem;
  const radius = isNarrow ? 1.08 * rem : 1.45 * rem;
  const [inputs, outputs] = [columns[0], columns.at(-1)].map((column) => column.flatMap(({ nodes }) => nodes));
  const needs = (distance) => (columns.length * distance + (isNarrow ? 4 : 6)) * rem;
  const width = needs(MIN_SPACING) <= available ? available : needs(WIDE_SPACING);
  const arrangement = chooseArrangement(groups, rowCenters);
  const isBeside = Boolean(rowCenters) && arrangement !== "circles";
  const hasInputCircles = inputs.length <= MAX_CIRCLES;
  const isOutputNamed = outputs.length <= MAX_NAMED_CELLS;
  const left = rem * (arrangement ? groupMargin(groups, arrangement, isNarrow) : leftMargin(inputs, rowCenters, isNarrow));
  const right = isOutputNamed ? rem * rightMargin(outputs, isNarrow) : 0.5 * rem;
  const spacing = (width - left - right - 2 * radius) / Math.max(1, columns.length - 1);
  const hasRoom = spacing >= 2 * radius + MIN_GAP * rem;
  for (const layer of layers) {
    const isEdge = layer.role === "output" || (layer.role === "input" && hasInputCircles);
    const isGroupedCells = layer.role === "input" && arrangement && arrangement !== "circles";
    layer.isCells = layer.nodes.length > MAX_CIRCLES || !(hasRoom || isEdge) || Boolean(isGroupedCells);
  }
  placeColumns(columns, [left, width - right], radius, 0.5 * MAX_CELL * rem);
  const top = 2.7 * rem;
  const gapOf = ([{ role }]) => (isBeside ? 0.4 : isNarrow && role === "output" ? NAME_GAP : 0.8) * rem;
  const grouped = arrangement ? groupsHeight(groups, arrangement, radius, rem) : 0;
  const drawn = arrangement ? columns.slice(1) : columns;
  const minHeight = Math.max(grouped, ...drawn.map((column) => columnHeight(column, radius, rem, gapOf(column))));
  const [first, last] = isBeside ? layerExtent(rowCenters, minHeight, top) : [top, top + minHeight];
  const maxBlock = MAX_BLOCK_SHARE * spacing;
  for (const column of columns) placeColumn(column, [first, last], { radius, rem, maxBlock });
  for (const node of inputs) Object.assign(node, { isNamed: undefined, isNamedIfActive: false, titleY: null });
  const groupsTop = (first + last - grouped) / 2;
  if (arrangement) placeGroups(groups, arrangement, { x: columns[0][0].x, top: groupsTop, rowCenters, radius, rem, maxBlock });
  else if (isBeside) inputs.forEach((node) => (node.y = rowCenters[node.feature]));
  const height = Math.max(last, ...(isBeside ? rowCenters : []).map((y) => y + 2 * rem));
  return { width, height, isNarrow, isBeside, isGrouped: Boolean(arrangement), radius, left, right, spacing };
}

/** Columns have equal gaps between them, whether they are as wide as circles, or as a line of cells. */
function placeColumns(columns, [start, end], radius, halfCell) {
  const isLine = ({ isCells, nodes }) => isCells && nodes.length <= MAX_NAMED_CELLS;
  const halves = columns.map((column) => (column.every(isLine) ? halfCell : radius));
  const gap = (end - start - halves.reduce((sum, half) => sum + 2 * half, 0)) / Math.max(1, columns.length - 1);
  columns.reduce((left, column, index) => {
    for (const layer of column) layer.x = left + halves[index];
    return left + 2 * halves[index] + gap;
  }, start);
}

/** Names left of the inputs, unless the sliders are there; they wrap in a narrow drawing. */
function leftMargin(inputs, rowCenters, isNarrow) {
  if (rowCenters) return 0.25;
  if (inputs.length > MAX_NAMED_CELLS) return BLOCK_MARGIN;
  if (isNarrow) return 5;
  const length = maxLength(inputs.map(({ text }) => text));
  return inputs.length > MAX_CIRCLES ? Math.min(9, 0.46 * length) : Math.min(16, 0.55 * length);
}

function rightMargin(outputs, isNarrow) {
  if (isNarrow && outputs.length <= MAX_CIRCLES) return 0.3;
  const length = maxLength(outputs.map(({ text }) => text));
  return Math.min(isNarrow ? 4 : 7.5, Math.max(4.2, 0.6 * length + 0.9));
}

function columnHeight(column, radius, rem, gap) {
  return column.reduce((sum, { isCells, nodes }) => {
    const height = isCells ? Math.min(CELLS_HEIGHT, nodes.length * MAX_CELL) * rem : nodes.length * (2 * radius + gap);
    return sum + height;
  }, 0);
}

/** Layers of one column share its height, each with as much of it as it has nodes. */
function placeColumn(column, [first, last], measures) {
  const total = column.reduce((sum, { nodes }) => sum + nodes.length, 0);
  let start = first;
  for (const layer of column) {
    const end = start + ((last - first) * layer.nodes.length) / total;
    if (layer.isCells) placeCells(layer, [start, end], measures);
    else placeCircles(layer, [start, end], measures);
    start = end;
  }
}

function placeCircles(layer, [start, end], { radius }) {
  for (const node of layer.nodes) {
    const y = start + ((end - start) * (node.position + 0.5)) / layer.nodes.length;
    Object.assign(node, { x: layer.x, y, size: radius, left: layer.x - radius, right: layer.x + radius });
  }
  layer.isNamed = layer.role !== "hidden";
}

/** Cells in a line as far apart as circles, or in a block that is filled column by column, as large as there is room. */
function placeCells(layer, [start, end], { rem, maxBlock }) {
  const count = layer.nodes.length;
  const isLine = count <= MAX_NAMED_CELLS;
  const pitch = isLine ? (end - start) / count : blockPitch(count, end - start, maxBlock, rem);
  const size = Math.min(MAX_CELL * rem, pitch);
  const rows = isLine ? count : Math.ceil(count / Math.ceil(count / Math.floor((end - start) / pitch)));
  const across = Math.ceil(count / rows);
  const [left, top] = [layer.x - (across * size) / 2, (start + end) / 2 - (rows * pitch) / 2];
  for (const node of layer.nodes) {
    const [column, row] = [Math.floor(node.position / rows), node.position % rows];
    Object.assign(node, {
      x: left + (column + 0.5) * size,
      y: top + (row + 0.5) * pitch,
      size: size / 2,
      left,
      right: left + across * size,
    });
  }
  layer.isNamed = layer.role !== "hidden" && isLine;
}

/** The largest distance of cells in a block with which it is not too wide. */
function blockPitch(count, height, maxBlock, rem) {
  let pitch = MAX_CELL * rem;
  const isTooWide = () => Math.ceil(count / Math.floor(height / pitch)) * pitch > maxBlock;
  while (pitch > MIN_CELL * rem && isTooWide()) pitch -= CELL_STEP * rem;
  return pitch;
}

/** Top and bottom of the layers: those of the inputs, or further apart where the largest layer needs more room. */
function layerExtent(rowCenters, minHeight, top) {
  const [first, last] = [Math.min(...rowCenters), Math.max(...rowCenters)];
  const half = Math.max(((last - first) * rowCenters.length) / (rowCenters.length - 1 || 1), minHeight) / 2;
  const from = Math.max(top, (first + last) / 2 - half);
  return [from, from + 2 * half];
}
