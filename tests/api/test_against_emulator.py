"""The client against the emulator: two readings of the API document that have to agree."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from wiro_dagster.api.auth import Credentials
from wiro_dagster.api.client import WiroClient
from wiro_dagster.api.progress import ProgressEvent, follow_task
from wiro_dagster.api.types import LocalFile, Task
from wiro_dagster.emulator import Emulator
from wiro_dagster.errors import (
    AuthenticationRefused,
    ConcurrencyLimitReached,
    DownloadError,
    InsufficientBalance,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    RequestRefused,
)

MODEL = "minimax/text-to-video-hailuo-02"
INPUTS = {"prompt": "a tram in the rain", "resolution": "768P", "duration": "6"}


@pytest.fixture(scope="module")
def shared_emulator() -> Iterator[Emulator]:
    """Give one emulator to all tests of this file; its clock stands."""
    with Emulator.start(tiny_videos=True) as started:
        started.freeze()
        started.change_settings(refuse_default_user_agents=True)
        yield started


@pytest.fixture
def emulator(shared_emulator: Emulator) -> Iterator[Emulator]:
    """Give the emulator without faults and with money."""
    shared_emulator.clear_faults()
    shared_emulator.set_balance("1000")
    yield shared_emulator
    shared_emulator.clear_faults()


def build_client(emulator: Emulator, credentials: Credentials | None = None) -> WiroClient:
    """Return a client that waits for nothing."""
    return WiroClient(
        credentials or Credentials(emulator.api_key, emulator.api_secret),
        base_url=emulator.base_url,
        cdn_hosts=[emulator.cdn_host],
        read_timeout_seconds=20.0,
        submit_timeout_seconds=20.0,
        sleep=lambda _: None,
    )


@pytest.fixture
def client(emulator: Emulator) -> Iterator[WiroClient]:
    """Give a client of the emulator."""
    with build_client(emulator) as opened:
        yield opened


def run_to_end(client: WiroClient, emulator: Emulator, task_id: str) -> Task:
    """Move the clock until a task has ended."""
    for _ in range(100):
        task = client.get_task(task_id)
        if task.is_ended:
            return task
        emulator.advance(10)
    raise AssertionError(f"still {task.status}")


@pytest.mark.parametrize("dialect", ["documents", "alternate"])
def test_a_run_becomes_a_file(emulator: Emulator, client: WiroClient, dialect: str) -> None:
    """Submit, read, list, download: in each spelling of the wire the same values come out."""
    emulator.change_settings(dialect=dialect)
    try:
        submission = client.submit(MODEL, INPUTS, callback_url="http://127.0.0.1:9/hook/0123456789")
        queued = client.get_task(submission.task_id)
        assert (queued.is_ended, queued.exit_code, queued.outputs) == (False, None, ())
        task = run_to_end(client, emulator, submission.task_id)
        assert (task.state, task.exit_code, task.model_slug) == ("succeeded", "0", MODEL)
        assert INPUTS.items() <= task.inputs.items()
        assert task.callback_url == "http://127.0.0.1:9/hook/0123456789"
        assert task.cost_usd == Decimal(emulator.tasks()[-1]["cost_usd"])
        assert task.cost_usd > 0
        assert task.queue_seconds is not None
        assert client.list_tasks(limit=1).tasks[0].id == submission.task_id
        (output,) = task.outputs
        assert output.url is not None
        with client.download(output.url) as download:
            content = b"".join(download.chunks())
        assert len(content) == output.size_bytes == download.content_length
        assert content[4:8] == b"ftyp"
    finally:
        emulator.change_settings(dialect="documents")


def test_a_run_with_a_local_image_goes_as_a_form(
    emulator: Emulator, client: WiroClient, tmp_path: Path
) -> None:
    """The emulator's own parser takes the streamed form."""
    image = tmp_path / "first frame.png"
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(300_000))
    submission = client.submit(
        "minimax/hailuo-2-3-fast", {**INPUTS, "inputImageFirst": LocalFile(image)}
    )
    assert client.get_task(submission.task_id).inputs["prompt"] == INPUTS["prompt"]


@pytest.mark.parametrize(
    ("kind", "moment", "tasks"),
    [
        ("drop", "before", 0),
        ("drop", "after", 1),
        ("reset", "after", 1),
        ("http_502", "before", 0),
        ("http_504", "after", 1),
        ("html", "after", 1),
        ("broken_json", "after", 1),
        ("empty", "after", 1),
        ("code_0", "before", 0),
    ],
)
def test_a_lost_answer_is_unknown_whether_or_not_there_is_a_task(
    emulator: Emulator, client: WiroClient, kind: str, moment: str, tasks: int
) -> None:
    """The client cannot know, so it says so, and runs nothing twice."""
    before = emulator.billable_tasks()
    emulator.script_fault(kind, endpoint="Run", moment=moment)
    with pytest.raises(OutcomeUnknown):
        client.submit(MODEL, INPUTS)
    assert emulator.billable_tasks() - before == tasks


@pytest.mark.parametrize("kind", ["drop", "reset", "http_500", "http_503", "rate_limited"])
def test_a_read_gets_through_faults(emulator: Emulator, client: WiroClient, kind: str) -> None:
    """Two faults in a row do not reach the caller."""
    emulator.script_fault(kind, endpoint="Tool/Detail", times=2)
    assert client.get_model(MODEL).slug == MODEL


