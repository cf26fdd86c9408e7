"""What an answer means, above all the answer to a run: it decides over money."""

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiro_dagster.api.answers import Answer, find_envelope, redact, shorten
from wiro_dagster.api.refusals import find_failure, read_concurrency_limit
from wiro_dagster.api.runs import list_url_secrets, read_submission
from wiro_dagster.api.types import Submission
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


def refusal(*errors: object, **fields: object) -> bytes:
    """Return the body of a negative answer."""
    return json.dumps({"result": False, "errors": list(errors), **fields}).encode()


def coded(code: object, message: object = "Something.") -> dict[str, object]:
    """Return one entry of `errors`."""
    return {"code": code, "message": message}


HTML = b"<!doctype html><html><title>Bad &amp; worse</title></html>"
FAILED_ANSWERS: list[tuple[int, bytes, type[ApiError]]] = [
    # final refusals: validation
    (200, refusal(coded(0, "Request parameter [prompt] required")), RequestRefused),
    (200, refusal(coded("0", "Request files [inputImageFirst] required")), RequestRefused),
    (200, refusal(coded(0, "seed must be between 0 and 100")), RequestRefused),
    (200, refusal("Request parameter [prompt] required"), RequestRefused),
    (500, refusal(coded(0, "Request parameter [prompt] required")), RequestRefused),
    # final refusals: authentication
    (401, refusal(coded(0, "Anything at all.")), AuthenticationRefused),
    (401, HTML, AuthenticationRefused),
    (401, b"", AuthenticationRefused),
    (200, refusal(coded(0, "Project authorization is not valid.")), AuthenticationRefused),
    (200, refusal(coded(0, "x-signature and x-nonce are required")), AuthenticationRefused),
    (200, refusal(coded(98)), AuthenticationRefused),
    (200, refusal(coded("99")), AuthenticationRefused),
    # final refusals: absence, money
    (200, refusal(coded(1, "slug-owner-project-not-exist")), NotFound),
    (200, refusal(coded(1, "never read before")), NotFound),
    (500, refusal(coded(1, "tool-not-accessible")), NotFound),
    (200, refusal("There is no task yet."), NotFound),
    (200, refusal(coded(0, "task-not-founded")), NotFound),
    (200, refusal(coded(97)), InsufficientBalance),
    # nothing was accepted, later it may be
    (200, refusal(coded(96)), ConcurrencyLimitReached),
    (429, refusal(coded(96)), ConcurrencyLimitReached),
    (429, refusal(coded(0, "Slow down.")), RateLimited),
    (429, b"", RateLimited),
    (429, HTML, RateLimited),
    # not processed at all
    (404, refusal(coded(0, "Error parsing url.")), RequestRefused),
    (404, HTML, RequestRefused),
    (413, b"", RequestRefused),
    # nobody knows
    (200, refusal(coded(0, "Server fault.")), OutcomeUnknown),
    (200, refusal(coded(0, "")), OutcomeUnknown),
    (200, refusal(coded(4711)), OutcomeUnknown),
    (200, refusal(coded(None, None)), OutcomeUnknown),
    (200, refusal(coded("many", ["a"])), OutcomeUnknown),
    (200, refusal("something else"), OutcomeUnknown),
    (200, refusal(None, 5, [], True), OutcomeUnknown),
    (200, refusal(), OutcomeUnknown),
    (200, b'{"result": false}', OutcomeUnknown),
    (200, b'{"result": false, "errors": "broken"}', OutcomeUnknown),
    (200, b'{"result": false, "errors": {"code": 5}}', OutcomeUnknown),
    (200, b'{"errors": []}', OutcomeUnknown),
    (200, b'{"result": "perhaps"}', OutcomeUnknown),
    (200, b"{}", OutcomeUnknown),
    (200, b"", OutcomeUnknown),
    (200, b"[]", OutcomeUnknown),
    (200, b"null", OutcomeUnknown),
    (200, b'{"result": true, "taskid"', OutcomeUnknown),
    (200, HTML, OutcomeUnknown),
    (200, b"\xff\xfe\x00", OutcomeUnknown),
    (200, b"[" * 100_000, OutcomeUnknown),
    (302, b"", OutcomeUnknown),
    (400, HTML, OutcomeUnknown),
    (403, HTML, OutcomeUnknown),
    (408, b"", OutcomeUnknown),
    (500, b"", OutcomeUnknown),
    (500, refusal(coded(0, "Internal error")), OutcomeUnknown),
    (502, HTML, OutcomeUnknown),
    (503, HTML, OutcomeUnknown),
    (504, b"{}", OutcomeUnknown),
]
ACCEPTED_WITHOUT_TASK = [
    b'{"result": true}',
    b'{"result": true, "taskid": null}',
    b'{"result": true, "taskid": ""}',
    b'{"result": true, "taskid": []}',
    b'{"result": true, "errors": [{"code": 96}]}',
]


