// Building the page from data. Rule: data becomes text nodes only, never markup.

import { t } from "./texts.js";

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") node.className = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined).map(asNode));
  return node;
}

function asNode(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}

export function byId(id) {
  return document.getElementById(id);
}

export function text(id, value) {
  const node = byId(id);
  if (node.textContent !== value) node.textContent = value;
}

export function times(moment) {
  if (!moment) return "–";
  return el("span", { class: "times" },
    el("span", {}, `${moment.utc.slice(5, 10)} ${moment.utc.slice(11, 19)} UTC`),
    el("span", { class: "kst" }, `${moment.kst.slice(5, 10)} ${moment.kst.slice(11, 19)} KST`));
}

export function number(value, attributes = {}) {
  return { value, class: "n", ...attributes };
}

// A table of rows {cells, seq, class}; a cell is a text, a node or number(...).
export function table(heads, rows, { empty = "nothing_yet", label = "" } = {}) {
  if (rows.length === 0) return el("p", { class: "note" }, t(empty));
  const head = heads.map((cell) => el("th", { scope: "col", class: cell.class }, cell.value ?? cell));
  const body = rows.map((row) =>
    el("tr", { class: row.class, "data-seq": row.seq, tabindex: row.seq ? 0 : undefined },
      ...row.cells.map((cell) => (isNumber(cell) ? el("td", { class: cell.class }, cell.value) : el("td", {}, cell)))));
  const content = el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body));
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, content);
}

function isNumber(cell) {
  return cell !== null && typeof cell === "object" && !(cell instanceof Node) && "value" in cell;
}

// Replace the content of a place and keep where its list was scrolled to.
export function fill(id, ...nodes) {
  const place = byId(id);
  const before = place.querySelector(".scroll");
  const [top, left] = before ? [before.scrollTop, before.scrollLeft] : [0, 0];
  place.replaceChildren(...nodes);
  const after = place.querySelector(".scroll");
  if (after) [after.scrollTop, after.scrollLeft] = [top, left];
}
