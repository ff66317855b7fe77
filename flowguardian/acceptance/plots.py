"""The pictures of a report as SVG: one copy for both languages, both themes and the printer.

Rule: text stays text (Hangul renders in the reader's font), every label is drawn in English and given its
Korean twin, and colours are CSS variables of the page. The same judgement gives the same bytes.
"""

from __future__ import annotations

import functools
import html
import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from flowguardian.acceptance.catalog import sentences, text
from flowguardian.acceptance.judgement import Judgement

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HOUR_NS = 3_600_000_000_000
ONE = 100_000_000
WIDE, LOW = (9.6, 2.5), (9.6, 1.8)
INK, LINE, BLUE, AMBER, RED, GREEN = "#101112", "#202122", "#303132", "#404142", "#505152", "#606162"
"""Stand-ins: each becomes a CSS variable of the page."""
VARIABLES = {INK: "ink", LINE: "line", BLUE: "blue", AMBER: "amber", RED: "red", GREEN: "green"}
PRINTED = {
    INK: "#1a1a1a",
    LINE: "#c9ced6",
    BLUE: "#2563c9",
    AMBER: "#b7791f",
    RED: "#c53030",
    GREEN: "#2f855a",
}
"""The same colours where there is no page around the picture."""
FONTS = "'Noto Sans KR','Malgun Gothic','Apple SD Gothic Neo','NanumGothic','Segoe UI',system-ui,sans-serif"


def draw(j: Judgement) -> dict[str, str]:
    """Every plot that has something to show: name → inline SVG."""
    import matplotlib as mpl

    settings: Any = {
        "svg.fonttype": "none", "svg.hashsalt": "flowguardian", "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"], "font.size": 9, "text.color": INK, "axes.labelcolor": INK,
        "axes.edgecolor": LINE, "xtick.color": INK, "ytick.color": INK, "grid.color": LINE,
        "grid.linewidth": 0.5,
        "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "legend.fontsize": 8,
        "path.simplify": True, "path.simplify_threshold": 0.4,
    }  # fmt: skip
    plots: dict[str, Callable[[Judgement], Figure | None]] = {
        "equity": _equity, "drawdown": _drawdown, "timeline": _timeline, "budget": _budget,
        "waterfall": _waterfall,
        "exposure": _exposure, "funnel": _funnel, "resources": _resources,
    }  # fmt: skip
    with mpl.rc_context(settings):
        figures = {name: make(j) for name, make in plots.items()}
        return {name: _svg(name, figure) for name, figure in figures.items() if figure is not None}


def standalone(svg: str, language: str) -> str:
    """A picture as a file of its own, in one language."""
    other = "en" if language == "ko" else "ko"
    svg = re.sub(rf'<tspan class="{other}">[^<]*</tspan>', "", svg)
    svg = re.sub(r'<tspan class="\w+">([^<]*)</tspan>', r"\1", svg)
    for stand_in, name in VARIABLES.items():
        svg = svg.replace(f"var(--{name})", PRINTED[stand_in])
    return '<?xml version="1.0" encoding="utf-8"?>\n' + svg


def _axes(size: tuple[float, float], y: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.grid(True, axis="y")
    axes.set_axisbelow(True)
    axes.set_ylabel(y)
    return figure, axes


def _hours(j: Judgement, stamps: Sequence[int]) -> list[float]:
    return [(stamp - j.live_ns) / HOUR_NS for stamp in stamps]


def _time_axis(j: Judgement, axes: Axes) -> None:
    end = max((j.end_ns - j.live_ns) / HOUR_NS, 1e-6)
    axes.set_xlim(0, end)
    axes.set_xlabel(_say("hours"))
    for hour in _hours(j, j.moments.segments):
        axes.axvline(hour, color=RED, linewidth=0.8, linestyle=":")


def _legend(axes: Axes) -> None:
    """Above the data, where it hides nothing."""
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.99), ncols=4, borderaxespad=0.0)


