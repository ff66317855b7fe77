"""Korean and English say the same, and codes stay English."""

from __future__ import annotations

import string

import pytest

from flowguardian.cli.language import VARIABLES, Say, choose
from flowguardian.cli.messages import MESSAGES, REASONS, RELEASES
from flowguardian.execution.events import Reason
from flowguardian.guards.base import Release


def _names(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("key", MESSAGES)
def test_both_languages_of_a_message_take_the_same_values(key):
    english, korean = MESSAGES[key]
    assert english
    assert korean
    assert _names(english) == _names(korean)


def test_every_reason_has_a_korean_label_and_every_release_a_sentence():
    assert set(REASONS) == {reason.value for reason in Reason}
    assert set(RELEASES) == {release.value for release in Release}


def test_a_korean_label_carries_its_english_code():
    assert Say("ko").reason("spread") == "스프레드 (spread)"
    assert Say("en").reason("spread") == "spread"


def test_a_code_of_a_newer_version_is_shown_as_it_is():
    assert Say("ko").reason("new_guard") == "new_guard"
    assert Say("ko").release("new_release") == "new_release"


@pytest.mark.parametrize(
    ("option", "configured", "system", "chosen"),
    [
        ("ko", "en", "en_US.UTF-8", "ko"),
        ("", "ko", "en_US.UTF-8", "ko"),
        ("", "auto", "ko_KR.UTF-8", "ko"),
        ("", "auto", "de_DE.UTF-8", "en"),
        (None, None, "ko_KR.UTF-8", "ko"),
    ],
)
def test_the_option_wins_over_the_settings_and_they_over_the_system(
    option, configured, system, chosen, monkeypatch
):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", system)
    assert choose(option, configured) == chosen
