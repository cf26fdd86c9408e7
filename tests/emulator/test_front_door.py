"""The front door: the date of every answer, the service's own clock, and the Host header."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import pytest
import requests

from tests.support.emulator_calls import Caller
from wiro_dagster.emulator import Emulator

pytest_plugins = ["wiro_dagster.emulator.pytest_plugin"]


@pytest.fixture
def caller(wiro_emulator: Emulator) -> Caller:
    wiro_emulator.freeze()
    return Caller(wiro_emulator)


def date_of(answer: requests.Response) -> float:
    return parsedate_to_datetime(answer.headers["date"]).timestamp()


def test_every_answer_is_dated_by_the_emulators_clock(caller: Caller) -> None:
    """Refusals, gateway errors and files as well, with one Date header each."""
    caller.emulator.advance(86_400)
    now = int(caller.emulator.now())
    output = caller.ended()["outputs"][0]["url"]
    caller.emulator.script_fault("http_502", endpoint="Tool/List")
    answers = [
        caller.post("Task/List", {}),
        caller.post("Task/List", {}, headers={}),
        caller.post("Tool/List", {}),
        requests.get(output, timeout=60),
    ]
    assert [answer.status_code for answer in answers] == [200, 401, 502, 200]
    assert [date_of(answer) for answer in answers] == [now + 300] * 4


@pytest.mark.parametrize("offset", [3600.0, -86_400.0])
def test_the_service_may_have_another_clock(caller: Caller, offset: float) -> None:
    """Every time that it states and its Date header are off by the same."""
    caller.emulator.change_settings(clock_offset_seconds=offset)
    now = int(caller.emulator.now() + offset)
    task_id = caller.run()
    caller.emulator.advance(10)
    task = caller.detail(task_id)
    assert int(task["createtime"]) == now
    assert int(task["postprocessendtime"]) == int(task["outputs"][0]["addedtime"]) == now + 2
    assert task["canceltime"] == "0"
    folder = caller.call("File/FolderCreate", name="mine")["list"][0]
    assert int(folder["created"]) == now + 10
    assert date_of(caller.post("Task/List", {})) == now + 10


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8377", "[", "127.0.0.1.evil.example"]
)
def test_another_host_name_is_refused(caller: Caller, host: str) -> None:
    """A web page that points a name of its own at this machine can neither read nor change."""
    page, headers = caller.emulator.start_page_url, {"host": host}
    task_id = caller.run()
    assert requests.get(f"{page}_emulator/tasks", headers=headers, timeout=60).status_code == 403
    assert (
        requests.post(f"{page}_emulator/reset", headers=headers, json={}, timeout=60).status_code
        == 403
    )
    assert caller.post("Task/List", {}, headers={**caller.headers(), **headers}).status_code == 403
    assert caller.detail(task_id)["id"] == task_id


def test_further_host_names_can_be_allowed() -> None:
    """For an emulator that a container or another machine calls by name."""
    with Emulator.start(options=["--host-name", "emulator"]) as emulator:
        page = emulator.start_page_url
        for host, status in (("emulator:8790", 200), ("other", 403), ("localhost", 200)):
            answer = requests.get(f"{page}_emulator/ping", headers={"host": host}, timeout=60)
            assert answer.status_code == status


def test_a_balance_that_is_not_a_number_is_refused(caller: Caller) -> None:
    """NaN would spoil every later sum."""
    for amount in ("NaN", "Infinity", "much"):
        with pytest.raises(ValueError, match="must be an amount"):
            caller.emulator.set_balance(amount)
    assert caller.emulator.balance_usd() == 1000
