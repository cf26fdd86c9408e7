"""Faults of calls: scripted by order, random by seed, before or after a call was accepted."""

from __future__ import annotations

import pytest
import requests

from tests.support.emulator_calls import HAILUO, Caller
from tests.support.waiting import wait_until
from wiro_dagster.emulator import Emulator

pytest_plugins = ["wiro_dagster.emulator.pytest_plugin"]


@pytest.fixture
def caller(wiro_emulator: Emulator) -> Caller:
    return Caller(wiro_emulator)


@pytest.mark.parametrize("kind", ["drop", "reset"])
@pytest.mark.parametrize(("moment", "billable"), [("before", 0), ("after", 1)])
def test_a_connection_is_dropped_before_or_after_the_run_is_accepted(
    caller: Caller, kind: str, moment: str, billable: int
) -> None:
    """The caller sees the same; only one of them has bought something."""
    caller.emulator.script_fault(kind, endpoint="Run", moment=moment)
    with pytest.raises(requests.ConnectionError):
        caller.run()
    assert caller.emulator.billable_tasks() == billable
    caller.run()
    assert caller.emulator.billable_tasks() == billable + 1


@pytest.mark.parametrize(
    ("kind", "status", "start"),
    [
        ("http_500", 500, "<html>"),
        ("http_502", 502, "<html>"),
        ("http_503", 503, "<html>"),
        ("http_504", 504, "<html>"),
        ("html", 200, "<html>"),
        ("broken_json", 200, '{"result": true'),
        ("empty", 200, ""),
        ("unrecognised", 200, '{"status":"ok"}'),
        ("code_0", 200, '{"result":false'),
    ],
)
def test_an_answer_is_replaced_by_another(
    caller: Caller, kind: str, status: int, start: str
) -> None:
    """Gateways, HTML, broken JSON, nothing, strange envelopes and server faults."""
    caller.emulator.script_fault(kind, endpoint="Task/List")
    answer = caller.post("Task/List", {})
    assert answer.status_code == status
    assert answer.text.startswith(start)
    assert caller.call("Task/List")["result"]


@pytest.mark.parametrize("retry_after", [None, "3"])
def test_a_rate_limit_may_say_how_long_to_wait(caller: Caller, retry_after: str | None) -> None:
    """HTTP 429 with or without Retry-After, and nothing was accepted."""
    caller.emulator.script_fault("rate_limited", endpoint="Run", retry_after=retry_after)
    answer = caller.post(f"Run/{HAILUO}", {"prompt": "a fox"})
    assert answer.status_code == 429
    assert answer.headers.get("retry-after") == retry_after
    assert caller.emulator.billable_tasks() == 0


def test_a_delay_outlasts_the_caller_and_the_run_is_accepted_all_the_same(caller: Caller) -> None:
    """A caller who has timed out may own a task."""
    caller.emulator.script_fault("delay", endpoint="Run", moment="after", seconds=2.0)
    with pytest.raises(requests.ReadTimeout):
        requests.post(
            f"{caller.emulator.base_url}/Run/{HAILUO}",
            json={"prompt": "a fox"},
            headers=caller.headers(),
            timeout=(60, 0.8),
        )
    assert wait_until(lambda: caller.emulator.billable_tasks() == 1)


def test_a_fault_waits_for_the_call_that_it_is_meant_for(caller: Caller) -> None:
    """By endpoint, by text in the body, after some have passed, so many times."""
    caller.emulator.script_fault(
        "http_502", endpoint=f"Run/{HAILUO}", matching="fox", skip=1, times=2
    )

    def status(prompt: str, model: str = HAILUO) -> int:
        return caller.post(f"Run/{model}", {"prompt": prompt}).status_code

    assert status("a fox", "minimax/text-to-video-hailuo-02") == 200
    assert status("a cat") == 200
    assert [status("a fox") for _ in range(4)] == [200, 502, 502, 200]


