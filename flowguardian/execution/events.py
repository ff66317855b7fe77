"""Every row a journal can hold: facts (what came from outside) and decisions (what the engine concluded).

Rule: a row is past tense, complete, and the only way state changes: `fold(rows)` is the engine's state.
Amounts are integers in 1e-8 units, times run-clock nanoseconds (UTC), sides +1 (long, buy), -1 (short, sell).
Exogenous facts are read back by a replay; derived facts follow from the tape and must be reproduced by it.
"""

from __future__ import annotations

import msgspec

from flowguardian.execution.codes import (
    Command,
    ExitReason,
    Purpose,
    Reason,
    TradingState,
)
from flowguardian.market.instruments import Instrument


class Row(msgspec.Struct, frozen=True, gc=False):
    """A row: `ts_ns` is the stamp of the fact it belongs to."""

    ts_ns: int


# ---- facts, exogenous: read back by a replay -------------------------------------------------------


LIVE, SHADOW = "live", "shadow"
"""The modes of a run whose orders go to a venue, and of one that would send them and does not."""
OF_AN_ACCOUNT = (LIVE, SHADOW)
"""Modes in which the venue's word on orders and positions is a fact."""


class RunStarted(Row, frozen=True, gc=False):
    """Row 1: what this run is; `config` is the effective configuration as JSON."""

    run_id: str
    kind: str
    mode: str
    feed: str
    config: msgspec.Raw
    config_hash: str
    trading_hash: str
    code_hash: str
    version: str
    seed: int
    symbols: tuple[str, ...]
    start_equity: int
    planned_ns: int


class InstrumentsSet(Row, frozen=True, gc=False):
    """The venue's filters of every symbol, from now on."""

    instruments: tuple[Instrument, ...]


class SegmentStarted(Row, frozen=True, gc=False):
    """A process lifetime of the run began."""

    segment: int
    reason: str


class SegmentEnded(Row, frozen=True, gc=False):
    """A process lifetime of the run ended in order (a crash leaves no such row)."""

    segment: int
    reason: str


class WentLive(Row, frozen=True, gc=False):
    """History ended; from here on signals are facts. Before it nothing is decided."""


class FeedGap(Row, frozen=True, gc=False):
    """Market records of a symbol are missing for good; its state is degraded until warm again."""

    symbol: str
    from_ns: int
    to_ns: int
    lost: int


class StreamWentSilent(Row, frozen=True, gc=False):
    """A stream of a symbol has brought nothing new since `since_ns`, longer than `limit_ns`."""

    symbol: str
    stream: str
    since_ns: int
    limit_ns: int


class StreamRecovered(Row, frozen=True, gc=False):
    """A silent stream brings something new again, after `silent_ns`."""

    symbol: str
    stream: str
    silent_ns: int


class ClockMeasured(Row, frozen=True, gc=False):
    """The venue's clock was asked again: by how much it moved against the run clock."""

    skew_ns: int


class CommandReceived(Row, frozen=True, gc=False):
    """An operator asked for something."""

    command_id: int
    command: Command
    by: str


class OrderRejected(Row, frozen=True, gc=False):
    """The venue refused an order."""

    order_id: int
    symbol: str
    code: int
    message: str


class OrderUnknown(Row, frozen=True, gc=False):
    """Sent, outcome not known: the reservation stays until the venue proves otherwise."""

    order_id: int
    symbol: str


class OrderUnsent(Row, frozen=True, gc=False):
    """Requested but too old to send: never left this process."""

    order_id: int
    symbol: str


class StopConfirmed(Row, frozen=True, gc=False):
    """Live: a stop that only reduces rests at the venue for a position."""

    symbol: str
    qty: int
    price: int
    client_id: str


class PositionNaked(Row, frozen=True, gc=False):
    """Live: no stop has rested at the venue for an open position since `since_ns`, longer than allowed."""

    symbol: str
    since_ns: int
    why: str


class AccountReconciled(Row, frozen=True, gc=False):
    """Live: what the venue holds was compared with the books; `difference` is "" when they agree.

    `wallet` is the venue's, `balance` what the books make it. Written at the start, when the outcome changes,
    and now and then as evidence.
    """

    wallet: int
    balance: int
    positions: int
    difference: str


# ---- facts, derived: reproduced from the tape ------------------------------------------------------


