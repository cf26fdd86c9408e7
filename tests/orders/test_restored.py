"""A ledger that was restored from a backup: what was bought since is found, never bought again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.orders.conftest import OpenBench
from tests.system.campaigns.bench import STEADY, Bench
from tests.system.campaigns.workshop import make_prompt
from wiro_dagster.ledger.budget import BudgetLimits
from wiro_dagster.orders import OrderContext
from wiro_dagster.orders.permission import record_purchase
from wiro_dagster.orders.witness import list_witnesses
from wiro_dagster.store import FolderStore

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


def test_a_store_that_was_the_wrong_one_stops_buying_until_it_is_right(
    open_bench: OpenBench,
) -> None:
    """Another ledger bought into it. With the right store again, nothing has to be rebuilt."""
    other, bench = open_bench("other"), open_bench("right")
    other.place("dog")
    other.tick()
    url = str(bench.ledger.engine.url)
    wrong = open_bench("other", ledger_url=url)
    wrong.place("cat")
    wrong.tick()
    assert wrong.desk.find_problem() is not None
    assert wrong.runs() == 1
    wrong.advance(200)
    right = open_bench("right", ledger_url=url)
    right.settle()
    assert right.desk.find_problem() is None
    assert (right.state("cat"), right.runs()) == ("delivered", 2)


def test_a_witness_that_agrees_again_is_heard_though_nothing_waits(open_bench: OpenBench) -> None:
    """Otherwise the check stays red until somebody orders."""
    bench = open_bench()
    bench.ledger.note_witness("store", "It is older than its witness.")
    bench.tick()
    assert bench.desk.find_problem() is None


def test_a_witness_takes_back_only_its_own_word(open_bench: OpenBench) -> None:
    """A task with a marker that is not on the books is no matter of the store."""
    bench = open_bench()
    bench.ledger.note_witness("task", "A task of ours is not on the books.")
    bench.ledger.note_witness("store", None)
    assert bench.desk.find_problem() is not None


class _SlowStore(FolderStore):
    """While it writes its first note, another process buys and writes its own."""

    def __init__(self, folder: Path, meanwhile: Callable[[], None]) -> None:
        super().__init__(folder)
        self._meanwhile: list[Callable[[], None]] = [meanwhile]

    def write_note(self, name: str, content: Mapping[str, Any]) -> None:
        if self._meanwhile:
            self._meanwhile.pop()()
        super().write_note(name, content)


def test_a_witness_is_never_set_back_by_a_slower_process(open_bench: OpenBench) -> None:
    """Two processes buy at once; whichever writes last, the witness knows of both purchases."""
    bench = open_bench()
    bench.place("cat")
    bench.place("dog")
    context = bench.desk.context

    def buy(context: OrderContext) -> None:
        admitted = context.gate.admit("video", BudgetLimits(), limit=1, lease_seconds=60)
        assert record_purchase(context, admitted.orders) is None

    store = _SlowStore(bench.workshop.folder, lambda: buy(context))
    buy(replace(context, store=store))
    (witness,) = list_witnesses(context)
    assert witness["sequence"] == bench.ledger.identity().sequence == 2
