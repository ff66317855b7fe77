"""What a run was started with, beside its configuration: written once, read by each of its processes.

Rule: a resume reads it and changes nothing; the journal's first row repeats what decisions depend on.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

MANIFEST = "run.json"


_FILE_KINDS = ("bars", "trades")


class ManifestError(Exception):
    """A run directory cannot be used."""


class Manifest(msgspec.Struct, frozen=True):
    """The plan of a run; `speed` 0 is as fast as it will go, `planned_ns` is run time."""

    run_id: str
    kind: str
    """acceptance, rehearsal, paper"""
    market: str
    """What a market file or the synthetic market is read from; empty on an exchange."""
    start_ns: int | None
    planned_ns: int
    speed: float
    seed: int
    config: msgspec.Raw
    config_hash: str
    trading_hash: str
    defect: str = ""
    """Name of a planted defect; only the broken twin reads it."""
    config_file: str = ""
    """Where the configuration was read from: a resume looks there for what is never recorded, addresses."""
    venue: str = "direct"
    """direct, local, binance or binance-testnet; runs made before there was a choice were direct."""
    mode: str = "paper"
    """paper, live or shadow."""
    start_equity: int = 0
    """What a run with an account starts with (1e-8 USDT); 0 = as configured."""


def write_manifest(run_dir: Path, manifest: Manifest) -> None:
    """Write the manifest of a new run; raises ManifestError when the directory holds a run already."""
    path = run_dir / MANIFEST
    if path.exists():
        raise ManifestError(f"{run_dir} already holds a run. Resume it, or choose another directory.")
    run_dir.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))


def read_manifest(run_dir: Path) -> Manifest:
    """The manifest of a run; raises ManifestError when there is none."""
    path = run_dir / MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise ManifestError(
            f"{run_dir} is not a run directory: {MANIFEST} is missing ({error.strerror})."
        ) from error
    except msgspec.DecodeError as error:
        raise ManifestError(f"{path} is damaged: {error}. The run can be judged, not resumed.") from error


def market_path(market: str) -> Path | None:
    """The file that the market of a run is read from; None for a synthetic one or an exchange."""
    if not market or market.startswith("synthetic:"):
        return None
    kind, colon, rest = market.partition(":")
    return Path(rest if colon and kind in _FILE_KINDS else market)


def with_market_path(market: str, path: str) -> str:
    """The specification with another path to its file."""
    kind, colon, _ = market.partition(":")
    return f"{kind}:{path}" if colon and kind in _FILE_KINDS else path
