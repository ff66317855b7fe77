"""Writes a tiny run by hand: tape, journal and ops journal of forty minutes, without the engine.

Rule: every figure is put together here from its definition, so that the judge is tested against something
that shares no code with it. A test changes `rows`, `ops` or `tape` before `write`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from flowguardian.execution import events as ev
from flowguardian.journal import ops_events as o
from flowguardian.market.instruments import Instrument
from flowguardian.market.tape import TapeWriter
from flowguardian.venue.matching import Quote, match_taker
from tests.unit.run_files import (
    CONFIG,
    HOST,
    MINUTE,
    MINUTES,
    MONO,
    ONE,
    SECOND,
    SLIPPAGE,
    START,
    SYMBOL,
    T0,
    TAKER,
    TICK,
    price_at,
    tape_rows,
    write_chain,
)


class Story:
    """The rows of the run, told in order; money is added up on the way."""

    def __init__(self, *, kind: str = "acceptance", config: dict[str, Any] | None = None) -> None:
        self.kind = kind
        self.config: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(config or CONFIG))
        self.tape = tape_rows()
        self.rows: list[ev.Row] = []
        self.ops: list[o.OpsRow] = []
        self.realised = self.fees = self.funding = 0
        self.side = self.qty = self.cost = 0
        self.life = [0, 0, 0]
        self.counts = dict.fromkeys(("signals", "requested", "entries", "caps", "refused", "closed"), 0)
        self.order_id = self.fill_id = 0
        self._tell()
        self._tell_ops()

    # ---- the journal

    def _tell(self) -> None:
        self.rows += [
            self.started(),
            ev.LimitShadowed(
                T0, "position_sizing.max_position_notional", 15_000 * ONE, "budget", 12_500 * ONE
            ),
            ev.InstrumentsSet(
                T0, (Instrument(SYMBOL, TICK, ONE // 1000, ONE // 1000, 100 * ONE, 100 * ONE),)
            ),
            ev.SegmentStarted(T0, 1, "first"),
            ev.WentLive(T0),
        ]
        self.enter(3 * 60, +1, ONE // 25)
        self.checkpoint(5 * 60, "M5")
        self.leave(8 * 60, ev.ExitReason.STOP)
        self.checkpoint(10 * 60, "M10")
        self.enter(20 * 60, -1, ONE // 10)
        self.refuse(25 * 60, ev.Reason.SYMBOL_COOLDOWN)
        self.checkpoint(30 * 60, "M30")
        self.leave(35 * 60, ev.ExitReason.TARGET1, ONE // 30 // 10**5 * 10**5)
        self.checkpoint(MINUTES * 60, "END")
        self.rows.append(ev.SegmentEnded(T0 + MINUTES * MINUTE + 3, 1, "completed"))

    def started(self) -> ev.RunStarted:
        """Row 1."""
        return ev.RunStarted(
            T0,
            "run-1",
            self.kind,
            "paper",
            "derived",
            msgspec.Raw(msgspec.json.encode(self.config)),
            "c" * 64,
            "t" * 64,
            "d" * 64,
            "0.1.0",
            7,
            (SYMBOL,),
            START,
            MINUTES * MINUTE,
        )

    @property
    def balance(self) -> int:
        """Start + realised − fees + funding."""
        return START + self.realised - self.fees + self.funding

    def marks(self, second: int) -> tuple[int, ...]:
        """The last price of what is held."""
        return (price_at(second),) if self.qty else ()

    def signal(self, second: int, side: int) -> ev.Signal:
        """A signal on the trade of a second."""
        self.counts["signals"] += 1
        price, ts = price_at(second), T0 + second * SECOND + 2
        row = ev.Signal(
            ts,
            SYMBOL,
            "scalping",
            side,
            "A",
            ts - MINUTE,
            ts,
            price,
            price - TICK,
            price + TICK,
            0,
            1,
            90 * ONE,
            162 * ONE,
            0,
            0,
            75.0,
            9.0,
            3.0,
            0.0,
            100,
            0,
            self.marks(second),
            START,
            START,
        )
        self.rows.append(row)
        return row

    def refuse(self, second: int, code: ev.Reason) -> None:
        """A signal that a guard refuses."""
        signal = self.signal(second, +1)
        self.counts["refused"] += 1
        self.rows.append(
            ev.EntryRefused(
                signal.ts_ns, SYMBOL, "scalping", 1, signal.bar_ns, code, 90.0, 30.0, "time", 0, ()
            )
        )

    def enter(self, second: int, side: int, qty: int) -> None:
        """A signal that becomes a capped entry, filled in the next second."""
        signal = self.signal(second, side)
        price = signal.ask if side > 0 else signal.bid
        limit = -(-price * (ONE + side * 100_000) // (ONE * TICK)) * TICK
        dear = max(limit, -(-price * (ONE + 100_000) // (ONE * TICK)) * TICK)
        reserved = -(-dear * qty // ONE) - (-dear * qty * TAKER // ONE**2)
        allocated = self.balance * 25_000_000 // ONE
        self.rows.append(
            ev.BudgetCapped(
                signal.ts_ns,
                SYMBOL,
                "scalping",
                side,
                self.balance,
                allocated,
                0,
                allocated,
                1,
                allocated * 2,
                allocated,
            )
        )
        self.counts["caps"] += 1
        self.counts["requested"] += 1
        self._request(signal.ts_ns, side, ev.Purpose.ENTRY, qty, limit, reserved, "A", signal.bar_ns)
        for fill in self._fills(second + 1, side, qty, limit):
            first = self.qty == 0
            self.side = side
            self.qty += fill.qty
            self.cost += fill.qty * fill.price
            self.rows.append(fill)
            if first:
                self.counts["entries"] += 1
                self.rows.append(
                    ev.PositionOpened(
                        fill.ts_ns,
                        SYMBOL,
                        "scalping",
                        side,
                        self.qty,
                        fill.price,
                        self.order_id,
                        1,
                        2,
                        0,
                        0,
                        0,
                    )
                )
            else:
                self.rows.append(
                    ev.PositionIncreased(fill.ts_ns, SYMBOL, self.qty, self.cost // self.qty, self.order_id)
                )

    def leave(self, second: int, reason: ev.ExitReason, qty: int = 0) -> None:
        """An exit, of everything or of `qty`."""
        qty = qty or self.qty
        ts = T0 + second * SECOND + 2
        self.rows.append(ev.ExitTriggered(ts, SYMBOL, reason, price_at(second), price_at(second)))
        self._request(ts, -self.side, ev.Purpose.EXIT, qty, 0, 0, reason.value, 0)
        for fill in self._fills(second + 1, -self.side, qty, 0):
            self.rows.append(fill)
            self._reduce(fill, reason)

    def _reduce(self, fill: ev.OrderFilled, reason: ev.ExitReason) -> None:
        cost = self.cost if fill.qty == self.qty else self.cost * fill.qty // self.qty
        realised = self.side * (fill.price * fill.qty - cost) // ONE
        self.qty, self.cost = self.qty - fill.qty, self.cost - cost
        self.realised += realised
        self.life[0] += realised
        if self.qty:
            self.rows.append(
                ev.PositionReduced(fill.ts_ns, SYMBOL, fill.qty, self.qty, realised, self.order_id, reason)
            )
            return
        self.counts["closed"] += 1
        self.rows.append(
            ev.PositionClosed(
                ts_ns=fill.ts_ns,
                symbol=SYMBOL,
                strategy="scalping",
                side=self.side,
                opened_ns=fill.ts_ns,
                realised=self.life[0],
                fees=self.life[1],
                funding=self.life[2],
                reason=reason,
            )
        )
        self.life = [0, 0, 0]

    def _request(
        self,
        ts: int,
        side: int,
        purpose: ev.Purpose,
        qty: int,
        limit: int,
        reserved: int,
        reason: str,
        bar: int,
    ) -> None:
        self.order_id += 1
        bound = "budget" if reserved else "position"
        self.rows.append(
            ev.OrderRequested(
                ts,
                self.order_id,
                SYMBOL,
                "scalping",
                side,
                purpose,
                qty,
                limit,
                reserved,
                reason,
                bound,
                bar,
                90 * ONE,
                162 * ONE,
                0,
                0,
                0,
                START,
                (),
            )
        )

    def _fills(self, second: int, side: int, qty: int, limit: int) -> list[ev.OrderFilled]:
        price, ts = price_at(second), T0 + second * SECOND + 1
        quote = Quote(price_at(second - 1), price - TICK, 5 * ONE, price + TICK, ONE // 20)
        parts = match_taker(side=side, qty=qty, limit_price=limit, quote=quote, slippage=SLIPPAGE, tick=TICK)
        fills = []
        for part in parts:
            self.fill_id += 1
            fee = -(-part.qty * part.price * TAKER // ONE**2)
            self.fees += fee
            self.life[1] += fee
            fills.append(
                ev.OrderFilled(ts, self.order_id, self.fill_id, SYMBOL, side, part.qty, part.price, fee)
            )
        return fills

    def checkpoint(self, second: int, name: str) -> None:
        """A timer and the account the run gives of itself."""
        ts, marks, c = T0 + second * SECOND + 3, self.marks(second), self.counts
        unrealised = self.side * (self.qty * price_at(second) - self.cost) // ONE if self.qty else 0
        used = -(-self.cost // ONE)
        allocated = self.balance * 25_000_000 // ONE
        self.rows.append(ev.TimerFired(ts, name, second * SECOND, marks, START, START))
        attempts = c["requested"] + c["refused"]
        guards = (
            ev.GuardCount(
                ev.Reason.SYMBOL_COOLDOWN, True, attempts, attempts - c["refused"], 0, c["refused"], 0, 0, 0
            ),
            ev.GuardCount(
                ev.Reason.PORTFOLIO_BUDGET,
                True,
                c["requested"],
                c["requested"] - c["caps"],
                c["caps"],
                0,
                0,
                0,
                0,
            ),
        )
        self.rows.append(
            ev.CheckpointTaken(
                ts,
                name,
                second * SECOND,
                c["signals"],
                c["entries"],
                c["caps"],
                0,
                c["refused"],
                c["closed"],
                1 if self.qty else 0,
                self.balance + unrealised,
                self.balance,
                self.realised,
                self.fees,
                self.funding,
                unrealised,
                START,
                0,
                used,
                (ev.BudgetLine("scalping", allocated, used, 0, allocated - used),),
                guards,
                ev.TradingState.ACTIVE,
                "s" * 64,
            )
        )

    # ---- the ops journal

    def _tell_ops(self) -> None:
        end = MINUTES * MINUTE
        self.ops += [
            o.PreflightChecked(HOST, "disk", "ok", "120 GB free", ""),
            o.PreflightChecked(
                HOST, "logs", "fixed", "2 files moved", "never shown", "파일 2개 옮김", "안 보임"
            ),
            o.PreflightChecked(HOST, "clock", "warn", "600 ms off", "Set it.", "600 ms 다름", "맞추십시오."),
            o.ProcessStarted(HOST, "engine", 4711, 1.0),
            o.SegmentOpened(HOST, 1, "boot-a", MONO, T0, 4711, "first start"),
        ]
        for minute in range(1, MINUTES):
            at = minute * MINUTE
            self.ops.append(
                o.HostSampled(
                    HOST + at,
                    1,
                    MONO + at,
                    T0 + at,
                    180_000_000 + minute * 10_000,
                    minute * 0.2,
                    40,
                    8,
                    0.3,
                    2.0,
                    10_000 * minute,
                    90_000 * minute,
                    500,
                )
            )
        self.ops += [
            o.SegmentClosed(HOST + end, 1, "boot-a", MONO + end, T0 + end, "finished"),
            o.ProcessExited(HOST + end, "engine", 4711, 0, "finished", False, False),
            o.RunFinished(HOST + end, "completed"),
        ]

    # ---- changes and writing

    def change(self, kind: type[ev.Row], nth: int, **fields: Any) -> int:
        """Replace fields of the nth row of a kind; returns its seq."""
        at = [i for i, row in enumerate(self.rows) if type(row) is kind][nth]
        self.rows[at] = msgspec.structs.replace(self.rows[at], **fields)
        return at + 1

    def write(self, run_dir: Path) -> Path:
        """Write the run directory."""
        run_dir.mkdir(parents=True, exist_ok=True)
        tape = TapeWriter(run_dir / "tape")
        for block in np.array_split(self.tape, 5):
            tape.append(block)
        tape.close()
        write_chain(run_dir / "journal.db", self.rows, ev.encode)
        write_chain(run_dir / "ops.db", self.ops, o.encode_ops)
        return run_dir