class Signal(Row, frozen=True, gc=False):
    """A bar closed and its strategy signalled; everything the guards look at is in it.

    `marks` are the last prices of the open positions, in the portfolio's order. Ages are -1 without data.
    """

    symbol: str
    strategy: str
    side: int
    pattern: str
    bar_ns: int
    bar_end_ns: int
    price: int
    bid: int
    ask: int
    trade_age_ns: int
    top_age_ns: int
    stop_distance: int
    target1_distance: int
    target2_distance: int
    trail_distance: int
    atr: float
    volume: float
    volume_mean: float
    move: float
    bars_seen: int
    clock_skew_ns: int
    marks: tuple[int, ...]
    peak_equity: int
    day_start_equity: int


class ExitTriggered(Row, frozen=True, gc=False):
    """A row of the market hit a level of a position, or its time was up."""

    symbol: str
    reason: ExitReason
    price: int
    level: int


class OrderFilled(Row, frozen=True, gc=False):
    """A fill; `side` is the order's. A fill always lands, whatever state the order is in."""

    order_id: int
    fill_id: int
    symbol: str
    side: int
    qty: int
    price: int
    fee: int


class OrderExpired(Row, frozen=True, gc=False):
    """The venue closed an order with something unfilled; `filled` is what was filled in all."""

    order_id: int
    symbol: str
    filled: int


class FundingSettled(Row, frozen=True, gc=False):
    """Funding of an open position: `amount` > 0 was received, < 0 was paid."""

    symbol: str
    rate: int
    mark: int
    amount: int


class Liquidated(Row, frozen=True, gc=False):
    """The venue closed a position because equity no longer covered the maintenance margin."""

    symbol: str
    qty: int
    price: int
    fee: int

    def closes_as(self) -> ExitReason:
        """Why the position was reduced or closed."""
        return ExitReason.LIQUIDATION


class ClosedByVenue(Liquidated, frozen=True, gc=False):
    """Live: a fill that no order of the engine asked for reduced a position.

    Its stop at the venue, a liquidation, auto-deleveraging, a settlement, or somebody else on the account.
    """

    fill_id: int
    reason: ExitReason

    def closes_as(self) -> ExitReason:
        return self.reason


class TimerFired(Row, frozen=True, gc=False):
    """A checkpoint is due: `name` is M5, H12, ... or E<minutes> for the evidence in between."""

    name: str
    run_ns: int
    marks: tuple[int, ...]
    peak_equity: int
    day_start_equity: int


# ---- decisions -------------------------------------------------------------------------------------


class EntryRefused(Row, frozen=True, gc=False):
    """An attempt ended without an order: which guard, its limit, the value, and what releases it."""

    symbol: str
    strategy: str
    side: int
    bar_ns: int
    code: Reason
    limit: float
    value: float
    release: str
    release_ns: int
    shadow: tuple[Reason, ...]


class EntryReduced(Row, frozen=True, gc=False):
    """An exposure limit left less room than wanted."""

    symbol: str
    strategy: str
    side: int
    code: Reason
    wanted: int
    room: int


class BudgetCapped(Row, frozen=True, gc=False):
    """The strategy's budget left less room than wanted; the arithmetic, in full."""

    symbol: str
    strategy: str
    side: int
    basis: int
    allocated: int
    used: int
    available: int
    slots: int
    wanted: int
    cap: int


class FlipPlanned(Row, frozen=True, gc=False):
    """An opposite signal closes the position first and enters after the close has filled."""

    symbol: str
    strategy: str
    side: int
    bar_ns: int


class OrderRequested(Row, frozen=True, gc=False):
    """An order to send.

    Entries are IOC limits at `limit_price` and reserve `reserved`; exits are market orders (`limit_price` 0)
    that only reduce. `bound` names what set the size of an entry.
    """

    order_id: int
    symbol: str
    strategy: str
    side: int
    purpose: Purpose
    qty: int
    limit_price: int
    reserved: int
    reason: str
    bound: str
    bar_ns: int
    stop_distance: int
    target1_distance: int
    target2_distance: int
    trail_distance: int
    hold_ns: int
    equity: int
    shadow: tuple[Reason, ...]


class PositionOpened(Row, frozen=True, gc=False):
    """The first fill of an entry made a position; the levels its exits watch (0 = none)."""

    symbol: str
    strategy: str
    side: int
    qty: int
    price: int
    order_id: int
    stop: int
    target1: int
    target2: int
    trail_distance: int
    expiry_ns: int


class PositionIncreased(Row, frozen=True, gc=False):
    """A later fill or an add made the position larger; `qty` is the new total."""

    symbol: str
    qty: int
    price: int
    order_id: int


