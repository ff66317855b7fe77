"""Planted defects cannot be reached from what trades: not by import, not by manifest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from flowguardian.ops.loading import load
from flowguardian.ops.manifest import Manifest, write_manifest

ROOT = Path(__file__).resolve().parents[2]
REACH = """
import ast, importlib, json, pathlib, sys
waiting, seen = ["flowguardian.cli.running", "flowguardian.ops.engine_process"], set()
while waiting:
    name = waiting.pop()
    if name in seen:
        continue
    seen.add(name)
    module = importlib.import_module(name)
    if not module.__file__:
        continue
    # Imports inside functions come later in a run: they are followed as well.
    for node in ast.walk(ast.parse(pathlib.Path(module.__file__).read_bytes())):
        named = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            named = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
        for found in named:
            if found.startswith("flowguardian") and importlib.util.find_spec(found.rpartition(".")[0]):
                try:
                    spec = importlib.util.find_spec(found)
                except ModuleNotFoundError:
                    spec = None
                if spec is not None:
                    waiting.append(found)
%s
print(json.dumps(sorted(m for m in sys.modules if m.startswith("flowguardian"))))
"""


def _reached(more: str = "") -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", "import importlib.util\n" + REACH % more],
        cwd=ROOT, capture_output=True, check=True, encoding="utf-8",
    )  # fmt: skip
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_nothing_that_paper_or_live_can_import_is_in_the_simulation() -> None:
    reached = _reached()
    assert {
        "flowguardian.ops.supervisor",
        "flowguardian.execution.engine",
        "flowguardian.cli.running",
    } <= reached
    assert not {name for name in reached if name.startswith("flowguardian.simulation")}


def test_the_same_look_would_find_an_import() -> None:
    assert "flowguardian.simulation.leaks" in _reached("import flowguardian.simulation.leaks")


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("market", "bars:x.parquet"),
        ("market", "x.parquet"),
        ("kind", "acceptance"),
        ("kind", "paper"),
        ("defect", ""),
    ],
)
def test_the_broken_engine_refuses_whatever_is_not_a_synthetic_rehearsal(
    change: str, value: str, tmp_path: Path
) -> None:
    loaded = load(None, [])
    manifest = Manifest(
        run_id="fenced",
        kind="rehearsal",
        market="synthetic:1",
        start_ns=None,
        planned_ns=3600 * 10**9,
        speed=0.0,
        seed=1,
        config=msgspec.Raw(msgspec.json.encode(loaded.effective)),
        config_hash=loaded.config_hash,
        trading_hash=loaded.trading_hash,
        defect="budget_leak",
    )
    write_manifest(tmp_path / "run", msgspec.structs.replace(manifest, **{change: value}))
    argv = [sys.executable, "-m", "flowguardian.simulation.broken_engine", str(tmp_path / "run")]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, check=False, encoding="utf-8")
    assert done.returncode == 2, done.stderr
    assert "nowhere else" in done.stderr
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"], "it must not begin to trade"
