"""Which error a failed answer means.

Anything that is not certain becomes `OutcomeUnknown`: after a submission, that is the reading that
never pays twice.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus

from wiro_dagster.api.answers import Answer, Envelope, WireError, shorten
from wiro_dagster.api.bounds import find_money
from wiro_dagster.errors import (
    ApiError,
    AuthenticationRefused,
    ConcurrencyLimitReached,
    InsufficientBalance,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    RequestRefused,
)

_VALIDATION = re.compile(r"^request (parameter|files?) \[|\bmust be between\b", re.IGNORECASE)
_AUTHENTICATION = re.compile(
    r"\bproject authori[sz]ation\b|\bsignature authentication\b|\binvalid signature\b|"
    r"\bx-(api-key|signature|nonce)\b|\b(invalid|missing|unknown) api[ -]?key\b|"
    r"\bapi[ -]?key (is |was )?(not|invalid|missing|required)\b|"
    r"^unauthori[sz]ed\b|\bbearer token\b|^requested ip\b",
    re.IGNORECASE,
)
_ABSENCE = re.compile(
    r"\bslug-owner-project-not-exist\b|\btool-not-accessible\b|\btask-not-founded\b|"
    r"^there is no task yet",
    re.IGNORECASE,
)

_NO_FUNDS = re.compile(r"^insufficient balance\b", re.IGNORECASE)

_UNPROCESSED_STATUSES = frozenset({404, 405, 413, 414, 415, 431})
"""Statuses by which a server says that it did not process the request at all."""

_MONEY = re.compile(r"\$\s*(\d[\d,]*(?:\.\d+)?)|(\d[\d,]*(?:\.\d+)?)\s*(?:USD\b|\$)", re.I)
_BALANCE = re.compile(r"\bbalance\b\D{0,20}(\d[\d,]*(?:\.\d+)?)()", re.I)
_LIMITS = (
    re.compile(r"\b(?:up to|at most|no more than|maximum(?: of)?|max)\D{0,3}(\d{1,6})\b", re.I),
    re.compile(r"\blimit(?:ed)?(?: to| is| of| at)?\W{1,3}(\d{1,6})\b", re.I),
    re.compile(r"\b(\d{1,6}) (?:concurrent|simultaneous|parallel|tasks?\b|runs?\b)", re.I),
)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A kind of error, and what to say and do about it."""

    kind: type[ApiError]
    words: str

    def build(self, call: str, answer: Answer, error: WireError) -> ApiError:
        message = self.words.format(call=call, reason=error.message, status=answer.status)
        return self.kind(message, code=error.code, http_status=answer.status)


_INPUTS = _Refusal(RequestRefused, "Wiro refused {call}: {reason}. Correct the inputs.")
_CREDENTIALS = _Refusal(
    AuthenticationRefused,
    "Wiro refused the credentials for {call}: {reason}. Check the API key, its secret and the "
    "kind of project.",
)
_ABSENT = _Refusal(
    NotFound,
    "Wiro refused {call}: {reason}. Check the model or the task, and whether its state allows "
    "this.",
)
_UNFUNDED = _Refusal(
    InsufficientBalance, "Wiro refused {call}: {reason}. Add funds to the account."
)
_UNPROCESSED = _Refusal(
    RequestRefused,
    "Wiro rejected {call} unread (HTTP {status}: {reason}). Check the base URL and the size of "
    "the request.",
)
_UNKNOWN = _Refusal(
    OutcomeUnknown,
    "Wiro's answer to {call} does not say how it ended (HTTP {status}: {reason}). Read again; "
    "after a submission, look for the task before submitting again.",
)

_BY_CODE = {1: _ABSENT, 97: _UNFUNDED, 98: _CREDENTIALS, 99: _CREDENTIALS}
_CONCURRENCY_CODE = 96

# Code 0 may be a server fault, so only known texts count as final.
_BY_TEXT = (
    (_VALIDATION, _INPUTS),
    (_ABSENCE, _ABSENT),
    (_NO_FUNDS, _UNFUNDED),
    (_AUTHENTICATION, _CREDENTIALS),
)


def find_failure(call: str, answer: Answer, envelope: Envelope | None) -> ApiError | None:
    """Return the error that an answer means; None for a positive answer.

    Args:
        call: what was called, for the message.
        answer: as received.
        envelope: of that answer; None if its body is not a JSON object.
    """
    if envelope is not None and envelope.result:
        return None
    errors = envelope.errors if envelope is not None else ()
    first = errors[0] if errors else WireError(None, _describe_body(answer, envelope))
    if answer.status == HTTPStatus.UNAUTHORIZED:
        # Before the codes: code 1 beside it would mean that a task does not exist.
        return _CREDENTIALS.build(call, answer, first)
    for error in errors:
        if error.code == _CONCURRENCY_CODE:
            return _defer_for_concurrency(call, answer, error)
        if error.code in _BY_CODE:
            return _BY_CODE[error.code].build(call, answer, error)
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited(
            f"Wiro accepts no more requests at the moment ({call}, HTTP 429). Try again later.",
            code=first.code,
            http_status=answer.status,
            retry_after_seconds=answer.retry_after_seconds,
        )
    for error in errors:
        for pattern, refusal in _BY_TEXT:
            if error.code in (None, 0) and pattern.search(error.message):
                return refusal.build(call, answer, error)
    is_unread = answer.status in _UNPROCESSED_STATUSES
    return (_UNPROCESSED if is_unread else _UNKNOWN).build(call, answer, first)


def _defer_for_concurrency(call: str, answer: Answer, error: WireError) -> ApiError:
    balance_usd, limit = read_concurrency_limit(error.message)
    return ConcurrencyLimitReached(
        f"Wiro deferred {call}: {error.message}. Try again when a task has ended.",
        code=error.code,
        http_status=answer.status,
        limit=limit,
        balance_usd=balance_usd,
    )


def _describe_body(answer: Answer, envelope: Envelope | None) -> str:
    """Describe a body without errors. Its text stays out, since it may hold a token."""
    if envelope is not None:
        return "no reason given"
    if not answer.body.strip():
        return "an empty body"
    start = answer.body[:4096].decode("utf-8", "replace")
    title = re.search(r"<title[^>]*>([^<]{1,200})", start, re.IGNORECASE)
    if title is not None:
        return f'a page titled "{shorten(html.unescape(title[1]))}"'
    return "a page of HTML" if "<html" in start.lower() else "a body that is not JSON"


def read_concurrency_limit(message: str) -> tuple[Decimal | None, int | None]:
    """Return the balance in USD and the number of concurrent tasks that a code 96 names.

    Either is None if the message does not name it clearly.
    """
    named = _MONEY.search(message) or _BALANCE.search(message)
    balance_usd = None
    rest = message
    if named is not None:
        balance_usd = find_money((named[1] or named[2]).replace(",", ""))
        # Without the balance, no digit of it can pass for the limit.
        rest = message[: named.start()] + " " + message[named.end() :]
    matches = (pattern.search(rest) for pattern in _LIMITS)
    limit = next((int(match[1]) for match in matches if match is not None), None)
    return balance_usd, limit or None
