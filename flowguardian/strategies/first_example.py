"""A first strategy: buy when the price climbs above its mean, sell when it falls below. Copy it."""
# mypy: allow-untyped-defs

from flowguardian.market.indicators import sma, window
from flowguardian.strategies.base import UNIT, Param, Strategy


def step(state, bar, params, out):
    close = bar.close * UNIT  # prices come as whole numbers of 0.00000001
    mean = sma(state.closes, close, params.bars)  # NaN, neither above nor below, until enough bars were seen
    before = state.side
    state.side = 1 if close > mean else -1 if close < mean else before
    out.stop = close * 0.003  # give up when it went 0.3 % against us ...
    out.target1 = close * 0.005  # ... and take what we have after 0.5 %
    return state.side if before != 0 and state.side != before else 0


strategy = Strategy(
    name="first_example",
    step=step,
    state=[("closes", window(100)), ("side", "i8")],
    params={"bars": Param(20, 2, 100, "how many closes make the mean")},
    warmup=lambda params: params.bars + 1,
)
