/** The current request as a curl command, and a link to the current state of the page. */

import { urlOf } from "./api.js";
import { copyOnClick, h } from "./dom.js";

export class Share {
  #code;
  #command = "";

  constructor(container, copyLink, state) {
    this.#code = h("code", {}, "");
    const button = h("button", { type: "button" }, "Copy");
    copyOnClick(button, () => this.#command);
    copyOnClick(copyLink, () => {
      state.save();
      return location.href;
    });
    container.append(
      h(
        "p",
        { className: "muted" },
        "This command returns the same prediction. With ",
        h("code", {}, "/explain"),
        " in place of ",
        h("code", {}, "/predict"),
        ", it returns everything that this page shows.",
      ),
      h(
        "div",
        { className: "command" },
        h("pre", { tabIndex: 0, "aria-label": "curl command", role: "region" }, this.#code),
        button,
      ),
    );
  }

  /** Shows the request for complete measurements; null keeps the previous one. */
  show(features) {
    if (!features) return;
    this.#command = formatCurlCommand(urlOf("predict"), features);
    this.#code.textContent = this.#command;
  }
}

/** The request as a command for any POSIX shell. */
function formatCurlCommand(url, features) {
  return `curl ${quote(url)} -H 'Content-Type: application/json' -d ${quote(JSON.stringify({ features }))}`;
}

/** A text as one word for the shell, as Python's `shlex.quote`: the path of a proxy may have an `&` or an apostrophe. */
function quote(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
