"""Downloads: from allowed hosts only, whole or not at all."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal

import pytest

from tests.api.test_server import KEY, SECRET, Reply, ScriptedServer
from tests.support.ports import free_port
from wiro_dagster.api.auth import Credentials
from wiro_dagster.api.client import WiroClient
from wiro_dagster.errors import DownloadError

VIDEO = bytes(range(256)) * 4000  # 1,024,000 bytes


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """Give a server to script."""
    with ScriptedServer().running() as running:
        yield running


def build_client(*hosts: str, seconds: float = 30.0) -> WiroClient:
    """Return a client that downloads from these hosts, and waits so long for their bytes."""
    return WiroClient(Credentials(KEY, SECRET), cdn_hosts=hosts, read_timeout_seconds=seconds)


def build_hasty(server: ScriptedServer) -> WiroClient:
    """Return a client of the server without patience."""
    return build_client(f"localhost:{server.port}", seconds=0.3)


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[WiroClient]:
    """Give a client that may download from the server."""
    with build_client(f"localhost:{server.port}", "cdn.wiro.ai") as opened:
        yield opened


def fetch(client: WiroClient, url: str, max_bytes: int | None = None) -> bytes:
    """Download a file."""
    with client.download(url, max_bytes=max_bytes) as download:
        return b"".join(download.chunks())


def test_a_file_arrives_in_chunks_without_the_api_headers(
    server: ScriptedServer, client: WiroClient
) -> None:
    """Type and length are told beforehand; the key never leaves for the CDN."""
    server.script(Reply(body=VIDEO, headers={"Content-Type": "video/mp4; x=y"}))
    with client.download(f"http://localhost:{server.port}/a.mp4?sig=1") as download:
        assert (download.status, download.content_length) == (200, len(VIDEO))
        assert download.content_type == "video/mp4"
        chunks = list(download.chunks())
    assert b"".join(chunks) == VIDEO
    assert {len(chunk) for chunk in chunks[:-1]} == {256 * 1024}
    (request,) = server.received
    assert request.path == "/a.mp4?sig=1"
    assert not [name for name in request.headers if name.lower().startswith("x-")]
    assert request.headers["User-Agent"].startswith("wiro-dagster/")
    assert KEY not in str(request.headers)


def test_a_file_of_unknown_length_arrives_whole(server: ScriptedServer, client: WiroClient) -> None:
    """A missing Content-Length is None, and so is one of a chunked body."""
    heads = [
        b"HTTP/1.1 200 OK\r\n\r\n" + VIDEO,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"%x\r\n" % len(VIDEO)
        + VIDEO
        + b"\r\n0\r\n\r\n",
    ]
    for raw in heads:
        server.script(Reply(raw=raw))
        with client.download(f"http://localhost:{server.port}/a") as download:
            assert download.content_length is None
            assert b"".join(download.chunks()) == VIDEO


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(status=404), "HTTP 404"),
        (Reply(status=403), "HTTP 403"),
        (Reply(status=500), "HTTP 500"),
        (Reply(status=206, body=b"half"), "HTTP 206"),
        (Reply(status=302), "redirects to nowhere"),
        (Reply(status=302, headers={"Location": "//[x"}), "cannot be fetched"),
        (Reply(body=b"<html>", headers={"Content-Type": "text/html; charset=utf-8"}), "HTML"),
        (Reply(), "is empty"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\n\r\n"), "is empty"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), "cut short|not HTTP"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", ending="reset"), "whole"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc"), "whole"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "whole"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nx"), "sent compressed"),
        (Reply(raw=b"", ending="reset"), "cannot be fetched"),
        (Reply(raw=b"SSH-2.0\r\n"), "cannot be fetched"),
        (Reply(delay_seconds=0.6), "no answer in time"),
    ],
)
def test_a_file_that_does_not_arrive_whole_may_be_fetched_again(
    server: ScriptedServer, client: WiroClient, reply: Reply, words: str
) -> None:
    """Every fault of the way is a DownloadError that is not final and names host and path only."""
    server.script(reply)
    asking = build_hasty(server) if reply.delay_seconds else client
    with asking, pytest.raises(DownloadError, match=words) as caught:
        fetch(asking, f"http://localhost:{server.port}/dir/a.mp4?signature=s3cr3t")
    assert not caught.value.is_final
    assert f"http://localhost:{server.port}/dir/a.mp4" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_a_stalled_file_is_given_up(server: ScriptedServer) -> None:
    """Silence in the middle ends the download."""
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"
    server.script(Reply(raw=raw + b"d" * 90, trickle_seconds=0.4))
    with build_hasty(server) as client, pytest.raises(DownloadError, match="no answer in time"):
        fetch(client, f"http://localhost:{server.port}/a")


def test_a_trickling_file_is_given_up(server: ScriptedServer, client: WiroClient) -> None:
    """Bytes that keep coming, but too slowly, end the download, too."""
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n" + b"x" * 400
    server.script(Reply(raw=raw, trickle_seconds=0.005))
    url = f"http://localhost:{server.port}/a"
    with (
        pytest.raises(DownloadError, match="no answer in time"),
        client.download(url, longest_seconds=0.2) as download,
    ):
        list(download.chunks())


def test_a_server_that_is_not_there_may_be_asked_again() -> None:
    """No connection is not final."""
    port = free_port()
    with pytest.raises(DownloadError, match="refused") as caught:
        fetch(build_client(f"127.0.0.1:{port}"), f"http://127.0.0.1:{port}/a")
    assert not caught.value.is_final


@pytest.mark.parametrize(
    ("url", "setting"),
    [
        ("https://evil.example/a.mp4", "WIRO_CDN_HOSTS"),
        ("https://cdn.wiro.ai.evil.example/a", "WIRO_CDN_HOSTS"),
        ("https://evil.example\\@cdn.wiro.ai/a", "WIRO_CDN_HOSTS"),
        ("https://evil.example#@cdn.wiro.ai/a", "WIRO_CDN_HOSTS"),
        ("http://localhost/a", "WIRO_CDN_HOSTS"),
        ("http://127.0.0.1/a", "WIRO_CDN_HOSTS"),
        ("http://169.254.169.254/latest/meta-data", "WIRO_CDN_HOSTS"),
        ("http://cdn.wiro.ai/a", "allow_http_hosts"),
    ],
)
def test_a_host_that_is_not_allowed_is_a_fault_of_configuration(url: str, setting: str) -> None:
    """The download can go on once the setting is changed, so it is not final; both are named."""
    with pytest.raises(DownloadError, match=setting) as caught:
        fetch(build_client("cdn.wiro.ai"), url)
    assert (caught.value.is_configuration, caught.value.is_final) == (True, False)
    host = url.split("/")[2].split("\\", maxsplit=1)[0].split("#", maxsplit=1)[0]
    assert f"add {host} to" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.wiro.ai@evil.example/a",
        "https://cdn.wiro.ai:pw@cdn.wiro.ai/a",
        "file:///etc/passwd",
        "ftp://cdn.wiro.ai/a",
        "//cdn.wiro.ai/a",
        "/a.mp4",
        "https://[",
        "https://",
        "",
    ],
)
def test_what_is_not_an_address_on_the_web_is_refused_for_good(url: str) -> None:
    """No setting could ever allow it, and no credentials are sent or shown."""
    with pytest.raises(DownloadError) as caught:
        fetch(build_client("cdn.wiro.ai"), url)
    assert (caught.value.is_configuration, caught.value.is_final) == (False, True)
    assert "pw" not in str(caught.value)


def test_a_page_is_told_from_a_video_that_is_called_one(
    server: ScriptedServer, client: WiroClient
) -> None:
    """Only a body that looks like a page is one; a wrong type does not cost a video."""
    server.script(Reply(body=VIDEO, headers={"Content-Type": "text/html"}))
    assert fetch(client, f"http://localhost:{server.port}/a") == VIDEO


def test_the_name_of_a_host_is_compared_without_case(
    server: ScriptedServer, client: WiroClient
) -> None:
    """A host is the same in capitals."""
    server.script(Reply(body=b"x"))
    assert fetch(client, f"HTTP://LocalHost:{server.port}/a") == b"x"


def test_redirects_are_followed_between_allowed_hosts(
    server: ScriptedServer, client: WiroClient
) -> None:
    """Relative and absolute targets; five of them are the most."""
    there = Reply(status=302, headers={"Location": "/b?x=1"})
    onward = Reply(status=307, headers={"Location": f"http://localhost:{server.port}/c"})
    server.script(there, onward, there, onward, there, Reply(body=b"x"))
    assert fetch(client, f"http://localhost:{server.port}/a") == b"x"
    assert [request.path for request in server.received[:3]] == ["/a", "/b?x=1", "/c"]
    server.script(there)
    with pytest.raises(DownloadError, match="after 5 redirects"):
        fetch(client, f"http://localhost:{server.port}/a")
    assert len(server.received) == 12


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1:{port}/a", "https://evil.example/a", "file:///etc/passwd", "//user@[::1]/"],
)
def test_a_redirect_to_elsewhere_is_refused(
    server: ScriptedServer, client: WiroClient, target: str
) -> None:
    """An allowed host cannot send us to another one."""
    location = target.format(port=server.port)
    server.script(Reply(status=302, headers={"Location": location}), Reply(body=b"stolen"))
    with pytest.raises(DownloadError) as caught:
        fetch(client, f"http://localhost:{server.port}/a")
    assert caught.value.is_final or caught.value.is_configuration
    assert len(server.received) == 1


@pytest.mark.parametrize(
    "head", [b"Content-Length: 1000\r\n", b""], ids=["announced", "not announced"]
)
def test_a_file_larger_than_allowed_is_refused_for_good(
    server: ScriptedServer, client: WiroClient, head: bytes
) -> None:
    """By what is announced, and by what arrives."""
    server.script(Reply(raw=b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + b"x" * 1000))
    url = f"http://localhost:{server.port}/a"
    with pytest.raises(DownloadError, match="larger than the 999 bytes") as caught:
        fetch(client, url, max_bytes=999)
    assert caught.value.is_final
    assert len(fetch(client, url, max_bytes=1000)) == 1000


def test_a_download_takes_little_memory(server: ScriptedServer, client: WiroClient) -> None:
    """Sixteen megabytes pass in chunks."""
    server.script(Reply(body=bytes(16_000_000)))
    with client.download(f"http://localhost:{server.port}/a") as download:
        tracemalloc.start()
        size_bytes = sum(len(chunk) for chunk in download.chunks())
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert size_bytes == 16_000_000
    assert peak_bytes < 3_000_000


def test_a_download_that_is_left_early_closes_its_connection(
    server: ScriptedServer, client: WiroClient
) -> None:
    """The next download is not fed the rest of the last one."""
    server.script(Reply(body=VIDEO), Reply(body=b"next"))
    with client.download(f"http://localhost:{server.port}/a") as download:
        next(download.chunks())
    assert fetch(client, f"http://localhost:{server.port}/b") == b"next"


def test_files_of_one_host_come_over_one_connection(
    server: ScriptedServer, client: WiroClient
) -> None:
    """A connection whose file was read to its end is kept for the next one."""
    server.script(Reply(body=VIDEO))
    for number in range(5):
        assert fetch(client, f"http://localhost:{server.port}/{number}") == VIDEO
    assert len({request.client_port for request in server.received}) == 1


def test_downloads_side_by_side_open_as_many_connections_as_there_are_threads(
    server: ScriptedServer, client: WiroClient
) -> None:
    """Twelve files by three threads take three connections at most."""
    server.script(Reply(body=VIDEO))
    urls = [f"http://localhost:{server.port}/{number}" for number in range(12)]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(partial(fetch, client), urls)) == [VIDEO] * 12
    assert len({request.client_port for request in server.received}) <= 3


@pytest.mark.parametrize("ending", ["close", "reset"])
def test_a_kept_connection_that_the_server_drops_costs_no_try(
    server: ScriptedServer, client: WiroClient, ending: Literal["close", "reset"]
) -> None:
    """The file is asked for once more, on a fresh connection; a fault there is told."""
    dropped = Reply(raw=b"", ending=ending)
    server.script(Reply(body=b"first"), dropped, Reply(body=b"second"), dropped)
    url = f"http://localhost:{server.port}/a"
    assert fetch(client, url) == b"first"
    assert fetch(client, url) == b"second"
    with pytest.raises(DownloadError, match="Try again"):
        fetch(client, url)
    assert len({request.client_port for request in server.received[:3]}) == 2


def test_bytes_after_the_end_of_a_file_do_not_reach_the_next_one(
    server: ScriptedServer, client: WiroClient
) -> None:
    """A server that sends more than it announced gets no say in the next file."""
    more = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"
    server.script(Reply(body=b"first" + more, headers={"Content-Length": "5"}), Reply(body=b"next"))
    url = f"http://localhost:{server.port}/a"
    assert fetch(client, url) == b"first"
    assert fetch(client, url) == b"next"


def test_a_cookie_of_the_cdn_is_not_kept(server: ScriptedServer, client: WiroClient) -> None:
    """One download tells nothing about the next."""
    server.script(Reply(body=b"x", headers={"Set-Cookie": "visitor=1; Path=/"}))
    for _ in range(2):
        fetch(client, f"http://localhost:{server.port}/a")
    assert "Cookie" not in server.received[1].headers
