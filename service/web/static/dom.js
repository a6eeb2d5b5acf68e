/** DOM elements built without markup in strings, so that no text from a model can become HTML. */

/**
 * An element with properties, `data-` and `aria-` attributes, and children.
 * @param {string} tag
 * @param {Object<string, *>} [properties]
 * @param {...(Node|string|null)} children
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.includes("-")) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** A link to another site, which receives no referrer. */
export function externalLink(href, ...children) {
  return h("a", { href, target: "_blank", rel: "noreferrer noopener" }, ...children);
}

/** Shows in the page's banner why a request failed, or nothing if `error` is null. */
export function showError(error) {
  const banner = document.getElementById("error");
  banner.hidden = !error;
  if (error) banner.textContent = error.isPermanent ? error.message : `${error.message} Retrying …`;
}

/**
 * Makes a button copy a text to the clipboard and show the result.
 * @param {HTMLButtonElement} button
 * @param {() => string} getText
 */
export function copyOnClick(button, getText) {
  const label = button.textContent;
  button.addEventListener("click", async () => {
    button.textContent = (await copyText(getText())) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (button.textContent = label), 1500);
  });
}

async function copyText(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Not permitted here; execCommand may be.
    }
  }
  // Without TLS there is no Clipboard API, but selected text can be copied.
  const field = h("textarea", { value: text, className: "visually-hidden" });
  document.body.append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  return isCopied;
}
