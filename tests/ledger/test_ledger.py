"""The ledger, on SQLite and on PostgreSQL: one live order, one holder of each step, exact money."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from tests.conftest import Clock
from tests.support.ledger_orders import (
    FILES,
    NO_LIMITS,
    PRICE,
    claim_to_submit,
    failed,
    finished,
    read_books,
    request,
    running,
    stored,
    submitting,
    uncollected,
)
from wiro_dagster.errors import LedgerError
from wiro_dagster.ledger import Gate, Ledger
from wiro_dagster.ledger.budget import BudgetLimits


def test_the_same_video_is_ordered_once(ledger: Ledger) -> None:
    """A collection, partition and fingerprint have one live order."""
    assert ledger.find_live(request()) is None
    first, second = ledger.place(request()), ledger.place(request())
    assert (first.outcome, second.outcome) == ("placed", "under_way")
    assert first.order.id == second.order.id
    assert ledger.find_live(request()) == second.order


def test_many_clicks_at_once_place_one_order(ledger: Ledger) -> None:
    """The unique index decides, not an if."""
    with ThreadPoolExecutor(8) as pool:
        placed = list(pool.map(lambda _: ledger.place(request()), range(24)))
    assert len({placement.order.id for placement in placed}) == 1
    assert [placement.outcome for placement in placed].count("placed") == 1


def test_an_order_that_does_not_exist_is_named(ledger: Ledger) -> None:
    """The message says which order is missing."""
    with pytest.raises(LedgerError, match="no order 7"):
        ledger.get(7)


def test_a_failed_order_that_was_free_can_be_placed_again(ledger: Ledger) -> None:
    """Failed and cancelled orders that cost nothing are not live."""
    order = failed(ledger)
    again = ledger.place(request())
    assert again.outcome == "placed"
    assert again.order.id != order.id


@pytest.mark.parametrize("cost", [PRICE, None], ids=["billed", "not stated"])
def test_a_failed_order_that_may_be_billed_is_ordered_again_only_by_the_user(
    ledger: Ledger, cost: Decimal | None
) -> None:
    """A schedule or a retry never pays twice for what brought nothing."""
    order = failed(ledger, cost_usd=cost)
    assert order.is_billed_failure
    refused = ledger.place(request())
    assert (refused.outcome, refused.order.id) == ("billed_failure", order.id)
    assert ledger.free_to_repeat(order.id)
    assert ledger.place(request()).outcome == "placed"


def test_going_back_to_a_billed_failure_lets_it_stand_for_its_partition(ledger: Ledger) -> None:
    """The partition shows why it has no video, not the video of another prompt."""
    old = failed(ledger, fingerprint="old", cost_usd=PRICE)
    new = stored(ledger, fingerprint="new")
    assert ledger.place(request(fingerprint="old")).outcome == "billed_failure"
    latest = ledger.find_latest("video", "cat")
    assert latest is not None
    assert latest.id == old.id
    assert ledger.get(new.id).superseded_by == old.id


def test_only_an_order_without_a_video_can_be_freed(ledger: Ledger) -> None:
    """Freeing an order that is under way or owned would pay twice for one video."""
    order = stored(ledger)
    assert not ledger.free_to_repeat(order.id)
    assert not ledger.free_to_repeat(running(ledger, "dog").id)


def test_an_owned_video_is_not_ordered_again(ledger: Ledger) -> None:
    """A delivered order stands for its video for ever."""
    order = stored(ledger)
    ledger.mark_reported([order.id])
    placement = ledger.place(request())
    assert (placement.outcome, placement.order.id) == ("owned", order.id)


def test_a_step_has_one_holder(ledger: Ledger) -> None:
    """Two claims at once never get the same order."""
    for number in range(20):
        order = submitting(ledger, f"p{number}")
        ledger.note_task(order, f"t{number}", due_at=ledger.clock())
    with ThreadPoolExecutor(6) as pool:
        batches = pool.map(
            lambda _: ledger.claim("video", ["running"], limit=10, lease_seconds=60), range(6)
        )
        ids = [order.id for batch in batches for order in batch]
    assert len(ids) == len(set(ids))
    assert ids


def test_a_claim_ends_with_its_lease(ledger: Ledger, clock: Clock) -> None:
    """A holder that dies is replaced, and can change nothing afterwards."""
    dead = finished(ledger)
    assert ledger.claim("video", ["finished"], limit=1, lease_seconds=60) == []
    clock.advance(61)
    (successor,) = ledger.claim("video", ["finished"], limit=1, lease_seconds=60)
    assert not ledger.apply(dead, "lose_files", due_at=None)
    assert not all(ledger.renew_all([dead], 60))
    assert ledger.apply(successor, "store", files=FILES, due_at=clock())


def test_a_renewed_claim_lasts(ledger: Ledger, clock: Clock) -> None:
    """The process that still works keeps the order."""
    order = finished(ledger)
    clock.advance(50)
    assert all(ledger.renew_all([order], 60))
    clock.advance(50)
    assert ledger.claim("video", ["finished"], limit=1, lease_seconds=60) == []


def test_an_earlier_reading_of_a_task_cannot_undo_a_later_one(ledger: Ledger) -> None:
    """The watch claims nothing, so its steps hold only while the order is as it was read."""
    order = running(ledger)
    assert ledger.apply(order, "succeed", due_at=ledger.clock())
    assert not ledger.apply(order, "fail", error="an old page of the list", due_at=None)
    assert ledger.get(order.id).state == "finished"


def test_steps_of_several_orders_are_taken_in_one_transaction(ledger: Ledger) -> None:
    """None of them has to exist: an empty list changes nothing."""
    assert ledger.apply_all([]) == []


def test_money_is_exact_to_the_last_digit(ledger: Ledger) -> None:
    """Twelve decimals survive the database, and sums of them do."""
    cost = Decimal("0.003510000001")
    for number in range(3):
        failed(ledger, f"p{number}", cost_usd=cost)
    assert read_books(ledger).total_usd == 3 * cost


def test_the_budget_is_never_passed_together(ledger: Ledger) -> None:
    """Submitters that look at once share what is left."""
    for number in range(10):
        ledger.place(request(f"p{number}", ceiling_usd=Decimal("0.30")))
    limits = BudgetLimits(daily_usd=Decimal("1.00"))
    gate = Gate(ledger, "account")
    with ThreadPoolExecutor(5) as pool:
        admissions = list(
            pool.map(lambda _: gate.admit("video", limits, limit=3, lease_seconds=600), range(5))
        )
    admitted = [order for admission in admissions for order in admission.orders]
    assert len(admitted) == 3
    assert sum(admission.held for admission in admissions) > 0


def test_a_closed_gate_admits_nothing_until_its_time(ledger: Ledger, clock: Clock) -> None:
    """A pause holds for every submitter of the account, and ends by itself."""
    ledger.place(request())
    gate = Gate(ledger, "account")
    gate.close(until=clock() + 30, reason="Wiro said slow down.")
    assert not gate.may_submit()
    admission = Gate(ledger, "account").admit("video", NO_LIMITS, limit=1, lease_seconds=60)
    assert (admission.orders, admission.closed_reason) == ((), "Wiro said slow down.")
    clock.advance(31)
    assert gate.may_submit()
    assert gate.admit("video", NO_LIMITS, limit=1, lease_seconds=60).orders


def test_a_shorter_pause_does_not_shorten_a_longer_one(ledger: Ledger, clock: Clock) -> None:
    """Two refusals overlap: the later end counts, for submissions and for reads."""
    gate = Gate(ledger, "account")
    gate.slow_down(until=clock() + 60, reason="long")
    gate.slow_down(until=clock() + 10, reason="short")
    gate.close(until=clock() + 20, reason="shorter")
    clock.advance(30)
    assert (gate.may_submit(), gate.may_read()) == (False, False)
    clock.advance(31)
    assert (gate.may_submit(), gate.may_read()) == (True, True)


def test_learned_slots_limit_what_is_under_way(ledger: Ledger, clock: Clock) -> None:
    """Wiro's limit of concurrent tasks is kept over all orders of the account."""
    for number in range(5):
        ledger.place(request(f"p{number}"))
    gate = Gate(ledger, "account")
    assert gate.learn_slots(2, until=clock() + 30, reason="two at a time")
    assert len(gate.admit("video", NO_LIMITS, limit=5, lease_seconds=60).orders) == 2
    assert gate.admit("video", NO_LIMITS, limit=5, lease_seconds=60).closed_reason
    assert not gate.learn_slots(None, until=clock() + 30, reason="as many as now")
    clock.advance(31)
    assert len(gate.admit("video", NO_LIMITS, limit=5, lease_seconds=60).orders) == 3


