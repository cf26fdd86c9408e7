"""Which connection a run goes over, and what is known if the server closes it under a run."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.api.test_exchange import MODEL, certificate, serving
from tests.api.test_server import KEY, RUN_ACCEPTED, SECRET
from wiro_dagster.api.auth import Credentials
from wiro_dagster.api.client import WiroClient
from wiro_dagster.emulator import Emulator
from wiro_dagster.errors import OutcomeUnknown, SubmissionWithdrawn

__all__ = ["certificate"]

ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(RUN_ACCEPTED.body) + RUN_ACCEPTED.body
)


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Server:
    """Accepts runs, and notes which came over which connection."""

    def __init__(self, answers: int = 1000) -> None:
        self.connections: list[list[str]] = []
        self._answers = answers
        """How many a connection brings; the next request closes it, unanswered."""
        self.last_words: bytes | None = None
        """Sent after the first answer, if `go_on` says so; then the connection is shut."""
        self.go_on, self.is_shut = threading.Event(), threading.Event()
        self.is_slow = threading.Event()
        """Set, answers come after all other threads had time to ask."""

    def talk(self, connection: socket.socket) -> None:
        requests: list[str] = []
        self.connections.append(requests)
        while True:
            request = _receive(connection)
            if not request:
                return
            requests.append(request)
            if len(requests) > self._answers:
                return
            if self.is_slow.is_set():
                time.sleep(0.01)
            connection.sendall(ANSWER)
            if self.last_words is not None and self.go_on.wait(60):
                connection.sendall(self.last_words)
                self.last_words = None
                connection.shutdown(socket.SHUT_WR)
                self.is_shut.set()

    def counts(self) -> list[int]:
        """How many requests came over each connection."""
        return [len(requests) for requests in self.connections]


def _receive(connection: socket.socket) -> str:
    """Return the path of the next request, or nothing if there is none."""
    data = b""
    while not data.endswith(b"}"):
        piece = connection.recv(65536)
        if not piece:
            return ""
        data += piece
    return data.split(b" ", 2)[1].decode()


@pytest.fixture
def clock() -> Clock:
    """Give the client's two clocks, as one."""
    return Clock()


@pytest.fixture
def server() -> Server:
    """Give a server that keeps its connections."""
    return Server()


@pytest.fixture
def client(server: Server, clock: Clock) -> Iterator[WiroClient]:
    """Give a client of that server."""
    with serving(server.talk) as port, build_client(port, clock, clock) as opened:
        yield opened


def build_client(
    port: int,
    clock: Callable[[], float],
    wall_clock: Callable[[], float],
    scheme: str = "http",
) -> WiroClient:
    """Return a client of that port."""
    return WiroClient(
        Credentials(KEY, SECRET),
        base_url=f"{scheme}://127.0.0.1:{port}/v1",
        clock=clock,
        wall_clock=wall_clock,
        read_attempts=1,
        pool_size=4,
    )


def submit(client: WiroClient, confirm: Callable[[], bool] | None = None) -> str:
    """Run a model; return the task's id."""
    return client.submit(MODEL, {"prompt": "x"}, confirm=confirm).task_id


def test_runs_of_a_burst_share_a_few_connections(server: Server, client: WiroClient) -> None:
    """Fifty runs of four threads need four connections, and as many handshakes."""
    server.is_slow.set()
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: submit(client), range(50))) == {"2221"}
    assert len(server.counts()) <= 4
    assert sum(server.counts()) == 50


def test_runs_and_reads_share_no_connection(server: Server, client: WiroClient) -> None:
    """No answer to a read can be taken for that of a run."""
    submit(client)
    with suppress(Exception):
        client.get_task("1")
    submit(client)
    assert [["Run" in path for path in paths] for paths in server.connections] == [
        [True, True],
        [False],
    ]


@pytest.mark.parametrize(("seconds", "connections"), [(0.9, 1), (1.0, 2), (3600.0, 2), (-5.0, 2)])
def test_an_idle_connection_takes_no_run(
    server: Server, client: WiroClient, clock: Clock, seconds: float, connections: int
) -> None:
    """After a second a server may be closing it, and the news may still be under way."""
    submit(client)
    clock.now += seconds
    submit(client)
    assert len(server.counts()) == connections


