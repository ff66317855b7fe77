"""Exact money: integers in units of 1e-8; the only place that knows the scale.

Rule: a value is rounded once, here, in a named direction. Prices, quantities, money and ratios
share the scale 1e-8; a product of two of them has the scale 1e-16 and lives in Python integers only.
"""

from __future__ import annotations

from decimal import Decimal

SCALE = 100_000_000
"""Units in one whole."""


def units(value: Decimal | int | str) -> int:
    """The integer units of a decimal value; raises ValueError when it is finer than 1e-8."""
    scaled = Decimal(value) * SCALE
    whole = scaled.to_integral_value()
    if whole != scaled:
        raise ValueError(f"{value} is finer than 1e-8, the smallest amount that exists here")
    return int(whole)


def decimal(value: int) -> Decimal:
    """Units as a Decimal, for the edges (display, files)."""
    return Decimal(value) / SCALE


def from_float(value: float) -> int:
    """The nearest integer units of a float (ties to even); the only door from indicators into money.

    Raises ValueError for NaN and OverflowError for infinities.
    """
    return round(value * SCALE)


def ceil_div(numerator: int, denominator: int) -> int:
    """The quotient rounded up (denominator > 0)."""
    return -(-numerator // denominator)


def floor_money(product: int) -> int:
    """Scale 1e-16 to money, rounded down (towards minus infinity): profit and loss."""
    return product // SCALE


def ceil_money(product: int) -> int:
    """Scale 1e-16 to money, rounded up: fees, reservations, funding paid."""
    return -(-product // SCALE)


def share(amount: int, ratio: int) -> int:
    """`amount` × `ratio` rounded down."""
    return amount * ratio // SCALE


def notional(price: int, quantity: int) -> int:
    """Price × quantity rounded up: what a position or order is worth against a limit."""
    return -(-price * quantity // SCALE)


def fee(price: int, quantity: int, rate: int) -> int:
    """The fee of a fill, rounded up once from the exact product (scale 1e-24)."""
    return -(-price * quantity * rate // (SCALE * SCALE))


def funding(side: int, quantity: int, mark: int, rate: int) -> int:
    """Funding of a position, rounded down once: received less, paid more (a long pays a positive rate)."""
    return -side * quantity * mark * rate // (SCALE * SCALE)


def ceil_step(quantity: int, step: int) -> int:
    """The smallest multiple of `step` that is no less than `quantity`."""
    return ceil_div(quantity, step) * step


def floor_step(quantity: int, step: int) -> int:
    """The largest multiple of `step` not above `quantity` (never below zero)."""
    return quantity // step * step if quantity > 0 else 0
