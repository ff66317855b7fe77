"""`venue`: a Binance USD-M exchange of our own over a market that already exists.

Rule: the one line it prints on stdout are its addresses; everything else it has to say goes to stderr.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowguardian.cli import output

if TYPE_CHECKING:
    from flowguardian.venue.faults import Plan

FaultsOption = Annotated[
    Path | None, typer.Option(help="A fault plan (JSON).", show_default=False, exists=True, dir_okay=False)
]
FundingOption = Annotated[
    Path | None, typer.Option(help="Funding rates for bars.", show_default=False, exists=True)
]
PlaceOption = Annotated[
    Path | None,
    typer.Option(
        help="File that keeps the market time over a stop; the account lies beside it.", show_default=False
    ),
]


def venue(
    market: Annotated[
        str,
        typer.Option(help="synthetic:SEED, bars:PATH, trades:PATH, frames:PATH[,PATH…] or tape:RUN."),
    ],
    start: Annotated[
        str, typer.Option(help="First moment of the market, UTC, as in 2025-05-21T13:50.", show_default=False)
    ] = "",
    hours: Annotated[
        float | None, typer.Option(help="Length of the market; without it, to its end.", show_default=False)
    ] = None,
    speed: Annotated[
        str, typer.Option(help="Market seconds per second, or max; other than 1 allows lock-step.")
    ] = "1",
    port: Annotated[int, typer.Option(help="TCP port; 0 = any free one.", min=0, max=65535)] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    symbols: Annotated[
        str, typer.Option(help="Symbols with commas between them; synthetic markets need them.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Seed of what is derived from bars.", min=0)] = 0,
    history_bars: Annotated[int, typer.Option(help="Bars of history before the start.", min=0)] = 240,
    faults: FaultsOption = None,
    funding: FundingOption = None,
    prints_per_minute: Annotated[int, typer.Option(help="Derived trades per minute and symbol.", min=1)] = 60,
    tops_per_minute: Annotated[int, typer.Option(help="Derived quotes per minute and symbol.", min=0)] = 60,
    place: PlaceOption = None,
    balance: Annotated[str, typer.Option(help="USDT in the account that trades here.")] = "10000",
    maker_fee_bps: Annotated[str, typer.Option(help="Fee of a resting order.")] = "2",
    taker_fee_bps: Annotated[str, typer.Option(help="Fee of an order that takes.")] = "5",
    leverage: Annotated[int, typer.Option(help="Leverage of every symbol at first.", min=1, max=125)] = 20,
    slippage_bps: Annotated[
        str,
        typer.Option(help="Takers meet the paper broker's fill rule: one level this far behind the touch."),
    ] = "",
    wait: Annotated[bool, typer.Option(help="Stand still until a client resumes the market.")] = False,
) -> int:
    """Serve a market as a Binance USD-M exchange would, on one local port."""
    import asyncio
    import secrets

    from flowguardian.venue.opening import open_venue_market
    from flowguardian.venue.place import Keeper
    from flowguardian.venue.server import Terms, VenueServer, serve
    from flowguardian.venue.signing import Keys
    from flowguardian.venue.trading import Fees
    from flowguardian.venue.trading_log import LEDGER_FILE, LedgerUnusable

    opened = open_venue_market(
        market,
        [name.strip().upper() for name in symbols.split(",") if name.strip()] or None,
        start_ns=_moment(start),
        hours=hours,
        history_bars=history_bars,
        seed=seed,
        prints_per_minute=prints_per_minute,
        tops_per_minute=tops_per_minute,
        funding=funding,
    )
    terms = Terms(
        keys=Keys(secrets.token_hex(32), secrets.token_hex(32)),
        balance=_amount(balance, "--balance"),
        leverage=leverage,
        fees=Fees(_rate(maker_fee_bps, "--maker-fee-bps"), _rate(taker_fee_bps, "--taker-fee-bps")),
        slippage=_rate(slippage_bps, "--slippage-bps") if slippage_bps else None,
        ledger=None if place is None else place.with_name(LEDGER_FILE),
    )
    try:
        server = VenueServer(
            opened.market,
            speed=_speed(speed),
            plan=_plan(faults),
            has_funding=opened.has_funding,
            keeper=Keeper(place),
            waits=wait,
            terms=terms,
        )
    except LedgerUnusable as error:
        raise output.CliError(str(error), where=str(terms.ledger), fix="give another --place") from error
    asyncio.run(serve(server, host=host, port=port))
    return output.EXIT_OK


def _amount(said: str, where: str) -> int:
    """A decimal amount in units of 1e-8."""
    from flowguardian.market.records import UNITS

    try:
        found = Decimal(said) * UNITS
    except InvalidOperation as error:
        raise output.CliError(f"{said!r} is no amount", where=where, fix="write it like 10000") from error
    if not found.is_finite() or found < 0 or found != int(found):
        raise output.CliError(f"{said!r} is no amount", where=where, fix="give 0 or more, to 1e-8")
    return int(found)


def _rate(said: str, where: str) -> int:
    """Basis points as a rate in units of 1e-8."""
    return _amount(said, where) // 10_000


def _speed(said: str) -> float:
    from flowguardian.venue.pacing import MAX_SPEED

    if said == "max":
        return MAX_SPEED
    try:
        speed = float(said)
    except ValueError:
        speed = 0.0
    if not 0.0 < speed < 1e6:
        raise output.CliError(f"{said!r} is no speed", where="--speed", fix="give a number above 0, or max")
    return speed


def _moment(said: str) -> int | None:
    if not said:
        return None
    try:
        moment = datetime.fromisoformat(said)
    except ValueError as error:
        raise output.CliError(
            f"{said!r} is no moment", where="--start", fix="write it like 2025-05-21T13:50"
        ) from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return round(moment.timestamp()) * 1_000_000_000


def _plan(path: Path | None) -> Plan | None:
    from flowguardian.venue.faults import FaultPlanError, plan_of

    if path is None:
        return None
    try:
        return plan_of(path.read_bytes())
    except FaultPlanError as error:
        raise output.CliError(str(error), where=str(path), fix="correct the plan") from error
