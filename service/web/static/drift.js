/** Whether what the service is asked still looks like the training rows: looked at when a person wants to know. */

import { Trouble, get } from "./api.js";
import { h } from "./dom.js";
import { measure, number, shortPercent, title } from "./figures.js";

const AGAIN = 60_000; // ms, while it is open and seen

/** Fills a `<details>` whenever it is opened. */
export class Drift {
  #model;
  #details;
  #box;
  #timer;

  constructor(details, model) {
    this.#model = model;
    this.#details = details;
    this.#box = h("div", { className: "drift" });
    details.append(this.#box);
    details.addEventListener("toggle", () => this.#look());
    document.addEventListener("visibilitychange", () => this.#look());
    this.#look(); // it may have been opened before this script was here
  }

  async #look() {
    clearTimeout(this.#timer);
    if (!this.#details.open || document.hidden) return;
    try {
      this.#show(await get("drift"));
    } catch (error) {
      if (!(error instanceof Trouble)) throw error;
      this.#box.replaceChildren(h("p", { className: "soft", role: "status" }, error.message));
      if (error.lasting) return;
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), AGAIN);
  }

  #show(drift) {
    const since = drift.since && new Date(drift.since).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
    const features = this.#model.features.map((feature) => row(feature, drift.features[feature.name]));
    this.#box.replaceChildren(
      h("p", { className: `looks ${drift.verdict}`, role: "status" }, words(drift)),
      h(
        "p",
        { className: "soft" },
        `${drift.rows} ${drift.rows === 1 ? "row" : "rows"}${since ? ` since ${since}` : " so far"}, of the last ` +
          `${drift.window_rows} that count. What this page asks does not count. The number is the population stability ` +
          `index: 0 for no shift at all; from ${drift.labels.limit.toFixed(2)} on it is one.`,
      ),
      h(
        "p",
        { className: "key-of-bars", "aria-hidden": "true" },
        h("span", { className: "then" }),
        "training rows ",
        h("span", { className: "now" }),
        "last rows ",
        h("span", { className: "refused" }),
        "refused: beyond the bounds",
      ),
      h("ul", { className: "shifts" }, ...features, answers(drift.labels)),
    );
  }
}

function words({ verdict, says }) {
  return `${verdict === "unknown" ? "There are" : "What it is asked"} ${says}${says.endsWith("?") ? "" : "."}`;
}

function row(feature, told) {
  const bins = told.bins.map(({ above, upto, then, now }) => ({ what: reach(feature, above, upto), then, now }));
  if (told.refused) bins.push({ what: "refused", now: told.refused, refused: true });
  return shift(title(feature), bins, told);
}

function answers(told) {
  return shift("Answers", Object.entries(told.shares).map(([what, shares]) => ({ what, ...shares })), told);
}

function reach(feature, above, upto) {
  if (above === null) return upto === null ? "any" : `up to ${measure(feature, upto)}`;
  return upto === null ? `over ${measure(feature, above)}` : `${number(above)} to ${measure(feature, upto)}`;
}

/** One variable: its name, a pair of bars for each bin, and how far it has shifted. */
function shift(name, bins, { psi, rows, shifted }) {
  const most = Math.max(...bins.flatMap(({ then, now }) => [then ?? 0, now ?? 0]));
  const said = bins.map(describe);
  const columns = bins.map((bin, place) => {
    const pair = [bar("then", bin.then, most), bar(bin.refused ? "refused" : "now", bin.now, most)];
    return h("span", { className: "bin", title: said[place] }, ...pair);
  });
  const picture = { className: "bins", role: "img", "aria-label": `${name}: ${said.join("; ")}` };
  return h(
    "li",
    { className: shifted ? "shifted" : "" },
    h("span", { className: "what" }, name),
    h("span", picture, ...columns),
    h("span", { className: "psi" }, rows ? psi.toFixed(2) : "–", shifted ? h("br") : null, shifted ? "shifted" : null),
  );
}

function describe({ what, then, now }) {
  const told = [then === undefined ? null : `${shortPercent(then)} in training`, now === null ? null : `${shortPercent(now)} now`];
  return `${what}: ${told.filter(Boolean).join(", ")}`;
}

function bar(kind, share, most) {
  const element = h("span", { className: kind });
  element.style.setProperty("--share", String((share ?? 0) / most));
  return element;
}
