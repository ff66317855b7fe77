"""Where the rows of a run become durable.

Rule: a market row is put on the tape before anything looks at it, a fact and its decisions are one commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from flowguardian.execution.events import Row


class Recorder(Protocol):
    """Where rows become durable."""

    def market(self, rows: npt.NDArray[np.void]) -> None:
        """Put market rows on the tape."""

    def commit(self, rows: Sequence[Row], *, durable: bool) -> None:
        """Write one fact and its decisions; when `durable`, wait for tape and journal to be on disk."""
