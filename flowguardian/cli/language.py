"""Korean or English: which of them, and the words the commands share.

Rule: labels and sentences are translated; codes, keys, option names and JSON stay English. A Korean label
carries its English code in brackets where people will search for it.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Literal

from flowguardian.cli.messages import MESSAGES, REASONS, RELEASES

Language = Literal["en", "ko"]
LANGUAGES: tuple[Language, ...] = ("en", "ko")
VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
_WINDOWS_KOREAN = 0x12
"""Primary language id of Korean in a Windows LANGID."""


def choose(option: str | None = "", configured: str | None = "auto") -> Language:
    """--lang, then the settings of the run, then the system; an unknown --lang is refused by `checked`."""
    for wanted in (option, configured):
        for language in LANGUAGES:
            if wanted and wanted.lower() == language:
                return language
    return _of_system()


def checked(option: str) -> str:
    """The value of --lang; raises CliError when it is neither ko nor en."""
    from flowguardian.cli.output import CliError

    if option and option.lower() not in LANGUAGES:
        raise CliError(f"there is no language {option}", where="--lang", fix="use ko or en")
    return option.lower()


def _of_system() -> Language:
    told = next((os.environ[name] for name in VARIABLES if os.environ.get(name)), "")
    if told:
        return "ko" if told.lower().startswith("ko") else "en"
    if sys.platform == "win32":
        import ctypes

        korean = ctypes.windll.kernel32.GetUserDefaultUILanguage() & 0x3FF == _WINDOWS_KOREAN
        return "ko" if korean else "en"
    return "en"


class Say:
    """The texts of one language."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._place = LANGUAGES.index(language)

    def __call__(self, key: str, **values: Any) -> str:
        """A text by its key, with its values filled in; an unknown key is a defect and raises KeyError."""
        return MESSAGES[key][self._place].format(**values)

    def reason(self, code: str) -> str:
        """A reason code; in Korean with its label before it."""
        label = REASONS.get(code, "")
        return f"{label} ({code})" if label and self.language == "ko" else code

    def release(self, key: str) -> str:
        """What releases a guard, as a sentence; a key this version does not know is shown as it is."""
        found = RELEASES.get(key)
        return found[self._place] if found else key
