"""Seeded draws without state: splitmix64 over (seed, moment, counter).

Rule: a draw is a function of its arguments alone, in 64-bit integer arithmetic, so any moment of a
market can be reached without playing the moments before it, with the same result on every machine.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_WORD = (1 << 64) - 1
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S1 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(1)


@njit(cache=True, nogil=True)
def scramble(word: np.uint64) -> np.uint64:
    """The splitmix64 finalizer: every input bit reaches every output bit."""
    word = (word ^ (word >> _S30)) * _FIRST
    word = (word ^ (word >> _S27)) * _SECOND
    return word ^ (word >> _S31)


@njit(cache=True, nogil=True)
def key_of(seed: np.uint64, moment: int) -> np.uint64:
    """The start of the stream of draws that belongs to one moment (a bar's open, a funding time)."""
    return scramble(seed ^ scramble(np.uint64(moment) + _GOLDEN))


@njit(cache=True, nogil=True)
def draw(key: np.uint64, counter: int) -> np.uint64:
    """Draw number `counter` of a stream."""
    return scramble(key + np.uint64(counter) * _GOLDEN)


@njit(cache=True, nogil=True)
def below(word: np.uint64, limit: int) -> int:
    """A draw as an integer in [0, limit); limit must be positive."""
    return np.int64((word >> _S1) % np.uint64(limit))  # type: ignore[return-value]  # an int when compiled


def stream_seed(seed: int, name: str) -> np.uint64:
    """The seed of one named stream (a symbol): FNV-1a of the name from a start that the seed gives.

    The name and not its place in the universe, so a symbol's market does not depend on its company.
    """
    value = 0xCBF29CE484222325 ^ _scramble_python(seed & _WORD)
    for byte in name.encode("utf-8"):
        value = ((value ^ byte) * 0x100000001B3) & _WORD
    return np.uint64(_scramble_python(value))


def _scramble_python(word: int) -> int:
    word = ((word ^ (word >> 30)) * int(_FIRST)) & _WORD
    word = ((word ^ (word >> 27)) * int(_SECOND)) & _WORD
    return word ^ (word >> 31)
