/** The model's card: what it was trained on, how well it does, and what it does not know. */

import { picture } from "./api.js";
import { h } from "./dom.js";
import { percent } from "./figures.js";

const PICTURES = {
  "confusion.svg": "What is taken for what: of each label, the share that was taken for each.",
  "reliability.svg": "Is it as sure as it should be? How often it is right when it is so sure.",
  "worst.svg": "Where it fails: the groups that are recognised least when the network has not seen them.",
  "comparison.svg": "Beside other classifiers, on the same individuals of the same unseen groups.",
};

/**
 * @param {string[]} files of the model's report
 * @param {object|null} report its `report.json`
 */
export function card(container, model, files, report) {
  const { training } = model;
  const network = model.metrics.cross_validation?.network;
  const figures = network ?? model.metrics.validation;
  container.append(
    h(
      "p",
      { className: "soft" },
      `${model.name}, version ${model.version}. Trained on ${training.created.slice(0, 10)} on ` +
        `${training.rows.toLocaleString("en")} rows: ${training.about}.`,
    ),
    h("div", { className: "facts" }, ...scores(figures, network)),
    h(
      "div",
      { className: "pictures" },
      ...Object.entries(PICTURES)
        .filter(([name]) => files.includes(name))
        .map(figure),
    ),
    h("div", { className: "columns" }, groups(report), unknown(model, report)),
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

function scores(figures, crossed) {
  if (!figures) return [];
  const told = [
    ["right, of groups that it had not seen", figures.accuracy],
    ...Object.entries(figures.recall ?? {}).map(([label, recall]) => [`of every ${label} recognised`, recall]),
  ];
  if (crossed?.stress) told.push(["right if every derived figure is 8 % off", crossed.stress.accuracy]);
  return told.map(([what, share]) => h("p", { className: "fact" }, h("b", {}, percent(share)), ` ${what}`));
}

function figure([name, says]) {
  const image = h("img", {
    alt: `${says} The numbers are in the whole evaluation.`,
  });
  picture(`page/report/${name}`).then((address) => (image.src = address), () => image.remove());
  return h("figure", {}, image, h("figcaption", {}, says));
}

/** How well each group is recognised, to be searched. */
function groups(report) {
  const all = report?.recall_by_group ?? [];
  if (!all.length) return null;
  const body = h("tbody");
  const search = h("input", { type: "search", placeholder: "Find one of them", oninput: () => list() });
  search.setAttribute("aria-label", "Find a group");
  const list = () => {
    const asked = search.value.trim().toLowerCase();
    const found = all.filter(({ group, label }) => `${group} ${label}`.toLowerCase().includes(asked));
    body.replaceChildren(
      ...found.map(({ group, label, recall }) =>
        h("tr", {}, h("td", {}, group), h("td", {}, label), h("td", { className: "figure" }, percent(recall))),
      ),
    );
  };
  list();
  const head = ["group", "label", "recognised"].map((name) => h("th", { scope: "col" }, name));
  return h(
    "div",
    {},
    h("h3", {}, "Group by group"),
    h("p", { className: "soft" }, "Recognised when the network had been trained without them, the worst first."),
    search,
    h(
      "div",
      { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Recognised, group by group" },
      h("table", {}, h("thead", {}, h("tr", {}, head)), body),
    ),
  );
}

function unknown(model, report) {
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
      `Of the ${total} figures behind it ${percent((basis.m ?? 0) / total)} were measured for that very row; most of the others are derived.`,
    );
  items.push(
    "What speaks for a label here is what moves this network, which need not be what makes a thing what it is.",
  );
  return h("div", {}, h("h3", {}, "What it does not know"), h("ul", {}, ...items.map((item) => h("li", {}, item))));
}
