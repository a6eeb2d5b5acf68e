/** What the page is about: the measurements, the node looked at, the label explained. Kept in the address. */

const SAVE_AFTER = 250; // ms: browsers limit how often the address may change
const [NODE, LABEL] = ["~node", "~label"]; // no feature that a form can hold begins like this

/** Emits `change` whenever anything is set. A value is null while it has not been measured. */
export class State extends EventTarget {
  #features;
  #labels;
  #timer;

  constructor(model) {
    super();
    this.#features = model.features;
    this.#labels = model.labels;
    this.values = {};
    this.node = null;
    this.label = null;
  }

  /** The measurements if there are all of them, else null. */
  get complete() {
    return this.missing ? null : { ...this.values };
  }

  /** How many are not measured yet. */
  get missing() {
    return this.#features.filter(({ name }) => this.values[name] === null).length;
  }

  set(changes) {
    Object.assign(this, changes);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.save(), SAVE_AFTER);
    this.dispatchEvent(new Event("change"));
  }

  measure(name, value) {
    this.set({ values: { ...this.values, [name]: value } });
  }

  /** After the `#`, so that measurements reach no server's log. */
  get hash() {
    const parts = new URLSearchParams();
    for (const { name } of this.#features) parts.set(name, this.values[name] ?? "");
    if (this.node) parts.set(NODE, this.node);
    if (this.label) parts.set(LABEL, this.label);
    return `#${parts}`;
  }

  save() {
    if (location.hash !== this.hash) history.replaceState(null, "", this.hash);
  }

  /** Takes over what an address says; false if it says nothing of this model. */
  load(hash) {
    const parts = new URLSearchParams(hash.slice(1));
    if (!this.#features.some(({ name }) => parts.has(name))) return false;
    const values = Object.fromEntries(this.#features.map((feature) => [feature.name, within(feature, parts)]));
    const label = this.#labels.includes(parts.get(LABEL)) ? parts.get(LABEL) : null;
    this.set({ values, node: parts.get(NODE), label });
    return true;
  }
}

function within({ name, minimum, maximum }, parts) {
  const said = parts.get(name);
  const value = said ? Number(said) : NaN;
  return value >= minimum && value <= maximum ? value : null;
}
