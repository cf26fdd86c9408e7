"""Calls to Wiro, the store or the ledger that fail in the middle of a step: nothing is lost."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.orders.conftest import OpenBench
from tests.support.images import write_image
from tests.system.campaigns.bench import STEADY, Bench
from tests.system.campaigns.workshop import MODEL, PRICE, Workshop, make_prompt
from wiro_dagster.errors import (
    ApiError,
    AuthenticationRefused,
    InputError,
    LedgerError,
    NotFound,
    NothingAccepted,
    OutcomeUnknown,
    RateLimited,
    RequestRefused,
    StoreError,
)
from wiro_dagster.ledger import Ledger
from wiro_dagster.ledger.identity import make_marker, next_sequence
from wiro_dagster.orders.answers import Answer, AnswerSpool
from wiro_dagster.orders.audit import audit
from wiro_dagster.orders.collected import renew_outputs
from wiro_dagster.orders.lease import LeaseKeeper
from wiro_dagster.orders.look import look_at_order, recheck_cost
from wiro_dagster.orders.submit import submit_order
from wiro_dagster.orders.task_list import list_tasks_since
from wiro_dagster.store import FolderStore

DAY = 86_400.0
Errors = dict[str, Exception]


class Failing:
    """A part some of whose methods fail for as long as `errors` names them.

    Args:
        real: does the work.
        errors: by the name of the method.
    """

    def __init__(self, real: Any, errors: Errors) -> None:
        self._real = real
        self._errors = errors

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if not callable(found):
            return found

        def call(*args: Any, **options: Any) -> Any:
            if name in self._errors:
                raise self._errors[name]
            return found(*args, **options)

        return call


@pytest.fixture
def errors() -> Errors:
    """What fails now; a test changes it as it goes."""
    return {}


@pytest.fixture
def bench(open_bench: OpenBench, errors: Errors) -> Bench:
    """A bench whose client, ledger and store can fail."""

    def parts(workshop: Workshop) -> dict[str, Any]:
        ledger = Ledger(workshop.ledger_url, clock=workshop.clock)
        return {
            "client": Failing(workshop.open_client(), errors),
            "ledger": Failing(ledger, errors),
            "store": Failing(FolderStore(workshop.folder), errors),
        }

    return open_bench(parts=parts)


# ---- submitting ----


def test_a_refused_marker_lets_runs_go_without_one(open_bench: OpenBench) -> None:
    """The user is told once; the order is sent at once, and later ones carry none."""

    class Fussy(Failing):
        def __getattr__(self, name: str) -> Any:
            found = super().__getattr__(name)
            if name != "submit":
                return found

            def submit(*args: Any, **options: Any) -> Any:
                if options.get("callback_url"):
                    raise RequestRefused("Request parameter [callbackUrl] is not valid")
                return found(*args, **options)

            return submit

    bench = open_bench(parts=lambda workshop: {"client": Fussy(workshop.open_client(), {})})
    bench.place("cat")
    bench.settle()
    assert (bench.state("cat"), bench.runs()) == ("delivered", 1)
    assert sum("Runs go without one from now on" in line for line in bench.notices) == 1
    assert "callbackUrl" in str(bench.desk.context.gate.find_unmarked_reason())
    assert bench.desk.context.callback_url(bench.order("cat")) is None


def test_an_error_that_nobody_foresaw_at_a_post_is_looked_up(bench: Bench, errors: Errors) -> None:
    """It may have come after Wiro accepted the run."""
    bench.place("cat")
    errors["submit"] = ZeroDivisionError("odd")
    bench.tick()
    assert bench.state("cat") == "unknown"
    assert "ZeroDivisionError while submitting" in str(bench.order("cat").error)
    errors.clear()
    bench.advance(10)
    bench.place("younger")
    bench.settle()
    assert (bench.state("cat"), bench.runs()) == ("delivered", 2)


def test_without_the_ledger_no_claim_is_confirmed(bench: Bench, errors: Errors) -> None:
    """Whether the order is still ours cannot be known, so nothing is sent."""
    bench.place("cat")
    context = bench.desk.context
    (order,) = context.gate.admit("video", context.limits, limit=1, lease_seconds=60).orders
    leases = LeaseKeeper(context.ledger, 60.0)
    leases.hold([order])
    assert leases.confirm(order)
    errors["is_claimed"] = LedgerError("The ledger is away.")
    assert not leases.confirm(order)
    assert not leases.is_held(order)
    leases.close()


def test_a_purchase_that_could_not_be_recorded_is_not_held_for_ever(
    bench: Bench, errors: Errors
) -> None:
    """The ledger goes away between the claim and the POST: the order is sent when it is back."""
    bench.place("cat")
    errors["write_note"] = LedgerError("The ledger is away.")
    with pytest.raises(LedgerError):
        bench.tick()
    order = bench.order("cat")
    assert order.state == "submitting"
    assert not bench.desk._leases.is_held(order)
    errors.clear()
    bench.settle()
    assert (bench.state("cat"), bench.runs()) == ("delivered", 1)
    assert [record.outcome for record in bench.ledger.list_submissions()] == ["nothing", "task"]


def test_that_nothing_was_sent_is_kept_while_the_ledger_is_away(
    bench: Bench, errors: Errors
) -> None:
    """It goes away while the inputs are read: no list has to prove that no task was made."""
    bench.place("cat")
    context = bench.desk.context
    (order,) = context.gate.admit("video", context.limits, limit=1, lease_seconds=60).orders
    leases, spool = LeaseKeeper(context.ledger, 60.0), AnswerSpool(None)
    errors["reading"] = LedgerError("The ledger is away.")
    with pytest.raises(LedgerError):
        submit_order(context, leases, spool, order)
    assert spool.list() == [Answer(order.id, str(order.marker), None)]
    assert bench.runs() == 0


@pytest.mark.parametrize("error", [InputError("odd"), OutcomeUnknown("away"), KeyError("odd")])
def test_a_price_that_cannot_be_had_holds_its_order(
    open_bench: OpenBench, error: Exception
) -> None:
    """It is asked for again, and nothing is bought before."""

    def quoter(_slug: str, _inputs: Any) -> Any:
        raise error

    bench = open_bench()
    order = bench.place("cat")
    with bench.ledger.writing() as connection:
        connection.exec_driver_sql("UPDATE wiro_orders SET quoted_at = 0, ceiling_usd = NULL")
    bench.desk._use(replace(bench.desk.context, quoter=quoter))
    bench.tick()
    assert (bench.ledger.get(order.id).state, bench.runs()) == ("ordered", 0)


@pytest.mark.parametrize(
    ("error", "state", "seconds"),
    [
        (AuthenticationRefused("No such key."), "ordered", 0.0),
        (RateLimited("Slow down.", retry_after_seconds=40.0), "ordered", 40.0),
        (NothingAccepted("No connection."), "ordered", STEADY.timing.pause_seconds),
        (RequestRefused("Wrong file."), "failed", 0.0),
    ],
)
def test_an_upload_that_fails_keeps_or_ends_its_order(
    bench: Bench, errors: Errors, tmp_path: Path, error: Exception, state: str, seconds: float
) -> None:
    """Nothing was bought: a refusal of the file is final, everything else is waited for."""
    bench.desk._use(replace(bench.desk.context, policy=replace(STEADY, local_files="upload")))
    errors["upload_file"] = error
    bench.place("cat", inputImageFirst=write_image(tmp_path))
    bench.tick()
    order = bench.order("cat")
    assert (order.state, bench.runs()) == (state, 0)
    assert order.due_at == bench.now + seconds
    is_refused = isinstance(error, AuthenticationRefused)
    assert (bench.desk.find_problem() is not None) == is_refused


def test_an_order_that_is_stopped_before_its_upload_ends(bench: Bench, tmp_path: Path) -> None:
    """Nothing is uploaded for it."""
    context = replace(bench.desk.context, policy=replace(STEADY, local_files="upload"))
    order = bench.place("cat", inputImageFirst=write_image(tmp_path))
    (sent,) = context.gate.admit("video", context.limits, limit=1, lease_seconds=60).orders
    bench.ledger.request_stop(order.id, state="cancelled", reason="enough")
    assert submit_order(context, bench.desk._leases, bench.desk._answers, sent) is None
    assert (bench.state("cat"), bench.calls("File/Upload")) == ("cancelled", 0)


def test_a_kept_answer_that_comes_late_is_put_where_it_belongs(bench: Bench) -> None:
    """A task that another order has stays there; one of an order with a task is on the books."""
    for name in ("cat", "dog"):
        bench.place(name)
    bench.tick()
    cat, dog = bench.order("cat"), bench.order("dog")
    answers = bench.desk._answers
    answers.keep(Answer(cat.id, str(cat.marker), str(dog.task_id)))
    bench.tick()
    answers.keep(Answer(cat.id, str(cat.marker), "second"))
    bench.tick()
    assert any("was adopted by another order" in line for line in bench.notices)
    assert any("already had a task" in line for line in bench.notices)
    assert bench.order("cat").task_id == "second"
    assert bench.order("cat").superseded_by == cat.id
    assert answers.list() == []


# ---- looking ----


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (RateLimited("Slow down.", retry_after_seconds=40.0), None),
        (AuthenticationRefused("No such key."), "reads"),
        (OutcomeUnknown("Timed out."), None),
    ],
)
def test_a_look_that_fails_is_put_off_with_its_reason(
    bench: Bench, errors: Errors, error: ApiError, problem: str | None
) -> None:
    """The order stays where it is; a refused key is the account's problem."""
    bench.place("cat")
    bench.tick()
    errors["get_task"] = error
    assert look_at_order(bench.desk.context, bench.order("cat")) == []
    order = bench.order("cat")
    assert (order.state, order.hold, order.attempts) == ("running", str(error), 1)
    assert order.due_at is not None
    assert bench.now < order.due_at <= bench.now + STEADY.timing.look_maximum_seconds
    found = bench.desk.find_problem()
    assert (None if found is None else found.kind) == problem


