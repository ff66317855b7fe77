"""Where the keys of an account come from: the run's own venue, the environment, or the system's keyring.

Rule: keys live in memory alone; nothing here writes one down, and no message holds one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from flowguardian.brokers.signed import Keys
from flowguardian.feeds.base import VenueRefused

KEY_VARIABLE, SECRET_VARIABLE = "FLOWGUARDIAN_API_KEY", "FLOWGUARDIAN_API_SECRET"
KEY_NAME, SECRET_NAME = "api_key", "api_secret"
"""What they are called in the keyring."""


class KeysMissing(VenueRefused):
    """There is no key for the venue."""


class Found(NamedTuple):
    """Keys, and where they were found."""

    keys: Keys
    place: str


class _Said(msgspec.Struct):
    """The part of a local venue's ready line that names its account."""

    api_key: str = ""
    api_secret: str = ""


def keys_of_venue(venue_file: Path) -> Keys:
    """The keys of the run's own venue."""
    said = msgspec.json.decode(venue_file.read_bytes(), type=_Said)
    return Keys(said.api_key, said.api_secret)


def keys_of_owner(service: str) -> Found:
    """The keys in the environment, else in the keyring; raises KeysMissing, also for half of them."""
    key, secret = os.environ.get(KEY_VARIABLE, ""), os.environ.get(SECRET_VARIABLE, "")
    if key and secret:
        return Found(Keys(key, secret), "environment")
    if key or secret:
        raise KeysMissing(f"only one of {KEY_VARIABLE} and {SECRET_VARIABLE} is set: set both, or none")
    kept, why = _in_keyring(service)
    if kept is not None:
        return Found(kept, "keyring")
    raise KeysMissing(
        f"{KEY_VARIABLE} and {SECRET_VARIABLE} are not set, and {why}. Make a key that may trade futures "
        "and not withdraw, bind it to this address, and set both in the environment, or keep them in the "
        f"keyring: `keyring set {service} {KEY_NAME}` and `keyring set {service} {SECRET_NAME}`"
    )


def _in_keyring(service: str) -> tuple[Keys | None, str]:
    """The keys, or why there are none."""
    try:
        import keyring
        import keyring.errors
    except ImportError:
        return None, "no keyring is installed (pip install 'flowguardian[keyring]')"
    try:
        key, secret = (keyring.get_password(service, name) or "" for name in (KEY_NAME, SECRET_NAME))
    except keyring.errors.KeyringError as error:
        return None, f"the keyring cannot be read ({type(error).__name__})"
    if key and secret:
        return Keys(key, secret), ""
    return None, f"the keyring has no {KEY_NAME} and {SECRET_NAME} under {service}"