def test_a_changed_prompt_supersedes_what_was_not_sent(ledger: Ledger) -> None:
    """An order that cost nothing yet is dropped when its prompt changes."""
    old = ledger.place(request(fingerprint="old")).order
    new = ledger.place(request(fingerprint="new")).order
    dropped = ledger.get(old.id)
    assert (dropped.state, dropped.superseded_by) == ("cancelled", new.id)
    latest = ledger.find_latest("video", "cat")
    assert latest is not None
    assert latest.id == new.id
    assert ledger.find_latest("video", "dog") is None


def test_going_back_to_an_earlier_prompt_reuses_its_video(ledger: Ledger) -> None:
    """A superseded video is reported again, not paid for again."""
    old = stored(ledger, fingerprint="old")
    ledger.mark_reported([old.id])
    newer = ledger.place(request(fingerprint="new")).order
    back = ledger.place(request(fingerprint="old"))
    assert (back.order.id, back.outcome, back.order.state) == (old.id, "taken_up", "stored")
    assert ledger.get(newer.id).superseded_by == old.id


def test_a_superseded_video_is_kept_but_not_reported(ledger: Ledger) -> None:
    """What was paid for arrives and rests; the newer video is the one that is shown."""
    old = stored(ledger, fingerprint="old")
    ledger.place(request(fingerprint="new"))
    ledger.set_aside_superseded("video")
    assert ledger.claim("video", ["stored"], limit=5, lease_seconds=60) == []
    assert ledger.get(old.id).state == "delivered"