def test_a_look_that_breaks_stops_no_other(bench: Bench, errors: Errors) -> None:
    """One task's odd answer is told; the order goes on when the answer is right again."""
    bench.emulator.script_task(worlds=["late_outputs"])
    bench.place("cat")
    bench.tick()
    bench.advance(6)
    errors["get_task"] = ZeroDivisionError("odd")
    for _ in range(3):
        bench.tick()
        bench.advance(5)
    assert any("could not be looked at: ZeroDivisionError" in line for line in bench.notices)
    errors.clear()
    bench.settle()
    assert bench.state("cat") == "delivered"


def test_a_cost_that_cannot_be_read_again_now_is_read_later(bench: Bench, errors: Errors) -> None:
    """Only an answer without a cost counts as a look; so does a task that is gone for an hour."""
    bench.emulator.script_task(worlds=["cost_never"])
    bench.place("cat")
    bench.settle()
    context = bench.desk.context

    def read() -> Any:
        (record,) = bench.ledger.list_submissions(order_id=bench.order("cat").id)
        return record

    before = read()
    errors["get_task"] = OutcomeUnknown("Timed out.")
    assert recheck_cost(context, before) == []
    assert read().recheck_at == bench.now + STEADY.timing.look_maximum_seconds
    assert read().rechecks == before.rechecks
    errors["get_task"] = NotFound("There is no task yet.")
    notices: list[str] = []
    while not notices:
        bench.now = read().recheck_at
        notices = recheck_cost(context, read())
    assert "does not state the cost" in notices[0]
    assert (read().recheck_at, read().cost_usd) == (None, None)
    assert bench.now > before.recheck_at + STEADY.timing.cost_recheck_seconds[-1] + 3600


