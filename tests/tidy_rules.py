"""The rules of the house as functions over one parsed file; tests/test_tidy.py applies them to the tree.

Rule: a rule takes a Source and yields a sentence per finding, so that each can be tried on a planted example.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from tests.tidy_sources import Source, dotted, functions, keywords, text_of, within

FILE_LINES, FUNCTION_LINES = 400, 60
TEST_FILE_LINES = 650
# Longer on purpose, with the limit that holds instead.
LONG_FILES: Mapping[str, int] = {
    "flowguardian/execution/events.py": 600,  # The dictionary of rows: one place to look anything up.
}

PURE = re.compile(
    r"flowguardian/("
    r"market/(records|columns|bars|indicators|exits|synthetic|bridge|instruments|seeds)"
    r"|strategies/\w+|guards/\w+"
    r"|execution/(codes|events|money|orders|portfolio_manager|position_sizer|engine|invariants|limits"
    r"|entries|exits|scorecard|timers|recorder)"
    r"|brokers/(answers|order_track|stops)"
    r"|venue/(matching|account|admission|books|brackets|conditional|errors|faults|forced|limits|margin|orders"
    r"|private_shapes|refusals|shapes|state|trading|trading_faults|user_events))\.py"
)
IMPURE_MODULES = frozenset(
    {
        "asyncio",
        "concurrent",
        "ctypes",
        "fcntl",
        "http",
        "io",
        "logging",
        "mmap",
        "msvcrt",
        "multiprocessing",
        "os",
        "pathlib",
        "psutil",
        "pyarrow",
        "queue",
        "random",
        "sched",
        "secrets",
        "select",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "sqlite3",
        "ssl",
        "structlog",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
        "urllib",
        "uuid",
    }
)
IMPURE_CALLS = frozenset({"open", "print", "input", "breakpoint"})
IMPURE_NUMPY = re.compile(r"(np|numpy)\.(random\.|load|save|memmap|fromfile|genfromtxt)")
CLOCKS = frozenset({"now", "today", "utcnow"})

# Where a broad except may stand: the edge of a process, where whatever happened is reported.
PROCESS_EDGES: Mapping[str, str] = {
    "flowguardian/cli/app.py": "every error of a command becomes a message and an exit code",
    "flowguardian/ops/launcher.py": "the launcher restarts whatever died, for whatever reason",
    "flowguardian/ops/supervisor.py": "an exit reason is always written",
    "flowguardian/ops/preflight.py": "a check that breaks is red and says so, whatever broke it",
    "flowguardian/ops/flow_guardian.py": "whatever keeps a start from READY is a reason for quarantine",
    "flowguardian/ops/log.py": "a logging handler reports its own failure by handleError, as logging demands",
}

# What differs between operating systems stands in one module each, which has a twin for the other system.
SYSTEM_CALLS: Mapping[str, str] = {
    "fcntl": "flowguardian/ops/platform_lock.py",
    "msvcrt": "flowguardian/ops/platform_lock.py",
    "signal": "flowguardian/ops/platform_signals.py",
    "prctl": "flowguardian/ops/platform_process.py",
    "fork": "nowhere: Windows has none",
    "replace or rename": "flowguardian/ops/platform_files.py",
}

MODES = frozenset({"paper", "live", "shadow", "backtest"})
MODE_FLAGS = re.compile(
    r"(is|in)_(paper|live|shadow|backtest)(_mode)?|(paper|live|shadow|backtest)_mode|dry_run"
)
BANNED_IMPORTS = frozenset({"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"})
SHELLS = frozenset({"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"})
VAGUE_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "misc"})

# --- purity and clocks


def pure_modules_stay_pure(source: Source) -> Iterator[str]:
    if not PURE.fullmatch(source.path):
        return
    for node, name in source.imports():
        if name.split(".")[0] in IMPURE_MODULES or within(name, "numpy.random"):
            yield source.at(node, f"a pure module imports {name}")
        elif within(name, "flowguardian") and not is_pure_import(name):
            yield source.at(node, f"a pure module imports {name}, which is not pure")
    for call, name in source.calls():
        last = name.split(".")[-1]
        if name in IMPURE_CALLS or (last in CLOCKS and "." in name) or IMPURE_NUMPY.match(name):
            yield source.at(call, f"a pure module calls {name}()")


def is_pure_import(name: str) -> bool:
    """Whether `package.module` or `package.module.name` lies in a pure module (or is the package itself)."""
    parts = name.split(".")
    whole, parent = "/".join(parts) + ".py", "/".join(parts[:-1]) + ".py"
    return bool(PURE.fullmatch(whole) or PURE.fullmatch(parent)) or parts[1:2] in (["guards"], ["strategies"])


def the_loop_reads_no_clock(source: Source) -> Iterator[str]:
    if source.path != "flowguardian/execution/loop.py":
        return
    for node, name in source.imports():
        if name.split(".")[0] in ("time", "datetime", "random"):
            yield source.at(node, f"the loop imports {name}: time comes with the rows")


def datetimes_have_a_zone(source: Source) -> Iterator[str]:
    for call, name in source.calls():
        owner, _, method = name.rpartition(".")
        if owner.rpartition(".")[2] not in ("datetime", "date", "dt"):
            continue
        naive = (
            method in ("utcnow", "utcfromtimestamp", "today")
            or (method == "now" and not call.args and "tz" not in keywords(call))
            or (method == "fromtimestamp" and len(call.args) < 2 and "tz" not in keywords(call))
        )
        if naive:
            yield source.at(call, f"{name}() without a time zone")


# --- size and names


def files_are_short(source: Source) -> Iterator[str]:
    lines = source.text.count("\n")
    usual = TEST_FILE_LINES if source.path.startswith("tests/") else FILE_LINES
    limit = LONG_FILES.get(source.path, usual)
    if lines > limit:
        yield f"{source.path}: {lines} lines, at most {limit}"


def functions_are_short(source: Source) -> Iterator[str]:
    for node, lines in functions(source):
        if lines > FUNCTION_LINES:
            yield source.at(node, f"{node.name} has {lines} lines, at most {FUNCTION_LINES}")


def file_names_say_something(source: Source) -> Iterator[str]:
    for part in PurePosixPath(source.path).with_suffix("").parts:
        if part in VAGUE_NAMES:
            yield f"{source.path}: the name {part} says nothing"


def modules_say_what_they_are(source: Source) -> Iterator[str]:
    if not ast.get_docstring(source.tree):
        yield f"{source.path}: no module docstring"


# --- text, errors, dangers


def text_files_name_their_encoding(source: Source) -> Iterator[str]:
    for call, name in source.calls():
        if "encoding" in keywords(call):
            continue
        last = name.split(".")[-1]
        mode = next((text_of(k.value) for k in call.keywords if k.arg == "mode"), "")
        if last in ("read_text", "write_text", "TextIOWrapper"):
            yield source.at(call, f"{last}() without encoding=")
        elif name in ("open", "io.open"):
            if "b" not in (mode or text_of(call.args[1] if len(call.args) > 1 else None)):
                yield source.at(call, "open() in text mode without encoding=")
        elif last == "open" and (not call.args or re.fullmatch(r"[rwaxbt+]{1,3}", text_of(call.args[0]))):
            if opens_text(call, name, mode):
                yield source.at(call, f"{name}() in text mode without encoding=")
        elif keywords(call) & {"text", "universal_newlines"} and name.startswith("subprocess."):
            yield source.at(call, f"{name}(text=...) without encoding=")


def opens_text(call: ast.Call, name: str, mode: str) -> bool:
    """Whether `x.open(mode)` opens a text; an upper-case owner is a class with an open() of its own."""
    if name.split(".")[-2][:1].isupper():
        return False
    return "b" not in (mode or text_of(call.args[0] if call.args else None))


def broad_excepts_stand_at_process_edges(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield source.at(node, "a bare except")
        elif isinstance(node, ast.ExceptHandler) and source.path not in PROCESS_EDGES and is_broad(node.type):
            yield source.at(node, "a broad except away from the process edges")
    for call, name in source.calls():
        if name.endswith("suppress") and any(is_broad(argument) for argument in call.args):
            yield source.at(call, "suppress() of everything")


def is_broad(node: ast.AST | None) -> bool:
    names = node.elts if isinstance(node, ast.Tuple) else [node] if node else []
    return any(dotted(name).split(".")[-1] in ("Exception", "BaseException") for name in names)


def handlers_do_something(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler) and all(
            isinstance(line, ast.Pass)
            or (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
            for line in node.body
        ):
            yield source.at(node, "an empty handler")


def nothing_runs_text_as_code(source: Source) -> Iterator[str]:
    for node, name in source.imports():
        if name.split(".")[0] in BANNED_IMPORTS:
            yield source.at(node, f"imports {name}")
    for call, name in source.calls():
        if name in ("eval", "exec", "yaml.load", "yaml.unsafe_load") or name in SHELLS:
            yield source.at(call, f"calls {name}()")
        for keyword in call.keywords:
            if keyword.arg == "shell" and not (
                isinstance(keyword.value, ast.Constant) and not keyword.value.value
            ):
                yield source.at(call, "starts a shell")


def waits_can_be_cancelled(source: Source) -> Iterator[str]:
    """On Python 3.11 `wait_for` swallows a cancellation that comes in the same turn as its result."""
    for call, name in source.calls():
        if name in ("asyncio.wait_for", "wait_for"):
            yield source.at(call, f"{name}(): use asyncio.timeout()")


def system_calls_have_one_home(source: Source) -> Iterator[str]:
    if source.path.startswith("development/"):  # It runs before the project's platform modules are installed.
        return
    found: list[tuple[ast.AST, str]] = [
        (node, name.split(".")[0])
        for node, name in source.imports()
        if name.split(".")[0] in ("fcntl", "msvcrt", "signal")
    ]
    for call, name in source.calls():
        last = name.split(".")[-1]
        if name in ("os.replace", "os.rename", "shutil.move") or (
            # str.replace takes two arguments and datetime.replace none by position: one is Path.replace.
            "." in name and last in ("replace", "rename") and len(call.args) == 1 and not call.keywords
        ):
            found.append((call, "replace or rename"))
        elif name in ("os.fork", "os.forkpty", "pty.fork"):
            found.append((call, "fork"))
        elif last == "prctl":
            found.append((call, "prctl"))
    for node, what in found:
        if source.path != SYSTEM_CALLS[what]:
            yield source.at(node, f"{what}; its one place is {SYSTEM_CALLS[what]}")


# --- who may know whom


def the_judge_knows_rows_only(source: Source) -> Iterator[str]:
    if not source.path.startswith("flowguardian/acceptance/"):
        return
    for node, name in source.imports():
        inside = within(name, "flowguardian.execution") or within(name, "flowguardian.guards")
        allowed = within(name, "flowguardian.execution.events") or within(
            name, "flowguardian.execution.money"
        )
        if inside and not allowed:
            yield source.at(node, f"the judge imports {name}: it counts rows and computes for itself")


def the_supervisor_does_not_trade(source: Source) -> Iterator[str]:
    if not re.fullmatch(r"flowguardian/ops/supervisor\w*\.py", source.path):
        return
    for node, name in source.imports():
        if within(name, "flowguardian.execution.events"):  # The row types: it asks for a stop by a Command.
            continue
        if re.match(r"flowguardian\.(execution|guards|strategies|brokers)\b", name):
            yield source.at(node, f"the supervisor imports {name}: it holds no trading logic")


DOORS_TO_THE_SIMULATION: Mapping[str, str] = {
    "flowguardian/cli/running.py": "accept --break starts the twin with the planted leak",
    "flowguardian/cli/simulating.py": "simulate runs it",
}


def nobody_reaches_the_simulation(source: Source) -> Iterator[str]:
    if not source.path.startswith("flowguardian/") or source.path.startswith("flowguardian/simulation/"):
        return
    if source.path in DOORS_TO_THE_SIMULATION:
        return
    for node, name in source.imports():
        if within(name, "flowguardian.simulation"):
            yield source.at(node, f"imports {name}: only accept --break, simulate and tests may")
    for text in ast.walk(source.tree):
        if within(text_of(text), "flowguardian.simulation"):  # A child process is started by such a name.
            yield source.at(text, f"names {text_of(text)}: only accept --break, simulate and tests may")


def modes_are_known_to_assembly_alone(source: Source) -> Iterator[str]:
    if not source.path.startswith("flowguardian/") or source.path == "flowguardian/ops/assembly.py":
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Compare):
            for part in ast.walk(node):
                if text_of(part) in MODES or dotted(part).startswith("Mode."):
                    yield source.at(node, f"asks for a mode: {ast.unparse(node)}")
                    break
        elif isinstance(node, ast.MatchValue) and text_of(node.value) in MODES:
            yield source.at(node, f"asks for a mode: case {ast.unparse(node)}")
        elif isinstance(node, ast.Name | ast.Attribute):
            flag = dotted(node).split(".")[-1]
            if MODE_FLAGS.fullmatch(flag):
                yield source.at(node, f"a mode flag: {flag}")


RULES = (
    pure_modules_stay_pure,
    the_loop_reads_no_clock,
    datetimes_have_a_zone,
    files_are_short,
    functions_are_short,
    file_names_say_something,
    modules_say_what_they_are,
    text_files_name_their_encoding,
    broad_excepts_stand_at_process_edges,
    handlers_do_something,
    nothing_runs_text_as_code,
    waits_can_be_cancelled,
    system_calls_have_one_home,
    the_judge_knows_rows_only,
    the_supervisor_does_not_trade,
    nobody_reaches_the_simulation,
    modes_are_known_to_assembly_alone,
)
