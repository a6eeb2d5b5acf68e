/** Animals to try: the familiar ones at hand, all others in a list, one by chance, and an empty form for one's own. */

import { away, h } from "./dom.js";
import { percent, spaced } from "./figures.js";

/** Emits `pick` with a preset, or with null for the empty form. */
export class Presets extends EventTarget {
  #presets;
  #sources;
  #chips = new Map();
  #list;
  #about;
  #own;
  #recalls = new Map();
  #said;

  /** @param {{presets: object[], sources: object}|null} document of the model's report, if it has one */
  constructor(container, model, document) {
    super();
    this.#presets = document?.presets ?? [];
    this.#sources = document?.sources ?? {};
    const familiar = this.#presets.filter((preset) => preset.familiar);
    for (const preset of familiar) this.#chips.set(preset.name, this.#chip(preset, model));
    this.#list = this.#menu(model);
    this.#about = h("p", { className: "about" });
    this.#own = this.#pressed(this.#presets.length ? "Measure your own pet" : "Measure your own", () =>
      this.#pick(null),
    );
    container.append(
      ...(this.#chips.size ? [h("div", { className: "chips" }, ...this.#chips.values())] : []),
      h(
        "div",
        { className: "picks" },
        ...(this.#presets.length ? [this.#list, this.#pressed("Random animal", () => this.#chance())] : []),
        this.#own,
      ),
      this.#about,
    );
  }

  /** The first one, to begin with. */
  get first() {
    return this.#presets[0] ?? null;
  }

  /** Takes over how well the report says that each group is recognised. */
  learn(report) {
    this.#recalls = new Map(report.recall_by_group.map(({ group, recall }) => [group, recall]));
  }

  #pressed(text, onclick) {
    return h("button", { type: "button", onclick }, text);
  }

  #chip(preset, model) {
    const chip = this.#pressed(short(preset.name), () => this.#pick(preset));
    chip.className = "animal";
    chip.setAttribute("data-label", model.labels.indexOf(preset.label) % 8);
    chip.setAttribute("aria-pressed", "false");
    return chip;
  }

  #menu(model) {
    const groups = model.labels.map((label) => {
      const own = this.#presets.filter((preset) => preset.label === label);
      own.sort((a, b) => a.name.localeCompare(b.name));
      return h(
        "optgroup",
        { label: `${label} (${own.length})` },
        ...own.map(({ name }) => h("option", { value: name }, name)),
      );
    });
    const list = h("select", {}, h("option", { value: "" }, `All ${this.#presets.length} animals …`), ...groups);
    list.setAttribute("aria-label", "All animals");
    list.addEventListener(
      "change",
      () => list.value && this.#pick(this.#presets.find(({ name }) => name === list.value)),
    );
    return list;
  }

  #chance() {
    this.#pick(this.#presets[Math.floor(Math.random() * this.#presets.length)]);
  }

  #pick(preset) {
    this.dispatchEvent(new CustomEvent("pick", { detail: preset }));
  }

  /** Tells which animal the values are of, if they are of one, beside what the network answers. */
  show(values, answer, missing) {
    const shown = this.#presets.find(({ features }) =>
      Object.entries(features).every(([name, value]) => values[name] === value),
    );
    const said = JSON.stringify([shown?.name, answer?.prediction.label, missing > 0, this.#recalls.size]);
    if (said === this.#said) return;
    this.#said = said;
    for (const [name, chip] of this.#chips) chip.setAttribute("aria-pressed", name === shown?.name);
    this.#own.setAttribute("aria-pressed", missing > 0);
    this.#list.value = shown?.name ?? "";
    this.#about.replaceChildren(...(shown ? this.#told(shown, answer) : this.#untold(missing)));
  }

  #told({ name, label, sources }, answer) {
    const right = answer && answer.prediction.label === label;
    const verdict = !answer
      ? ""
      : right
        ? `, and the network says so too`
        : `, but the network says ${answer.prediction.label}`;
    const recall = this.#recalls.get(name);
    const unseen = recall === undefined ? "" : ` Trained without them it recognises ${percent(recall)} of them.`;
    return [
      h("b", {}, name),
      ` is a ${label} in the facts${verdict}.${unseen} Figures: `,
      ...sources.flatMap((key, i) => [i ? "; " : "", this.#source(key)]),
      ".",
    ];
  }

  #untold(missing) {
    if (!this.#presets.length) return [];
    return [
      missing
        ? "Take a tape measure: below each field it says how."
        : "An animal of your own: no row of the facts has these measurements.",
    ];
  }

  #source(key) {
    const { citation, link } = this.#sources[key] ?? {};
    const said = (citation ?? spaced(key)).split(/[,(;:]/)[0].trim();
    const element = link ? away(link, said) : h("span", {}, said);
    element.title = citation ?? "";
    return element;
  }
}

/** A name without what stands in brackets. */
function short(name) {
  return name.replace(/\s*\(.*\)/, "");
}
