"""Which error a failed answer stands for.

Whatever is not known for sure counts as `OutcomeUnknown`: after a submission, that is the reading
that never pays twice.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from http import HTTPStatus

from wiro_dagster.api.answers import Answer, Envelope, WireError, shorten
from wiro_dagster.api.wire import find_decimal
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
"""Statuses by which a server says that it did not even look at the request."""

_MONEY = re.compile(r"\$\s*(\d[\d,]*(?:\.\d+)?)|(\d[\d,]*(?:\.\d+)?)\s*(?:USD\b|\$)", re.I)
_BALANCE = re.compile(r"\bbalance\b\D{0,20}(\d[\d,]*(?:\.\d+)?)()", re.I)
_LIMITS = (
    re.compile(r"\b(?:up to|at most|no more than|maximum(?: of)?|max)\D{0,3}(\d{1,6})\b", re.I),
    re.compile(r"\blimit(?:ed)?(?: to| is| of| at)?\W{1,3}(\d{1,6})\b", re.I),
    re.compile(r"\b(\d{1,6}) (?:concurrent|simultaneous|parallel|tasks?\b|runs?\b)", re.I),
)


def find_failure(call: str, answer: Answer, envelope: Envelope | None) -> ApiError | None:
    """Return the error that an answer stands for; None for a positive answer.

    Args:
        call: what was called, for the message.
        answer: as received.
        envelope: of that answer; None where its body is no JSON object.
    """
    if envelope is not None and envelope.result:
        return None
    errors = envelope.errors if envelope is not None else ()
    if answer.status == HTTPStatus.UNAUTHORIZED:
        # Before the codes: code 1 beside it would say that a task does not exist.
        return _refuse_authentication(call, answer, _choose_error(errors, answer, envelope))
    for error in errors:
        rule = _RULES_BY_CODE.get(error.code)
        if rule is not None:
            return rule(call, answer, error)
    told = _choose_error(errors, answer, envelope)
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited(
            f"Wiro takes no more requests for now ({call}, HTTP 429). Try again later.",
            code=told.code,
            http_status=answer.status,
            retry_after_seconds=answer.retry_after_seconds,
        )
    for error in errors:
        by_text = _find_failure_by_text(call, answer, error)
        if by_text is not None:
            return by_text
    if answer.status in _UNPROCESSED_STATUSES:
        return RequestRefused(
            f"Wiro did not take {call} (HTTP {answer.status}: {told.message}). "
            "Check the base URL and the size of what was sent.",
            code=told.code,
            http_status=answer.status,
        )
    return OutcomeUnknown(
        f"Wiro's answer to {call} does not tell its outcome "
        f"(HTTP {answer.status}: {told.message}). "
        "Read again; after a submission, look for the task before submitting again.",
        code=told.code,
        http_status=answer.status,
    )


def _choose_error(
    errors: Sequence[WireError], answer: Answer, envelope: Envelope | None
) -> WireError:
    return errors[0] if errors else WireError(None, _describe_body(answer, envelope))


def _find_failure_by_text(call: str, answer: Answer, error: WireError) -> ApiError | None:
    # Code 0 says nothing by itself: only texts that are known are final.
    if error.code not in (None, 0):
        return None
    for pattern, rule in _RULES_BY_TEXT:
        if pattern.search(error.message):
            return rule(call, answer, error)
    return None


def _refuse_inputs(call: str, answer: Answer, error: WireError) -> ApiError:
    return RequestRefused(
        f"Wiro refused {call}: {error.message}. Correct the inputs.",
        code=error.code,
        http_status=answer.status,
    )


def _refuse_authentication(call: str, answer: Answer, error: WireError) -> ApiError:
    return AuthenticationRefused(
        f"Wiro refused the credentials for {call}: {error.message}. "
        "Check the API key, its secret and the kind of project.",
        code=error.code,
        http_status=answer.status,
    )


def _refuse_absent(call: str, answer: Answer, error: WireError) -> ApiError:
    return NotFound(
        f"Wiro refused {call}: {error.message}. "
        "Check the model or the task, and whether its state allows this.",
        code=error.code,
        http_status=answer.status,
    )


def _refuse_unfunded(call: str, answer: Answer, error: WireError) -> ApiError:
    return InsufficientBalance(
        f"Wiro refused {call}: {error.message}. Add funds to the account.",
        code=error.code,
        http_status=answer.status,
    )


def _defer_for_concurrency(call: str, answer: Answer, error: WireError) -> ApiError:
    balance_usd, limit = read_concurrency_limit(error.message)
    return ConcurrencyLimitReached(
        f"Wiro put off {call}: {error.message}. It goes through when a task has ended.",
        code=error.code,
        http_status=answer.status,
        limit=limit,
        balance_usd=balance_usd,
    )


_Rule = Callable[[str, Answer, WireError], ApiError]

_RULES_BY_CODE: Mapping[int | None, _Rule] = {
    1: _refuse_absent,
    96: _defer_for_concurrency,
    97: _refuse_unfunded,
    98: _refuse_authentication,
    99: _refuse_authentication,
}

_RULES_BY_TEXT: tuple[tuple[re.Pattern[str], _Rule], ...] = (
    (_VALIDATION, _refuse_inputs),
    (_ABSENCE, _refuse_absent),
    (_NO_FUNDS, _refuse_unfunded),
    (_AUTHENTICATION, _refuse_authentication),
)


def _describe_body(answer: Answer, envelope: Envelope | None) -> str:
    """Say what a body without errors is; its text stays out, as it may hold a token."""
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
