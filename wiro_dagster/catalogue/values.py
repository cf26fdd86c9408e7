"""Given values, of any spelling, as the values that go over the wire."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

_TRUE_WORDS = ("true", "yes", "on", "1")
_FALSE_WORDS = ("false", "no", "off", "0")
_MAX_EXPONENT = 30
_UNKEPT = re.compile("[\\x00\\ud800-\\udfff]")


def is_absent(value: object) -> bool:
    """Whether a value says "not given": None, blank text, an empty list, or a table's NaN."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, (list, tuple, set, Mapping)):
        return not value
    try:
        # Only NaN and its kin differ from themselves.
        return bool(value != value)  # noqa: PLR0124
    except TypeError:
        return True  # pandas' NA has no truth
    except ValueError:
        return False  # arrays


def number_text(number: Decimal) -> str:
    """The one spelling of a number: no exponent, no trailing zeros. `6.0` is `6`.

    Raises:
        ValueError: it is infinite or not a number.
    """
    if not number.is_finite():
        raise ValueError("a finite number is needed")
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def wire_text(value: object) -> str:
    r"""A scalar as text, so that 6, 6.0 and "6" are one value, as are True and "true".

    Text is kept but for line ends, which become `\n`, and blanks around it, which go.

    Raises:
        ValueError: it is a list, a mapping, bytes or the like, or text that no database keeps.
    """
    value = unwrapped(value)
    if isinstance(value, str):
        if _UNKEPT.search(value):
            raise ValueError("the text holds a NUL or half of a character")
        return value.replace("\r\n", "\n").replace("\r", "\n").strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (float, Decimal)):
        return number_text(Decimal(repr(value)) if isinstance(value, float) else value)
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    raise ValueError(f"one text or number is needed, not a {type(value).__name__}")


def unwrapped(value: object) -> object:
    """A numpy scalar as the Python value it holds; anything else as it is."""
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) == 0:
        return item()
    return value


def find_number(value: object) -> Decimal | None:
    """A number from its text or itself; `None` where it is none, or not finite."""
    if isinstance(unwrapped(value), bool):
        return None
    try:
        number = Decimal(wire_text(value))
    except (InvalidOperation, ValueError):
        return None
    # Beyond this a number is a typing error, and writing it out would take megabytes.
    return number if number.is_finite() and abs(number.adjusted()) <= _MAX_EXPONENT else None


def plain_number(number: Decimal) -> int | float:
    """A number as JSON writes it: an int where it is whole."""
    return int(number) if number == number.to_integral_value() else float(number)


def find_option(given: object, options: tuple[str, ...]) -> str | None:
    """The option that `given` spells; `None` where it spells none.

    Numbers match by value (`6` is "6") and yes-or-no words by meaning (YAML's `yes` is "true").
    """
    text = wire_text(given)
    if text in options:
        return text
    number = find_number(given)
    if number is not None:
        for option in options:
            if find_number(option) == number:
                return option
    for words in (_TRUE_WORDS, _FALSE_WORDS):
        if text.casefold() in words:
            return next((option for option in options if option.casefold() in words), None)
    return None


def plain_wire_value(value: Any) -> Any:
    """A value for an input that cannot be validated: scalars kept, lists as tuples.

    Raises:
        ValueError: it cannot be sent.
    """
    value = unwrapped(value)
    if isinstance(value, (list, tuple)):
        return tuple(wire_text(item) for item in value if not is_absent(item))
    if isinstance(value, (bool, int)):
        return value
    if isinstance(value, (float, Decimal)):
        number = find_number(value)
        if number is None:
            raise ValueError("a finite number is needed")
        return plain_number(number)
    return wire_text(value)
