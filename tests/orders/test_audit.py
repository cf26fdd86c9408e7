"""The audit: every task of the account, and every cost, against the books."""

from __future__ import annotations

from decimal import Decimal

from tests.orders.conftest import OpenBench
from tests.system.campaigns.workshop import MODEL, PRICE
from wiro_dagster.orders.audit import audit


def test_books_that_agree_are_clean(open_bench: OpenBench) -> None:
    """Each task is explained, at its cost."""
    bench = open_bench()
    bench.place("cat")
    bench.settle()
    found = audit(bench.desk.context)
    assert (found.is_clean, found.tasks, found.orders) == (True, 1, 1)
    assert found.to_json() == {"unexplained": [], "differences": [], "tasks": 1, "orders": 1}


def test_a_cost_that_differs_is_named_with_both_amounts(open_bench: OpenBench) -> None:
    """Whatever the books say, Wiro's amount is shown beside it."""
    bench = open_bench()
    order = bench.place("cat")
    bench.settle()
    task_id = str(bench.order("cat").task_id)
    bench.emulator.override_task(task_id, {"totalcost": "0.5"})
    found = audit(bench.desk.context)
    assert not found.is_clean
    assert found.to_json()["differences"] == [
        {"order_id": order.id, "task_id": task_id, "ours_usd": f"{PRICE}", "wiro_usd": "0.5"}
    ]


def test_a_task_under_way_has_no_cost_to_compare(open_bench: OpenBench) -> None:
    """Its cost is final on neither side."""
    bench = open_bench()
    bench.place("cat")
    bench.tick()
    bench.emulator.override_task(str(bench.order("cat").task_id), {"totalcost": "9"})
    assert audit(bench.desk.context).is_clean


def test_a_task_that_no_order_explains_is_named_until_it_is_accepted(
    open_bench: OpenBench,
) -> None:
    """It may be somebody's by hand; older ones can be left out."""
    bench = open_bench()
    context = bench.desk.context
    theirs = bench.emulator.add_foreign_task(model=MODEL, inputs={"prompt": "What is this?"})
    found = audit(context)
    assert [stray.task_id for stray in found.list_strays()] == [theirs]
    (shown,) = found.to_json()["unexplained"]
    assert (shown["task_id"], shown["model"]) == (theirs, MODEL)
    assert Decimal(shown["cost_usd"]) >= 0
    assert audit(context, since=bench.now + 3600).unexplained == ()
    context.ledger.note_strays(context.account, found.list_strays())
    context.ledger.accept_strays(context.account, [theirs], "made by hand")
    assert audit(context).is_clean


def test_a_task_with_a_callback_of_others_is_theirs(open_bench: OpenBench) -> None:
    """Another program made it, and it needs no word of the user's."""
    bench = open_bench()
    bench.desk.context.client.submit(
        MODEL, {"prompt": "theirs"}, callback_url="http://127.0.0.1:9/other"
    )
    assert audit(bench.desk.context).is_clean


def test_a_task_of_a_lost_answer_is_adopted_on_the_way(open_bench: OpenBench) -> None:
    """Its marker says whose it is."""
    bench = open_bench()
    bench.emulator.script_fault("drop", endpoint="Run", moment="after")
    bench.place("cat")
    bench.tick()
    found = audit(bench.desk.context)
    assert (found.is_clean, found.orders) == (True, 1)
    assert bench.order("cat").task_id is not None
