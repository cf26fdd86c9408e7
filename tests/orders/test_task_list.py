"""Wiro's list of tasks, and what makes it no proof."""

from __future__ import annotations

from pathlib import Path

from tests.system.campaigns.bench import Bench
from wiro_dagster.emulator import Emulator
from wiro_dagster.orders.task_list import list_tasks_since


def test_a_list_with_an_unreadable_entry_proves_no_absence(
    emulator: Emulator, tmp_path: Path
) -> None:
    """The other tasks are read; the entry may be the task that is looked for."""
    bench = Bench(emulator, f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path / "videos")
    emulator.script_task(outcome="stuck", times=None)
    for name in ("cat", "dog"):
        bench.place(name)
        bench.tick()
    known, odd = (str(bench.order(name).task_id) for name in ("cat", "dog"))
    assert "cannot be read" not in str(list_tasks_since(bench.desk.context, 0.0).doubts)
    emulator.override_task(odd, {"id": "x" * 300})
    listing = list_tasks_since(bench.desk.context, 0.0, expected=[known])
    assert [task.id for task in listing.tasks] == [known]
    assert "some of its entries cannot be read" in listing.doubts
    bench.close()