def test_a_suspended_machine_trusts_no_connection(server: Server) -> None:
    """One clock stands still while a laptop sleeps; the other one goes on."""
    steady, wall_clock = Clock(), Clock()
    with serving(server.talk) as port, build_client(port, steady, wall_clock) as client:
        submit(client)
        wall_clock.now += 3600
        submit(client)
    assert server.counts() == [1, 1]


@pytest.mark.parametrize(
    "last_words", [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"]
)
def test_a_connection_that_can_be_read_from_takes_no_run(
    server: Server, client: WiroClient, last_words: bytes
) -> None:
    """The server has closed it, or said what would be read as the answer of the next run."""
    server.last_words = last_words
    submit(client)
    server.go_on.set()
    assert server.is_shut.wait(60)
    submit(client)
    assert server.counts() == [1, 1]


def test_a_run_that_a_closing_connection_swallows_is_unknown(clock: Clock) -> None:
    """It is sent once: the server may have accepted it."""
    server = Server(answers=1)
    with serving(server.talk) as port, build_client(port, clock, clock) as client:
        submit(client)
        with pytest.raises(OutcomeUnknown):
            submit(client)
        assert server.counts() == [2]
        submit(client)
    assert server.counts() == [2, 1]


@pytest.mark.parametrize("is_wanted", [True, False])
def test_a_connection_that_goes_stale_during_the_question_takes_no_run(
    server: Server, client: WiroClient, clock: Clock, is_wanted: bool
) -> None:
    """A slow ledger: the run waits for a fresh connection, and the question is asked again."""
    asked: list[float] = []

    def confirm() -> bool:
        asked.append(clock.now)
        clock.now += 2.0
        return is_wanted or len(asked) == 1

    submit(client)
    if is_wanted:
        submit(client, confirm)
    else:
        with pytest.raises(SubmissionWithdrawn):
            submit(client, confirm)
    assert len(asked) == 2
    assert sum(server.counts()) == 1 + is_wanted
    assert server.counts()[0] == 1


def test_runs_share_a_handshake(
    server: Server, clock: Clock, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With TLS a connection costs round trips, and what TLS says of itself closes none."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def talk(connection: socket.socket) -> None:
        server.talk(context.wrap_socket(connection, server_side=True))

    with serving(talk) as port, build_client(port, clock, clock, "https") as client:
        for _ in range(3):
            submit(client)
        clock.now += 5.0
        submit(client)
    assert server.counts() == [3, 1]


def test_a_tunnel_is_kept_and_built_anew_like_a_connection(
    server: Server, clock: Clock, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a proxy, a fresh connection is a fresh tunnel, never the bare proxy."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    tunnels: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        tunnels.append(connection.recv(65536).partition(b" HTTP/")[0])
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        server.talk(context.wrap_socket(connection, server_side=True))

    with serving(talk) as port:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        client = WiroClient(
            Credentials(KEY), base_url="https://wiro.example/v1", clock=clock, wall_clock=clock
        )
        with client:
            for _ in range(2):
                submit(client)
            clock.now += 5.0
            submit(client)
    assert server.counts() == [2, 1]
    assert tunnels == [b"CONNECT wiro.example:443"] * 2


@pytest.mark.parametrize(("moment", "tasks"), [("before", 1), ("after", 2)])
def test_a_kept_connection_that_closes_leaves_a_run_unknown(
    emulator: Emulator, moment: str, tasks: int
) -> None:
    """Accepted or not: the client cannot know, says so, and runs nothing twice."""
    emulator.script_fault("drop_kept", endpoint="Run", moment=moment, times=None)
    inputs = {"prompt": "a fox", "resolution": "768P", "duration": "6"}
    with WiroClient(
        Credentials(emulator.api_key, emulator.api_secret), base_url=emulator.base_url
    ) as client:
        before = emulator.billable_tasks()
        client.submit(MODEL, inputs)
        with pytest.raises(OutcomeUnknown):
            client.submit(MODEL, inputs)
        assert emulator.billable_tasks() - before == tasks
