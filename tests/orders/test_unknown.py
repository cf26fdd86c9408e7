"""Submissions whose outcome nobody knows: looked up, adopted, never simply sent again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.system.campaigns.bench import STEADY, Bench
from tests.system.campaigns.workshop import make_prompt
from wiro_dagster.api.types import LocalFile
from wiro_dagster.emulator import Emulator
from wiro_dagster.ledger import Gate, Order
from wiro_dagster.ledger.schema import orders
from wiro_dagster.orders.policy import count_surplus

LOSSES = ["drop", "reset", "http_500", "http_502", "http_504", "html", "broken_json", "empty"]


@pytest.fixture
def bench(emulator: Emulator, tmp_path: Path) -> Iterator[Bench]:
    opened = Bench(emulator, f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path / "videos")
    yield opened
    opened.close()


def claim_for_submission(bench: Bench) -> Order:
    """What a process has done that dies between its intent and its POST."""
    context = bench.desk.context
    gate = Gate(bench.ledger, context.account)
    (order,) = gate.admit("video", context.limits, limit=1, lease_seconds=60).orders
    return order


@pytest.mark.parametrize("kind", [*LOSSES, "unrecognised", "code_0"])
def test_a_lost_answer_is_looked_up_and_its_task_adopted(bench: Bench, kind: str) -> None:
    """Wiro accepted the run: one task, one order, whatever became of the answer."""
    bench.emulator.script_fault(kind, endpoint="Run", moment="after")
    bench.place("cat")
    bench.tick()
    assert bench.state("cat") == "unknown"
    (order,) = bench.settle()
    assert order.state == "delivered"
    assert (bench.runs(), bench.calls("Run")) == (1, 1)
    bench.check_books()


@pytest.mark.parametrize("kind", LOSSES)
def test_a_lost_submission_is_sent_again_only_after_the_grace(bench: Bench, kind: str) -> None:
    """Wiro never saw it; only a list that stays empty for the whole grace says so."""
    bench.emulator.script_fault(kind, endpoint="Run", moment="before")
    bench.place("cat")
    bench.tick()
    for _ in range(int(STEADY.resubmit_after_seconds) // 20 - 1):
        bench.advance(20)
        bench.tick()
        assert bench.state("cat") == "unknown"
        assert bench.calls("Run") == 1
    (order,) = bench.settle()
    assert (order.state, bench.runs(), bench.calls("Run")) == ("delivered", 1, 2)
    bench.check_books()


@pytest.mark.parametrize("outcome", ["succeed", "fail", "stuck"])
def test_a_task_is_adopted_however_far_it_got(bench: Bench, outcome: str) -> None:
    """Finished, failed or running: it is the order's task, and not bought again."""
    bench.emulator.script_task(outcome=outcome)
    bench.emulator.script_fault("drop", endpoint="Run", moment="after")
    bench.place("cat")
    bench.tick()
    bench.advance(30)
    bench.tick()
    expected = {"succeed": "stored", "fail": "failed", "stuck": "running"}
    assert bench.state("cat") == expected[outcome]
    assert bench.runs() == 1


@pytest.mark.parametrize("has_sent", [True, False])
def test_a_process_that_dies_at_the_post_leaves_an_order_to_be_looked_up(
    bench: Bench, has_sent: bool
) -> None:
    """Between the intent and the note, dead is like a lost answer; the lease says when."""
    bench.place("cat")
    order = claim_for_submission(bench)
    if has_sent:
        bench.desk.context.client.submit(order.model_slug, order.inputs)
    bench.tick()
    assert bench.state("cat") == "submitting"
    bench.advance(61)
    bench.tick()
    assert bench.state("cat") != "submitting"
    (order,) = bench.settle()
    assert (order.state, bench.runs()) == ("delivered", 1)
    bench.check_books()


def test_a_clock_that_is_wrong_does_not_have_it_bought_again(
    emulator: Emulator, tmp_path: Path
) -> None:
    """By our clock the task is older than its order: that is a person's case, not another POST."""

    class FastBench(Bench):
        def clock(self) -> float:
            return self.now + 3 * STEADY.clock_skew_seconds

    bench = FastBench(emulator, f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path / "videos")
    emulator.script_fault("drop", endpoint="Run", moment="after")
    order = bench.place("cat")
    bench.tick()
    for _ in range(20):
        bench.advance(30)
        bench.tick()
    assert (bench.state("cat"), bench.runs()) == ("unknown", 1)
    assert any(f"orders adopt {order.id}" in notice for notice in bench.notices)
    bench.ledger.record_task(bench.order("cat"), emulator.tasks()[0]["id"], due_at=bench.clock())
    bench.tick()
    assert (bench.state("cat"), bench.runs()) == ("stored", 1)
    bench.close()


