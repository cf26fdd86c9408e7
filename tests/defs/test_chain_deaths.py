"""A chain of three paid stages whose process dies again and again: each stage is bought once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.orders.test_fault_points import (
    CALLS,
    STORE_STEPS,
    Died,
    Fate,
    Mortal,
    MortalLedger,
)
from tests.system.campaigns.bench import STEADY, Bench
from tests.system.campaigns.workshop import COLLECTION
from wiro_dagster.defs.model_result import ModelResult, plain_inputs
from wiro_dagster.defs.model_run import ModelRun
from wiro_dagster.defs.timing import WaitTiming
from wiro_dagster.emulator import Emulator
from wiro_dagster.orders import OrderContext, OrderDesk
from wiro_dagster.orders.models import Models
from wiro_dagster.prompts import load_prompt_rows
from wiro_dagster.store import FolderStore

DEATHS = 6
LONGEST_LIFE_STEPS = 60
OTHERS = COLLECTION
STAGES = ("picture", "clip", "large_clip")


def wish(stage: str, earlier: ModelResult | None) -> dict[str, Any]:
    """What a stage asks for; the file of the stage before it is an input."""
    row: dict[str, Any] = {
        "picture": {"model": "bytedance/seedream-v4-5", "prompt": "A fox"},
        "clip": {
            "model": "minimax/hailuo-2-3-fast",
            "prompt": "It runs",
            "inputs": {"inputImageFirst": earlier},
        },
        "large_clip": {"model": "emulator/upscale", "inputs": {"inputVideo": earlier}},
    }[stage]
    return {"id": "fox", **row, "inputs": plain_inputs(row.get("inputs", {}))}


@contextmanager
def process(bench: Bench, fate: Fate) -> Iterator[OrderContext]:
    """What a process has that dies at its fate's step."""
    ledger = MortalLedger(bench.workshop.ledger_url, clock=bench.clock)
    ledger.fate = fate
    with closing(bench.workshop.open_client()) as client, closing(ledger):
        mortal = Mortal(client, CALLS, fate)
        store = Mortal(FolderStore(bench.workshop.folder), STORE_STEPS, fate)
        yield bench.workshop.open_context(ledger=ledger, client=mortal, store=store, threads=1)


def make_chain(bench: Bench, fate: Fate) -> None:
    """All stages, one after the other, in one process."""
    timing = WaitTiming(sleep=lambda _seconds: pass_time(bench))
    with process(bench, fate) as context:
        models = Models(context.ledger, context.client)
        result: ModelResult | None = None
        for stage in STAGES:
            found = load_prompt_rows([wish(stage, result)], "chain", models.catalogue)
            assert not found.problems
            desk = OrderDesk(changed(context, stage))
            try:
                run = ModelRun(desk, found.prompts["fox"], timing=timing, log=lambda _line: None)
                result = run.finish()
            finally:
                desk.close()


def pass_time(bench: Bench) -> None:
    """Only by a younger task can Wiro's list prove that a lost POST bought nothing."""
    bench.advance(5.0)
    lost = [order.lost_since or 0.0 for order in bench.ledger.list_orders(states=["unknown"])]
    others = bench.ledger.list_orders(collection=OTHERS)
    if lost and max(lost) > max((order.created_at for order in others), default=0.0):
        bench.place(f"younger {len(others)}")
        bench.tick()
        bench.advance(10.0)


def changed(context: OrderContext, stage: str) -> OrderContext:
    values = {name: getattr(context, name) for name in OrderContext.__dataclass_fields__}
    return OrderContext(**{**values, "collection": stage})


def test_a_chain_that_dies_at_random_steps_buys_each_stage_once(
    emulator: Emulator, tmp_path: Path
) -> None:
    """`tests.system.campaigns.chain` does the same with processes and SIGKILL."""
    emulator.change_settings(task_seconds=5.0)
    chance = random.Random(1)
    bench = Bench(emulator, f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path / "videos")
    with closing(bench):
        deaths: Counter[str] = Counter()
        for _ in range(DEATHS):
            fate = Fate(chance.randint(1, LONGEST_LIFE_STEPS))
            with suppress(Died):
                make_chain(bench, fate)
            deaths[fate.steps[-1]] += fate.is_dead
            bench.advance(STEADY.timing.lease_seconds + 1)
        make_chain(bench, Fate())
        bench.settle()
        records = bench.ledger.list_submissions(with_task=True)
        bought = Counter(record.collection for record in records)
        assert {stage: bought[stage] for stage in STAGES} == dict.fromkeys(STAGES, 1), deaths
        assert bench.runs() == bought.total()
        bench.check_books()
