/** The key that the service wants where its operator has set some: kept for this tab only, asked for when it is missing. */

import { h } from "./dom.js";

const KEPT = "menagerie-key";
let asked = null; // one question, however many requests wait for its answer

/** The headers of a request, the key among them if there is one. */
export function keyed(headers = {}) {
  const key = sessionStorage.getItem(KEPT);
  return key ? { ...headers, "X-API-Key": key } : headers;
}

/** Asks the person for a key, and is done once one is given. */
export function askForKey() {
  asked ??= answered().finally(() => (asked = null));
  return asked;
}

function answered() {
  const refused = sessionStorage.getItem(KEPT) !== null;
  const field = h("input", { type: "password", id: "key", required: true, autocomplete: "off" });
  const form = h(
    "form",
    {},
    h("label", { htmlFor: "key" }, "This service answers with an API key only."),
    h("p", { role: "alert" }, refused ? "That key is not known here." : ""),
    field,
    h("button", {}, "Use this key"),
  );
  const dialog = h("dialog", { className: "key" }, form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEPT, field.value.trim());
      dialog.remove();
      resolve();
    });
    dialog.addEventListener("cancel", (event) => event.preventDefault()); // nothing can be shown without
    dialog.showModal();
  });
}
