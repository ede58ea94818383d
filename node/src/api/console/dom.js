// Making and changing elements. Whatever comes from the API gets in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function apply(node, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
}

/** An element with attributes, listeners (`onclick`) and children; strings become text. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  apply(node, properties);
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** The same, of a drawing. */
export function svg(tag, properties = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  apply(node, properties);
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** Says something, and leaves the page alone when it said so already. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets an attribute that has changed; takes it away when there is no value. */
export function mark(node, name, value) {
  const is = value === undefined || value === null || value === false ? null : String(value === true ? "" : value);
  if (node.getAttribute(name) === is) return;
  if (is === null) node.removeAttribute(name);
  else node.setAttribute(name, is);
}

/** Replaces what is in an element. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined));
}

/**
 * Keeps one child of `container` for each item, in their order. `make(item)` gives a child with a
 * function `update(item)`; children stay as they are, so that focus and selection do too.
 */
export function keyed(container, items, keyOf, make) {
  const old = container.airliftChildren ?? new Map();
  const now = new Map();
  let place = container.firstChild;
  for (const item of items) {
    const key = keyOf(item);
    const child = old.get(key) ?? make(item);
    old.delete(key);
    now.set(key, child);
    if (child.node === place) place = place.nextSibling;
    else container.insertBefore(child.node, place);
    child.update(item);
  }
  for (const child of old.values()) child.node.remove();
  container.airliftChildren = now;
}

/** A word that a heading, a table or a definition list explains. */
export function fact(list, term) {
  const value = el("dd");
  const row = el("div", { class: "fact" }, el("dt", {}, term), value);
  list.append(row);
  return {
    value,
    set(text) {
      row.hidden = text === null;
      if (text !== null) say(value, text);
    },
  };
}
