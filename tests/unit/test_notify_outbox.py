"""The outbox: what becomes a message once, what waits, what is dropped, and what a successor finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flowguardian.notify.outbox import (
    FILE_NAME,
    KEPT_MESSAGES,
    SECOND_NS,
    Kind,
    Limits,
    Message,
    Outbox,
    State,
    counts,
)

NOW = 1_000 * SECOND_NS
LIMITS = Limits(max_waiting=10, same_incident_seconds=600.0, longest_retry_delay_seconds=300.0)
Open = Callable[..., Outbox]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    made: list[Outbox] = []

    def open_(*channels: str) -> Outbox:
        made.append(Outbox(tmp_path / FILE_NAME, channels or ("1 json",), LIMITS))
        return made[-1]

    yield open_
    for box in made:
        box.close()


def message(key: str, *, urgent: bool = False, group: str = "", at: int = NOW) -> Message:
    return Message(key, Kind.INCIDENT, at, f"title {key}", f"body {key}", urgent, group)


def sent_titles(box: Outbox, channel: str = "1 json", now_ns: int = NOW) -> list[str]:
    titles = []
    while (due := box.due(channel, now_ns)) is not None:
        box.sending(due, now_ns)
        box.settle(due, State.SENT)
        titles.append(due.title)
    return titles


def test_messages_and_the_cursor_move_together_and_a_key_is_told_once(opened: Open) -> None:
    box = opened()
    box.take([message("a"), message("b")], "journal.db", 7)
    box.take([message("b"), message("c")], "journal.db", 9)
    assert box.cursor("journal.db") == 9 and box.cursor("ops.db") == 0
    assert sent_titles(box) == ["title a", "title b", "title c"]
    assert box.waiting() == 0


def test_every_channel_gets_every_message(opened: Open) -> None:
    box = opened("1 json", "2 tgram")
    box.take([message("a")])
    assert sent_titles(box, "1 json") == sent_titles(box, "2 tgram") == ["title a"]


def test_equal_incidents_within_the_window_are_one_message_and_the_next_says_how_many(opened: Open) -> None:
    box = opened()
    for second in range(5):
        box.take([message(f"x{second}", group="order lost", at=NOW + second * SECOND_NS)])
    box.take([message("y", group="another")])
    box.take([message("late", group="order lost", at=NOW + 600 * SECOND_NS)])
    found = []
    while (due := box.due("1 json", NOW)) is not None:
        box.settle(due, State.SENT)
        found.append((due.title, due.body))
    assert found == [("title x0", "body x0"), ("title y", "body y"), ("title late", "body late\n(+4)")]


def test_alarms_go_first_and_are_dropped_last(opened: Open) -> None:
    box = opened()
    assert box.take([message("alarm", urgent=True), *(message(str(n)) for n in range(14))]) == 5
    box.take([message("verdict", urgent=True)])
    titles = sent_titles(box)
    assert titles[:2] == ["title alarm", "title verdict"]
    assert titles[2:] == [f"title {n}" for n in range(6, 14)], "the oldest were dropped"


def test_a_failed_message_waits_for_its_time_and_a_clock_set_back_does_not_hold_it(opened: Open) -> None:
    box = opened()
    box.take([message("a")])
    due = box.due("1 json", NOW)
    assert due is not None
    box.sending(due, NOW)
    box.settle(due, State.WAITING, due_ns=NOW + 10 * SECOND_NS, why="429")
    assert box.due("1 json", NOW + 9 * SECOND_NS) is None
    again = box.due("1 json", NOW + 10 * SECOND_NS)
    assert again is not None and again.attempts == 1 and not again.repeated
    assert box.due("1 json", NOW - 600 * SECOND_NS) is not None, "beyond the longest delay: the clock moved"
    box.hasten()
    assert box.due("1 json", NOW) is not None


def test_what_was_sent_is_not_sent_again_and_what_was_being_sent_is_marked(opened: Open) -> None:
    box = opened()
    box.take([message("a"), message("b"), message("c")])
    first = box.due("1 json", NOW)
    assert first is not None
    box.sending(first, NOW)
    box.settle(first, State.SENT)
    second = box.due("1 json", NOW)
    assert second is not None
    box.sending(second, NOW)
    box.close()
    later = opened()
    assert later.interrupted == 1
    due = later.due("1 json", NOW)
    assert due is not None and due.title == "title b" and due.repeated
    assert sent_titles(later) == ["title b", "title c"]


def test_messages_for_a_channel_that_was_taken_away_do_not_wait(opened: Open) -> None:
    box = opened("1 json", "2 tgram")
    box.take([message("a")])
    box.close()
    later = opened("1 json")
    assert sent_titles(later) == ["title a"]
    assert later.waiting() == 0


def test_the_rate_counts_over_a_restart(opened: Open) -> None:
    box = opened()
    box.take([message("a"), message("b")])
    assert len(sent_titles(box)) == 2
    box.close()
    assert opened().tried_since("1 json", NOW - 1) == 2
    assert opened().tried_since("1 json", NOW) == 0


def test_settled_messages_are_kept_up_to_a_limit(opened: Open, tmp_path: Path) -> None:
    box = opened()
    box.take([message("first"), message("waits", urgent=True)])
    first = next(due for _ in range(2) if (due := box.due("1 json", NOW)) and due.urgent)
    assert first.title == "title waits"
    for start in range(0, KEPT_MESSAGES + 20, 500):
        box.take([message(str(n)) for n in range(start, start + 500)])
    (count,) = counts(tmp_path / FILE_NAME)
    assert count.waiting == 10 and count.dropped <= KEPT_MESSAGES + 500


def test_the_counts_of_a_run_without_an_outbox_are_none(tmp_path: Path) -> None:
    assert counts(tmp_path / FILE_NAME) == []
