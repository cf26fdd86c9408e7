"""/Run: what is accepted, what is refused, and in which words."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.contract.case import case
from tests.contract.target import CHEAP_MODEL, Skip, Target
from wiro_dagster.errors import (
    AuthenticationRefused,
    ConcurrencyLimitReached,
    InputError,
    InsufficientBalance,
    NotFound,
    RequestRefused,
)

HAILUO = "minimax/hailuo-2-3"
HAILUO_FAST = "minimax/hailuo-2-3-fast"
SEEDANCE = "bytedance/image-to-video-seedance-pro-v1"
IMAGE_URL = "https://example.org/fox.png"


@case("/Run", "accepted: taskid and socketaccesstoken, texts", needs="paid")
def _(target: Target) -> None:
    answer = target.shared_run()
    assert isinstance(answer["taskid"], str)
    assert answer["taskid"]
    assert isinstance(answer["socketaccesstoken"], str)
    assert answer["socketaccesstoken"]


@case("/Run", "the client reads the task's id and token", needs="paid")
def _(target: Target) -> None:
    inputs = {"prompt": "a fox in the snow"}
    target.admit(target.model, inputs)
    submission = target.client.submit(target.model, inputs)
    assert target.wire.call("Task/Detail", tasktoken=submission.task_token)["tasklist"][0][
        "id"
    ] == (submission.task_id)
    assert submission.task_token not in repr(submission)


@case("/Run", "every accepted run is a new billable task")
def _(target: Target) -> None:
    ids = {target.run()["taskid"] for _ in range(3)}
    assert len(ids) == target.control.billable_tasks() == 3


@case("/Run", "inputs, callbackUrl and projectid are kept apart and echoed")
def _(target: Target) -> None:
    callback = "https://example.org/hook/0123456789"
    submission = target.client.submit(
        HAILUO, {"prompt": "a fox", "duration": "6"}, callback_url=callback, project_id="77"
    )
    raw = target.wire.task(submission.task_id)
    assert raw["callbackurl"] == callback
    assert raw["projectid"] == "77"
    assert raw["parameters"] == {"prompt": "a fox", "duration": "6"}
    task = target.client.get_task(submission.task_id)
    assert task.callback_url == callback
    assert task.inputs == {"prompt": "a fox", "duration": "6"}
    assert task.model_slug == HAILUO


def _check_refused(
    target: Target, model: str, inputs: dict[str, object], code: int, message: str
) -> None:
    assert target.refused_run(model, **inputs) == (code, message)
    # The service has just refused the same: it will not be bought here either.
    with pytest.raises(RequestRefused):
        target.client.submit(model, inputs)


@case("/Run", "a required text is missing or empty: code 0", needs="paid", codes=(0,))
def _(target: Target) -> None:
    message = "Request parameter [prompt] required"
    _check_refused(target, CHEAP_MODEL, {}, 0, message)
    _check_refused(target, CHEAP_MODEL, {"prompt": ""}, 0, message)


@case("/Run", "a required file is missing: code 0", needs="paid", codes=(0,))
def _(target: Target) -> None:
    message = "Request files [inputImageFirst] required"
    _check_refused(target, HAILUO_FAST, {"prompt": "a fox"}, 0, message)


@case("/Run", "a number outside its range: code 0", codes=(0,))
def _(target: Target) -> None:
    inputs = {"prompt": "x", "inputImageUrl": IMAGE_URL, "duration": 99}
    message = "Request parameter [duration] must be between 3 and 12"
    assert target.control
    _check_refused(target, SEEDANCE, inputs, 0, message)


@case("/Run", "no option, no number, file and URL, no text: code 0", codes=(0,))
def _(target: Target) -> None:
    wrong: list[tuple[str, dict[str, object]]] = [
        (HAILUO, {"prompt": "x", "duration": "7"}),
        (HAILUO, {"prompt": "x", "duration": 6}),
        (HAILUO, {"prompt": ["x"]}),
        (HAILUO, {"prompt": "x", "inputImageFirst": IMAGE_URL}),
        (SEEDANCE, {"prompt": "x", "inputImageUrl": IMAGE_URL, "duration": "long"}),
    ]
    assert target.control
    for model, inputs in wrong:
        assert target.refused_run(model, **inputs)[0] == 0


@case("/Run", "1080P with 10 seconds is refused by us before it is sent", codes=(0,))
def _(target: Target) -> None:
    from wiro_dagster.catalogue import Catalogue

    inputs = {"prompt": "x", "resolution": "1080P", "duration": "10"}
    for slug in (HAILUO, CHEAP_MODEL):
        _, problems = Catalogue.builtin().get_schema(slug).validate(inputs)
        assert any("1080P" in problem for problem in problems)
    assert target.control
    assert target.refused_run(HAILUO, **inputs)[0] == 0


@case("/Run", "a body that is no object is refused", codes=(0,))
def _(target: Target) -> None:
    for body in (b"[1]", b'"text"', b'{"prompt": '):
        answer = target.wire.post(f"Run/{HAILUO}", data=body).json()
        assert (answer["result"], answer["errors"][0]["code"]) == (False, 0)
    assert target.control.billable_tasks() == 0


@case("/Run", "no such model: code 1", needs="read", codes=(1,))
def _(target: Target) -> None:
    expected = (1, "slug-owner-project-not-exist")
    assert target.wire.refusal("Run/nobody/no-such-model-5c1e", prompt="x") == expected
    with pytest.raises(NotFound, match="slug-owner-project-not-exist"):
        target.client.submit("nobody/no-such-model-5c1e", {"prompt": "x"})


@case("/Run", "a title is no slug: code 1, and ours says what was meant", codes=(1,))
def _(target: Target) -> None:
    from wiro_dagster.catalogue import Catalogue

    assert target.control
    assert target.refused_run("MiniMax/hailuo-2.3", prompt="x")[0] == 1
    with pytest.raises(InputError, match="minimax/hailuo-2-3"):
        Catalogue.builtin().get_schema("MiniMax/hailuo-2.3")


@case("/Run", "a model that is not ours to use: code 1", codes=(1,))
def _(target: Target) -> None:
    assert target.control
    _check_refused(target, "emulator/private", {"prompt": "x"}, 1, "tool-not-accessible")


@case("/Run", "a model for registered users: code 98", codes=(98,))
def _(target: Target) -> None:
    assert target.control
    assert target.refused_run("emulator/members-only", prompt="x")[0] == 98
    with pytest.raises(AuthenticationRefused):
        target.client.submit("emulator/members-only", {"prompt": "x"})


@case("/Run", "a model without a schema takes anything")
def _(target: Target) -> None:
    target.run("emulator/no-schema", anything=[1, 2])
    assert target.control.billable_tasks() == 1


@case("/Run", "code 96: limit by balance, nothing created, later it goes on", codes=(96,))
def _(target: Target) -> None:
    emulator = target.control
    emulator.set_balance("25.40")
    first = target.run()["taskid"]
    target.run()
    code, message = target.refused_run(CHEAP_MODEL, prompt="a third")
    assert code == 96
    assert "25.40" in message
    assert "2 tasks" in message
    with pytest.raises(ConcurrencyLimitReached) as caught:
        target.client.submit(CHEAP_MODEL, {"prompt": "a third"})
    assert (caught.value.limit, caught.value.balance_usd) == (2, Decimal("25.40"))
    target.wire.call("Task/Cancel", taskid=first)
    target.run(prompt="a third")


@case("/Run", "code 96: one task below 20 USD, no limit above 250 USD", codes=(96,))
def _(target: Target) -> None:
    target.control.set_balance("5")
    target.run()
    assert target.refused_run(CHEAP_MODEL, prompt="x")[0] == 96
    target.control.set_balance("251")
    for _ in range(30):
        target.run()


@case("/Run", "code 97: no funds, nothing created", codes=(97,))
def _(target: Target) -> None:
    target.control.set_balance("0")
    assert target.refused_run(CHEAP_MODEL, prompt="x")[0] == 97
    with pytest.raises(InsufficientBalance):
        target.client.submit(CHEAP_MODEL, {"prompt": "x"})


@case("/Run", "a run bought by the suite is charged no more than its quote", needs="paid")
def _(target: Target) -> None:
    if target.spending is None:
        raise Skip("the emulator's prices are compared one by one under /Tool/Detail")
    cost = target.client.get_task(target.ended_task()["id"]).cost_usd
    assert cost is not None
    assert cost <= target.spending.committed_usd
