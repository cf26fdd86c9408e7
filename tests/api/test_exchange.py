"""The fence at the first byte, and the deadline of a whole exchange, over real sockets."""

from __future__ import annotations

import datetime as dt
import gzip
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.api.test_server import KEY, RESET, RUN_ACCEPTED, SECRET, Reply, ScriptedServer
from wiro_dagster.api.auth import Credentials
from wiro_dagster.api.client import WiroClient
from wiro_dagster.api.exchange import Exchange
from wiro_dagster.errors import (
    ApiError,
    DownloadError,
    NothingAccepted,
    OutcomeUnknown,
    ServiceUnreachable,
    SubmissionWithdrawn,
)

MODEL = "minimax/hailuo-2-3"
Talk = Callable[[socket.socket], None]


@contextmanager
def serving(talk: Talk, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Let a function talk to each connection, in a thread of its own; give the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def converse(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            talk(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=converse, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        # Closing alone does not wake a thread that is waiting in accept().
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def build_client(port: int, scheme: str = "http", seconds: float = 20.0) -> WiroClient:
    """Return a client of that port with little patience."""
    return WiroClient(
        Credentials(KEY, SECRET),
        base_url=f"{scheme}://127.0.0.1:{port}/v1",
        cdn_hosts=[f"127.0.0.1:{port}"],
        connect_timeout_seconds=20.0,
        read_timeout_seconds=seconds,
        submit_timeout_seconds=seconds,
        read_attempts=1,
    )


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a certificate for 127.0.0.1 with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.timezone.utc)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("wiro.example")]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_a_withdrawn_submission_sends_no_byte() -> None:
    """The connection is there, the question is asked, and nothing is sent after a no."""
    connected, received, ended = threading.Event(), bytearray(), threading.Event()

    def talk(connection: socket.socket) -> None:
        connected.set()
        while piece := connection.recv(65536):
            received.extend(piece)
        ended.set()

    with serving(talk) as port, pytest.raises(SubmissionWithdrawn) as caught:
        build_client(port).submit(MODEL, {"prompt": "x"}, confirm=lambda: not connected.wait(60))
    assert ended.wait(60)
    assert connected.is_set()
    assert received == b""
    assert isinstance(caught.value, NothingAccepted)


@pytest.mark.parametrize("is_wanted", [True, False])
def test_the_question_comes_after_a_slow_tls_handshake(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, is_wanted: bool
) -> None:
    """A lease that is lost while TLS is agreed on stops the run."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    events: list[str] = []
    ended = threading.Event()

    def talk(connection: socket.socket) -> None:
        time.sleep(0.4)
        with context.wrap_socket(connection, server_side=True) as wrapped:
            events.append("tls")
            received = wrapped.recv(65536)
            events.append("bytes" if received else "none")
            if received:
                wrapped.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(RUN_ACCEPTED.body)
                    + RUN_ACCEPTED.body
                )
        ended.set()

    def confirm() -> bool:
        # With TLS 1.3 the server is done a moment after the client.
        deadline = time.monotonic() + 60
        while "tls" not in events and time.monotonic() < deadline:
            time.sleep(0.01)
        events.append("asked")
        return is_wanted

    with serving(talk) as port, suppress(SubmissionWithdrawn):
        build_client(port, "https").submit(MODEL, {"prompt": "x"}, confirm=confirm)
    assert ended.wait(60)
    assert events == ["tls", "asked", "bytes" if is_wanted else "none"]


def test_the_fence_holds_behind_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy is connected to first, and gets no byte of a withdrawn run."""
    received, ended = bytearray(), threading.Event()

    def talk(connection: socket.socket) -> None:
        while piece := connection.recv(65536):
            received.extend(piece)
        ended.set()

    with serving(talk) as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        client = WiroClient(
            Credentials(KEY), base_url="http://wiro.example/v1", allow_http_hosts=["wiro.example"]
        )
        with pytest.raises(SubmissionWithdrawn):
            client.submit(MODEL, {"prompt": "x"}, confirm=lambda: False)
        assert ended.wait(60)
    assert received == b""


def test_a_tunnel_is_built_before_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a proxy is asked for the connection is no part of the run."""
    received, ended = bytearray(), threading.Event()

    def talk(connection: socket.socket) -> None:
        received.extend(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
        ended.set()

    with serving(talk) as port:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        client = WiroClient(Credentials(KEY), base_url="https://wiro.example/v1")
        asked: list[bool] = []
        with pytest.raises(ServiceUnreachable):
            client.submit(MODEL, {"prompt": "x"}, confirm=lambda: asked.append(True) is None)
        assert ended.wait(60)
    assert received.startswith(b"CONNECT wiro.example:443 ")
    assert asked == []


def test_a_proxy_that_cannot_be_fenced_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """SOCKS connections are made by other classes than ours."""
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:9")
    with pytest.raises(ServiceUnreachable, match="proxy"):
        WiroClient(Credentials(KEY)).submit(MODEL, {"prompt": "x"})


def test_nobody_is_asked_if_there_is_no_connection() -> None:
    """A run that cannot be sent is not confirmed either."""
    asked: list[bool] = []
    client = WiroClient(Credentials(KEY), base_url="http://127.0.0.1:9/v1")
    with pytest.raises(ServiceUnreachable):
        client.submit(MODEL, {"prompt": "x"}, confirm=lambda: asked.append(True) or True)
    assert asked == []


def test_an_error_of_the_question_itself_sends_nothing() -> None:
    """A ledger that cannot be asked reaches the caller as it is."""

    class LedgerAway(Exception):
        pass

    def confirm() -> bool:
        raise LedgerAway

    with ScriptedServer().running() as server:
        server.script(RUN_ACCEPTED)
        client = build_client(server.port)
        with pytest.raises(LedgerAway):
            client.submit(MODEL, {"prompt": "x"}, confirm=confirm)
        assert server.received == []
        client.submit(MODEL, {"prompt": "x"}, confirm=lambda: True)
        assert len(server.received) == 1


@pytest.mark.parametrize("reply", [RESET, Reply(status=500), Reply(status=429)])
def test_a_run_is_confirmed_and_sent_once_whatever_comes_back(reply: Reply) -> None:
    """No layer below repeats the request, nor asks again."""
    asked: list[bool] = []
    with ScriptedServer().running() as server:
        server.script(reply)
        with pytest.raises(ApiError):
            build_client(server.port).submit(
                MODEL, {"prompt": "x"}, confirm=lambda: asked.append(True) is None
            )
        assert (len(asked), len(server.received)) == (1, 1)


@pytest.mark.parametrize("is_compressed", [False, True])
def test_an_answer_of_more_than_8_mb_is_cut_off(is_compressed: bool) -> None:
    """By the bytes that it unfolds to; one of exactly 8 MB is read."""
    for size_bytes, is_read in ((8_000_000, True), (8_000_001, False)):
        start = b'{"result": true, "tasklist": [{"id": "1"}]'
        body = start + b" " * (size_bytes - len(start) - 1) + b"}"
        headers = {"Content-Encoding": "gzip"} if is_compressed else {}
        with ScriptedServer().running() as server:
            server.script(
                Reply(body=gzip.compress(body) if is_compressed else body, headers=headers)
            )
            client = build_client(server.port)
            if is_read:
                assert client.get_task("1").id == "1"
                continue
            with pytest.raises(OutcomeUnknown, match="larger than 8 MB"):
                client.get_task("1")


def test_the_time_of_the_question_is_not_taken_from_the_answer() -> None:
    """A slow ledger must not make Wiro's answer come too late."""
    with ScriptedServer().running() as server:
        server.script(RUN_ACCEPTED)

        def confirm() -> bool:
            time.sleep(2.2)
            return True

        client = build_client(server.port, seconds=2.0)
        assert client.submit(MODEL, {"prompt": "x"}, confirm=confirm).task_id == "2221"


@pytest.mark.parametrize("is_frozen_again", [False, True])
def test_an_answer_from_before_a_freeze_does_not_count(is_frozen_again: bool) -> None:
    """A process that slept while it asked has to ask again; one that sleeps on sends nothing."""
    now, asked = [1e9], []

    def confirm() -> bool:
        asked.append(now[0])
        if is_frozen_again or len(asked) == 1:
            now[0] += 900.0
        return True

    exchange = Exchange(seconds=5.0, confirm=confirm, wall_clock=lambda: now[0])
    if is_frozen_again:
        with pytest.raises(SubmissionWithdrawn):
            exchange.leave()
    else:
        exchange.leave()
    assert len(asked) == (3 if is_frozen_again else 2)
    assert (exchange.left_at is None) == is_frozen_again


def _trickle(connection: socket.socket, head: bytes) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    connection.sendall(head)
    for _ in range(2000):
        connection.sendall(b"n")
        time.sleep(0.05)


TRICKLES = {
    "status line": b"HTTP/1.1 200 ",
    "header": b"HTTP/1.1 200 OK\r\nX-A: ",
    "continue": b"HTTP/1.1 100 Continue\r\nX-A: ",
    "chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=",
    "body": b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n",
    "trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-A: ",
}


@pytest.mark.parametrize("place", TRICKLES)
def test_a_trickle_anywhere_ends_with_the_deadline(place: str) -> None:
    """A server that sends a byte now and then holds a thread for as long as was allowed."""
    with serving(lambda connection: _trickle(connection, TRICKLES[place])) as port:
        client = build_client(port, seconds=0.5)
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            client.get_task("1")
        with pytest.raises(OutcomeUnknown):
            client.submit(MODEL, {"prompt": "x"})
        with (
            pytest.raises(DownloadError) as caught,
            client.download(f"http://127.0.0.1:{port}/a", longest_seconds=0.5) as download,
        ):
            list(download.chunks())
        assert not caught.value.is_final
    assert time.monotonic() - began < 300


def test_a_body_without_end_is_cut_off_at_the_deadline() -> None:
    """Bytes that keep coming fast meet the deadline, too."""

    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(bytes(1_000_000))

    with serving(talk) as port:
        client = build_client(port)
        began = time.monotonic()
        with (
            pytest.raises(DownloadError, match="in time"),
            client.download(f"http://127.0.0.1:{port}/a", longest_seconds=0.5) as download,
        ):
            sum(len(chunk) for chunk in download.chunks())
    assert time.monotonic() - began < 30


def test_a_server_that_does_not_read_holds_nobody_for_longer(tmp_path: Path) -> None:
    """Sending has the same deadline as reading."""
    path = tmp_path / "large.bin"
    path.write_bytes(bytes(20_000_000))
    stop = threading.Event()
    with serving(lambda _: bool(stop.wait(60)) and None) as port:
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            build_client(port, seconds=0.5).upload_file(path)
        stop.set()
    assert time.monotonic() - began < 30
