"""`wiro-dagster orders` and `costs`: on a terminal, in a pipe, and as JSON."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.conftest import Clock
from wiro_dagster.cli import main
from wiro_dagster.ledger import Gate, Ledger, Order, OrderRequest
from wiro_dagster.ledger.budget import BudgetLimits

_WAIT_SECONDS = 120.0
LONG_SLUG = "a-model-maker-of-many-words/text-to-video-with-a-name-that-is-longer-than-a-column"
LONG_ID = "a-prompt-with-an-id-that-is-longer-than-any-column-of-a-table-of-eighty-columns"


def request(partition: str, model_slug: str = "minimax/hailuo-2-3", **changes: Any) -> OrderRequest:
    return OrderRequest(
        collection="video",
        partition=partition,
        account="account",
        model_slug=model_slug,
        inputs={"prompt": "a cat"},
        fingerprint=f"f-{partition}",
        quote_usd=Decimal("0.28"),
        ceiling_usd=Decimal("0.28"),
        **changes,
    )


def under_way(tmp_path: Path) -> tuple[str, Ledger, Order]:
    """An order whose task is at 40 %."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger = Ledger(url, clock=Clock())
    ledger.place(request("cat"))
    gate = Gate(ledger, "account")
    (order,) = gate.admit("video", BudgetLimits(), limit=1, lease_seconds=600).orders
    assert ledger.note_task(order, "0123456789abcdef0123456789abcdef", due_at=0) == "noted"
    observe(ledger, progress_percent=40.0)
    return url, ledger, ledger.get(order.id)


def observe(ledger: Ledger, **seen: Any) -> None:
    (order,) = ledger.list_orders(states=["running"])
    assert ledger.apply(order, "observe", task_status="task_output", due_at=0, **seen)


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner(env={"COLUMNS": "80", **environment}).invoke(main, list(arguments))


def read_until(terminal: int, words: str) -> str:
    """What a process has written by the time that these words are there."""
    seen = ""
    while words not in seen:
        ready, _, _ = select.select([terminal], [], [], _WAIT_SECONDS)
        assert ready, f"{words!r} was not shown. Last: {seen[-2000:]}"
        seen += os.read(terminal, 65536).decode(errors="replace")
    return seen


def test_status_and_percentage_of_running_tasks_are_listed(tmp_path: Path) -> None:
    """As far as Wiro has reported them."""
    url, ledger, order = under_way(tmp_path)
    ledger.place(request("dog"))
    ledger.close()
    shown = run("orders", "--ledger", url).output
    assert f"Task {order.task_id} is running at Wiro (task_output, 40 %)" in shown
    assert "Ordered; not submitted yet." in shown


def test_a_pipe_gets_whole_ids_and_slugs_one_line_for_each_order(tmp_path: Path) -> None:
    """Whatever the width of the terminal: `grep` and `awk` must find them."""
    url, ledger, order = under_way(tmp_path)
    ledger.place(request(LONG_ID, LONG_SLUG))
    ledger.close()
    shown = run("orders", "--ledger", url, "--wide").stdout.splitlines()
    assert shown[0] == f"Ledger: {url}"
    assert shown[1].split()[:3] == ["order", "partition", "state"]
    assert len(shown) == 4
    assert order.task_id in shown[2].split()
    assert {LONG_ID, LONG_SLUG} <= set(shown[3].split())


def test_five_columns_are_shown_unless_more_are_asked_for(tmp_path: Path) -> None:
    """`--wide` adds collection, model, task, quote and time."""
    url, ledger, _ = under_way(tmp_path)
    ledger.close()
    narrow = run("orders", "--ledger", url).stdout.splitlines()[1]
    wide = run("orders", "--ledger", url, "--wide").stdout.splitlines()[1]
    assert narrow.split() == ["order", "partition", "state", "USD", "what", "happens"]
    for title in ("collection", "model", "task", "quote, USD", "since"):
        assert title not in narrow
        assert title in wide


def test_json_is_all_that_is_printed_and_has_whole_values(tmp_path: Path) -> None:
    """Money is text, so that no digit is lost; `--limit` takes the newest."""
    url, ledger, order = under_way(tmp_path)
    ledger.place(request("dog"))
    ledger.close()
    (dog,) = json.loads(run("orders", "--ledger", url, "--json", "--limit", "1").stdout)
    assert (dog["partition"], dog["quote_usd"], dog["cost_usd"]) == ("dog", "0.28", None)
    cat = json.loads(run("orders", "--ledger", url, "--json").stdout)[0]
    assert (cat["order"], cat["task_id"], cat["progress_percent"]) == (order.id, order.task_id, 40)


