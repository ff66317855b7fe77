"""The local venue of a run, as a child of its supervisor: our own venue over the market of the manifest.

Rule: it knows the market and nothing of the run's decisions; its first line on stdout are its addresses. It
gives keys to a live run alone.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
from pathlib import Path

import msgspec

from flowguardian.execution.events import OF_AN_ACCOUNT
from flowguardian.execution.money import units
from flowguardian.feeds.markets import Market
from flowguardian.ops.assembly import HOUR_NS, configured_market
from flowguardian.ops.loading import settings_from
from flowguardian.ops.log import configure_logging
from flowguardian.ops.manifest import Manifest, read_manifest
from flowguardian.ops.platform_process import die_with_parent
from flowguardian.ops.settings import Settings
from flowguardian.venue.place import Keeper
from flowguardian.venue.server import Terms, VenueServer, serve
from flowguardian.venue.signing import Keys
from flowguardian.venue.trading import Fees
from flowguardian.venue.trading_log import LEDGER_FILE

PLACE_FILE = "venue-place.json"
"""Where the market stood at a planned stop."""
SPARE_HOURS = 24.0
"""A synthetic market goes on this much longer than the run is planned: outages move the end."""


def market_of(settings: Settings, manifest: Manifest) -> Market:
    """The market of the run to the end of its recording, which may be later than the planned end."""
    hours: float | None = None
    if manifest.market.startswith("synthetic:"):
        # A market that waits for the engine ends with the run; one with a clock has to outlast its outages.
        hours = manifest.planned_ns / HOUR_NS + (SPARE_HOURS if manifest.speed else 0.0)
    return configured_market(
        settings, manifest.market, start_ns=manifest.start_ns, hours=hours, seed=manifest.seed
    )


def terms_of(settings: Settings, manifest: Manifest, run_dir: Path) -> Terms:
    """The account that a live run trades on: its equity and fees, keys of its ledger or new ones."""
    return Terms(
        keys=Keys(secrets.token_hex(32), secrets.token_hex(32)),
        balance=manifest.start_equity or units(settings.account.equity),
        fees=Fees(maker=units(settings.fees.maker), taker=units(settings.fees.taker)),
        leverage=settings.execution.leverage,
        slippage=units(settings.execution.slippage),
        ledger=run_dir / LEDGER_FILE,
    )


def main(run_dir: Path, port: int) -> int:
    """Serve until a signal or the end of the parent; a live run finds an account to trade on."""
    die_with_parent()
    manifest = read_manifest(run_dir)
    configure_logging("venue", run_dir / "logs", run_id=manifest.run_id, console_level="WARNING")
    settings = settings_from(msgspec.json.decode(manifest.config))
    venue = VenueServer(
        market_of(settings, manifest),
        speed=manifest.speed,
        has_funding=settings.market.funding and manifest.market.startswith("synthetic:"),
        keeper=Keeper(run_dir / PLACE_FILE),
        waits=True,
        # A paper run signs nothing: its venue has no keys to give.
        terms=terms_of(settings, manifest, run_dir) if manifest.mode in OF_AN_ACCOUNT else None,
    )
    asyncio.run(serve(venue, host="127.0.0.1", port=port))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--port", type=int, default=0)
    known = parser.parse_args()
    sys.exit(main(known.run_dir, known.port))
