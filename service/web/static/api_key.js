/** The API key, for a service that requires one: kept in this tab's session storage, requested in a dialog. */

import { h } from "./dom.js";
import { ROOT } from "./service_paths.js";

// Pages of one origin share the storage, and a proxy may have several services, each under a path of its own.
const STORAGE_KEY = `menagerie-key ${new URL(ROOT, location.href).pathname}`;
let pendingPrompt = null; // one dialog, however many requests wait for the key

/** The headers of a request, with the API key if there is one. */
export function withApiKey(headers = {}) {
  const key = sessionStorage.getItem(STORAGE_KEY);
  return key ? { ...headers, "X-API-Key": key } : headers;
}

/** Opens the dialog, and resolves once a key has been entered. */
export function promptForApiKey() {
  pendingPrompt ??= showDialog().finally(() => (pendingPrompt = null));
  return pendingPrompt;
}

function showDialog() {
  const isRejected = sessionStorage.getItem(STORAGE_KEY) !== null;
  const field = h("input", { type: "password", id: "key", required: true, autocomplete: "off" });
  const form = h(
    "form",
    {},
    h("label", { htmlFor: "key" }, "This service requires an API key."),
    h("p", { role: "alert" }, isRejected ? "This API key is not valid." : ""),
    field,
    h("button", {}, "Use this key"),
  );
  const dialog = h("dialog", { className: "key-dialog" }, form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      sessionStorage.setItem(STORAGE_KEY, field.value.trim());
      dialog.remove();
      resolve();
    });
    dialog.addEventListener("cancel", (event) => event.preventDefault()); // the page shows nothing without a key
    dialog.showModal();
  });
}
