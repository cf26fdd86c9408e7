"""Submissions whose outcome nobody knows: looked up, adopted, never simply sent again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.images import write_image
from tests.support.ledger_files import new_ledger_url
from tests.system.campaigns.bench import STEADY, Bench
from tests.system.campaigns.workshop import make_prompt
from wiro_dagster.api.types import LocalFile
from wiro_dagster.emulator import Emulator
from wiro_dagster.ledger import Gate, Order
from wiro_dagster.orders.likeness import count_surplus

LOSSES = ["drop", "reset", "http_500", "http_502", "http_504", "html", "broken_json", "empty"]


@pytest.fixture
def bench(emulator: Emulator, tmp_path: Path) -> Iterator[Bench]:
    opened = Bench(emulator, new_ledger_url(tmp_path / "ledger.db"), tmp_path / "videos")
    yield opened
    opened.close()


def send(bench: Bench, order: Order) -> str:
    """Do what the process did that claimed the order. Return the id of Wiro's task."""
    context = bench.desk.context
    callback_url = context.callback_url(order)
    return context.client.submit(
        order.model_slug, order.inputs, callback_url=callback_url, marker=order.marker
    ).task_id


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


def test_a_lost_submission_is_not_sent_again_while_the_list_proves_nothing(bench: Bench) -> None:
    """Nothing of ours in the list is younger, so the list may be an old one: the user decides."""
    bench.emulator.script_fault("drop", endpoint="Run", moment="before")
    order = bench.place("cat")
    bench.run(7200, step=1200)
    assert (bench.state("cat"), bench.calls("Run")) == ("unknown", 1)
    assert "proves nothing yet" in str(bench.order("cat").error)
    assert any(f"orders resend {order.id}" in notice for notice in bench.notices)


