"""The strategies that come with the engine; a user's own is a path to a file, see `ops/strategy_cache.load`.

Rule: adding a strategy is one file and one line here.
"""

from __future__ import annotations

from flowguardian.strategies import ema_cross, first_example, scalping
from flowguardian.strategies.base import Strategy

STRATEGIES: dict[str, Strategy] = {
    "scalping": scalping.strategy,
    "ema_cross": ema_cross.strategy,
    "first_example": first_example.strategy,
}