def test_a_task_that_wiro_forgets_as_its_cost_is_read_again_is_looked_at_later(
    bench: Bench, errors: Errors
) -> None:
    """The list hides it, so that nothing else would show the cost that was charged in the end."""
    bench.emulator.script_task(worlds=["listed_never", "cost_changes"])
    bench.place("cat")
    bench.settle()
    bench.advance(120)
    before = bench.ledger.list_submissions(order_id=bench.order("cat").id)[0]
    errors["get_task"] = NotFound("There is no such task.")
    assert recheck_cost(bench.desk.context, before) == []
    errors.clear()
    (forgotten,) = bench.ledger.list_submissions(order_id=before.order_id)
    assert forgotten.recheck_at is not None
    assert recheck_cost(bench.desk.context, forgotten) == []
    bench.check_books()


def test_a_lost_task_whose_origin_cannot_be_read_goes_to_the_user(
    bench: Bench, errors: Errors
) -> None:
    """The list hides the callback and Task/Detail fails: it is neither adopted nor sent again."""
    bench.emulator.script_task(worlds=["list_callback_missing"])
    bench.emulator.script_fault("drop", endpoint="Run", moment="after")
    bench.place("cat")
    bench.tick()
    errors["get_task"] = OutcomeUnknown("Timed out.")
    bench.run(120)
    assert (bench.state("cat"), bench.calls("Run")) == ("unknown", 1)
    assert "no order explains" in str(bench.order("cat").error)
    errors.clear()
    bench.settle()
    assert (bench.state("cat"), bench.runs()) == ("delivered", 1)