def test_a_list_that_lags_behind_is_waited_for(bench: Bench) -> None:
    """A task that is listed late is adopted late; nothing else is bought meanwhile."""
    bench.emulator.script_task(listing_delay_seconds=280.0)
    bench.emulator.script_fault("drop", endpoint="Run", moment="after")
    bench.place("cat")
    (order,) = bench.settle()
    assert (order.state, bench.runs()) == ("delivered", 1)


def test_a_list_that_cannot_be_read_says_nothing(bench: Bench) -> None:
    """Absence counts only where the list was read to its end."""
    bench.emulator.script_fault("drop", endpoint="Run", moment="after")
    bench.emulator.script_fault("http_500", endpoint="Task/List", times=None)
    bench.place("cat")
    for _ in range(40):
        bench.tick()
        bench.advance(30)
    assert bench.state("cat") == "unknown"
    bench.emulator.clear_faults()
    (order,) = bench.settle()
    assert (order.state, bench.runs()) == ("delivered", 1)


def test_an_account_without_any_task_is_an_empty_list(bench: Bench) -> None:
    """Wiro may refuse to list nothing; that is an answer too."""
    bench.emulator.change_settings(dialect="alternate")
    bench.emulator.script_fault("drop", endpoint="Run", moment="before")
    bench.place("cat")
    (order,) = bench.settle()
    assert (order.state, bench.runs()) == ("delivered", 1)


def test_equal_orders_adopt_different_tasks(bench: Bench) -> None:
    """Takes of one prompt have equal parameters; each gets a task of its own."""
    bench.emulator.script_fault("drop", endpoint="Run", moment="after", times=3)
    for take in (1, 2, 3):
        bench.desk.place(f"cat {take}", make_prompt("cat", take=take))
    found = bench.settle()
    assert len({order.task_id for order in found}) == 3
    assert (bench.runs(), bench.calls("Run")) == (3, 3)
    bench.check_books()


def test_an_equal_order_without_a_task_waits_for_its_own(bench: Bench) -> None:
    """One of two equal submissions got through: one adopts, the other is sent again in the end."""
    bench.emulator.script_fault("drop", endpoint="Run", moment="after")
    bench.emulator.script_fault("drop", endpoint="Run", moment="before", skip=1)
    for take in (1, 2):
        bench.desk.place(f"cat {take}", make_prompt("cat", take=take))
    bench.settle()
    assert (bench.runs(), bench.calls("Run")) == (2, 3)
    bench.check_books()


def test_an_equal_task_of_somebody_else_with_a_callback_is_not_ours(bench: Bench) -> None:
    """A task with another callback was made by another ledger."""
    bench.emulator.script_fault("drop", endpoint="Run", moment="before")
    order = bench.place("cat")
    bench.tick()
    bench.desk.context.client.submit(
        order.model_slug, order.inputs, callback_url="http://127.0.0.1:9/other"
    )
    bench.settle()
    assert bench.runs() == 2
    assert bench.order("cat").task_id == bench.emulator.tasks()[-1]["id"]


def test_a_marker_tells_equal_tasks_apart(emulator: Emulator, tmp_path: Path) -> None:
    """With callbacks the order's own marker decides, not the order of the tasks."""
    options = {"callback_url": lambda marker: f"http://127.0.0.1:9/{marker}"}
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    bench = Bench(emulator, url, tmp_path / "videos", options=options)
    emulator.script_fault("drop", endpoint="Run", moment="after", times=4)
    for take in range(1, 5):
        bench.desk.place(f"cat {take}", make_prompt("cat", take=take))
    found = bench.settle()
    callbacks = {task["id"]: task["callbackurl"] for task in emulator.tasks()}
    assert all(order.marker in callbacks[str(order.task_id)] for order in found)
    bench.check_books()
    bench.close()


def test_orders_that_differ_in_a_file_only_are_left_to_a_person(
    bench: Bench, tmp_path: Path
) -> None:
    """Wiro's list does not show a file's bytes: a wrong guess would show the wrong video."""
    first, second = ({"inputImageFirst": {"file": n, "sha256": n, "size_bytes": 1}} for n in "ab")
    for name, inputs in (("first", first), ("second", second)):
        bench.place(name)
        with bench.ledger.writing() as connection:
            connection.execute(
                sa.update(orders)
                .where(orders.c.partition == name)
                .values(inputs={"prompt": "same", **inputs}, state="unknown", lost_since=0)
            )
    client = bench.desk.context.client
    made = []
    for name in "ab":
        path = tmp_path / f"{name}.png"
        path.write_bytes(name.encode())
        sent: dict[str, Any] = {"prompt": "same", "inputImageFirst": LocalFile(path)}
        made.append(client.submit("minimax/hailuo-2-3", sent).task_id)
    for _ in range(40):
        bench.tick()
        bench.advance(60)
    assert [bench.state(name) for name in ("first", "second")] == ["unknown", "unknown"]
    assert any(f"orders adopt {bench.order('first').id}" in notice for notice in bench.notices)
    bench.ledger.record_task(bench.order("first"), made[0], due_at=bench.now)
    bench.advance(300)
    bench.tick()
    assert bench.order("second").task_id == made[1]
    assert bench.runs() == 2


