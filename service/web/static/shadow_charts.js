/** The charts of a comparison: bars in a list, and histograms of how far probabilities or numbers moved. */

import { h } from "./dom.js";
import { formatCount, formatSignedNumber, maxLength } from "./format.js";

const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 2 }); // 2.8K

/** @param {{name: string, share: number, text: string, note?: string, title?: string, color?: number}[]} bars */
export function renderBars(bars) {
  const list = h("ul", { className: "shadow-bars" }, ...bars.map(renderBar));
  list.style.setProperty("--text-width", `${maxLength(bars.map(({ text }) => text))}ch`);
  return list;
}

function renderBar({ name, share, text, note, title, color = 1 }) {
  const fill = h("span", { className: "fill" });
  fill.style.width = `${100 * share}%`;
  return h(
    "li",
    { title, "data-label": color },
    h("span", { className: "row-name" }, name),
    h("span", { className: "bar", "aria-hidden": "true" }, fill),
    h("span", { className: "share" }, text),
    note ? h("small", {}, note) : null,
  );
}

/** A share in percentage points, with up to three digits. */
export function formatPoints(share) {
  return String(Number((100 * share).toPrecision(3)));
}

/** Rows by the largest difference of a probability, in percentage points. */
export function renderMovement({ histogram }) {
  const columns = histogram.map(({ above, upto, rows }) => ({
    rows,
    text: above === null ? `up to ${formatPoints(upto)}` : `${formatPoints(above)} to ${formatPoints(upto)}`,
    className: "recent",
  }));
  const ticks = histogram.slice(0, -1).map(({ upto }, index) => ({ index, text: formatPoints(upto) }));
  return renderHistogram("Difference in percentage points", columns, ticks);
}

/** Rows by the difference of a target, of which those beyond the tolerance are marked. */
export function renderDifferences(name, { histogram, tolerance, unit }) {
  const buckets = withoutEmptyEnds(histogram);
  const columns = buckets.map(({ above, upto, rows }) => ({
    rows,
    text: describeRange(above, upto, unit),
    className: isWithin(above, upto, tolerance) ? "training" : "recent",
  }));
  const edges = buckets.slice(0, -1).map(({ upto }, index) => ({ index, text: formatSignedNumber(upto), value: upto }));
  const isShown = ({ index, value }) => index === 0 || index === edges.length - 1 || isEdgeOf(value, tolerance);
  return renderHistogram(`Difference of ${name}`, columns, edges.filter(isShown));
}

/** Vertical bars; a tick is the bound between the bar of its index and the next one. */
function renderHistogram(name, columns, ticks) {
  const largest = Math.max(1, ...columns.map(({ rows }) => rows));
  const bars = columns.map(({ rows, text, className }) => {
    const bar = h("span", { className });
    bar.style.setProperty("--share", String(rows / largest));
    const title = `${text}: ${formatCount(rows, "row")}`;
    return h("span", { className: rows ? "column" : "column empty", title }, h("small", {}, formatRows(rows)), bar);
  });
  const marks = ticks.map(({ index, text }) => {
    const mark = h("span", {}, text);
    mark.style.left = `${(100 * (index + 1)) / columns.length}%`;
    return mark;
  });
  const description = columns.map(({ rows, text }) => `${text}: ${rows}`).join("; ");
  return h(
    "div",
    { className: `histogram${columns.length > 10 ? " dense" : ""}`, role: "img", "aria-label": `${name}, rows: ${description}` },
    h("div", { className: "histogram-bars" }, ...bars),
    h("div", { className: "histogram-ticks" }, ...marks),
  );
}

function formatRows(rows) {
  return rows < 1000 ? String(rows || "") : COMPACT.format(rows);
}

/** The buckets from the first to the last that has rows, with one more on each side. */
function withoutEmptyEnds(histogram) {
  const first = histogram.findIndex(({ rows }) => rows);
  const last = histogram.findLastIndex(({ rows }) => rows);
  return histogram.slice(Math.max(0, first - 1), last + 2);
}

function isWithin(above, upto, tolerance) {
  const middle = ((above ?? upto) + (upto ?? above)) / 2;
  return above !== null && upto !== null && Math.abs(middle) < (tolerance ?? 0);
}

function isEdgeOf(value, tolerance) {
  return tolerance !== null && Math.abs(Math.abs(value) / tolerance - 1) < 0.01;
}

function describeRange(above, upto, unit) {
  const [low, high] = [above, upto].map((bound) => bound !== null && formatSignedNumber(bound));
  const text = above === null ? `up to ${high}` : upto === null ? `over ${low}` : `${low} to ${high}`;
  return unit ? `${text} ${unit}` : text;
}