def test_wiros_limits_are_told_apart(emulator: Emulator, client: WiroClient) -> None:
    """Rate, concurrency and balance each have an error, with the figures that Wiro names."""
    emulator.script_fault("rate_limited", endpoint="Run", retry_after="0")
    with pytest.raises(RateLimited) as limited:
        client.submit(MODEL, INPUTS)
    assert limited.value.retry_after_seconds == 0.0
    build_client(emulator).submit(MODEL, INPUTS)
    emulator.set_balance("12.5")
    with pytest.raises(ConcurrencyLimitReached) as deferred:
        build_client(emulator).submit(MODEL, INPUTS)
    assert (deferred.value.limit, deferred.value.balance_usd) == (1, Decimal("12.50"))
    emulator.set_balance("0")
    for task in emulator.tasks():
        if not task["has_ended"]:
            emulator.set_task(task["id"], status="task_cancel")
    with pytest.raises(InsufficientBalance):
        build_client(emulator).submit(MODEL, INPUTS)


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda c: c.submit(MODEL, {**INPUTS, "prompt": ""}), RequestRefused),
        (lambda c: c.submit("nobody/nothing", INPUTS), NotFound),
        (lambda c: c.get_model("nobody/nothing"), NotFound),
        (lambda c: c.get_task("1"), NotFound),
        (lambda c: c.cancel_task("1"), NotFound),
        (lambda c: c.kill_task("1"), NotFound),
    ],
)
def test_refusals_are_final(
    client: WiroClient, call: Callable[[WiroClient], object], kind: type[RequestRefused]
) -> None:
    """Nothing is created, and the kind says why."""
    with pytest.raises(RequestRefused) as caught:
        call(client)
    assert type(caught.value) is kind


def test_wrong_credentials_are_refused(emulator: Emulator) -> None:
    """A wrong key, a wrong secret and a missing signature."""
    for credentials in (
        Credentials("wrong", emulator.api_secret),
        Credentials(emulator.api_key, "wrong"),
        Credentials(emulator.api_key),
    ):
        with pytest.raises(AuthenticationRefused):
            build_client(emulator, credentials).list_tasks()


def test_a_task_is_cancelled_in_the_queue_and_killed_later(
    emulator: Emulator, client: WiroClient
) -> None:
    """Each call works in its own part of a task's life."""
    emulator.set_balance("1000")
    queued = client.submit(MODEL, INPUTS).task_id
    client.cancel_task(queued)
    assert run_to_end(client, emulator, queued).state == "cancelled"
    running = client.submit(MODEL, INPUTS).task_id
    emulator.set_task(running, status="task_start")
    with pytest.raises(RequestRefused):
        client.cancel_task(running)
    client.kill_task(running)
    assert run_to_end(client, emulator, running).state == "cancelled"


def test_deleted_files_are_gone(emulator: Emulator, client: WiroClient) -> None:
    """The record stays, the file does not, and deleting twice does no harm."""
    submission = client.submit(MODEL, INPUTS)
    task = run_to_end(client, emulator, submission.task_id)
    client.delete_task_files(submission.task_token)
    client.delete_task_files(submission.task_token)
    with pytest.raises(DownloadError), client.download(task.outputs[0].url or ""):
        pass
    assert client.get_task(submission.task_id).state == "succeeded"


@pytest.mark.parametrize(
    "kind", ["file_cut", "file_long_length", "file_html", "file_empty", "file_not_found"]
)
def test_a_spoilt_file_is_not_taken_for_one(
    emulator: Emulator, client: WiroClient, kind: str
) -> None:
    """The next attempt gets it."""
    task = run_to_end(client, emulator, client.submit(MODEL, INPUTS).task_id)
    url = task.outputs[0].url or ""
    emulator.script_fault(kind)
    with pytest.raises(DownloadError) as caught, client.download(url) as download:
        list(download.chunks())
    assert not caught.value.is_final
    with client.download(url) as download:
        assert sum(map(len, download.chunks())) == task.outputs[0].size_bytes


def test_a_task_is_read_and_killed_by_its_token(emulator: Emulator, client: WiroClient) -> None:
    """Wiro may forget an id; the token of the run names the task as well."""
    emulator.script_task(outcome="stuck")
    submission = client.submit(MODEL, INPUTS)
    assert client.get_task(token=submission.task_token).id == submission.task_id
    emulator.advance(30)
    client.kill_task("999999999", submission.task_token)
    assert run_to_end(client, emulator, submission.task_id).state == "cancelled"


def test_uploads_are_kept(emulator: Emulator, client: WiroClient, tmp_path: Path) -> None:
    """An upload comes back with the address under which a run can use it."""
    path = tmp_path / "face.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    uploaded = client.upload_file(path)
    assert uploaded.size_bytes == 108
    assert uploaded.url is not None


@pytest.mark.parametrize("frames", ["old", "new"])
def test_a_task_is_followed_to_its_end(emulator: Emulator, client: WiroClient, frames: str) -> None:
    """Old and new frames both bring progress and an end."""
    emulator.change_settings(socket_frames=frames)
    submission = client.submit(MODEL, INPUTS)
    events: list[ProgressEvent] = []
    follower = threading.Thread(
        target=lambda: events.extend(
            follow_task(emulator.websocket_url, submission.task_token, deadline=time.time() + 60)
        )
    )
    follower.start()
    while follower.is_alive() and not client.get_task(submission.task_id).is_ended:
        emulator.advance(0.5)
        time.sleep(0.05)
    follower.join(timeout=60)
    emulator.change_settings(socket_frames="old")
    assert events[-1].is_last
    assert events[-1].status == "task_postprocess_end"
    assert any(event.percentage is not None for event in events)