def test_a_superseded_order_that_has_not_ended_is_not_set_aside(ledger: Ledger) -> None:
    """It is followed to its end, because it costs money."""
    old = running(ledger, fingerprint="old")
    ledger.place(request(fingerprint="new"))
    ledger.set_aside_superseded("video")
    assert ledger.get(old.id).due_at is not None


def test_the_sensor_leaves_orders_alone_that_a_living_run_waits_for(
    ledger: Ledger, clock: Clock
) -> None:
    """A run reports its own orders; when it dies, others may."""
    order = stored(ledger)
    ledger.register_waiter([order.id], "run", until=clock() + 60)
    assert ledger.claim("video", ["stored"], limit=5, lease_seconds=9, unwaited=True) == []
    clock.advance(61)
    assert ledger.claim("video", ["stored"], limit=5, lease_seconds=9, unwaited=True)


def test_a_run_claims_what_it_waits_for_itself_and_no_other_run_does(
    ledger: Ledger, clock: Clock
) -> None:
    """It is counted as work for nobody else while the run lives, and then it is."""
    order = stored(ledger)
    ledger.register_waiter([order.id], "run", until=clock() + 60)
    ledger.keep_waiting([order.id], "another", until=clock() + 600)  # not its order
    ledger.keep_waiting([order.id], "run", until=clock() + 90)
    options = {"limit": 5, "lease_seconds": 9, "unwaited": True}
    assert ledger.claim("video", ["stored"], run_id="another", **options) == []
    assert ledger.count_unwaited(["video"], ["stored"], limit=9) == 0
    assert ledger.list_waiting_runs(["video"], ["stored"]) == {"run"}
    assert ledger.claim("video", ["stored"], run_id="run", **options)
    clock.advance(91)
    assert ledger.list_waiting_runs(["video"], ["stored"]) == set()
    assert ledger.count_unwaited(["video"], ["stored"], limit=9) == 1


