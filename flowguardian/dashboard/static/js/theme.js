// Light or dark. Rule: charts draw with the colours of the page, so they are told when those change.

const STORED = "flowguardian.theme";

export function preferredTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  return localStorage.getItem(STORED) ?? system;
}

export function chooseTheme(wanted, { store = true } = {}) {
  const theme = wanted === "dark" ? "dark" : "light";
  document.documentElement.dataset.theme = theme;
  if (store) localStorage.setItem(STORED, theme);
  for (const node of document.querySelectorAll("[data-theme-choice]"))
    node.setAttribute("aria-pressed", String(node.dataset.themeChoice === theme));
}

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
