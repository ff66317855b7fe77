"""What must be true of every run, whatever was done to it.

Rule: each oracle reads records (journal, tape, the venue's ledger) and says in one sentence what is wrong;
none asks the engine. A naked position is excused only while the venue could not have taken a stop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flowguardian.acceptance.audit import audit
from flowguardian.acceptance.evidence import read_evidence
from flowguardian.acceptance.prices import read_prices
from flowguardian.execution import events as ev
from flowguardian.feeds.upkeep import TRADING
from flowguardian.journal.journal import JOURNAL, TAPE, read_rows
from flowguardian.market.instruments import Instrument
from flowguardian.market.records import MINUTE_NS, SECOND_NS
from flowguardian.ops.live_trading import tag_of
from flowguardian.ops.verify import verify
from flowguardian.simulation.runner import Told
from flowguardian.simulation.second_opinion import entries_obey_the_guards, exits_ask_for_what_is_held
from flowguardian.simulation.tape_opinion import the_tape_agrees, time_goes_on
from flowguardian.simulation.watcher import LAST_SECONDS
from flowguardian.simulation.world import World

NAKED_NS = 5 * SECOND_NS
BACK_NS = 60 * SECOND_NS
"""After the last fault everything is fresh and trades within so long (I17)."""
_GRACE_NS = 3 * SECOND_NS
"""A look once a second, said with the stamp of the row before it, and the way of a request."""
_FILTER_CODES = frozenset({-1111, -1013, -4003, -4005, -4014, -4164})
"""The venue refuses an order for its own filters."""
_OUTAGES = frozenset({"maintenance", "rest", "order_reply", "order_refused", "clock_skew", "invisible",
                      "stale", "keepalive_refused"})  # fmt: skip
"""While one of these holds the venue may take no stop, or not say that it took it."""


class Case(NamedTuple):
    """A run to be judged."""

    world: World
    told: Told
    run_dir: Path
    rows: list[ev.Row]
    start_ns: int

    def of(self, *kinds: type[ev.Row]) -> list[Any]:
        return [row for row in self.rows if isinstance(row, kinds)]


def findings(world: World, told: Told, run_dir: Path) -> list[str]:
    """Everything that is wrong, oracle by oracle."""
    found = list(told.problems)
    if told.reason != "completed":
        return [*found, f"the run did not end: {told.reason or 'no reason'} after {told.lives} lives"]
    rows = [row for _, row in read_rows(run_dir / JOURNAL)]
    case = Case(world, told, run_dir, rows, _start_ns(rows))
    networked = told.ledger is not None
    for oracle in (
        *EVERYWHERE,
        *(AFTER_FAULTS if networked else ()),
        *(LIVE_ONLY if world.mode == ev.LIVE else PAPER_ONLY),
    ):
        found += oracle(case)
    return found


def _start_ns(rows: Sequence[ev.Row]) -> int:
    """The beginning of the market: a run goes live with a whole minute within the first two."""
    live_ns = next(row.ts_ns for row in rows if isinstance(row, ev.WentLive)) + 1
    return live_ns // (60 * MINUTE_NS) * 60 * MINUTE_NS


# ---- in every mode


def replay_is_equal(case: Case) -> Iterator[str]:
    verified = verify(case.run_dir)
    if not verified.ok:
        yield f"verify: {verified.message}"


def nothing_is_violated(case: Case) -> Iterator[str]:
    for row in case.of(ev.InvariantViolated):
        if not (row.invariant == "I09" and _excused(case, row.ts_ns - NAKED_NS, row.ts_ns)):
            yield f"{row.invariant} at {_at(case, row.ts_ns)}: {row.message}"
    for row in case.of(ev.CheckpointTaken):
        if row.ledger_difference:
            yield f"the books differ by {row.ledger_difference} at {row.name}"


def orders_fit_the_filters(case: Case) -> Iterator[str]:
    known: dict[str, Instrument] = {}
    for row in case.rows:
        if isinstance(row, ev.InstrumentsSet):
            known.update({one.symbol: one for one in row.instruments})
        elif isinstance(row, ev.OrderRequested):
            one = known[row.symbol]
            wrong = row.qty % one.step_size or row.qty <= 0 or row.limit_price % one.tick_size
            if row.purpose is ev.Purpose.ENTRY:
                value = row.qty * row.limit_price // 10**8
                wrong = wrong or not one.min_qty <= row.qty <= one.max_qty or value < one.min_notional
            if wrong:
                yield f"order {row.order_id} does not fit the filters: {row.qty} at {row.limit_price}"


def no_order_twice(case: Case) -> Iterator[str]:
    numbers = Counter(row.order_id for row in case.of(ev.OrderRequested))
    yield from (f"order {number} was requested {many} times" for number, many in numbers.items() if many > 1)


def the_judge_agrees(case: Case) -> Iterator[str]:
    yield from _judged(case, frozenset())


def the_judge_agrees_on_the_books(case: Case) -> Iterator[str]:
    """All but prices: a live fill is the venue's, and under bad weather the tape lags behind it."""
    yield from _judged(case, frozenset({"prices"}))


