"""Overrides: any field of any task shown as any JSON value, in Task/Detail, Task/List or both."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.emulator_calls import HAILUO, Caller
from wiro_dagster.emulator import Emulator
from wiro_dagster.emulator.worlds.rewrites import REWRITES

pytest_plugins = ["wiro_dagster.emulator.pytest_plugin"]


@pytest.fixture
def caller(wiro_emulator: Emulator) -> Caller:
    wiro_emulator.freeze()
    return Caller(wiro_emulator)


def listed(caller: Caller, task_id: str) -> dict[str, Any]:
    """The task's entry in Task/List."""
    tasks = caller.call("Task/List", limit="100")["tasklist"]
    entry: dict[str, Any] = next(task for task in tasks if task["id"] == task_id)
    return entry


@pytest.mark.parametrize(
    "value", [None, "", 0, -1, 1e11, 10**30, "NaN", [], {}, True, "\ud800", "<b>&", "a" * 5000]
)
def test_any_field_can_be_shown_as_any_json_value(caller: Caller, value: Any) -> None:
    """As it was sent, in both calls, while the books keep the truth."""
    task_id = caller.run()
    caller.emulator.advance(60)
    caller.emulator.override_task(task_id, {"totalcost": value, "endtime": value})
    for shown in (caller.detail(task_id), listed(caller, task_id)):
        assert (shown["totalcost"], shown["endtime"]) == (value, value)
    assert str(caller.emulator.spent_usd()) == "0.28"
    caller.emulator.clear_overrides(task_id)
    assert caller.detail(task_id)["totalcost"] == "0.280000000000"


def test_an_override_is_of_one_call_or_of_both(caller: Caller) -> None:
    """Task/Detail may know better than Task/List, and the other way round."""
    task_id = caller.run()
    caller.emulator.override_task(task_id, {"callbackurl": "in the list"}, calls="list")
    caller.emulator.override_task(task_id, {"projectid": "in the detail"}, calls="detail")
    assert listed(caller, task_id)["callbackurl"] == "in the list"
    assert caller.detail(task_id)["callbackurl"] == ""
    assert listed(caller, task_id)["projectid"] == ""
    assert caller.detail(task_id)["projectid"] == "in the detail"


def test_an_override_reaches_into_outputs_and_inputs(caller: Caller) -> None:
    """A dot leads inside, a star is every entry, and a path that leads nowhere does nothing."""
    caller.emulator.script_task(outputs=2)
    task_id = caller.run()
    caller.emulator.advance(60)
    fields = {"outputs.*.size": "0", "outputs.1.url": None, "parameters.prompt": "", "size.a": 1}
    caller.emulator.override_task(task_id, fields, without=["outputs.0.name", "pexit", "none"])
    task = caller.detail(task_id)
    assert [output["size"] for output in task["outputs"]] == ["0", "0"]
    assert (task["outputs"][1]["url"], task["parameters"]["prompt"]) == (None, "")
    assert "name" not in task["outputs"][0]
    assert "pexit" not in task


@pytest.mark.parametrize("value", [None, 7, "text", "{", [], [None], {}, True, "\ud800"])
@pytest.mark.parametrize("dialect", ["documents", "alternate"])
def test_overrides_add_up_whatever_they_hold(caller: Caller, value: Any, dialect: str) -> None:
    """A path may lead nowhere, and a rewrite may meet a value that it cannot change."""
    caller.emulator.change_settings(dialect=dialect)
    task_id = caller.run()
    caller.emulator.advance(60)
    truth = caller.detail(task_id)
    odd = dict.fromkeys(truth, value) | {"id": task_id, "no.where.*": 1, "outputs.*.no.where": 1}
    caller.emulator.override_task(task_id, odd, without=["no.where", "parameters.no.where"])
    for name in sorted(REWRITES, key=lambda name: name == "inputs_null"):
        caller.emulator.override_task(task_id, rewrites=[name])
    shown = caller.detail(task_id)
    assert listed(caller, task_id) == shown
    assert shown["status"] == shown["cps"] == value


