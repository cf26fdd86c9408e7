"""The client against a real server: what it sends, and what it does about faults."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.api.test_server import (
    HTML_REPLY,
    KEY,
    RESET,
    RUN_ACCEPTED,
    SECRET,
    TOKEN,
    Reply,
    ScriptedServer,
    build_json_reply,
    build_refusal,
)
from tests.support.ports import free_port
from wiro_dagster.api.auth import Credentials, sign
from wiro_dagster.api.client import WiroClient
from wiro_dagster.api.types import LocalFile, Submission
from wiro_dagster.errors import (
    ApiError,
    ConfigurationError,
    InputError,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    RequestRefused,
    ServiceUnreachable,
)

MODEL = "minimax/hailuo-2-3"
CREDENTIALS = Credentials(KEY, SECRET)
TASK = {
    "id": "2221",
    "status": "task_start",
    "socketaccesstoken": TOKEN,
    "modelslugowner": "minimax",
    "modelslugproject": "hailuo-2-3",
}
TASK_REPLY = build_json_reply({"result": True, "total": "1", "tasklist": [TASK]})


class Naps:
    """Counts the sleeps of a client and takes none."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """Give a server to script."""
    with ScriptedServer().running() as running:
        yield running


@pytest.fixture
def naps() -> Naps:
    """Give the sleeps that the client would have taken."""
    return Naps()


@pytest.fixture
def client(server: ScriptedServer, naps: Naps) -> Iterator[WiroClient]:
    """Give a client of that server."""
    with build_client(server, naps, seconds=30.0) as opened:
        yield opened


@pytest.fixture
def hasty(server: ScriptedServer, naps: Naps) -> Iterator[WiroClient]:
    """Give a client of that server, with little patience."""
    with build_client(server, naps, seconds=1.0) as opened:
        yield opened


def build_client(server: ScriptedServer, naps: Naps, *, seconds: float) -> WiroClient:
    """Return a client that waits so long for an answer."""
    return WiroClient(
        CREDENTIALS,
        base_url=server.base_url,
        read_timeout_seconds=seconds,
        submit_timeout_seconds=seconds,
        sleep=naps,
    )


READS: list[Callable[[WiroClient], object]] = [
    lambda client: client.get_task("2221"),
    lambda client: client.list_tasks(),
    lambda client: client.cancel_task("2221"),
    lambda client: client.kill_task("2221"),
    lambda client: client.delete_task_files(TOKEN),
    lambda client: client.get_model(MODEL),
    lambda client: client.list_models(),
    lambda client: client.upload_file(Path(__file__)),
]


def test_a_run_is_signed_json_with_our_user_agent(
    server: ScriptedServer, client: WiroClient
) -> None:
    """Inputs and callback go as one JSON object; numbers, truths and lists keep their kind."""
    server.script(RUN_ACCEPTED)
    inputs = {"prompt": "a träm", "steps": 4, "strength": 0.5, "fast": True, "urls": ["a", "b"]}
    submission = client.submit(
        MODEL, inputs, callback_url="https://me.example/hook", project_id="7"
    )
    assert submission == Submission("2221", TOKEN)
    (request,) = server.received
    assert request.path == "/v1/Run/minimax/hailuo-2-3"
    assert request.fields == {
        **inputs,
        "callbackUrl": "https://me.example/hook",
        "projectid": "7",
    }
    headers = request.headers
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"].startswith("wiro-dagster/")
    assert headers["User-Agent"].endswith(" (+requests)")
    assert headers["x-signature"] == sign(KEY, SECRET, headers["x-nonce"])


def test_a_run_leaves_out_what_is_not_given(server: ScriptedServer, client: WiroClient) -> None:
    """No callback and no project means no such fields."""
    server.script(RUN_ACCEPTED)
    client.submit(MODEL, {"prompt": "x"})
    assert server.received[0].fields == {"prompt": "x"}


@pytest.mark.parametrize(
    "reply",
    [
        HTML_REPLY,
        RESET,
        Reply(status=500),
        Reply(status=503, headers={"Retry-After": "0"}),
        Reply(body=b"{broken"),
        Reply(raw=b""),
        Reply(raw=b"nonsense\r\n\r\n"),
        Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"),
        Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{"),
        Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"),
        Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}"),
        Reply(raw=b"HTTP/1.1 302 Found\r\nLocation: \xff\xfe://[\r\nContent-Length: 0\r\n\r\n"),
        Reply(raw=b"HTTP/1.1 307 Again\r\nLocation: /v1/Run/a/b\r\nContent-Length: 0\r\n\r\n"),
        Reply(delay_seconds=1.6, body=RUN_ACCEPTED.body),
        build_refusal(0, "Server fault."),
        build_json_reply({"result": True}),
    ],
)
def test_a_run_whose_answer_is_lost_is_unknown_and_sent_once(
    server: ScriptedServer, client: WiroClient, hasty: WiroClient, naps: Naps, reply: Reply
) -> None:
    """Whatever happens once the run has left, it is never repeated from here."""
    server.script(reply, RUN_ACCEPTED)
    with pytest.raises(OutcomeUnknown, match="before submitting again"):
        (hasty if reply.delay_seconds else client).submit(MODEL, {"prompt": "x"})
    assert len(server.received) == 1
    assert naps.seconds == []


def test_a_run_that_trickles_in_is_unknown_in_time(
    server: ScriptedServer, hasty: WiroClient
) -> None:
    """One byte now and then keeps a socket alive, but not the call."""
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + b" " * 200
    server.script(Reply(raw=raw, trickle_seconds=0.01))
    with pytest.raises(OutcomeUnknown, match="no answer in time"):
        hasty.submit(MODEL, {"prompt": "x"})


@pytest.mark.parametrize(
    ("base_url", "words"),
    [
        # Nothing listens on the port "discard"; a fixed one keeps the tests' names the same.
        ("http://127.0.0.1:9/v1", "refused"),
        ("https://127.0.0.1:9/v1", "refused"),
        ("http://no-such-host.invalid/v1", "not found"),
    ],
)
@pytest.mark.parametrize("call", [lambda c: c.submit(MODEL, {"prompt": "x"}), READS[0]])
def test_a_server_that_is_not_there_accepted_nothing(
    base_url: str, words: str, call: Callable[[WiroClient], object]
) -> None:
    """Refused connections and unknown names mean for sure that nothing was created."""
    client = WiroClient(
        CREDENTIALS, base_url=base_url, allow_http_hosts=["no-such-host.invalid"], sleep=Naps()
    )
    with pytest.raises(ServiceUnreachable, match=words):
        call(client)


def test_a_server_without_tls_accepted_nothing(server: ScriptedServer) -> None:
    """Where TLS is not agreed on, the run never left."""
    base_url = server.base_url.replace("http://", "https://")
    with pytest.raises(ServiceUnreachable, match="TLS failed"):
        WiroClient(CREDENTIALS, base_url=base_url).submit(MODEL, {"prompt": "x"})
    assert server.received == []


def test_a_connection_that_is_never_made_accepted_nothing() -> None:
    """A connect timeout means that nothing was sent."""
    # 192.0.2.0/24 is reserved for documents; packets to it lead nowhere or are refused.
    client = WiroClient(
        CREDENTIALS,
        base_url="http://192.0.2.1/v1",
        allow_http_hosts=["192.0.2.1"],
        connect_timeout_seconds=0.2,
        sleep=Naps(),
    )
    with pytest.raises(ServiceUnreachable, match="Nothing was sent"):
        client.submit(MODEL, {"prompt": "x"})


@pytest.mark.parametrize("fault", [HTML_REPLY, RESET, Reply(status=429), Reply(status=500)])
@pytest.mark.parametrize("call", READS)
def test_a_read_is_repeated_after_a_fault_with_a_fresh_signature(
    server: ScriptedServer, client: WiroClient, fault: Reply, call: Callable[[WiroClient], Any]
) -> None:
    """Every endpoint but Run is tried again, whole, and no nonce is sent twice."""
    answer = build_json_reply(
        {"result": True, "tasklist": [TASK], "tool": [{"title": "x"}], "list": [{"id": "1"}]}
    )
    server.script(fault, fault, answer)
    call(client)
    assert len(server.received) == 3
    assert len({request.headers["x-nonce"] for request in server.received}) == 3
    assert {request.path for request in server.received} == {server.received[0].path}
    assert {len(request.body) for request in server.received} == {len(server.received[0].body)}
    for request in server.received:
        nonce = request.headers["x-nonce"]
        assert request.headers["x-signature"] == sign(KEY, SECRET, nonce)


def test_a_read_that_stays_unlucky_ends_as_unknown(
    server: ScriptedServer, client: WiroClient, naps: Naps
) -> None:
    """After the last attempt the last answer counts."""
    server.script(HTML_REPLY)
    with pytest.raises(OutcomeUnknown, match="502 Bad Gateway"):
        client.get_task("2221")
    assert len(server.received) == 4
    assert len(naps.seconds) == 3


def test_a_read_that_times_out_is_repeated(server: ScriptedServer, hasty: WiroClient) -> None:
    """A silent server is asked again."""
    server.script(Reply(delay_seconds=1.6), TASK_REPLY)
    assert hasty.get_task("2221").id == "2221"


def test_a_refused_read_is_not_repeated(server: ScriptedServer, client: WiroClient) -> None:
    """A negative envelope is an answer."""
    server.script(build_refusal(1, "There is no task yet."))
    with pytest.raises(NotFound):
        client.get_task("2221")
    assert len(server.received) == 1


def test_a_read_waits_as_long_as_a_429_asks(
    server: ScriptedServer, client: WiroClient, naps: Naps
) -> None:
    """Retry-After is slept for, within reason."""
    server.script(Reply(status=429, headers={"Retry-After": "7"}), TASK_REPLY)
    client.get_task("2221")
    assert naps.seconds[0] == 7.0


def test_a_429_with_a_long_wait_is_left_to_the_caller(
    server: ScriptedServer, client: WiroClient, naps: Naps
) -> None:
    """Half an hour is not slept for: RateLimited says how long it is."""
    server.script(Reply(status=429, headers={"Retry-After": "1800"}))
    with pytest.raises(RateLimited) as caught:
        client.get_task("2221")
    assert caught.value.retry_after_seconds == 1800.0
    assert naps.seconds == []


def test_a_429_on_a_read_holds_back_a_run_without_sleeping(
    server: ScriptedServer, client: WiroClient, naps: Naps
) -> None:
    """Submitting within the slow-down raises at once and sends nothing."""
    server.script(Reply(status=429, headers={"Retry-After": "1800"}))
    with pytest.raises(RateLimited):
        client.get_task("2221")
    with pytest.raises(RateLimited) as caught:
        client.submit(MODEL, {"prompt": "x"})
    assert caught.value.retry_after_seconds == pytest.approx(300, abs=5)
    assert len(server.received) == 1
    assert naps.seconds == []


def test_a_429_on_a_run_is_told_at_once_and_slows_the_reads(
    server: ScriptedServer, client: WiroClient, naps: Naps
) -> None:
    """A run is not repeated after a 429 either, and the reads wait their turn."""
    server.script(Reply(status=429, headers={"Retry-After": "9"}), TASK_REPLY)
    with pytest.raises(RateLimited) as caught:
        client.submit(MODEL, {"prompt": "x"})
    assert caught.value.retry_after_seconds == 9.0
    assert naps.seconds == []
    client.get_task("2221")
    assert naps.seconds == [pytest.approx(9.0, abs=0.5)]


def test_tasks_are_listed_newest_first_in_pages(server: ScriptedServer, client: WiroClient) -> None:
    """The page is asked for in strings, at most 100 long, and counted by Wiro's total."""
    server.script(build_json_reply({"result": True, "total": "250", "tasklist": [TASK]}))
    page = client.list_tasks(start=100, limit=500)
    assert (page.total, [task.id for task in page.tasks]) == (250, ["2221"])
    assert server.received[0].fields == {
        "type": "model",
        "sort": "id",
        "order": "DESC",
        "start": "100",
        "limit": "100",
    }


