/** The model card: training data, evaluation results and limits of the model. */

import { h } from "./dom.js";
import { renderCharts, renderMetrics } from "./evaluation.js";
import { categoryType, isCategory, isEncoded } from "./features.js";
import { capitalize, featureTitle, formatCount, formatMeasurement, formatPercent, formatShortPercent, hasBounds } from "./format.js";
import { describeValues } from "./row_parts.js";
import { DESCRIPTION } from "./service_paths.js";

const MAX_NAMES = 20; // of labels and targets in a sentence
const ADOPTED = "not_taken_apart"; // a setting that only adoption records
const MAX_CATEGORIES = 8; // of a measurement in the table
/**
 * @param {Outputs} outputs of the model
 * @param {string[]} files names of the files in the model's report
 * @param {object|null} report its `report.json`
 */
export function renderModelCard(container, model, outputs, files, report) {
  const parts = [
    h("p", { className: "muted" }, `${model.name}, version ${model.version}. ${describeOrigin(model, outputs)}`),
    ...(model.metrics.verdict?.baselines ? [h("p", {}, model.metrics.verdict.baselines)] : []),
    h("div", { className: "metrics" }, ...renderMetrics(model.metrics)),
    h("div", { className: "report-figures" }, ...renderCharts(files)),
    isEncoded(model) ? renderFeatures(model) : null,
    h("div", { className: "columns" }, renderRecallByGroup(report), renderLimits(model, outputs, report)),
    files.includes("index.html")
      ? h(
          "p",
          {},
          h("a", { href: "page/report/index.html" }, "Evaluation report"),
          ", ",
          h("a", { href: DESCRIPTION }, "schema and all figures as JSON"),
          ".",
        )
      : h("p", {}, h("a", { href: DESCRIPTION }, "Schema and all figures as JSON"), "."),
  ];
  container.append(...parts.filter(Boolean));
}

/** Where the model and its statistics come from. */
function describeOrigin(model, { isTrainedHere }) {
  const { about, created, rows, settings } = model.training;
  const date = created ? ` on ${created.slice(0, 10)}` : "";
  const isAdopted = isEncoded(model) ? ADOPTED in (settings ?? {}) : !isTrainedHere;
  if (isAdopted) return `Adopted${date} ${rows ? `with a sample of ${formatCount(rows, "row")}` : "without a sample"}: ${about}.`;
  return `Trained${date} with ${formatCount(rows, "row")}: ${about}.`;
}

