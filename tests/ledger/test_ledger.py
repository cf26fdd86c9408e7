"""The ledger, on SQLite and on PostgreSQL: one live order, one holder of each step, exact money."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from wiro_dagster.ledger.opening import parse_ledger_url

from tests.conftest import Clock
from wiro_dagster.errors import ConfigurationError, LedgerError
from wiro_dagster.ledger import Gate, Ledger, Order, OrderRequest
from wiro_dagster.ledger.budget import BudgetLimits
from wiro_dagster.ledger.schema import SCHEMA_VERSION, metadata, versions

NO_LIMITS = BudgetLimits()


def request(partition: str = "cat", fingerprint: str = "f1", **changes: Any) -> OrderRequest:
    values: dict[str, Any] = {
        "collection": "video",
        "partition": partition,
        "account": "account",
        "model_slug": "minimax/hailuo-2-3",
        "inputs": {"prompt": "a cat"},
        "fingerprint": fingerprint,
        "quote_usd": Decimal("0.28"),
        "ceiling_usd": Decimal("0.28"),
    }
    return OrderRequest(**{**values, **changes})


def submitting(ledger: Ledger, partition: str = "cat", **changes: Any) -> Order:
    """An order that its submitter has just claimed."""
    ledger.place(request(partition, **changes))
    (order,) = Gate(ledger, "account").admit("video", NO_LIMITS, limit=1, lease_seconds=600).orders
    return order


def running(ledger: Ledger, partition: str = "cat", **changes: Any) -> Order:
    """An order whose task is known, claimed for a poll."""
    order = submitting(ledger, partition, **changes)
    assert ledger.record_task(order, f"task-{order.id}", due_at=ledger.clock())
    (claimed,) = ledger.claim("video", ["running"], limit=1, lease_seconds=60)
    return claimed


def stored(ledger: Ledger, partition: str = "cat", **changes: Any) -> Order:
    """An order whose video is owned and not reported yet."""
    order = running(ledger, partition, **changes)
    files = [{"key": "k", "size_bytes": 1, "sha256": "s", "uri": "u"}]
    assert ledger.advance(
        order, state="stored", files=files, cost_usd=Decimal("0.28"), due_at=ledger.clock()
    )
    return ledger.get(order.id)


def test_the_same_video_is_ordered_once(ledger: Ledger) -> None:
    """A collection, partition and fingerprint have one live order."""
    first, second = ledger.place(request()), ledger.place(request())
    assert (first.outcome, second.outcome) == ("placed", "under_way")
    assert first.order.id == second.order.id


def test_many_clicks_at_once_place_one_order(ledger: Ledger) -> None:
    """The unique index decides, not an if."""
    with ThreadPoolExecutor(8) as pool:
        placed = list(pool.map(lambda _: ledger.place(request()), range(24)))
    assert len({placement.order.id for placement in placed}) == 1
    assert [placement.outcome for placement in placed].count("placed") == 1


def test_a_failed_order_can_be_placed_again(ledger: Ledger) -> None:
    """Failed and cancelled orders are not live."""
    order = running(ledger)
    assert ledger.advance(order, state="failed", error="no", due_at=None)
    again = ledger.place(request())
    assert again.outcome == "placed"
    assert again.order.id != order.id


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
        ledger.record_task(order, f"t{number}", due_at=ledger.clock())
    with ThreadPoolExecutor(6) as pool:
        batches = pool.map(
            lambda _: ledger.claim("video", ["running"], limit=10, lease_seconds=60), range(6)
        )
        ids = [order.id for batch in batches for order in batch]
    assert len(ids) == len(set(ids))
    assert ids


def test_a_claim_ends_with_its_lease(ledger: Ledger, clock: Clock) -> None:
    """A holder that dies is replaced, and can change nothing afterwards."""
    dead = running(ledger)
    assert ledger.claim("video", ["running"], limit=1, lease_seconds=60) == []
    clock.advance(61)
    (successor,) = ledger.claim("video", ["running"], limit=1, lease_seconds=60)
    assert not ledger.advance(dead, state="failed", due_at=None)
    assert ledger.advance(successor, state="finished", due_at=clock())


def test_a_renewed_claim_lasts(ledger: Ledger, clock: Clock) -> None:
    """Whoever still works keeps the order."""
    order = running(ledger)
    clock.advance(50)
    assert ledger.renew(order, 60)
    clock.advance(50)
    assert ledger.claim("video", ["running"], limit=1, lease_seconds=60) == []


def test_a_late_answer_is_noted_after_the_lease(ledger: Ledger, clock: Clock) -> None:
    """The id of a task that was paid for is kept, whoever holds the order by then."""
    slow = submitting(ledger)
    clock.advance(601)
    (lost,) = ledger.claim("video", ["submitting"], limit=1, lease_seconds=60)
    assert ledger.advance(lost, state="unknown", due_at=clock())
    assert ledger.record_task(slow, "task-1", due_at=clock())
    assert ledger.get(slow.id).task_id == "task-1"


def test_two_orders_never_have_one_task(ledger: Ledger) -> None:
    """Adoption cannot give one task to two orders."""
    first, second = submitting(ledger, "a"), submitting(ledger, "b")
    assert ledger.record_task(first, "task-1", due_at=0)
    with pytest.raises(sa.exc.IntegrityError):
        ledger.record_task(second, "task-1", due_at=0)


def test_money_is_exact_to_the_last_digit(ledger: Ledger) -> None:
    """Twelve decimals survive the database, and sums of them do."""
    cost = Decimal("0.003510000001")
    for number in range(3):
        order = running(ledger, f"p{number}")
        ledger.advance(order, state="failed", cost_usd=cost, due_at=None)
    limits = BudgetLimits(total_usd=Decimal(1))
    with ledger.reading() as connection:
        books = Gate(ledger, "account").books(connection, "video", limits)
    assert books.total_usd == 3 * cost


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


def test_an_order_held_by_the_budget_says_why_and_goes_on_later(
    ledger: Ledger, clock: Clock
) -> None:
    """A held order waits; the next day it is submitted."""
    ledger.place(request("a", ceiling_usd=Decimal("0.60")))
    ledger.place(request("b", ceiling_usd=Decimal("0.60")))
    gate, limits = Gate(ledger, "account"), BudgetLimits(daily_usd=Decimal(1))
    (order,) = gate.admit("video", limits, limit=5, lease_seconds=600).orders
    held = ledger.list_orders(partitions=["b"])[0]
    assert held.hold is not None
    assert "1 USD daily budget (0.6 USD spent or committed)" in held.hold
    ledger.record_task(order, "t", due_at=clock())
    (claimed,) = ledger.claim("video", ["running"], limit=1, lease_seconds=60)
    ledger.advance(claimed, state="failed", cost_usd=Decimal("0.60"), due_at=None)
    clock.advance(86400)
    assert [o.partition for o in gate.admit("video", limits, limit=5, lease_seconds=9).orders] == [
        "b"
    ]


def test_a_failed_task_frees_its_part_of_the_budget(ledger: Ledger, clock: Clock) -> None:
    """What Wiro did not bill is not spent."""
    order = running(ledger, "a", ceiling_usd=Decimal("0.60"))
    ledger.advance(order, state="failed", cost_usd=Decimal(0), due_at=None)
    ledger.place(request("b", ceiling_usd=Decimal("0.60")))
    limits = BudgetLimits(daily_usd=Decimal("0.60"))
    assert Gate(ledger, "account").admit("video", limits, limit=1, lease_seconds=9).orders


def test_a_closed_gate_admits_nothing_until_its_time(ledger: Ledger, clock: Clock) -> None:
    """A pause holds for every submitter of the account, and ends by itself."""
    ledger.place(request())
    gate = Gate(ledger, "account")
    gate.close(until=clock() + 30, reason="Wiro said slow down.")
    admission = Gate(ledger, "account").admit("video", NO_LIMITS, limit=1, lease_seconds=60)
    assert (admission.orders, admission.closed_reason) == ((), "Wiro said slow down.")
    clock.advance(31)
    assert gate.admit("video", NO_LIMITS, limit=1, lease_seconds=60).orders


def test_learned_slots_limit_what_is_under_way(ledger: Ledger, clock: Clock) -> None:
    """Wiro's limit of concurrent tasks is kept over all orders of the account."""
    for number in range(5):
        ledger.place(request(f"p{number}"))
    gate = Gate(ledger, "account")
    gate.learn_slots(2, until=clock() + 30, reason="two at a time")
    assert len(gate.admit("video", NO_LIMITS, limit=5, lease_seconds=60).orders) == 2
    assert gate.admit("video", NO_LIMITS, limit=5, lease_seconds=60).closed_reason


