"""The same market in paper and live: every decision that differs has an earlier fill that explains it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from flowguardian.execution import events as ev
from tests.e2e.differences import differences
from tests.e2e.faulted import Faulted, faulted
from tests.e2e.live_stories import run_live
from tests.e2e.real_runs import ROOT, rows

pytestmark = pytest.mark.slow
AT_ONCE = ("execution.latency_min_ms=0", "execution.latency_max_ms=0")
MINUTES = 180
V61 = ROOT / "configs/scalping/real_paper_12h_v6_1_phase17.yml"


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> list[ev.Row]:
    run_dir = tmp_path_factory.mktemp("of_paper") / "paper"
    with faulted(run_dir, *AT_ONCE, minutes=MINUTES) as run:
        return run.run().rows


def explained(paper: list[ev.Row], run: Faulted) -> tuple[int, int]:
    """Decisions in all, and those that differ in more than their size; each has the fill that explains it."""
    live = run_live(run)
    live.holds()
    of, found = differences(paper, rows(run.run_dir))
    kinds = [one for one in found if not (one.here and one.there and one.here.what == one.there.what)]
    print(f"{of} decisions, {len(found)} differ, {len(kinds)} in more than their size")  # noqa: T201 - with -s
    for one in found:
        print(f"  {one}")  # noqa: T201 - with -s
    assert [str(one) for one in found if one.order is None] == []
    return of, len(kinds)


def test_every_decision_that_differs_between_paper_and_live_is_explained_by_a_fill(
    tmp_path: Path, paper: list[ev.Row]
) -> None:
    with faulted(tmp_path / "live", *AT_ONCE, minutes=MINUTES, mode=ev.LIVE) as run:
        of, other = explained(paper, run)
    assert of > 150 and other < of / 4, "they are not the same run any more"


def test_so_it_is_with_the_configuration_of_v61(tmp_path: Path) -> None:
    with faulted(tmp_path / "paper", *AT_ONCE, minutes=MINUTES, config=V61) as run:
        paper = run.run().rows
    with faulted(tmp_path / "live", *AT_ONCE, minutes=MINUTES, config=V61, mode=ev.LIVE) as run:
        of, other = explained(paper, run)
    assert of > 100 and other < of / 4, "they are not the same run any more"


@pytest.mark.parametrize("change", ["reason", "qty", "dropped", "refused"])
def test_a_decision_that_no_fill_explains_is_found(paper: list[ev.Row], change: str) -> None:
    """Both runs had the same fills until then, so nothing they do may differ."""
    entries = [row for row in paper if isinstance(row, ev.OrderRequested) and row.purpose is ev.Purpose.ENTRY]
    place = paper.index(entries[20])
    other = list(paper)
    if change == "dropped":
        del other[place]
    elif change == "refused":
        place = next(i for i, row in enumerate(paper) if isinstance(row, ev.EntryRefused))
        other[place] = msgspec.structs.replace(other[place], code=ev.Reason.SYMBOL_COOLDOWN)
    else:
        other[place] = msgspec.structs.replace(
            other[place], **({"reason": "another"} if change == "reason" else {"qty": entries[20].qty + 1})
        )
    if change == "dropped":
        other = [row for row in other if getattr(row, "order_id", 0) != entries[20].order_id]
    unexplained = [one for one in differences(paper, other)[1] if one.order is None]
    assert unexplained and differences(paper, paper)[1] == []
