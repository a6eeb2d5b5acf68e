/** The shadow version compared with the serving one: what would change if it served, fetched while the page is visible. */

import { ServiceError, fetchJson } from "./api.js";
import { h } from "./dom.js";
import { capitalize, formatCount, formatPercent, formatTime } from "./format.js";
import { MAX_BANDS, renderLabelFlow } from "./label_flow.js";
import { formatPoints, renderBars, renderDifferences, renderMovement } from "./shadow_charts.js";

const REFRESH_INTERVAL = 60_000; // ms, while the page is visible
const [MAX_CHANGES, MAX_RANGES] = [6, 6]; // in a list

/** Fills a section, which stays hidden while the model has no shadow version. */
export class ShadowPanel {
  #section;
  #outputs;
  #title;
  #content;
  #timer;
  #shown = ""; // a text that does not change is not read out again

  constructor(section, outputs) {
    this.#section = section;
    this.#outputs = outputs;
    this.#title = section.querySelector("h2");
    this.#content = h("div", { className: "shadow" });
    section.append(this.#content);
    document.addEventListener("visibilitychange", () => this.#refresh());
    this.#refresh();
  }

  async #refresh() {
    clearTimeout(this.#timer);
    if (document.hidden) return;
    try {
      const report = await fetchJson("shadow", { priority: "low" });
      this.#section.hidden = !report.shadow;
      if (!report.shadow) return;
      this.#show(report);
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      if (error.isPermanent) return; // what is shown stays, and is of the time that it names
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#refresh(), REFRESH_INTERVAL);
  }

  #show(report) {
    const shown = JSON.stringify(report);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const { shadow, verdict, outputs, rows, least_rows: leastRows } = report;
    this.#title.textContent = `What would version ${shadow} change?`;
    this.#content.replaceChildren(
      h("p", { className: "shadow-verdict", role: "status" }, `${capitalize(withArrows(verdict))}.`),
      h("p", { className: "muted" }, describeRows(report)),
      ...(rows < leastRows ? [] : outputs.map((output) => this.#renderOutput(output, report))),
    );
  }

  #renderOutput(output, report) {
    const head = this.#outputs.heads.find(({ name }) => name === output.name);
    const figures = [
      renderChanges(output, head),
      ...(output.moved ? [figure("How far probabilities moved", describeMovement(output.moved), renderMovement(output.moved))] : []),
      ...Object.entries(output.targets ?? {}).map(([name, target]) =>
        figure(`Difference of ${name}`, describeTarget(target), renderDifferences(name, target)),
      ),
      output.agree.rows === report.rows ? null : renderRanges(output, report),
    ];
    const isAlone = report.outputs.length === 1;
    const title = h("h3", {}, `${output.name}: both versions agree on ${formatPercent(output.agree.share)} of the rows`);
    const notes = output.omitted.map((text) => h("p", { className: "muted" }, `Not counted: ${text}.`));
    return h("div", {}, isAlone ? null : title, h("div", { className: "shadow-figures" }, ...figures.filter(Boolean)), ...notes);
  }
}

function withArrows(text) {
  return text.replaceAll(" -> ", " → ");
}

/** What was compared, and what was not. */
function describeRows({ rows, since, share, serving, shadow, dropped, failed }) {
  const [droppedRows, failedRows] = [dropped, failed].map((counts) => Object.values(counts).reduce((sum, count) => sum + count, 0));
  return [
    `${formatCount(rows, "row")} compared${since ? ` since ${formatTime(since)}` : ""}: version ${shadow} computes the rows that version ${serving} has predicted, and no client gets the results.`,
    share < 1 ? `${formatPercent(share)} of the requests are compared, and none from this page.` : "Requests from this page are not compared.",
    droppedRows ? `${formatCount(droppedRows, "row")} left out, because the service was busy.` : null,
    failedRows ? `${formatCount(failedRows, "row")} that version ${shadow} could not compute.` : null,
  ]
    .filter(Boolean)
    .join(" ");
}

/** The changes as bars; where each row has one label, also which became which, as a flow. */
function renderChanges({ changes, other_changes: others, kind }, head) {
  if (!changes.length) return null;
  const isFlow = "from" in changes[0];
  const colorOf = (label) => (kind === "regression" ? undefined : head.columns[head.labels.indexOf(label)].index % 8);
  const bars = changes.slice(0, MAX_CHANGES).map(({ says, from, to, rows, mostly, label }) => ({
    name: isFlow ? `${from} → ${to}` : capitalize(says),
    share: rows / changes[0].rows,
    text: formatCount(rows, "row"),
    note: mostly ? `${describePart(mostly.changed, rows)} of them where ${mostly.says}` : null,
    color: colorOf(isFlow ? to : label),
  }));
  const title = isFlow ? "Which label became which" : kind === "regression" ? "Higher and lower predictions" : "Labels lost and gained";
  const count = changes.length + others.changes;
  const text = count > (isFlow ? MAX_BANDS : MAX_CHANGES) ? `The most frequent of ${formatCount(count, "different change")}.` : "";
  const element = figure(title, text, isFlow ? renderLabelFlow(changes, colorOf) : null, renderBars(bars));
  element.classList.add("changes");
  return element;
}

function renderRanges({ ranges, mostly }, { ranges_reason: reason, range_limits: limits }) {
  const title = "Where the versions differ most";
  if (!ranges) return figure(title, `Not known: ${reason}.`);
  if (!ranges.length)
    return figure(
      title,
      `No range of a measurement stands out: with at least ${limits.rows} rows, of which ${limits.changed} changed, and a ` +
        "larger share of them than among all rows.",
    );
  const shown = ranges.slice(0, MAX_RANGES);
  const largest = Math.max(...shown.map(({ share }) => share));
  const bars = shown.map(({ says, rows, changed, share }) => ({
    name: says,
    share: share / largest,
    text: `${formatPercent(share)} of ${formatCount(rows, "row")}`,
    title: `${changed.toLocaleString("en")} of ${formatCount(rows, "row")} changed`,
  }));
  const text = mostly ? `${mostly.changed.toLocaleString("en")} of all changed rows are where ${mostly.says}. ` : "";
  return figure(title, `${text}Share of changed rows among those with such a value:`, renderBars(bars));
}

function describePart(count, total) {
  return count === total ? "all" : count.toLocaleString("en");
}

function describeMovement({ mean }) {
  return `Rows by the largest difference of a probability, in percentage points; ${formatPoints(mean)} on average.`;
}

function describeTarget({ agree, tolerance, unit }) {
  const limit = tolerance === null ? "1 % of the value" : "1 % of the spread of the sample, grey";
  const what = `Rows by how much more, or less, the new version predicts${unit ? `, in ${unit}` : ""}`;
  return `${what}. ${formatCount(agree.rows, "row")} agree up to ${limit}.`;
}

function figure(title, text, ...pictures) {
  return h("figure", {}, h("figcaption", {}, h("b", {}, title), text ? h("span", {}, text) : null), ...pictures);
}