def test_a_changed_prompt_supersedes_what_was_not_sent(ledger: Ledger) -> None:
    """An order that cost nothing yet is dropped when its prompt changes."""
    old = ledger.place(request(fingerprint="old")).order
    new = ledger.place(request(fingerprint="new")).order
    dropped = ledger.get(old.id)
    assert (dropped.state, dropped.superseded_by) == ("cancelled", new.id)
    latest = ledger.find_latest("video", "cat")
    assert latest is not None
    assert latest.id == new.id


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


def test_the_sensor_leaves_orders_alone_that_a_living_run_waits_for(
    ledger: Ledger, clock: Clock
) -> None:
    """A run reports its own orders; when it dies, others may."""
    order = stored(ledger)
    ledger.wait_for([order.id], "run", until=clock() + 60)
    assert ledger.claim("video", ["stored"], limit=5, lease_seconds=9, unwaited=True) == []
    clock.advance(61)
    assert ledger.claim("video", ["stored"], limit=5, lease_seconds=9, unwaited=True)


def test_stopping_drops_what_was_not_sent(ledger: Ledger) -> None:
    """An order that was never submitted ends at once and costs nothing."""
    order = ledger.place(request()).order
    assert ledger.request_stop(order.id, state="cancelled", reason="enough")
    assert ledger.get(order.id).state == "cancelled"
    assert not ledger.request_stop(order.id, state="cancelled", reason="enough")


