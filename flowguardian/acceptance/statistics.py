"""Small samples, honestly: a slope that outliers cannot move, and the range a rate or mean may lie in.

Rule: every figure here comes with its 95 % interval or is not given at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Z = 1.959963984540054
"""Two-sided 95 % of a normal distribution."""
MOST_POINTS = 1200
"""More points are thinned evenly: a slope needs all pairs."""


def theil_sen(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Median of all pairwise slopes with Sen's interval; at least three distinct x.

    Source: Sen (1968), Journal of the American Statistical Association 63, 1379-1389.
    """
    step = -(-len(x) // MOST_POINTS)
    xs, ys = np.asarray(x, float)[::step], np.asarray(y, float)[::step]
    first, second = np.triu_indices(len(xs), 1)
    run = xs[second] - xs[first]
    slopes = np.sort((ys[second] - ys[first])[run > 0] / run[run > 0])
    n, pairs = len(xs), len(slopes)
    spread = Z * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = max(0, int((pairs - spread) / 2))
    high = min(pairs - 1, int((pairs + spread) / 2))
    return float(np.median(slopes)), float(slopes[low]), float(slopes[high])


def wilson(wins: int, trials: int) -> tuple[float, float, float] | None:
    """A rate with its Wilson interval, in percent; None without trials."""
    if trials == 0:
        return None
    rate = wins / trials
    scale = 1 + Z * Z / trials
    middle = (rate + Z * Z / (2 * trials)) / scale
    half = Z * math.sqrt(rate * (1 - rate) / trials + Z * Z / (4 * trials * trials)) / scale
    return rate * 100, max(0.0, middle - half) * 100, min(1.0, middle + half) * 100


def mean_interval(values: Sequence[float]) -> tuple[float, float, float] | None:
    """A mean with its normal 95 % interval; None for fewer than two values."""
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    half = Z * deviation / math.sqrt(len(values))
    return mean, mean - half, mean + half