def test_a_late_answer_of_a_stalled_process_changes_nothing(bench: Bench) -> None:
    """The task was looked up and adopted before the answer came."""
    bench.place("cat")
    slow = claim_for_submission(bench)
    task_id = bench.desk.context.client.submit(slow.model_slug, slow.inputs).task_id
    bench.advance(61)
    bench.tick()
    assert not bench.ledger.record_task(slow, task_id, due_at=bench.now)
    bench.settle()
    bench.check_books()


def test_a_stalled_process_that_wakes_up_sends_nothing(bench: Bench) -> None:
    """Before its POST it asks whether the order is still its own."""
    bench.place("cat")
    asleep = claim_for_submission(bench)
    bench.advance(61)
    bench.tick()
    assert not bench.desk._leases.confirm(asleep)
    bench.settle()
    assert bench.runs() == 1


def test_a_second_task_is_kept_on_the_books(bench: Bench) -> None:
    """Should Wiro make two tasks after all, both are followed, paid for once each, and stored."""
    bench.place("cat")
    asleep = claim_for_submission(bench)
    bench.advance(61)
    bench.settle()
    extra = bench.desk.context.client.submit(asleep.model_slug, asleep.inputs).task_id
    assert not bench.ledger.record_task(asleep, extra, due_at=bench.now)
    bench.ledger.record_extra_task(asleep, extra, due_at=bench.now)
    first, second = bench.settle()
    assert (first.state, second.state, second.task_id) == ("delivered", "delivered", extra)
    assert second.superseded_by == first.id
    bench.check_books()


def test_an_adoption_that_swaps_equal_orders_loses_neither(bench: Bench) -> None:
    """An equal order took the task whose answer was still on its way: the rest is looked up."""
    for take in (1, 2):
        bench.desk.place(f"cat {take}", make_prompt("cat", take=take))
    gate = bench.desk.context.gate
    admission = gate.admit("video", bench.desk.context.limits, limit=2, lease_seconds=60)
    first, second = admission.orders
    client = bench.desk.context.client
    task_of_first = client.submit(first.model_slug, first.inputs).task_id
    bench.ledger.record_task(second, task_of_first, due_at=bench.now)
    with pytest.raises(sa.exc.IntegrityError):
        bench.ledger.record_task(first, task_of_first, due_at=bench.now)
    client.submit(second.model_slug, second.inputs)
    bench.advance(61)
    bench.settle()
    assert bench.runs() == 2
    bench.check_books()


def test_the_list_is_read_page_by_page(bench: Bench) -> None:
    """A task is found behind more than a page of younger ones."""
    bench.place("cat")
    order = claim_for_submission(bench)
    client = bench.desk.context.client
    client.submit(order.model_slug, order.inputs)
    bench.advance(2)
    for _ in range(120):
        client.submit(order.model_slug, {**order.inputs, "prompt": "another"})
    bench.advance(60)
    bench.tick()
    assert bench.order("cat").task_id == bench.emulator.tasks()[0]["id"]


def test_a_foreign_keys_silence_is_no_proof(emulator: Emulator, tmp_path: Path) -> None:
    """Another account's list says nothing about an order: it waits for a person."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    bench = Bench(emulator, url, tmp_path / "videos")
    emulator.script_fault("drop", endpoint="Run", moment="before")
    bench.place("cat")
    bench.tick()
    other = Bench(emulator, url, tmp_path / "videos", options={"account": "another"})
    for _ in range(20):
        other.tick()
        other.advance(60)
    assert other.state("cat") == "unknown"
    assert bench.calls("Run") == 1
    other.close()
    bench.close()


@pytest.mark.parametrize(
    ("ours", "theirs", "surplus"),
    [
        ({"prompt": "a"}, {"prompt": "a"}, 0),
        ({"prompt": "a\r\nb"}, {"prompt": "a\nb "}, 0),
        ({"steps": 5}, {"steps": "5.0"}, 0),
        ({"fast": True}, {"fast": "true"}, 0),
        ({"urls": ["x", "y"]}, {"urls": "x,y"}, 0),
        ({"prompt": "a"}, {"prompt": "a", "seed": "7", "note": ""}, 1),
        ({"prompt": "a", "seed": "7"}, {"prompt": "a"}, None),
        ({"prompt": "a"}, {"prompt": "b"}, None),
    ],
)
def test_requests_are_compared_by_meaning(
    bench: Bench, ours: dict[str, Any], theirs: dict[str, Any], surplus: int | None
) -> None:
    """Wiro may spell values differently and add defaults."""
    order = replace(bench.place("cat"), inputs=ours)
    client = bench.desk.context.client
    task = client.get_task(client.submit(order.model_slug, {"prompt": "any"}).task_id)
    assert count_surplus(order, replace(task, inputs=theirs)) == surplus
