"""Wiro's callbacks over HTTP, as they should come and as they should not."""

from __future__ import annotations

import http.client
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.support.ports import free_port
from tests.support.waiting import wait_until
from tests.support.webhook import serve_app
from tests.system.campaigns.bench import Bench
from wiro_dagster import OrderPolicy, build_webhook_app
from wiro_dagster.cli import main
from wiro_dagster.emulator import Emulator
from wiro_dagster.ledger import Ledger, Order
from wiro_dagster.orders.policy import Timing
from wiro_dagster.webhook.app import LARGEST_BODY_BYTES, WebhookApp

# Without a callback, nothing is seen within the first five minutes.
PATIENT = OrderPolicy(timing=Timing(first_look_seconds=300.0, sweep_pause_seconds=1.0))
TASK_SECONDS = 5.0


class Receiver:
    """A receiver and the desk whose runs call it; time stands still until the test moves it."""

    def __init__(self, emulator: Emulator, folder: Path, opened: ExitStack) -> None:
        self.ledger_url = f"sqlite:///{folder / 'ledger.db'}"
        self.now = emulator.freeze
        ledger = Ledger(self.ledger_url, clock=self.tell_time, is_real_time=False)
        # Mounted, as in somebody's own server.
        self.app = WebhookApp(ledger)
        app = Starlette(routes=[Mount("/hooks", self.app)])
        self.base_url = f"{opened.enter_context(serve_app(app))}/hooks"
        bench = Bench(
            emulator,
            self.ledger_url,
            folder / "videos",
            policy=PATIENT,
            parts=lambda _workshop: {"callback_base_url": self.base_url},
        )
        self.bench = opened.enter_context(closing(bench))
        self.now = bench.clock

    def tell_time(self) -> float:
        return self.now()

    def run(self, name: str = "cat") -> Order:
        """Places an order and submits it."""
        self.bench.place(name)
        self.bench.tick()
        return self.bench.order(name)

    def url_of(self, order: Order) -> str:
        return f"{self.base_url}/{order.marker}"

    def is_due(self, name: str = "cat") -> bool:
        due_at = self.bench.order(name).due_at
        return due_at is not None and due_at <= self.bench.now

    def callbacks(self) -> list[dict[str, Any]]:
        """Those that the emulator has sent, with their answers."""
        return self.bench.emulator.journal(kind="callback")

    def looks(self) -> int:
        """How often Wiro was asked about tasks."""
        return self.bench.calls("Task/List") + self.bench.calls("Task/Detail")


@pytest.fixture
def receiver(emulator: Emulator, tmp_path: Path) -> Iterator[Receiver]:
    emulator.change_settings(task_seconds=TASK_SECONDS)
    with ExitStack() as opened:
        yield Receiver(emulator, tmp_path, opened)


def forge(url: str) -> str:
    return url[:-1] + ("0" if url[-1] != "0" else "1")


def test_a_task_that_calls_is_read_by_the_next_tick(receiver: Receiver) -> None:
    """Without the call it would be looked at five minutes after it was submitted."""
    receiver.run()
    receiver.bench.advance(TASK_SECONDS - 1)
    receiver.bench.tick()
    assert receiver.looks() == 0
    receiver.bench.advance(2)
    assert wait_until(receiver.is_due)
    receiver.bench.tick()
    assert receiver.bench.state("cat") == "stored"
    assert receiver.looks() == 1
    assert [line["http_status"] for line in receiver.callbacks()] == [200]


def test_a_forged_callback_changes_nothing(receiver: Receiver) -> None:
    """It claims a success and a stranger's file, under a guessed marker and under the right one."""
    receiver.bench.emulator.script_task(callback="forged", outcome="fail")
    receiver.run()
    receiver.bench.advance(TASK_SECONDS / 2)  # both forged ones come while the task runs
    assert wait_until(lambda: len(receiver.callbacks()) == 2)
    assert wait_until(receiver.is_due)
    receiver.bench.tick()
    order = receiver.bench.order("cat")
    assert (order.state, order.outputs) == ("running", ())
    assert receiver.looks() == 1
    receiver.bench.settle()
    assert receiver.bench.state("cat") == "failed"


