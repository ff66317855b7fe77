// The page: news come in, the parts they concern are drawn once per frame.
// Rule: it keeps the newest of each section and nothing older, so it may stay open for days.

import { hello, listen } from "./api.js";
import { LineChart } from "./charts.js";
import { Curve } from "./curves.js";
import { byId, text } from "./dom.js";
import { watchRows } from "./explain.js";
import { renderEvents, renderHost, renderLists, renderStreams } from "./lists.js";
import { PriceChart } from "./price.js";
import { renderWhy } from "./reasons.js";
import { renderClock, renderPositions, renderRun } from "./standing.js";
import { labelButtons, watchButtons } from "./steer.js";
import { choose, current, learn, preferred, t } from "./texts.js";
import { chooseTheme, preferredTheme } from "./theme.js";

const news = {};
const dirty = new Set();
let drawing = false;
let connection = "connecting";

chooseTheme(preferredTheme(), { store: false });
const { texts, limits, version } = await hello();
learn(texts);
choose(preferred());
text("version", version);

const curves = {
  equity: new Curve("equity", limits.points, () => mark("equity", "run")),
  resources: new Curve("resources", limits.points, () => mark("resources")),
};
const charts = {
  equity: new LineChart("equity", [{ label: "equity", colour: "blue", fill: true }], { sync: "run" }),
  drawdown: new LineChart("drawdown", [{ label: "drawdown", colour: "red", fill: true }], { sync: "run" }),
  budget: new LineChart("budget", [
    { label: "budget_used", colour: "amber", fill: true, stepped: true },
    { label: "budget_available", colour: "green", stepped: true },
  ], { sync: "run" }),
  resources: new LineChart("resources-chart", [
    { label: "rss", colour: "blue" },
    { label: "lag99", colour: "amber", scale: "ms" },
  ], { right: "ms" }),
};
const price = new PriceChart("price", limits.bars);

// What is drawn when a section has news; the order is that of the page.
const panels = {
  run: () => {
    renderRun(news.run, curves.equity.points, news.market?.tape_at);
    labelButtons(news.run.commandable);
    symbols();
  },
  why: () => renderWhy(news.why.why, news.run.status?.now.holds ?? []),
  positions: () => {
    renderPositions(news.positions);
    price.decorate(news.positions, news.lists?.fills ?? []);
    symbols();
  },
  lists: () => {
    renderLists(news.lists, limits.rows);
    price.decorate(news.positions ?? [], news.lists.fills);
  },
  events: () => renderEvents(news.events, limits.rows),
  equity: () => {
    const [at, equity, drawdown, used, available] = curves.equity.columns(5);
    charts.equity.set([at, equity]);
    charts.drawdown.set([at, drawdown.map((value) => -value)]);
    charts.budget.set([at, used, available]);
  },
  resources: () => {
    const [at, rss, lag] = curves.resources.columns(4);
    charts.resources.set([at, rss, lag]);
  },
  market: () => {
    renderStreams(news.market);
    price.news(news.market.bars);
    symbols();
  },
  host: () => renderHost(news.host),
};

function symbols() {
  if (!news.run || !news.market || Object.keys(news.market.bars).length === 0) return;
  price.symbols(news.run.symbols, new Set((news.positions ?? []).map((held) => held.symbol)));
}

function mark(...names) {
  for (const name of names) if (name in news) dirty.add(name);
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    const names = Object.keys(panels).filter((name) => dirty.has(name));
    dirty.clear();
    for (const name of names) panels[name]();
    document.body.dataset.draws = String(Number(document.body.dataset.draws ?? 0) + 1);
  });
}

function take(sections) {
  Object.assign(news, sections);
  for (const [name, curve] of Object.entries(curves)) if (name in sections) curve.apply(sections[name]);
  const changed = Object.keys(sections);
  // Holds come with `run` and are drawn beside the funnel; the drawdown figure comes with the curve.
  if (changed.includes("run")) changed.push("why");
  if (changed.includes("equity") || changed.includes("market")) changed.push("run");
  mark(...changed);
}

function connected(state) {
  connection = state;
  text("connection", t(state));
  byId("connection").className = `chip ${state === "connected" ? "good" : "bad"}`;
}

function redraw() {
  connected(connection);
  for (const chart of Object.values(charts)) chart.redraw();
  price.paint();
  mark(...Object.keys(news));
}

for (const button of document.querySelectorAll("[data-language]"))
  button.addEventListener("click", () => {
    if (button.dataset.language === current()) return;
    choose(button.dataset.language);
    redraw();
  });
for (const button of document.querySelectorAll("[data-theme-choice]"))
  button.addEventListener("click", () => {
    chooseTheme(button.dataset.themeChoice);
    redraw();
  });
watchRows();
watchButtons();
renderClock();
setInterval(renderClock, 1000);
connected("connecting");
listen(take, connected);
