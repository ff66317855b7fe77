"""`runs list`, `compare` and `prune` over real runs of an hour."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flowguardian.acceptance.judge import judge
from flowguardian.cli.app import main
from flowguardian.cli.run_pruning import delete
from flowguardian.ops.platform_lock import FileLock
from flowguardian.ops.platform_process import start_child
from flowguardian.ops.registry import STATE_DIRECTORY, Registry
from tests.golden.market_run import make_run

DEADLINE_SECONDS = 20.0
DAY = 86_400


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    make_run(folder / "one", hours=0.5)
    make_run(folder / "two", market="synthetic:8", hours=0.5)
    return folder


@pytest.fixture(autouse=True)
def own_registry(tmp_path, monkeypatch):
    monkeypatch.setenv(STATE_DIRECTORY, str(tmp_path / "state"))


@pytest.fixture
def folder(made, tmp_path):
    """Runs a, b, c in this order, and a folder that is none; a was last written 40 days before the others."""
    runs = tmp_path / "runs"
    for name, source in (("a", "one"), ("b", "two"), ("c", "one")):
        shutil.copytree(made / source, runs / name)
        manifest = runs / name / "run.json"
        manifest.write_text(
            manifest.read_text(encoding="utf-8").replace('"golden"', f'"{name}"'), encoding="utf-8"
        )
        _age(runs / name, 40 * DAY if name == "a" else 3600 - ord(name))
    (runs / "notes").mkdir()
    (runs / "notes" / "keep.txt").write_text("mine", encoding="utf-8")
    return runs


def _age(place: Path, seconds: int) -> None:
    moment = place.stat().st_mtime - seconds
    for path in place.rglob("*"):
        os.utime(path, (moment, moment))


def ask(capsys, *arguments, code=0):
    capsys.readouterr()
    assert main(["runs", *map(str, arguments), "--json"]) == code
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def names(lines):
    return [Path(line["run_dir"]).name for line in lines]


# ---- list


def test_each_run_has_a_line_oldest_first_counted_as_the_report_counts(folder, capsys):
    answer = ask(capsys, "list", "--runs", folder)
    assert names(answer["runs"]) == ["a", "b", "c"]
    for line in answer["runs"]:
        judged = judge(Path(line["run_dir"]))
        assert line["entries"] == judged.counts.entries > 0
        assert line["kind"] == judged.kind == "rehearsal" and line["feed"] == judged.feed
        assert line["run_seconds"] == pytest.approx(judged.market_hours * 3600, abs=1)
        size = sum(path.stat().st_size for path in Path(line["run_dir"]).rglob("*") if path.is_file())
        assert line["size_bytes"] == size > 10_000
        assert line["state"] == "ended" and line["verdict"] == "not judged yet"
    assert answer["size_bytes"] == sum(line["size_bytes"] for line in answer["runs"])


def test_a_run_that_cannot_be_read_is_listed_with_why(folder, capsys):
    (folder / "b" / "journal.db").write_bytes(b"not a journal at all" * 100)
    (folder / "d").mkdir()
    shutil.copy(folder / "a" / "run.json", folder / "d")
    lines = {Path(line["run_dir"]).name: line for line in ask(capsys, "list", "--runs", folder)["runs"]}
    assert lines["b"]["state"] == lines["d"]["state"] == "unreadable"
    assert "journal" in lines["b"]["why"] and lines["a"]["entries"] > 0


def test_the_table_is_for_people_in_both_languages(folder, capsys):
    assert main(["runs", "list", "--runs", str(folder)]) == 0
    assert "3 runs" in capsys.readouterr().out
    assert main(["runs", "list", "--runs", str(folder), "--lang", "ko"]) == 0
    said = capsys.readouterr().out
    assert "실행 3개" in said and "판정" in said and "rehearsal" in said


def test_a_folder_without_runs_says_so(tmp_path, capsys):
    assert ask(capsys, "list", "--runs", tmp_path / "none") == {"runs": [], "size_bytes": 0}


# ---- compare


def test_two_runs_over_one_market_are_the_same_row_by_row(folder, capsys):
    answer = ask(capsys, "compare", "a", "c", "--runs", folder)
    assert answer["first_difference"] == 0 and answer["settings"] == []
    assert all(line["same"] for line in answer["lines"])


def test_figures_are_those_of_the_judge_and_the_first_other_row_is_named(folder, capsys):
    answer = ask(capsys, "compare", "a", "b", "--runs", folder)
    lines = {line["name"]: line for line in answer["lines"]}
    for name in ("entries", "signals", "refusals", "closed", "budget_caps"):
        values = (lines[name]["left"], lines[name]["right"])
        assert values == tuple(getattr(judge(folder / run).counts, name) for run in "ab")
    end = judge(folder / "a").money.end
    assert round(lines["money_end_usdt"]["left"] * 10**8) == end
    assert not lines["journal_hash"]["same"] and answer["first_difference"] > 1


def test_only_what_differs_is_shown_unless_all_is_asked(folder, capsys):
    main(["runs", "compare", "a", "b", "--runs", str(folder)])
    short = capsys.readouterr().out
    main(["runs", "compare", "a", "b", "--runs", str(folder), "--all"])
    whole = capsys.readouterr().out
    assert "trading_hash" in whole and "trading_hash" not in short
    assert "differs from row" in short and "journal_hash" in short


# ---- prune


def test_a_dry_run_names_what_would_go_and_touches_nothing(folder, capsys):
    def files():
        return sorted(path for path in folder.rglob("*") if not path.name.endswith(("-shm", "-wal")))

    before = files()
    answer = ask(capsys, "prune", "--keep", 1, "--dry-run", "--runs", folder)
    assert names(answer["deleted"]) == ["a", "b"] and answer["only_shown"] and answer["freed_bytes"] > 0
    assert files() == before


def test_the_newest_are_kept_and_what_is_no_run_is_never_touched(folder, capsys):
    answer = ask(capsys, "prune", "--keep", 2, "--yes", "--runs", folder)
    assert names(answer["deleted"]) == ["a"] and not answer["kept"]
    assert sorted(path.name for path in folder.iterdir()) == ["b", "c", "notes"]
    assert (folder / "notes" / "keep.txt").read_text(encoding="utf-8") == "mine"


def test_with_age_and_count_both_have_to_hold(folder, capsys):
    arguments = ("--older-than", "30d", "--yes", "--runs", folder)
    assert not ask(capsys, "prune", "--keep", 3, *arguments)["deleted"]
    assert names(ask(capsys, "prune", "--keep", 1, *arguments)["deleted"]) == ["a"]


def test_a_running_run_is_never_pruned(folder, capsys):
    child = start_child([sys.executable, "-c", "print('up', flush=True); input()"])
    try:
        assert child.stdout is not None and child.stdout.readline()
        # All copies carry the id of row 1, by which a living process is known.
        Registry().register("supervisor", "golden", pid=child.pid)
        answer = ask(capsys, "prune", "--keep", 0, "--yes", "--runs", folder)
        assert not answer["deleted"] and (folder / "a" / "journal.db").is_file()
    finally:
        child.kill()
        child.communicate(timeout=DEADLINE_SECONDS)


def test_a_run_whose_lock_is_held_is_kept_and_said(folder, capsys):
    with FileLock(folder / "a" / "run.lock", "supervisor of run a"):
        answer = ask(capsys, "prune", "--keep", 0, "--yes", "--runs", folder)
    assert names(answer["deleted"]) == ["b", "c"] and names(answer["kept"]) == ["a"]
    assert "supervisor of run a" in answer["kept"][0]["why"]
    assert (folder / "a" / "journal.db").is_file() and (folder / "a" / "run.json").is_file()


def test_without_a_terminal_nothing_is_deleted_unless_yes_was_said(folder, capsys):
    answer = ask(capsys, "prune", "--keep", 0, "--runs", folder, code=2)
    assert "--yes" in answer["error"]["fix"] and (folder / "a").is_dir()


@pytest.mark.parametrize(("reply", "left"), [("y\n", ["notes"]), ("n\n", ["a", "b", "c", "notes"])])
def test_a_person_is_asked_first(folder, capsys, monkeypatch, reply, left):
    class Terminal:
        def isatty(self):
            return True

        def readline(self, *_):
            return reply

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: reply.strip())
    main(["runs", "prune", "--keep", "0", "--runs", str(folder)])
    assert sorted(path.name for path in folder.iterdir()) == left


def test_nothing_is_pruned_without_a_condition(folder, capsys):
    answer = ask(capsys, "prune", "--yes", "--runs", folder, code=2)
    assert "--keep" in answer["error"]["fix"] and (folder / "a").is_dir()


def test_a_folder_that_is_no_run_or_only_points_to_one_is_not_deleted(folder):
    assert delete(folder / "notes") == "not a run folder"
    if sys.platform != "win32":
        (folder / "link").symlink_to(folder / "a", target_is_directory=True)
        assert delete(folder / "link") == "not a run folder"
    assert (folder / "a" / "journal.db").is_file()


def test_runs_alone_shows_what_it_can(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "flowguardian", "runs"], cwd=Path(__file__).resolve().parents[2],
        capture_output=True, timeout=DEADLINE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and b"prune" in done.stdout
