"""Chains of three paid stages, killed at random: picture, video from it, larger video.

    python -m tests.system.campaigns.chain --scenes 8 --kills 50 --seed 1

Each run worker is a process of its own and dies by SIGKILL at a random moment; the next run of the
scene goes on. Then every scene is run to its end. Exit status 1 if a stage was bought twice, or
anything else is off.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import dagster as dg

from tests.model.record import record
from tests.system.campaigns.chain_project import STAGES, Place, materialize_chain
from tests.system.campaigns.figures import Figures, compare
from wiro_dagster.emulator import Emulator
from wiro_dagster.ledger import Ledger
from wiro_dagster.ledger.costs import CostRow, add_up_costs

_PROCESSES = get_context("forkserver")
_LAST = "last"
_END_SECONDS = 300.0


@dataclass(frozen=True)
class Chains:
    """One campaign.

    Args:
        scenes: how many chains.
        kills: how many runs are killed.
        seed: of the choices and moments.
        at_once: how many runs work at the same time.
        longest_life_seconds: how long a run works at most, before it is killed.
        task_seconds: how long an emulated task runs.
    """

    scenes: int
    kills: int
    seed: int
    at_once: int = 2
    longest_life_seconds: float = 4.0
    task_seconds: float = 0.5


@dataclass(frozen=True)
class ChainFigures:
    """What came out.

    Args:
        figures: of the ledger and the store, compared with the emulator's.
        bought: how many tasks each stage of each scene has.
        killed_at: for each state, how often a kill left an order in it.
        costs: by stage.
        shown: materializations of the last stage, one or more for each scene.
        seconds: how long it took.
    """

    figures: Figures
    bought: dict[tuple[str, str], int]
    killed_at: dict[str, int]
    costs: list[CostRow]
    shown: int
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether each stage was bought once for each scene, and everything agrees."""
        return (
            self.figures.is_right
            and len(self.bought) == self.figures.prompts == self.figures.owned
            and set(self.bought.values()) == {1}
            and self.shown * len(STAGES) == self.figures.prompts
        )

    def __str__(self) -> str:
        costs = "; ".join(f"{row.orders} {row.name}, {row.spent_usd:f} USD" for row in self.costs)
        rows = (
            ("stages of a scene", len(self.bought)),
            ("most tasks of one of them", max(self.bought.values(), default=0)),
            ("scenes shown in Dagster", self.shown),
            ("runs killed, by what they left", self.killed_at),
            ("costs by stage", costs),
            ("took", f"{self.seconds:.0f} s"),
        )
        lines = (f"{name:>30}: {value}" for name, value in rows)
        return "\n".join([str(self.figures), *lines])


@dataclass
class Runs:
    """Run workers, each a process of its own.

    Args:
        place: of the project.
        at_once: how many at the same time.
    """

    place: Place
    at_once: int
    workers: dict[str, BaseProcess] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)

    def start(self, wanted: Sequence[str]) -> None:
        """Start runs of scenes that are not done, as many as may work at once."""
        for scene, worker in list(self.workers.items()):
            if not worker.is_alive():
                del self.workers[scene]
                if worker.exitcode == 0:
                    self.done.add(scene)
        for scene in wanted:
            if scene in self.done or scene in self.workers or len(self.workers) >= self.at_once:
                continue
            self._begun(scene).unlink(missing_ok=True)
            worker = _PROCESSES.Process(
                target=materialize_chain, args=(self.place, scene, self._begun(scene))
            )
            worker.start()
            self.workers[scene] = worker

    def wait_until_begun(self, scene: str) -> None:
        """Wait until a worker's imports are over: a kill before that would hit nothing."""
        worker = self.workers[scene]
        while worker.is_alive() and not self._begun(scene).exists():
            time.sleep(0.02)

    def _begun(self, scene: str) -> Path:
        return self.place.folder / f"{scene}.begun"

    def kill(self, scene: str) -> None:
        """SIGKILL."""
        worker = self.workers.pop(scene)
        worker.kill()
        worker.join()

    def stop(self) -> None:
        """End every run."""
        for scene in list(self.workers):
            self.kill(scene)


