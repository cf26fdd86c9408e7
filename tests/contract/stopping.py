"""/Task/Cancel, /Task/Kill and /Task/InputOutputDelete: where each works, and where not."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.contract.case import case
from tests.contract.runs import HAILUO_FAST
from tests.contract.target import Target
from wiro_dagster.errors import NotFound, RequestRefused

NEITHER = ("task_accept", "task_preprocess_start", "task_preprocess_end")
KILLABLE = ("task_assign", "task_start", "task_output", "task_output_full", "task_end")


@case("/Task/Cancel", "no such task: code 1", needs="read", codes=(1,))
def _(target: Target) -> None:
    assert target.wire.refusal("Task/Cancel", taskid="1")[0] == 1
    with pytest.raises(NotFound):
        target.client.cancel_task("1")


@case("/Task/Kill", "no such task: code 1", needs="read", codes=(1,))
def _(target: Target) -> None:
    assert target.wire.refusal("Task/Kill", taskid="1")[0] == 1
    with pytest.raises(NotFound):
        target.client.kill_task("1")


@case("/Task/Cancel", "in the queue: cancelled, nothing billed")
def _(target: Target) -> None:
    task_id = target.run()["taskid"]
    answer = target.wire.call("Task/Cancel", taskid=task_id)
    assert answer["tasklist"][0]["status"] == "task_cancel"
    other = target.run()["taskid"]
    target.client.cancel_task(other)
    for ended in (task_id, other):
        task = target.client.get_task(ended)
        assert (task.state, task.cost_usd) == ("cancelled", Decimal(0))
    assert target.control.spent_usd() == 0


@case("/Task/Cancel", "later: refused with code 1", codes=(1,))
def _(target: Target) -> None:
    for status in (*NEITHER, *KILLABLE):
        task_id = target.run()["taskid"]
        target.control.set_task(task_id, status=status)
        assert target.wire.refusal("Task/Cancel", taskid=task_id)[0] == 1
        with pytest.raises(RequestRefused):
            target.client.cancel_task(task_id)
    task_id = target.run()["taskid"]
    target.settle(task_id)
    assert target.wire.refusal("Task/Cancel", taskid=task_id)[0] == 1


@case("/Task/Kill", "after assignment: killed, by taskid or by token, nothing billed")
def _(target: Target) -> None:
    for status in KILLABLE:
        run = target.run()
        target.advance_to(run["taskid"], status)
        by_token = {"socketaccesstoken": run["socketaccesstoken"]}
        fields = by_token if status == "task_start" else {"taskid": run["taskid"]}
        answer = target.wire.call("Task/Kill", **fields)
        assert answer["tasklist"][0]["status"] == "task_cancel"
    run = target.run()
    target.advance_to(run["taskid"], "task_output")
    target.client.kill_task(run["taskid"])
    assert target.client.get_task(run["taskid"]).state == "cancelled"
    assert target.control.spent_usd() == 0


@case("/Task/Kill", "in the queue, before assignment and at the end: code 1", codes=(1,))
def _(target: Target) -> None:
    task_id = target.run()["taskid"]
    for status in ("task_queue", *NEITHER):
        target.advance_to(task_id, status)
        assert target.wire.refusal("Task/Kill", taskid=task_id)[0] == 1
        with pytest.raises(RequestRefused):
            target.client.kill_task(task_id)
    target.settle(task_id)
    assert target.wire.refusal("Task/Kill", taskid=task_id)[0] == 1


@case("/Task/Kill", "accepted and yet too late: completed and billed")
def _(target: Target) -> None:
    target.control.script_task(kill="loses")
    task_id = target.run()["taskid"]
    target.advance_to(task_id, "task_output")
    target.client.kill_task(task_id)
    target.settle(task_id)
    task = target.client.get_task(task_id)
    assert task.state == "succeeded"
    assert task.cost_usd == target.control.spent_usd() > 0


@case("/Task/Kill", "killed and billed all the same: the cost seen is recorded")
def _(target: Target) -> None:
    target.control.script_task(kill="bills")
    task_id = target.run()["taskid"]
    target.advance_to(task_id, "task_output")
    target.client.kill_task(task_id)
    task = target.client.get_task(task_id)
    assert task.state == "cancelled"
    assert task.cost_usd == target.control.spent_usd() > 0


@case("/Task/InputOutputDelete", "an unknown token: refused", needs="read")
def _(target: Target) -> None:
    assert target.wire.call("Task/InputOutputDelete", tasktoken="0" * 30)["result"] is False


@case("/Task/InputOutputDelete", "before the end: refused", codes=(1,))
def _(target: Target) -> None:
    run = target.run()
    for status in ("task_queue", "task_output", "task_end"):
        target.advance_to(run["taskid"], status)
        token = run["socketaccesstoken"]
        assert target.wire.refusal("Task/InputOutputDelete", tasktoken=token)[0] == 1
        with pytest.raises(RequestRefused) as caught:
            target.client.delete_task_files(token)
        assert token not in str(caught.value)


@case("/Task/InputOutputDelete", "once ended: files gone, record stays, again and again")
def _(target: Target) -> None:
    assert target.control
    run = target.wire.post(
        f"Run/{HAILUO_FAST}",
        data={"prompt": "a fox"},
        files={"inputImageFirst": ("fox.png", b"\x89PNG\r\n\x1a\n no image", "image/png")},
    ).json()
    ended = target.settle(run["taskid"])
    urls = [ended["outputs"][0]["url"], ended["parameters"]["inputImageFirst"]]
    assert all(target.fetch(url).ok for url in urls)
    for _ in range(3):
        target.client.delete_task_files(run["socketaccesstoken"])
    assert not any(target.fetch(url).ok for url in urls)
    task = target.client.get_task(run["taskid"])
    assert task.state == "succeeded"
    assert task.cost_usd is not None
    assert task.cost_usd > 0
