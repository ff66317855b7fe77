"""The settings of a run beside its trading: time, market, process, acceptance.

Rule: criteria are data, fixed before the run; a criterion's description says why its number is what it is.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

from pydantic import field_validator
from pydantic_core import PydanticCustomError

from flowguardian.ops.settings_types import Block, Number, Pair, number, option

DurationMode = Literal["wall_clock", "market_time"]
Language = Literal["ko", "en", "auto"]
VenueName = Literal["local", "binance", "binance-testnet", "direct"]
EXCHANGES = ("binance", "binance-testnet")
"""Venues whose market is not ours to choose."""
SUFFIXES = (".parquet", ".csv", ".csv.gz")


class Paper(Block):
    duration_hours: Number = number("12", "Run time until the verdict.", "h", gt=0, le=8784)
    duration_mode: DurationMode = option(
        "wall_clock", "wall_clock counts real hours, market_time the hours of the market."
    )
    clean_start: bool = option(True, "Back up and empty this project's logs when a run first starts.")


class Market(Block):
    venue: VenueName | None = option(
        None,
        "Where market data arrives from: local (a venue of our own over `source`, by WebSocket), binance or "
        "binance-testnet (public data of the exchange), direct (`source` is read without sockets). null: "
        "`accept` takes local, `paper` wants one named.",
    )
    source: str = option(
        "synthetic:1", "synthetic:SEED, bars:PATH, trades:PATH, or a path known by its columns."
    )
    start: str | None = option(
        None, "First moment of the run in the market, as 2025-05-21T13:50Z; null = as early as possible."
    )
    speed: Number | Literal["max"] = option(
        Decimal(1), "Market time per real time; max = as fast as it will go.", "×"
    )
    expand: Literal["prints", "path"] = option(
        "prints", "How bars become trades: a seeded path of prints with tops, or four trades and no tops."
    )
    prints_per_minute: int = option(60, "Trades made of one minute of a bar.", "1/min", ge=4, le=60_000)
    tops_per_minute: int = option(
        60, "Bid and ask updates made per minute; 0 = none.", "1/min", ge=0, le=60_000
    )
    spread_bps: Number = number("1", "Modelled spread between bid and ask.", "bps", gt=0, le=1000)
    top_share: Number = number(
        "0.25", "Largest size of a modelled bid or ask, as a share of the bar's volume.", "ratio", gt=0, le=1
    )
    history_bars: int = option(
        200, "Closed bars that warm the indicators; they never trade.", "bars", ge=0, le=100_000
    )
    clock_interval_seconds: int = option(1, "Market time between two clock rows.", "s", ge=1, le=3600)
    close_grace_seconds: int = option(
        1, "A bar without a later trade closes this long after its end.", "s", ge=0, le=60
    )
    equity_interval_seconds: int = option(
        60, "Market time between two samples of equity.", "s", ge=1, le=3600
    )
    funding: bool = option(True, "Settle funding every 8 hours.")

    @field_validator("source")
    @classmethod
    def _source(cls, value: str) -> str:
        kind, colon, rest = value.partition(":")
        synthetic = kind == "synthetic" and rest.isdecimal()
        named = kind in ("bars", "trades") and bool(rest)
        path = not colon or kind not in ("synthetic", "bars", "trades")
        if synthetic or named or (path and value.lower().endswith(SUFFIXES)):
            return value
        raise PydanticCustomError(
            "source", "expected synthetic:SEED, bars:PATH, trades:PATH or a .parquet or .csv path"
        )

    @field_validator("start")
    @classmethod
    def _start(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                moment = datetime.fromisoformat(value)
            except ValueError as error:
                raise PydanticCustomError("start", "expected a time like 2025-05-21T13:50Z") from error
            if moment.tzinfo is None:
                raise PydanticCustomError("start", "expected a time with its zone, like 2025-05-21T13:50Z")
        return value

    @field_validator("speed")
    @classmethod
    def _speed(cls, value: Number | str) -> Number | str:
        if value != "max" and not 0 < value <= 1_000_000:  # type: ignore[operator]
            raise PydanticCustomError("speed", "expected max or a number > 0 and ≤ 1000000")
        return value

    @property
    def start_ns(self) -> int | None:
        """`start` as UTC nanoseconds."""
        if self.start is None:
            return None
        passed = datetime.fromisoformat(self.start) - datetime(1970, 1, 1, tzinfo=UTC)
        return ((passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds) * 1_000


class Run(Block):
    directory: str = option("runs", "Folder of the run folders.")
    seed: int = option(1, "Seed of everything drawn by chance: bridge, latency, funding.", "", ge=0, le=2**62)
    checkpoint_interval_minutes: int = option(
        5, "Run time between two checkpoints of evidence.", "min", ge=1, le=720
    )
    heartbeat_seconds: Number = number("1", "Real time between two heartbeats of the loop.", "s", gt=0, le=60)
    hang_timeout_seconds: Number = number(
        "30", "Without a heartbeat for this long the engine is restarted.", "s", gt=0
    )
    restart_delay_seconds: Number = number(
        "1", "Wait before the first restart; doubles up to 30 s.", "s", ge=0, le=30
    )
    max_restarts: int = option(
        50, "Restarts in a row, without progress between them, before a run is given up.", "restarts",
        ge=0, le=10_000,
    )  # fmt: skip
    min_free_disk_mb: int = option(1000, "Preflight is red with less free disk.", "MB", ge=0)
    keep_awake: bool = option(True, "Ask the system not to sleep while a run lasts.")
    language: Language = option("auto", "Language of messages; auto = that of the system.")


class Acceptance(Block):
    min_run_hours: Number = number("12", "Run time that was live and fresh; restarts add up.", "h", ge=0)
    max_planned_stops: int = option(
        8, "Planned stops of an acceptance run; run time adds up over its segments.", "stops", ge=0
    )
    min_longest_segment_hours: Number = number(
        "2", "Run time of the longest segment of an acceptance run: a leak needs time to show.", "h", ge=0
    )
    min_entries: int = option(
        100, "Entries; fewer fail, or in a quiet market leave it open.", "entries", ge=0
    )
    min_budget_caps: int = option(
        1, "Times the budget cut an entry: proof that the cap was at work.", "caps", ge=0
    )
    max_budget_block_pct: Number = number(
        "30",
        "Portfolio Budget BLOCK % from which on a run fails. The earlier system had 31.1 %.",
        "%",
        gt=0,
        le=100,
    )
    ideal_budget_block_pct: Pair = option(
        (Decimal(10), Decimal(20)),
        "Portfolio Budget BLOCK % that is ideal; below is explained, never failed.",
        "%",
    )
    max_refusal_streak: int = option(
        60, "Refusals in a row in one symbol without an entry between them. A bar gives at most one attempt, "
        "so 60 is a whole hour of 1-minute bars, or a night at the 5.4 signals per hour that scalping V6.1 "
        "gave in 52 recorded days.", "refusals", ge=1,
    )  # fmt: skip
    max_refusals_per_hour_per_symbol: Number = number(
        "45", "Most refusals of one symbol in an hour. 60 would be one at every 1-minute bar; at three bars "
        "out of four a strategy no longer picks, it hammers. Scalping V6.1 signalled 23 times at most.",
        "1/h", gt=0,
    )  # fmt: skip
    max_errors: int = option(
        0, "Incidents of severity ERROR or worse, of any process of the run.", "rows", ge=0
    )
    max_abnormal_ends: int = option(
        0, "Ends of a process that were neither planned nor announced.", "ends", ge=0
    )
    max_starvation: int = option(0, "GuardStarvation rows.", "rows", ge=0)
    max_ledger_difference: Number = number(
        "0", "Between books and fills at any checkpoint; exact.", "USDT", ge=0
    )
    require_replay_identical: bool = option(True, "Deciding again from the tape must give the same rows.")
    equity_collapse_pct: Number = number(
        "25", "Loss of start equity that is an abnormal sign.", "%", gt=0, le=100
    )
    quiet_atr_pct: Number = number(
        "0.02", "Mean 1-minute ATR in % of the price, over all symbols, below which a market is quiet. In 52 "
        "recorded days of seven symbols (May and June 2025) the calmest 12 hours had 0.049, the median "
        "0.104: 0.02 is a market that hardly moves, not a slow day.", "%", ge=0,
    )  # fmt: skip

    @field_validator("ideal_budget_block_pct")
    @classmethod
    def _ordered(cls, value: tuple[Number, Number]) -> tuple[Number, Number]:
        if not 0 <= value[0] <= value[1] <= 100:
            raise PydanticCustomError("order", "expected two percentages, the smaller one first")
        return value
