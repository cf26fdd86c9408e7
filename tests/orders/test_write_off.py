"""Writing off: a lost POST that bought nothing stops counting, on evidence and on record."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from tests.orders.conftest import OpenBench
from tests.support.ledger_orders import ACCOUNT, lost
from tests.system.campaigns.bench import Bench
from tests.system.campaigns.workshop import PRICE, committed_by_ledger
from wiro_dagster.cli import main
from wiro_dagster.emulator import EMULATOR_API_KEY, EMULATOR_API_SECRET, Emulator
from wiro_dagster.ledger import Ledger
from wiro_dagster.orders.write_off import find_evidence

KEY_HASH = hashlib.sha256(EMULATOR_API_KEY.encode()).hexdigest()[:16]


def lose(bench: Bench, moment: str, **script: Any) -> None:
    """Order a video whose answer is lost, and give it up; later a younger task is listed."""
    bench.emulator.script_fault("drop", endpoint="Run", moment=moment)
    bench.emulator.script_task(**script)
    bench.place("cat")
    bench.tick()
    bench.ledger.abandon_unknown(bench.order("cat"))
    bench.run(600, step=150)
    bench.place("younger")
    bench.settle()


def test_a_lost_post_that_bought_nothing_stops_counting(open_bench: OpenBench) -> None:
    """The list shows a younger task and explains all others: it is written off, with a name."""
    bench = open_bench()
    lose(bench, "before")
    assert committed_by_ledger(bench.ledger) == 2 * PRICE
    (evidence,) = find_evidence(bench.desk.context, bench.order("cat"))
    assert evidence.objections == ()
    assert bench.ledger.write_off([evidence.record.id], by="ann", why="the list") == 1
    assert committed_by_ledger(bench.ledger) == PRICE
    assert find_evidence(bench.desk.context, bench.order("cat")) == []
    (record,) = bench.ledger.list_submissions(order_id=bench.order("cat").id)
    assert (record.written_off_by, record.written_off_why) == ("ann", "the list")


def test_a_task_that_nobody_explains_forbids_it(open_bench: OpenBench) -> None:
    """It may be the one that the lost POST made."""
    bench = open_bench()
    lose(bench, "after", worlds=["callback_missing"])
    (evidence,) = find_evidence(bench.desk.context, bench.order("cat"))
    assert "no order explains task" in evidence.objections[0]


def test_a_list_without_a_younger_task_proves_nothing(open_bench: OpenBench) -> None:
    """A new task may not be listed yet."""
    bench = open_bench()
    bench.emulator.script_fault("drop", endpoint="Run", moment="before")
    bench.place("cat")
    bench.tick()
    bench.ledger.abandon_unknown(bench.order("cat"))
    (evidence,) = find_evidence(bench.desk.context, bench.order("cat"))
    assert evidence.objections


def test_what_is_still_looked_for_cannot_be_written_off(tmp_path: Path) -> None:
    """The answer may come, or the list may show the task."""
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    order = lost(ledger)
    (record,) = ledger.list_submissions(order_id=order.id)
    assert ledger.list_lost(order.id) == []
    assert ledger.write_off([record.id], by="ann", why="") == 0
    ledger.close()


def test_a_task_that_turns_up_after_all_counts_again(open_bench: OpenBench) -> None:
    """The user was wrong: the task is adopted by its marker, and its video is fetched."""
    bench = open_bench()
    lose(bench, "after", worlds={"listed_late": 5000.0})
    (record,) = bench.ledger.list_lost(bench.order("cat").id)
    bench.ledger.write_off([record.id], by="ann", why="")
    assert committed_by_ledger(bench.ledger) == PRICE
    bench.run(7200, step=1200)
    assert bench.state("cat") == "delivered"
    assert committed_by_ledger(bench.ledger) == 2 * PRICE
    bench.check_books()


def test_the_command_refuses_without_proof_and_obeys_the_user(
    emulator: Emulator, tmp_path: Path
) -> None:
    """`orders write-off` shows the evidence; `--force` is on record with its objections."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger = Ledger(url)
    order = lost(ledger)
    ledger.abandon_unknown(order)
    ledger.note_key(KEY_HASH, ACCOUNT)
    environment = {
        "WIRO_API_KEY": EMULATOR_API_KEY,
        "WIRO_API_SECRET": EMULATOR_API_SECRET,
        "WIRO_BASE_URL": emulator.base_url,
        "WIRO_LEDGER_URL": url,
        "WIRO_VIDEO_STORE": str(tmp_path / "videos"),
    }
    runner = CliRunner(env=environment)
    refused = runner.invoke(main, ["orders", "write-off", str(order.id)])
    assert (refused.exit_code, len(ledger.list_lost(order.id))) == (1, 1)
    assert "may have been bought" in refused.output
    forced = runner.invoke(main, ["orders", "write-off", str(order.id), "--force", "--yes"])
    assert (forced.exit_code, ledger.list_lost(order.id)) == (0, [])
    (record,) = ledger.list_submissions(order_id=order.id)
    assert "task that we know" in str(record.written_off_why)
    ledger.close()