@pytest.mark.parametrize(("status", "body", "kind"), FAILED_ANSWERS)
def test_a_failed_run_is_told_apart_by_whether_a_task_may_exist(
    status: int, body: bytes, kind: type[ApiError]
) -> None:
    """Refused, deferred or unknown: exactly one of them, by code, status and known texts."""
    with pytest.raises(ApiError) as caught:
        read_submission("a run of a/b", Answer(status, body), [])
    assert type(caught.value) is kind
    assert caught.value.http_status == status


@pytest.mark.parametrize(("status", "body", "kind"), FAILED_ANSWERS)
def test_a_failed_read_is_told_apart_in_the_same_way(
    status: int, body: bytes, kind: type[ApiError]
) -> None:
    """Reads follow the same table; unknown means "try again" there."""
    assert type(find_failure("Task/Detail", Answer(status, body), find_envelope(body))) is kind


@pytest.mark.parametrize("body", ACCEPTED_WITHOUT_TASK)
def test_an_accepted_run_without_a_task_id_is_unknown(body: bytes) -> None:
    """`result: true` without `taskid` may have created a task."""
    with pytest.raises(OutcomeUnknown):
        read_submission("a run of a/b", Answer(200, body), [])


def test_a_refusal_that_names_a_task_is_unknown() -> None:
    """A task id beside `result: false` contradicts the refusal, so a person has to look."""
    body = refusal(coded(0, "Request parameter [x] required"), taskid="77")
    with pytest.raises(OutcomeUnknown, match="77"):
        read_submission("a run of a/b", Answer(200, body), [])


@pytest.mark.parametrize("status", [200, 201, 401, 404, 429, 500, 502])
@pytest.mark.parametrize("result", ['"result": true,', '"result": "1",', '"result": 1,', ""])
def test_a_named_task_counts_at_any_status(status: int, result: str) -> None:
    """The envelope is read first: who names a task has created it."""
    body = f'{{{result} "taskid": 2221, "socketaccesstoken": "t0k", "new": {{}}}}'.encode()
    assert read_submission("a run", Answer(status, body), []) == Submission("2221", "t0k")


def test_a_task_without_token_is_still_a_task() -> None:
    """A missing token costs the live events, not the task."""
    body = b'{"result": true, "taskid": "5"}'
    assert read_submission("a run", Answer(200, body), []).task_token == ""


def test_the_retry_after_of_a_429_reaches_the_caller() -> None:
    """RateLimited says how long to wait."""
    failure = find_failure("a run", Answer(429, b"", 12.0), None)
    assert isinstance(failure, RateLimited)
    assert failure.retry_after_seconds == 12.0


def test_the_concurrency_limit_reaches_the_caller() -> None:
    """ConcurrencyLimitReached holds the limit and the balance that the message names."""
    message = (
        "You have reached your concurrent task limit. With your current balance of $1,050.75, "
        "you can run up to 5 tasks at the same time."
    )
    body = refusal(coded(96, message))
    failure = find_failure("a run", Answer(200, body), find_envelope(body))
    assert isinstance(failure, ConcurrencyLimitReached)
    assert (failure.limit, failure.balance_usd) == (5, Decimal("1050.75"))