def test_text_of_others_has_no_control_characters(tmp_path: Path) -> None:
    """A prompt's id or Wiro's message cannot move the cursor or set the window's title."""
    url, ledger, _ = under_way(tmp_path)
    ledger.place(request("dog\x1b]0;owned\x07\x1b[2J[red]\nnext"))
    ledger.close()
    shown = run("orders", "--ledger", url).stdout
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert len(shown.splitlines()) == 4
    assert "dog[red] next" in shown


@pytest.mark.parametrize("command", [("orders",), ("costs",), ("orders", "recover", "1")])
def test_reading_never_creates_a_ledger(tmp_path: Path, command: tuple[str, ...]) -> None:
    """A wrong path is an error, not an empty table and an empty file."""
    url = f"sqlite:///{tmp_path / 'none.db'}"
    shown = run(*command, "--ledger", url)
    assert shown.exit_code == 1
    assert f"There is no ledger at {tmp_path / 'none.db'}" in shown.stderr
    assert not list(tmp_path.iterdir())


def test_the_ledgers_name_hides_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands above every table, and in nobody's log."""
    from wiro_dagster.cli.ledger_option import describe_ledger

    shown = describe_ledger("postgresql+psycopg2://wiro:secret@db.example.com/wiro")
    assert "secret" not in shown
    assert "wiro:***@db.example.com/wiro" in shown


def test_a_relative_ledger_is_in_dagster_home(tmp_path: Path) -> None:
    """The command and the code location mean the same file by the same variable."""
    _, ledger, _ = under_way(tmp_path)
    ledger.close()
    shown = run("orders", WIRO_LEDGER_URL="sqlite:///ledger.db", DAGSTER_HOME=str(tmp_path))
    assert f"Ledger: sqlite:///{tmp_path}/ledger.db" in shown.stdout


def test_options_may_come_after_the_subcommand(tmp_path: Path) -> None:
    """`orders abandon 1 --ledger URL` is what people write."""
    url, ledger, order = under_way(tmp_path)
    other = ledger.place(request("dog")).order
    for arguments in (
        ("orders", "abandon", str(order.id), "--ledger", url),
        ("orders", "--ledger", url, "abandon", str(other.id)),
    ):
        shown = run(*arguments)
        assert shown.exit_code == 0, shown.output
        assert "is cancelled" in shown.output
    ledger.close()


def test_costs_are_a_table_with_a_total_and_json(tmp_path: Path) -> None:
    """Five columns; the total is the last row."""
    url, ledger, _ = under_way(tmp_path)
    ledger.close()
    shown = run("costs", "--ledger", url, "--by", "model").stdout.splitlines()
    assert shown[0] == f"Ledger: {url}"
    assert shown[2].split() == ["minimax/hailuo-2-3", "1", "0", "0", "0.28"]
    assert shown[3].split() == ["total", "1", "0", "0", "0.28"]
    (row,) = json.loads(run("costs", "--ledger", url, "--by", "model", "--json").stdout)
    assert (row["model"], row["committed_usd"]) == ("minimax/hailuo-2-3", "0.28")


def test_a_terminal_folds_what_a_pipe_does_not(tmp_path: Path) -> None:
    """Nothing is cut: every part of a long id is in the table, and no line passes its width."""
    url, ledger, _ = under_way(tmp_path)
    ledger.place(request(LONG_ID))
    ledger.close()
    terminal, inner = pty.openpty()
    environment = {**os.environ, "COLUMNS": "60", "TERM": "xterm", "NO_COLOR": "1"}
    code = "from wiro_dagster.cli import main; main()"
    listing = subprocess.Popen(
        [sys.executable, "-c", code, "orders", "--ledger", url],
        stdout=inner,
        stderr=inner,
        env=environment,
    )
    os.close(inner)
    try:
        seen = read_until(terminal, "└")
        assert listing.wait(_WAIT_SECONDS) == 0
    finally:
        os.close(terminal)
    table = seen[seen.index("┏") :]
    cells = [line.split("│")[2].strip() for line in table.splitlines() if line.count("│") > 2]
    assert LONG_ID in "".join(cells)
    assert "…" not in table
    assert "\x1b[3" not in table


def test_watching_keeps_showing_how_it_is(tmp_path: Path) -> None:
    """The table is drawn again when something has moved, until Ctrl-C."""
    url, ledger, _ = under_way(tmp_path)
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
        observe(ledger, progress_percent=70.0)
        read_until(terminal, "(task_output, 70 %)")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(_WAIT_SECONDS) == 1
    finally:
        watching.kill()
        watching.wait()
        os.close(terminal)
        ledger.close()
