"""Files that are paid for: fetched whole, verified, and not given up while they can be had."""

from __future__ import annotations

import errno
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.system.campaigns.bench import STEADY, Bench
from wiro_dagster.emulator import Emulator
from wiro_dagster.errors import StoreError
from wiro_dagster.ledger import Order
from wiro_dagster.store import FolderStore

FAULTS = [
    "file_drop",
    "file_cut",
    "file_short",
    "file_long_length",
    "file_short_length",
    "file_no_length_cut",
    "file_empty",
    "file_html",
    "file_garbage",
    "file_not_found",
    "file_forbidden",
    "file_http_500",
    "file_redirect_elsewhere",
    "file_stall",
]
WHOLE = ("file_garbage", "file_html", "file_empty", "file_short")
"""Faults that send another file of the length they announce."""


class BrokenStore(FolderStore):
    """A store that fails for a while, as a full disk or a lost share does."""

    def __init__(self, root: Path, error: Exception, failing: list[str]) -> None:
        super().__init__(root)
        self._error = error
        self.failing = failing

    def _fail(self, name: str) -> None:
        if name in self.failing:
            raise self._error

    @contextmanager
    def staging(self) -> Iterator[Path]:
        self._fail("staging")
        with super().staging() as staged:
            yield staged

    def commit(self, staged: Path, key: str, **options: Any) -> str:
        self._fail("commit")
        return super().commit(staged, key, **options)

    def find_size(self, key: str) -> int | None:
        self._fail("find_size")
        return super().find_size(key)


def open_bench(emulator: Emulator, tmp_path: Path, **options: Any) -> Bench:
    return Bench(emulator, f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path / "videos", **options)


@pytest.fixture
def bench(emulator: Emulator, tmp_path: Path) -> Iterator[Bench]:
    opened = open_bench(emulator, tmp_path)
    yield opened
    opened.close()


def finish_task(bench: Bench, name: str = "cat") -> Order:
    """An order whose task has ended, before its first download."""
    order = bench.place(name)
    bench.tick()
    bench.advance(2)
    return order


@pytest.mark.parametrize("kind", FAULTS)
def test_a_spoiled_download_is_tried_again(emulator: Emulator, tmp_path: Path, kind: str) -> None:
    """Whatever came, it is not taken for the video; the next tries bring the right one."""
    # Only what comes whole has to be decoded to be found out.
    policy = STEADY if kind in WHOLE else replace(STEADY, verify="bytes")
    bench = open_bench(emulator, tmp_path, policy=policy)
    bench.emulator.script_fault(kind, times=2, seconds=0.2)
    finish_task(bench)
    bench.tick()
    order = bench.order("cat")
    assert (order.state, order.attempts) == ("finished", 1)
    assert order.error
    (order,) = bench.settle()
    assert order.state == "delivered"
    bench.check_books()
    bench.close()


@pytest.mark.parametrize("kind", ["file_no_length", "file_redirect"])
def test_an_honest_detour_is_no_fault(bench: Bench, kind: str) -> None:
    """No length, or a redirect within the CDN: the file is there at once."""
    bench.emulator.script_fault(kind)
    finish_task(bench)
    bench.tick()
    assert bench.state("cat") == "stored"


def test_tries_grow_apart(bench: Bench) -> None:
    """A file that cannot be had is not asked for in a loop."""
    bench.emulator.script_fault("file_http_500", times=None)
    finish_task(bench)
    for _ in range(60):
        bench.tick()
        bench.advance(10)
    tries = len(bench.emulator.journal(kind="download"))
    assert 5 <= tries <= 11


def test_a_file_that_cannot_be_had_is_given_up_late_and_can_be_recovered(
    bench: Bench,
) -> None:
    """Given up a day after its task ended, on the books with its cost; a person may try again."""
    bench.emulator.script_fault("file_not_found", times=None)
    finish_task(bench)
    bench.tick()
    bench.advance(STEADY.timing.sure_gone_seconds - 700)
    bench.tick()
    assert bench.state("cat") == "finished"
    (order,) = bench.settle(5000)
    assert order.state == "uncollected"
    assert order.cost_usd == bench.emulator.spent_usd() > 0
    assert "404" in str(order.error)
    bench.emulator.clear_faults()
    assert bench.ledger.recover(order.id)
    (order,) = bench.settle()
    assert (order.state, bench.runs()) == ("delivered", 1)
    bench.check_books()


