/** The request as a line for a shell, and the address that brings others to the same animal. */

import { copies, h } from "./dom.js";

export class Share {
  #code;
  #line = "";

  constructor(container, copyLink, state) {
    this.#code = h("code", {}, "");
    const button = h("button", { type: "button" }, "Copy");
    copies(button, () => this.#line);
    copies(copyLink, () => {
      state.save();
      return location.href;
    });
    container.append(
      h(
        "p",
        { className: "soft" },
        "The same answer from a shell; ",
        h("code", {}, "/explain"),
        " instead of ",
        h("code", {}, "/predict"),
        " gives everything that is drawn here.",
      ),
      h(
        "div",
        { className: "command" },
        h("pre", { tabIndex: 0, "aria-label": "The request for a shell", role: "region" }, this.#code),
        button,
      ),
    );
  }

  /** Shows the request for complete measurements; null leaves the last. */
  show(features) {
    if (!features) return;
    this.#line = curl(new URL("predict", document.baseURI).href, features);
    this.#code.textContent = this.#line;
  }
}

/** A request as a command that any POSIX shell understands. */
export function curl(url, features) {
  const body = JSON.stringify({ features }).replaceAll("'", "'\\''");
  return `curl ${url} -H 'Content-Type: application/json' -d '${body}'`;
}
