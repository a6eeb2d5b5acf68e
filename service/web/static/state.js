/** The state of the page: the measurements, the pinned node and the explained label or target, stored in the URL fragment. */

import { fromText, isOptional, toText } from "./features.js";

const SAVE_DELAY = 250; // ms: browsers limit how often the URL may change
const [NODE, LABEL] = ["~node", "~label"]; // the names of features do not begin with a tilde

/** Emits `change` after every update. A value is null if it is missing, or while its feature has not been measured. */
export class State extends EventTarget {
  #features;
  #outputs;
  #timer;

  constructor(model, outputs) {
    super();
    this.#features = model.features;
    this.#outputs = outputs;
    this.values = {};
    this.node = null;
    this.label = null;
  }

  /** All measurements, or null while one is missing that must not be. */
  get completeValues() {
    return this.missingCount ? null : { ...this.values };
  }

  get missingCount() {
    return this.#features.filter((feature) => this.values[feature.name] === null && !isOptional(feature)).length;
  }

  set(changes) {
    Object.assign(this, changes);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.save(), SAVE_DELAY);
    this.dispatchEvent(new Event("change"));
  }

  setValue(name, value) {
    this.set({ values: { ...this.values, [name]: value } });
  }

  /** In the fragment, so that measurements reach no server's log. */
  get hash() {
    const parts = new URLSearchParams();
    for (const { name } of this.#features) parts.set(name, toText(this.values[name]));
    if (this.node) parts.set(NODE, this.node);
    if (this.label) parts.set(LABEL, this.label);
    return `#${parts}`;
  }

  save() {
    if (location.hash !== this.hash) history.replaceState(null, "", this.hash);
  }

  /** Restores the state from a fragment; false if it contains no feature of this model. */
  load(hash) {
    const parts = new URLSearchParams(hash.slice(1));
    if (!this.#features.some(({ name }) => parts.has(name))) return false;
    const values = Object.fromEntries(this.#features.map((feature) => [feature.name, fromText(feature, parts.get(feature.name))]));
    const label = this.#outputs.find(parts.get(LABEL))?.key ?? null;
    this.set({ values, node: parts.get(NODE), label });
    return true;
  }
}
