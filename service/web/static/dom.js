/** Elements without markup in strings: nothing that comes from a model can become HTML. */

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

/** A link that leads out of the service; the other side is not told from where. */
export function away(href, ...children) {
  return h("a", { href, target: "_blank", rel: "noreferrer noopener" }, ...children);
}

/**
 * A button that copies a text and says so.
 * @param {HTMLButtonElement} button
 * @param {() => string} text
 */
export function copies(button, text) {
  const named = button.textContent;
  button.addEventListener("click", async () => {
    button.textContent = (await copy(text())) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (button.textContent = named), 1500);
  });
}

async function copy(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Not allowed here; the older way may be.
    }
  }
  // Without TLS there is no clipboard; a selected text can still be copied.
  const field = h("textarea", { value: text, className: "unseen" });
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}