class PositionReduced(Row, frozen=True, gc=False):
    """Part of a position was closed; `realised` is before fees, `qty` what is left."""

    symbol: str
    closed: int
    qty: int
    realised: int
    order_id: int
    reason: ExitReason


class PositionClosed(Row, frozen=True, gc=False):
    """A position is flat: totals over its life; `realised` is before `fees` (of both ends) and `funding`."""

    symbol: str
    strategy: str
    side: int
    opened_ns: int
    realised: int
    fees: int
    funding: int
    reason: ExitReason


class GuardCount(msgspec.Struct, frozen=True, gc=False):
    """One step of the entry funnel; `shadow` counts what a disabled guard would have refused."""

    code: Reason
    enabled: bool
    evaluated: int
    allowed: int
    reduced: int
    refused: int
    shadow: int
    first_ns: int
    last_ns: int


class BudgetLine(msgspec.Struct, frozen=True, gc=False):
    """The budget of one strategy at one moment."""

    strategy: str
    allocated: int
    used: int
    reserved: int
    available: int


class CheckpointTaken(Row, frozen=True, gc=False):
    """The engine's own account of itself at a timer; `state_hash` is of the state before this row."""

    name: str
    run_ns: int
    signals: int
    entries: int
    budget_caps: int
    budget_blocks: int
    check_blocks: int
    closed: int
    open_positions: int
    equity: int
    balance: int
    realised: int
    fees: int
    funding: int
    unrealised: int
    peak_equity: int
    ledger_difference: int
    exposure: int
    budget: tuple[BudgetLine, ...]
    guards: tuple[GuardCount, ...]
    trading_state: TradingState
    state_hash: str


class GuardStarvation(Row, frozen=True, gc=False):
    """Signals came and none became an entry for the starvation window; `guard` refused the most."""

    guard: Reason
    since_ns: int
    signals: int
    refusals: int
    release: str


class BudgetOver(Row, frozen=True, gc=False):
    """Losses, fees or funding shrank a strategy's budget below what it uses: legal, entries refused."""

    strategy: str
    allocated: int
    used: int


class LimitShadowed(Row, frozen=True, gc=False):
    """A configured limit can never bind because another is tighter."""

    limit: str
    value: int
    by: str
    effective: int


class TradingStateChanged(Row, frozen=True, gc=False):
    """Entries were switched on or off."""

    state: TradingState
    reason: str


class InvariantViolated(Row, frozen=True, gc=False):
    """A rule that must always hold did not: entries stop, the run fails."""

    invariant: str
    message: str


EXOGENOUS: tuple[type[Row], ...] = (
    RunStarted,
    InstrumentsSet,
    SegmentStarted,
    SegmentEnded,
    WentLive,
    FeedGap,
    StreamWentSilent,
    StreamRecovered,
    ClockMeasured,
    CommandReceived,
    OrderRejected,
    OrderUnknown,
    OrderUnsent,
    ClosedByVenue,
    StopConfirmed,
    PositionNaked,
    AccountReconciled,
)
DERIVED: tuple[type[Row], ...] = (
    Signal,
    ExitTriggered,
    OrderFilled,
    OrderExpired,
    FundingSettled,
    Liquidated,
    TimerFired,
)
FROM_VENUE: tuple[type[Row], ...] = (OrderFilled, OrderExpired, FundingSettled)
"""What the tape gives in paper comes from the venue in a live run: there these are exogenous too."""
DECISIONS: tuple[type[Row], ...] = (
    EntryRefused,
    EntryReduced,
    BudgetCapped,
    FlipPlanned,
    OrderRequested,
    PositionOpened,
    PositionIncreased,
    PositionReduced,
    PositionClosed,
    CheckpointTaken,
    GuardStarvation,
    BudgetOver,
    LimitShadowed,
    TradingStateChanged,
    InvariantViolated,
)
KINDS: dict[str, type[Row]] = {cls.__name__: cls for cls in (*EXOGENOUS, *DERIVED, *DECISIONS)}

_ENCODER = msgspec.json.Encoder()
_DECODERS = {kind: msgspec.json.Decoder(cls) for kind, cls in KINDS.items()}


class UnknownRow(ValueError):
    """A journal holds a kind of row this version does not know."""


def encode(row: Row) -> bytes:
    """The body of a row as JSON, fields in declared order: equal rows are equal bytes."""
    return _ENCODER.encode(row)


def decode(kind: str, body: bytes) -> Row:
    """The row of a journal record; raises UnknownRow or msgspec.ValidationError."""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise UnknownRow(f"unknown row kind {kind!r}: the journal was written by a newer version")
    return decoder.decode(body)
