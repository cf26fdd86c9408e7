"""/Task/Detail: the life of a task as it is shown, and what the client makes of it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.contract.case import case
from tests.contract.target import CHEAP_MODEL, Target
from wiro_dagster.errors import NotFound, OutcomeUnknown, RequestRefused

LADDER = (
    "task_queue",
    "task_accept",
    "task_preprocess_start",
    "task_preprocess_end",
    "task_assign",
    "task_start",
    "task_output",
    "task_output_full",
    "task_end",
    "task_postprocess_start",
    "task_postprocess_end",
)
TASK_FIELDS = {
    *("id", "uuid", "socketaccesstoken", "parameters", "status", "pexit", "debugoutput"),
    *("debugerror", "createtime", "assigntime", "accepttime", "starttime", "endtime"),
    *("preprocessstarttime", "elapsedseconds", "cps", "totalcost", "projectid", "modelid"),
    *("callbackurl", "modelslugowner", "modelslugproject", "categories", "size", "outputs"),
}
OUTPUT_FIELDS = {
    *("id", "name", "contenttype", "parentid", "uuid", "size", "addedtime", "modifiedtime"),
    *("accesskey", "expiretime", "url"),
}


@case("/Task/Detail", "no such task: code 1", needs="read", codes=(1,))
def _(target: Target) -> None:
    code, message = target.wire.refusal("Task/Detail", taskid="1")
    assert code == 1
    assert message in ("There is no task yet.", "task-not-founded")
    with pytest.raises(NotFound):
        target.client.get_task("1")


@case("/Task/Detail", "no identifier: code 0", needs="read", codes=(0,))
def _(target: Target) -> None:
    assert target.wire.refusal("Task/Detail")[0] == 0


@case("/Task/Detail", "by taskid and by tasktoken, total 1", needs="paid")
def _(target: Target) -> None:
    ended = target.ended_task()
    for fields in ({"taskid": ended["id"]}, {"tasktoken": ended["socketaccesstoken"]}):
        answer = target.wire.call("Task/Detail", **fields)
        assert str(answer["total"]) == "1"
        assert [task["id"] for task in answer["tasklist"]] == [ended["id"]]


@case("/Task/Detail", "every documented field of a task and of an output", needs="paid")
def _(target: Target) -> None:
    ended = target.ended_task()
    assert ended.keys() >= TASK_FIELDS
    for output in ended["outputs"]:
        assert output.keys() >= OUTPUT_FIELDS


@case("/Task/Detail", "a success: pexit 0, cost, outputs, times", needs="paid")
def _(target: Target) -> None:
    ended = target.ended_task()
    assert (ended["status"], ended["pexit"]) == ("task_postprocess_end", "0")
    assert ended["outputs"]
    task = target.client.get_task(ended["id"])
    assert (task.state, task.exit_code) == ("succeeded", "0")
    assert task.cost_usd == Decimal(ended["totalcost"]) > 0
    assert task.created_at is not None
    assert task.ended_at is not None
    assert task.created_at <= task.ended_at
    assert task.queue_seconds is not None
    assert [output.url for output in task.outputs] == [o["url"] for o in ended["outputs"]]


@case("/Task/Detail", "numbers come as texts and are read as numbers", needs="paid")
def _(target: Target) -> None:
    ended = target.ended_task()
    for name in ("createtime", "starttime", "endtime", "elapsedseconds", "totalcost"):
        assert isinstance(ended[name], str), name
        Decimal(ended[name])


@case("/Task/Detail", "numbers as numbers and parameters as text are read the same")
def _(target: Target) -> None:
    task_id = target.run(CHEAP_MODEL, duration="6")["taskid"]
    target.settle(task_id)
    documents = target.client.get_task(task_id)
    target.control.change_settings(dialect="alternate")
    raw = target.wire.task(task_id)
    assert isinstance(raw["createtime"], int)
    assert isinstance(raw["parameters"], str)
    alternate = target.client.get_task(task_id)
    assert alternate.cost_usd == documents.cost_usd
    assert alternate.inputs == documents.inputs
    assert alternate.created_at == documents.created_at
    assert alternate.outputs == documents.outputs


@case("/Task/Detail", "the whole ladder, in order, running until its last rung")
def _(target: Target) -> None:
    task_id = target.run()["taskid"]
    seen: list[str] = []
    for _ in range(400):
        raw = target.wire.task(task_id)
        task = target.client.get_task(task_id)
        if raw["status"] not in seen:
            seen.append(raw["status"])
        is_last = raw["status"] == LADDER[-1]
        assert task.is_ended is is_last
        assert (raw["pexit"] == "") is not is_last
        assert bool(task.outputs) is is_last
        if is_last:
            break
        assert task.state == ("queued" if raw["status"] == "task_queue" else "running")
        target.control.advance(0.02)
    assert tuple(seen) == LADDER


@case("/Task/Detail", "queue time comes on top and is free")
def _(target: Target) -> None:
    target.control.script_task(queue_seconds=500)
    slow = target.settle(target.run()["taskid"])
    quick = target.settle(target.run()["taskid"])
    task = target.client.get_task(slow["id"])
    assert task.queue_seconds is not None
    assert task.queue_seconds >= 499
    assert slow["totalcost"] == quick["totalcost"]


@case("/Task/Detail", "phases may be skipped, and statuses be unknown")
def _(target: Target) -> None:
    target.control.script_task(skip=["task_accept", "task_assign", "task_end"])
    assert target.settle(target.run()["taskid"])["pexit"] == "0"
    task_id = target.run()["taskid"]
    target.control.set_task(task_id, status="task_dreaming")
    task = target.client.get_task(task_id)
    assert (task.status, task.state, task.is_ended) == ("task_dreaming", "running", False)


@case("/Task/Detail", "task_end is not the end: no exit code, no outputs")
def _(target: Target) -> None:
    task_id = target.run()["taskid"]
    raw = target.advance_to(task_id, "task_end")
    assert (raw["pexit"], raw["outputs"]) == ("", [])
    assert not target.client.get_task(task_id).is_ended


@case("/Task/Detail", "a failure: another pexit, totalcost 0, a reason")
def _(target: Target) -> None:
    target.control.script_task(outcome="fail", reason="no such colour")
    raw = target.settle(target.run()["taskid"])
    assert raw["status"] == "task_postprocess_end"
    assert raw["pexit"] not in ("", "0")
    assert raw["totalcost"] == "0"
    task = target.client.get_task(raw["id"])
    assert (task.state, task.cost_usd) == ("failed", Decimal(0))
    assert "no such colour" in task.failure_reason


@case("/Task/Detail", "pexit 0 without outputs is shown as it is")
def _(target: Target) -> None:
    target.control.script_task(outcome="no_outputs")
    raw = target.settle(target.run()["taskid"])
    assert (raw["pexit"], raw["outputs"]) == ("0", [])
    task = target.client.get_task(raw["id"])
    assert (task.state, task.outputs) == ("succeeded", ())


@case("/Task/Detail", "task_cancel with pexit 0, outputs and a cost is a cancellation")
def _(target: Target) -> None:
    target.control.script_task(outcome="cancelled_with_cost")
    raw = target.settle(target.run()["taskid"])
    assert (raw["status"], raw["pexit"]) == ("task_cancel", "0")
    assert raw["outputs"]
    task = target.client.get_task(raw["id"])
    assert task.state == "cancelled"
    assert task.cost_usd == Decimal(raw["totalcost"]) > 0


@case("/Task/Detail", "task_error may stay or recover: not ended, with its reason")
def _(target: Target) -> None:
    target.control.script_task(outcome="task_error", reason="no machine")
    stays = target.run()["taskid"]
    target.control.script_task(outcome="task_error_recovers")
    recovers = target.run()["taskid"]
    target.advance_to(recovers, "task_error")
    assert target.settle(recovers)["pexit"] == "0"
    raw = target.settle(stays)
    assert (raw["status"], raw["pexit"]) == ("task_error", "")
    task = target.client.get_task(stays)
    assert (task.has_error_status, task.is_ended) == (True, False)
    assert "no machine" in task.failure_reason


@case("/Task/Detail", "a language model: raw content instead of a file")
def _(target: Target) -> None:
    task_id = target.run("emulator/chat", prompt="Tell me")["taskid"]
    (output,) = target.settle(task_id)["outputs"]
    assert output["contenttype"] == "raw"
    (read,) = target.client.get_task(task_id).outputs
    assert (read.content, read.url) == (output["content"], None)
    target.control.change_settings(dialect="alternate")
    (read,) = target.client.get_task(task_id).outputs
    assert '"answer"' in (read.content or "")


@case("/Task/Detail", "several outputs, also of one name")
def _(target: Target) -> None:
    target.control.script_task(outputs=3, same_names=True)
    raw = target.settle(target.run()["taskid"])
    outputs = target.client.get_task(raw["id"]).outputs
    assert len({output.name for output in outputs}) == 1
    assert len({output.url for output in outputs}) == len(outputs) == len(raw["outputs"])


@case("/Task/Detail", "a new task may be unknown for a while", codes=(1,))
def _(target: Target) -> None:
    target.control.change_settings(detail_delay_seconds=5)
    task_id = target.run()["taskid"]
    with pytest.raises(NotFound):
        target.client.get_task(task_id)
    target.control.advance(6)
    assert target.client.get_task(task_id).id == task_id


@case("/Task/Detail", "unknown fields harm nothing, secrets are not printed", needs="paid")
def _(target: Target) -> None:
    ended = target.ended_task()
    task = target.client.get_task(ended["id"])
    assert task.token == ended["socketaccesstoken"]
    assert task.token not in repr(task)
    assert "uuid" in ended


@case("/Task/Detail", "spoilt answers are no task and no absence")
def _(target: Target) -> None:
    task_id = target.run()["taskid"]
    for kind in ("broken_json", "unrecognised", "html"):
        target.control.clear_faults()
        target.control.script_fault(kind, endpoint="Task/Detail", times=None)
        with pytest.raises(OutcomeUnknown) as caught:
            target.client.get_task(task_id)
        assert not isinstance(caught.value, RequestRefused)
