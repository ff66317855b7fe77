"""The rules of the house, applied to every file of the repository.

Rule: each rule of tests/tidy_rules.py is also tried on a planted offence, so that none passes by being blind.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests import tidy_rules as rules
from tests import tidy_sources
from tests.tidy_sources import Source

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ("flowguardian/", "development/", "benchmarks/", "run_paper.py", "run_real_paper_12h_supervised.py")
P95_LINES = 30

NOT_CALLED_BY_NAME = {
    "main",  # Entry points of pyproject.toml and python -m.
    "decimal_schema",  # pydantic's generator of JSON schemas calls it.
    "do_GET",  # http.server calls it.
    "log_message",  # The same.
}

# Joined here so that this file does not contain what it looks for.
LEFTOVERS = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r")\b")
INDEXES = re.compile(
    "|".join(("py" + r"pi\.org", "python" + r"hosted\.org", "--(extra-)?index" + r"-url[ =]"))
)
MACHINE_PATHS = re.compile(
    "|".join(
        (
            r"(?<![\w.])/wo" + "rk/",
            r"(?<![\w.])/ro" + "ot/",
            r"(?<![\w.])/ho" + r"me/\w",
            r"[A-Z]:\\+Us" + "ers",
        )
    )
)


@cache
def repository_files() -> tuple[str, ...]:
    """What git tracks or would track; outside a clone, every file that is no build product."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        names = [name for name in done.stdout.decode("utf-8").split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        found = (path for path in ROOT.rglob("*") if path.is_file())
        names = [path.relative_to(ROOT).as_posix() for path in found]
        names = [
            name for name in names if not re.search(r"(^|/)(\.[a-z_]+|__pycache__|runs|build|dist)/", name)
        ]
    return tuple(sorted(name for name in names if (ROOT / name).is_file()))


@cache
def sources() -> tuple[Source, ...]:
    return tuple(Source.read(ROOT, ROOT / name) for name in repository_files() if name.endswith(".py"))


def program() -> list[Source]:
    return [source for source in sources() if source.path.startswith(PROGRAM)]


def findings(rule, among=None) -> list[str]:
    return [finding for source in (program() if among is None else among) for finding in rule(source)]


def report(found: list[str]) -> str:
    return f"{len(found)} findings:\n" + "\n".join(found)


def test_there_is_something_to_look_at():
    assert len(program()) > 20
    assert any(rules.PURE.fullmatch(source.path) for source in program())


EVERYWHERE = {
    rules.files_are_short,
    rules.functions_are_short,
    rules.file_names_say_something,
    rules.modules_say_what_they_are,
    rules.text_files_name_their_encoding,
    rules.datetimes_have_a_zone,
    rules.handlers_do_something,
}
"""Rules that tests follow too; the others are about the program alone."""


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_the_tree_follows_the_rule(rule):
    found = findings(rule, sources() if rule in EVERYWHERE else None)
    assert not found, report(found)


def test_95_of_100_functions_have_at_most_30_lines():
    lengths = sorted(
        (lines, f"{source.path} {node.name}")
        for source in program()
        if source.path.startswith("flowguardian/")
        for node, lines in tidy_sources.functions(source)
    )
    p95, _ = lengths[int(0.95 * len(lengths))]
    assert p95 <= P95_LINES, f"p95 is {p95} lines; the longest are {lengths[-20:]}"


def test_every_process_edge_still_needs_its_broad_except():
    for path in rules.PROCESS_EDGES:
        handlers = [
            text for text in (ROOT / path).read_text(encoding="utf-8").splitlines() if "except " in text
        ]
        assert any("Exception" in text for text in handlers), f"{path}: take it off PROCESS_EDGES"


def test_nothing_is_left_to_be_done_in_the_code():
    found = [
        f"{source.path}:{number}: {line.strip()}"
        for source in sources()
        for number, line in enumerate(source.text.splitlines(), 1)
        if LEFTOVERS.search(line)
    ]
    assert not found, report(found)


def test_no_file_names_a_machine_path_or_a_package_index():
    found = []
    for name in repository_files():
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:  # A picture or a data file.
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if INDEXES.search(line) or MACHINE_PATHS.search(line):
                found.append(f"{name}:{number}: {line.strip()[:120]}")
    assert not found, report(found)


def test_every_function_and_class_is_used_somewhere():
    used = Counter(name for source in sources() for name in tidy_sources.used_names(source))
    found = [
        source.at(node, f"{name} is used nowhere")
        for source in program()
        for node, name in tidy_sources.definitions(source)
        if not used[name] and name not in NOT_CALLED_BY_NAME
    ]
    assert not found, report(found)


