/** The evaluation results on the model card: the most important numbers, and the report's charts. */

import { fetchPicture } from "./api.js";
import { h } from "./dom.js";
import { formatNumber, formatPercent } from "./format.js";

const MAX_RECALLS = 8;
const CHARTS = {
  confusion: "Confusion matrix: for each true label, the share that was predicted as each label.",
  reliability: "Calibration: how often the prediction is correct at each confidence.",
  recall: "Recall and precision of each label.",
  predictions: "Predicted and true values. On the dashed line, the prediction is right.",
  worst: "Lowest recall: the groups that are recognized least often when they are held out of training.",
  comparison: "Comparison with other classifiers, on the same individuals of the same held-out groups.",
};

/** @returns {HTMLElement[]} a paragraph for each number */
export function renderMetrics({ cross_validation: folds, validation, evaluation }) {
  const metrics = evaluation
    ? Object.entries(evaluation.outputs).flatMap((entry) => describeOutput(entry, evaluation))
    : describeHoldout(folds?.network ?? validation ?? {}, folds?.network.stress);
  return metrics.map(([value, name]) => h("p", { className: "metric" }, h("b", {}, value), ` ${name}`));
}

/** @param {string[]} files names of the files in the model's report */
export function renderCharts(files) {
  return Object.entries(CHARTS).flatMap(([kind, caption]) => {
    const pattern = new RegExp(`^(?:.*_)?${kind}(?:_\\d+)?\\.svg$`);
    return files.filter((name) => pattern.test(name)).map((name) => renderChart(name, kind, caption));
  });
}

/** The results of a model that was trained here, on groups that were held out of its training. */
function describeHoldout(scores, stress) {
  return [
    ...("accuracy" in scores ? [[formatPercent(scores.accuracy), "accuracy on held-out groups"]] : []),
    ...selectRecalls(scores.recall ?? {}),
    ...(stress ? [[formatPercent(stress.accuracy), "accuracy with an error of 8 % on all derived values"]] : []),
  ];
}

/** The results of one output of an adopted model on its sample. */
function describeOutput([output, scores], { outputs }) {
  const of = Object.keys(outputs).length > 1 ? ` of ${output}` : "";
  const { targets = {}, labels = {}, accuracy, recall = {} } = scores;
  const errors = Object.entries(targets).flatMap(([target, { mae, r2, unit }]) => [
    [`${formatNumber(mae)}${unit ? ` ${unit}` : ""}`, `mean absolute error of ${target} on the sample`],
    ...(r2 === null ? [] : [[formatNumber(r2), `R² of ${target}`]]),
  ]);
  const recalls = Object.entries(labels).filter(([, label]) => label.recall !== null);
  return [
    ...errors,
    ...(accuracy === undefined ? [] : [[formatPercent(accuracy), `accuracy${of} on the sample`]]),
    ...selectRecalls(recall),
    ...selectRecalls(Object.fromEntries(recalls.map(([name, label]) => [name, label.recall]))),
  ];
}

/** The recall of every label, or the lowest of many. */
function selectRecalls(recalls) {
  const entries = Object.entries(recalls);
  if (entries.length <= MAX_RECALLS) return entries.map(([label, recall]) => [formatPercent(recall), `recall of ${label}`]);
  const [label, recall] = entries.reduce((lowest, entry) => (entry[1] < lowest[1] ? entry : lowest));
  return [[formatPercent(recall), `recall of ${label}, the lowest of ${entries.length} labels`]];
}

function renderChart(name, kind, caption) {
  const output = name.replace(new RegExp(`_?${kind}(?:_\\d+)?\\.svg$`), ""); // comes first where there are several
  const text = output ? `${output}: ${caption}` : caption;
  const image = h("img", { alt: `${text} The numbers are in the evaluation report.` });
  fetchPicture(`page/report/${name}`).then(
    (url) => (image.src = url),
    () => image.remove(),
  );
  return h("figure", {}, image, h("figcaption", {}, text));
}
