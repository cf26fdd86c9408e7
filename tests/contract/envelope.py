"""The frame of every answer, and what comes instead of it."""

from __future__ import annotations

from datetime import timedelta
from email.utils import parsedate_to_datetime

import pytest
import requests

from tests.contract.case import case
from tests.contract.target import CHEAP_MODEL, Target
from wiro_dagster.api.auth import Credentials
from wiro_dagster.api.client import WiroClient
from wiro_dagster.errors import NotFound, OutcomeUnknown, RateLimited, RequestRefused

INPUTS = {"prompt": "a fox in the snow"}
HTTP_NOT_FOUND = 404
PASSING = ("drop", "reset", "http_500", "http_502", "http_503", "http_504", "rate_limited")
SPOILT = ("html", "broken_json", "empty", "unrecognised", "code_0")


@case("envelope", "result true, errors empty", needs="read")
def _(target: Target) -> None:
    answer = target.wire.call("Tool/List", limit="1")
    assert (answer["result"], answer["errors"]) == (True, [])


@case("envelope", "a Date header in GMT", needs="read")
def _(target: Target) -> None:
    date = target.wire.post("Tool/List", {"limit": "1"}).headers["date"]
    stated = parsedate_to_datetime(date)
    assert stated.utcoffset() == timedelta(0)
    if target.emulator is not None:
        assert stated.timestamp() == int(target.emulator.now())


@case("envelope", "an unknown endpoint: 404", needs="read")
def _(target: Target) -> None:
    answer = target.wire.post("Task/NoSuchThing", {})
    assert answer.status_code == HTTP_NOT_FOUND
    assert answer.json()["result"] is False


@case("envelope", "GET is no call", needs="read")
def _(target: Target) -> None:
    headers = {**target.wire.headers(), "user-agent": "wiro-dagster-contract/1"}
    answer = requests.get(f"{target.wire.base_url}/Task/List", headers=headers, timeout=30)
    assert not answer.ok or answer.json()["result"] is False


@case("envelope", "JSON under a multipart header is read")
def _(target: Target) -> None:
    assert target.control
    headers = {**target.wire.headers(), "content-type": "multipart/form-data"}
    answer = target.wire.post("Task/List", headers=headers, data=b'{"limit": "1"}')
    assert answer.json()["result"] is True


@case("envelope", "library user agents are turned away, ours is not")
def _(target: Target) -> None:
    target.control.change_settings(refuse_default_user_agents=True)
    refused = requests.post(
        f"{target.wire.base_url}/Task/List", headers=target.wire.headers(), json={}, timeout=30
    )
    assert refused.headers["content-type"].startswith("text/html")
    target.client.list_tasks(limit=1)


@case("envelope", "bare strings among the errors, refusals with a status", codes=(0, 1))
def _(target: Target) -> None:
    target.control.change_settings(dialect="alternate")
    answer = target.wire.post(f"Run/{CHEAP_MODEL}", {})
    assert not answer.ok
    assert answer.json()["errors"] == ["Request parameter [prompt] required"]
    with pytest.raises(RequestRefused, match="prompt"):
        target.client.submit(CHEAP_MODEL, {})
    with pytest.raises(NotFound, match="task-not-founded"):
        target.client.get_task("1")


@case("envelope", "reads get through faults that pass")
def _(target: Target) -> None:
    for kind in PASSING:
        target.control.clear_faults()
        target.control.script_fault(kind, endpoint="Tool/Detail", times=2)
        assert target.client.get_model(CHEAP_MODEL).slug == CHEAP_MODEL, kind


@case("envelope", "a read that stays spoilt has no known outcome", codes=(0,))
def _(target: Target) -> None:
    for kind in SPOILT:
        target.control.clear_faults()
        target.control.script_fault(kind, endpoint="Task/List", times=None)
        with pytest.raises(OutcomeUnknown):
            target.client.list_tasks()


@case("envelope", "a run is never repeated: lost before it was accepted", codes=(0,))
def _(target: Target) -> None:
    for kind in (*PASSING[:-1], *SPOILT):
        target.control.clear_faults()
        target.control.script_fault(kind, endpoint="Run", moment="before")
        with pytest.raises(OutcomeUnknown):
            target.client.submit(CHEAP_MODEL, INPUTS)
    assert target.control.billable_tasks() == 0


@case("envelope", "a run is never repeated: accepted, answer lost")
def _(target: Target) -> None:
    kinds = (*PASSING[:-1], *SPOILT[:-1])
    for kind in kinds:
        target.control.clear_faults()
        target.control.script_fault(kind, endpoint="Run", moment="after")
        with pytest.raises(OutcomeUnknown):
            target.client.submit(CHEAP_MODEL, INPUTS)
    assert target.control.billable_tasks() == len(kinds)


@case("envelope", "429 with and without Retry-After")
def _(target: Target) -> None:
    for sent, expected in ((None, None), ("7", 7.0)):
        target.control.script_fault("rate_limited", endpoint="Run", retry_after=sent)
        # A client that was asked to hold back does so: each case has its own.
        credentials = Credentials(target.wire.key, target.wire.secret)
        with (
            WiroClient(credentials, base_url=target.wire.base_url) as client,
            pytest.raises(RateLimited) as caught,
        ):
            client.submit(CHEAP_MODEL, INPUTS)
        assert caught.value.retry_after_seconds == expected
    assert target.control.billable_tasks() == 0
