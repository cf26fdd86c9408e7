"""Values in any spelling, as the values that go over the wire."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from wiro_dagster.api.wire import find_decimal, find_truth
from wiro_dagster.catalogue.plain_text import find_unkept

_AMOUNT = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(?:(s)(?:ecs?|econds?)?|(p))?", re.IGNORECASE)


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
    """Return the one spelling of a number: no exponent, no trailing zeros. `6.0` is `6`.

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
    r"""Return a scalar as text, so that 6, 6.0 and "6" are one value, as are True and "true".

    Text stays as it is except that line ends become `\n` and the blanks around it go.

    Raises:
        ValueError: it is a list, a mapping, bytes or the like, or text that no database keeps.
    """
    value = unwrapped(value)
    if isinstance(value, str):
        unkept = find_unkept(value)
        if unkept is not None:
            raise ValueError(f"the text holds the control character {unkept!r}")
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
    """Return a numpy scalar as the Python value it holds; anything else as it is."""
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) == 0:
        return item()
    return value


def find_number(value: object) -> Decimal | None:
    """Return a finite number, given as text or number; `None` for anything else."""
    return find_decimal(unwrapped(value))


def find_amount(text: str) -> tuple[Decimal, str] | None:
    """Return a number and its unit, `s` for seconds, `p` for lines or empty; `None` for other text.

    `10`, "10s" and "10 seconds" are amounts, as are "1080" and "1080P".
    """
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        return None
    return Decimal(found[1]), (found[2] or found[3] or "").lower()


def plain_number(number: Decimal) -> int | float:
    """Return a number as JSON writes it: an int if it is whole."""
    return int(number) if number == number.to_integral_value() else float(number)


def find_option(given: object, options: Iterable[str]) -> str | None:
    """Return the option that `given` is, if it is one of them.

    Numbers match by value (`6` is "6") and yes-or-no words by meaning (YAML's `yes` is "true").

    Raises:
        ValueError: `given` is a list, a mapping or the like.
    """
    text = wire_text(given)
    options = tuple(options)
    if text in options:
        return text
    for read in (find_number, find_truth):
        value = read(text)
        if value is not None:
            found = next((option for option in options if read(option) == value), None)
            if found is not None:
                return found
    return None


def find_meant_option(text: str, options: Iterable[str]) -> str | None:
    """Return the one option that differs from `text` in letter case, blanks or a unit only."""
    options = tuple(options)
    same = [option for option in options if _folded(option) == _folded(text)]
    amount = find_amount(text)
    if not same and amount is not None:
        same = [option for option in options if _is_same_amount(find_amount(option), amount)]
    return same[0] if len(same) == 1 else None


def _folded(text: str) -> str:
    return re.sub(r"[\u00d7*]", "x", re.sub(r"\s", "", text.casefold()))


def _is_same_amount(one: tuple[Decimal, str] | None, other: tuple[Decimal, str]) -> bool:
    return (
        one is not None and one[0] == other[0] and (one[1] == other[1] or "" in (one[1], other[1]))
    )


def plain_wire_value(value: Any) -> Any:
    """Return a value for an input that cannot be validated: scalars stay, lists become tuples.

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
