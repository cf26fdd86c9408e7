"""The check `books_match`: what it tells, and how the user answers it."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from tests.support.ledger_orders import ACCOUNT, claim_to_submit, lost
from tests.system.campaigns.bench import Bench
from wiro_dagster.defs.order_checks import books_check
from wiro_dagster.emulator import Emulator
from wiro_dagster.ledger import Ledger, Stray


def test_a_second_task_of_one_run_is_booked_and_told_until_the_user_accepts_it(
    emulator: Emulator, tmp_path: Path
) -> None:
    """A gateway repeats our POST, and Wiro bills both: the books have both, and a check says so."""
    bench = Bench(emulator, f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path / "videos")
    bench.place("cat")
    bench.tick()
    order, context = bench.order("cat"), bench.desk.context
    second = context.client.submit(
        order.model_slug, order.inputs, callback_url=context.callback_url(order)
    ).task_id
    bench.run(700)
    bench.check_books()
    check = books_check(context, dg.AssetKey("video_order"))
    assert not check.passed
    assert f"--accept {second}" in str(check.description)
    context.ledger.accept_strays(context.account, [second], "seen")
    assert books_check(context, dg.AssetKey("video_order")).passed
    bench.close()


def test_a_second_task_that_an_answer_names_is_told_too(tmp_path: Path) -> None:
    """A lost answer comes after the order was sent again: both tasks are booked, and told."""
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    order = lost(ledger)
    ledger.send_again(order)
    again = claim_to_submit(ledger)
    assert ledger.note_task(again, "second", due_at=0.0) == "noted"
    assert ledger.note_task(order, "first", due_at=0.0, marker=order.marker) == "extra"
    assert [stray.task_id for stray in ledger.list_strays(ACCOUNT)] == ["first"]
    ledger.close()


def test_a_stray_that_the_user_gives_to_its_order_is_explained(tmp_path: Path) -> None:
    """Once an order has it, it is no news any more."""
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    order = lost(ledger)
    ledger.note_strays(ACCOUNT, [Stray("task", order.model_slug, None, None)])
    assert ledger.note_task(order, "task", due_at=0.0) == "noted"
    assert ledger.list_strays(ACCOUNT) == []
    ledger.close()
