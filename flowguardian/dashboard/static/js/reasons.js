// Why there is or is no trade: funnel, holds, last refusals.
// Rule: counts are those of `why`; the browser only lays them out.

import { el, fill, number, table, times } from "./dom.js";
import { both, duration, exact } from "./format.js";
import { reason, release, t } from "./texts.js";

const WIDEST = 74;

export function renderWhy(why, holds) {
  if (why === null) return;
  renderFunnel(why);
  renderHolds(holds);
  renderLastRefusals(why.refusals);
  const gap = why.longest_gap;
  const whole = (moment) => el("span", { class: "whole" }, both(moment));
  if (gap) fill("gap", `${duration(gap.seconds)} (`, whole(gap.start), " → ", whole(gap.end), `), ${t("gap_signals")}: ${gap.signals}`);
  else fill("gap", "–");
  const starved = why.starvation.slice(-5).map((row) => ({
    seq: undefined,
    cells: [times(row.at), t("starved", { signals: row.signals, guard: reason(row.guard) }), release(row.release)],
  }));
  fill("starvation", table([t("time"), t("what"), t("released_by")], starved, { empty: "none", label: t("starvation_title") }));
}

function renderFunnel(why) {
  const most = Math.max(1, ...why.steps.map((step) => step.refused), ...why.steps.map((step) => step.reduced));
  const rows = [];
  let group = "";
  for (const step of why.steps) {
    if (step.group !== group) rows.push({ class: "group", cells: [t(`group_${step.group}`), "", "", "", ""] });
    group = step.group;
    const name = step.enabled ? reason(step.code) : el("span", {}, reason(step.code), el("span", { class: "sub" }, t("off")));
    rows.push({
      class: step.enabled ? undefined : "off",
      cells: [name, number(step.evaluated), number(barred(step.refused, most, "bar")),
        number(barred(step.reduced, most, "bar reduced")), number(step.shadow)],
    });
  }
  const heads = [t("step"), ...["evaluated", "refused", "reduced", "shadow"].map((key) => number(t(key)))];
  const orders = ["requested", "filled", "expired", "rejected", "unsent", "unknown", "open"]
    .filter((key) => key === "requested" || key === "filled" || why.orders[key] > 0)
    .map((key) => `${t(`order_${key}`)} ${why.orders[key]}`);
  fill("funnel",
    el("p", { id: "funnel-top" }, `${t("signals")} ${why.signals} → ${t("attempts")} ${why.attempts} → ${t("orders")}: ${orders.join(", ")}`),
    table(heads, rows, { label: t("funnel_title") }));
  for (const [at, step] of why.steps.entries()) mark(at, step);
}

// Each step's row carries its code and counts, for readers that are programs.
function mark(at, step) {
  const rows = document.querySelectorAll("#funnel tbody tr:not(.group)");
  Object.assign(rows[at].dataset, { code: step.code, refused: step.refused, evaluated: step.evaluated });
}

function barred(count, most, kind) {
  if (count === 0) return "0";
  const bar = el("span", { class: kind });
  bar.style.width = `${Math.max(2, Math.round((WIDEST * count) / most))}px`;
  return el("span", {}, bar, count);
}

function renderHolds(holds) {
  const rows = holds.map((hold) => ({
    cells: [reason(hold.code), hold.scope === "all" ? t("scope_all") : hold.scope, release(hold.release), times(hold.release_at)],
  }));
  fill("holds", table([t("reason"), t("scope"), t("released_by"), t("until")], rows, { empty: "nothing_holds", label: t("holds_title") }));
}

function renderLastRefusals(refusals) {
  const rows = refusals.map((row) => ({
    seq: row.seq,
    cells: [
      el("span", {}, reason(row.code), el("span", { class: "sub" }, `× ${row.count} · ${row.side} ${row.symbol}`)),
      el("span", {}, valueLimit(row), el("span", { class: "sub" }, `${t("released_by")}: ${release(row.release)}`)),
      row.released ? el("span", {}, t("released"), times(row.release_at)) : times(row.release_at),
    ],
  }));
  fill("last-refusals", table([t("reason"), t("value_limit"), t("until")], rows, { label: t("last_refusals_title") }));
}

export function valueLimit(row) {
  // A nanosecond after the last entry is no time at all to a reader.
  const value = row.unit === "s" ? String(Math.round(Number(row.value) * 1000) / 1000) : row.value;
  return `${short(value)} / ${short(row.limit)} ${row.unit}`.trim();
}

function short(amount) {
  const value = Number(amount);
  return Number.isInteger(value) ? exact(amount) : exact(String(Number(value.toPrecision(6))));
}
