"""The page in a real browser: its values are the journal's, its buttons work, it fits and it stays small.

Rule: the browser is the system's Chromium; where there is none, these tests are skipped and say so.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flowguardian.cli.answers import money
from flowguardian.cli.explanation import explain
from flowguardian.cli.language import Say
from flowguardian.cli.run_rows import RunRows, read_run
from flowguardian.cli.standing import status
from flowguardian.execution import events as ev
from flowguardian.journal.chain import ChainWriter
from flowguardian.journal.journal import JOURNAL, TAPE, read_rows
from flowguardian.ops.manifest import MANIFEST, write_manifest
from flowguardian.ops.registry import Registry
from tests.dashboard_client import dashboard, host_samples, incidents, make_ended, plan, write_ops
from tests.e2e.real_runs import rows as rows_of
from tests.e2e.real_runs import started, wait_until

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this system")

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
MOST = 60
EFFECT_MS = 1000
WAIT_MS = 8000
STEPS = 35

# Elements whose text is cut, or that stick out of the window; what scrolls in its own box may be wider.
CUT = """() => {
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    if (node.closest(".scroll, .chart, [hidden], dialog:not([open])") || node.children.length > 0) continue;
    if (!node.textContent.trim() || node.offsetParent === null) continue;
    const box = node.getBoundingClientRect();
    const style = getComputedStyle(node);
    const inline = style.display === "inline";
    const [wide, high] = [node.scrollWidth > node.clientWidth + 1, node.scrollHeight > node.clientHeight + 2];
    const out = box.right > innerWidth + 1 || box.left < -1;
    if (out || (!inline && (wide || high))) found.push(node.tagName + " " + node.textContent.slice(0, 40));
  }
  return found;
}"""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("dashboard") / "run"
    make_ended(place, [])
    return place


@pytest.fixture(scope="module")
def journal(run_dir: Path) -> RunRows:
    return read_run(run_dir)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield found
        found.close()


class Opened:
    """A page that came up, and what its console said."""

    def __init__(
        self, browser, url: str, *, size=DESKTOP, locale: str = "en-US", scheme: str = "light"
    ) -> None:
        self.context = browser.new_context(viewport=size, locale=locale, color_scheme=scheme)
        self.context.set_default_timeout(WAIT_MS)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("requestfailed", self._failed)
        self.page.goto(url)
        self.page.wait_for_selector("[data-figure=equity]")

    def _failed(self, request) -> None:
        # The stream of news ends with every reload: that is no failure of the page.
        if not request.url.endswith("/api/events"):
            self.said.append(f"failed: {request.url}")

    def close(self) -> None:
        self.context.close()
        assert self.said == []


@pytest.fixture(scope="module")
def opened(browser, run_dir: Path, state: Path) -> Iterator[Opened]:
    with dashboard(run_dir, state) as server:
        found = Opened(browser, server.url)
        found.page.wait_for_selector("#price[data-bars]:not([data-bars='0'])")
        found.page.wait_for_selector("#equity[data-points] canvas")
        yield found
        found.close()


@pytest.fixture
def page(opened: Opened):
    opened.page.keyboard.press("Escape")
    opened.page.set_viewport_size(DESKTOP)
    opened.page.click("[data-language=en]")
    return opened.page


def figure(page, name: str) -> str:
    return str(page.inner_text(f"[data-figure={name}]"))


def test_the_figures_of_the_page_are_those_of_the_journal(page, journal: RunRows, state: Path):
    answer = status(journal, Say("en"), Registry(state))
    last = journal.last(ev.CheckpointTaken)
    assert last is not None
    assert figure(page, "equity") == money(answer.equity_usdt) == f"{last[1].equity / 1e8:,.2f}"
    assert figure(page, "used") == money(answer.budget[0].used_usdt) == f"{last[1].budget[0].used / 1e8:,.2f}"
    assert figure(page, "available") == money(answer.budget[0].available_usdt)
    fallen = 100 * (last[1].peak_equity - last[1].equity) / last[1].peak_equity
    assert float(figure(page, "drawdown")) == pytest.approx(fallen, abs=0.0006)
    entries = [row for _, row in journal.of(ev.PositionOpened)]
    assert int(figure(page, "entries-count")) == last[1].entries == len(entries) > 5
    assert int(figure(page, "caps-count")) == sum(1 for _ in journal.of(ev.BudgetCapped)) > 5
    assert int(figure(page, "blocks-count")) == answer.budget_blocks
    assert page.inner_text("#verdict") == "Verdict: INCONCLUSIVE"
    assert page.inner_text("#what").startswith("rehearsal · paper · feed: synthetic")
    assert answer.market_time is not None
    assert answer.market_time.utc[11:19] in figure(page, "market-time")
    assert answer.market_time.kst[11:19] in figure(page, "market-time")


def test_the_funnel_counts_the_refusals_of_each_reason(page, journal: RunRows):
    counted = dict.fromkeys(ev.Reason, 0)
    for _, row in journal.of(ev.EntryRefused):
        counted[row.code] += 1
    shown = page.eval_on_selector_all(
        "#funnel tr[data-code]", "rows => rows.map(row => [row.dataset.code, Number(row.dataset.refused)])"
    )
    assert dict(shown) == {code.value: count for code, count in counted.items()}
    assert sum(counted.values()) > 10
    words = page.eval_on_selector_all(
        "#funnel tr[data-code]", "rows => rows.map(row => row.children[2].innerText)"
    )
    assert [int(word) for word in words] == [count for _, count in shown]


def test_positions_and_their_levels_are_those_of_the_journal(page, journal: RunRows, state: Path):
    answer = status(journal, Say("en"), Registry(state))
    assert len(answer.open_positions) == int(figure(page, "open-positions")) >= 1
    for held in answer.open_positions:
        card = page.locator(f"#positions [data-symbol={held.symbol}]")
        opening = next(
            row for _, row in reversed(list(journal.of(ev.PositionOpened))) if row.symbol == held.symbol
        )
        for key, units in (("stop", opening.stop), ("target1", opening.target1)):
            assert float(card.locator(f"[data-key={key}]").inner_text().replace(",", "")) == units / 1e8
        assert card.locator("[data-key=value]").inner_text() == money(held.value_usdt)
        page.click(f"#symbols >> text={held.symbol}")
        page.wait_for_selector(f"#price[data-symbol={held.symbol}]")
        levels = [opening.price, opening.stop, opening.target1, opening.target2]
        wait_for_levels(page, {units / 1e8 for units in levels if units})


def wait_for_levels(page, levels: set[float]) -> None:
    def drawn() -> bool:
        return {float(word) for word in page.get_attribute("#price", "data-levels").split()} == levels

    wait_until(drawn, "price lines at the levels of the position")


def test_lists_and_checkpoints_show_the_rows_of_the_journal(page, journal: RunRows):
    def seqs(place: str) -> list[int]:
        found = page.eval_on_selector_all(
            f"#{place} tr[data-seq]", "rows => rows.map(row => +row.dataset.seq)"
        )
        return [int(seq) for seq in found]

    refused = [seq for seq, _ in journal.of(ev.EntryRefused)]
    asked = [seq for seq, row in journal.of(ev.OrderRequested) if row.purpose is ev.Purpose.ENTRY]
    assert seqs("refusals") == refused[::-1]
    assert seqs("entries") == asked[::-1]
    assert seqs("closes") == [seq for seq, _ in journal.of(ev.PositionClosed)][::-1]
    names = page.eval_on_selector_all(
        "#checkpoints tbody tr", "rows => rows.map(row => row.children[0].innerText)"
    )
    assert names == [row.name for _, row in journal.of(ev.CheckpointTaken)][::-1]
    assert "clock drifts" in page.inner_text("#incidents")
    assert page.inner_text("#incidents tbody tr td:nth-child(4)") == "3"
    assert "229" in page.inner_text("#resources")
    assert page.inner_text("#quality") == "not recorded"


def test_a_click_on_an_entry_and_on_a_refusal_opens_its_arithmetic(page, journal: RunRows):
    for place in ("entries", "refusals", "positions"):
        row = page.locator(f"#{place} [data-seq]").first
        seq = int(row.get_attribute("data-seq"))
        row.click()
        page.wait_for_selector(f"#explain[open][data-row='{seq}']")
        answer = explain(journal, seq, Say("en"))
        shown = page.inner_text("#explain-body")
        assert all(line.formula in shown and f"= {line.result}" in shown for line in answer.lines)
        if answer.equal is not None:
            assert answer.equal and page.inner_text("#explain-equal") == "recomputed = journal ✓"
        page.click("#explain [data-close]")
        assert page.locator("#explain[open]").count() == 0


def test_language_and_theme_switch_and_are_remembered(opened: Opened):
    page = opened.page
    page.click("[data-language=ko]")
    assert page.inner_text("#verdict") == "판정 (Verdict): INCONCLUSIVE"
    assert "실행이 끝났습니다" in page.inner_text("#why-now")
    assert "전략 대기 (strategy_cooldown)" in page.inner_text("#funnel")
    left = [
        word
        for word in page.eval_on_selector_all("[data-t]", "nodes => nodes.map(n => n.textContent)")
        if not word
    ]
    assert left == []
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("[data-theme-choice=dark]")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    page.reload()
    page.wait_for_selector("[data-figure=equity]")
    assert page.get_attribute("html", "data-theme") == "dark"
    assert page.get_attribute("html", "lang") == "ko"
    page.click("[data-theme-choice=light]")
    page.wait_for_selector("#equity canvas")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["1280", "390"])
@pytest.mark.parametrize("language", ["ko", "en"])
def test_nothing_is_cut_and_nothing_sticks_out(opened: Opened, size, language: str):
    page = opened.page
    page.set_viewport_size(size)
    page.click(f"[data-language={language}]")
    page.wait_for_selector("#budget canvas")
    assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
    assert page.evaluate(CUT) == []
    page.locator("#refusals [data-seq]").first.click()
    page.wait_for_selector("#explain[open]")
    assert page.evaluate(CUT) == []
    page.click("#explain [data-close]")


def test_text_that_is_cut_would_be_found(page):
    page.evaluate("document.getElementById('what').style.cssText = 'width:20px;height:10px;overflow:hidden'")
    assert page.evaluate(CUT)
    page.evaluate("document.getElementById('what').style.cssText = ''")


def test_the_buttons_reach_the_engine_within_a_second(browser, tmp_path: Path, state: Path):
    run_dir = tmp_path / "live"
    arguments = (
        "paper",
        "--venue",
        "direct",
        "--market",
        "synthetic:1",
        "--speed",
        "60",
        "--duration",
        "4h",
        "--run-dir",
        run_dir,
    )
    with started(*arguments, "--set", "dashboard.refresh_seconds=0.2", state=state):
        wait_until(lambda: any(isinstance(row, ev.WentLive) for row in rows_of(run_dir)), "run that is live")
        with dashboard(run_dir, state) as server:
            found = Opened(browser, server.url, locale="ko-KR")
            page = found.page
            took_ms: list[int] = []
            page.wait_for_selector("[data-command=halt]:not([disabled])")
            assert page.inner_text("#verdict") == "판정 없음, 실행 중"
            for command, shown in (
                ("halt", "HALTED"),
                ("resume", "ACTIVE"),
                ("flatten", "HALTED"),
                ("stop", ""),
            ):
                page.click(f"[data-command={command}]")
                page.wait_for_selector("#confirm[open]")
                assert not [row for row in rows_of(run_dir) if is_command(row, command)], (
                    "sent before the yes"
                )
                page.click("#confirm-yes")
                page.wait_for_selector(f"#said[data-command={command}][data-what=done]")
                took_ms.append(int(page.get_attribute("#said", "data-milliseconds")))
                (row,) = [row for row in rows_of(run_dir) if is_command(row, command)]
                assert isinstance(row, ev.CommandReceived) and row.by == "dashboard"
                page.wait_for_selector(f"#trading:has-text('{shown}')")
            # The engine of a run at sixty times its speed looks for commands four times a second.
            assert sorted(took_ms)[2] <= EFFECT_MS, took_ms
            page.wait_for_selector("[data-command=halt][disabled]", timeout=15_000)
            found.close()


def is_command(row: ev.Row, command: str) -> bool:
    return isinstance(row, ev.CommandReceived) and row.command.value == command


def test_the_page_stays_small_however_much_comes(browser, run_dir: Path, state: Path, tmp_path: Path):
    limits = [
        f"dashboard.points={MOST}",
        f"dashboard.bars={MOST}",
        "dashboard.rows=10",
        "dashboard.refresh_seconds=0.02",
    ]
    write_manifest(tmp_path / "run", plan(limits))
    shutil.copytree(run_dir / TAPE, tmp_path / "run" / TAPE)
    records = [record for record, _ in read_rows(run_dir / JOURNAL)]
    writer = ChainWriter(tmp_path / "run" / JOURNAL)
    writer.append([(r.ts_ns, r.kind, r.body) for r in records[:30]], durable=False)
    assert (tmp_path / "run" / MANIFEST).is_file()
    with dashboard(tmp_path / "run", state) as server:
        found = Opened(browser, server.url)
        page, devtools = found.page, found.context.new_cdp_session(found.page)
        nodes = []
        step = -(-len(records) // STEPS)
        for count, at in enumerate(range(30, len(records), step)):
            before = draws(page)
            writer.append([(r.ts_ns, r.kind, r.body) for r in records[at : at + step]], durable=False)
            write_ops(tmp_path / "run", [*host_samples(10, 10 * count), *incidents(1)])
            wait_until(partial(has_drawn, page, before), "page that drew the news")
            if count % 5 == 4:
                assert all(size <= most for size, most in sizes(page)), sizes(page)
                devtools.send("HeapProfiler.collectGarbage")
                nodes.append(devtools.send("Memory.getDOMCounters")["nodes"])
        writer.close()
        wait_until(lambda: page.inner_text("#checkpoints tbody tr td") == "END", "last checkpoint")
        assert int(page.get_attribute("#resources-chart", "data-points")) > MOST // 3
        assert len(nodes) >= 5
        assert nodes[-1] < nodes[2] * 1.25, nodes
        found.close()


def draws(page) -> int:
    return int(page.get_attribute("body", "data-draws"))


def has_drawn(page, before: int) -> bool:
    return draws(page) > before


def sizes(page) -> list[tuple[int, int]]:
    """(how many, at most) of everything that could grow."""
    charts = ("equity", "drawdown", "budget", "resources-chart")
    found = [(int(page.get_attribute(f"#{name}", "data-points") or 0), MOST) for name in charts]
    found.append((int(page.get_attribute("#price", "data-bars") or 0), MOST * 5 // 4 + 2))
    lists = ("entries", "refusals", "closes", "checkpoints", "incidents")
    found += [(page.locator(f"#{name} tbody tr").count(), 10) for name in lists]
    return found


def test_a_page_says_when_its_server_is_gone(browser, run_dir: Path, state: Path):
    with dashboard(run_dir, state) as server:
        found = Opened(browser, server.url)
        found.page.wait_for_selector("#connection.good")
        server.process.kill()
        found.page.wait_for_selector("#connection.bad:has-text('connection lost')")
    found.context.close()
    assert json.dumps(found.said).count("net::ERR")
