"""What a look at a task means: the judge's table, from values to values."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.support.ledger_orders import running
from wiro_dagster.api.types import Task
from wiro_dagster.ledger import Ledger, Order
from wiro_dagster.orders.judge import (
    ERROR_DEADLINE_SECONDS,
    Judgement,
    is_plain_success,
    judge_task,
    why_stop,
)
from wiro_dagster.orders.policy import OrderPolicy

pytestmark = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
POLICY = OrderPolicy(run_deadline_seconds=600.0)
TIMING = POLICY.timing
FILE = {"url": "https://cdn1.wiro.ai/x/0.mp4"}
SUCCESS = {"status": "task_postprocess_end", "pexit": "0", "totalcost": "0.28", "outputs": [FILE]}
FAILURE = {"status": "task_postprocess_end", "pexit": "1", "totalcost": "0", "debugerror": "no GPU"}
CANCELLED = {"status": "task_cancel", "pexit": "0", "totalcost": "0"}

DAY = 86_400.0


@pytest.fixture
def order(ledger: Ledger) -> Order:
    return running(ledger)


def show(**fields: Any) -> Task:
    return Task.model_validate({"id": "t", **fields})


def judge(order: Order, *, waited: float = 0.0, **fields: Any) -> Judgement:
    """Judge a task of an order whose end was first seen some seconds ago."""
    now = (order.ended_at or order.created_at) + waited
    return judge_task(order, show(**fields), now=now, wiro_now=now, policy=POLICY)


def settling(order: Order, **changes: Any) -> Order:
    return replace(order, state="settling", ended_at=order.created_at, **changes)


@pytest.mark.parametrize(
    ("fields", "waited", "step"),
    [
        ({"status": "task_start"}, 0.0, "resume"),
        (SUCCESS, 0.0, "succeed"),
        ({**SUCCESS, "outputs": []}, TIMING.settle_seconds, "observe"),
        ({**SUCCESS, "outputs": []}, TIMING.settle_missing_seconds, "fail"),
        ({**SUCCESS, "pexit": None}, 0.0, "succeed"),
        ({**SUCCESS, "pexit": None, "totalcost": None}, 0.0, "observe"),
        ({**SUCCESS, "pexit": None, "totalcost": None}, TIMING.settle_seconds, "succeed"),
        ({**SUCCESS, "pexit": None, "outputs": []}, TIMING.settle_seconds, "observe"),
        (FAILURE, 0.0, "observe"),
        (FAILURE, TIMING.settle_seconds, "fail"),
        ({**FAILURE, "outputs": [FILE]}, TIMING.settle_seconds, "fail"),
        ({**FAILURE, "outputs": [FILE], "totalcost": "0.28"}, 0.0, "succeed"),
        (CANCELLED, 0.0, "observe"),
        (CANCELLED, TIMING.settle_seconds, "cancel"),
        ({**CANCELLED, "outputs": [FILE], "totalcost": "0.28"}, 0.0, "succeed"),
    ],
)
def test_an_end_counts_once_it_stands_still(
    order: Order, fields: dict[str, Any], waited: float, step: str
) -> None:
    """Paid files are fetched at once; an end that shows none is looked at again for a while."""
    assert judge(settling(order), waited=waited, **fields).transition == step


def test_a_first_sight_of_an_end_without_files_is_not_final(order: Order) -> None:
    """The order settles from then on."""
    judgement = judge(order, **FAILURE)
    assert (judgement.transition, judgement.records["ended_at"]) == ("end", order.created_at)


@pytest.mark.parametrize(
    ("fields", "order_has", "reason"),
    [
        ({**SUCCESS, "outputs": []}, {}, "without an output file"),
        (CANCELLED, {}, "Cancelled at Wiro."),
        (CANCELLED, {"stop_reason": "enough"}, "enough"),
        (FAILURE, {}, "no GPU"),
        ({**FAILURE, "debugerror": ""}, {}, "Wiro gave no reason (exit code 1)."),
    ],
)
def test_the_reason_is_wiros_if_it_gives_one(
    order: Order, fields: dict[str, Any], order_has: dict[str, Any], reason: str
) -> None:
    """Without a reason, the message says what was seen."""
    judgement = judge(settling(order, **order_has), waited=1e4, **fields)
    assert reason in judgement.records["error"]


def test_a_stop_for_a_deadline_is_a_failure_and_not_a_cancel(order: Order) -> None:
    """The order ends as it was asked to."""
    stopped = settling(order, stop_state="failed", stop_reason="too long")
    assert judge(stopped, waited=1e4, **CANCELLED).transition == "fail"


@pytest.mark.parametrize(
    ("fields", "usd", "read_again_after"),
    [
        (SUCCESS, Decimal("0.28"), DAY),
        ({**SUCCESS, "totalcost": None}, None, 10.0),
        ({**SUCCESS, "totalcost": "0"}, None, 10.0),
        ({**SUCCESS, "outputs": [], "totalcost": "0"}, None, 10.0),
        (FAILURE, Decimal(0), DAY),
        ({**FAILURE, "totalcost": None}, None, 10.0),
        ({**CANCELLED, "totalcost": "0.10"}, Decimal("0.10"), DAY),
    ],
)
def test_a_cost_that_is_not_stated_is_read_again(
    order: Order, fields: dict[str, Any], usd: Decimal | None, read_again_after: float
) -> None:
    """Its ceiling stays committed; a stated one is read a day later, if no list shows the task."""
    cost = judge(settling(order), waited=1e4, **fields).cost
    assert cost is not None
    again_after = (cost.recheck_at or 0.0) - order.created_at - 1e4
    assert (cost.usd, again_after, cost.has_ended) == (usd, read_again_after, True)


def test_a_run_that_was_quoted_as_free_may_cost_nothing(order: Order) -> None:
    """Then a cost of 0 is a cost, and nothing is read again."""
    free = replace(order, ceiling_usd=Decimal(0))
    assert is_plain_success(show(**{**SUCCESS, "totalcost": "0"}), free)
    assert not is_plain_success(show(**{**SUCCESS, "totalcost": "0"}), order)


def test_a_look_that_shows_nothing_new_is_no_news(order: Order) -> None:
    """So it costs no write; a failed look in between makes the next one news."""
    fields = {"status": "task_start"}
    first = judge(order, **fields)
    seen = {name: first.records[name] for name in ("task_status", "queue_seconds", "started_at")}
    again = replace(order, **seen)
    assert first.is_news
    assert not judge(again, **fields).is_news
    assert judge(replace(again, attempts=1), **fields).is_news


@pytest.mark.parametrize(
    ("fields", "age", "words"),
    [
        ({"status": "task_start", "starttime": 1_700_000_000}, 600.0, None),
        ({"status": "task_start", "starttime": 1_700_000_000}, 601.0, "deadline of 600 s"),
        ({"status": "task_queue", "createtime": 1_700_000_000}, 1e6, None),
        ({"status": "task_start"}, 1e6, None),
        (
            {"status": "task_error", "createtime": 1_700_000_000, "debugerror": "no GPU"},
            ERROR_DEADLINE_SECONDS + 1,
            "in error for 1800 s",
        ),
        ({"status": "task_error", "createtime": 1_700_000_000}, ERROR_DEADLINE_SECONDS, None),
        ({"status": "task_error"}, 1e6, None),
        ({**SUCCESS, "starttime": 1_700_000_000}, 1e6, None),
    ],
)
def test_a_task_is_stopped_by_wiros_own_times_only(
    order: Order, fields: dict[str, Any], age: float, words: str | None
) -> None:
    """Without a time of Wiro's, nothing is stopped; queue time does not count."""
    fresh = replace(order, started_at=None)
    reason = why_stop(fresh, show(**fields), wiro_now=1_700_000_000 + age, policy=POLICY)
    assert (reason is None) == (words is None)
    assert words is None or words in str(reason)
