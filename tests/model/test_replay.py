"""What a product did is held against the transition table and the model."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import sqlalchemy as sa

from tests.model.known import Sight, know
from tests.model.record import Event, read_events, record
from tests.model.replay import replay, replay_all
from tests.model.requests import Request, digest
from tests.support.ledger_orders import request, running, submitting
from wiro_dagster.ledger import Ledger

BASE = "https://wiro-dagster.invalid"
CLAIMED = [
    Event(0.9, 1, "ordered"),
    Event(1.0, 1, "submitting"),
    Event(1.0, 1, marker="m1", outcome="open"),
]
ACCEPTED = [Event(2.0, 1, marker="m1", outcome="task", task_id="t1"), Event(2.0, 1, "running")]


def run(at: float, marker: str = "m1") -> Request:
    return Request(at, "run", digest(f"{BASE}/{marker}"))


def find_forbidden(events: list[Event], *requests: Request) -> list[str]:
    return replay_all(events, requests, callback_base_url=BASE)


def test_a_ledger_records_what_it_does_in_its_own_transactions(ledger: Ledger) -> None:
    """A refused step leaves nothing; a step of any process leaves its states and POSTs."""
    record(ledger)
    order = running(ledger)
    with suppress(RuntimeError), ledger.writing() as connection:
        connection.execute(sa.text("UPDATE wiro_orders SET state = 'stored'"))
        raise RuntimeError
    events = read_events(ledger)
    assert [event.state for event in events if event.state] == ["ordered", "submitting", "running"]
    assert [event.outcome for event in events if event.marker] == ["open", "task"]
    assert order.task_id in (events[-1].task_id, events[-2].task_id)
    assert abs(events[-1].at - events[0].at) < 60
    assert find_forbidden(events) == []


def test_a_wrong_step_in_the_ledger_is_found(ledger: Ledger) -> None:
    """Whoever changes a state in a way that the table does not have is in the record."""
    record(ledger)
    ledger.place(request())
    with ledger.writing() as connection:
        connection.execute(sa.text("UPDATE wiro_orders SET state = 'stored'"))
    found = find_forbidden(read_events(ledger))
    assert "order 1 went from ordered to stored, which no step does" in found
    assert "order 1 is stored with 0 open POSTs and 0 tasks" in found[1]


def test_what_buys_and_stops_is_allowed_where_the_model_does_it() -> None:
    """A Run while its POST is claimed; a Kill while its task runs."""
    stop = Request(3.0, "stop", task_id="t1")
    assert find_forbidden([*CLAIMED, *ACCEPTED], run(1.5), stop) == []


def test_a_run_without_a_claim_is_forbidden(ledger: Ledger) -> None:
    """Before the claim, without any, or when the order has moved on."""
    assert "was not claimed" in find_forbidden(CLAIMED, run(0.5))[0]
    assert "was not claimed" in find_forbidden(CLAIMED, run(1.5, "another"))[0]
    assert "which the model forbids" in find_forbidden([*CLAIMED, *ACCEPTED], run(2.5))[0]
    record(ledger)
    order = submitting(ledger)
    assert find_forbidden(read_events(ledger), run(ledger_now(ledger), str(order.marker))) == []


def test_a_run_may_come_in_late_that_left_in_time() -> None:
    """A slow network is not in our hands: the fence is judged by when the run left."""
    lost = [*CLAIMED, Event(2.0, 1, "unknown")]
    late = run(2.5)
    assert "came in while its order 1 was" in find_forbidden(lost, late)[0]
    assert find_forbidden(lost, replace(late, left_at=1.5)) == []
    assert "left while its order 1 was" in find_forbidden(lost, replace(late, left_at=2.1))[0]


def ledger_now(ledger: Ledger) -> float:
    return read_events(ledger)[-1].at + 0.001


def test_two_runs_with_one_marker_are_forbidden() -> None:
    """The second one would be paid for, too."""
    found = find_forbidden(CLAIMED, run(1.5), run(1.6))
    assert found == ["2 Runs came in with one marker, of order 1"]


def test_a_task_is_not_stopped_that_no_order_follows() -> None:
    """Nor before its order knows of it, nor once its video is owned."""
    assert "which the model forbids" in find_forbidden(CLAIMED, Request(3.0, "stop", None, "t1"))[0]
    early = Request(1.5, "stop", None, "t1")
    assert "which the model forbids" in find_forbidden([*CLAIMED, *ACCEPTED], early)[0]
    owned = [Event(2.5, 1, "settling"), Event(2.6, 1, "finished")]
    late = Request(3.0, "stop", None, "t1")
    assert "which the model forbids" in find_forbidden([*CLAIMED, *ACCEPTED, *owned], late)[0]


def test_a_task_whose_end_wiro_takes_back_can_be_stopped() -> None:
    """Its order has seen an end and goes on settling, while Wiro shows that the task runs."""
    ended = [*CLAIMED, *ACCEPTED, Event(2.5, 1, "settling")]
    assert find_forbidden(ended, run(1.5), Request(3.0, "stop", None, "t1")) == []


def test_a_second_task_of_an_order_has_an_order_of_its_own() -> None:
    """Its POST goes there: the model knows no order that follows two."""
    extra = [Event(3.0, 2, "running"), Event(3.0, 2, marker="m2", outcome="task", task_id="t2")]
    second = Event(1.5, 1, marker="m2", outcome="open")
    assert find_forbidden([*CLAIMED, second, *ACCEPTED, *extra]) == []
    two = [Event(3.0, 1, marker="m2", outcome="task", task_id="t2")]
    assert "with 0 open POSTs and 2 tasks" in find_forbidden([*CLAIMED, second, *ACCEPTED, *two])[0]


def test_what_the_model_knows_comes_from_its_search() -> None:
    """The states that it reaches, and those in which it sends; none is written by hand."""
    known = know()
    assert known.sends == {Sight("submitting", 1, 0), Sight("submitting", 2, 0)}
    assert known.stops == {Sight("running", 0, 1), Sight("running", 1, 1)}
    assert Sight("delivered", 0, 1) in known.sights
    assert Sight("delivered", 0, 0) not in known.sights


def test_a_step_that_is_not_in_the_table_is_found_in_a_trace() -> None:
    """States alone suffice for that."""
    found = replay({1: ["ordered", "submitting", "running"], 2: ["ordered", "stored"]})
    assert found == ["order 2 went from ordered to stored, which no step does"]
