"""Rules that need many tasks: on the emulator without sockets they are cheap."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from tests.simulation.emulator import SimulatedEmulator
from tests.system.campaigns.bench import STEADY
from tests.system.campaigns.workshop import MODEL
from wiro_dagster.ledger.budget import BudgetLimits


def test_an_account_with_more_tasks_than_one_audit_reads_is_audited_in_parts(
    tmp_path: Path,
) -> None:
    """The oldest of 215 tasks is unexplained: ten pages of twenty do not show it, the next do."""
    with closing(SimulatedEmulator(tmp_path)) as emulator:
        url = f"sqlite:///{tmp_path / 'ledger.db'}"
        limits = BudgetLimits()
        with closing(emulator.open_bench(url, tmp_path, policy=STEADY, limits=limits)) as bench:
            bench.advance(60)
            stray = emulator.add_foreign_task(model=MODEL, inputs={"prompt": "theirs"})
            for _ in range(214):
                emulator.add_foreign_task(
                    model=MODEL, inputs={"prompt": "theirs"}, callback_url="https://theirs.example"
                )
            emulator.begin_world("list_ignores_limit")
            bench.run(720, step=60)
            account = bench.desk.context.account
            assert [found.task_id for found in bench.ledger.list_strays(account)] == [stray]