@pytest.mark.parametrize(
    ("message", "balance", "limit"),
    [
        ("Your balance is $50.00, the limit is 5 tasks.", "50.00", 5),
        ("Concurrent task limit: 3 (balance 39.90 USD)", "39.90", 3),
        ("You can run at most 12 tasks with a balance of 120.5", "120.5", 12),
        ("4 of 2 running; maximum 2; balance: $20", "20", 2),
        ("balance 25$ allows 2 concurrent tasks", "25", 2),
        ("You reached the limit", None, None),
        ("limit 0, balance $0", "0", None),
        ("", None, None),
        ("$" * 50 + "9" * 500, "9" * 500, None),
    ],
)
def test_limit_and_balance_are_read_where_they_are_named(
    message: str, balance: str | None, limit: int | None
) -> None:
    """What is not named clearly is None; a guess would be worse."""
    read_balance, read_limit = read_concurrency_limit(message)
    expected = None if balance is None or len(balance) > 30 else Decimal(balance)
    assert (read_balance, read_limit) == (expected, limit)


@given(st.integers(100, 599), st.binary() | st.text().map(str.encode))
def test_any_bytes_give_a_submission_or_an_api_error(status: int, body: bytes) -> None:
    """No answer, however broken, raises anything else."""
    with suppress(ApiError):
        assert read_submission("a run", Answer(status, body), ["s"]).task_id


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    st.integers(100, 599),
    st.fixed_dictionaries(
        {},
        optional={
            "result": _JSON,
            "errors": _JSON | st.lists(st.fixed_dictionaries({"code": _JSON, "message": _JSON})),
            "taskid": _JSON,
            "socketaccesstoken": _JSON,
        },
    ),
)
def test_any_envelope_gives_a_submission_or_an_api_error(
    status: int, fields: dict[str, object]
) -> None:
    """A submission comes out only of an envelope that names a task."""
    answer = Answer(status, json.dumps(fields).encode())
    try:
        submission = read_submission("a run", answer, ["s"])
    except ApiError:
        return
    assert submission.task_id
    assert "taskid" in fields


@given(st.text(max_size=200))
def test_any_message_of_a_code_96_is_survived(message: str) -> None:
    """Whatever the message says, a limit is at least one."""
    _, limit = read_concurrency_limit(message)
    assert limit is None or limit >= 1


def test_echoed_secrets_are_blotted_out() -> None:
    """What Wiro repeats of the key or a token does not reach the error."""
    body = refusal(coded(0, "bad key K3Y or tok t0k!"), socketaccesstoken="t0k")
    failure = find_failure("a run", Answer(401, body), find_envelope(body, ["K3Y"]))
    assert "K3Y" not in str(failure)
    assert "t0k" not in str(failure)


def test_the_longest_secret_is_blotted_out_first() -> None:
    """A secret that holds another one leaves nothing behind; an empty one changes nothing."""
    assert redact("abcdef", ["abc", "", "abcdef"]) == "[redacted]"


def test_a_callback_url_is_secret_as_a_whole_and_in_its_long_parts() -> None:
    """Its token may come back alone."""
    secrets = list_url_secrets("https://me.example/hook/0123456789abcdef?x=y")
    assert secrets == ["https://me.example/hook/0123456789abcdef?x=y", "0123456789abcdef"]
    assert list_url_secrets("http://[broken") == ["http://[broken"]


def test_a_remote_text_becomes_one_short_line() -> None:
    """Line breaks, control characters and length cannot spoil a log."""
    line = shorten("a\nb\x1b[31m" + "c" * 1000)
    assert line.startswith("a b [31mccc")
    assert len(line) == 300


def test_a_page_is_named_by_its_title_and_a_broken_body_is_not_quoted() -> None:
    """HTML shows its title; other bodies may hold a token, so they stay out."""
    page = find_failure("x", Answer(502, HTML), None)
    broken = find_failure("x", Answer(200, b'{"socketaccesstoken": "t0k"'), None)
    assert 'a page titled "Bad & worse"' in str(page)
    assert "a body that is not JSON" in str(broken)
    assert "t0k" not in str(broken)
