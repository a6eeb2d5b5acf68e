/** The model card: training data, evaluation results and limits of the model. */

import { fetchPicture } from "./api.js";
import { h } from "./dom.js";
import { formatPercent } from "./format.js";

const FIGURES = {
  "confusion.svg": "What is taken for what: of each label, the share that was taken for each.",
  "reliability.svg": "Is it as sure as it should be? How often it is right when it is so sure.",
  "worst.svg": "Where it fails: the groups that are recognised least when the network has not seen them.",
  "comparison.svg": "Beside other classifiers, on the same individuals of the same unseen groups.",
};

/**
 * @param {string[]} files names of the files in the model's report
 * @param {object|null} report its `report.json`
 */
export function renderModelCard(container, model, files, report) {
  const { training } = model;
  const network = model.metrics.cross_validation?.network;
  const evaluation = network ?? model.metrics.validation;
  container.append(
    h(
      "p",
      { className: "muted" },
      `${model.name}, version ${model.version}. Trained on ${training.created.slice(0, 10)} on ` +
        `${training.rows.toLocaleString("en")} rows: ${training.about}.`,
    ),
    h("div", { className: "metrics" }, ...renderMetrics(evaluation, network)),
    h(
      "div",
      { className: "report-figures" },
      ...Object.entries(FIGURES)
        .filter(([name]) => files.includes(name))
        .map(renderFigure),
    ),
    h("div", { className: "columns" }, renderRecallByGroup(report), renderLimits(model, report)),
    files.includes("index.html")
      ? h(
          "p",
          {},
          h("a", { href: "page/report/index.html" }, "The whole evaluation"),
          ", ",
          h("a", { href: "model" }, "the schema and every figure as JSON"),
          ".",
        )
      : h("p", {}, h("a", { href: "model" }, "The schema and every figure as JSON"), "."),
  );
}

function renderMetrics(evaluation, crossValidation) {
  if (!evaluation) return [];
  const metrics = [
    ["right, of groups that it had not seen", evaluation.accuracy],
    ...Object.entries(evaluation.recall ?? {}).map(([label, recall]) => [`of every ${label} recognised`, recall]),
  ];
  if (crossValidation?.stress)
    metrics.push(["right if every derived figure is 8 % off", crossValidation.stress.accuracy]);
  return metrics.map(([name, share]) => h("p", { className: "metric" }, h("b", {}, formatPercent(share)), ` ${name}`));
}

function renderFigure([name, caption]) {
  const image = h("img", {
    alt: `${caption} The numbers are in the whole evaluation.`,
  });
  fetchPicture(`page/report/${name}`).then(
    (url) => (image.src = url),
    () => image.remove(),
  );
  return h("figure", {}, image, h("figcaption", {}, caption));
}

/** A searchable table of the recall of each group. */
function renderRecallByGroup(report) {
  const groups = report?.recall_by_group ?? [];
  if (!groups.length) return null;
  const body = h("tbody");
  const search = h("input", { type: "search", placeholder: "Find one of them", oninput: () => showMatches() });
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
  const headings = ["group", "label", "recognised"].map((name) => h("th", { scope: "col" }, name));
  return h(
    "div",
    {},
    h("h3", {}, "Group by group"),
    h("p", { className: "muted" }, "Recognised when the network had been trained without them, the worst first."),
    search,
    h(
      "div",
      { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Recognised, group by group" },
      h("table", {}, h("thead", {}, h("tr", {}, headings)), body),
    ),
  );
}

function renderLimits(model, report) {
  const names = model.labels.join(", ");
  const basis = report?.basis;
  const total = basis ? Object.values(basis).reduce((sum, count) => sum + count, 0) : 0;
  const items = [
    `It knows ${names}, and nothing else: whatever you measure, it answers one of these.`,
    "Its probabilities are fair for what is like the rows it was trained on. Far from them it can be sure and wrong; the page " +
      "warns where a value is unlike every training row of the answer.",
    `Nobody measured an animal for it: it was trained on ${model.training.about}.`,
  ];
  if (!/sampled/.test(model.training.about)) items.pop();
  if (basis)
    items.push(
      `Of the ${total} figures behind it ${formatPercent((basis.m ?? 0) / total)} were measured for that very row; most of the others are derived.`,
    );
  items.push(
    "What speaks for a label here is what moves this network, which need not be what makes a thing what it is.",
  );
  return h("div", {}, h("h3", {}, "What it does not know"), h("ul", {}, ...items.map((item) => h("li", {}, item))));
}