def _judged(case: Case, excused: frozenset[str]) -> Iterator[str]:
    evidence = read_evidence(case.run_dir)
    prices, damage = read_prices(case.run_dir / TAPE, evidence.started.symbols if evidence.started else ())
    yield from damage
    for check, found in audit(evidence, prices).findings.items():
        if check not in excused:
            yield from (f"the judge: {check}: row {one.seq}: {one.text}" for one in found)


def a_second_opinion_agrees(case: Case) -> Iterator[str]:
    yield from (f"a second opinion: {text}" for text in entries_obey_the_guards(case.rows))
    yield from (f"a second opinion: {text}" for text in exits_ask_for_what_is_held(case.rows))


def time_went_on(case: Case) -> Iterator[str]:
    yield from (f"the clock: {text}" for text in time_goes_on(case.rows))


def the_tape_tells_the_same(case: Case) -> Iterator[str]:
    yield from (f"the tape: {text}" for text in the_tape_agrees(case.rows, case.run_dir / TAPE))


# ---- where there is a venue


def the_ledger_agrees(case: Case) -> Iterator[str]:
    """Wallet, positions and trades of the venue and of the journal, to the last digit."""
    ledger = case.told.ledger
    assert ledger is not None  # noqa: S101 - a live run has one
    account, last = ledger["account"], _Books(case)
    if ledger["difference"]:
        yield f"the venue's own books differ by {ledger['difference']}"
    wallet = account["wallet"] - account["insurance"]
    if wallet != last.balance:
        apart = wallet - last.balance
        yield f"the venue has {wallet} in the wallet, the books {last.balance}: {apart} (1e-8)"
    held = {name: one["qty"] for name, one in account["positions"].items() if one["qty"]}
    if held != last.held:
        yield f"held at the venue: {held}, in the books: {last.held}"
    here = Counter(row.fill_id for row in case.of(ev.OrderFilled, ev.ClosedByVenue))
    there = Counter(one["id"] for one in ledger["trades"])
    if here != there:
        only = sorted(there - here)[:5], sorted(here - there)[:5]
        yield f"trades: only at the venue {only[0]}, only in the books {only[1]}"


class _Books:
    """Sums over the rows, apart from the engine's own."""

    def __init__(self, case: Case) -> None:
        started = next(row for row in case.rows if isinstance(row, ev.RunStarted))
        self.balance = started.start_equity
        self.held: dict[str, int] = {}
        for row in case.rows:
            if isinstance(row, ev.OrderFilled):
                self._move(row.symbol, row.side * row.qty, row.fee)
            elif isinstance(row, ev.Liquidated):
                side = -1 if self.held.get(row.symbol, 0) > 0 else 1
                self._move(row.symbol, side * row.qty, row.fee)
            elif isinstance(row, ev.FundingSettled):
                self.balance += row.amount
            elif isinstance(row, ev.PositionReduced):
                self.balance += row.realised
        self.balance += _realised_at_close(case.rows)

    def _move(self, symbol: str, qty: int, fee: int) -> None:
        self.balance -= fee
        self.held[symbol] = self.held.get(symbol, 0) + qty
        if not self.held[symbol]:
            del self.held[symbol]