def test_ordering_a_given_up_video_again_fetches_it_and_buys_nothing(bench: Bench) -> None:
    """It is paid for already."""
    bench.emulator.script_fault("file_not_found", times=None)
    finish_task(bench)
    bench.tick()
    bench.advance(STEADY.timing.sure_gone_seconds)
    (order,) = bench.settle(5000)
    assert order.state == "uncollected"
    bench.emulator.clear_faults()
    bench.place("cat")
    (order,) = bench.settle()
    assert (order.state, bench.runs()) == ("delivered", 1)


def test_a_file_above_the_limit_waits_for_the_limit(emulator: Emulator, tmp_path: Path) -> None:
    """Told, never given up, no reason to stop buying; it comes once the limit is raised."""
    bench = open_bench(emulator, tmp_path, policy=replace(STEADY, max_file_bytes=100))
    finish_task(bench)
    bench.tick()
    bench.advance(2 * STEADY.timing.sure_gone_seconds)
    for _ in range(6):
        bench.tick()
        bench.advance(700)
    assert bench.state("cat") == "finished"
    assert bench.desk.find_problem() is None
    (told,) = bench.told()
    assert "max_file_bytes" in told
    assert "as long as Wiro still has" in told
    assert not list((tmp_path / "videos").rglob("*.mp4"))
    bench.close()
    raised = open_bench(emulator, tmp_path)
    raised.settle()
    assert (raised.state("cat"), raised.runs()) == ("delivered", 1)
    raised.close()


@pytest.mark.parametrize("step", ["staging", "commit", "find_size"])
@pytest.mark.parametrize(
    "error",
    [StoreError("The bucket cannot be reached."), OSError(errno.ENOSPC, "No space left")],
    ids=["unreachable", "full"],
)
def test_a_store_that_fails_is_waited_for(
    emulator: Emulator, tmp_path: Path, step: str, error: Exception
) -> None:
    """Disk full or store away: the video waits on the CDN, and comes when the store is back."""
    store = BrokenStore(tmp_path / "videos", error, [step])
    bench = open_bench(emulator, tmp_path, parts=lambda _workshop: {"store": store})
    store.failing.clear()
    finish_task(bench)
    store.failing.append(step)
    for _ in range(5):
        bench.tick()
        bench.advance(10)
    assert bench.state("cat") == "finished"
    store.failing.clear()
    (order,) = bench.settle()
    assert (order.state, bench.runs()) == ("delivered", 1)
    bench.check_books()
    bench.close()


def test_a_store_that_takes_no_witness_stops_buying(emulator: Emulator, tmp_path: Path) -> None:
    """What is bought must be on record outside the ledger too, before the first byte is sent."""
    error = StoreError("The bucket cannot be reached.")
    store = BrokenStore(tmp_path / "videos", error, ["staging"])
    bench = open_bench(emulator, tmp_path, parts=lambda _workshop: {"store": store})
    bench.place("cat")
    report = bench.tick()
    assert "cannot be written" in str(report.closed_reason)
    assert (bench.state("cat"), bench.calls("Run")) == ("ordered", 0)
    problem = bench.desk.find_problem()
    assert problem is not None
    assert problem.kind == "evidence"
    store.failing.clear()
    (order,) = bench.settle()
    assert (order.state, bench.runs()) == ("delivered", 1)
    assert bench.desk.find_problem() is None
    bench.close()


def test_a_surprise_while_storing_is_told_and_tried_again(
    emulator: Emulator, tmp_path: Path
) -> None:
    """Even an error that nobody foresaw neither stops the tick nor loses the order."""
    store = BrokenStore(tmp_path / "videos", ZeroDivisionError("odd"), ["commit"])
    bench = open_bench(emulator, tmp_path, parts=lambda _workshop: {"store": store})
    finish_task(bench)
    bench.tick()
    assert bench.order("cat").error == "ZeroDivisionError: odd"
    store.failing.clear()
    bench.settle()
    assert bench.state("cat") == "delivered"
    bench.close()