/** What each measurement may be, for models whose measurements are not all numbers. */
function renderFeatures({ features, reference }) {
  const rows = features.map((feature) => {
    const shares = reference?.categories?.[""]?.[feature.name];
    const texts = [describeKind(feature), describeAllowed(feature, shares), describeMissing(feature, shares, reference)];
    return h("tr", {}, h("th", { scope: "row", title: feature.name }, featureTitle(feature)), ...texts.map((text) => h("td", {}, text)));
  });
  const headings = ["measurement", "kind", "values", "if missing"].map((name) => h("th", { scope: "col" }, name));
  return h(
    "div",
    { className: "feature-table" },
    h("h3", {}, "Measurements"),
    h(
      "div",
      { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Measurements" },
      h("table", {}, h("thead", {}, h("tr", {}, headings)), h("tbody", {}, ...rows)),
    ),
  );
}

function describeKind(feature) {
  if (!isCategory(feature)) return feature.kind;
  return categoryType(feature) === "boolean" ? "true or false" : "category";
}

/** The bounds, or the most frequent categories with their shares among the training rows. */
function describeAllowed(feature, shares) {
  if (!isCategory(feature)) return hasBounds(feature) ? capitalize(describeValues(feature).replace(/^a (whole )?number /, "")) : "any";
  const { hashing, categories, allow_other: allowsOther } = feature;
  if (hashing) return `${capitalize(describeValues(feature))}, hashed to ${formatCount(hashing.bins, "bin")}`;
  const order = categories.map((_, index) => index);
  if (shares) order.sort((one, other) => shares[other] - shares[one]);
  const named = order.slice(0, MAX_CATEGORIES).map((index) => `${categories[index]}${shares ? ` (${formatShortPercent(shares[index])})` : ""}`);
  const rest = categories.length - named.length;
  const other = allowsOther ? `; others are taken as one more value${shares ? ` (${formatShortPercent(shares[categories.length])})` : ""}` : "";
  return `${named.join(", ")}${rest ? ` and ${rest.toLocaleString("en")} more` : ""}${other}`;
}

function describeMissing(feature, shares, reference) {
  if (feature.default !== null) return `counts as ${formatMeasurement(feature, null)}`;
  if (!feature.allow_missing) return "not allowed";
  const share = isCategory(feature) ? shares?.at(-1) : reference?.missing?.[feature.name];
  return `allowed${share === undefined ? "" : ` (${formatShortPercent(share)} of the training rows)`}`;
}

/** A searchable table of the recall of each group. */
function renderRecallByGroup(report) {
  const groups = report?.recall_by_group ?? [];
  if (!groups.length) return null;
  const body = h("tbody");
  const search = h("input", { type: "search", placeholder: "Find a group", oninput: () => showMatches() });
  search.setAttribute("aria-label", "Find a group");
  const showMatches = () => {
    const query = search.value.trim().toLowerCase();
    const matches = groups.filter(({ group, label }) => `${group} ${label}`.toLowerCase().includes(query));
    body.replaceChildren(
      ...matches.map(({ group, label, recall }) =>
        h("tr", {}, h("td", {}, group), h("td", {}, label), h("td", { className: "numeric" }, formatPercent(recall))),
      ),
    );
  };
  showMatches();
  const headings = ["group", "label", "recall"].map((name) => h("th", { scope: "col" }, name));
  return h(
    "div",
    {},
    h("h3", {}, "Recall by group"),
    h("p", { className: "muted" }, "Recall of each group when it is held out of training, lowest first."),
    search,
    h(
      "div",
      { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Recall by group" },
      h("table", {}, h("thead", {}, h("tr", {}, headings)), body),
    ),
  );
}

function renderLimits(model, outputs, report) {
  const basis = report?.basis;
  const total = basis ? Object.values(basis).reduce((sum, count) => sum + count, 0) : 0;
  const items = [
    describeScope(outputs),
    describeUnusualInput(model, outputs),
    `No animal was measured for it: it was trained on ${model.training.about}.`,
  ];
  if (!/sampled/.test(model.training.about)) items.pop();
  if (model.metrics.evaluation)
    items.push("The results are those on its sample: if it was trained on these rows, new ones can be worse.");
  items.push(...(model.training.settings?.warnings ?? []).map((warning) => `${capitalize(warning)}.`));
  if (basis)
    items.push(
      `Of the ${total} values in the table of facts, ${formatPercent((basis.m ?? 0) / total)} were measured for that ` +
        "very row; most others are derived.",
    );
  items.push(
    "Its explanations show what drives the predictions of this network. They do not show causes.",
  );
  return h("div", {}, h("h3", {}, "Limits of the model"), h("ul", {}, ...items.map((item) => h("li", {}, item))));
}

function describeScope({ columns, isClassification }) {
  const names = columns.slice(0, MAX_NAMES).map(({ key }) => key);
  const rest = columns.length - names.length;
  const list = `${names.join(", ")}${rest ? ` and ${rest} more` : ""}`;
  return `It predicts ${list} and nothing else${isClassification ? ": any input gets one of these labels" : ""}.`;
}

function describeUnusualInput(model, { isClassification, columns }) {
  const calibration = columns.every(({ isValue }) => isValue) ? "" : `${describeCalibration(model)} `;
  const fault = calibration ? "be confident and wrong" : "be far off";
  if (!model.reference)
    return (
      `${calibration}For input unlike the rows that it was trained on, it can ${fault}. The page cannot warn of such ` +
      "input, because the model was adopted without a sample."
    );
  const owner = isClassification && !("" in model.reference.ranges) ? " of the predicted label" : "";
  const categories = model.features.some(isCategory) ? ", or is a category that these rows do not have" : "";
  return (
    `${calibration}For input unlike the training rows, it can ${fault}. The page warns when a ` +
    `value lies outside the training range${owner}${categories}.`
  );
}

/** Whether the probabilities can be trusted, as far as the evaluation says. */
function describeCalibration({ metrics }) {
  return metrics.verdict?.calibration ?? "Whether its probabilities are calibrated was not evaluated.";
}