def _realised_at_close(rows: Sequence[ev.Row]) -> int:
    """What the last fill of each position realised: its total without what its reductions had."""
    total, before = 0, dict[str, int]()
    for row in rows:
        if isinstance(row, ev.PositionReduced):
            before[row.symbol] = before.get(row.symbol, 0) + row.realised
        elif isinstance(row, ev.PositionClosed):
            total += row.realised - before.pop(row.symbol, 0)
    return total


def nothing_is_sent_twice(case: Case) -> Iterator[str]:
    ledger = case.told.ledger
    assert ledger is not None  # noqa: S101
    tag = tag_of(case.run_dir.name)
    for kind in ("orders", "algos"):
        ids = Counter(one["client_id"] for one in ledger[kind] if one["client_id"].startswith(f"{tag}-"))
        yield from (
            f"client id {name} is {many} orders at the venue" for name, many in ids.items() if many > 1
        )
    requested = {f"{tag}-{row.order_id}" for row in case.of(ev.OrderRequested)}
    strange = [one["client_id"] for one in ledger["orders"] if one["client_id"].startswith(f"{tag}-")
               and one["client_id"] not in requested]  # fmt: skip
    if strange:
        yield f"orders at the venue that no row asked for: {strange[:5]}"


def no_position_is_naked(case: Case) -> Iterator[str]:
    watcher = case.told.watcher
    assert watcher is not None  # noqa: S101
    alarms = case.of(ev.PositionNaked)
    for bare in watcher.bare:
        if bare.to_ns - bare.from_ns <= NAKED_NS + _GRACE_NS or _excused(case, bare.from_ns, bare.to_ns):
            continue
        said = any(one.symbol == bare.symbol and bare.from_ns <= one.ts_ns for one in alarms)
        seconds = (bare.to_ns - bare.from_ns) / SECOND_NS
        yield f"{bare.symbol} had no stop for {seconds:.1f} s at {_at(case, bare.from_ns)}" + (
            "" if said else ", and nobody said so"
        )


def _excused(case: Case, from_ns: int, to_ns: int) -> bool:
    """Whether something kept the venue from taking or confirming a stop, or the process from asking."""
    from_s, to_s = (at_ns - case.start_ns for at_ns in (from_ns, to_ns))
    for fault in case.world.plan.faults:
        unheard = fault.silent or fault.streams.startswith("user@") or fault.path in ("*", "private")
        if fault.kind not in _OUTAGES and not unheard:
            continue  # The venue takes stops, and says at once when one is gone.
        begins = fault.at_seconds * SECOND_NS
        ends = begins + ((fault.for_seconds or 0.0) + fault.seconds + 15.0) * SECOND_NS
        if begins <= to_s and from_s <= ends:
            return True
    spans = [(one.from_seconds, one.to_seconds + 25.0) for one in case.world.weather]
    spans += [(one.at_seconds, one.at_seconds + one.away_seconds + 40.0) for one in case.world.crashes]
    return any(low * SECOND_NS <= to_s and from_s <= high * SECOND_NS for low, high in spans)


def our_orders_are_never_refused_for_filters(case: Case) -> Iterator[str]:
    changed = any(fault.kind == "tick_size" for fault in case.world.plan.faults)
    for row in case.of(ev.OrderRejected):
        if row.code in _FILTER_CODES and not changed:
            yield f"the venue refused order {row.order_id} for its filters: {row.code} {row.message}"