def test_a_task_is_never_taken_for_another(server: ScriptedServer, client: WiroClient) -> None:
    """An answer about other tasks is unknown; an empty one means that there is none."""
    server.script(TASK_REPLY)
    with pytest.raises(OutcomeUnknown, match="a task other than"):
        client.get_task("9")
    server.script(build_json_reply({"result": True, "total": "0", "tasklist": []}))
    with pytest.raises(NotFound):
        client.get_task("9")


@pytest.mark.parametrize("tasklist", [None, "x", {}, ["x"], [{}], [{"id": None}]])
def test_a_list_of_tasks_that_cannot_be_read_is_unknown(
    server: ScriptedServer, client: WiroClient, tasklist: object
) -> None:
    """An unreadable list never passes for an empty one: absence would be paid for."""
    server.script(build_json_reply({"result": True, "tasklist": tasklist}))
    with pytest.raises(OutcomeUnknown):
        client.get_task("2221")
    with pytest.raises(OutcomeUnknown):
        client.list_tasks()


@pytest.mark.parametrize("call", [READS[5], READS[6], READS[7]])
@pytest.mark.parametrize("fields", [{}, {"tool": 5, "list": 5}, {"tool": "{}", "list": [{}]}])
def test_an_answer_without_its_content_is_unknown(
    server: ScriptedServer,
    client: WiroClient,
    call: Callable[[WiroClient], object],
    fields: dict[str, object],
) -> None:
    """A positive envelope with nothing usable in it is not taken for a result."""
    server.script(build_json_reply({"result": True, **fields}))
    with pytest.raises(OutcomeUnknown, match="no usable"):
        call(client)