def test_a_run_that_ends_hands_its_orders_back(ledger: Ledger, clock: Clock) -> None:
    """The sensor reports at once what no run waits for any more."""
    mine, others = stored(ledger, "mine"), stored(ledger, "others")
    ledger.register_waiter([mine.id], "run", until=clock() + 60)
    ledger.register_waiter([others.id], "another", until=clock() + 60)
    ledger.release_waiter("run")
    claimed = ledger.claim("video", ["stored"], limit=5, lease_seconds=9, unwaited=True)
    assert [order.id for order in claimed] == [mine.id]


def test_stopping_drops_what_was_not_sent(ledger: Ledger) -> None:
    """An order that was never submitted ends at once and costs nothing."""
    order = ledger.place(request()).order
    assert ledger.request_stop(order.id, state="cancelled", reason="enough")
    assert ledger.get(order.id).state == "cancelled"
    assert not ledger.request_stop(order.id, state="cancelled", reason="enough")
    assert ledger.place(request()).outcome == "placed"


def test_an_order_that_was_not_sent_can_end_as_failed(ledger: Ledger) -> None:
    """The caller says how an order ends that nothing was bought for."""
    order = ledger.place(request()).order
    assert ledger.request_stop(order.id, state="failed", reason="the run failed")
    assert (ledger.get(order.id).state, ledger.get(order.id).error) == ("failed", "the run failed")


def test_an_uncollected_video_is_looked_for_again_and_not_bought_again(ledger: Ledger) -> None:
    """Asking again for a video that could not be fetched reads its task first."""
    order = uncollected(ledger)
    placement = ledger.place(request())
    assert (placement.outcome, placement.order.state) == ("taken_up", "settling")
    assert placement.order.id == order.id


@pytest.mark.parametrize("make", [failed, uncollected], ids=["failed", "uncollected"])
def test_recovering_reads_the_task_again_and_stands_for_its_video(
    ledger: Ledger, make: object
) -> None:
    """It works from every state that has a task and nothing to do; the video is not bought."""
    assert callable(make)
    order = make(ledger)
    assert ledger.recover(order.id)
    found = ledger.get(order.id)
    assert (found.state, found.live_key is not None) == ("settling", True)
    assert ledger.place(request()).outcome == "under_way"


def test_there_is_nothing_to_recover_without_a_task_or_before_its_end(ledger: Ledger) -> None:
    """A dropped order has no task; a running one is followed already."""
    dropped = ledger.place(request()).order
    ledger.request_stop(dropped.id, state="cancelled", reason="enough")
    assert not ledger.recover(dropped.id)
    assert not ledger.recover(running(ledger, "dog").id)


def test_recovering_does_not_take_the_place_of_a_later_order(ledger: Ledger) -> None:
    """One live order stands for a video: the older one is fetched and not shown."""
    old = failed(ledger)
    new = ledger.place(request()).order
    assert ledger.recover(old.id)
    assert ledger.get(old.id).live_key is None
    assert ledger.get(new.id).live_key is not None


def test_the_oldest_files_are_fetched_first(ledger: Ledger, clock: Clock) -> None:
    """Files that have been at Wiro for longest vanish first."""
    for number in range(4):
        ledger.apply(running(ledger, f"p{number}"), "end", due_at=clock())
    for number, order in enumerate(ledger.list_orders()):
        ledger.apply(order, "succeed", ended_at=1000.0 - number, due_at=clock())
    claimed = ledger.claim("video", ["finished"], limit=2, lease_seconds=1, oldest_task_first=True)
    assert sorted(order.partition for order in claimed) == ["p2", "p3"]


def test_the_user_may_send_a_lost_order_again(ledger: Ledger) -> None:
    """The earlier POST stays on the books at its ceiling."""
    order = submitting(ledger)
    now = ledger.clock()
    ledger.apply(order, "lose", lost_since=now, looks=0, due_at=now)
    assert ledger.send_again(ledger.get(order.id))
    again = claim_to_submit(ledger)
    assert (again.id, again.posts) == (order.id, 2)
    assert again.marker != order.marker
    assert read_books(ledger).total_usd == 2 * PRICE
