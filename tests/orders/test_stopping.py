"""Deadlines, errors, cancels and kills: asked for, confirmed, and never a lost video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.ledger_files import new_ledger_url
from tests.support.ledger_orders import running
from tests.system.campaigns.bench import STEADY, Bench
from wiro_dagster.api.client import WiroClient
from wiro_dagster.emulator import Emulator
from wiro_dagster.ledger import Ledger
from wiro_dagster.orders.judge import ERROR_DEADLINE_SECONDS
from wiro_dagster.orders.look import look_at_order


@pytest.fixture
def bench(emulator: Emulator, tmp_path: Path) -> Iterator[Bench]:
    opened = Bench(emulator, new_ledger_url(tmp_path / "ledger.db"), tmp_path / "videos")
    yield opened
    opened.close()


def start(bench: Bench, name: str = "cat", **script: Any) -> int:
    """An order whose task goes as the script says."""
    bench.emulator.script_task(**script)
    order = bench.place(name)
    bench.tick()
    return order.id


@pytest.mark.parametrize("stuck_at", ["task_start", "task_output", "task_assign"])
def test_a_task_past_its_deadline_is_killed_and_its_order_fails(
    bench: Bench, stuck_at: str
) -> None:
    """The kill is confirmed by what Wiro shows; the reason names what was last seen."""
    start(bench, outcome="stuck", stuck_at=stuck_at)
    bench.advance(STEADY.run_deadline_seconds - 60)
    bench.tick()
    assert bench.state("cat") == "running"
    (order,) = bench.settle()
    assert order.state == "failed"
    assert f'last seen as "{stuck_at}"' in str(order.error)
    assert order.cost_usd == 0
    assert bench.emulator.tasks()[0]["status"] == "task_cancel"


def test_queue_time_does_not_count(bench: Bench) -> None:
    """A task may wait in Wiro's queue for longer than it may run."""
    start(bench, queue_seconds=STEADY.run_deadline_seconds * 2)
    bench.run(STEADY.run_deadline_seconds * 2, step=200)
    (order,) = bench.settle()
    assert order.state == "delivered"


def test_a_kill_that_is_lost_is_asked_for_again(bench: Bench) -> None:
    """Nobody's word is taken for it: until Wiro shows the end, it is asked again."""
    bench.emulator.script_fault("drop", endpoint="Task/Kill", moment="before", times=6)
    start(bench, outcome="stuck")
    bench.advance(STEADY.run_deadline_seconds)
    (order,) = bench.settle()
    assert order.state == "failed"


def test_a_task_that_cannot_be_stopped_is_asked_for_ever_more_seldom(bench: Bench) -> None:
    """It stays on the books, and costs next to nothing."""
    start(bench, outcome="stuck", kill_seconds=1e9)
    bench.advance(STEADY.run_deadline_seconds + 60)
    pauses = []
    for _ in range(8):
        bench.tick()
        pauses.append((bench.order("cat").due_at or 0) - bench.now)
        bench.advance(max(pauses[-1], 1))
    assert pauses[0] < pauses[-1] == STEADY.timing.look_maximum_seconds
    assert bench.state("cat") == "running"


def test_an_error_that_recovers_is_waited_for(bench: Bench) -> None:
    """`task_error` is not the end; nothing is submitted again meanwhile."""
    start(bench, outcome="task_error_recovers", run_seconds=60.0)
    (order,) = bench.settle()
    assert (order.state, bench.runs()) == ("delivered", 1)


@pytest.mark.parametrize("run_deadline_seconds", [600.0, 3600.0])
def test_an_error_that_stays_is_given_up_under_a_deadline(
    emulator: Emulator, tmp_path: Path, run_deadline_seconds: float
) -> None:
    """Cancelled, confirmed, failed with Wiro's words; never submitted again by itself."""
    policy = replace(STEADY, run_deadline_seconds=run_deadline_seconds)
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    bench = Bench(emulator, url, tmp_path / "videos", policy=policy)
    start(bench, outcome="task_error", reason="no GPU")
    bench.run(min(run_deadline_seconds, ERROR_DEADLINE_SECONDS) - 60, step=300)
    assert bench.state("cat") == "running"
    (order,) = bench.settle()
    assert order.state == "failed"
    assert "no GPU" in str(order.error)
    assert bench.runs() == 1
    bench.close()