def test_a_stray_is_told_only_once_its_origin_could_be_read(bench: Bench, errors: Errors) -> None:
    """A task that Task/Detail does not know carries no callback."""
    bench.place("cat")
    bench.settle()
    bench.advance(60)
    theirs = bench.emulator.add_foreign_task(model=MODEL, inputs={"prompt": "What is this?"})
    account = bench.desk.context.account
    errors["get_task"] = OutcomeUnknown("Timed out.")
    bench.run(700, step=100)
    assert bench.ledger.list_strays(account) == []
    errors["get_task"] = NotFound("There is no task yet.")
    bench.run(700, step=100)
    assert [stray.task_id for stray in bench.ledger.list_strays(account)] == [theirs]


def test_a_task_with_our_marker_that_is_not_on_the_books_stops_buying(bench: Bench) -> None:
    """The ledger was restored from an older copy."""
    bench.place("cat")
    with bench.ledger.writing() as connection:
        ledger_id, secret, _ = next_sequence(connection)
    marker = make_marker(ledger_id, secret, "0" * 64)
    bench.desk.context.client.submit(
        MODEL, make_prompt("lost").inputs, callback_url=f"https://wiro-dagster.invalid/{marker}"
    )
    audit(bench.desk.context)
    problem = bench.desk.find_problem()
    assert problem is not None
    assert "that is not on its books" in problem.reason


def test_a_list_that_shows_the_same_page_again_and_again_proves_nothing(bench: Bench) -> None:
    """It has hundreds of tasks and never gets past the first hundred."""
    for number in range(205):
        bench.emulator.add_foreign_task(
            model=MODEL, inputs={"prompt": "old"}, age_seconds=DAY + number
        )
    bench.emulator.begin_world("list_ignores_start")
    doubts = list_tasks_since(bench.desk.context, 0.0).doubts
    assert "it shows the same page again and again" in doubts
    assert "it does not reach back far enough" in doubts


