/** Where the inputs of an encoded network are: the columns of each feature together, below its name or beside its slider. */

export const MAX_CIRCLES = 12; // nodes of a layer that is drawn with circles
const MAX_LINES = 48; // of all groups; the columns of more are one block
const MAX_LISTED = 12; // columns of a feature that have a line each; more are a block
const [LINE, GAP, CIRCLE_GAP, BLOCK] = [1.1, 0.4, 0.6, 3.3]; // rem: a line, between two groups or circles, the height of a block
const MIN_NAMED = 0.8; // rem from one column to the next; closer ones have a name only where they are not 0
const MIN_LINE = 0.45; // rem from one column to the next; closer ones are in a block
const [CHARACTER, CIRCLE_CHARACTER] = [0.46, 0.55]; // rem, on average

/**
 * How the groups are drawn: `circles` or `lines` below the features' names, `beside` the sliders, or null: not in groups.
 * @param {object[][]} groups of `describeNetwork`
 */
export function chooseArrangement(groups, rowCenters) {
  if (!groups.length) return null;
  if (groups.flat().length <= MAX_CIRCLES) return "circles";
  if (rowCenters) return "beside";
  return groups.reduce((sum, group) => sum + countLines(group), 0) <= MAX_LINES ? "lines" : null;
}

/** The room for the names to the left, in rem. */
export function groupMargin(groups, arrangement, isNarrow) {
  const names = groups.flat().map(({ part, title }) => part ?? (arrangement === "beside" ? "" : title));
  if (arrangement !== "beside") names.push(...groups.map(([{ title }]) => title));
  const length = Math.max(...names.map((name) => name.length));
  return Math.min(isNarrow ? 6 : 10, Math.max(1, (arrangement === "circles" ? CIRCLE_CHARACTER : CHARACTER) * length));
}

/** The height of all groups, in px; beside the sliders they have that of these. */
export function groupsHeight(groups, arrangement, radius, rem) {
  if (arrangement === "beside") return 0;
  const heights = groups.map((group) => groupHeight(group, arrangement, radius, rem));
  return heights.reduce((sum, height) => sum + height, 0);
}

/** Sets where the nodes of all groups are, as `layOutNetwork` does, and `titleY`, null where a group has no title. */
export function placeGroups(groups, arrangement, { top, rowCenters, ...measures }) {
  let start = top;
  for (const group of groups) {
    const height = groupHeight(group, arrangement, measures.radius, measures.rem);
    const center = arrangement === "beside" ? rowCenters[group[0].feature] : start + height / 2;
    placeGroup(group, arrangement, center - height / 2, measures);
    start += height;
  }
}

function hasTitle(group, arrangement) {
  return arrangement !== "beside" && (group.length > 1 || group[0].part !== null);
}

function countLines(group) {
  return (group.length > MAX_LISTED ? BLOCK / LINE : group.length) + hasTitle(group, "lines");
}

function groupHeight(group, arrangement, radius, rem) {
  if (arrangement === "circles") return group.length * (2 * radius + CIRCLE_GAP * rem) + hasTitle(group) * LINE * rem;
  if (arrangement === "lines") return (countLines(group) * LINE + GAP) * rem;
  return Math.min(group.length * LINE, BLOCK) * rem;
}

function placeGroup(group, arrangement, top, { x, radius, rem, maxBlock }) {
  const titled = hasTitle(group, arrangement);
  const start = top + (titled ? LINE * rem : 0);
  group[0].titleY = titled ? top + 0.8 * LINE * rem : null;
  if (arrangement === "circles") return group.forEach((node, index) => placeCircle(node, x, start + (index + 0.5) * (2 * radius + CIRCLE_GAP * rem), radius));
  const isListed = arrangement === "lines" && group.length <= MAX_LISTED;
  const height = isListed ? group.length * LINE * rem : Math.min(group.length * LINE, BLOCK) * rem;
  const { pitch, rows } = fitCells(group.length, height, maxBlock, rem);
  const size = Math.min(pitch, rem);
  const left = x - rem / 2;
  group.forEach((node, index) => {
    const [column, row] = [Math.floor(index / rows), index % rows];
    Object.assign(node, {
      x: left + (column + 0.5) * size,
      y: start + (row + 0.5) * (height / rows),
      size: size / 2,
      left,
      right: left + Math.ceil(group.length / rows) * size,
      isNamed: !(arrangement === "beside" && node.part === null),
      isNamedIfActive: pitch < MIN_NAMED * rem,
    });
  });
}

function placeCircle(node, x, y, radius) {
  Object.assign(node, { x, y, size: radius, left: x - radius, right: x + radius, isNamed: true, isNamedIfActive: false });
}

/** The largest cells of a group that are in one column or, if they would be too small, in several. */
function fitCells(count, height, maxWidth, rem) {
  if (height / count >= MIN_LINE * rem) return { pitch: height / count, rows: count };
  for (let across = 2; ; across++) {
    const rows = Math.ceil(count / across);
    const pitch = height / rows;
    if (pitch * across >= maxWidth || pitch * (across + 1) > height) return { pitch: Math.min(pitch, maxWidth / across), rows };
  }
}
