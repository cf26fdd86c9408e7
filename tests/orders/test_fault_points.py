"""Death before and after each durable step of a tick: nothing is paid twice, nothing is lost.

A clean run counts every write to the ledger, call to Wiro and use of the store. Then the same work
is done once for each of these points, by a process that dies there; a fresh process finishes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection

from tests.support.postgres import postgres_database
from tests.system.campaigns.bench import STEADY, Bench
from tests.system.campaigns.workshop import ACCOUNT, Workshop
from wiro_dagster.api.client import WiroClient
from wiro_dagster.emulator import Emulator
from wiro_dagster.ledger import Ledger
from wiro_dagster.store import FolderStore

NAMES = ("first", "second")


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


def open_mortal(emulator: Emulator, ledger_url: str, folder: Path, fate: Fate) -> Bench:
    """A process that may die at any step."""

    def parts(workshop: Workshop) -> dict[str, Any]:
        ledger = MortalLedger(ledger_url, clock=workshop.clock)
        ledger.fate = fate
        return {
            "ledger": ledger,
            "client": Mortal(workshop.open_client(), CALLS, fate),
            "store": Mortal(FolderStore(folder), STORE_STEPS, fate),
            "threads": 1,  # one request at a time: a step has the same number in every run
        }

    return Bench(emulator, ledger_url, folder, parts=parts)


def check(emulator: Emulator, ledger_url: str, folder: Path, fate: Fate) -> None:
    """Works until death, then has a fresh process finish, and compares everything."""
    emulator.reset()
    mortal = open_mortal(emulator, ledger_url, folder, fate)
    with suppress(Died):
        for name in NAMES:
            mortal.place(name)
        mortal.settle()
    mortal.close()
    bench = Bench(emulator, ledger_url, folder)
    names = finish(bench)
    orders = bench.settle()
    where = f"died at step {len(fate.steps)}: {fate.steps[-1]}"
    assert {order.state for order in orders} == {"delivered"}, where
    assert bench.runs() == len(orders) == len(names), where
    bench.check_books()
    bench.close()


def finish(bench: Bench) -> tuple[str, ...]:
    """Order what a dead process had, and what it takes to go on. Return the names of all orders."""
    for name in NAMES:
        bench.place(name)
    bench.tick()
    bench.advance(STEADY.timing.lease_seconds + 1)
    bench.tick()
    if not bench.ledger.list_unanswered(ACCOUNT):
        return NAMES
    # An order that died at its POST is sent only when the list shows a younger task of ours.
    bench.advance(10)
    bench.place("younger")
    return (*NAMES, "younger")


def test_death_at_any_step_neither_pays_twice_nor_loses(emulator: Emulator, tmp_path: Path) -> None:
    """One task an order, all delivered, bytes and books equal, wherever the process dies."""
    clean = Fate()
    check(emulator, f"sqlite:///{tmp_path / 'clean.db'}", tmp_path / "clean", clean)
    assert {"ledger", "submit", "list_tasks", "download", "commit", "write_note"} <= set(
        clean.steps
    )
    # To die after a step is to die before the next one: the same things have lasted by then.
    for dies_at in range(1, len(clean.steps) + 1):
        path = tmp_path / f"point{dies_at}"
        check(emulator, f"sqlite:///{path}.db", path, Fate(dies_at))


def test_death_around_a_post_is_the_same_on_postgresql(
    emulator: Emulator, postgres_uri: str, tmp_path: Path
) -> None:
    """The two databases lock differently: before and after each POST, and at the last step."""
    clean = Fate()
    with postgres_database(postgres_uri) as url:
        check(emulator, url, tmp_path / "clean", clean)
    posts = [number for number, step in enumerate(clean.steps, 1) if step == "submit"]
    for dies_at in (*posts, *(number + 1 for number in posts), len(clean.steps)):
        with postgres_database(postgres_uri) as url:
            check(emulator, url, tmp_path / f"point{dies_at}", Fate(dies_at))


def test_mortal_parts_have_the_methods_they_stand_for() -> None:
    """A renamed method must not silently stop being a fault point."""
    assert all(hasattr(WiroClient, name) for name in CALLS)
    assert all(hasattr(FolderStore, name) for name in STORE_STEPS)
