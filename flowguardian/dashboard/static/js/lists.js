// Entries, refusals, closes, checkpoints, incidents, commands, streams, resources.
// Rule: newest first, and never more rows than the server keeps.

import { el, fill, number, table, text, times } from "./dom.js";
import { both, duration, exact, money, rounded } from "./format.js";
import { valueLimit } from "./reasons.js";
import { reason, t } from "./texts.js";

const newest = (rows, most) => rows.slice(-most).reverse();
// Which symbol and when, in one cell: a phone has no room for two.
const where = (row) => el("span", {}, el("span", { class: "whole" }, `${row.side} ${row.symbol}`), times(row.at));

export function renderLists(lists, most) {
  const place = `${t("symbol")} · ${t("time")}`;
  const entries = newest(lists.entries, most).map((row) => ({
    seq: row.seq,
    cells: [number(row.seq), where(row), number(exact(row.qty)), number(money(row.reserved_usdt)),
      el("span", {}, t(`order_${row.outcome}`), el("span", { class: "sub" }, row.bound))],
  }));
  fill("entries", table([number(t("row")), place, number(t("qty")), number(t("order_value")), `${t("outcome")} · ${t("bound")}`], entries,
    { label: t("entries_title") }));
  const refusals = newest(lists.refusals, most).map((row) => ({
    seq: row.seq,
    cells: [number(row.seq), where(row), reason(row.code), valueLimit(row)],
  }));
  fill("refusals", table([number(t("row")), place, t("reason"), t("value_limit")], refusals, { label: t("refusals_title") }));
  const closes = newest(lists.closes, most).map((row) => ({
    seq: row.seq,
    cells: [number(row.seq), where(row), row.reason, number(signed(row.net_usdt))],
  }));
  fill("closes", table([number(t("row")), place, t("reason"), number(t("net"))], closes, { label: t("closes_title") }));
}

function signed(amount) {
  return el("span", { class: Number(amount) < 0 ? "down" : "up" }, money(amount));
}

export function renderEvents(events, most) {
  const checkpoints = newest(events.checkpoints, most).map((row) => ({
    class: row.ledger_difference_usdt === "0" ? undefined : "bad",
    cells: [el("span", { class: "whole" }, row.name), times(row.at), number(duration(row.run_seconds)), number(money(row.equity_usdt)), number(money(row.used_usdt)),
      number(money(row.available_usdt)), number(row.entries), number(row.budget_caps), number(row.budget_blocks),
      number(row.open_positions), number(exact(row.ledger_difference_usdt)), row.trading_state],
  }));
  fill("checkpoints", table(
    [t("name"), t("time"), ...["run_time", "short_equity", "used", "available", "short_entries", "short_caps", "short_blocks", "short_positions", "ledger"]
      .map((key) => number(t(key))), t("trading_state")],
    checkpoints, { label: t("checkpoints_title") }));
  const incidents = newest(events.incidents, most).map((row) => ({
    class: row.severity === "ERROR" || row.severity === "CRITICAL" ? "bad" : undefined,
    cells: [row.severity, row.source, el("span", {}, row.what, el("span", { class: "sub" }, row.sample)), number(row.count), times(row.last)],
  }));
  fill("incidents", table([t("severity"), t("source"), t("what"), number(t("count")), t("last")], incidents,
    { empty: "none", label: t("incidents_title") }));
  const commands = newest(events.commands, 20).map((row) => ({
    cells: [number(row.seq), times(row.at), row.command, row.by],
  }));
  fill("commands", table([number(t("row")), t("time"), t("command"), t("by")], commands,
    { empty: "none", label: t("commands_title") }));
}

export function renderStreams(market) {
  const rows = market.streams.map((row) => ({
    cells: [row.symbol, row.stream, number(exact(row.records)), number(`${rounded(row.age_seconds, 1)} s`)],
  }));
  const note = el("p", { class: "note" }, `${t("streams_at")} ${both(market.tape_at)}`);
  fill("streams", note, table([t("symbol"), t("stream"), number(t("records")), number(t("age"))], rows, { label: t("streams_title") }));
}

export function renderHost(host) {
  const use = host.resources;
  const keys = [["rss", "rss_mb"], ["cpu", "cpu_seconds"], ["handles", "handles"], ["threads", "threads"], ["lag50", "loop_lag_p50_ms"],
    ["lag99", "loop_lag_p99_ms"], ["journal_mb", "journal_mb"], ["tape_mb", "tape_mb"], ["log_mb", "log_mb"]];
  const rows = use === null ? [] : keys.map(([key, field]) => ({ cells: [t(key), number(rounded(use[field], 2))] }));
  if (use !== null) rows.unshift({ cells: [t("sampled"), number(times(use.at))] });
  fill("resources", table([t("name"), number(t("measured"))], rows, { empty: "not_recorded", label: t("resources_title") }));
  renderQuality(host.quality);
}

// The feed names what it counts; nested names are joined, and zeros among many counters are left out.
function renderQuality(quality) {
  if (quality === null) {
    text("quality", t("not_recorded"));
    return;
  }
  const rows = [...flat(quality, "")].map(([name, value]) => ({ cells: [name, number(value)] }));
  fill("quality", el("p", { class: "note" }, both(quality.at)),
    table([t("name"), number(t("measured"))], rows, { label: t("quality_title") }));
}

function* flat(node, prefix) {
  for (const [key, value] of Object.entries(node)) {
    if (prefix === "" && key === "at") continue;
    const name = prefix ? `${prefix} ${key}` : key;
    if (value !== null && typeof value === "object") yield* flat(value, name);
    else if (value !== 0 || prefix === "") yield [name, typeof value === "number" ? rounded(value, 4) : String(value)];
  }
}