def _equity(j: Judgement) -> Figure | None:
    if len(j.curve.ts_ns) < 2:
        return None
    figure, axes = _axes(WIDE, _say("usdt"))
    axes.plot(_hours(j, j.curve.ts_ns), [v / ONE for v in j.curve.equity], color=BLUE, linewidth=1.2)
    axes.axhline(j.money.start / ONE, color=INK, linewidth=0.6, linestyle="--")
    named = [c for c in j.checkpoints if c.name[0] in "MH"]
    at, value = _hours(j, [c.ts_ns for c in named]), [c.equity / ONE for c in named]
    axes.plot(at, value, "o", color=AMBER, markersize=4, label=_say("checkpoints"))
    for k, (x, y, c) in enumerate(zip(at, value, named, strict=True)):
        offset = (0, -12 if k % 2 == 0 else 6)  # M5 and M10 stand too close for one line of names
        axes.annotate(c.name, (x, y), textcoords="offset points", xytext=offset, ha="center", fontsize=7)
    axes.ticklabel_format(axis="y", useOffset=False, style="plain")
    _legend(axes)
    _time_axis(j, axes)
    return figure


def _drawdown(j: Judgement) -> Figure | None:
    if len(j.curve.ts_ns) < 2:
        return None
    figure, axes = _axes(LOW, _say("percent"))
    axes.fill_between(_hours(j, j.curve.ts_ns), j.curve.drawdown_pct, 0, color=RED, alpha=0.35, linewidth=0)
    axes.set_ylim(top=0)
    _time_axis(j, axes)
    return figure


def _waterfall(j: Judgement) -> Figure | None:
    if not j.live_ns:
        return None
    m = j.money
    steps = [
        ("realised", m.realised),
        ("fees", -m.fees),
        ("funding", m.funding),
        ("unrealised", m.unrealised),
    ]
    figure, axes = _axes(LOW, _say("usdt"))
    level = m.start / ONE
    levels = [level]
    axes.axhline(level, color=INK, linewidth=0.6, linestyle="--")
    for x, (_, amount) in enumerate(steps, start=1):
        axes.bar(x, amount / ONE, bottom=level, width=0.6, color=GREEN if amount >= 0 else RED, alpha=0.75)
        axes.plot([x + 0.3, x + 0.7], [level + amount / ONE] * 2, color=INK, linewidth=0.6)
        level += amount / ONE
        levels.append(level)
    axes.plot([-0.3, 0.3], [m.start / ONE] * 2, color=BLUE, linewidth=2.5)
    axes.plot([4.7, 5.3], [level] * 2, color=BLUE, linewidth=2.5)
    names = ("start", *(name for name, _ in steps), "end")
    axes.set_xticks(range(6), [_say(name) for name in names])
    axes.set_xlim(-0.5, 5.5)
    axes.ticklabel_format(axis="y", useOffset=False, style="plain")
    low, high = min(levels), max(levels)
    room = max((high - low) * 0.15, 1.0)
    axes.set_ylim(low - room, high + room)
    return figure


def _budget(j: Judgement) -> Figure | None:
    if len(j.curve.ts_ns) < 2:
        return None
    figure, axes = _axes(WIDE, _say("usdt"))
    hours = _hours(j, j.curve.ts_ns)
    used = [v / ONE for v in j.curve.used]
    held = [(u + r) / ONE for u, r in zip(j.curve.used, j.curve.reserved, strict=True)]
    axes.fill_between(hours, used, 0, step="post", color=BLUE, alpha=0.35, linewidth=0, label=_say("used"))
    axes.step(hours, held, where="post", color=BLUE, linewidth=0.8, label=_say("reserved"))
    axes.plot(
        hours, [v / ONE for v in j.curve.allocated], color=AMBER, linewidth=1.2, label=_say("allocated")
    )
    axes.set_ylim(bottom=0)
    _legend(axes)
    _time_axis(j, axes)
    return figure


