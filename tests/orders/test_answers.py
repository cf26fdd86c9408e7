"""An answer in our hands is never dropped: it is kept until the ledger takes it."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.orders.conftest import OpenBench
from tests.system.campaigns.bench import Bench
from tests.system.campaigns.workshop import PRICE, Workshop, committed_by_ledger
from wiro_dagster.errors import LedgerError
from wiro_dagster.ledger import Ledger, OrderState, TaskNote
from wiro_dagster.orders.answers import Answer, AnswerSpool

ANSWER = Answer(order_id=7, marker="marker", task_id="task")


def test_an_answer_outlives_its_process(tmp_path: Path) -> None:
    """The next process finds it, until the ledger has taken it."""
    folder = tmp_path / "answers"
    assert AnswerSpool(folder).list() == []
    AnswerSpool(folder).keep(ANSWER)
    successor = AnswerSpool(folder)
    assert successor.list() == [ANSWER]
    successor.drop(ANSWER)
    assert list(folder.iterdir()) == AnswerSpool(folder).list() == []


def test_without_a_folder_answers_are_kept_in_memory() -> None:
    """They last as long as the process."""
    spool = AnswerSpool(None)
    spool.keep(ANSWER)
    assert spool.list() == [ANSWER]
    spool.drop(ANSWER)
    assert spool.list() == []


def test_a_full_disk_loses_no_answer_while_the_process_lives(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says that it is kept in memory only."""
    (tmp_path / "answers").write_text("a file where the folder should be")
    spool = AnswerSpool(tmp_path / "answers")
    with caplog.at_level(logging.WARNING):
        spool.keep(ANSWER)
    assert "kept in memory only" in caplog.text
    assert spool.list() == [ANSWER]


@pytest.mark.parametrize("content", ["", "[]", '{"order_id": 1}'])
def test_an_unreadable_answer_is_named_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    """The user looks at it; the others are noted."""
    spool = AnswerSpool(tmp_path)
    spool.keep(ANSWER)
    (tmp_path / "odd.json").write_text(content)
    with caplog.at_level(logging.WARNING):
        assert spool.list() == [ANSWER]
    assert "odd.json is not a readable answer" in caplog.text


class AwayLedger(Ledger):
    """A ledger that cannot be reached when answers come."""

    failures = 0

    def note_task(self, *args: Any, **options: Any) -> TaskNote:
        if self.failures:
            self.failures -= 1
            raise LedgerError("The ledger is away.")
        return super().note_task(*args, **options)


class FullLedger(Ledger):
    """A ledger whose disk is full, right before the first byte of a run is sent and after it."""

    is_full = True

    def is_claimed(self, *args: Any, **options: Any) -> bool:
        if self.is_full:
            raise LedgerError("The disk is full.")
        return super().is_claimed(*args, **options)

    def note_unsent(self, *args: Any, **options: Any) -> OrderState | None:
        if self.is_full:
            raise LedgerError("The disk is full.")
        return super().note_unsent(*args, **options)


def test_a_run_that_was_not_sent_is_no_lost_answer(open_bench: OpenBench, tmp_path: Path) -> None:
    """The claim could not be confirmed, nor the order be given back: it is sent when that works."""

    def parts(workshop: Workshop) -> dict[str, Any]:
        ledger = FullLedger(workshop.ledger_url, clock=workshop.clock)
        return {"ledger": ledger, "answers_folder": tmp_path / "kept"}

    bench = open_bench(parts=parts)
    ledger = bench.ledger
    assert isinstance(ledger, FullLedger)
    bench.place("cat")
    with suppress(LedgerError):  # of the step, if the tick was still there to see it
        bench.tick()
    assert (bench.runs(), bench.state("cat")) == (0, "submitting")
    ledger.is_full = False
    bench.settle()
    assert (bench.runs(), bench.state("cat")) == (1, "delivered")
    assert committed_by_ledger(bench.ledger) == PRICE


def open_away(open_bench: OpenBench, tmp_path: Path, failures: int) -> tuple[Bench, list[float]]:
    """A bench whose ledger fails so often; and the pauses between the tries."""
    pauses: list[float] = []

    def parts(workshop: Workshop) -> dict[str, Any]:
        ledger = AwayLedger(workshop.ledger_url, clock=workshop.clock)
        ledger.failures = failures
        return {"ledger": ledger, "answers_folder": tmp_path / "kept", "sleep": pauses.append}

    return open_bench(parts=parts), pauses


def test_a_ledger_that_is_back_soon_notes_the_answer(open_bench: OpenBench, tmp_path: Path) -> None:
    """It is tried again, with ever longer pauses; nothing is left in the spool."""
    bench, pauses = open_away(open_bench, tmp_path, failures=2)
    bench.place("cat")
    bench.tick()
    assert (bench.state("cat"), pauses) == ("running", [0.2, 0.4])
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_ledger_that_stays_away_gets_the_answer_from_the_next_process(
    open_bench: OpenBench, tmp_path: Path
) -> None:
    """The answer waits in a file; nothing is looked up or bought a second time."""
    bench, _ = open_away(open_bench, tmp_path, failures=5)
    bench.place("cat")
    bench.tick()
    assert bench.state("cat") == "submitting"
    assert any("kept until it can" in notice for notice in bench.notices)
    successor = open_bench(options={"answers_folder": tmp_path / "kept"})
    successor.now = bench.now
    successor.tick()
    assert successor.state("cat") == "running"
    successor.settle()
    assert (successor.state("cat"), successor.calls("Run")) == ("delivered", 1)
    successor.check_books()


def test_answers_of_another_ledger_are_left_to_it(open_bench: OpenBench, tmp_path: Path) -> None:
    """Neither an order that we do not have nor another's POST of the same number is ours."""
    bench = open_bench(options={"answers_folder": tmp_path / "kept"})
    order = bench.place("cat")
    spool = AnswerSpool(tmp_path / "kept")
    theirs = [Answer(order.id, "their-marker", "their-task"), Answer(99, "ours", "task")]
    for answer in theirs:
        spool.keep(answer)
    bench.settle()
    assert bench.order("cat").task_id != "their-task"
    assert sorted(spool.list(), key=lambda answer: answer.order_id) == theirs
