"""Planted defects for the broken twin: what a FAIL looks like, and that the invariants catch it.

Rule: nothing that trades paper or live may import this; it runs on the synthetic market only.
"""

from __future__ import annotations

from flowguardian.execution.portfolio_manager import PortfolioManager


class LeakyPortfolio(PortfolioManager):
    """Forgets what is used: the bug of the earlier system, whose budget was always 0 used."""

    def _get_used_budget(self, strategy: str) -> int:
        """Always nothing."""
        return 0
