"""A run that ends at any of its writes goes on to the rows of the run that did not."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowguardian.ops.manifest import MANIFEST, write_manifest
from flowguardian.ops.verify import verify
from tests.e2e.real_runs import decided
from tests.golden.market_run import make_manifest
from tests.simulation.crash_points import Disk, Point, Write, left_on_disk, lifetime, points

pytestmark = pytest.mark.slow
HOURS = 0.5


class Whole:
    """The undisturbed run and its writes."""

    def __init__(self, run_dir: Path) -> None:
        write_manifest(run_dir, make_manifest(hours=HOURS))
        disk = Disk(run_dir)
        assert lifetime(run_dir, disk) == "completed"
        self.run_dir, self.writes, self.decided = run_dir, disk.writes, decided(run_dir)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(tmp_path_factory.mktemp("runs") / "whole")


def goes_on(whole: Whole, files: dict[str, bytes], run_dir: Path, disk: Disk | None = None) -> None:
    """What is left is resumed to the end, and the rows are those of the undisturbed run."""
    left_on_disk(whole.run_dir / MANIFEST, files, run_dir)
    assert lifetime(run_dir, disk) == "completed"
    assert decided(run_dir) == whole.decided


def name(writes: list[Write], point: Point) -> str:
    return f"write {point.number} ({writes[point.number].what}), {point.end.__name__}, seed {point.seed}"


def failures(whole: Whole, tmp_path: Path, chosen: list[Point]) -> list[str]:
    found = []
    for point in chosen:
        try:
            goes_on(whole, point.files(whole.writes), tmp_path / "run")
        except Exception as error:  # noqa: BLE001 - the list of all that fails is the result
            found.append(f"{name(whole.writes, point)}: {type(error).__name__} {str(error)[:200]}")
    return found


def test_a_run_has_writes_of_every_kind(whole: Whole) -> None:
    kinds = {write.what for write in whole.writes}
    assert kinds == {"tape block", "tape sync", "rows", "durable rows", "fold"}
    assert len(whole.decided) > 30 and verify(whole.run_dir).ok


def test_from_every_eleventh_crash_point_the_run_goes_on_to_the_same_rows(
    whole: Whole, tmp_path: Path
) -> None:
    chosen = points(whole.writes, seeds=2)[::11]
    found = failures(whole, tmp_path, chosen)
    assert not found, f"{len(found)} of {len(chosen)}:\n" + "\n".join(found[:20])


@pytest.mark.nightly
def test_from_more_than_a_thousand_crash_points_the_run_goes_on_to_the_same_rows(
    whole: Whole, tmp_path: Path
) -> None:
    chosen = points(whole.writes, seeds=4)
    assert len(chosen) > 1000
    found = failures(whole, tmp_path, chosen)
    assert not found, f"{len(found)} of {len(chosen)}:\n" + "\n".join(found[:20])


@pytest.mark.parametrize(
    "every", [pytest.param(29, id="a few"), pytest.param(5, marks=pytest.mark.nightly, id="many")]
)
def test_a_recovery_that_ends_as_well_goes_on_to_the_same_rows(
    whole: Whole, tmp_path: Path, every: int
) -> None:
    """The recovery is looked at like the first life, and ended at some of its own writes."""
    found = []
    for point in points(whole.writes, seeds=1)[::every]:
        disk = Disk(tmp_path / "first")
        goes_on(whole, point.files(whole.writes), disk.run_dir, disk)
        again = points(disk.writes, seeds=1)
        for second in again[:: max(1, len(again) // 3)]:
            try:
                goes_on(whole, second.files(disk.writes), tmp_path / "second")
            except Exception as error:  # noqa: BLE001 - the list of all that fails is the result
                ways = f"{name(whole.writes, point)}, then {name(disk.writes, second)}"
                found.append(f"{ways}: {type(error).__name__} {str(error)[:200]}")
    assert not found, f"{len(found)}:\n" + "\n".join(found[:20])
