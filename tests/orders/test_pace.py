"""How soon ends are seen, and how many calls that takes."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from tests.orders.conftest import OpenBench
from tests.system.campaigns.bench import Bench
from tests.system.campaigns.workshop import Workshop
from wiro_dagster.api.client import WiroClient
from wiro_dagster.api.types import Submission
from wiro_dagster.orders.allowance import Allowance
from wiro_dagster.orders.work import _deliver


@pytest.fixture
def bench(open_bench: OpenBench) -> Bench:
    return open_bench()


class WaitingClient:
    """A real client whose runs wait until something has happened.

    Args:
        real: does the work.
    """

    def __init__(self, real: WiroClient) -> None:
        self._real = real
        self.may_submit = threading.Event()
        self.may_submit.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def submit(self, *args: Any, **options: Any) -> Submission:
        assert self.may_submit.wait(60), "nothing else went on"
        return self._real.submit(*args, **options)


def test_a_slow_run_holds_no_sweep_and_no_download_back(open_bench: OpenBench) -> None:
    """Submissions, sweeps, downloads and deliveries of one tick go on side by side."""
    clients: list[WaitingClient] = []

    def parts(workshop: Workshop) -> dict[str, Any]:
        clients.append(WaitingClient(workshop.open_client()))
        return {"client": clients[0]}

    bench = open_bench(parts=parts)
    bench.place("early")
    bench.tick()
    bench.advance(6)
    bench.place("late")
    clients[0].may_submit.clear()

    def deliver() -> int:
        if bench.state("early") == "stored":
            clients[0].may_submit.set()
        return 0

    bench.desk.tick(time.monotonic() + 60, deliver=deliver)
    assert (bench.state("early"), bench.state("late")) == ("stored", "running")


def test_while_many_videos_come_home_one_report_follows_the_other() -> None:
    """Few of them wait for a second, so that what each report costs is shared."""
    counts = iter((50, 20, 19, 50))
    _deliver(lambda: next(counts))
    assert list(counts) == [50]


def test_the_first_end_of_a_batch_says_when_the_others_are_worth_a_look(bench: Bench) -> None:
    """The others of its model are not looked at before they may be done."""
    bench.emulator.change_settings(task_seconds=100.0)
    bench.place("first")
    bench.tick()
    bench.advance(60)
    bench.place("second")
    bench.tick()
    submitted_at = bench.now
    for _ in range(12):
        bench.advance(5)
        bench.tick()
    assert bench.state("first") == "stored"
    assert (bench.order("second").due_at or 0.0) - submitted_at >= 80.0


def test_what_a_quiet_time_leaves_over_may_be_read_in_one_burst() -> None:
    """After a quiet minute 60 pages at once, and 60 a minute in the long run."""
    allowance = Allowance(60, now=0.0)
    now, pages, pauses = 60.0, 0, []
    while now < 660.0:
        pages += 10
        pauses.append(max(3.0, allowance.spend(10, now)))
        now += pauses[-1]
    assert pauses[:4] == [3.0] * 4
    assert 600 <= pages <= 670


def test_many_due_tasks_are_read_without_a_longer_pause() -> None:
    """Tasks of a model that we know nothing of are all due from the start, and their ends count."""
    allowance = Allowance(60, now=0.0)
    pauses = [allowance.spend(10, 3.0 * sweep, at_least=200.0) for sweep in range(100)]
    assert max(pauses) <= 3.0


def test_a_look_that_falls_due_before_the_next_sweep_is_taken_now(bench: Bench) -> None:
    """It would wait for the sweep after that one, and its end be seen so much later."""
    placed = [bench.place(name) for name in ("soon", "later")]
    bench.tick()
    pause = bench.desk.context.policy.timing.sweep_pause_seconds
    for order, seconds in zip(placed, (0.4 * pause, 1.4 * pause), strict=True):
        bench.ledger.put_off_looks([order.id], due_at=bench.now + seconds)
    account = bench.desk.context.account
    found = bench.ledger.list_followed(account, limit=10, ahead_seconds=0.5 * pause)
    assert [order.partition for order in found] == ["soon"]
