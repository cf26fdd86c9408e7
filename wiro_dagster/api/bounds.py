"""The bounds of everything that Wiro states, each stated once, and types for the wire models.

A value out of bounds is treated as not stated (None). One odd number must not stop the ledger,
whose columns have limits, or be taken for a cost. Texts are cut.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator

from wiro_dagster.api.wire import find_decimal, find_name, find_text, find_whole

LARGEST_USD = Decimal(1_000_000)
EARLIEST_TIME = 946_684_800.0
"""2000-01-01 in unix seconds."""
LATEST_TIME = 4_102_444_800.0
"""2100-01-01 in unix seconds. Times in milliseconds lie far beyond it."""
LONGEST_SECONDS = 31_536_000.0
"""A year, for lengths of time."""
LARGEST_SIZE_BYTES = 10**15
LONGEST_ID = 255
LONGEST_WORD = 255
LONGEST_PRINTED = 20_000
"""For what a model printed."""
LONGEST_URL = 8192
LARGEST_ANSWER_BYTES = 8_000_000


def find_money(value: Any) -> Decimal | None:
    """Return an amount of 0 to 1,000,000 USD; None for anything else."""
    amount = find_decimal(value)
    return amount if amount is not None and 0 <= amount <= LARGEST_USD else None


def find_time(value: Any) -> float | None:
    """Return a point in time from 2000 to 2100 as unix seconds; None for anything else.

    Wiro's documents show unix seconds, its official clients' samples also ISO 8601. A text without
    a time zone is no exact point in time.
    """
    number = find_decimal(value)
    seconds = _find_iso_time(value) if number is None else float(number)
    return seconds if seconds is not None and EARLIEST_TIME <= seconds <= LATEST_TIME else None


def _find_iso_time(value: Any) -> float | None:
    text = find_text(value) or ""
    try:
        time = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        return None
    return None if time.tzinfo is None else time.timestamp()


def find_length(value: Any) -> float | None:
    """Return a length of time from 0 seconds to a year; None for anything else."""
    number = find_decimal(value)
    seconds = None if number is None else float(number)
    return seconds if seconds is not None and 0 <= seconds <= LONGEST_SECONDS else None


def find_size(value: Any) -> int | None:
    """Return a size in bytes, at most a petabyte; None for anything else."""
    size_bytes = find_whole(value)
    return size_bytes if size_bytes is not None and size_bytes <= LARGEST_SIZE_BYTES else None


def find_id(value: Any) -> str | None:
    """Return an id of 1 to 255 printable characters without spaces; None for anything else."""
    text = find_name(value)
    if text is None or len(text) > LONGEST_ID or " " in text or not text.isprintable():
        return None
    return text


def read_token(value: Any) -> str:
    """Return a token under the bounds of an id, or an empty text."""
    return find_id(value) or ""


def find_url(value: Any) -> str | None:
    """Return an address of 1 to 8192 printable characters; None for anything else."""
    text = find_name(value)
    return text if text is not None and len(text) <= LONGEST_URL and text.isprintable() else None


def find_word(value: Any) -> str | None:
    """Return a short text, cut to 255 characters; None if it is empty."""
    text = find_name(value)
    return None if text is None else cut(text, LONGEST_WORD)


def read_word(value: Any) -> str:
    """Return a short text, cut to 255 characters, or an empty one."""
    return find_word(value) or ""


def read_printed(value: Any) -> str:
    """Return what a model printed, cut to its end: the last lines say the most."""
    text = find_text(value) or ""
    return text if len(text) <= LONGEST_PRINTED else "…" + text[1 - LONGEST_PRINTED :]


def cut(text: str, limit: int) -> str:
    """Return a text of at most so many characters; a cut one ends with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


Id = Annotated[str, BeforeValidator(find_id)]
MaybeId = Annotated[str | None, BeforeValidator(find_id)]
MaybeMoney = Annotated[Decimal | None, BeforeValidator(find_money)]
MaybeTime = Annotated[float | None, BeforeValidator(find_time)]
MaybeLength = Annotated[float | None, BeforeValidator(find_length)]
MaybeSize = Annotated[int | None, BeforeValidator(find_size)]
MaybeWord = Annotated[str | None, BeforeValidator(find_word)]
MaybeUrl = Annotated[str | None, BeforeValidator(find_url)]
Token = Annotated[str, BeforeValidator(read_token)]
Word = Annotated[str, BeforeValidator(read_word)]
Printed = Annotated[str, BeforeValidator(read_printed)]
