"""Settings of the stores outside the trading process: which there are, and the limits of their views.

Rule: nothing here can change a trade, so none of it is part of the trading hash; addresses are secret.
"""

from __future__ import annotations

from typing import Literal

from flowguardian.ops.settings_types import Block, Number, number, option

StoresMode = Literal["off", "embedded", "urls"]
POSTGRES_ADDRESS = r"^$|^\*\*\*$|^postgres(ql)?(\+psycopg)?://.+"
REDIS_ADDRESS = r"^$|^\*\*\*$|^(rediss?|unix)://.+"
"""Where a recorded configuration is read again, an address is hidden."""


class Stores(Block):
    mode: StoresMode = option(
        "off",
        "off: the journal alone; embedded: servers from the extras postgres and redis, those that are "
        "installed; urls: the addresses below.",
    )
    postgres_url: str = option(
        "", "Address of a Postgres, postgresql://user:password@host/database; empty = that of the "
        "environment (FLOWGUARDIAN_POSTGRES_URL), without one off. Never shown or recorded.", secret=True,
        pattern=POSTGRES_ADDRESS,
    )  # fmt: skip
    redis_url: str = option(
        "", "Address of a Redis or Valkey, redis://:password@host:6379/0; empty = that of the "
        "environment (FLOWGUARDIAN_REDIS_URL), without one off. Never shown or recorded.", secret=True,
        pattern=REDIS_ADDRESS,
    )  # fmt: skip
    env: str = option(
        "default",
        "Word in the names of keys, flowguardian:<env>:<run>:…; runs of other environments are left alone.",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$",
    )
    batch_rows: int = option(
        1000, "Rows per read of the journal and per transaction of a store.", "rows", ge=1, le=1000
    )
    poll_seconds: Number = number("0.5", "Wait when there is nothing new.", "s", gt=0, le=60)
    retry_seconds: Number = number(
        "0.5", "Wait after the first failure of a store; doubles with each further one.", "s", gt=0, le=60
    )
    retry_longest_seconds: Number = number("30", "Longest wait between two tries.", "s", gt=0, le=3600)
    answer_seconds: Number = number(
        "10", "A store that does not answer for this long is taken for dead.", "s", gt=0, le=300
    )
    drain_seconds: Number = number(
        "15", "At the end of a run, the time for the last rows to reach the stores.", "s", gt=0, le=600
    )
    heartbeat_ttl_seconds: int = option(
        15, "The heartbeat key in Redis goes away after this long without a view.", "s", ge=3, le=3600
    )
    stream_rows: int = option(10_000, "Rows kept in the event stream in Redis.", "rows", ge=1, le=1_000_000)
    status_seconds: Number = number("1", "Time between two looks at the views.", "s", gt=0, le=60)
