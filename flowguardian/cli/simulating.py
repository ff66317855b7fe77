"""`simulate`: whole runs by seed under a virtual clock, each judged by what must hold whatever happens.

Rule: a violation names its seed, the commit and the command that shows it again; Ctrl-C ends with what was
done so far.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from flowguardian.cli import output

if TYPE_CHECKING:
    from flowguardian.simulation.batch import Outcome, Summary

_SHOWN = 10
"""Violations of a seed that are shown; all of them are in --json."""


def simulate(
    seeds: Annotated[int, typer.Option(help="How many seeds.", min=1)] = 20,
    first_seed: Annotated[int, typer.Option(help="The first of them.", min=0)] = 1,
    profile: Annotated[str, typer.Option(help="calm, swarm or hostile.")] = "swarm",
    hours: Annotated[float, typer.Option(help="Run time of each seed.", min=0.1, max=240.0)] = 12.0,
    seed: Annotated[
        int | None,
        typer.Option(help="This seed alone; a failing one is shown again by it.", show_default=False),
    ] = None,
    trace: Annotated[bool, typer.Option("--trace", help="With --seed: every row of its journal.")] = False,
    shrink: Annotated[
        bool, typer.Option("--shrink", help="With --seed: the shortest beginning of the run that fails.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="End with one JSON object on stdout.")] = False,
) -> int:
    """Run whole runs by seed: market, faults, delays and deaths follow from it, and so do the same bytes.

    calm: on paper over a market in memory, 3 symbols with 12 messages per minute each, no faults.
    swarm (4 of 10 on paper, else live) and hostile (live): over the local venue through a network in memory,
    2 or 3 symbols with 18 trades and quotes per minute and a mark per second each; each kind of fault is on
    in half, or in 85 of 100, of the seeds.
    Not simulated: sockets, threads, the supervisor, loss of power, stores and views.
    """
    from flowguardian.simulation.world import PROFILES

    if profile not in PROFILES:
        fix = f"use one of {', '.join(PROFILES)}"
        raise output.CliError(f"there is no profile {profile}", where="--profile", fix=fix)
    if (trace or shrink) and seed is None:
        where = "--trace" if trace else "--shrink"
        raise output.CliError("one seed is wanted", where=where, fix="name it by --seed")
    if shrink and seed is not None:
        return _shrink(seed, profile, hours)
    wanted = [seed] if seed is not None else list(range(first_seed, first_seed + seeds))
    outcomes, summary = _run(wanted, profile, hours, trace=trace)
    if json:
        output.print_json({"summary": summary, "outcomes": outcomes})
    else:
        print(text_of(summary))
    if summary.interrupted:
        return output.EXIT_INTERRUPTED
    return output.EXIT_FAIL if summary.violations else output.EXIT_OK


def _run(wanted: list[int], profile: str, hours: float, *, trace: bool) -> tuple[list[Outcome], Summary]:
    from flowguardian.ops.build import commit
    from flowguardian.simulation.batch import directory, run_world, summary_of
    from flowguardian.simulation.world import world_of

    began, outcomes, interrupted, version = time.perf_counter(), [], False, commit()
    try:
        for number, one in enumerate(wanted, 1):
            with directory() as run_dir:
                outcome = run_world(world_of(one, profile, hours), run_dir)
                if trace:
                    _trace(run_dir)
            outcomes.append(outcome)
            _progress(number, len(wanted), outcome, time.perf_counter() - began, version)
    except KeyboardInterrupt:
        interrupted = True
        output.progress("interrupted: what was done so far")
    seconds = time.perf_counter() - began
    return outcomes, summary_of(outcomes, profile, seconds, interrupted=interrupted, commit=version)


def _trace(run_dir: object) -> None:
    from pathlib import Path

    from flowguardian.journal.chain import read_chain
    from flowguardian.journal.journal import JOURNAL

    assert isinstance(run_dir, Path)  # noqa: S101
    for record in read_chain(run_dir / JOURNAL):
        print(f"{record.seq} {record.ts_ns} {record.kind} {record.body.decode()}")


def _progress(number: int, many: int, outcome: Outcome, seconds: float, version: str) -> None:
    left = seconds / number * (many - number)
    output.progress(
        f"{number}/{many} seed {outcome.seed}: {outcome.orders} orders, {outcome.lives} lives, "
        f"{len(outcome.violations)} violations, {outcome.seconds:.1f} s, {left:.0f} s to go"
    )
    if outcome.violations:
        _explain(outcome, version)


def _explain(outcome: Outcome, version: str) -> None:
    for text in outcome.violations[:_SHOWN]:
        output.progress(f"  ! {text}")
    if len(outcome.violations) > _SHOWN:
        output.progress(f"  ! and {len(outcome.violations) - _SHOWN} more")
    output.progress(
        f"  commit {version or 'unknown'}; again: flowguardian simulate --profile {outcome.profile} "
        f"--hours {outcome.hours:g} --seed {outcome.seed} --trace, or --shrink"
    )


def _shrink(seed: int, profile: str, hours: float) -> int:
    from flowguardian.ops.build import commit
    from flowguardian.simulation.batch import shrink

    def tried(many: float, outcome: Outcome) -> None:
        output.progress(f"{many:g} h: {len(outcome.violations)} violations, {outcome.seconds:.1f} s")

    try:
        found = shrink(seed, profile, hours, tried)
    except ValueError as error:
        print(str(error))
        return output.EXIT_OK
    _explain(found, commit())
    print(f"seed {seed} of {profile} fails within {found.hours:g} hours")
    return output.EXIT_FAIL


def text_of(found: Summary) -> str:
    """The summary in lines; the last one is the verdict."""
    faults = ", ".join(f"{kind} {count}" for kind, count in found.faults.items()) or "none"
    lines = [f"faults      {faults}"]
    if found.failed_seeds:
        lines.append(f"failed      {', '.join(map(str, found.failed_seeds))}")
    lines.append(
        f"{found.profile}: {found.seeds} seeds, {found.simulated_hours:g} simulated hours, "
        f"{found.orders} orders, {found.lives} lives, {found.violations} violations, "
        f"{found.hours_per_minute:g} hours per minute"
    )
    return "\n".join(lines)
