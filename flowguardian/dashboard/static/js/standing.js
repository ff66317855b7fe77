// How the run stands: header, key figures, budget, positions.
// Rule: everything here is a field of the answer of `status`; nothing is added up in the browser.

import { byId, el, fill, number, table, text, times } from "./dom.js";
import { both, duration, exact, money, rounded } from "./format.js";
import { current, t } from "./texts.js";

const TONES = { running: "good", starting: "care", stopped: "care", dead: "bad", ended: "", ACTIVE: "good", REDUCING: "care", HALTED: "bad" };

export function renderRun(run, equity, tapeAt) {
  text("run-id", run.run_id);
  document.title = `${run.run_id} · FlowGuardian`;
  const problem = byId("problem");
  problem.hidden = run.problem === "";
  problem.textContent = run.problem;
  const status = run.status;
  if (status === null) {
    chip("state", t("not_begun"), "care");
    return;
  }
  chip("state", t(`state_${status.state}`), TONES[status.state]);
  chip("trading", status.trading_state_reason ? `${status.trading_state} (${status.trading_state_reason})` : status.trading_state, TONES[status.trading_state]);
  chip("verdict", verdictOf(status), "");
  text("what", whatOf(status, run));
  text("why-now", run.why_now[current()]);
  byId("why-now").dataset.state = status.now.state;
  byId("figures").replaceChildren(...figures(status, equity, tapeAt));
  renderBudget(status.budget);
}

function chip(id, words, tone) {
  text(id, words);
  byId(id).className = `chip ${tone ?? ""}`;
}

// A verdict exists in the report of a run that has ended; the page knows no word for one.
function verdictOf(status) {
  if (status.state !== "ended") return t(status.state === "running" || status.state === "starting" ? "verdict_none" : "verdict_open");
  return status.verdict === status.verdict.toUpperCase() ? `${t("verdict")}: ${status.verdict}` : t("verdict_wait");
}

function whatOf(status, run) {
  const restarts = `${t("segment")} ${status.segment} · ${t("restarts")} ${status.restarts}`;
  const reading = run.catching_up ? ` · ${t("catching_up")}` : "";
  return `${t(`kind_${status.kind}`)} · ${status.mode} · ${t("feed")}: ${status.feed} · ${restarts}${reading}`;
}

function figures(status, equity, tapeAt) {
  const drawdown = equity.length ? equity.at(-1)[2] : null;
  const used = status.budget.map((line) => line.used_usdt);
  const free = status.budget.map((line) => line.available_usdt);
  const run = `${duration(status.run_seconds)} ${t("of")} ${duration(status.planned_seconds)}`;
  const trade = status.last_trade;
  return [
    figure("equity", money(status.equity_usdt), "equity", status.equity_at && el("span", {}, both(status.equity_at))),
    figure("drawdown", drawdown === null ? "–" : rounded(drawdown, 3), "drawdown"),
    figure("budget_used", used.map(money).join(" + ") || "–", "used"),
    figure("budget_available", free.map(money).join(" + ") || "–", "available"),
    figure("open_positions", status.open_positions.length, "open-positions"),
    figure("entries", status.entries, "entries-count"),
    figure("caps", status.budget_caps, "caps-count"),
    figure("blocks", status.budget_blocks, "blocks-count"),
    figure("run_time", run, "run-time"),
    figure("next_checkpoint", status.next_checkpoint || "–", "next-checkpoint"),
    figure("market_time", times(tapeAt ?? status.market_time), "market-time"),
    figure("last_trade", trade ? `${trade.side} ${trade.symbol} ${exact(trade.price)}` : "–", "last-trade"),
  ];
}

function figure(key, value, name, note = null) {
  return el("div", {}, el("b", { "data-figure": name }, value), el("span", {}, t(key)), note);
}

function renderBudget(lines) {
  const heads = [t("strategy"), ...["allocated", "used", "available", "reserved"].map((key) => number(t(key)))];
  const rows = lines.map((line) => ({
    cells: [line.strategy, ...["allocated", "used", "available", "reserved"].map((key) => number(money(line[`${key}_usdt`])))],
  }));
  fill("budget-lines", table(heads, rows, { label: t("budget_title") }));
}

export function renderPositions(positions) {
  const cards = positions.map((held) => {
    const pairs = [
      ["qty", exact(held.qty)], ["entry_price", exact(held.price)], ["last_price", held.last === null ? "–" : exact(held.last)],
      ["value", money(held.value_usdt)], ["stop", level(held.stop)], ["target1", level(held.target1)],
      ["target2", level(held.target2)], ["trail", level(held.trail)], ["opened", times(held.opened)], ["expires", times(held.expires)],
    ];
    if (held.reduced) pairs.push(["reduced_times", held.reduced]);
    const shown = pairs.filter(([, value]) => value !== null);
    return el("div", { class: "card", "data-seq": held.seq, tabindex: 0, role: "button", "data-symbol": held.symbol },
      el("b", { class: held.side === "LONG" ? "up" : "down" }, `${held.side} ${held.symbol}`), ` · ${held.strategy}`,
      el("dl", {}, ...shown.map(([key, value]) => el("div", {}, el("dt", {}, t(key)), el("dd", { "data-key": key }, value)))));
  });
  fill("positions", ...(cards.length ? cards : [el("p", { class: "note" }, t("none"))]));
}

function level(price) {
  return price === null ? null : exact(price);
}

export function renderClock() {
  const now = new Date();
  const kst = new Date(now.getTime() + 9 * 3600 * 1000);
  text("clock", both({ utc: now.toISOString(), kst: kst.toISOString() }));
}
