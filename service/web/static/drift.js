/** Input drift: the distribution of recent rows beside that of the training rows, fetched when the panel is open. */

import { ServiceError, fetchJson } from "./api.js";
import { h } from "./dom.js";
import { isCategory } from "./features.js";
import { capitalize, featureTitle, formatCount, formatMeasurement, formatShortPercent, formatTime, formatValue } from "./format.js";

const REFRESH_INTERVAL = 60_000; // ms, while the panel is open and the page visible
const FURTHER = [["rare", "all rarer values"], ["other", "other values"], ["missing", "missing"]]; // beside bins or shares

/** Fills a `<details>` element whenever it is opened. */
export class DriftPanel {
  #model;
  #outputs;
  #details;
  #content;
  #timer;

  constructor(details, model, outputs) {
    this.#model = model;
    this.#outputs = outputs;
    this.#details = details;
    this.#content = h("div", { className: "drift" });
    details.append(this.#content);
    details.addEventListener("toggle", () => this.#refresh());
    document.addEventListener("visibilitychange", () => this.#refresh());
    this.#refresh(); // it may have been opened before this script ran
  }

  async #refresh() {
    clearTimeout(this.#timer);
    if (!this.#details.open || document.hidden) return;
    try {
      this.#show(await fetchJson("drift"));
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      this.#content.replaceChildren(h("p", { className: "muted", role: "status" }, error.message));
      if (error.isPermanent) return;
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#refresh(), REFRESH_INTERVAL);
  }

  #show(drift) {
    const features = this.#model.features
      .filter(({ name }) => drift.features?.[name])
      .map((feature) => featureRow(feature, drift.features[feature.name]));
    const outputs = this.#outputRows(drift);
    const limit = [drift.labels, ...Object.values(drift.outputs ?? {})].find(Boolean)?.limit;
    if (!features.length) {
      this.#content.replaceChildren(h("p", { className: "drift-summary", role: "status" }, summarize(drift)));
      return;
    }
    this.#content.replaceChildren(
      h("p", { className: `drift-summary ${drift.verdict}`, role: "status" }, summarize(drift)),
      h(
        "p",
        { className: "muted" },
        `${formatCount(drift.rows, "row")}${drift.since ? ` since ${formatTime(drift.since)}` : " so far"}; the window holds the ` +
          `last ${drift.window_rows}. Requests from this page are not counted. Each number is a population stability ` +
          `index: 0 means no shift, ${limit.toFixed(2)} or more means a shift.`,
      ),
      h(
        "p",
        { className: "drift-legend", "aria-hidden": "true" },
        h("span", { className: "training" }),
        "training rows ",
        h("span", { className: "recent" }),
        "recent rows ",
        h("span", { className: "refused" }),
        this.#model.features.some(isCategory) ? "rejected: out of bounds or unknown" : "rejected: out of bounds",
      ),
      h("ul", { className: "drift-rows" }, ...features, ...outputs),
    );
  }

  /** The predicted labels of a single classification, or each label, target and classification of other models. */
  #outputRows({ labels, outputs }) {
    if (labels) return [shareRow("Predicted label", labels)];
    const columns = new Map(this.#outputs.columns.map((column) => [column.key, column]));
    return Object.entries(outputs ?? {}).map(([key, drift]) =>
      drift.bins ? featureRow({ ...columns.get(key), name: key }, drift) : shareRow(key, drift),
    );
  }
}

function summarize({ verdict, says }) {
  return `${verdict === "unknown" ? capitalize(says) : `Recent input ${says}`}${says.endsWith("?") ? "" : "."}`;
}

function featureRow(feature, drift) {
  const bins = drift.shares
    ? Object.entries(drift.shares).map(([name, shares]) => ({ name, ...shares }))
    : drift.bins.map(({ above, upto, then, now }) => ({ name: formatRange(feature, above, upto), then, now }));
  for (const [key, name] of FURTHER) if (drift[key]) bins.push({ name, ...drift[key] });
  if (drift.refused) bins.push({ name: "rejected", now: drift.refused, isRefused: true });
  return driftRow(featureTitle(feature), bins, drift);
}

function shareRow(title, drift) {
  const bins = Object.entries(drift.shares).map(([name, shares]) => ({ name, ...shares }));
  return driftRow(title, bins, drift);
}

function formatRange(feature, above, upto) {
  if (above === null) return upto === null ? "any" : `up to ${formatMeasurement(feature, upto)}`;
  return upto === null
    ? `over ${formatMeasurement(feature, above)}`
    : `${formatValue(feature, above)} to ${formatMeasurement(feature, upto)}`;
}

/** One variable: its name, a pair of bars for each bin, and its population stability index. */
function driftRow(name, bins, { psi, rows, shifted }) {
  const maxShare = Math.max(...bins.flatMap(({ then, now }) => [then ?? 0, now ?? 0]));
  const descriptions = bins.map(describeBin);
  const columns = bins.map((bin, index) => {
    const pair = [bar("training", bin.then, maxShare), bar(bin.isRefused ? "refused" : "recent", bin.now, maxShare)];
    return h("span", { className: "bin", title: descriptions[index] }, ...pair);
  });
  const chart = { className: "bins", role: "img", "aria-label": `${name}: ${descriptions.join("; ")}` };
  return h(
    "li",
    { className: shifted ? "shifted" : "" },
    h("span", { className: "row-name", title: name }, name),
    h("span", chart, ...columns),
    h("span", { className: "psi" }, rows ? psi.toFixed(2) : "–", shifted ? h("br") : null, shifted ? "shifted" : null),
  );
}

function describeBin({ name, then, now }) {
  const shares = [
    then === undefined ? null : `${formatShortPercent(then)} in training`,
    now === null ? null : `${formatShortPercent(now)} now`,
  ];
  return `${name}: ${shares.filter(Boolean).join(", ")}`;
}

function bar(className, share, maxShare) {
  const element = h("span", { className });
  element.style.setProperty("--share", String((share ?? 0) / maxShare));
  return element;
}