def _exposure(j: Judgement) -> Figure | None:
    if len(j.curve.ts_ns) < 2:
        return None
    figure, axes = _axes(LOW, _say("usdt"))
    hours = _hours(j, j.curve.ts_ns)
    held = [(u + r) / ONE for u, r in zip(j.curve.used, j.curve.reserved, strict=True)]
    axes.step(hours, held, where="post", color=BLUE, linewidth=1.0, label=_say("exposure_line"))
    for share, color in zip(j.exposure_limits, (RED, AMBER), strict=False):
        line = [value * share.ratio / ONE for value in j.curve.equity]
        axes.plot(hours, line, color=color, linewidth=1.0, linestyle="--", label=_say(share.name))
    axes.set_ylim(bottom=0)
    _legend(axes)
    _time_axis(j, axes)
    return figure


def _funnel(j: Judgement) -> Figure | None:
    steps = [step for step in j.funnel if step.evaluated]
    if not steps:
        return None
    figure, axes = _axes((9.6, 0.9 + 0.2 * len(steps)), "")
    names = [step.code for step in steps]
    axes.barh(names, [s.allowed + s.reduced for s in steps], color=BLUE, alpha=0.45, label=_say("allowed"))
    axes.barh(
        names,
        [s.refused for s in steps],
        left=[s.allowed + s.reduced for s in steps],
        color=RED,
        label=_say("refused"),
    )
    if any(s.shadow for s in steps):
        axes.barh(names, [s.shadow for s in steps], height=0.25, color=AMBER, label=_say("would"))
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.grid(True, axis="x")
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.legend(loc="lower right")
    return figure


def _timeline(j: Judgement) -> Figure | None:
    if not j.live_ns:
        return None
    figure, axes = _axes(LOW, "")
    named = [c.ts_ns for c in j.checkpoints if c.name[0] in "MH"]
    rows = [
        (_say("entries"), j.moments.entries, BLUE), (_say("caps"), j.moments.caps, AMBER),
        (_say("blocks"), j.moments.blocks, RED), (_say("checkpoints"), named, GREEN),
    ]  # fmt: skip
    for height, (_, stamps, color) in enumerate(rows):
        axes.plot(
            _hours(j, stamps), [height] * len(stamps), "|", color=color, markersize=10, markeredgewidth=1.1
        )
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    _time_axis(j, axes)
    return figure


def _resources(j: Judgement) -> Figure | None:
    curve = j.resource_curve
    if len(curve.run_hours) < 2:
        return None
    figure, axes = _axes(LOW, _say("rss"))
    axes.plot(curve.run_hours, curve.rss_mb, color=BLUE, linewidth=1.1)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(_say("hours"))
    lag = axes.twinx()
    lag.plot(curve.run_hours, curve.lag_p99_ms, color=AMBER, linewidth=0.8)
    lag.set_ylabel(_say("lag"))
    lag.set_ylim(bottom=0)
    return figure


def _svg(name: str, figure: Any) -> str:
    out = io.StringIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(out, format="svg", transparent=True, metadata=metadata)
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    for stand_in, variable in VARIABLES.items():
        svg = svg.replace(stand_in, f"var(--{variable})")
    svg = re.sub(r"font: ([^;\"]*?)('DejaVu Sans'[^;\"]*)", rf"font: \g<1>{FONTS}", svg)
    svg = re.sub(r">([^<>\n]+)</text>", _words, svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    width, height = (float(v) for v in figure.get_size_inches())
    label = html.escape(text(f"plot.{name}").en)
    opening = f'<svg role="img" aria-label="{label}" viewBox="0 0 {width * 72:g} {height * 72:g}"'
    opening += ' xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    return re.sub(r"<svg[^>]*>", lambda _: opening, svg, count=1)


def _say(name: str) -> str:
    """A label in English, the wider language, so that there is room for either; `_words` adds the other."""
    return sentences("en")[f"plot.{name}"]


def _words(found: re.Match[str]) -> str:
    key = _labels().get(html.unescape(found.group(1)))
    if key is None:
        return found.group(0)
    words = text(key)
    korean, english = html.escape(words.ko), html.escape(words.en)
    return f'><tspan class="ko">{korean}</tspan><tspan class="en">{english}</tspan></text>'


@functools.cache
def _labels() -> dict[str, str]:
    return {words: key for key, words in sentences("en").items() if key.startswith("plot.")}