def test_an_order_that_was_not_sent_is_dropped_at_once(bench: Bench) -> None:
    """Nothing was bought."""
    order = bench.place("cat")
    assert bench.ledger.request_stop(order.id, state="cancelled", reason="enough")
    bench.settle()
    assert (bench.state("cat"), bench.runs()) == ("cancelled", 0)


def test_a_queued_task_is_cancelled(bench: Bench) -> None:
    """Free of charge, confirmed by what Wiro shows."""
    order_id = start(bench, queue_seconds=1000.0)
    bench.ledger.request_stop(order_id, state="cancelled", reason="enough")
    (order,) = bench.settle()
    assert (order.state, order.error, order.cost_usd) == ("cancelled", "enough", Decimal(0))
    assert bench.calls("Task/Cancel") == 1


def test_a_running_task_is_killed(bench: Bench) -> None:
    """The order ends as it was asked to."""
    order_id = start(bench, outcome="stuck")
    bench.advance(5)
    bench.ledger.request_stop(order_id, state="cancelled", reason="enough")
    (order,) = bench.settle()
    assert (order.state, order.error) == ("cancelled", "enough")


def test_a_task_whose_end_another_process_has_seen_is_not_stopped(bench: Bench) -> None:
    """It ends after it was read, and before it is stopped: its video may be on its way to us."""
    start(bench, run_seconds=30.0)
    bench.advance(15)
    order, client = bench.order("cat"), bench.desk.context.client
    seen = client.get_task(str(order.task_id))
    bench.settle()

    class SlowClient:
        """Goes on long after it has read the task."""

        def __getattr__(self, name: str) -> Any:
            return (lambda _: seen) if name == "get_task" else getattr(client, name)

    context = replace(bench.desk.context, client=cast(WiroClient, SlowClient()))
    look_at_order(context, replace(order, stop_reason="enough", stop_state="cancelled"))
    assert (bench.state("cat"), bench.calls("Task/Kill")) == ("delivered", 0)


def test_a_kill_that_loses_the_race_keeps_the_video(bench: Bench) -> None:
    """It was paid for: it is fetched and shown."""
    order_id = start(bench, kill="loses", run_seconds=30.0)
    bench.advance(15)
    bench.ledger.request_stop(order_id, state="cancelled", reason="enough")
    (order,) = bench.settle()
    assert (order.state, bench.calls("Task/Kill") > 0) == ("delivered", True)
    bench.check_books()


@pytest.mark.parametrize("script", [{"outcome": "cancelled_with_cost"}, {"kill": "bills"}])
def test_a_cancelled_task_that_is_billed_is_fetched(bench: Bench, script: dict[str, Any]) -> None:
    """Files that were paid for are ours, whatever the status is called."""
    order_id = start(bench, run_seconds=30.0, **script)
    bench.advance(15)
    if "kill" in script:
        bench.ledger.request_stop(order_id, state="cancelled", reason="enough")
    (order,) = bench.settle()
    assert order.state == "delivered"
    assert order.cost_usd == bench.emulator.spent_usd() > 0
    bench.check_books()


def test_a_failed_task_costs_nothing_and_can_be_looked_at_again(bench: Bench) -> None:
    """What Wiro shows decides: it fails once more, and nothing is bought."""
    order_id = start(bench, outcome="fail", reason="bad luck")
    (order,) = bench.settle()
    assert (order.state, order.error, order.cost_usd) == ("failed", "bad luck", Decimal(0))
    assert bench.ledger.recover(order_id)
    (order,) = bench.settle()
    assert (order.state, order.error, order.live_key) == ("failed", "bad luck", None)
    assert bench.runs() == 1


def test_a_success_without_files_is_a_failure(bench: Bench) -> None:
    """A model that makes files and made none has failed; what it cost is noted."""
    start(bench, outcome="no_outputs")
    (order,) = bench.settle()
    assert order.state == "failed"
    assert order.cost_usd == bench.emulator.spent_usd()
    assert order.is_billed_failure


def test_a_stop_while_the_answer_is_lost_is_kept_in_mind(bench: Bench) -> None:
    """If the list proves that there is no task, the order ends and is not sent again."""
    bench.emulator.script_fault("drop", endpoint="Run", moment="before")
    order = bench.place("cat")
    bench.tick()
    assert bench.ledger.request_stop(order.id, state="cancelled", reason="enough")
    bench.advance(5)
    bench.place("younger")
    bench.settle()
    assert (bench.state("cat"), bench.runs()) == ("cancelled", 1)
    assert bench.order("cat").error == "enough"
    assert bench.order("cat").is_billed_failure


