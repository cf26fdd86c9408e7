"""/Task/List: pages, order, filter, and the echo by which a lost task is found again."""

from __future__ import annotations

from tests.contract.case import case
from tests.contract.runs import HAILUO
from tests.contract.target import CHEAP_MODEL, Target

QUERY = {"type": "model", "sort": "id", "order": "DESC", "start": "0", "limit": "20"}


@case("/Task/List", "total and tasklist, newest first", needs="read")
def _(target: Target) -> None:
    answer = target.wire.call("Task/List", **{**QUERY, "limit": "10"})
    ids = [int(task["id"]) for task in answer["tasklist"]]
    assert ids == sorted(ids, reverse=True)
    assert int(answer["total"]) >= len(ids)
    page = target.client.list_tasks(limit=10)
    assert page.total >= len(page.tasks)
    created = [task.created_at or 0 for task in page.tasks]
    assert created == sorted(created, reverse=True)


@case("/Task/List", "pages by start and limit, 100 at most")
def _(target: Target) -> None:
    target.control.set_balance("5000")
    ids = [target.run(prompt=f"number {number}")["taskid"] for number in range(105)]
    first = target.client.list_tasks(start=0, limit=100)
    rest = target.client.list_tasks(start=100, limit=100)
    assert first.total == rest.total == len(ids)
    assert [task.id for task in (*first.tasks, *rest.tasks)] == ids[::-1]
    assert len(target.wire.call("Task/List", **{**QUERY, "limit": "1000"})["tasklist"]) == 100
    assert len(target.wire.call("Task/List", **QUERY)["tasklist"]) == int(QUERY["limit"])
    assert target.client.list_tasks(start=500).tasks == ()


@case("/Task/List", "ascending order on request")
def _(target: Target) -> None:
    ids = [target.run()["taskid"] for _ in range(3)]
    assert target.control
    answer = target.wire.call("Task/List", **{**QUERY, "order": "ASC"})
    assert [task["id"] for task in answer["tasklist"]] == ids


@case("/Task/List", "filter by modelName")
def _(target: Target) -> None:
    wanted = target.run(HAILUO)["taskid"]
    target.run(CHEAP_MODEL)
    assert target.control
    query = {"type": "model", "sort": "id", "order": "DESC", "start": "0", "limit": "20"}
    page = target.wire.call("Task/List", **query, modelName=HAILUO)
    assert ([task["id"] for task in page["tasklist"]], int(page["total"])) == ([wanted], 1)


@case("/Task/List", "echo of parameters and callbackurl: a lost task is found again")
def _(target: Target) -> None:
    callback = "https://example.org/hook/marker-0123456789"
    target.control.script_fault("drop", endpoint="Run", moment="after")
    fields = {"prompt": "a lost fox", "duration": "10", "callbackUrl": callback}
    try:
        target.wire.call(f"Run/{HAILUO}", **fields)
    except OSError:
        pass
    else:
        raise AssertionError("the answer was to be lost")
    (found,) = target.client.list_tasks().tasks
    assert found.callback_url == callback
    assert found.inputs == {"prompt": "a lost fox", "duration": "10"}
    assert found.model_slug == HAILUO


@case("/Task/List", "a new task may be missing for a while")
def _(target: Target) -> None:
    target.control.change_settings(listing_delay_seconds=5)
    task_id = target.run()["taskid"]
    assert target.client.list_tasks().tasks == ()
    assert target.client.get_task(task_id).id == task_id
    target.control.advance(6)
    assert [task.id for task in target.client.list_tasks().tasks] == [task_id]
