"""Every sentence of a report, in Korean and English, by key.

Rule: both languages hold the same keys and the same placeholders (a test compares them); codes stay English.
"""

from __future__ import annotations

import functools
import tomllib
from importlib.resources import files

from flowguardian.acceptance.judgement import Text

LANGUAGES = ("ko", "en")


class UnknownSentence(KeyError):
    """A key is not in the catalogue."""


@functools.cache
def sentences(language: str) -> dict[str, str]:
    """The catalogue of a language, keys with dots."""
    text = files("flowguardian.acceptance").joinpath("locale", f"{language}.toml").read_text(encoding="utf-8")
    return {
        f"{table}.{key}": value for table, part in tomllib.loads(text).items() for key, value in part.items()
    }


def text(key: str, **values: object) -> Text:
    """The sentence of a key in both languages; a value that is a Text itself gives its own language."""
    return Text(ko=_fill("ko", key, values), en=_fill("en", key, values))


def known(key: str) -> bool:
    """Whether the catalogue has a key."""
    return key in sentences("en")


def plain(words: object) -> Text:
    """The same words in both languages."""
    return Text(ko=str(words), en=str(words))


def joined(parts: list[Text], separator: str = " ") -> Text:
    """Sentences one after another."""
    return Text(ko=separator.join(p.ko for p in parts), en=separator.join(p.en for p in parts))


def _fill(language: str, key: str, values: dict[str, object]) -> str:
    sentence = sentences(language).get(key)
    if sentence is None:
        raise UnknownSentence(f"no sentence {key!r} in locale/{language}.toml: add it to both languages")
    own = {
        name: getattr(value, language) if isinstance(value, Text) else value for name, value in values.items()
    }
    return sentence.format(**own) if own else sentence
