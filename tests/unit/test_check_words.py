"""The sentences of the checks: both languages, the same placeholders, none of them unused."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

import flowguardian
from flowguardian.ops.check_words import item_text, sentences, words
from flowguardian.ops.words import Words, plain

PACKAGE = Path(flowguardian.__file__).parent
HANGUL = re.compile(r"[가-힣]")
COMMAND = re.compile(r"`flowguardian (\w+)")


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("key", sorted(sentences("en")))
def test_both_languages_say_a_sentence_with_the_same_placeholders(key):
    en, ko = sentences("en")[key], sentences("ko")[key]
    assert placeholders(en) == placeholders(ko)
    bare = re.sub(r"\{\w+\}|[\W\d_]", "", en)
    assert not bare or HANGUL.search(ko), "not translated"
    assert not HANGUL.search(en)


def test_korean_holds_no_other_sentences():
    assert sentences("en").keys() == sentences("ko").keys()


def test_every_sentence_is_used_and_every_fix_has_its_sentence():
    code = "\n".join(path.read_text(encoding="utf-8") for path in (PACKAGE / "ops").rglob("*.py"))
    for key in sentences("en"):
        base = key.removesuffix("_fix")
        assert f'"{key}"' in code or (base in sentences("en") and f'"{base}"' in code), key


def test_a_fix_names_commands_that_exist():
    from flowguardian.cli.app import COMMANDS

    named = {name for text in sentences("en").values() for name in COMMAND.findall(text)}
    assert named and named <= COMMANDS.keys()


def test_words_fill_both_and_an_unknown_key_is_a_defect():
    assert words("namespace_cleaned", count=3) == Words("3 own keys removed", "자체 키 3개 삭제")
    with pytest.raises(KeyError):
        words("no_such_sentence")


def test_items_have_korean_labels_with_the_english_name_behind():
    assert (
        item_text("free disk", "ko") == "디스크 여유 (free disk)"
        and item_text("free disk", "en") == "free disk"
    )
    assert item_text("container pg", "ko") == "컨테이너 (container pg)" and item_text("new", "ko") == "new"


def test_a_plain_text_is_the_same_in_both_languages():
    assert plain("x").said("ko") == plain("x").said("en") == "x"
    assert plain(Words("a", "b")).said("ko") == "b"
