"""`python -m benchmarks NAME [--json]`: one benchmark, or `all`, which writes docs/reference/benchmarks.md.

Rule: with --json the last line of stdout is one object; what goes on meanwhile is said on stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.data import BAR_DAYS, TRADES, data_folder

Found = dict[str, Any]
DETAILS = "details"


def _replay(asked: argparse.Namespace) -> Found:
    from benchmarks.replays import replay

    return replay(asked.data, trades=asked.trades, repeats=asked.repeats)


def _w2(asked: argparse.Namespace) -> Found:
    from benchmarks.replays import w2

    return w2(asked.data, days=asked.days, repeats=asked.repeats)


def _decision(asked: argparse.Namespace) -> Found:
    from benchmarks.latency import decision

    return decision(asked.data, trades=asked.trades, repeats=asked.repeats)


def _durable(asked: argparse.Namespace) -> Found:
    from benchmarks.latency import durable

    return durable(asked.data, trades=asked.trades)


def _process(asked: argparse.Namespace) -> Found:
    from benchmarks.processes import whole_process

    return whole_process(asked.data, trades=asked.trades, repeats=asked.repeats)


def _resume(asked: argparse.Namespace) -> Found:
    from benchmarks.processes import resume

    return resume(hours=12.0 if asked.hours is None else asked.hours, repeats=asked.repeats)


def _help_time(asked: argparse.Namespace) -> Found:
    from benchmarks.processes import help_time

    return help_time(repeats=asked.repeats)


def _views(asked: argparse.Namespace) -> Found:
    from benchmarks.views_on_off import views_on_off

    return views_on_off(hours=1.0 if asked.hours is None else asked.hours, pairs=asked.repeats)


BENCHMARKS: Mapping[str, tuple[Callable[[argparse.Namespace], Found], str]] = {
    "replay": (_replay, "W1: 5 million trades of 10 symbols through the whole engine"),
    "w2": (_w2, "W2: 90 days of 1-minute bars of 10 symbols"),
    "process": (_process, "W1 as a whole process, loading included"),
    "decision": (_decision, "one fact through the core"),
    "durable": (_durable, "from a wake to its order row on disk"),
    "resume": (_resume, "from kill -9 back to live, after 12 hours of market"),
    "views": (_views, "turns of the engine with stores, metrics and page on against off"),
    "help-time": (_help_time, "flowguardian --help"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for."""
    asked = _parser().parse_args(arguments)
    if asked.name == "all":
        from benchmarks.page import write_page

        print(write_page(asked.data, asked.page, list(BENCHMARKS)))
        return 0
    found = BENCHMARKS[asked.name][0](asked)
    if not asked.json:
        for key, value in found.items():
            print(f"{key:28}{value}")
        return 0
    if asked.name in ("replay", "w2"):
        from benchmarks.replays import SHAPE

        print(json.dumps({DETAILS: found}))
        found = {key: found[key] for key in SHAPE}
    print(json.dumps(found), flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    lines = [f"  {name:12}{about}" for name, (_, about) in BENCHMARKS.items()]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="\n".join([*lines, "  all         all of them, into docs/reference/benchmarks.md"]),
    )
    parser.add_argument("name", choices=[*BENCHMARKS, "all"], metavar="NAME")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    parser.add_argument("--data", type=Path, default=data_folder(), help="folder of the data ($BENCH_DATA)")
    parser.add_argument("--repeats", type=int, default=5, help="runs, or pairs, the median is taken of")
    parser.add_argument(
        "--trades", type=int, default=TRADES, help="trades of W1; another number is another work"
    )
    parser.add_argument(
        "--days", type=int, default=BAR_DAYS, help="days of W2; another number is another work"
    )
    parser.add_argument(
        "--hours", type=float, help="market time of the run that is killed (12), of each run of a pair (1)"
    )
    page = Path(__file__).resolve().parent.parent / "docs" / "reference" / "benchmarks.md"
    parser.add_argument("--page", type=Path, default=page, help="where `all` writes its page")
    return parser


if __name__ == "__main__":
    sys.exit(main())
