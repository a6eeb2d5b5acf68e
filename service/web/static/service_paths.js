/** Where the service is, and the model of this page, relative to the page: a proxy may add a path prefix. */

const folder = new URL(".", location.href).pathname;
const isDefaultModel = new URL("..", import.meta.url).pathname === folder; // this module lies in `page/`

/** The way to the service's root, where the page of the default model is. */
export const ROOT = isDefaultModel ? "./" : "../../";

const segment = isDefaultModel ? null : folder.split("/").at(-2);

/** The name of the page's model; null if it is the default one. */
export const MODEL_NAME = segment === null ? null : decodeURIComponent(segment);

/** The way to the description of the page's model. */
export const DESCRIPTION = segment === null ? "model" : `../${segment}`;

/** The way to the page of a model. */
export function pathOf({ name, default: isDefault }) {
  return isDefault ? ROOT : `${ROOT}models/${encodeURIComponent(name)}/`;
}
