/** The presets: buttons for familiar ones, a list of all, a random choice, and an empty form for one's own values. */

import { externalLink, h } from "./dom.js";
import { formatPercent, spaced } from "./format.js";

/** Emits `pick` with a preset, or with null for the empty form. */
export class Presets extends EventTarget {
  #presets;
  #sources;
  #buttons = new Map();
  #select;
  #description;
  #emptyFormButton;
  #recalls = new Map();
  #shown; // what `show` depends on, to skip updates that change nothing

  /** @param {{presets: object[], sources: object}|null} document `presets.json` of the model's report */
  constructor(container, model, document) {
    super();
    this.#presets = document?.presets ?? [];
    this.#sources = document?.sources ?? {};
    const familiar = this.#presets.filter((preset) => preset.familiar);
    for (const preset of familiar) this.#buttons.set(preset.name, this.#createButton(preset, model));
    this.#select = this.#createSelect(model);
    this.#description = h("p", { className: "preset-description" });
    this.#emptyFormButton = this.#createPlainButton("Enter your own values", () => this.#pick(null));
    container.append(
      ...(this.#buttons.size ? [h("div", { className: "chips" }, ...this.#buttons.values())] : []),
      h(
        "div",
        { className: "preset-actions" },
        ...(this.#presets.length
          ? [this.#select, this.#createPlainButton("Random animal", () => this.#pickRandom())]
          : []),
        this.#emptyFormButton,
      ),
      this.#description,
    );
  }

  /** The preset that the page opens with. */
  get first() {
    return this.#presets[0] ?? null;
  }

  /** Adds the recall of each group from the report. */
  addReport(report) {
    this.#recalls = new Map(report.recall_by_group.map(({ group, recall }) => [group, recall]));
  }

  #createPlainButton(text, onclick) {
    return h("button", { type: "button", onclick }, text);
  }

  #createButton(preset, model) {
    const button = this.#createPlainButton(withoutBrackets(preset.name), () => this.#pick(preset));
    button.className = "preset-chip";
    button.setAttribute("data-label", model.labels.indexOf(preset.label) % 8);
    button.setAttribute("aria-pressed", "false");
    return button;
  }

  #createSelect(model) {
    const groups = (model.labels ?? []).map((label) => {
      const presets = this.#presets.filter((preset) => preset.label === label);
      presets.sort((a, b) => a.name.localeCompare(b.name));
      return h(
        "optgroup",
        { label: `${label} (${presets.length})` },
        ...presets.map(({ name }) => h("option", { value: name }, name)),
      );
    });
    const select = h("select", {}, h("option", { value: "" }, `All ${this.#presets.length} animals …`), ...groups);
    select.setAttribute("aria-label", "All animals");
    select.addEventListener(
      "change",
      () => select.value && this.#pick(this.#presets.find(({ name }) => name === select.value)),
    );
    return select;
  }

  #pickRandom() {
    this.#pick(this.#presets[Math.floor(Math.random() * this.#presets.length)]);
  }

  #pick(preset) {
    this.dispatchEvent(new CustomEvent("pick", { detail: preset }));
  }

  /** Marks the preset with these values, if there is one, and describes it beside the prediction. */
  show(values, explanation, missingCount) {
    const preset = this.#presets.find(({ features }) =>
      Object.entries(values).every(([name, value]) => (features[name] ?? null) === value),
    );
    const shown = JSON.stringify([preset?.name, explanation?.prediction.label, missingCount > 0, this.#recalls.size]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    for (const [name, button] of this.#buttons) button.setAttribute("aria-pressed", name === preset?.name);
    this.#emptyFormButton.setAttribute("aria-pressed", missingCount > 0);
    this.#select.value = preset?.name ?? "";
    this.#description.replaceChildren(
      ...(preset ? this.#describe(preset, explanation) : this.#describeOwnValues(missingCount)),
    );
  }

  #describe({ name, label, sources }, explanation) {
    const isCorrect = explanation?.prediction.label === label;
    const verdict = !explanation
      ? ""
      : isCorrect
        ? `, and the network predicts ${label}`
        : `, but the network predicts ${explanation.prediction.label}`;
    const recall = this.#recalls.get(name);
    const recallText =
      recall === undefined ? "" : ` Recall when held out of training: ${formatPercent(recall)}.`;
    return [
      h("b", {}, name),
      ` is a ${label}${verdict}.${recallText} Sources: `,
      ...sources.flatMap((key, i) => [i ? "; " : "", this.#renderSource(key)]),
      ".",
    ];
  }

  #describeOwnValues(missingCount) {
    if (!this.#presets.length) return [];
    return [
      missingCount
        ? "The text below each field describes how to measure."
        : "Your own values: no animal in the list has these measurements.",
    ];
  }

  #renderSource(key) {
    const { citation, link } = this.#sources[key] ?? {};
    const text = (citation ?? spaced(key)).split(/[,(;:]/)[0].trim();
    const element = link ? externalLink(link, text) : h("span", {}, text);
    element.title = citation ?? "";
    return element;
  }
}

function withoutBrackets(name) {
  return name.replace(/\s*\(.*\)/, "");
}
