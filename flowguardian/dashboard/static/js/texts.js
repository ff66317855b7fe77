// The language of the page. Rule: a text is found by its key; a key without a text shows itself.

const STORED = "flowguardian.language";
let catalogue = { en: {}, ko: {} };
let language = "en";

export function learn(texts) {
  catalogue = texts;
}

export function current() {
  return language;
}

export function choose(wanted) {
  language = wanted === "ko" ? "ko" : "en";
  document.documentElement.lang = language;
  localStorage.setItem(STORED, language);
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", t(node.dataset.label));
  for (const node of document.querySelectorAll("[data-language]"))
    node.setAttribute("aria-pressed", String(node.dataset.language === language));
}

export function preferred() {
  return localStorage.getItem(STORED) ?? (navigator.language.toLowerCase().startsWith("ko") ? "ko" : "en");
}

export function t(key, values = {}) {
  const text = catalogue[language][key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

export function reason(code) {
  return catalogue[language][`reason_${code}`] ?? code;
}

export function release(key) {
  return catalogue[language][`release_${key}`] ?? key;
}
