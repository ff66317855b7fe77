"""What settings are made of: exact numbers, blocks that refuse unknown keys, durations.

Rule: a number is read once, from its own digits, and never passes through a float.
"""

from __future__ import annotations

import re
import types
from decimal import Decimal
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

DECIMALS = 8
"""Money exists down to 1e-8; a finer setting could not be kept exactly."""
DIGITS = 15
"""More significant digits do not survive a JSON reader that knows floats only."""


class NotADuration(ValueError):
    """A text is no duration; the message says what one looks like."""


def _exact(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise PydanticCustomError("number", "expected a number")
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite():
        raise PydanticCustomError("number", "expected a finite number")
    digits, exponent = _significant(number)
    if exponent < -DECIMALS or digits + max(exponent, 0) > DIGITS:
        raise PydanticCustomError(
            "precision", "expected at most {n} decimals and {m} digits", {"n": DECIMALS, "m": DIGITS}
        )
    return number.normalize() + 0


def _significant(number: Decimal) -> tuple[int, int]:
    """Digits without trailing zeros, and the power of ten of the last; `normalize` would round a long one."""
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)  # noqa: S101 - only NaN and infinity have a letter there
    text = "".join(map(str, digits)).lstrip("0")
    kept = text.rstrip("0")
    return len(kept), exponent + len(text) - len(kept) if kept else 0


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Number = Annotated[Decimal, BeforeValidator(_exact)]
"""An exact decimal; accepts whole and fractional numbers, no text, no NaN."""
Texts = Annotated[tuple[str, ...], BeforeValidator(_tuple)]
Pair = Annotated[tuple[Number, Number], BeforeValidator(_tuple)]


class Block(BaseModel):
    """A section: frozen, complete, without unknown keys; an empty one means its defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, value: object) -> object:
        return {} if value is None else value


def number(default: str | None, text: str, unit: str = "", **bounds: int | str) -> Any:
    """A field for an exact number; bounds are ge, gt, le, lt."""
    limits: dict[str, Any] = {name: Decimal(bound) for name, bound in bounds.items()}
    value = None if default is None else Decimal(default).normalize() + 0
    return Field(value, description=text, json_schema_extra={"unit": unit}, **limits)


def option(default: Any, text: str, unit: str = "", *, secret: bool = False, **bounds: Any) -> Any:
    """A field for anything else. The value of a secret one is never shown, logged or hashed."""
    extra: dict[str, Any] = {"unit": unit, "secret": True} if secret else {"unit": unit}
    return Field(default, description=text, json_schema_extra=extra, **bounds)


def section(kind: type[Block], text: str) -> Any:
    """A field that is a block of its own."""
    return Field(default_factory=kind, description=text)


def unit_of(field: FieldInfo) -> str:
    """The unit of a field, "" without one."""
    extra = field.json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""


def is_secret(field: FieldInfo) -> bool:
    """Whether the value may never be shown."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("secret"))


def block_of(annotation: object) -> type[Block] | None:
    """The block a type stands for, also as `Block | None`; None when it is a value."""
    if isinstance(annotation, type) and issubclass(annotation, Block):
        return annotation
    return None


def named_blocks(annotation: object) -> type[Block] | None:
    """The block a type maps names to (`dict[str, Block]`), else None."""
    if get_origin(annotation) is dict:
        return block_of(get_args(annotation)[1])
    return None


def expected(field: FieldInfo) -> str:
    """What a field takes, for messages and for the reference page."""
    block = block_of(field.annotation)
    if block is not None:
        return f"a block with the keys {', '.join(block.model_fields)}"
    return _kind(field.annotation) + _range(field)


_PLAIN: dict[object, str] = {bool: "true or false", int: "a whole number", str: "text", Decimal: "a number"}


def _kind(annotation: object) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(args[0])
    if origin is Literal:
        return " or ".join(str(choice) for choice in args)
    if origin in (Union, types.UnionType):
        return " or ".join("null" if arg is type(None) else _kind(arg) for arg in args)
    if origin is tuple:
        if args[-1] is Ellipsis:
            return "a list of texts"
        return f"a list of {len(args)} numbers"
    if origin is dict:
        return "a block of names"
    return _PLAIN.get(annotation, "a value")


_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "at least", "max_length": "at most"}


def _range(field: FieldInfo) -> str:
    parts = [
        f"{sign} {getattr(bound, name)}"
        for bound in field.metadata
        for name, sign in _SIGNS.items()
        if getattr(bound, name, None) is not None
    ]
    return " " + " and ".join(parts) if parts else ""


_PART = re.compile(r"(\d+(?:\.\d+)?)([dhms])")
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def duration_seconds(text: str) -> int:
    """A text like 12h, 60m, 90s or 1h30m in seconds; raises NotADuration (also for a bare number or zero)."""
    plain = text.strip().lower()
    parts = _PART.findall(plain)
    if not parts or "".join(amount + unit for amount, unit in parts) != plain:
        raise NotADuration(f"{text!r} is not a duration: write it like 12h, 60m, 90s or 1h30m")
    seconds = sum((Decimal(amount) * _SECONDS[unit] for amount, unit in parts), Decimal(0))
    if seconds <= 0 or seconds != int(seconds):
        raise NotADuration(f"{text!r} is not a whole number of seconds above zero")
    return int(seconds)
