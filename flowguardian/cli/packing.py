"""`pack`, `unpack`: a run as a small folder that can be kept, sent and judged on another machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flowguardian.cli import output
from flowguardian.cli.locate import RUNS, JsonOption, RunArgument, RunsOption, find_run

Target = Annotated[Path | None, typer.Option("--to", help="Folder of the pack; RUN.pack when left out.")]
PackArgument = Annotated[Path, typer.Argument(help="The folder of a pack.")]
NewRun = Annotated[Path, typer.Argument(help="Directory of the run to make; empty or not there.")]
MarketFile = Annotated[
    Path | None,
    typer.Option("--market", help="The market file of the run on this machine, to go on with it."),
]


def pack(
    run: RunArgument = "", to: Target = None, runs: RunsOption = RUNS, as_json: JsonOption = False
) -> int:
    """Pack a run that is stopped or over, its tape included, to a tenth of its size.

    Packed again into the same folder after it went on, what was there before stays as it was.
    """
    from flowguardian.ops import packing

    run_dir = find_run(run, runs)
    target = to or run_dir.with_name(f"{run_dir.name}.pack")
    index = packing.pack(run_dir, target, on_file=lambda name: output.progress(f"packing {name}"))
    size = sum(path.stat().st_size for path in target.iterdir())
    if as_json:
        output.print_json(
            {"pack": str(target), "bytes": size, "run_bytes": index.size, "run_id": index.run_id}
        )
    else:
        print(f"packed: {target}, {size / 1e6:.1f} MB of {index.size / 1e6:.1f} MB")
        print(f"judge it anywhere: flowguardian report --from {target}")
        print(f"go on elsewhere:   flowguardian unpack {target} RUN_DIR")
    return output.EXIT_OK


def unpack(
    place: PackArgument, run_dir: NewRun, market: MarketFile = None, as_json: JsonOption = False
) -> int:
    """Make the run directory of a pack, with the bytes that were packed, and go on with the run there."""
    from flowguardian.ops import packing
    from flowguardian.ops.manifest import market_path, read_manifest

    index = packing.unpack(place, run_dir, market, on_file=lambda name: output.progress(f"unpacking {name}"))
    wanted = market_path(read_manifest(run_dir).market)
    if as_json:
        output.print_json({"run_dir": str(run_dir), "bytes": index.size, "run_id": index.run_id})
        return output.EXIT_OK
    print(f"unpacked: {run_dir}, {index.size / 1e6:.1f} MB")
    if wanted is not None and market is None:
        print(f"to go on with it, unpack it with --market: where {wanted.name} lies on this machine")
    else:
        print(f"go on with: flowguardian paper --run-dir {run_dir}")
    return output.EXIT_OK