PURE_PATH = "flowguardian/guards/planted.py"
ANY_PATH = "flowguardian/ops/planted.py"
PLANTED = [
    (rules.pure_modules_stay_pure, PURE_PATH, "import time"),
    (rules.pure_modules_stay_pure, PURE_PATH, "from numpy import random"),
    (rules.pure_modules_stay_pure, PURE_PATH, "x = np.random.default_rng()"),
    (rules.pure_modules_stay_pure, PURE_PATH, "from flowguardian.market.tape import Tape"),
    (rules.pure_modules_stay_pure, PURE_PATH, "from datetime import datetime\ndatetime.now(UTC)"),
    (rules.the_loop_reads_no_clock, "flowguardian/execution/loop.py", "from time import monotonic"),
    (rules.datetimes_have_a_zone, ANY_PATH, "datetime.now()"),
    (rules.datetimes_have_a_zone, ANY_PATH, "datetime.datetime.fromtimestamp(5)"),
    (rules.datetimes_have_a_zone, ANY_PATH, "datetime.utcnow()"),
    (rules.files_are_short, ANY_PATH, "x = 1\n" * 401),
    (rules.functions_are_short, ANY_PATH, "def f():\n" + "    x = 1\n" * 61),
    (rules.file_names_say_something, "flowguardian/ops/utils.py", ""),
    (rules.modules_say_what_they_are, ANY_PATH, "x = 1"),
    (rules.text_files_name_their_encoding, ANY_PATH, "open('x')"),
    (rules.text_files_name_their_encoding, ANY_PATH, "path.open('w')"),
    (rules.text_files_name_their_encoding, ANY_PATH, "path.read_text()"),
    (rules.text_files_name_their_encoding, ANY_PATH, "subprocess.run([], text=True)"),
    (
        rules.broad_excepts_stand_at_process_edges,
        ANY_PATH,
        "try:\n    f()\nexcept (OSError, Exception):\n    g()",
    ),
    (
        rules.broad_excepts_stand_at_process_edges,
        "flowguardian/cli/app.py",
        "try:\n    f()\nexcept:\n    g()",
    ),
    (rules.broad_excepts_stand_at_process_edges, ANY_PATH, "with contextlib.suppress(Exception):\n    f()"),
    (rules.handlers_do_something, ANY_PATH, "try:\n    f()\nexcept OSError:\n    pass"),
    (rules.handlers_do_something, ANY_PATH, "try:\n    f()\nexcept OSError:\n    ..."),
    (rules.nothing_runs_text_as_code, ANY_PATH, "import pickle"),
    (rules.nothing_runs_text_as_code, ANY_PATH, "eval('1')"),
    (rules.nothing_runs_text_as_code, ANY_PATH, "subprocess.run('ls', shell=True)"),
    (rules.waits_can_be_cancelled, ANY_PATH, "await asyncio.wait_for(arrived.wait(), 1)"),
    (rules.system_calls_have_one_home, ANY_PATH, "import signal"),
    (rules.system_calls_have_one_home, ANY_PATH, "import fcntl"),
    (rules.system_calls_have_one_home, ANY_PATH, "os.replace(a, b)"),
    (rules.system_calls_have_one_home, ANY_PATH, "path.replace(other)"),
    (rules.system_calls_have_one_home, "flowguardian/ops/platform_process.py", "os.fork()"),
    (
        rules.the_judge_knows_rows_only,
        "flowguardian/acceptance/p.py",
        "from flowguardian.execution import engine",
    ),
    (rules.the_judge_knows_rows_only, "flowguardian/acceptance/p.py", "import flowguardian.guards.base"),
    (
        rules.the_judge_knows_rows_only,
        "flowguardian/acceptance/p.py",
        "from ..execution.engine import Engine",
    ),
    (
        rules.the_supervisor_does_not_trade,
        "flowguardian/ops/supervisor_x.py",
        "import flowguardian.brokers.paper",
    ),
    (rules.nobody_reaches_the_simulation, ANY_PATH, "from flowguardian.simulation import leaks"),
    (rules.nobody_reaches_the_simulation, ANY_PATH, "start('-m', 'flowguardian.simulation.leaks')"),
    (rules.modes_are_known_to_assembly_alone, ANY_PATH, "x = run.mode == 'live'"),
    (rules.modes_are_known_to_assembly_alone, ANY_PATH, "if config.is_backtest:\n    f()"),
    (rules.modes_are_known_to_assembly_alone, ANY_PATH, "match mode:\n    case 'paper':\n        f()"),
]


@pytest.mark.parametrize(
    ("rule", "path", "text"), PLANTED, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_planted_offence_is_found(rule, path, text):
    assert list(rule(Source.parse(path, text)))


def test_each_rule_has_a_planted_offence():
    assert set(rules.RULES) == {rule for rule, _, _ in PLANTED}


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (rules.pure_modules_stay_pure, PURE_PATH, "from flowguardian.market.records import ROW"),
        (rules.pure_modules_stay_pure, ANY_PATH, "import time"),
        (rules.datetimes_have_a_zone, ANY_PATH, "datetime.now(UTC); datetime.fromtimestamp(5, tz=UTC)"),
        (rules.text_files_name_their_encoding, ANY_PATH, "open('x', 'rb'); path.open('wb'); Tape.open(path)"),
        (rules.waits_can_be_cancelled, ANY_PATH, "server.wait_for(answers)"),
        (rules.system_calls_have_one_home, ANY_PATH, "'a'.replace('b', 'c'); moment.replace(hour=1)"),
        (
            rules.the_judge_knows_rows_only,
            "flowguardian/acceptance/p.py",
            "from flowguardian.execution import events",
        ),
        (rules.modes_are_known_to_assembly_alone, ANY_PATH, "start(mode='paper')"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_is_allowed_is_not_found(rule, path, text):
    assert not list(rule(Source.parse(path, text)))


def test_an_unused_function_is_found_though_it_is_exported():
    source = Source.parse(
        ANY_PATH, "__all__ = ['lost']\n\n\ndef lost():\n    return kept()\n\n\ndef kept(): ...\n"
    )
    assert {name for _, name in tidy_sources.definitions(source)} - tidy_sources.used_names(source) == {
        "lost"
    }
