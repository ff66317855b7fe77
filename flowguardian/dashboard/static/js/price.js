// The price chart: bars of one symbol, the levels of its open position, its fills.
// Rule: at most so many bars as the server keeps; whoever looks at another symbol loads that one anew.

import { CandlestickSeries, createChart, createSeriesMarkers, LineStyle } from "../vendor/lightweight-charts-5.2.1.js";
import { ask } from "./api.js";
import { byId, el } from "./dom.js";
import { bothOf, clock } from "./format.js";
import { colour } from "./theme.js";

const SLACK = 1.25; // The chart grows by this much over the limit before it is loaded anew.
const LEVELS = [
  ["price", "blue", LineStyle.Solid],
  ["stop", "red", LineStyle.Dashed],
  ["target1", "green", LineStyle.Dashed],
  ["target2", "green", LineStyle.Dashed],
];

export class PriceChart {
  constructor(id, most) {
    Object.assign(this, { id, most, symbol: "", chosen: false, times: [], lines: [], positions: [], fills: [], loading: false });
    this.chart = createChart(byId(id), {
      autoSize: true,
      timeScale: { timeVisible: true, secondsVisible: false, tickMarkFormatter: (at) => clock(at).slice(0, 5) },
      localization: { timeFormatter: bothOf, locale: "en-US" },
      // The notice and link its licence asks for stand in the footer: its own logo would need inline style.
      layout: { attributionLogo: false, fontSize: 11 },
    });
    this.series = this.chart.addSeries(CandlestickSeries, {});
    this.markers = createSeriesMarkers(this.series, []);
    this.paint();
  }

  // The reader's symbol, else the first with a position, else the first.
  symbols(names, held) {
    if (names.length === 0) return;
    if (!names.includes(this.symbol)) this.show(names.find((name) => held.has(name)) ?? names[0]);
    const buttons = names.map((name) => {
      const button = el("button", {
        type: "button", class: held.has(name) ? "held" : undefined, "aria-pressed": String(name === this.symbol),
      }, name);
      button.addEventListener("click", () => {
        this.show(name);
        this.symbols(names, held);
      });
      return button;
    });
    byId("symbols").replaceChildren(...buttons);
  }

  show(symbol) {
    this.symbol = symbol;
    this.times = [];
    this.series.setData([]);
    byId(this.id).dataset.symbol = symbol;
    void this.load();
  }

  async load() {
    if (this.loading) return;
    this.loading = true;
    const symbol = this.symbol;
    try {
      const bars = (await ask(`/api/bars/${symbol}`)).slice(-this.most);
      if (symbol !== this.symbol) return;
      this.series.applyOptions({ priceFormat: formatOf(bars) });
      this.series.setData(bars.map(asBar));
      this.times = bars.map((bar) => bar[0]);
      this.decorate();
    } catch {
      this.times = []; // The next news tries again.
    } finally {
      this.loading = false;
      if (symbol !== this.symbol) void this.load();
      byId(this.id).dataset.bars = String(this.times.length);
    }
  }

  // The last two bars of every symbol.
  news(bars) {
    const mine = bars[this.symbol];
    if (!mine || this.loading) return;
    const last = this.times.at(-1);
    if (last === undefined || mine[0][0] > last || this.times.length > this.most * SLACK) {
      void this.load();
      return;
    }
    for (const bar of mine) {
      if (bar[0] < this.times.at(-1)) continue;
      this.series.update(asBar(bar));
      if (bar[0] > this.times.at(-1)) this.times.push(bar[0]);
    }
    byId(this.id).dataset.bars = String(this.times.length);
  }

  decorate(positions = this.positions, fills = this.fills) {
    Object.assign(this, { positions, fills });
    for (const line of this.lines) this.series.removePriceLine(line);
    const held = positions.find((position) => position.symbol === this.symbol);
    this.lines = held ? LEVELS.filter(([key]) => held[key] !== null).map((level) => this.line(held, level)) : [];
    byId(this.id).dataset.levels = this.lines.map((line) => line.options().price).join(" ");
    const step = this.times.length > 1 ? Math.min(...this.times.slice(-20).map((at, k, all) => (k ? at - all[k - 1] : Infinity))) : 60;
    const known = new Set(this.times);
    const marks = fills
      .filter((fill) => fill.symbol === this.symbol)
      .map((fill) => ({ fill, time: Math.floor(fill.at.ns / 1e9 / step) * step }))
      .filter(({ time }) => known.has(time));
    this.markers.setMarkers(marks.map(({ fill, time }) => ({
      time, position: fill.buy ? "belowBar" : "aboveBar", shape: fill.buy ? "arrowUp" : "arrowDown",
      color: colour(fill.purpose === "entry" ? "blue" : "amber"),
    })));
    byId(this.id).dataset.marks = String(marks.length);
  }

  line(held, [key, ink, lineStyle]) {
    return this.series.createPriceLine({
      price: Number(held[key]), color: colour(ink), lineWidth: 1, lineStyle, axisLabelVisible: true,
    });
  }

  // Colours and labels of the page as it is now.
  paint() {
    const [up, down] = [colour("green"), colour("red")];
    const font = getComputedStyle(document.body).fontFamily;
    this.chart.applyOptions({
      layout: { background: { color: colour("paper") }, textColor: colour("soft"), fontFamily: font },
      grid: { vertLines: { color: colour("line") }, horzLines: { color: colour("line") } },
      timeScale: { borderColor: colour("line") }, rightPriceScale: { borderColor: colour("line") },
    });
    this.series.applyOptions({ upColor: up, downColor: down, borderVisible: false, wickUpColor: up, wickDownColor: down });
    this.decorate();
  }
}

function asBar([time, open, high, low, close]) {
  return { time, open, high, low, close };
}

function formatOf(bars) {
  const decimals = Math.max(0, ...bars.slice(-50).map((bar) => (String(bar[4]).split(".")[1] ?? "").length));
  const precision = Math.min(8, decimals);
  return { type: "price", precision, minMove: 10 ** -precision };
}
