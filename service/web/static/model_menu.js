/** The way from one model to another: a menu in the header, and the list of models where there is no default one. */

import { ServiceError, fetchJson } from "./api.js";
import { h } from "./dom.js";
import { MODEL_NAME, ROOT, pathOf } from "./service_paths.js";

/** The models that the service serves; the page does not wait for them. */
export async function fetchModels() {
  return (await fetchJson(`${ROOT}models`, { priority: "low" })).models;
}

/** A link to each model's page; of a model without one, the reason instead. */
export function renderModels(models) {
  return h("ul", { className: "model-list" }, ...models.map(renderModel));
}

function renderModel(model) {
  const { name, state, serving, shadow, fault } = model;
  if (state !== "ready")
    return h("li", { className: "unavailable" }, h("b", {}, name), h("small", {}, fault ? `unavailable: ${fault}` : "unavailable"));
  const note = `version ${serving}${shadow ? `, shadow ${shadow}` : ""}${model.default ? ", default" : ""}`;
  const link = h("a", { href: pathOf(model) }, h("b", {}, name), h("small", {}, note));
  if (isCurrent(model)) link.setAttribute("aria-current", "page");
  return h("li", {}, link);
}

function isCurrent(model) {
  return MODEL_NAME === null ? model.default : model.name === MODEL_NAME;
}

/** A list that opens below the name of the page's model, if the service has further models. */
export class ModelMenu {
  #container;
  #details;
  #shown = "";

  /** @param {HTMLElement} container hidden until there is a menu */
  constructor(container) {
    this.#container = container;
    this.#details = h("details", { className: "model-menu", ontoggle: () => this.#details.open && this.#refresh() });
    container.append(this.#details);
    document.addEventListener("click", ({ target }) => this.#details.contains(target) || this.#close());
    container.addEventListener("keydown", ({ key }) => key === "Escape" && this.#close());
    this.#refresh();
  }

  async #refresh() {
    try {
      this.#show(await fetchModels());
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error; // the page goes on without a menu, or with what it has
    }
  }

  #show(models) {
    const shown = JSON.stringify(models);
    if (shown === this.#shown) return; // else a link would lose the focus
    this.#shown = shown;
    const current = models.find(isCurrent)?.name ?? MODEL_NAME;
    this.#container.hidden = models.length < 2 || !current;
    if (this.#container.hidden) return;
    document.title = `${current} · Menagerie`;
    const summary = h("summary", { title: "Show another model" }, h("span", { className: "visually-hidden" }, "Model: "), current);
    this.#details.replaceChildren(summary, renderModels(models));
  }

  #close() {
    if (!this.#details.open) return;
    if (this.#details.contains(document.activeElement)) this.#details.querySelector("summary").focus();
    this.#details.open = false;
  }
}
