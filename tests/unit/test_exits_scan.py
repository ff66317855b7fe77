"""The exit scan against a reference that reads one row at a time, for any split; and its rules one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flowguardian.execution.money import SCALE, units
from flowguardian.market.exits import (
    BREAK_EVEN,
    EXPIRY,
    HIT_CODE,
    HIT_LEVEL,
    HIT_PATH,
    HIT_PRICE,
    HIT_TS,
    NOTHING,
    STOP,
    TARGET,
    TRAILING,
    WATCH,
    scan_exit,
)
from flowguardian.market.records import Flag

LAST = np.iinfo(np.int64).max


def watch(side: int = 1, **changed: int) -> Any:
    """A position at 100 with a stop at 99 and a target at 102, mirrored for a short."""
    entry = units(100)
    fields = {
        "side": side,
        "stop": entry - side * SCALE,
        "target": entry + side * 2 * SCALE,
        "trail": 0,
        "best": side * entry,
        "break_even": 0,
        "entry": entry,
        "expiry_ns": 0,
        "moved": 0,
    }
    record = np.zeros(1, WATCH)
    for name, value in {**fields, **changed}.items():
        record[name] = value
    return record


def scan(ts: Any, price: Any, flags: Any, clock: Any, state: Any, cuts: Any = ()) -> list[int]:
    """The first hit when rows come split at stamps `cuts`."""
    ts, price = np.asarray(ts, np.int64), np.asarray(price, np.int64)
    flags, clock = np.asarray(flags, np.uint8), np.asarray(clock, np.int64)
    hit = np.zeros(5, np.int64)
    last, before = 0, 0
    for cut in [*sorted(set(cuts)), LAST]:
        part, tick = (ts >= before) & (ts < cut), (clock >= before) & (clock < cut)
        own = price[part]
        mine = flags[part] if len(flags) and flags[part].any() else np.empty(0, np.uint8)
        scan_exit(ts[part], own, mine, 0, len(own), 0, LAST, clock[tick], last, state, 0, hit)
        if hit[HIT_CODE] != NOTHING:
            return [int(value) for value in hit]
        last = int(own[-1]) if len(own) else last
        before = cut
    return [0] * 5


def reference(ts: Any, price: Any, flags: Any, clock: Any, state: Any) -> tuple[int, int, int]:
    """(stamp, code, price) of the first hit, the rule read aloud."""
    s = {name: int(state[0][name]) for name in WATCH.names or ()}
    side, last = s["side"], 0
    marks = flags if len(flags) else [0] * len(ts)
    rows = sorted(
        [(t, p, f) for t, p, f in zip(ts, price, marks, strict=True)] + [(t, None, 0) for t in clock]
    )
    for t, p, flag in rows:
        expired = s["expiry_ns"] and t >= s["expiry_ns"]
        if p is None:
            if expired:
                return t, EXPIRY, last
            continue
        last = p
        if flag & Flag.BACKFILLED:
            continue
        if expired:
            return t, EXPIRY, p
        if side * p <= side * s["stop"]:
            return t, BREAK_EVEN if s["moved"] else STOP, p
        if s["target"] > 0 and side * p >= side * s["target"]:
            return t, TARGET, p
        if s["trail"] and side * p <= s["best"] - s["trail"]:
            return t, TRAILING, p
        s["best"] = max(s["best"], side * p)
        if s["break_even"] and not s["moved"] and side * p >= side * s["break_even"]:
            s["moved"] = 1
            s["stop"] = s["entry"] if side * s["entry"] > side * s["stop"] else s["stop"]
    return 0, NOTHING, 0


@pytest.mark.parametrize("seed", range(60))
def test_the_first_hit_equals_the_reference_for_any_split(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = 120
    stamps = rng.choice(np.arange(1, 1000), count + 20, replace=False)
    ts, clock = np.sort(stamps[:count]), np.sort(stamps[count:])
    price = units(100) + np.cumsum(rng.integers(-SCALE // 8, SCALE // 8, count))
    flags: Any = np.where(rng.random(count) < 0.2, int(Flag.BACKFILLED), 0) if seed % 3 == 0 else []
    side = 1 if seed % 2 else -1
    changed = {
        "trail": int(rng.choice([0, SCALE // 3])),
        "break_even": int(rng.choice([0, units(100) + side * SCALE // 4])),
        "expiry_ns": int(rng.choice([0, int(rng.integers(1, 1000))])),
        "target": int(rng.choice([0, units(100) + side * SCALE])),
    }
    wanted = reference(ts.tolist(), price.tolist(), flags, clock.tolist(), watch(side, **changed))
    for cuts in ((), range(1, 1001), rng.integers(1, 1000, 6).tolist()):
        hit = scan(ts, price, flags, clock, watch(side, **changed), cuts)
        found = (hit[HIT_TS], hit[HIT_CODE], hit[HIT_PRICE]) if hit[HIT_CODE] else (0, NOTHING, 0)
        assert found == wanted


def test_on_one_row_the_stop_comes_before_everything() -> None:
    state = watch(trail=SCALE // 2, best=units(101))
    assert scan([5], [units(99)], [], [], state)[HIT_CODE] == STOP


def test_a_trailing_stop_reports_the_level_it_stood_at() -> None:
    state = watch(trail=SCALE // 2, target=0)
    hit = scan([1, 2, 3], [units("100.2"), units(103), units("102.4")], [], [], state)
    assert hit[HIT_CODE] == TRAILING
    assert hit[HIT_LEVEL] == units("102.5")


def test_a_short_trails_downwards() -> None:
    state = watch(-1, trail=SCALE // 2, target=0)
    hit = scan([1, 2, 3], [units(99), units(97), units("97.6")], [], [], state)
    assert (hit[HIT_TS], hit[HIT_CODE], hit[HIT_LEVEL]) == (3, TRAILING, units("97.5"))


def test_break_even_moves_the_stop_to_the_entry_and_never_back() -> None:
    state = watch(break_even=units("100.5"))
    hit = scan([1, 2, 3], [units("100.5"), units("100.1"), units(100)], [], [], state)
    assert (hit[HIT_TS], hit[HIT_CODE], hit[HIT_LEVEL]) == (3, BREAK_EVEN, units(100))


def test_a_backfilled_row_triggers_nothing_not_even_the_expiry() -> None:
    late = int(Flag.BACKFILLED)
    hit = scan([1, 2, 3], [units(98), units(97), units(101)], [late, late, 0], [], watch(expiry_ns=2))
    assert (hit[HIT_TS], hit[HIT_CODE]) == (3, EXPIRY)


def test_a_quiet_symbol_expires_on_the_clock_at_its_last_price() -> None:
    hit = scan([1], [units("100.3")], [], [5, 9], watch(expiry_ns=7), cuts=[2, 4])
    assert (hit[HIT_TS], hit[HIT_CODE], hit[HIT_PRICE]) == (9, EXPIRY, units("100.3"))


def test_a_hit_before_the_expiry_wins() -> None:
    assert scan([1, 6], [units(99), units(99)], [], [5], watch(expiry_ns=4))[HIT_CODE] == STOP


def test_a_hit_on_a_path_says_so() -> None:
    path = int(Flag.PATH)
    assert scan([1], [units(99)], [path], [], watch())[HIT_PATH] == 1
    assert scan([1, 2], [units(100), units(99)], [path, 0], [], watch())[HIT_PATH] == 0


def test_without_a_target_only_the_stop_is_watched() -> None:
    assert scan([1], [units(10_000)], [], [], watch(target=0))[HIT_CODE] == NOTHING
