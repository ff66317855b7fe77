"""FlowGuardian: from INIT to READY, or to QUARANTINE with the reason and the way out.

Rule: the table below is all there is; a step that is not in it raises. READY is reached by one way alone:
everything came up, and the real engine made the golden journal of the golden tape.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

import msgspec

from flowguardian.execution.events import TradingState
from flowguardian.ops.check_words import words
from flowguardian.ops.self_test import SelfTest, run_self_test
from flowguardian.ops.words import NOTHING, Words, plain


class State(StrEnum):
    """Where a start stands."""

    INIT = "INIT"
    BOOTSTRAP = "BOOTSTRAP"
    SELFTEST = "SELFTEST"
    READY = "READY"
    QUARANTINE = "QUARANTINE"


class Step(StrEnum):
    """What moves it."""

    BEGIN = "begin"
    UP = "up"
    HOLDS = "holds"
    FAIL = "fail"


TRANSITIONS: Mapping[tuple[State, Step], State] = {
    (State.INIT, Step.BEGIN): State.BOOTSTRAP,
    (State.BOOTSTRAP, Step.UP): State.SELFTEST,
    (State.BOOTSTRAP, Step.FAIL): State.QUARANTINE,
    (State.SELFTEST, Step.HOLDS): State.READY,
    (State.SELFTEST, Step.FAIL): State.QUARANTINE,
    (State.READY, Step.FAIL): State.QUARANTINE,
    (State.QUARANTINE, Step.BEGIN): State.BOOTSTRAP,
}
"""Quarantine is left by beginning anew, never by a switch."""

LOOSEST: Mapping[State, TradingState] = {
    State.INIT: TradingState.HALTED,
    State.BOOTSTRAP: TradingState.HALTED,
    State.SELFTEST: TradingState.HALTED,
    State.READY: TradingState.ACTIVE,
    State.QUARANTINE: TradingState.REDUCING,
}
"""The most a state allows. In quarantine what is open may still be closed; nothing new is opened."""

STRICTNESS = (TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED)


class IllegalStep(Exception):
    """A step that the table does not know: a defect of the caller."""


class Readiness(msgspec.Struct, frozen=True):
    """How a start ended."""

    state: State
    trading: TradingState
    rows: int
    """Rows that the self-test decided again and found equal."""
    journal_hash: str
    seconds: float
    causes: tuple[Words, ...] = ()
    leave: Words = NOTHING
    """What leads out of quarantine."""

    @property
    def ready(self) -> bool:
        """Whether trading may begin."""
        return self.state is State.READY


class FlowGuardian:
    """The state of one process, and why it is in quarantine."""

    def __init__(self) -> None:
        self.state = State.INIT
        self.causes: tuple[Words, ...] = ()

    def take(self, step: Step, *causes: Words) -> State:
        """Take a step; raises IllegalStep when the table does not know it, or a failure has no cause."""
        to = TRANSITIONS.get((self.state, step))
        if to is None:
            known = ", ".join(known for state, known in TRANSITIONS if state is self.state)
            raise IllegalStep(f"{self.state} knows no {step}; it knows {known or 'nothing'}")
        if (step is Step.FAIL) != bool(causes):
            raise IllegalStep(f"{step} in {self.state}: a failure names its cause, and nothing else has one")
        self.state, self.causes = to, causes
        return to

    def trading(self, asked: TradingState) -> TradingState:
        """The trading state that holds: what the engine says, or what this state allows if that is less."""
        return max(asked, LOOSEST[self.state], key=STRICTNESS.index)


def bring_up(
    bootstrap: Callable[[], Sequence[str | Words]] = tuple,
    *,
    self_test: Callable[[], SelfTest] = run_self_test,
    guardian: FlowGuardian | None = None,
) -> Readiness:
    """Lead a guardian from INIT (or QUARANTINE) to READY or QUARANTINE; raises nothing of what it calls.

    `bootstrap` brings up what the caller needs and returns what is missing, in words; none is success.
    """
    guardian, began = guardian or FlowGuardian(), time.perf_counter()
    guardian.take(Step.BEGIN)
    rows, journal_hash, leave = 0, "", NOTHING
    missing = _bootstrapped(bootstrap)
    if missing:
        guardian.take(Step.FAIL, *missing)
        leave = words("leave_bootstrap")
    else:
        guardian.take(Step.UP)
        cause, rows, journal_hash = _tested(self_test)
        leave = words("leave_self_test") if cause else NOTHING
        guardian.take(Step.FAIL if cause else Step.HOLDS, *cause)
    return Readiness(
        state=guardian.state,
        trading=guardian.trading(TradingState.ACTIVE),
        rows=rows,
        journal_hash=journal_hash,
        seconds=time.perf_counter() - began,
        causes=guardian.causes,
        leave=leave,
    )


def _bootstrapped(bootstrap: Callable[[], Sequence[str | Words]]) -> tuple[Words, ...]:
    try:
        return tuple(plain(cause) for cause in bootstrap())
    except Exception as error:  # noqa: BLE001  (whatever keeps a start from coming up is a reason, not an end)
        return (words("bootstrap_broke", error=f"{type(error).__name__}: {error}"),)


def _tested(self_test: Callable[[], SelfTest]) -> tuple[tuple[Words, ...], int, str]:
    """Why the engine may not trade, none if it may; the rows compared and the hash of its journal."""
    try:
        found = self_test()
    except Exception as error:  # noqa: BLE001  (an engine that breaks on the golden tape must not trade)
        return (words("self_test_broke", error=f"{type(error).__name__}: {error}"),), 0, ""
    cause = () if found.ok else (words("self_test_differs", why=found.why[:500]),)
    return cause, found.rows, found.journal_hash
