"""A ledger that was restored from a backup: what was bought since is found, never bought again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.orders.conftest import OpenBench
from tests.system.campaigns.bench import STEADY, Bench
from tests.system.campaigns.workshop import make_prompt

LONG = 3 * STEADY.resubmit_after_seconds


def back_up(bench: Bench, copy: Path) -> str:
    """Copy the ledger as it is now; the URL of the copy."""
    with closing(sqlite3.connect(str(bench.ledger.engine.url.database))) as source:
        source.execute(f"VACUUM INTO '{copy}'")
    return f"sqlite:///{copy}"


def restore(open_bench: OpenBench, bench: Bench, url: str) -> Bench:
    """A new process on the copy, with the same store."""
    return open_bench(bench.workshop.folder.name, ledger_url=url)


def run_with_rebuilds(bench: Bench, *names: str) -> None:
    """Ticks as the sensor does: a ledger that is behind is rebuilt from the present prompts."""
    until = bench.now + LONG
    while bench.now < until:
        bench.step()
        if bench.desk.find_problem() is not None:
            bench.desk.rebuild({name: make_prompt(name) for name in names})
        bench.advance(30)


@pytest.mark.parametrize("seconds", [3.0, 60.0])
def test_an_order_that_a_backup_has_as_unsent_gets_its_task(
    open_bench: OpenBench, tmp_path: Path, seconds: float
) -> None:
    """Whether its task was running or its video stored by then, it is one order and one task."""
    bench = open_bench()
    bench.place("dog")
    bench.settle()
    bench.place("cat")
    url = back_up(bench, tmp_path / "copy.db")
    bench.run(seconds, step=3)
    restored = restore(open_bench, bench, url)
    run_with_rebuilds(restored, "dog", "cat")
    assert (restored.runs(), restored.state("cat")) == (2, "delivered")
    assert restored.order("cat").task_id == bench.order("cat").task_id
    restored.check_books()
    assert restored.told() == []


def test_a_task_without_a_marker_keeps_a_restored_ledger_from_buying(
    open_bench: OpenBench, tmp_path: Path
) -> None:
    """If Wiro shows no callback, the lost ledger's task cannot be told: the user decides."""
    bench = open_bench()
    bench.place("dog")
    bench.settle()
    bench.place("cat")
    url = back_up(bench, tmp_path / "copy.db")
    bench.emulator.script_task(worlds=["callback_missing"], queue_seconds=10_000)
    bench.run(6, step=3)
    assert bench.runs() == 2
    restored = restore(open_bench, bench, url)
    run_with_rebuilds(restored, "dog", "cat")
    assert restored.runs() == 2
    problem = restored.desk.find_problem()
    assert problem is not None
    assert problem.kind == "ledger"
