"""The check `books_match`: what it tells, and how the user answers it."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from tests.system.campaigns.bench import Bench
from wiro_dagster.defs.order_checks import books_check
from wiro_dagster.emulator import Emulator


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
