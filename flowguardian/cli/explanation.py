"""`explain SEQ`: one attempt found from any of its rows, and its arithmetic beside the journal's numbers.

Rule: what cannot be found is said, with the nearest attempts; what differs from the journal is marked ✗.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterator
from typing import NamedTuple

from flowguardian.cli.answers import Compared, Explained, Line, moment, moment_or_none, side_name
from flowguardian.cli.arithmetic import Arithmetic, Worked, m, n
from flowguardian.cli.books import Books
from flowguardian.cli.funnel import GROUPS, UNITS, measure
from flowguardian.cli.guard_arithmetic import AGAIN
from flowguardian.cli.language import Say
from flowguardian.cli.output import CliError
from flowguardian.cli.run_rows import RunRows
from flowguardian.execution import events as ev

Outcome = ev.OrderRequested | ev.EntryRefused
ORDER_ROWS = (
    ev.OrderFilled,
    ev.OrderExpired,
    ev.OrderRejected,
    ev.OrderUnknown,
    ev.OrderUnsent,
    ev.PositionOpened,
    ev.PositionIncreased,
    ev.PositionReduced,
)
"""Rows that carry the id of their order."""
SLACK = 1e-9
"""Guards show limits and values as floats; they are compared to this relative difference."""


class Attempt(NamedTuple):
    """The outcome of an attempt and the signal it came from."""

    seq: int
    outcome: Outcome
    signal_seq: int
    signal: ev.Signal


def explain(run: RunRows, seq: int, say: Say) -> Explained:
    """The whole answer; raises CliError when the row belongs to no attempt."""
    attempt = find_attempt(run, seq)
    books = Books.of(run.start, run.config)
    for before, row in run.rows.items():
        if before >= attempt.seq:
            break
        books.apply(before, row)
    outcome, signal = attempt.outcome, attempt.signal
    if isinstance(outcome, ev.EntryRefused) and outcome.code not in GROUPS:
        worked = None
        lines, compared = _guard(signal, outcome, books)
    else:
        worked = Arithmetic(signal, run.instruments[signal.symbol], books, books.equity).work()
        start = Line("equity", f"{m(books.balance)} + {m(books.equity - books.balance)}", m(books.equity))
        lines = (start, *worked.lines)
        compared = tuple(_sized(run, attempt, books, worked))
    refused = outcome if isinstance(outcome, ev.EntryRefused) else None
    return Explained(
        run_id=run.start.run_id,
        asked_seq=seq,
        seq=attempt.seq,
        signal_seq=attempt.signal_seq,
        at=moment(outcome.ts_ns),
        outcome="refused" if refused else "entry",
        code=refused.code if refused else "",
        symbol=outcome.symbol,
        strategy=outcome.strategy,
        side=side_name(outcome.side),
        bound="" if isinstance(outcome, ev.EntryRefused) else outcome.bound,
        lines=lines,
        would_pass=_would_pass(refused, worked, books, say) if refused else "",
        release=refused.release if refused else "",
        release_at=moment_or_none(refused.release_ns) if refused else None,
        compared=compared,
        equal=all(pair.equal for pair in compared) if compared else None,
    )


# ---- finding the attempt


def find_attempt(run: RunRows, seq: int) -> Attempt:
    """The attempt a row belongs to."""
    row = run.rows.get(seq)
    if row is None:
        raise CliError(
            f"there is no row {seq}", where=str(run.run_dir), fix=_nearest(run, seq),
            why=f"the journal holds the rows 1 to {max(run.rows)}",
        )  # fmt: skip
    found = _outcome_of(run, seq, row)
    if found is None:
        raise CliError(
            f"row {seq} ({type(row).__name__}) belongs to no entry attempt", where=str(run.run_dir),
            why="only signals, refusals, entries, their budget caps, orders, fills and positions do",
            fix=_nearest(run, seq),
        )  # fmt: skip
    at, outcome = found
    for before, signal in reversed(list(run.of(ev.Signal))):
        same = (signal.symbol, signal.strategy, signal.side, signal.bar_ns)
        if before < at and same == (outcome.symbol, outcome.strategy, outcome.side, outcome.bar_ns):
            return Attempt(at, outcome, before, signal)
    raise CliError(
        f"the signal of row {at} is not in the journal", where=str(run.run_dir),
        why="an attempt always follows its signal: rows are missing",
        fix="check the run with `flowguardian verify`",
    )  # fmt: skip


def _outcome_of(run: RunRows, seq: int, row: ev.Row) -> tuple[int, Outcome] | None:
    if isinstance(row, ev.EntryRefused):
        return seq, row
    if isinstance(row, ev.OrderRequested):
        return (seq, row) if row.purpose is ev.Purpose.ENTRY else _entry_before(run, seq, row.symbol)
    if isinstance(row, ev.Signal | ev.FlipPlanned):
        return _first(run, seq, (row.symbol, row.strategy, row.side, row.bar_ns))
    if isinstance(row, ev.BudgetCapped | ev.EntryReduced):
        return _first(run, seq, (row.symbol, row.strategy, row.side))
    if isinstance(row, ORDER_ROWS):
        request = next(((at, r) for at, r in run.of(ev.OrderRequested) if r.order_id == row.order_id), None)
        return _outcome_of(run, *request) if request else None
    if isinstance(row, ev.PositionClosed | ev.ExitTriggered | ev.Liquidated | ev.FundingSettled):
        return _entry_before(run, seq, row.symbol)
    return None


def _first(run: RunRows, seq: int, key: tuple[object, ...]) -> tuple[int, Outcome] | None:
    """The first outcome after a row of the same attempt."""
    for at, row in _outcomes(run):
        if at > seq and (row.symbol, row.strategy, row.side, row.bar_ns)[: len(key)] == key:
            return at, row
    return None


def _outcomes(run: RunRows) -> Iterator[tuple[int, Outcome]]:
    for at, row in run.rows.items():
        if isinstance(row, ev.OrderRequested) and row.purpose is not ev.Purpose.ENTRY:
            continue
        if isinstance(row, Outcome):
            yield at, row


def _entry_before(run: RunRows, seq: int, symbol: str) -> tuple[int, Outcome] | None:
    """The entry of the position a later row is about: the last one in its symbol filled before it."""
    filled = {row.order_id for at, row in run.of(ev.OrderFilled) if at < seq}
    entries = [
        (at, row)
        for at, row in run.of(ev.OrderRequested)
        if at < seq and row.symbol == symbol and row.purpose is ev.Purpose.ENTRY and row.order_id in filled
    ]
    return entries[-1] if entries else None


def _nearest(run: RunRows, seq: int) -> str:
    outcomes = [at for at, _ in _outcomes(run)]
    if not outcomes:
        return "there is no attempt yet: `flowguardian why` says why"
    place = bisect(outcomes, seq)
    near = outcomes[max(0, place - 2) : place + 2]
    return f"the nearest attempts are the rows {', '.join(map(str, near))}"


# ---- comparing with the journal


def _guard(
    signal: ev.Signal, row: ev.EntryRefused, books: Books
) -> tuple[tuple[Line, ...], tuple[Compared, ...]]:
    unit = UNITS.get(row.code, "")
    formula = f"{measure(row.code, row.value):f} / {measure(row.code, row.limit):f} {unit}".rstrip()
    lines = (Line("guard", formula, row.code.value),)
    again = AGAIN[row.code](signal, books, books.config, row.ts_ns) if row.code in AGAIN else None
    if again is None:
        return lines, ()
    pairs = zip(("limit", "value"), again, (row.limit, row.value), strict=True)
    compared = tuple(
        Compared(
            key, f"{mine:.10g}", f"{theirs:.10g}", math.isclose(mine, theirs, rel_tol=SLACK, abs_tol=SLACK)
        )
        for key, mine, theirs in pairs
    )
    return lines, compared


def _sized(run: RunRows, attempt: Attempt, books: Books, worked: Worked) -> list[Compared]:
    row = attempt.outcome
    if isinstance(row, ev.EntryRefused):
        pairs = [_same("code", worked.code, row.code.value)]
        pairs += [
            _units("limit", worked.limit, int(row.limit)),
            _units("value", worked.value, int(row.value)),
        ]
    else:
        pairs = [_same("code", worked.code, "")] if worked.code else []
        pairs += [
            _units("equity", books.equity, row.equity),
            _units("qty", worked.qty, row.qty),
            _units("limit_price", worked.limit_price, row.limit_price),
            _units("reserved", worked.reserved, row.reserved),
            _same("bound", worked.bound, row.bound),
        ]
    reduced, capped = _beside(run, attempt, ev.EntryReduced), _beside(run, attempt, ev.BudgetCapped)
    # A reduction that a later step refuses all the same is not written.
    if reduced or (worked.room and not isinstance(row, ev.EntryRefused)):
        pairs += [
            _units(f"reduced.{key}", worked.room.get(key, 0), getattr(reduced, key, 0))
            for key in ("wanted", "room")
        ]
    if capped or worked.cap:
        for key in ("basis", "allocated", "used", "available", "slots", "wanted", "cap"):
            compare = _same if key == "slots" else _units
            pairs.append(compare(f"capped.{key}", worked.cap.get(key, 0), getattr(capped, key, 0)))
    return pairs


def _beside(run: RunRows, attempt: Attempt, kind: type[ev.EntryReduced | ev.BudgetCapped]) -> ev.Row | None:
    """The row of a kind in the same transaction, just before the outcome."""
    for seq in (attempt.seq - 1, attempt.seq - 2):
        row = run.rows.get(seq)
        if not isinstance(row, ev.EntryReduced | ev.BudgetCapped):
            return None
        if isinstance(row, kind):
            return row
    return None


def _units(key: str, mine: int, theirs: int) -> Compared:
    return Compared(key, n(mine), n(theirs), mine == theirs)


def _same(key: str, mine: object, theirs: object) -> Compared:
    return Compared(key, str(mine), str(theirs), mine == theirs)


# ---- what would have let it in


def _would_pass(row: ev.EntryRefused, worked: Worked | None, books: Books, say: Say) -> str:
    limit, value = measure(row.code, row.limit), measure(row.code, row.value)
    if worked is None:
        return say("pass_guard", release=say.release(row.release))
    if row.code is ev.Reason.SIZING:
        return say("pass_sizing")
    if row.code is ev.Reason.EXPOSURE:
        return say(
            "pass_exposure", short=f"{limit - value:,.2f}", room=f"{value:,.2f}", least=f"{limit:,.2f}"
        )
    if row.code is ev.Reason.PORTFOLIO_BUDGET:
        available = max(0, books.allocated(row.strategy) - books.used(row.strategy))
        short = max(0, int(row.limit) * worked.slots - available)
        return say(
            "pass_budget", short=m(short), least=f"{limit:,.2f}", slots=worked.slots, cap=f"{value:,.2f}",
            needed=m(int(row.limit) * worked.slots), available=m(available),
        )  # fmt: skip
    return say("pass_venue", least=f"{limit:,.2f}", value=f"{value:,.2f}")
