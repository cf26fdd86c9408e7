"""How many looks and writes callbacks may cause, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from tests.conftest import Clock
from tests.support.ledger_orders import request, running, submitting
from wiro_dagster.errors import LedgerError
from wiro_dagster.ledger import Ledger, Order
from wiro_dagster.ledger.hints import HINTED
from wiro_dagster.webhook.inbox import Inbox


class CountedLedger(Ledger):
    """Notes what callbacks ask of it."""

    heard: list[set[str]]
    is_away = False

    def hear_callbacks(self, markers: Collection[str]) -> set[str]:
        if self.is_away:
            raise LedgerError("The ledger's database failed.")
        self.heard.append(set(markers))
        return super().hear_callbacks(markers)


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[CountedLedger]:
    opened = CountedLedger(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock)
    opened.heard = []
    yield opened
    opened.close()


class QuietInbox(Inbox):
    """Brings nothing by itself."""

    def _start(self) -> None:
        """The test says when."""


@pytest.fixture
def inbox(ledger: Ledger, clock: Clock) -> Inbox:
    return QuietInbox(ledger, clock=clock)


def place_running(ledger: Ledger, partition: str = "cat") -> Order:
    order = running(ledger, partition, fingerprint=partition)
    ledger.put_off_looks([order.id], due_at=ledger.clock() + 999)
    return order


def test_a_marker_that_the_ledger_did_not_sign_is_never_looked_up(
    ledger: CountedLedger, inbox: Inbox, tmp_path: Path, clock: Clock
) -> None:
    """A changed signature, another wish under ours, another ledger's marker, and plain nonsense."""
    marker = str(place_running(ledger).marker)
    stranger = Ledger(f"sqlite:///{tmp_path / 'stranger.db'}", clock=clock)
    stranger.place(request())
    forged = [
        f"{marker[:-1]}{'0' if marker[-1] != '0' else '1'}",
        f"{marker[:21]}{'0' * 16}{marker[37:]}",
        str(submitting(stranger, "dog", fingerprint="f2").marker),
        "",
        "x" * 10_000,
        "../../etc/passwd",
    ]
    stranger.close()
    for text in forged * 100:
        inbox.take(text)
    inbox.bring()
    assert ledger.heard == []


def test_many_calls_of_many_runs_are_one_question(ledger: CountedLedger, inbox: Inbox) -> None:
    """Doubled calls are one."""
    markers = [str(place_running(ledger, f"cat-{number}").marker) for number in range(5)]
    for marker in markers * 20:
        inbox.take(marker)
    inbox.bring()
    inbox.bring()
    assert ledger.heard == [set(markers)]
    assert all(order.due_at == HINTED for order in ledger.list_orders())


def test_a_marker_that_calls_on_and_on_is_heard_five_times(
    ledger: CountedLedger, inbox: Inbox, clock: Clock
) -> None:
    """And at most every three seconds: it may have come before the end."""
    order = place_running(ledger)
    for _ in range(40):
        inbox.take(str(order.marker))
        inbox.bring()
        clock.advance(1)
        ledger.put_off_looks([order.id], due_at=clock() + 999)
    assert len(ledger.heard) == 5


def test_a_call_before_the_answer_is_brought_until_the_task_is_known(
    ledger: CountedLedger, inbox: Inbox, clock: Clock
) -> None:
    """Then its look is due at once."""
    order = submitting(ledger)
    inbox.take(str(order.marker))
    inbox.bring()
    assert ledger.note_task(order, "task-1", due_at=clock() + 60) == "noted"
    inbox.bring()
    assert ledger.get(order.id).due_at == clock() + 60
    clock.advance(0.5)
    inbox.bring()
    assert ledger.get(order.id).due_at == HINTED


def test_an_answer_that_never_comes_ends_the_asking(
    ledger: CountedLedger, inbox: Inbox, clock: Clock
) -> None:
    """After two minutes the call is forgotten."""
    inbox.take(str(submitting(ledger).marker))
    for _ in range(3000):
        inbox.bring()
        clock.advance(0.1)
    assert len(ledger.heard) == 9


def test_calls_outlast_a_ledger_that_is_away(
    ledger: CountedLedger, inbox: Inbox, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """They are brought when it is back; the log names no marker."""
    order = place_running(ledger)
    ledger.is_away = True
    inbox.take(str(order.marker))
    inbox.bring()
    ledger.is_away = False
    clock.advance(1)
    inbox.bring()
    assert ledger.get(order.id).due_at == HINTED
    assert "could not be noted" in caplog.text
    assert str(order.marker) not in caplog.text


def test_what_is_kept_is_bounded(ledger: CountedLedger, clock: Clock) -> None:
    """The oldest markers are forgotten, and what does not fit is left to the watch."""
    inbox = QuietInbox(ledger, clock=clock, most_waiting=3, most_remembered=2)
    for number in range(5):
        inbox.take(str(place_running(ledger, f"cat-{number}").marker))
    inbox.bring()
    assert [len(heard) for heard in ledger.heard] == [3]
    assert len(inbox._heard) == 2
