"""`wiro-dagster orders`: what is under way, at a glance and while one watches."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from tests.conftest import Clock
from tests.ledger.test_ledger import request, running
from wiro_dagster.cli import main
from wiro_dagster.ledger import Ledger, Order

_WAIT_SECONDS = 120.0


def under_way(tmp_path: Path) -> tuple[str, Ledger, Order]:
    """An order whose task is at 40 %."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger = Ledger(url, clock=Clock())
    ledger.advance(running(ledger), task_status="task_output", progress_percent=40.0, due_at=0)
    return url, ledger, ledger.list_orders()[0]


def read_until(terminal: int, words: str) -> str:
    """What a process has written by the time that these words are there."""
    seen = ""
    while words not in seen:
        ready, _, _ = select.select([terminal], [], [], _WAIT_SECONDS)
        assert ready, f"{words!r} was not shown. Last: {seen[-2000:]}"
        seen += os.read(terminal, 65536).decode(errors="replace")
    return seen


def test_status_and_percentage_of_running_tasks_are_listed(tmp_path: Path) -> None:
    """As far as Wiro has told them."""
    url, ledger, order = under_way(tmp_path)
    ledger.place(request("dog"))
    ledger.close()
    options = ["orders", "--ledger", url]
    shown = CliRunner(env={"COLUMNS": "300"}).invoke(main, options)
    assert f"Task {order.task_id} is running at Wiro (task_output, 40 %)" in shown.output
    assert "Ordered; not submitted yet." in shown.output


def test_watching_goes_on_showing_how_it_is(tmp_path: Path) -> None:
    """The table is drawn again when something has moved, until Ctrl-C."""
    url, ledger, order = under_way(tmp_path)
    terminal, inner = pty.openpty()
    # A shell starts what is in the background with SIGINT ignored.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heed}; from wiro_dagster.cli import main; main()"
    watching = subprocess.Popen(
        [sys.executable, "-c", code, "orders", "--ledger", url, "--watch"],
        stdout=inner,
        stderr=inner,
        env={**os.environ, "COLUMNS": "300", "TERM": "xterm"},
    )
    os.close(inner)
    try:
        read_until(terminal, "(task_output, 40 %)")
        ledger.advance(order, progress_percent=70.0)
        read_until(terminal, "(task_output, 70 %)")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(_WAIT_SECONDS) == 1
    finally:
        watching.kill()
        watching.wait()
        os.close(terminal)
        ledger.close()