def test_a_fault_can_be_for_all_until_it_is_cleared(caller: Caller) -> None:
    """`times=None` has no end."""
    caller.emulator.script_fault("http_504", times=None)
    assert [caller.post("Task/List", {}).status_code for _ in range(3)] == [504] * 3
    caller.emulator.clear_faults()
    assert caller.call("Task/List")["result"]


def test_a_refused_call_is_not_spoiled_after_it_was_accepted(caller: Caller) -> None:
    """There was nothing to accept: the fault stays for a call that there is."""
    caller.emulator.script_fault("http_502", endpoint="Run", moment="after")
    assert caller.refusal(f"Run/{HAILUO}")[0] == 0
    assert caller.post(f"Run/{HAILUO}", {"prompt": "a fox"}).status_code == 502
    assert caller.emulator.billable_tasks() == 1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"kind": "nonsense"}, "unknown fault"),
        ({"kind": "drop", "moment": "during"}, "before or after"),
        ({"kind": "drop", "times": 0}, "times"),
        ({"kind": "rate_limited", "moment": "after"}, "never after"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(
    caller: Caller, fault: dict[str, object], message: str
) -> None:
    """With a text that says what would."""
    with pytest.raises(ValueError, match=message):
        caller.emulator.script_fault(**fault)  # type: ignore[arg-type]


def statuses(caller: Caller, calls: int) -> list[int]:
    return [caller.post("Task/List", {}).status_code for _ in range(calls)]


def test_random_faults_come_at_their_rate(caller: Caller) -> None:
    """Never at 0, always at 1, sometimes in between; an endpoint can be named."""
    emulator = caller.emulator
    emulator.set_fault_rates({"http_502_before": 1.0})
    assert statuses(caller, 5) == [502] * 5
    emulator.set_fault_rates({"Run:http_502_before": 1.0})
    assert statuses(caller, 5) == [200] * 5
    emulator.set_fault_rates({"http_502_before": 0.3})
    assert 5 < statuses(caller, 60).count(502) < 35
    with pytest.raises(ValueError, match="from 0 to 1"):
        emulator.set_fault_rates({"drop_after": 5})
    with pytest.raises(ValueError, match="unknown fault"):
        emulator.set_fault_rates({"nonsense": 0.5})


def test_the_same_seed_repeats_the_same_faults() -> None:
    """Two emulators of one seed spoil the same calls and tasks, another seed others."""
    rates = {"http_502_before": 0.3, "task_fail": 0.5}
    runs = []
    for seed in (7, 7, 8):
        with Emulator.start(seed=seed, fault_rates=rates, task_seconds=0) as emulator:
            caller = Caller(emulator)
            answers = statuses(caller, 40)
            emulator.set_fault_rates({"task_fail": 0.5})
            runs.append((answers, [caller.ended()["pexit"] for _ in range(12)]))
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_every_fault_at_once_leaves_something_to_work_with(caller: Caller) -> None:
    """With each at 5 %, calls still get through, and the count of accepted runs is right."""
    emulator = caller.emulator
    emulator.set_every_fault_rate(0.05)
    accepted = 0
    for number in range(40):
        try:
            answer = caller.post(f"Run/{HAILUO}", {"prompt": str(number)}, timeout=60)
            accepted += answer.status_code == 200 and answer.json().get("result") is True
        except (requests.RequestException, ValueError):
            continue
    emulator.clear_faults()
    assert 0 < accepted <= emulator.billable_tasks() <= 40


def test_faults_are_told_in_the_journal(caller: Caller) -> None:
    """Who wonders about an answer can look it up."""
    number = caller.emulator.script_fault("http_502", endpoint="Task/List")
    statuses(caller, 1)
    line = caller.emulator.journal(endpoint="Task/List")[-1]
    assert (line["fault"], line["http_status"]) == (f"http_502 (script {number})", 502)
    assert caller.emulator.faults()["scripted"][0]["hits"] == 1
