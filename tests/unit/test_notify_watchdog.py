"""The watchdog: dead, silent, finished and taken over are told apart, sleep and clock steps raise nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flowguardian.journal.ops_events import ProcessExited, ProcessStarted, RunFinished
from flowguardian.notify.watchdog import Standing, Watchdog
from flowguardian.ops.platform_process import start_time_of
from flowguardian.ops.recovery import Beat, write_beat


class Scene:
    """A watchdog whose time is moved by hand."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir, self.seconds, self.beats = run_dir, 0.0, 0
        self.dog = Watchdog(run_dir, 30.0, now=lambda: self.seconds)

    def pass_(self, seconds: float, *, beating: bool = False, step: float = 1.0) -> Standing:
        """Time goes by in turns of the notifier."""
        until = self.seconds + seconds
        while self.seconds < until:
            self.seconds += step
            if beating:
                self.beat()
            found = self.dog.look()
        return found

    def beat(self) -> None:
        self.beats += 1
        write_beat(self.run_dir, Beat(wall_ns=self.beats))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def me() -> ProcessStarted:
    return ProcessStarted(5, "supervisor", os.getpid(), start_time_of(os.getpid()) or 0.0)


def dead() -> ProcessStarted:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        row = ProcessStarted(5, "supervisor", child.pid, start_time_of(child.pid) or 0.0)
        child.communicate(b"\n")
    return row


def test_before_any_supervisor_nothing_is_known(scene: Scene) -> None:
    assert scene.pass_(100) is Standing.UNKNOWN


def test_a_supervisor_that_beats_is_alive_and_one_that_stops_is_silent(scene: Scene) -> None:
    scene.dog.row(me())
    assert scene.pass_(100, beating=True) is Standing.ALIVE
    assert scene.pass_(28) is Standing.ALIVE
    assert scene.pass_(4) is Standing.SILENT
    scene.beat()
    assert scene.pass_(1) is Standing.ALIVE, "it speaks again"


def test_a_dead_supervisor_is_gone_at_once(scene: Scene) -> None:
    scene.dog.row(dead())
    assert scene.pass_(1) is Standing.GONE


def test_a_pid_that_now_belongs_to_another_process_is_not_the_supervisor(scene: Scene) -> None:
    mine = me()
    scene.dog.row(ProcessStarted(5, "supervisor", mine.pid, mine.start_time - 1000.0))
    assert scene.pass_(1) is Standing.GONE


def test_after_the_end_in_order_it_judges_and_then_is_done(scene: Scene) -> None:
    scene.dog.row(me())
    scene.dog.row(RunFinished(9, "completed"))
    assert scene.pass_(500) is Standing.JUDGING, "judging takes its time and does not beat"
    scene.dog.row(dead())
    scene.dog.row(RunFinished(9, "completed"))
    assert scene.pass_(1) is Standing.DONE


def test_a_supervisor_that_said_why_it_breaks_down_is_told_by_its_row(scene: Scene) -> None:
    row = dead()
    scene.dog.row(row)
    scene.dog.row(ProcessExited(9, "supervisor", row.pid, 1, "uncaught KeyError", True, False))
    assert scene.pass_(1) is Standing.DONE


def test_a_computer_that_slept_raises_no_alarm(scene: Scene) -> None:
    scene.dog.row(me())
    scene.pass_(5, beating=True)
    assert scene.pass_(3600, step=3600) is Standing.ALIVE, "both slept: the silence is counted anew"
    assert scene.pass_(31) is Standing.SILENT


def test_a_second_supervisor_brings_a_notifier_of_its_own(scene: Scene) -> None:
    scene.dog.row(dead())
    scene.dog.row(me())
    assert not scene.dog.handed_over, "both began before anybody watched"
    scene.pass_(1)
    scene.dog.row(dead())
    assert scene.dog.handed_over


def test_the_last_sign_of_life_is_the_beat_or_else_the_start(scene: Scene) -> None:
    scene.dog.row(dead())
    assert scene.dog.last_sign_ns() == 5
    write_beat(scene.run_dir, Beat(wall_ns=77))
    assert scene.dog.last_sign_ns() == 77