def test_a_rebuild_that_cannot_read_the_list_is_tried_again_later(
    bench: Bench, errors: Errors
) -> None:
    """Nothing is decided before; and not at every tick."""
    errors["list_tasks"] = RequestRefused("Not now.")
    assert "could not be rebuilt yet: Not now." in str(bench.desk.rebuild({}))
    assert bench.desk.rebuild({}) is None
    errors.clear()
    bench.advance(301)
    assert "was filled from the evidence" in str(bench.desk.rebuild({}))


def test_an_account_that_cannot_be_recognized_buys_nothing(
    open_bench: OpenBench, tmp_path: Path
) -> None:
    """Its key is new, and Wiro cannot say now whether it is that of an account on the books."""
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    old = open_bench(ledger_url=url)
    old.place("cat")
    old.tick()
    errors: Errors = {"get_task": OutcomeUnknown("Timed out.")}
    new = open_bench(
        ledger_url=url,
        options={"account": "0123456789abcdef"},
        parts=lambda workshop: {"client": Failing(workshop.open_client(), errors)},
    )
    new.place("dog")
    assert "not said yet which account" in str(new.tick().closed_reason)
    errors["get_task"] = NotFound("There is no task yet.")
    new.tick()
    assert new.desk.context.account == "0123456789abcdef"


# ---- the store ----


def test_a_store_that_cannot_be_read_stops_buying(bench: Bench, errors: Errors) -> None:
    """Its witness may contradict the ledger."""
    bench.place("cat")
    errors["read_note"] = StoreError("The bucket cannot be reached.")
    assert "cannot be read: The bucket" in str(bench.tick().closed_reason)
    assert bench.runs() == 0
    errors.clear()
    bench.settle()
    assert bench.runs() == 1


@pytest.mark.parametrize("error", [None, OutcomeUnknown("Timed out.")])
def test_files_are_deleted_at_wiro_only_once_they_are_stored(
    bench: Bench, errors: Errors, error: Exception | None
) -> None:
    """If that fails, the video is owned all the same, and the user is told."""
    bench.desk._use(replace(bench.desk.context, policy=replace(STEADY, files_at_wiro="delete")))
    if error is not None:
        errors["delete_task_files"] = error
    bench.place("cat")
    bench.settle()
    assert bench.state("cat") == "delivered"
    assert any("are still at Wiro" in line for line in bench.notices) == (error is not None)


@pytest.mark.parametrize("shows", ["an error", "no files"])
def test_a_further_try_keeps_its_urls_if_wiro_has_no_newer_ones(
    bench: Bench, errors: Errors, shows: str
) -> None:
    """The ones that we have may still work."""
    bench.place("cat")
    bench.settle()
    order = replace(bench.order("cat"), attempts=1)
    if shows == "an error":
        errors["get_task"] = OutcomeUnknown("Timed out.")
    else:
        bench.emulator.override_task(str(order.task_id), {"outputs": []})
    assert renew_outputs(bench.desk.context, order) is order


# ---- the ledger ----


@pytest.mark.parametrize(
    "error", [LedgerError("The ledger is away."), ZeroDivisionError("odd")], ids=["away", "odd"]
)
def test_a_step_that_the_ledger_cannot_note_is_taken_again(
    bench: Bench, errors: Errors, error: Exception
) -> None:
    """The files are stored; the order is fetched again after its lease, and nothing is bought."""
    bench.place("cat")
    bench.tick()
    bench.advance(6)
    bench.tick()
    errors["apply"] = error
    bench.advance(1)
    with ExitStack() as tolerated:
        tolerated.push(lambda kind, _error, _trace: kind is not None)
        bench.tick()
    errors.clear()
    bench.advance(STEADY.timing.lease_seconds + 1)
    bench.settle()
    assert (bench.state("cat"), bench.runs()) == ("delivered", 1)
    assert committed(bench) == PRICE


def committed(bench: Bench) -> Any:
    return sum(record.cost_usd or 0 for record in bench.ledger.list_submissions())
