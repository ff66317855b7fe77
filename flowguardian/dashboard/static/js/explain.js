// The arithmetic behind a row: asked when it is clicked, shown as the engine's numbers beside the recomputed.

import { ask } from "./api.js";
import { byId, el, fill, number, table } from "./dom.js";
import { both } from "./format.js";
import { current, reason, release, t } from "./texts.js";

export function watchRows() {
  const open = (event) => {
    const row = event.target.closest("[data-seq]");
    if (row && row.dataset.seq) void explain(row.dataset.seq);
  };
  document.addEventListener("click", open);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter") open(event);
  });
  for (const button of document.querySelectorAll("[data-close]"))
    button.addEventListener("click", () => button.closest("dialog").close());
}

export async function explain(seq) {
  const dialog = byId("explain");
  try {
    show(await ask(`/api/explain/${seq}?lang=${current()}`));
  } catch (error) {
    byId("explain-title").textContent = t("explain_failed", { seq, why: error.message });
    fill("explain-body");
  }
  dialog.dataset.row = seq;
  if (!dialog.open) dialog.showModal();
}

function show(found) {
  const key = found.outcome === "refused" ? "explain_refused" : "explain_entry";
  byId("explain-title").textContent = t(key, { ...found, code: reason(found.code) });
  const lines = found.lines.map((line) => ({
    cells: [t(`line_${line.key}`), el("span", { class: "formula" }, line.formula), number(`= ${line.result}`)],
  }));
  const parts = [
    el("p", { class: "soft" }, `${both(found.at)} · ${t("explain_signal", { seq: found.signal_seq })}`),
    table([t("step"), "", number("")], lines.map(({ cells }) => ({ cells: [cells[0], cells[1], cells[2]] })), { label: t("step") }),
  ];
  if (found.bound) parts.push(el("p", {}, `${t("bound")}: ${found.bound}`));
  if (found.would_pass) {
    const until = found.release_at ? ` (${both(found.release_at)})` : "";
    parts.push(el("p", {}, `${t("would_pass")}: ${found.would_pass}`), el("p", {}, `${t("released_by")}: ${release(found.release)}${until}`));
  }
  parts.push(...compared(found));
  fill("explain-body", ...parts);
}

function compared(found) {
  if (found.equal === null) return [el("p", { class: "note" }, t("not_computed"))];
  const verdict = el("p", { class: found.equal ? "up" : "down", id: "explain-equal" }, t(found.equal ? "equal" : "differs"));
  const rows = found.compared.map((pair) => ({
    class: pair.equal ? undefined : "bad",
    cells: [pair.key, number(pair.recomputed), number(pair.journal)],
  }));
  return [verdict, table([t("name"), number(t("recomputed")), number(t("journal"))], rows, { label: t("recomputed") })];
}