def test_a_guessed_marker_does_not_even_make_a_look_due(receiver: Receiver) -> None:
    """Though the guess differs from the right one by a single digit."""
    order = receiver.run()
    answer = requests.post(forge(receiver.url_of(order)), json={"status": "x"}, timeout=60)
    assert answer.status_code == 200
    time.sleep(0.1)
    assert not receiver.is_due()


def test_a_doubled_callback_is_one_look(receiver: Receiver) -> None:
    """The second comes when the order has its video, or while the first is being followed."""
    receiver.bench.emulator.script_task(callback="twice")
    receiver.run()
    receiver.bench.advance(TASK_SECONDS + 2)
    assert wait_until(lambda: len(receiver.callbacks()) == 2)
    assert wait_until(receiver.is_due)
    receiver.bench.tick()
    assert receiver.bench.state("cat") == "stored"
    receiver.bench.advance(60)
    receiver.bench.tick()
    assert receiver.looks() == 1


def test_a_late_callback_is_no_look(receiver: Receiver) -> None:
    """The watch has found the end before, as it would without a receiver."""
    receiver.bench.emulator.script_task(callback="late", callback_late_seconds=900)
    receiver.run()
    receiver.bench.settle()
    before, looks = receiver.bench.order("cat"), receiver.looks()
    assert before.state == "delivered"
    receiver.bench.advance(1000)
    assert wait_until(lambda: len(receiver.callbacks()) == 1)
    time.sleep(0.1)
    receiver.bench.tick()
    assert receiver.bench.order("cat") == before
    assert receiver.looks() - looks <= 1  # the audit of the last day


def test_a_callback_that_never_comes_delays_nothing(receiver: Receiver) -> None:
    """The watch looks at its own pace."""
    receiver.bench.emulator.script_task(callback="never")
    receiver.run()
    receiver.bench.settle(400)
    assert receiver.bench.state("cat") == "delivered"


def test_callbacks_out_of_order_are_each_for_their_own_order(receiver: Receiver) -> None:
    """The first task's call comes after the second one's."""
    receiver.bench.emulator.script_task(callback="late", callback_late_seconds=30)
    for name in ("first", "second"):
        receiver.run(name)
    receiver.bench.advance(TASK_SECONDS + 1)
    assert wait_until(lambda: receiver.is_due("second"))
    assert not receiver.is_due("first")
    receiver.bench.advance(30)
    assert wait_until(lambda: receiver.is_due("first"))


def test_a_callback_before_the_answer_of_its_run_is_not_lost(receiver: Receiver) -> None:
    """The task has ended when the answer says which one it is; its look is due at once then."""
    receiver.bench.emulator.script_task(run_seconds=0)
    receiver.bench.emulator.script_fault("delay", endpoint="Run", moment="after", seconds=3.0)
    receiver.bench.place("cat")
    submitting = threading.Thread(target=receiver.bench.tick)
    submitting.start()
    assert wait_until(lambda: len(receiver.callbacks()) == 1)
    assert receiver.bench.state("cat") == "submitting"
    submitting.join()
    assert wait_until(receiver.is_due)
    receiver.bench.tick()
    assert receiver.bench.state("cat") == "stored"


@pytest.mark.parametrize(
    ("callback", "status", "is_heard"),
    [("malformed", 200, True), ("huge", 413, False), ("get", 405, False)],
)
def test_a_body_is_not_read_and_only_a_post_is_heard(
    receiver: Receiver, callback: str, status: int, is_heard: bool
) -> None:
    """What a body says is dropped, so it may say anything; 1 MiB is enough to say it."""
    receiver.bench.emulator.script_task(callback=callback)
    receiver.run()
    receiver.bench.advance(TASK_SECONDS + 1)
    assert wait_until(lambda: len(receiver.callbacks()) == 1)
    (line,) = receiver.callbacks()
    # A caller that goes on sending after the refusal may not get to read it.
    assert line["http_status"] in ({status, None} if callback == "huge" else {status})
    assert wait_until(receiver.is_due, 60.0 if is_heard else 0.1) == is_heard