def test_a_task_is_cancelled_and_killed_by_its_id(
    server: ScriptedServer, client: WiroClient
) -> None:
    """Both name the task by `taskid`; files are deleted by token."""
    server.script(TASK_REPLY)
    client.cancel_task("2221")
    client.kill_task("2221")
    client.delete_task_files(TOKEN)
    assert [(request.path, request.fields) for request in server.received] == [
        ("/v1/Task/Cancel", {"taskid": "2221"}),
        ("/v1/Task/Kill", {"taskid": "2221"}),
        ("/v1/Task/InputOutputDelete", {"tasktoken": TOKEN}),
    ]


def test_a_model_is_found_by_its_slug(server: ScriptedServer, client: WiroClient) -> None:
    """Of several models the one asked for is read; a single one counts however it is spelled."""
    tools = [
        {"slugowner": "a", "slugproject": "b", "title": "other"},
        {"slugowner": "minimax", "slugproject": "hailuo-2-3", "title": "Hailuo"},
    ]
    server.script(build_json_reply({"result": True, "tool": tools}))
    model = client.get_model(MODEL)
    assert (model.slug, model.title) == (MODEL, "Hailuo")
    assert server.received[0].fields == {"slugowner": "minimax", "slugproject": "hailuo-2-3"}
    server.script(build_json_reply({"result": True, "tool": tools[:1]}))
    assert client.get_model(MODEL).title == "other"
    server.script(build_json_reply({"result": True, "tool": []}))
    with pytest.raises(NotFound):
        client.get_model(MODEL)


