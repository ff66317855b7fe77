"""The strategy of the hostile worlds: it enters at every bar, long and short in turn.

Rule: nobody should trade it; more orders than any strategy would send are what it is for.
"""
# mypy: allow-untyped-defs

from flowguardian.market.indicators import sma, window
from flowguardian.strategies.base import UNIT, Param, Strategy


def step(state, bar, params, out):
    sma(state.closes, bar.close * UNIT, params.bars)
    state.side = -1 if state.side > 0 else 1
    out.stop = bar.close * UNIT * 0.01
    return state.side


strategy = Strategy(
    name="restless",
    step=step,
    state=[("closes", window(10)), ("side", "i8")],
    params={"bars": Param(2, 2, 10, "how many closes make the mean")},
    warmup=lambda params: params.bars + 1,
)
