"""Checks of what will decide: the configuration, its shadowed limits, and the engine itself.

Rule: the engine is tested by running it; nothing here can be green because a part of it was left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flowguardian.ops.checked import OK, RED, WARN, Checked, checked
from flowguardian.ops.flow_guardian import Readiness
from flowguardian.ops.words import Words


def check_shadows(lines: Sequence[str]) -> Checked:
    """Limits that can never bind are shown: each is allowed, and none is what somebody wanted."""
    if not lines:
        return checked(OK, "none")
    return checked(WARN, "shadows", count=len(lines), lines="; ".join(lines))


def check_self_test(bring_up: Callable[[], Readiness]) -> Checked:
    """FlowGuardian is READY, or red with the reason of its quarantine and the way out."""
    found = bring_up()
    if found.ready:
        return checked(
            OK, "ready", rows=found.rows, hash=found.journal_hash[:12], seconds=f"{found.seconds:.1f}"
        )
    causes = Words(
        "; ".join(cause.en for cause in found.causes), "; ".join(cause.ko for cause in found.causes)
    )
    return Checked(RED, Words(f"QUARANTINE: {causes.en}", f"QUARANTINE: {causes.ko}"), found.leave)
