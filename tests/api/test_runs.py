"""What is added to runs by configuration, tasks by token, refused credentials, Wiro's clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest

from tests.api.test_client import CREDENTIALS, MODEL, READS, TASK, TASK_REPLY
from tests.api.test_server import (
    RUN_ACCEPTED,
    TOKEN,
    Reply,
    ScriptedServer,
    build_json_reply,
    build_refusal,
)
from wiro_dagster.api.client import WiroClient
from wiro_dagster.api.clock import ServerClock
from wiro_dagster.errors import (
    AuthenticationRefused,
    ConfigurationError,
    InputError,
    NotFound,
    OutcomeUnknown,
    RequestRefused,
)

UNKNOWN_TASK = build_refusal(1, "There is no task yet.")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """Give a server to script."""
    with ScriptedServer().running() as running:
        yield running


def build_client(server: ScriptedServer, **settings: Any) -> WiroClient:
    """Return a client of that server."""
    return WiroClient(CREDENTIALS, base_url=server.base_url, sleep=lambda _: None, **settings)


def test_configured_headers_and_fields_go_with_runs_only(server: ScriptedServer) -> None:
    """The marker fills them in; a read carries none of them."""
    client = build_client(
        server,
        run_headers={"X-Run-Key": "k-{marker}", "X-Team": "ads"},
        run_fields={"runKey": "{marker}/{marker}", "team": "ads"},
    )
    server.script(RUN_ACCEPTED, TASK_REPLY)
    client.submit(MODEL, {"prompt": "{marker}"}, marker="m1")
    client.get_task("2221")
    run, read = server.received
    assert (run.headers["X-Run-Key"], run.headers["X-Team"]) == ("k-m1", "ads")
    assert run.fields == {"prompt": "{marker}", "runKey": "m1/m1", "team": "ads"}
    assert not {"X-Run-Key", "X-Team"} & set(read.headers)
    assert read.fields == {"taskid": "2221"}


def test_without_a_marker_what_needs_one_is_left_out(server: ScriptedServer) -> None:
    """An unfilled value would be the same for every run, and Wiro might take them for one."""
    client = build_client(
        server, run_headers={"X-Run-Key": "{marker}"}, run_fields={"runKey": "{marker}", "a": "b"}
    )
    server.script(RUN_ACCEPTED)
    client.submit(MODEL, {"prompt": "x"})
    assert "X-Run-Key" not in server.received[0].headers
    assert server.received[0].fields == {"prompt": "x", "a": "b"}


@pytest.mark.parametrize(
    "settings",
    [
        {"run_headers": {"x-api-key": "other"}},
        {"run_headers": {"Content-Length": "1"}},
        {"run_headers": {"bad name": "x"}},
        {"run_headers": {"X-A": "line\r\nX-B: 1"}},
        {"run_headers": {"X-A": "ä"}},
        {"run_fields": {"": "x"}},
        {"run_fields": {"callbackUrl": "x"}},
    ],
)
def test_a_header_or_field_that_would_spoil_runs_is_refused_at_once(
    server: ScriptedServer, settings: dict[str, Any]
) -> None:
    """Ours cannot be replaced, and nothing can break out of its line."""
    with pytest.raises(ConfigurationError, match="run_"):
        build_client(server, **settings)


def test_a_configured_field_never_replaces_an_input(server: ScriptedServer) -> None:
    """The clash is told, and nothing is sent."""
    with pytest.raises(InputError, match="prompt"):
        build_client(server, run_fields={"prompt": "x"}).submit(MODEL, {"prompt": "y"})
    assert server.received == []


def test_a_marker_that_wiro_repeats_stays_out_of_messages(server: ScriptedServer) -> None:
    """It proves that a run is ours, so nobody else should read it in a log."""
    server.script(build_refusal(0, "seed must be between 0 and 1, run m-4711-secret"))
    with pytest.raises(RequestRefused) as caught:
        build_client(server).submit(MODEL, {}, marker="m-4711-secret")
    assert "4711" not in str(caught.value)


def test_an_accepted_run_with_an_odd_id_is_unknown(server: ScriptedServer) -> None:
    """It may exist and be billed, so it is never dropped or stored as it is."""
    for task_id in ("x" * 256, "a b", "\u202e1"):
        server.script(build_json_reply({"result": True, "taskid": task_id}))
        with pytest.raises(OutcomeUnknown, match="unusable task id"):
            build_client(server).submit(MODEL, {"prompt": "x"})


def test_a_task_is_read_by_its_token(server: ScriptedServer) -> None:
    """Both documented names of the request are ours; the answer has to be about that task."""
    client = build_client(server)
    server.script(TASK_REPLY)
    assert client.get_task(token=TOKEN).id == "2221"
    assert server.received[0].fields == {"tasktoken": TOKEN}
    server.script(build_json_reply({"result": True, "tasklist": [{"id": "7"}]}))
    assert client.get_task(token=TOKEN).id == "7"
    server.script(
        build_json_reply({"result": True, "tasklist": [{"id": "7"}, {"id": "8"}]}),
        build_json_reply({"result": True, "tasklist": [{**TASK, "socketaccesstoken": "other"}]}),
    )
    for _ in range(2):
        with pytest.raises(OutcomeUnknown, match="a task other than") as caught:
            client.get_task(token=TOKEN)
        assert TOKEN not in str(caught.value)
    with pytest.raises(InputError):
        client.get_task()


def test_a_task_that_is_unknown_by_id_is_read_by_its_token(server: ScriptedServer) -> None:
    """Without a token the refusal stands."""
    server.script(UNKNOWN_TASK, TASK_REPLY)
    assert build_client(server).get_task("2221", token=TOKEN).id == "2221"
    server.script(UNKNOWN_TASK)
    with pytest.raises(NotFound):
        build_client(server).get_task("2221")


def test_a_task_that_is_unknown_by_id_is_killed_by_its_token(server: ScriptedServer) -> None:
    """The id goes first; the token is tried only after "unknown"."""
    client = build_client(server)
    server.script(TASK_REPLY)
    client.kill_task("2221", TOKEN)
    server.script(UNKNOWN_TASK, TASK_REPLY)
    client.kill_task("2221", TOKEN)
    assert [request.fields for request in server.received] == [
        {"taskid": "2221"},
        {"taskid": "2221"},
        {"socketaccesstoken": TOKEN},
    ]
    server.script(UNKNOWN_TASK)
    with pytest.raises(NotFound):
        client.kill_task("2221")


@pytest.mark.parametrize("call", READS)
@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=401),
        build_refusal(1, "There is no task yet.", 401),
        build_refusal(0, "Project authorization is not valid."),
        build_refusal(98, "Sign in."),
    ],
)
def test_a_refused_credential_is_told_by_every_read(
    server: ScriptedServer, call: Any, reply: Reply
) -> None:
    """A key that was revoked while tasks run must not look like tasks that do not exist."""
    server.script(reply)
    with pytest.raises(AuthenticationRefused):
        call(build_client(server))


def test_the_offset_of_wiros_clock_is_measured(server: ScriptedServer) -> None:
    """By the Date of any answer, also of a refusal, against the injected wall clock."""
    client = build_client(server, wall_clock=lambda: 1_700_000_000.0)
    assert client.clock_offset_seconds is None
    date = formatdate(1_700_003_600, usegmt=True)
    server.script(
        Reply(raw=f"HTTP/1.1 404 No\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n".encode())
    )
    with pytest.raises(RequestRefused):
        client.get_task("1")
    assert client.clock_offset_seconds == 3600.5


def test_the_fastest_of_the_recent_readings_counts() -> None:
    """Half a round trip is the error, so a quick answer says the most."""
    clock = ServerClock()
    for left_at, arrived_at in ((1e9, 1e9 + 20), (1e9 + 15, 1e9 + 17), (1e9 + 10, 1e9 + 40)):
        date = formatdate(1e9 + 16, usegmt=True)
        clock.note(date, left_at=left_at, arrived_at=arrived_at)
    assert clock.offset_seconds == pytest.approx(0.5)


@pytest.mark.parametrize("date", [None, "", "soon", "Tue, 99 Nov 2023 22:14:20 GMT"])
def test_an_answer_without_a_date_is_no_reading(date: str | None) -> None:
    """Nor is one during which our own clock was set back."""
    clock = ServerClock()
    clock.note(date, left_at=1.0, arrived_at=2.0)
    clock.note(formatdate(1e9, usegmt=True), left_at=2.0, arrived_at=1.0)
    assert clock.offset_seconds is None


def test_a_date_without_a_zone_is_universal_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The zone of this machine must not look like a wrong clock."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        clock = ServerClock()
        clock.note("Tue, 14 Nov 2023 22:13:20 -0000", left_at=1.7e9, arrived_at=1.7e9)
        assert clock.offset_seconds == 0.5
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_clock_that_was_set_right_is_believed_at_once() -> None:
    """A reading that no round trip explains shows that a clock was set: older ones are wrong."""
    clock = ServerClock()
    clock.note(formatdate(1_000_003_600, usegmt=True), left_at=1e9, arrived_at=1e9)
    clock.note(formatdate(1e9, usegmt=True), left_at=1e9, arrived_at=1e9 + 1)
    assert clock.offset_seconds == pytest.approx(0.0, abs=1)