def test_models_are_searched(server: ScriptedServer, client: WiroClient) -> None:
    """The search goes along; entries without a slug are left out."""
    tools = [{"slugowner": "a", "slugproject": "b", "categories": ["video"]}, {"title": "?"}]
    server.script(build_json_reply({"result": True, "total": 40, "tool": tools}))
    total, models = client.list_models("tram", start=20, limit=10)
    assert total == 40
    assert [(model.slug, model.categories) for model in models] == [("a/b", ("video",))]
    assert server.received[0].fields == {
        "start": "20",
        "limit": "10",
        "hideworkflows": True,
        "summary": True,
        "search": "tram",
    }


def test_a_file_is_uploaded(server: ScriptedServer, client: WiroClient, tmp_path: Path) -> None:
    """The file goes as a form, with its folder, and comes back as Wiro keeps it."""
    path = tmp_path / "first frame.png"
    path.write_bytes(b"\x89PNG-bytes")
    kept = {"id": "9", "url": "https://cdn.wiro.ai/9.png", "contenttype": "image/png", "size": "10"}
    server.script(build_json_reply({"result": True, "list": [kept]}))
    uploaded = client.upload_file(path, folder_id="12")
    assert (uploaded.id, uploaded.name, uploaded.size_bytes) == ("9", "first frame.png", 10)
    body = server.received[0].body
    assert b'name="folderid"\r\n\r\n12\r\n' in body
    assert b'name="file"; filename="first frame.png"\r\nContent-Type: image/png' in body
    assert b"\x89PNG-bytes" in body


def test_a_run_with_a_local_file_is_a_form(
    server: ScriptedServer, client: WiroClient, tmp_path: Path
) -> None:
    """One local file among the inputs turns the run into multipart."""
    path = tmp_path / "face.jpg"
    path.write_bytes(b"jpeg")
    server.script(RUN_ACCEPTED)
    client.submit(MODEL, {"prompt": "x", "inputImageFirst": LocalFile(path)})
    (request,) = server.received
    assert request.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert request.headers["Content-Length"] == str(len(request.body))
    assert b'name="inputImageFirst"; filename="face.jpg"' in request.body


@pytest.mark.parametrize(
    "slug", ["", "hailuo", "a/b/c", "../Task/Kill", "a/..", "a/b?c=d", "a/b#c", "a b/c", "a/b\n"]
)
def test_a_malformed_slug_is_refused_before_anything_is_sent(
    server: ScriptedServer, client: WiroClient, slug: str
) -> None:
    """A slug can name a model and nothing else."""
    for call in (lambda: client.submit(slug, {}), lambda: client.get_model(slug)):
        with pytest.raises(InputError):
            call()
    assert server.received == []