def test_a_stop_during_the_post_is_not_forgotten(bench: Bench) -> None:
    """The submission is put off by Wiro, and by then nobody wants it any more."""
    order = bench.place("cat")
    context = bench.desk.context
    (sent,) = context.gate.admit("video", context.limits, limit=1, lease_seconds=60).orders
    bench.ledger.request_stop(order.id, state="cancelled", reason="enough")
    assert bench.ledger.note_unsent(sent, due_at=bench.now) == "cancelled"
    bench.settle()
    assert bench.runs() == 0


def test_an_order_superseded_during_the_post_is_not_sent_again(bench: Bench) -> None:
    """Its prompt has changed meanwhile, and nothing was bought for the old one."""
    bench.place("cat")
    context = bench.desk.context
    (sent,) = context.gate.admit("video", context.limits, limit=1, lease_seconds=60).orders
    bench.place("cat", resolution="1080P")
    assert bench.ledger.note_unsent(sent, due_at=bench.now) == "cancelled"
    bench.settle()
    assert bench.runs() == 1


@pytest.mark.parametrize(("policy", "state"), [("keep", "delivered"), ("cancel", "cancelled")])
def test_a_superseded_task_is_kept_or_cancelled(
    emulator: Emulator, tmp_path: Path, policy: Any, state: str
) -> None:
    """As the policy says; either way it is on the books."""
    bench = Bench(
        emulator,
        f"sqlite:///{tmp_path / 'ledger.db'}",
        tmp_path / "videos",
        policy=replace(STEADY, superseded=policy),
    )
    start(bench, run_seconds=100.0)
    bench.place("cat", resolution="1080P")
    old, new = bench.settle()
    assert (old.state, new.state, old.superseded_by) == (state, "delivered", new.id)
    bench.check_books()
    bench.close()


def test_going_back_in_time_takes_a_cancel_back(emulator: Emulator, tmp_path: Path) -> None:
    """The earlier prompt is wanted again before its task was stopped."""
    bench = Bench(
        emulator,
        f"sqlite:///{tmp_path / 'ledger.db'}",
        tmp_path / "videos",
        policy=replace(STEADY, superseded="cancel"),
    )
    start(bench, run_seconds=100.0)
    bench.place("cat", resolution="1080P")
    bench.place("cat")
    bench.settle()
    assert bench.ledger.list_orders()[0].state == "delivered"
    assert bench.runs() == 1
    bench.close()


def test_a_task_that_wiro_forgets_for_a_moment_is_not_given_up(bench: Bench) -> None:
    """A paid video must not be lost to one odd answer."""
    start(bench, run_seconds=60.0, detail_delay_seconds=50.0)
    (order,) = bench.settle()
    assert order.state == "delivered"


def test_a_task_that_only_the_list_shows_is_followed_by_it(bench: Bench) -> None:
    """A plain success in the list needs no Task/Detail."""
    start(bench, detail_delay_seconds=1e6)
    (order,) = bench.settle()
    assert order.state == "delivered"


def test_a_task_that_wiro_forgets_is_never_failed(bench: Bench) -> None:
    """It may still bill: it is looked for ever more seldom, and the order says what is missing."""
    order_id = start(bench, detail_delay_seconds=86_400.0, listing_delay_seconds=86_400.0)
    for _ in range(60):
        bench.advance(300)
        bench.tick()
    order = bench.ledger.get(order_id)
    assert (order.state, order.lost_since is not None) == ("running", True)
    assert "does not show task" in str(order.hold)
    assert bench.calls("Task/Detail") < 45
    bench.advance(86_400)
    (order,) = bench.settle()
    assert (order.state, order.lost_since, bench.runs()) == ("delivered", None, 1)


def test_odd_text_of_wiros_does_not_stop_the_order(ledger: Ledger) -> None:
    """NUL characters, halves of characters and endless words reach no database."""
    order = running(ledger)
    odd = {"task_status": "x" * 500, "error": "a\x00b\ud800", "hold": "\x00"}
    assert ledger.apply(order, "observe", **odd, due_at=ledger.clock())
    found = ledger.get(order.id)
    assert (len(str(found.task_status)), found.error) == (64, "ab?")
