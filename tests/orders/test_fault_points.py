"""Death before and after each durable step of a tick: nothing is paid twice, nothing is lost.

A clean run counts every write to the ledger, call to Wiro and use of the store. Then the same work
is done once for each of these points, by a process that dies there; a fresh process finishes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection

from tests.support.ledger_files import new_ledger_url
from tests.support.postgres import ReusedDatabase
from tests.system.campaigns.bench import STEADY, Bench
from tests.system.campaigns.workshop import ACCOUNT, Workshop
from wiro_dagster.api.client import WiroClient
from wiro_dagster.emulator import Emulator
from wiro_dagster.ledger import Ledger
from wiro_dagster.orders import OrderPolicy
from wiro_dagster.store import FolderStore

BYTES = replace(STEADY, verify="bytes")
"""Decoding a video is no step that lasts."""


class Died(BaseException):
    """What `kill -9` is to a process: nothing after it has any effect."""


class Fate:
    """Counts steps, and lets the process die before one of them.

    Args:
        dies_at: number of the step, from 1; 0 = never.
    """

    def __init__(self, dies_at: int = 0) -> None:
        self._dies_at = dies_at
        self._lock = threading.Lock()
        self.steps: list[str] = []

    @property
    def is_dead(self) -> bool:
        return 0 < self._dies_at <= len(self.steps)

    def take_step(self, name: str) -> None:
        with self._lock:
            if not self.is_dead:
                self.steps.append(name)
            if self.is_dead:
                raise Died

    def wrap(self, name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*args: Any, **options: Any) -> Any:
            self.take_step(name)
            return step(*args, **options)

        return stepped


class MortalLedger(Ledger):
    """A ledger whose process may die before each of its transactions."""

    fate = Fate()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        self.fate.take_step("ledger")
        with super().writing() as connection:
            yield connection


class Mortal:
    """Something whose methods are steps.

    Args:
        real: what does the work.
        names: of its methods that are steps.
        fate: decides.
    """

    def __init__(self, real: Any, names: tuple[str, ...], fate: Fate) -> None:
        self._real = real
        self._names = names
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        return self._fate.wrap(name, found) if name in self._names else found


CALLS = ("submit", "get_task", "list_tasks", "cancel_task", "kill_task", "get_model", "download")
STORE_STEPS = (
    "staging",
    "commit",
    "find_size",
    "local_copy",
    "write_note",
    "read_note",
    "list_notes",
)


@dataclass(frozen=True)
class Scene:
    """Where a process dies and another one goes on: a ledger, a video store, and the orders."""

    emulator: Emulator
    ledger_url: str
    folder: Path
    names: tuple[str, ...] = ("first", "second")
    policy: OrderPolicy = BYTES

    def open_mortal(self, fate: Fate) -> Bench:
        """A process that may die at any step."""

        def parts(workshop: Workshop) -> dict[str, Any]:
            ledger = MortalLedger(self.ledger_url, clock=workshop.clock)
            ledger.fate = fate
            return {
                "ledger": ledger,
                "client": Mortal(workshop.open_client(), CALLS, fate),
                "store": Mortal(FolderStore(self.folder), STORE_STEPS, fate),
                "threads": 1,  # one request at a time: a step has the same number in every run
            }

        return Bench(self.emulator, self.ledger_url, self.folder, parts=parts, policy=self.policy)

    def play(self, fate: Fate) -> None:
        """Work until death, have a fresh process finish, and compare everything."""
        self.emulator.reset()
        mortal = self.open_mortal(fate)
        with suppress(Died):
            for name in self.names:
                mortal.place(name)
            mortal.settle()
        mortal.close()
        bench = Bench(self.emulator, self.ledger_url, self.folder, policy=self.policy)
        names = self.go_on(bench)
        orders = bench.settle()
        where = f"died at step {len(fate.steps)}: {fate.steps[-1]}"
        assert {order.state for order in orders} == {"delivered"}, where
        assert bench.runs() == len(orders) == len(names), where
        bench.check_books()
        bench.close()

    def go_on(self, bench: Bench) -> tuple[str, ...]:
        """Order what the dead process had, and what it takes to go on; the names of all orders."""
        for name in self.names:
            bench.place(name)
        bench.tick()
        bench.advance(STEADY.timing.lease_seconds + 1)
        bench.tick()
        if not bench.ledger.list_unanswered(ACCOUNT):
            return self.names
        # An order that died at its POST is sent only when the list shows a younger task of ours.
        bench.advance(10)
        bench.place("younger")
        return (*self.names, "younger")


def play_on_sqlite(emulator: Emulator, folder: Path, fate: Fate, **scene: Any) -> None:
    Scene(emulator, new_ledger_url(folder.with_suffix(".db")), folder, **scene).play(fate)


def test_death_at_any_step_neither_pays_twice_nor_loses(emulator: Emulator, tmp_path: Path) -> None:
    """One task an order, all delivered, bytes and books equal, wherever the process dies."""
    clean = Fate()
    play_on_sqlite(emulator, tmp_path / "clean", clean)
    assert {"ledger", "submit", "list_tasks", "download", "commit", "write_note"} <= set(
        clean.steps
    )
    # To die after a step is to die before the next one: the same things have lasted by then.
    for dies_at in range(1, len(clean.steps) + 1):
        play_on_sqlite(emulator, tmp_path / f"point{dies_at}", Fate(dies_at))


def test_death_between_a_video_and_its_pictures_loses_neither(
    emulator: Emulator, tmp_path: Path
) -> None:
    """Preview and poster are stored after the video: at each of these steps too."""
    clean, scene = Fate(), {"names": ("first",), "policy": STEADY}
    play_on_sqlite(emulator, tmp_path / "clean", clean, **scene)
    commits = [number for number, step in enumerate(clean.steps, 1) if step == "commit"]
    assert len(commits) == 3
    for dies_at in range(commits[0] + 1, commits[-1] + 2):
        play_on_sqlite(emulator, tmp_path / f"point{dies_at}", Fate(dies_at), **scene)


def test_death_around_a_post_is_the_same_on_postgresql(
    emulator: Emulator, reused_database: ReusedDatabase, tmp_path: Path
) -> None:
    """The two databases lock differently: before and after each POST, and at the last step."""

    def play(name: str, fate: Fate) -> None:
        Scene(emulator, reused_database.forget(), tmp_path / name).play(fate)

    clean = Fate()
    play("clean", clean)
    posts = [number for number, step in enumerate(clean.steps, 1) if step == "submit"]
    for dies_at in (*posts, *(number + 1 for number in posts), len(clean.steps)):
        play(f"point{dies_at}", Fate(dies_at))


def test_mortal_parts_have_the_methods_they_stand_for() -> None:
    """A renamed method must not silently stop being a fault point."""
    assert all(hasattr(WiroClient, name) for name in CALLS)
    assert all(hasattr(FolderStore, name) for name in STORE_STEPS)