def test_an_input_that_cannot_be_sent_is_refused_before_anything_is_sent(
    server: ScriptedServer, client: WiroClient, tmp_path: Path
) -> None:
    """Missing files, not-a-number and foreign objects are InputErrors that name the input."""
    for value in (LocalFile(tmp_path / "missing.png"), float("nan"), object(), {1, 2}):
        with pytest.raises(InputError, match="seed"):
            client.submit(MODEL, {"seed": value})
    assert server.received == []


@pytest.mark.parametrize(
    "base_url",
    ["", "api.wiro.ai", "ftp://x/v1", "https://", "https://u:p@x/v1", "https://x/?a=b", "http://["],
)
def test_a_malformed_base_url_is_refused_at_once(base_url: str) -> None:
    """The setting is checked when the client is made, and a password in it is not shown."""
    with pytest.raises(ConfigurationError) as caught:
        WiroClient(CREDENTIALS, base_url=base_url)
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize(
    "setting",
    [
        {"read_attempts": 0},
        {"pool_size": 0},
        {"connect_timeout_seconds": 0},
        {"read_timeout_seconds": -1},
        {"submit_timeout_seconds": 0},
    ],
)
def test_a_setting_out_of_range_is_refused_at_once(setting: dict[str, Any]) -> None:
    """No client without attempts, connections or timeouts."""
    with pytest.raises(ConfigurationError):
        WiroClient(CREDENTIALS, **setting)


def test_a_slash_at_the_end_of_the_base_url_changes_nothing(server: ScriptedServer) -> None:
    """A run through such a URL still goes once."""
    server.script(RESET)
    client = WiroClient(CREDENTIALS, base_url=server.base_url + "/")
    with pytest.raises(OutcomeUnknown):
        client.submit(MODEL, {"prompt": "x"})
    assert [request.path for request in server.received] == [f"/v1/Run/{MODEL}"]


def test_cookies_and_netrc_stay_away(
    server: ScriptedServer, client: WiroClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what a server sets nor what the machine holds for the host is sent along."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password pw\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.script(build_json_reply({"result": True, "tasklist": [TASK]}, Set_Cookie="a=b; Path=/"))
    client.get_task("2221")
    client.get_task("2221")
    assert not {"Cookie", "Authorization"} & set(server.received[1].headers)


def test_a_proxy_of_the_environment_is_not_used_for_this_machine(
    server: ScriptedServer, client: WiroClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An emulator on this machine is reached where the network needs a proxy, too."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{free_port()}")
    server.script(TASK_REPLY)
    assert client.get_task("2221").id == "2221"


def test_one_client_serves_many_threads(server: ScriptedServer, client: WiroClient) -> None:
    """Sixteen threads read at once, each with nonces of its own."""
    server.script(TASK_REPLY)
    failures: list[ApiError] = []

    def read() -> None:
        try:
            for _ in range(5):
                client.get_task("2221")
        except ApiError as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len({request.headers["x-nonce"] for request in server.received}) == 80


def test_a_forked_child_has_connections_of_its_own(
    server: ScriptedServer, client: WiroClient
) -> None:
    """Parent and child never read each other's answers from one connection."""
    server.script(RUN_ACCEPTED, TASK_REPLY, RUN_ACCEPTED, TASK_REPLY, RUN_ACCEPTED, TASK_REPLY)

    def call() -> str:
        return client.submit(MODEL, {"prompt": "x"}).task_id + client.get_task("2221").id

    call()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            os._exit(0 if call() == "22212221" else 1)
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    call()
    run, read, forked_run, forked_read, last_run, last_read = (
        request.client_port for request in server.received
    )
    assert (run, read) == (last_run, last_read)
    assert len({run, read, forked_run, forked_read}) == 4


def test_an_answer_that_unpacks_to_too_much_is_unknown(
    server: ScriptedServer, client: WiroClient
) -> None:
    """A few kilobytes cannot fill the memory."""
    bomb = gzip.compress(bytes(70_000_000))
    server.script(Reply(body=bomb, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(OutcomeUnknown):
        client.submit(MODEL, {"prompt": "x"})


def test_a_wrong_endpoint_is_final(server: ScriptedServer, client: WiroClient) -> None:
    """HTTP 404 without a code means a wrong base URL, not a missing task."""
    server.script(Reply(status=404, body=b"<html></html>"))
    with pytest.raises(RequestRefused) as caught:
        client.get_task("2221")
    assert not isinstance(caught.value, NotFound)
