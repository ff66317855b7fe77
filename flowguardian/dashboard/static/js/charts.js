/* global uPlot */
// Line charts over time. Rule: a chart holds the points of its curve and no others; zoom is the reader's.

import { byId, el } from "./dom.js";
import { bothOf, hourMinute, money, rounded } from "./format.js";
import { t } from "./texts.js";
import { colour } from "./theme.js";

const AXIS_WIDTH = 66;

export class LineChart {
  // series: [{key, colour, fill, scale, decimals}]; sync joins the cursors and zooms of charts.
  constructor(id, series, { sync = null, right = null } = {}) {
    Object.assign(this, { id, series, sync, right, plot: null, data: [[]], zoomed: false });
    new ResizeObserver(() => this.fit()).observe(byId(id));
  }

  set(data) {
    this.data = data;
    byId(this.id).dataset.points = String(data[0].length);
    if (data[0].length < 2) this.forget();
    else if (this.plot) this.plot.setData(data, !this.zoomed);
    else this.draw();
  }

  // Labels and colours belong to the chart, so another language or theme draws it anew.
  redraw() {
    this.plot?.destroy();
    this.plot = null;
    if (this.data[0].length >= 2) this.draw();
    else this.forget();
  }

  forget() {
    this.plot?.destroy();
    this.plot = null;
    byId(this.id).replaceChildren(el("p", { class: "empty" }, t("nothing_yet")));
  }

  fit() {
    if (this.plot) this.plot.setSize(this.size());
  }

  size() {
    const place = byId(this.id);
    const legend = this.plot?.root.querySelector(".u-legend")?.offsetHeight ?? 26;
    return { width: place.clientWidth, height: Math.max(70, place.clientHeight - legend) };
  }

  draw() {
    byId(this.id).replaceChildren();
    this.zoomed = false;
    this.plot = new uPlot(this.options(), this.data, byId(this.id));
    this.plot.over.addEventListener("dblclick", () => { this.zoomed = false; });
    this.fit();
  }

  options() {
    const line = { stroke: colour("line"), width: 1 };
    const axis = { stroke: colour("soft"), grid: line, ticks: line, font: "11px sans-serif" };
    const scales = { x: { time: true } };
    for (const { scale = "y" } of this.series) scales[scale] = { range: padded };
    return {
      ...this.size(),
      scales,
      cursor: { sync: this.sync ? { key: this.sync, scales: ["x", null] } : undefined, drag: { x: true, y: false } },
      legend: { live: true },
      hooks: { setSelect: [(plot) => { if (plot.select.width > 0) this.zoomed = true; }] },
      axes: [
        { ...axis, values: (_, splits) => splits.map(hourMinute), size: 44, space: 56, gap: 6 },
        { ...axis, size: AXIS_WIDTH, values: (_, splits) => splits.map((value) => rounded(value, 2)) },
        ...(this.right ? [{ ...axis, scale: this.right, side: 1, size: 48, grid: { show: false } }] : []),
      ],
      series: [
        { label: "UTC · KST", value: (_, at) => (at === null ? "–" : bothOf(at)) },
        ...this.series.map((one) => ({
          label: t(one.label), scale: one.scale ?? "y", stroke: colour(one.colour), width: 1.4, points: { show: false },
          fill: one.fill ? `${colour(one.colour)}33` : undefined,
          paths: one.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
          value: (_, value) => (value === null ? "–" : money(value)),
        })),
      ],
    };
  }
}

function padded(_, low, high) {
  if (low === null) return [0, 1];
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return [low >= 0 && low - room < 0 ? 0 : low - room, high <= 0 && high + room > 0 ? 0 : high + room];
}
