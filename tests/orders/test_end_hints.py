"""Hints of ends, followed between two ticks."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.decoders import close_decoders, list_decoders
from tests.support.waiting import wait_until
from tests.support.webhook import serve_app
from tests.system.campaigns.bench import Bench
from wiro_dagster.api.sockets import TaskSockets
from wiro_dagster.emulator import Emulator
from wiro_dagster.errors import LedgerError
from wiro_dagster.ledger import Ledger
from wiro_dagster.orders import OrderDesk, OrderPolicy
from wiro_dagster.orders.end_hints import EndHints
from wiro_dagster.orders.policy import Timing
from wiro_dagster.webhook import WebhookApp

# Without a hint, nothing is seen within the first five minutes.
PATIENT = OrderPolicy(timing=Timing(first_look_seconds=300.0, sweep_pause_seconds=3.0))
TASK_SECONDS = 5.0
OpenPatient = Callable[..., Bench]


class CountedHints(EndHints):
    """Hints that count how often a follower begins, and waits for them."""

    begun = waited = 0

    def switch_on(self) -> None:
        self.begun += 1
        super().switch_on()

    def wait(self, seconds: float, *, gather_seconds: float) -> set[str]:
        self.waited += 1
        return super().wait(seconds, gather_seconds=gather_seconds)


@pytest.fixture
def open_patient(emulator: Emulator, tmp_path: Path) -> Iterator[OpenPatient]:
    emulator.change_settings(task_seconds=TASK_SECONDS)
    with ExitStack() as opened:

        def open_one(hints: EndHints | None, **parts: Any) -> Bench:
            url = parts.pop("ledger_url", f"sqlite:///{tmp_path / 'ledger.db'}")
            options = {"hints": hints, **parts}
            bench = Bench(
                emulator, url, tmp_path / "videos", policy=PATIENT, parts=lambda _: options
            )
            return opened.enter_context(closing(bench))

        yield open_one


@pytest.fixture
def sockets(emulator: Emulator) -> Iterator[TaskSockets]:
    with closing(TaskSockets(emulator.websocket_url)) as made:
        yield made


def test_a_socket_brings_a_video_home_between_ticks(
    open_patient: OpenPatient, sockets: TaskSockets
) -> None:
    """The end is seen and the file is fetched; nothing is bought before the next tick."""
    bench = open_patient(EndHints(sockets))
    bench.desk.stay_awake(60)
    bench.place("cat")
    bench.tick()
    assert wait_until(lambda: sockets.count_open() == 1)
    bench.place("dog")
    bench.advance(TASK_SECONDS + 1)
    assert wait_until(lambda: bench.state("cat") == "stored")
    assert bench.state("dog") == "ordered"
    assert bench.runs() == 1
    assert wait_until(lambda: sockets.count_open() == 0)


def test_orders_between_ticks_are_sent_while_ticks_come(open_patient: OpenPatient) -> None:
    """Not before the first tick, which applies the settings, and not once the ticks end."""
    hints = CountedHints()
    bench = open_patient(hints)
    bench.place("cat")
    assert not bench.desk._look_between_ticks(buys=True)
    assert bench.runs() == 0
    bench.tick()
    bench.desk.stay_awake(60, buying_seconds=60)
    bench.place("dog")
    assert wait_until(lambda: bench.runs() == 2)
    bench.desk.stay_awake(60)
    before = hints.waited
    assert wait_until(lambda: hints.waited > before + 1), "a look that began before may send"
    bench.place("bird")
    bench.desk.close()
    assert bench.runs() == 2


def test_an_order_placed_a_moment_after_a_look_is_sent_by_the_next_one(
    open_patient: OpenPatient,
) -> None:
    """Other writes to the ledger, such as that a desk is at work, come right before orders."""
    bench = open_patient(EndHints())
    bench.tick()
    bench.desk._look_between_ticks(buys=True)
    bench.place("cat")
    bench.desk._look_between_ticks(buys=True)
    assert wait_until(lambda: bench.runs() == 1)


def test_a_task_of_an_earlier_process_is_listened_to_as_well(
    open_patient: OpenPatient, sockets: TaskSockets
) -> None:
    """The watch sees its token in the list."""
    before = open_patient(None)
    before.place("cat")
    before.tick()
    before.desk.release_watch()
    bench = open_patient(EndHints(sockets))
    bench.desk.stay_awake(60)
    assert sockets.count_open() == 0
    bench.ledger.make_due([bench.order("cat").id])
    bench.tick()
    assert wait_until(lambda: sockets.count_open() == 1)


def test_a_callback_brings_a_video_home_between_ticks(open_patient: OpenPatient) -> None:
    """The receiver makes the look due in the ledger, and that is found within a second or so."""
    first = open_patient(None)
    ledger = Ledger(first.workshop.ledger_url, clock=first.clock, is_real_time=False)
    with serve_app(WebhookApp(ledger)) as base_url:
        bench = open_patient(EndHints(), callback_base_url=base_url)
        bench.desk.stay_awake(60)
        bench.place("cat")
        bench.tick()
        bench.advance(TASK_SECONDS + 1)
        assert wait_until(lambda: bench.state("cat") == "stored")


def test_without_a_tick_nobody_listens(open_patient: OpenPatient, sockets: TaskSockets) -> None:
    """A run of `video` has its own sockets, and a sensor may have been stopped."""
    bench = open_patient(EndHints(sockets))
    bench.place("cat")
    bench.tick()
    time.sleep(0.05)
    assert sockets.count_open() == 0
    bench.desk.stay_awake(0.2)
    bench.place("dog")
    bench.tick()
    assert wait_until(lambda: not is_following(bench.desk))
    assert wait_until(lambda: sockets.count_open() == 0)


def test_sockets_that_fail_disturb_nothing(open_patient: OpenPatient, emulator: Emulator) -> None:
    """The tasks are followed as without them."""
    emulator.script_task(socket="refused", times=None)
    with closing(TaskSockets(emulator.websocket_url, pause_seconds=0.01)) as sockets:
        bench = open_patient(EndHints(sockets))
        bench.desk.stay_awake(60)
        bench.place("cat")
        bench.settle(400)
    assert bench.state("cat") == "delivered"


def test_a_task_whose_end_the_list_shows_is_listened_to_no_more(
    open_patient: OpenPatient, sockets: TaskSockets, emulator: Emulator
) -> None:
    """A socket that waits for its turn, or for a connection, need not be opened any more."""
    emulator.script_task(socket="refused", times=None)
    hints = EndHints(sockets)
    bench = open_patient(hints)
    bench.desk.stay_awake(60)
    bench.place("cat")
    bench.tick()
    assert len(hints.list_followed()) == 1
    bench.advance(TASK_SECONDS + 1)
    bench.ledger.make_due([bench.order("cat").id])
    bench.tick()
    assert hints.list_followed() == []


def test_hints_that_come_together_are_heard_together() -> None:
    """A batch ends within moments, and each look costs much the same for any number of tasks."""
    hints = EndHints()
    hints.hear("1")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: (time.sleep(0.02), hints.hear("2")))
        assert hints.wait(5.0, gather_seconds=2.0) == {"1", "2"}


def test_many_hints_at_one_task_bring_few_looks(open_patient: OpenPatient) -> None:
    """Between two looks at all that is due, 0.75 s apart, a hinted task is looked at once."""
    bench = open_patient(None)
    bench.place("cat")
    bench.place("dog")
    bench.tick()
    reads = []
    for seconds, name in ((0.0, "cat"), (0.4, "cat"), (0.2, "cat"), (0.12, "dog"), (0.4, "cat")):
        bench.advance(seconds)
        bench.ledger.make_due([bench.order(name).id])
        bench.desk.tick(time.monotonic() + 20, hurry=True)
        reads.append(bench.calls("Task/List"))
    assert reads == [1, 2, 2, 3, 4]
    bench.advance(1)
    bench.ledger.make_due([bench.order("cat").id])
    bench.desk.tick(time.monotonic() + 20)
    assert bench.calls("Task/List") == 4  # without a hint it is read every three seconds


def test_a_hint_starts_a_decoder_before_the_file_comes(open_patient: OpenPatient) -> None:
    """To start one takes longer than to fetch a small file."""
    close_decoders()
    bench = open_patient(None)
    bench.place("cat")
    bench.tick()
    bench.ledger.make_due([bench.order("cat").id])
    bench.desk.tick(time.monotonic() + 20, hurry=True)
    assert bench.state("cat") == "running"
    assert wait_until(lambda: len(list_decoders()) == 1)


@contextmanager
def send_in_parts(emulator: Emulator, folder: Path, *, pause_seconds: float) -> Iterator[Bench]:
    """250 tasks, on three pages of the list, sent in ten parts; all are due at once."""
    timing = Timing(first_look_seconds=0.0, sweep_pause_seconds=3.0)
    url = f"sqlite:///{folder / 'ledger.db'}"
    with closing(
        Bench(emulator, url, folder / "videos", policy=OrderPolicy(timing=timing))
    ) as bench:
        for number in range(250):
            bench.place(f"v{number}")
            if number % 25 == 24:
                bench.tick()
                bench.advance(pause_seconds)
        yield bench


def test_a_hint_soon_after_a_look_reads_the_pages_of_the_hinted_tasks_alone(
    emulator: Emulator, tmp_path: Path
) -> None:
    """One that has ended is on one of the pages."""
    emulator.change_settings(task_seconds=TASK_SECONDS)
    with send_in_parts(emulator, tmp_path, pause_seconds=0.1) as bench:
        bench.advance(3.1)
        before = bench.calls("Task/List")
        bench.tick()
        assert bench.calls("Task/List") == before + 3
        bench.advance(0.7)
        bench.ledger.make_due([bench.order("v0").id])
        bench.desk.tick(time.monotonic() + 20, hurry=True)
        assert bench.calls("Task/List") == before + 4
        # A moment later, all of them are looked at: batches end together.
        bench.advance(0.6)
        bench.ledger.make_due([bench.order("v200").id])
        bench.desk.tick(time.monotonic() + 20, hurry=True)
        assert bench.calls("Task/List") == before + 7


def test_after_a_hint_only_tasks_that_may_have_ended_are_looked_at(
    emulator: Emulator, tmp_path: Path
) -> None:
    """The quickest of a model says how long one takes; younger tasks are on other pages."""
    emulator.change_settings(task_seconds=20.0)
    with send_in_parts(emulator, tmp_path, pause_seconds=0.5) as bench:
        bench.advance(15.3)
        bench.tick()
        assert bench.state("v0") == "stored"
        before = bench.calls("Task/List")
        bench.advance(1.1)  # what is known of a model is a second old at most
        bench.ledger.make_due([bench.order("v25").id])
        bench.desk.tick(time.monotonic() + 20, hurry=True)
        assert bench.state("v49") == "stored", "it was not hinted at"
        assert bench.calls("Task/List") == before + 1
        # The next look at all that is due is put off by none of these.
        bench.advance(2.0)
        bench.tick()
        assert bench.calls("Task/List") == before + 1 + 2


def test_a_hint_of_a_known_end_costs_no_look(open_patient: OpenPatient) -> None:
    """Sockets may say it once more, and of tasks that nobody here knows."""
    hints = EndHints()
    bench = open_patient(hints)
    bench.place("cat")
    bench.settle(400)
    task_id, looks = str(bench.order("cat").task_id), bench.calls("Task/List")
    bench.desk.stay_awake(60)
    for ended in (task_id, "4711"):
        hints.hear(ended)
    assert wait_until(lambda: not hints._ended)
    bench.desk.close()
    assert bench.calls("Task/List") == looks


def is_following(desk: OrderDesk) -> bool:
    thread = desk._follower._thread
    return thread is not None and thread.is_alive()


def test_a_follower_ends_when_no_tick_comes(open_patient: OpenPatient) -> None:
    """And begins again with the next one."""
    hints = CountedHints()
    desk = open_patient(hints).desk
    for count in (1, 2):
        desk.stay_awake(0.1)
        assert wait_until(lambda: not is_following(desk))
        assert hints.begun == count
    desk.stay_awake(60)
    desk.close()
    assert not is_following(desk)


def test_without_hints_there_is_no_follower(open_patient: OpenPatient) -> None:
    """Nothing runs beside the ticks."""
    desk = open_patient(None).desk
    desk.stay_awake(60)
    assert not is_following(desk)


class AwayLedger(Ledger):
    """A ledger whose database is away while the test says so."""

    is_away = False
    asked = 0

    def find_next_look(self, account: str) -> float | None:
        self.asked += 1
        if self.is_away:
            raise LedgerError("The ledger's database failed.")
        return super().find_next_look(account)


class StillLedger(AwayLedger):
    """A ledger that never shows that somebody has written to it."""

    def find_stamp(self) -> Hashable | None:
        return "as before"


def test_what_a_tick_leaves_under_way_goes_on_at_once(
    open_patient: OpenPatient, tmp_path: Path
) -> None:
    """The follower looks when a tick has ended, and waits for neither a hint nor a write."""
    ledger = StillLedger(f"sqlite:///{tmp_path / 'ledger.db'}")
    desk = open_patient(EndHints(), ledger=ledger).desk
    desk.stay_awake(60)
    assert wait_until(lambda: ledger.asked == 2)  # now it waits for something to happen
    desk.tick(time.monotonic() + 20)
    assert wait_until(lambda: ledger.asked == 3, 10.0)


def test_a_ledger_that_is_away_does_not_end_a_follower(
    open_patient: OpenPatient, sockets: TaskSockets, tmp_path: Path
) -> None:
    """The next tick says what is wrong; hints are followed again when it is back."""
    ledger = AwayLedger(f"sqlite:///{tmp_path / 'ledger.db'}")
    ledger.is_away = True
    hints = EndHints(sockets)
    desk = open_patient(hints, ledger=ledger).desk
    desk.stay_awake(60)
    assert wait_until(lambda: ledger.asked > 0)
    ledger.is_away, before = False, ledger.asked
    hints.hear("task")
    assert wait_until(lambda: ledger.asked > before)
    assert is_following(desk)