@pytest.mark.parametrize("kind", LOSSES)
def test_a_lost_submission_is_sent_again_only_after_proof(bench: Bench, kind: str) -> None:
    """A younger task of ours is listed, and the lost one is not, in three looks over the grace."""
    bench.emulator.script_fault(kind, endpoint="Run", moment="before")
    bench.place("cat")
    bench.tick()
    bench.advance(10)
    bench.place("younger")
    for _ in range(int(STEADY.resubmit_after_seconds) // 50):
        bench.step()
        assert (bench.state("cat"), bench.calls("Run")) == ("unknown", 2)
        bench.advance(50)
    bench.settle()
    order = bench.order("cat")
    assert (order.state, order.posts) == ("delivered", 2)
    assert (bench.runs(), bench.calls("Run")) == (2, 3)
    bench.check_books()


def test_an_order_is_sent_twice_at_most(bench: Bench) -> None:
    """Both answers were lost, so the user decides about a third POST."""
    for skip in (0, 1):
        bench.emulator.script_fault("drop", endpoint="Run", moment="before", skip=skip)
    order = bench.place("cat")
    bench.tick()
    bench.emulator.clear_faults()
    bench.emulator.script_fault("drop", endpoint="Run", moment="before", skip=1)
    bench.advance(10)
    bench.place("younger")
    bench.run(2000, step=200)
    assert bench.order("cat").posts == 2
    bench.place("youngest")
    bench.run(4000, step=400)
    assert (bench.state("cat"), bench.order("cat").posts) == ("unknown", 2)
    assert "was sent 2 times" in str(bench.order("cat").error)
    assert any(f"orders resend {order.id}" in notice for notice in bench.notices)
    assert bench.calls("Run") == 4


@pytest.mark.parametrize(("moment", "posts"), [("before", 10), ("after", 8)])
def test_connections_that_close_under_runs_cost_nothing(
    bench: Bench, moment: str, posts: int
) -> None:
    """Runs share connections; those that one swallows are looked up, and made once."""
    bench.emulator.script_fault("drop_kept", endpoint="Run", moment=moment, times=2)
    for number in range(6):
        bench.place(f"film {number}")
        bench.tick()
    assert [bench.state(f"film {number}") for number in range(6)].count("unknown") == 2
    bench.advance(10)
    for number in (6, 7):
        bench.place(f"film {number}")
    bench.settle()
    assert {order.state for order in bench.ledger.list_orders()} == {"delivered"}
    assert (bench.runs(), bench.calls("Run")) == (8, posts)
    bench.check_books()


@pytest.mark.parametrize("outcome", ["succeed", "fail", "stuck"])
def test_a_task_is_adopted_however_far_it_got(bench: Bench, outcome: str) -> None:
    """Finished, failed or running: it is the order's task, and not bought again."""
    bench.emulator.script_task(outcome=outcome)
    bench.emulator.script_fault("drop", endpoint="Run", moment="after")
    bench.place("cat")
    bench.run(60)
    expected = {"succeed": "delivered", "fail": "failed", "stuck": "running"}
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
        send(bench, order)
    bench.tick()
    assert bench.state("cat") == "submitting"
    bench.advance(61)
    bench.tick()
    assert bench.state("cat") != "submitting"
    bench.advance(10)
    bench.place("younger")
    assert {order.state for order in bench.settle()} == {"delivered"}
    assert bench.runs() == 2
    bench.check_books()


def test_a_clock_that_is_wrong_buys_nothing_until_it_is_set(
    emulator: Emulator, tmp_path: Path
) -> None:
    """Times could not be compared with Wiro's; it goes on by itself when the clock is right."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    bench = Bench(emulator, url, tmp_path / "videos", offset_seconds=300.0)
    bench.place("cat")
    bench.run(100, step=10)
    assert (bench.state("cat"), bench.runs()) == ("ordered", 0)
    problem = bench.desk.find_problem()
    assert problem is not None
    assert (problem.kind, "ahead of" in problem.reason) == ("clock", True)
    bench.offset_seconds = 0.0
    bench.advance(300)
    bench.run(300)
    assert (bench.state("cat"), bench.runs()) == ("delivered", 1)
    assert bench.desk.find_problem() is None
    bench.close()


@pytest.mark.parametrize("ahead", [50.0, -50.0])
def test_a_clock_that_is_a_little_wrong_does_not_have_it_bought_again(
    emulator: Emulator, tmp_path: Path, ahead: float
) -> None:
    """The marker identifies the task, whatever its times say."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    bench = Bench(emulator, url, tmp_path / "videos", offset_seconds=ahead)
    emulator.script_fault("drop", endpoint="Run", moment="after")
    bench.place("cat")
    bench.run(100, step=10)
    assert (bench.state("cat"), bench.runs()) == ("delivered", 1)
    bench.close()


def lose_answer_before_a_younger_task(bench: Bench) -> None:
    """Have the run of "cat" accepted and its answer lost; then order what shows the list's age."""
    bench.emulator.script_fault("drop", endpoint="Run", moment="after")
    bench.place("cat")
    bench.tick()
    bench.advance(10)
    bench.place("younger")


def test_a_list_that_lags_behind_is_waited_for(bench: Bench) -> None:
    """A task that is listed late is adopted late; nothing else is bought meanwhile."""
    bench.emulator.script_task(listing_delay_seconds=280.0)
    lose_answer_before_a_younger_task(bench)
    bench.settle()
    assert (bench.state("cat"), bench.runs()) == ("delivered", 2)
    bench.check_books()


def test_how_far_the_list_was_behind_is_waited_for_twice(bench: Bench) -> None:
    """A list that was late before may be late again: until then absence says nothing."""
    bench.emulator.script_task(listing_delay_seconds=400.0)
    bench.place("late")
    bench.place("at once")
    bench.run(900, step=10)
    assert bench.state("late") == "delivered"
    bench.emulator.script_task(listing_delay_seconds=500.0)
    lose_answer_before_a_younger_task(bench)
    bench.run(1800, step=150)
    assert (bench.state("cat"), bench.runs(), bench.calls("Run")) == ("delivered", 4, 4)
    bench.check_books()


def test_a_list_that_hides_a_task_is_no_proof_of_another(bench: Bench) -> None:
    """If a task that we know was never listed, a lost one may be hidden too: the user decides."""
    bench.emulator.script_task(listing_delay_seconds=1e9)
    bench.place("hidden")
    bench.run(STEADY.resubmit_after_seconds, step=20)
    bench.emulator.script_task(listing_delay_seconds=1e9)
    lose_answer_before_a_younger_task(bench)
    bench.run(3600, step=400)
    assert (bench.state("cat"), bench.runs()) == ("unknown", 3)
    assert "has never shown task" in str(bench.order("cat").error)
    task_id = bench.order("hidden").task_id
    assert (bench.state("hidden"), str(task_id) in str(bench.order("cat").error)) == (
        "delivered",
        True,
    )


def test_a_list_that_cannot_be_read_says_nothing(bench: Bench) -> None:
    """Absence counts only if the list was read to its end."""
    bench.emulator.script_fault("drop", endpoint="Run", moment="after")
    bench.place("cat")
    bench.tick()
    bench.emulator.script_fault("http_500", endpoint="Task/List", times=None)
    bench.run(1200, step=300)
    assert bench.state("cat") == "unknown"
    assert "could not be read" in str(bench.order("cat").error)
    bench.emulator.clear_faults()
    (order,) = bench.settle()
    assert (order.state, bench.runs()) == ("delivered", 1)


def test_an_account_without_any_task_is_an_empty_list(bench: Bench) -> None:
    """Wiro may refuse to list nothing; that is an answer too, and proves nothing by itself."""
    bench.emulator.change_settings(dialect="alternate")
    bench.emulator.script_fault("drop", endpoint="Run", moment="before")
    bench.place("cat")
    bench.run(600, step=150)
    assert (bench.state("cat"), bench.calls("Run")) == ("unknown", 1)
    bench.place("younger")
    assert {order.state for order in bench.settle()} == {"delivered"}
    assert bench.runs() == 2


def test_equal_orders_adopt_different_tasks(bench: Bench) -> None:
    """Takes of one prompt have equal parameters; each gets the task that carries its marker."""
    bench.emulator.script_fault("drop", endpoint="Run", moment="after", times=3)
    for take in (1, 2, 3):
        bench.desk.place(f"cat {take}", make_prompt("cat", take=take))
    found = bench.settle()
    callbacks = {task["id"]: task["callbackurl"] for task in bench.emulator.tasks()}
    assert all(str(order.marker) in callbacks[str(order.task_id)] for order in found)
    assert len({order.task_id for order in found}) == 3
    assert (bench.runs(), bench.calls("Run")) == (3, 3)
    bench.check_books()


def test_an_equal_order_without_a_task_waits_for_its_own(bench: Bench) -> None:
    """One of two equal submissions got through: its order adopts it, the other one does not."""
    bench.emulator.script_fault("drop", endpoint="Run", moment="after")
    bench.emulator.script_fault("drop", endpoint="Run", moment="before", skip=1)
    for take in (1, 2):
        bench.desk.place(f"cat {take}", make_prompt("cat", take=take))
    bench.run(600, step=150)
    assert sorted(order.state for order in bench.ledger.list_orders()) == ["delivered", "unknown"]
    assert (bench.runs(), bench.calls("Run")) == (1, 2)
    bench.place("younger")
    bench.settle()
    assert (bench.runs(), bench.calls("Run")) == (3, 4)
    bench.check_books()


def test_a_task_with_somebody_elses_callback_is_not_ours(bench: Bench) -> None:
    """Another program made it: it is neither adopted nor does it stop the order for ever."""
    bench.emulator.script_fault("drop", endpoint="Run", moment="before")
    order = bench.place("cat")
    bench.tick()
    foreign = bench.desk.context.client.submit(
        order.model_slug, order.inputs, callback_url="http://127.0.0.1:9/other"
    )
    bench.advance(10)
    bench.place("younger")
    bench.settle()
    assert bench.runs() == 3
    assert bench.order("cat").task_id not in (None, foreign.task_id)


def test_an_unexplained_task_goes_to_the_user(bench: Bench) -> None:
    """A task without our marker is not adopted however equal it is, and nothing is sent again."""
    bench.emulator.script_fault("drop", endpoint="Run", moment="before")
    order = bench.place("cat")
    bench.tick()
    theirs = bench.desk.context.client.submit(order.model_slug, order.inputs).task_id
    bench.advance(10)
    bench.place("younger")
    bench.run(2000, step=250)
    assert (bench.state("cat"), bench.runs()) == ("unknown", 2)
    assert any(f"orders adopt {order.id}" in notice for notice in bench.notices)
    assert f"same inputs that no order explains: {theirs}" in str(bench.order("cat").error)
    # The user says that it is somebody else's: then it explains itself.
    stray = bench.ledger.list_strays(bench.desk.context.account)
    assert [found.task_id for found in stray] == [theirs]
    bench.ledger.accept_strays(bench.desk.context.account, [theirs], "made by hand")
    bench.settle(5000)
    assert (bench.state("cat"), bench.runs()) == ("delivered", 3)


def test_the_user_may_adopt_an_unexplained_task(bench: Bench) -> None:
    """The order follows it from then on, and it is on the books."""
    bench.emulator.script_fault("drop", endpoint="Run", moment="before")
    order = bench.place("cat")
    bench.tick()
    theirs = bench.desk.context.client.submit(order.model_slug, order.inputs).task_id
    bench.advance(10)
    bench.tick()
    assert bench.ledger.note_task(bench.order("cat"), theirs, due_at=bench.now) == "noted"
    (order,) = bench.settle()
    assert (order.state, order.task_id, bench.runs()) == ("delivered", theirs, 1)
    bench.check_books()


@pytest.fixture
def unmarked(emulator: Emulator, tmp_path: Path) -> Iterator[Bench]:
    """A project whose runs carry no marker."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    opened = Bench(emulator, url, tmp_path / "videos", options={"identify_runs": False})
    yield opened
    opened.close()


def test_without_markers_the_one_equal_task_is_adopted(unmarked: Bench) -> None:
    """Equal inputs are all there is to go by."""
    unmarked.emulator.script_fault("drop", endpoint="Run", moment="after")
    unmarked.place("cat")
    (order,) = unmarked.settle()
    assert (order.state, unmarked.runs(), unmarked.calls("Run")) == ("delivered", 1, 1)
    assert unmarked.emulator.tasks()[0]["callbackurl"] in (None, "")
    unmarked.check_books()


@pytest.mark.parametrize("count", [1, 2])
def test_without_markers_equal_orders_go_to_the_user(unmarked: Bench, count: int) -> None:
    """Which of two equal tasks, or of two equal orders, belong together cannot be known."""
    unmarked.emulator.script_fault("drop", endpoint="Run", moment="after", times=count)
    unmarked.emulator.script_fault("drop", endpoint="Run", moment="before", skip=count)
    for take in (1, 2):
        unmarked.desk.place(f"cat {take}", make_prompt("cat", take=take))
    unmarked.run(1200, step=300)
    assert {order.state for order in unmarked.ledger.list_orders()} == {"unknown"}
    assert unmarked.runs() == count


def test_orders_that_differ_in_a_file_only_are_left_to_the_user(
    unmarked: Bench, tmp_path: Path
) -> None:
    """Wiro's list does not show a file's bytes: a wrong guess would show the wrong video."""
    unmarked.emulator.script_fault("drop", endpoint="Run", moment="before", times=2)
    images = [write_image(tmp_path, f"{name}.png", name.encode()) for name in "ab"]
    for name, image in zip(("first", "second"), images, strict=True):
        inputs = {"prompt": "same", "inputImageFirst": replace(image, url_input=None)}
        unmarked.desk.place(name, make_prompt(name, **inputs))
    unmarked.tick()
    client, order = unmarked.desk.context.client, unmarked.order("first")
    made = [
        client.submit(
            order.model_slug, {**order.inputs, "inputImageFirst": LocalFile(path=image.path)}
        ).task_id
        for image in images
    ]
    unmarked.run(2400, step=400)
    assert [unmarked.state(name) for name in ("first", "second")] == ["unknown", "unknown"]
    assert any(f"orders adopt {order.id}" in notice for notice in unmarked.notices)
    unmarked.ledger.note_task(unmarked.order("first"), made[0], due_at=unmarked.now)
    unmarked.run(600, step=60)
    assert unmarked.order("second").task_id == made[1]
    assert unmarked.runs() == 2


def test_a_late_answer_of_a_stalled_process_changes_nothing(bench: Bench) -> None:
    """The task was looked up and adopted before the answer came."""
    bench.place("cat")
    slow = claim_for_submission(bench)
    task_id = send(bench, slow)
    bench.advance(61)
    bench.tick()
    assert bench.ledger.note_task(slow, task_id, due_at=bench.now) == "known"
    bench.settle()
    bench.check_books()


def test_a_stalled_process_that_wakes_up_sends_nothing(bench: Bench) -> None:
    """Before its POST it asks whether the order is still its own."""
    bench.place("cat")
    asleep = claim_for_submission(bench)
    bench.advance(61)
    bench.tick()
    assert not bench.desk._leases.confirm(asleep)
    bench.run(300)
    assert bench.calls("Run") == 0


def test_a_run_that_comes_in_late_is_adopted_and_not_sent_again(bench: Bench) -> None:
    """It left in time, and the network held it up until another process had taken the order."""
    bench.place("cat")
    sent = claim_for_submission(bench)
    bench.advance(61)
    bench.tick()
    assert bench.state("cat") == "unknown"
    task_id = send(bench, sent)
    (order,) = bench.settle()
    assert (order.state, order.task_id, order.posts) == ("delivered", task_id, 1)
    assert bench.runs() == 1
    bench.check_books()


def test_a_second_task_is_kept_on_the_books(bench: Bench) -> None:
    """If Wiro makes two tasks after all, both are followed, paid for once each, and stored."""
    bench.place("cat")
    asleep = claim_for_submission(bench)
    bench.advance(61)
    bench.tick()
    bench.advance(10)
    bench.place("younger")
    bench.settle()
    assert bench.order("cat").posts == 2
    extra = send(bench, asleep)
    assert bench.ledger.note_task(asleep, extra, due_at=bench.now) == "extra"
    first, _, second = bench.settle()
    assert (first.state, second.state, second.task_id) == ("delivered", "delivered", extra)
    assert second.superseded_by == first.id
    latest = bench.ledger.find_latest("video", "cat")
    assert latest is not None
    assert latest.id == first.id
    bench.check_books()


def test_a_second_task_is_found_by_its_marker(bench: Bench) -> None:
    """Nobody tells the ledger: the list shows it, and it gets an order of its own."""
    bench.place("cat")
    asleep = claim_for_submission(bench)
    bench.advance(61)
    bench.tick()
    bench.advance(10)
    bench.place("younger")
    bench.settle()
    extra = send(bench, asleep)
    bench.place("youngest")
    bench.settle()
    bench.settle()
    assert bench.ledger.list_orders(partitions=["cat"])[-1].task_id == extra
    bench.check_books()


def test_a_wrong_adoption_loses_neither_task(bench: Bench) -> None:
    """The user gave an order the task of its equal: each task is on the books all the same."""
    for take in (1, 2):
        bench.desk.place(f"cat {take}", make_prompt("cat", take=take))
    gate = bench.desk.context.gate
    admission = gate.admit("video", bench.desk.context.limits, limit=2, lease_seconds=60)
    first, second = admission.orders
    task_of_first = send(bench, first)
    assert bench.ledger.note_task(second, task_of_first, due_at=bench.now) == "noted"
    assert bench.ledger.note_task(first, task_of_first, due_at=bench.now) == "taken"
    send(bench, second)
    bench.advance(61)
    bench.run(200, step=20)
    assert bench.runs() == 2
    assert len(bench.ledger.list_submissions(with_task=True)) == 2
    bench.check_books()


def test_the_list_is_read_page_by_page(bench: Bench) -> None:
    """A task is found behind more than a page of younger ones."""
    bench.place("cat")
    order = claim_for_submission(bench)
    task_id = send(bench, order)
    client = bench.desk.context.client
    bench.advance(2)
    for _ in range(120):
        client.submit(order.model_slug, {**order.inputs, "prompt": "another"})
    bench.advance(60)
    bench.tick()
    assert bench.order("cat").task_id == task_id


def test_a_foreign_keys_silence_is_no_proof(emulator: Emulator, tmp_path: Path) -> None:
    """Another account's list says nothing about an order: it waits for its own."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    bench = Bench(emulator, url, tmp_path / "videos")
    emulator.script_fault("drop", endpoint="Run", moment="before")
    bench.place("cat")
    bench.tick()
    other = Bench(emulator, url, tmp_path / "videos", options={"account": "another"})
    other.run(1200, step=300)
    assert other.state("cat") == "unknown"
    assert "only account emulated can look it up" in str(other.order("cat").error)
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
    assert count_surplus(order, task.model_copy(update={"inputs": theirs})) == surplus
