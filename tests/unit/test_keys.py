"""Where keys are found, and that none is ever shown."""

from __future__ import annotations

import sys

import keyring
import keyring.errors
import pytest
from keyring.backend import KeyringBackend

from flowguardian.ops.keys import KEY_VARIABLE, SECRET_VARIABLE, KeysMissing, keys_of_owner

SERVICE = "flowguardian"


class InMemory(KeyringBackend):
    """A keyring of the test; `broken` raises as one without a session does."""

    priority = 1

    def __init__(self, kept: dict[tuple[str, str], str], *, broken: bool = False) -> None:
        super().__init__()
        self.kept, self.broken = kept, broken

    def get_password(self, service: str, username: str) -> str | None:
        if self.broken:
            raise keyring.errors.NoKeyringError("no session bus")
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    for name in (KEY_VARIABLE, SECRET_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    before = keyring.get_keyring()
    keyring.set_keyring(InMemory({}))
    yield
    keyring.set_keyring(before)


def test_the_environment_comes_first(monkeypatch):
    keyring.set_keyring(InMemory({(SERVICE, "api_key"): "k2", (SERVICE, "api_secret"): "s2"}))
    monkeypatch.setenv(KEY_VARIABLE, "k1")
    monkeypatch.setenv(SECRET_VARIABLE, "s1")
    found = keys_of_owner(SERVICE)
    assert (found.keys.key, found.keys.secret, found.place) == ("k1", "s1", "environment")
    assert "k1" not in repr(found) and "s1" not in repr(found)


def test_then_the_keyring_under_the_name_of_the_settings():
    keyring.set_keyring(InMemory({}))
    for name, text in (("api_key", "k2"), ("api_secret", "s2")):
        keyring.set_password("mine", name, text)
    found = keys_of_owner("mine")
    assert (found.keys.key, found.keys.secret, found.place) == ("k2", "s2", "keyring")
    with pytest.raises(KeysMissing, match="under flowguardian"):
        keys_of_owner(SERVICE)


def test_half_of_them_is_said_and_not_filled_up_from_elsewhere(monkeypatch):
    keyring.set_keyring(InMemory({(SERVICE, "api_key"): "k2", (SERVICE, "api_secret"): "s2"}))
    monkeypatch.setenv(KEY_VARIABLE, "k1")
    with pytest.raises(KeysMissing, match="only one of") as told:
        keys_of_owner(SERVICE)
    assert "k1" not in str(told.value)


def test_a_keyring_that_cannot_be_read_and_one_that_is_not_installed_are_said(monkeypatch):
    keyring.set_keyring(InMemory({}, broken=True))
    with pytest.raises(KeysMissing, match=r"cannot be read \(NoKeyringError\).*keyring set flowguardian"):
        keys_of_owner(SERVICE)
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(KeysMissing, match=r"pip install 'flowguardian\[keyring\]'"):
        keys_of_owner(SERVICE)
