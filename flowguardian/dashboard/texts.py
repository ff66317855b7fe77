"""The texts of the page in Korean and English, by key, with the words it shares with the command line.

Rule: both languages hold the same keys (a test compares them); codes stay English, and a Korean label
carries its code: 한국어 (CODE).
"""

from __future__ import annotations

import functools
import tomllib
from importlib.resources import files

from flowguardian.cli.language import LANGUAGES, Say
from flowguardian.cli.messages import MESSAGES, REASONS, RELEASES


@functools.cache
def texts() -> dict[str, dict[str, str]]:
    """Language → key → text: those of the page, of the reasons, and the lines of the arithmetic."""
    return {language: {**own(language), **_shared(Say(language))} for language in LANGUAGES}


def own(language: str) -> dict[str, str]:
    """The texts of the page alone."""
    text = files("flowguardian.dashboard").joinpath("locale", f"{language}.toml").read_text(encoding="utf-8")
    return {str(key): str(value) for key, value in tomllib.loads(text).items()}


def _shared(say: Say) -> dict[str, str]:
    place = LANGUAGES.index(say.language)
    found = {f"reason_{code}": say.reason(code) for code in REASONS}
    found |= {f"release_{key}": say.release(key) for key in RELEASES}
    lines = [key for key in MESSAGES if key.startswith("line_")]
    return found | {key: MESSAGES[key][place] for key in lines}
