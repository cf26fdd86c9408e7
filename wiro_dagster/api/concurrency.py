"""How many tasks may be under way, as Wiro's refusals tell it."""

from __future__ import annotations

import re
from decimal import Decimal

from wiro_dagster.api.wire import find_decimal

_MONEY = re.compile(r"\$\s*(\d[\d,]*(?:\.\d+)?)|(\d[\d,]*(?:\.\d+)?)\s*(?:USD\b|\$)", re.I)
_BALANCE = re.compile(r"\bbalance\b\D{0,20}(\d[\d,]*(?:\.\d+)?)()", re.I)
_LIMITS = (
    re.compile(r"\b(?:up to|at most|no more than|maximum(?: of)?|max)\D{0,3}(\d{1,6})\b", re.I),
    re.compile(r"\blimit(?:ed)?(?: to| is| of| at)?\W{1,3}(\d{1,6})\b", re.I),
    re.compile(r"\b(\d{1,6}) (?:concurrent|simultaneous|parallel|tasks?\b|runs?\b)", re.I),
)


def read_concurrency_limit(message: str) -> tuple[Decimal | None, int | None]:
    """Return the balance in USD and the number of concurrent tasks that a code 96 names.

    Either is None where the message does not name it clearly.
    """
    named = _MONEY.search(message) or _BALANCE.search(message)
    balance_usd = None
    rest = message
    if named is not None:
        balance_usd = find_decimal((named[1] or named[2]).replace(",", ""))
        # Without the balance, no digit of it can pass for the limit.
        rest = message[: named.start()] + " " + message[named.end() :]
    matches = (pattern.search(rest) for pattern in _LIMITS)
    limit = next((int(match[1]) for match in matches if match is not None), None)
    return balance_usd, limit or None