def test_an_uncollected_video_is_fetched_again_not_bought_again(ledger: Ledger) -> None:
    """Asking again for a video that could not be fetched tries the download first."""
    order = running(ledger)
    ledger.advance(order, state="uncollected", error="gone", due_at=None)
    placement = ledger.place(request())
    assert (placement.outcome, placement.order.state) == ("taken_up", "finished")


def test_a_ledger_of_another_version_is_refused(ledger: Ledger, ledger_url: str) -> None:
    """A newer ledger is left alone, with a message that says what to do."""
    with ledger.writing() as connection:
        connection.execute(sa.update(versions).values(version=99))
    with pytest.raises(LedgerError, match="schema version 99"):
        Ledger(ledger_url)


SINCE_VERSION_1 = {
    "wiro_orders": (
        "prompt_input",
        "held_since",
        "progress_percent",
        "observed_at",
        "observed_status",
        "observed_percent",
    ),
    "wiro_gates": ("reads_paused_until", "trouble", "trouble_reason", "trouble_at"),
}


def test_an_earlier_ledger_is_brought_up_to_date(ledger: Ledger, ledger_url: str) -> None:
    """What it knows of paid videos stays, whoever opens it first."""
    order = running(ledger)
    with ledger.writing() as connection:
        connection.execute(sa.text("DROP TABLE wiro_uploads"))
        for table, columns in SINCE_VERSION_1.items():
            for column in columns:
                connection.execute(sa.text(f"ALTER TABLE {table} DROP COLUMN {column}"))
        connection.execute(sa.update(versions).values(version=1))
    ledger.close()
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: Ledger(ledger_url), range(4)))
    found = opened[0].get(order.id)
    assert (found.state, found.task_id, found.prompt) == ("running", order.task_id, "a cat")
    with opened[0].reading() as connection:
        assert connection.execute(sa.select(versions.c.version)).scalars().all() == [SCHEMA_VERSION]
        for table in sa.inspect(connection).get_table_names():
            there = {column["name"] for column in sa.inspect(connection).get_columns(table)}
            assert there == set(metadata.tables[table].columns.keys())
    for one in opened:
        one.close()


def test_ledgers_open_at_once_on_an_empty_database(ledger_url: str) -> None:
    """Several processes may start together."""
    with ThreadPoolExecutor(6) as pool:
        opened = list(pool.map(lambda _: Ledger(ledger_url), range(6)))
    assert all(one.list_orders() == [] for one in opened)
    for one in opened:
        one.close()


@pytest.mark.parametrize("url", ["postgresql://user@host/db", "postgres://user@host/db"])
def test_a_bare_postgresql_url_gets_the_installed_driver(url: str) -> None:
    """SQLAlchemy's default driver differs between versions; the installed one is taken."""
    assert parse_ledger_url(url).drivername == "postgresql+psycopg2"


@pytest.mark.parametrize(
    ("url", "words"),
    [("not a url", "not a SQLAlchemy URL"), ("sqlite://", "forgets what was paid for")],
)
def test_a_useless_ledger_url_is_refused(url: str, words: str) -> None:
    """The message names the variable and the next step."""
    with pytest.raises(ConfigurationError, match=words):
        parse_ledger_url(url)


def test_an_unreachable_ledger_does_not_show_its_password(tmp_path: Path) -> None:
    """Errors never hold the secret of the URL."""
    with pytest.raises(LedgerError) as caught:
        Ledger("postgresql://user:s3cret@127.0.0.1:9/db")
    assert "s3cret" not in str(caught.value)