def test_several_files_are_all_fetched_or_the_order_waits(bench: Bench) -> None:
    """One spoiled file of two holds the order back; both are there in the end."""
    bench.emulator.script_task(outputs=2, same_names=True)
    bench.emulator.script_fault("file_cut", skip=1)
    finish_task(bench)
    bench.tick()
    assert bench.state("cat") == "finished"
    (order,) = bench.settle()
    assert len(order.files) == 2
    bench.check_books()


class SlowStore(FolderStore):
    """A store that takes its time."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.may_go_on = threading.Event()

    def commit(self, staged: Path, key: str, **options: Any) -> str:
        assert self.may_go_on.wait(60)
        return super().commit(staged, key, **options)


def wait_for_renewal(bench: Bench, lease_seconds: float) -> None:
    """Wait until the thread that keeps leases has renewed the one of the order."""
    until = time.monotonic() + 60
    while (bench.order("cat").due_at or 0.0) < bench.now + lease_seconds:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_slow_download_outlives_its_tick_and_keeps_its_claim(
    emulator: Emulator, tmp_path: Path
) -> None:
    """A tick does not wait for it; no other process fetches the same file meanwhile."""
    lease_seconds = 0.4
    policy = replace(STEADY, timing=replace(STEADY.timing, lease_seconds=lease_seconds))
    store = SlowStore(tmp_path / "videos")
    bench = open_bench(emulator, tmp_path, policy=policy, parts=lambda _workshop: {"store": store})
    store.may_go_on.set()
    finish_task(bench)
    store.may_go_on.clear()
    while bench.desk.tick(time.monotonic() + 0.2).collected == 0:
        pass  # a busy machine has spent its time before it came to the downloads
    other = open_bench(emulator, tmp_path, policy=policy)
    for _ in range(3):
        bench.advance(0.9 * lease_seconds)
        wait_for_renewal(bench, lease_seconds)
        other.now = bench.now
        assert other.tick().collected == 0
    store.may_go_on.set()
    bench.settle()
    assert (bench.state("cat"), len(emulator.journal(kind="download"))) == ("delivered", 1)
    other.close()
    bench.close()


def test_a_file_that_is_gone_from_the_store_is_fetched_again(bench: Bench) -> None:
    """While Wiro has it, losing ours costs a download."""
    bench.place("cat")
    bench.settle()
    for path in bench.workshop.folder.glob("*.mp4"):
        path.unlink()
    bench.place("cat")
    bench.settle()
    assert bench.runs() == 1
    bench.check_books()


def test_files_that_are_back_in_the_store_are_not_lost(bench: Bench, tmp_path: Path) -> None:
    """A disk that was not mounted, while Wiro has no files any more: the video is still ours."""
    bench.place("cat")
    bench.settle()
    videos, away = bench.workshop.folder, tmp_path / "away"
    videos.rename(away)
    bench.emulator.script_fault("file_not_found", times=None)
    bench.advance(2 * STEADY.timing.sure_gone_seconds)
    bench.place("cat")
    (order,) = bench.settle(5000)
    assert order.state == "uncollected"
    shutil.rmtree(videos, ignore_errors=True)
    away.rename(videos)
    downloads = len(bench.emulator.journal(kind="download"))
    bench.place("cat")
    (order,) = bench.settle()
    assert (order.state, bench.runs()) == ("delivered", 1)
    assert len(bench.emulator.journal(kind="download")) == downloads
    bench.emulator.clear_faults()
    bench.check_books()


def test_no_api_header_goes_to_the_file_host(bench: Bench) -> None:
    """Keys and signatures are for the API only."""
    bench.place("cat")
    bench.settle()
    assert "leak" not in str(bench.emulator.journal(kind="download")).lower()


@pytest.mark.parametrize("kind", ["file_short", "file_no_length_cut"])
def test_a_short_file_is_refused_however_many_tries_failed_before(bench: Bench, kind: str) -> None:
    """Half a file may still play: faults of another kind are no reason to believe it."""
    bench.emulator.script_fault("file_http_500", times=6)
    bench.emulator.script_fault(kind, times=2)
    bench.place("cat")
    bench.settle()
    assert bench.state("cat") == "delivered"
    bench.check_books()