def run_chains(chains: Chains) -> ChainFigures:
    """Run one campaign to its end."""
    started = time.monotonic()
    _PROCESSES.set_forkserver_preload(["tests.system.campaigns.chain_project"])
    scenes = [f"s{number}" for number in range(chains.scenes)]
    with (
        tempfile.TemporaryDirectory(prefix="wiro-chain-", ignore_cleanup_errors=True) as name,
        Emulator.start(
            task_seconds=chains.task_seconds, tiny_videos=True, balance_usd="100000"
        ) as emulator,
    ):
        place = Place(Path(name), emulator.base_url, emulator.cdn_host)
        place.home.mkdir()
        (place.home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        ledger = Ledger(place.ledger_url)
        record(ledger)
        with dg.DagsterInstance.from_config(str(place.home)) as instance:
            instance.add_dynamic_partitions("scenes", [*scenes, _LAST])
            runs = Runs(place, chains.at_once)
            try:
                killed_at = _kill_at_random(chains, runs, ledger, scenes)
                _run_to_the_end(runs, [*scenes, _LAST])
            finally:
                runs.stop()
            shown = instance.get_materialized_partitions(STAGES[-1].key)
        prompts = (chains.scenes + 1) * len(STAGES)
        figures = compare(emulator, ledger, place.folder / "videos", prompts=prompts)
        orders = {order.id: order for order in ledger.list_orders()}
        records = ledger.list_submissions(with_task=True)
        bought = Counter(
            (orders[record.order_id].collection, orders[record.order_id].partition)
            for record in records
        )
        costs = add_up_costs(ledger, "collection")
        ledger.close()
    seconds = time.monotonic() - started
    return ChainFigures(figures, dict(bought), dict(killed_at), costs, len(shown), seconds)


def _kill_at_random(
    chains: Chains, runs: Runs, ledger: Ledger, scenes: Sequence[str]
) -> Counter[str]:
    """Let runs work, and kill one after the other. Later scenes come in as the kills go on."""
    chance = random.Random(chains.seed)
    killed_at: Counter[str] = Counter()
    for number in range(chains.kills):
        begun = max(chains.at_once, round((number + 1) / chains.kills * len(scenes)))
        wanted = list(scenes[:begun])
        chance.shuffle(wanted)
        runs.start(wanted)
        if not runs.workers:  # every scene that has begun is done
            runs.done.discard(chance.choice(wanted))
            runs.start(wanted)
        scene = chance.choice(sorted(runs.workers))
        runs.wait_until_begun(scene)
        time.sleep(chance.uniform(0.0, chains.longest_life_seconds))
        runs.kill(scene)
        orders = ledger.list_orders(partitions=[scene])
        stage = f"{orders[-1].collection} {orders[-1].state}" if orders else "nothing ordered"
        killed_at[stage] += 1
    return killed_at


def _run_to_the_end(runs: Runs, wanted: Sequence[str]) -> None:
    """Run every scene until it succeeds. The last one also makes tasks that are younger than all.

    Only by a younger task can Wiro's list prove that a lost POST bought nothing.
    """
    deadline = time.monotonic() + _END_SECONDS
    runs.at_once += 1
    while len(runs.done) < len(wanted) and time.monotonic() < deadline:
        # Scenes that wait for the proof must not keep the one out that brings it.
        runs.start([_LAST, *wanted])
        time.sleep(0.1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a campaign from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    found = run_chains(Chains(options.scenes, options.kills, options.seed))
    print(f"chain, seed {options.seed}\n{found}", flush=True)
    return 0 if found.is_right else 1


if __name__ == "__main__":
    sys.exit(main())
