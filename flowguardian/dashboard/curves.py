"""A curve of bounded length: when it is full, neighbours become one point.

Rule: the newest sample is always the last point, and a column named in `largest` never loses its maximum.
"""

from __future__ import annotations

from collections.abc import Collection

Sample = tuple[float, ...]
"""Time in seconds, then values."""


class Curve:
    """Samples in order of time; `epoch` grows each time earlier points have changed."""

    def __init__(self, most: int, largest: Collection[int] = ()) -> None:
        self.points: list[Sample] = []
        self.epoch = 0
        self._most = most
        self._largest = frozenset(largest)
        self._width = 1.0
        self._begun = 0.0

    def add(self, sample: Sample) -> None:
        """One more sample; close to the one before it, the two become one."""
        if self.points and sample[0] - self._begun < self._width:
            self.points[-1] = self._merged(self.points[-1], sample)
            return
        self._begun = sample[0]
        self.points.append(sample)
        if len(self.points) > self._most:
            self._thin()

    def _thin(self) -> None:
        pairs = zip(self.points[::2], self.points[1::2], strict=False)
        left = self.points[-1:] if len(self.points) % 2 else []
        self.points = [self._merged(first, second) for first, second in pairs] + left
        # New points keep the distance the thinned ones have, so the next thinning comes at twice the time.
        self._width = max(1.0, 2 * (self.points[-1][0] - self.points[0][0]) / self._most)
        self._begun = self.points[-1][0]
        self.epoch += 1

    def _merged(self, first: Sample, second: Sample) -> Sample:
        return tuple(
            max(a, b) if column in self._largest else b
            for column, (a, b) in enumerate(zip(first, second, strict=True))
        )
