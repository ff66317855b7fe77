"""The outcome of one check: state, cause, exact fix.

Rule: red stops a start, and only what a person has to decide or do is red; a sentence comes from the
catalogue, so that both languages say it.
"""

from __future__ import annotations

from dataclasses import dataclass

from flowguardian.ops.check_words import is_sentence, words
from flowguardian.ops.words import NOTHING, Words, plain

OK, FIXED, WARN, RED = "ok", "fixed", "warn", "red"


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of one check."""

    state: str
    detail: str | Words
    fix: str | Words = ""

    @property
    def said(self) -> Words:
        """The detail in both languages."""
        return plain(self.detail)

    @property
    def remedy(self) -> Words:
        """The fix in both languages."""
        return plain(self.fix)


def checked(state: str, key: str, /, **values: object) -> Checked:
    """An outcome by its sentence; the fix is the sentence of the same key with `_fix`, where there is one."""
    fix = words(f"{key}_fix", **values) if is_sentence(f"{key}_fix") else NOTHING
    return Checked(state, words(key, **values), fix)
