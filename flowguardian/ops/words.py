"""A text in both languages at once, so that what is written down can be read in either later.

Rule: both languages are always there; codes, keys, commands and names of files stay as they are.
"""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    """The same said in English and in Korean."""

    en: str
    ko: str

    def said(self, language: str) -> str:
        """The text of a language."""
        return self.ko if language == "ko" else self.en


NOTHING = Words("", "")


def plain(text: str | Words) -> Words:
    """A text that is the same in both languages: the words of an error, a name, a path."""
    return text if isinstance(text, Words) else Words(text, text)