def test_the_answer_tells_nothing_of_a_marker(receiver: Receiver) -> None:
    """Right, guessed, someone else's or none: the same status, headers and body."""
    order = receiver.run()
    url = receiver.url_of(order)
    answers = [
        requests.post(asked, data=b"{}", timeout=60)
        for asked in (url, forge(url), f"{receiver.base_url}/x", f"{receiver.base_url}/", url)
    ]
    told = {
        (answer.status_code, answer.content, *sorted(set(answer.headers) - {"date"}))
        for answer in answers
    }
    assert len(told) == 1
    for method in ("GET", "PUT", "DELETE", "HEAD", "OPTIONS"):
        assert requests.request(method, url, timeout=60).status_code == 405
        assert requests.request(method, forge(url), timeout=60).status_code == 405


def test_a_flood_of_calls_is_one_look(receiver: Receiver) -> None:
    """Of the right marker and of guessed ones, from several callers at once."""
    # However long it takes here: after three seconds a call may be a second look.
    receiver.app._inbox._clock = receiver.tell_time
    order = receiver.run()
    url = receiver.url_of(order)

    def call() -> None:
        with requests.Session() as session:
            for number in range(50):
                asked = url if number % 5 == 0 else f"{url[:-6]}{number:06x}"
                assert session.post(asked, data=b"x" * 1000, timeout=60).status_code == 200

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wait_until(receiver.is_due)
    for _ in range(20):
        receiver.bench.advance(0.1)
        receiver.bench.tick()
    assert receiver.bench.state("cat") == "running"
    assert receiver.looks() == 1


def test_a_body_without_a_stated_length_is_cut_off(receiver: Receiver) -> None:
    """Whoever sends in chunks cannot go on for ever."""
    host, port = receiver.base_url.removeprefix("http://").split("/")[0].split(":")
    chunk = b"x" * 65536
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        while sent < 64 * LARGEST_BODY_BYTES:
            sent += len(chunk)
            yield chunk

    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    with closing(connection):
        try:
            connection.request("POST", "/hooks/x", body=chunks(), encode_chunked=True)
            assert connection.getresponse().status == 413
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert sent < 64 * LARGEST_BODY_BYTES


def test_no_log_names_a_marker(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """It is no secret of great worth, but nobody needs it."""
    with caplog.at_level(logging.DEBUG):
        order = receiver.run()
        requests.post(receiver.url_of(order), data=b"{}", timeout=60)
        assert wait_until(receiver.is_due)
    ours = [r.getMessage() for r in caplog.records if r.name.startswith(("wiro", "uvicorn"))]
    assert [text for text in ours if str(order.marker) in text] == []


def test_an_application_of_ones_own_says_what_is_wrong_with_its_ledger(tmp_path: Path) -> None:
    """When it is built, not when the first call comes; and it may be told its path."""
    app = build_webhook_app(tmp_path / "ledger.db", path="/wiro")
    with serve_app(app) as base_url:
        assert requests.post(f"{base_url}/wiro/x", timeout=60).status_code == 200
        assert requests.post(f"{base_url}/other/x", timeout=60).status_code == 404
        assert requests.post(f"{base_url}/", timeout=60).status_code == 404


def test_the_command_receives_until_it_is_interrupted(tmp_path: Path) -> None:
    """It says where it listens and what to set, and ends with Ctrl-C."""
    Ledger(f"sqlite:///{tmp_path / 'ledger.db'}").close()
    port = free_port()
    command = [sys.executable, "-c", "from wiro_dagster.cli import main; main()", "webhook"]
    command += ["--ledger", f"sqlite:///{tmp_path / 'ledger.db'}"]
    command += ["--port", str(port), "--path", "/wiro/"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = "".join(child.stdout.readline() for _ in range(3))
        answer = requests.post(f"http://127.0.0.1:{port}/wiro/x", timeout=60)
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 0
    assert answer.status_code == 200
    assert f"http://127.0.0.1:{port}/wiro." in told
    assert "WIRO_CALLBACK_BASE_URL=https://YOUR-HOST/wiro" in told


def test_what_stops_the_command_is_a_sentence(tmp_path: Path) -> None:
    """A port that is taken, and a ledger that is not there."""
    ledger = f"sqlite:///{tmp_path / 'ledger.db'}"
    shown = CliRunner().invoke(main, ["webhook", "--ledger", ledger])
    assert "There is no ledger" in shown.output
    Ledger(ledger).close()
    with serve_app(build_webhook_app(ledger)) as base_url:
        port = base_url.rpartition(":")[2]
        shown = CliRunner().invoke(main, ["webhook", "--ledger", ledger, "--port", port])
    assert shown.exit_code == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in shown.output