def test_an_override_has_a_beginning_and_an_end(caller: Caller) -> None:
    """Its seconds count from now, from the run or from the task's true end."""
    task_id = caller.run()
    override = caller.emulator.override_task
    override(task_id, {"projectid": "1"}, from_seconds=10, until_seconds=20)
    override(task_id, {"totalcost": "0"}, since="end", until_seconds=30)
    seen = []
    for _ in range(5):
        task = caller.detail(task_id)
        seen.append((task["projectid"], float(task["totalcost"])))
        caller.emulator.advance(10)
    assert seen == [("", 0.0), ("1", 0.0), ("", 0.0), ("", 0.0), ("", 0.28)]


def test_a_task_can_be_shown_as_it_was(caller: Caller) -> None:
    """A list that lags shows an older status than Task/Detail does."""
    task_id = caller.run()
    caller.emulator.override_task(task_id, calls="list", behind_seconds=5)
    caller.emulator.advance(4)
    assert caller.detail(task_id)["status"] == "task_postprocess_end"
    entry = listed(caller, task_id)
    assert (entry["status"], entry["pexit"], entry["totalcost"]) == ("task_queue", "", "0")
    caller.emulator.advance(4)
    assert listed(caller, task_id)["totalcost"] == "0.280000000000"


def test_a_task_can_be_hidden(caller: Caller) -> None:
    """Task/Detail answers code 1 or an empty list; Task/List leaves the task out."""
    task_id = caller.run()
    caller.emulator.override_task(task_id, hides="not_found", until_seconds=10)
    assert caller.refusal("Task/Detail", taskid=task_id)[0] == 1
    assert caller.call("Task/List")["tasklist"] == []
    caller.emulator.advance(10)
    assert listed(caller, task_id)["id"] == caller.detail(task_id)["id"]
    caller.emulator.override_task(task_id, hides="empty", calls="detail")
    assert caller.call("Task/Detail", taskid=task_id)["tasklist"] == []
    assert listed(caller, task_id)


def test_overrides_can_be_scripted_for_the_tasks_of_the_next_runs(caller: Caller) -> None:
    """And outlive a restart with the task."""
    caller.emulator.script_task(overrides=[{"fields": {"createtime": "1"}, "calls": "list"}])
    task_id = caller.run()
    caller.emulator.restart()
    caller.session.close()
    assert listed(caller, task_id)["createtime"] == "1"
    assert caller.detail(task_id)["createtime"] != "1"
    assert caller.emulator.tasks()[0]["script"]["overrides"][0]["fields"] == {"createtime": "1"}


@pytest.mark.parametrize("task_id", [None, "9" * 300, "", 7, [], "1\n2"])
def test_the_answer_to_a_run_can_have_any_task_id(caller: Caller, task_id: Any) -> None:
    """By script, as there is no task yet to override."""
    override = {"calls": "run", "fields": {"taskid": task_id}, "without": ["socketaccesstoken"]}
    caller.emulator.script_task(overrides=[override])
    answer = caller.call(f"Run/{HAILUO}", prompt="a fox")
    assert answer["result"] is True
    assert answer["taskid"] == task_id
    assert "socketaccesstoken" not in answer
    assert caller.emulator.billable_tasks() == 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"calls": "all"}, "calls must be one of"),
        ({"hides": "yes"}, "hides must be one of"),
        ({"since": "start"}, "since must be one of"),
        ({"rewrites": ["inputs_gone"]}, "unknown rewrite"),
        ({"until_seconds": "soon"}, "number of seconds"),
        ({"shape": 1}, "an override has no shape"),
        ({"without": "pexit"}, "list of names"),
    ],
)
def test_an_override_that_makes_no_sense_is_refused(
    caller: Caller, override: dict[str, Any], message: str
) -> None:
    """With a text that says what would."""
    with pytest.raises(ValueError, match=message):
        caller.emulator.script_task(overrides=[override])
