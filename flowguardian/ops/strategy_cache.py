"""Finds strategies and gives each its scan, compiled once per machine.

Rule: what runs is `scan_bars` of strategies/base.py around the strategy's step, and nothing else. Numba can
cache a function only when it stands in a file, so the scan of an njit step is written to one, named by the
hash of every source it is made of: the second start finds it compiled, and a changed source is a new file.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import tempfile
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numba import typeof, types
from numba.core.errors import NumbaError

from flowguardian.market.records import BAR, SIGNAL
from flowguardian.ops.platform_files import replace
from flowguardian.strategies import STRATEGIES
from flowguardian.strategies.base import Scan, Strategy, StrategyError, python_scan, scan_bars

FIXED_TIME_S = 1_000_000_000
"""Numba trusts a cached function by the time stamp of its file; equal text must have an equal stamp."""

TEMPLATE = '''\
"""Generated: the compiled scan of strategy '{name}'. Made anew when missing; safe to delete."""

import numpy as np
from numba import njit

from flowguardian.strategies.base import MAX_GAP_BARS
from {module} import {function} as _step

step = njit(nogil=True, error_model="numpy")(_step.py_func)


@njit(cache=True, nogil=True, error_model="numpy")
{scan}'''


class UnknownStrategy(StrategyError):
    """No strategy of this name, and no file at this path."""


class NotAStrategyFile(StrategyError):
    """The file cannot be loaded, or does not define `strategy`."""


class StepCannotBeCompiled(StrategyError):
    """An njit step that the generated scan cannot import."""


def load(name_or_path: str | Path) -> Strategy:
    """A strategy of the registry by name, or the `strategy` defined in a user's .py file."""
    text = str(name_or_path)
    if text in STRATEGIES:
        return STRATEGIES[text]
    if text.endswith(".py"):
        return _load_file(Path(text).expanduser().resolve())
    nearest = get_close_matches(text, list(STRATEGIES), 1)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
    known = ", ".join(STRATEGIES)
    raise UnknownStrategy(f"no strategy '{text}': use one of {known}, or a path ending in .py{hint}")


def scan_of(strategy: Strategy, folder: Path | None = None) -> Scan:
    """The scan of a strategy, ready to run: compiled (or found compiled) before this returns."""
    return compiled_scan(strategy, folder) if strategy.compiled else python_scan(strategy)


def compiled_scan(strategy: Strategy, folder: Path | None = None) -> Any:
    """The numba dispatcher of the scan; `.stats.cache_hits` tells whether it was found compiled."""
    path = _write_once(folder or _cache_folder(), *_generate(strategy))
    scan = _import_file(path, path.stem).scan
    arguments = [np.zeros(1, kind) for kind in (BAR, strategy.state_dtype, strategy.params_dtype, SIGNAL)]
    bars, state, params, signals = map(typeof, arguments)
    try:
        scan.compile((bars, types.int64, state, params, signals))
    except NumbaError as error:
        raise StepCannotBeCompiled(
            f"strategy '{strategy.name}': numba cannot compile its step; change it, or remove @njit to run "
            f"it as plain Python, slower. Numba says: {error}"
        ) from error
    return scan


def _load_file(path: Path) -> Strategy:
    if not path.is_file():
        raise UnknownStrategy(f"no strategy file at {path}: check the path")
    name = f"flowguardian_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    module = _import_file(path, name)
    found = getattr(module, "strategy", None)
    if not isinstance(found, Strategy):
        raise NotAStrategyFile(f"{path} defines no `strategy = Strategy(...)`: add it at the end of the file")
    return found


def _import_file(path: Path, name: str) -> ModuleType:
    """Import a file under a name that later imports find, once per process and name."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise NotAStrategyFile(f"{path} cannot be imported: it must be a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    complete = False
    try:
        spec.loader.exec_module(module)
        complete = True
    except (SyntaxError, ImportError, NameError) as error:
        raise NotAStrategyFile(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        if not complete:
            del sys.modules[name]
    return module


def _generate(strategy: Strategy) -> tuple[str, str]:
    """File name and text of the generated scan."""
    step: Any = strategy.step
    function, module = step.py_func.__qualname__, step.py_func.__module__
    found = sys.modules.get(module)
    if found is None or getattr(found, function, None) is not step or module == "__main__":
        raise StepCannotBeCompiled(
            f"strategy '{strategy.name}': its njit step '{function}' cannot be imported; define it at the "
            f"top level of a file of its own, not in a function and not in the script that is run"
        )
    scan = inspect.getsource(scan_bars).replace("def scan_bars(step: Any, ", "def scan(").replace(": Any", "")
    text = TEMPLATE.format(name=strategy.name, module=module, function=function, scan=scan)
    digest = hashlib.sha256(text.encode())
    for source in _sources(found):
        digest.update(source)
    return f"flowguardian_scan_{digest.hexdigest()[:24]}.py", text


def _sources(module: ModuleType) -> list[bytes]:
    """The text of the module and of what it imports from this package or its own folder, in a fixed order."""
    package, folder = Path(__file__).resolve().parents[1], Path(str(module.__file__)).resolve().parent
    found: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        current = waiting.pop()
        path = Path(getattr(current, "__file__", None) or "").resolve()
        own = folder in path.parents and {"site-packages", "dist-packages"}.isdisjoint(path.parts)
        if current.__name__ in found or path.suffix != ".py" or not (own or package in path.parents):
            continue
        found[current.__name__] = path.read_bytes()
        waiting += [sys.modules[name] for name in _imported_names(current) if name in sys.modules]
    return [found[name] for name in sorted(found)]


def _imported_names(module: ModuleType) -> list[str]:
    """Names of modules that the import statements of a module may have loaded."""
    names: list[str] = []
    for node in ast.walk(ast.parse(Path(str(module.__file__)).read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            target = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(target, module.__package__) if node.level else target
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return names


@cache
def _cache_folder() -> Path:
    """$FLOWGUARDIAN_CACHE_DIR, else the user's cache folder, else a fresh temporary one."""
    for folder in _cache_candidates():
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue  # Not writable: the next candidate is slower to start, never wrong.
        return folder
    return Path(tempfile.mkdtemp(prefix="flowguardian-scans-"))


def _cache_candidates() -> list[Path]:
    chosen = os.environ.get("FLOWGUARDIAN_CACHE_DIR")
    if chosen:
        return [Path(chosen) / "scans"]
    roots = [os.environ.get("LOCALAPPDATA"), os.environ.get("XDG_CACHE_HOME")]
    candidates = [Path(root) for root in roots if root]
    home = Path("~").expanduser()
    if home.is_absolute():
        candidates.append(home / ("Library/Caches" if sys.platform == "darwin" else ".cache"))
    return [folder / "flowguardian" / "scans" for folder in candidates]


def _write_once(folder: Path, name: str, text: str) -> Path:
    """Put the file in place whole: several processes may start at once, none may import half a file."""
    path = folder / name
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return path
    with tempfile.NamedTemporaryFile(
        "w", dir=folder, suffix=".tmp", delete=False, encoding="utf-8", newline="\n"
    ) as draft:
        draft.write(text)
    os.utime(draft.name, (FIXED_TIME_S, FIXED_TIME_S))
    replace(Path(draft.name), path)
    return path