def everything_comes_back(case: Case) -> Iterator[str]:
    """I17: after the last fault all streams are fresh, entries are allowed, and something is entered."""
    if case.world.healed_at == 0.0:
        return
    healed_ns = case.start_ns + round(case.world.healed_at * SECOND_NS)
    back_ns = healed_ns + BACK_NS
    for symbol, stream, from_ns, to_ns in _silences(case):
        # A quiet stream whose newest trade is on its way is silent until it is here.
        if to_ns > max(back_ns, from_ns + _GRACE_NS):
            span = f"{_at(case, from_ns)} to {_at(case, to_ns)}"
            yield f"{symbol} {stream} was silent from {span}, after all faults"
    entries = [row.ts_ns for row in case.of(ev.OrderRequested) if row.purpose is ev.Purpose.ENTRY]
    # One bar may have to end before there is a signal at all, and another one before a slot is free.
    until_ns = back_ns + 2 * MINUTE_NS + _hold_ns(case)
    if not any(healed_ns < at_ns <= until_ns for at_ns in entries):
        yield f"no entry between {_at(case, healed_ns)} and {_at(case, until_ns)}, after all faults"


def _silences(case: Case) -> Iterator[tuple[str, str, int, int]]:
    """Symbol, stream, begin and end of each silence of a symbol that the venue trades to the end."""
    silent = dict[tuple[str, str], int]()
    over = [*case.of(ev.StreamWentSilent, ev.StreamRecovered)]
    for row in over:
        if isinstance(row, ev.StreamWentSilent):
            silent[row.symbol, row.stream] = row.ts_ns
        else:
            yield row.symbol, row.stream, silent.pop((row.symbol, row.stream), case.start_ns), row.ts_ns
    halted = {symbol for symbol, stream in silent if stream == TRADING}
    end_ns = case.rows[-1].ts_ns
    yield from ((*key, at_ns, end_ns) for key, at_ns in silent.items() if key[0] not in halted)


def _hold_ns(case: Case) -> int:
    last = next(
        (row for row in reversed(case.rows) if isinstance(row, ev.OrderRequested) and row.hold_ns), None
    )
    return last.hold_ns if last is not None else 0


def no_order_stays_open(case: Case) -> Iterator[str]:
    """All unknown orders are settled, and the account is flat after it was flattened."""
    open_ones: dict[int, str] = {}
    filled: Counter[int] = Counter()
    for row in case.rows:
        if isinstance(row, ev.OrderRequested):
            open_ones[row.order_id] = row.symbol
            filled[row.order_id] = -row.qty
        elif isinstance(row, ev.OrderFilled):
            filled[row.order_id] += row.qty
            if filled[row.order_id] >= 0:
                open_ones.pop(row.order_id, None)
        elif isinstance(row, ev.OrderExpired | ev.OrderRejected | ev.OrderUnsent):
            open_ones.pop(row.order_id, None)
    yield from (f"order {number} in {symbol} never ended" for number, symbol in open_ones.items())
    if case.world.hours * 3600 > 2 * LAST_SECONDS and (held := _Books(case).held):
        yield f"flattened, and still held: {held}"


def _at(case: Case, ts_ns: int) -> str:
    return f"{(ts_ns - case.start_ns) / SECOND_NS:.3f} s"


Oracle = Callable[[Case], Iterator[str]]
EVERYWHERE: tuple[Oracle, ...] = (
    replay_is_equal, nothing_is_violated, orders_fit_the_filters, no_order_twice, a_second_opinion_agrees,
    time_went_on,
)  # fmt: skip
PAPER_ONLY: tuple[Oracle, ...] = (the_judge_agrees, the_tape_tells_the_same)
AFTER_FAULTS: tuple[Oracle, ...] = (everything_comes_back, no_order_stays_open)
LIVE_ONLY: tuple[Oracle, ...] = (
    the_ledger_agrees, nothing_is_sent_twice, no_position_is_naked, our_orders_are_never_refused_for_filters,
    the_judge_agrees_on_the_books,
)  # fmt: skip
