"""Watching a task: events where there are some, polling where not, Task/Detail at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from wiro_dagster.api.auth import Credentials
from wiro_dagster.api.client import WiroClient
from wiro_dagster.api.progress import ProgressEvent
from wiro_dagster.api.watch import ProgressFeed, watch_task
from wiro_dagster.emulator import Emulator

MODEL = "minimax/text-to-video-hailuo-02"


@pytest.fixture
def client(emulator: Emulator) -> Iterator[WiroClient]:
    credentials = Credentials(emulator.api_key, emulator.api_secret)
    with WiroClient(credentials, base_url=emulator.base_url) as opened:
        yield opened


def details(emulator: Emulator) -> int:
    return len(emulator.journal(kind="call", endpoint="Task/Detail"))


@pytest.mark.parametrize("frames", ["old", "new"])
def test_the_socket_tells_of_the_end_and_the_record_is_read_then(
    emulator: Emulator, client: WiroClient, frames: str
) -> None:
    """With events the end is known at once; Task/Detail is read at the start and then."""
    emulator.change_settings(socket_frames=frames)
    events: list[ProgressEvent] = []
    submission = client.submit(MODEL, {"prompt": "a tram"})
    task = watch_task(
        client,
        emulator.websocket_url,
        submission.task_id,
        deadline=time.time() + 120,
        poll_seconds=600,
        on_event=events.append,
    )
    assert task.state == "succeeded"
    assert task.cost_usd == emulator.spent_usd()
    assert events[-1].is_last
    assert any(event.percentage for event in events)
    assert details(emulator) <= 3


@pytest.mark.parametrize("plan", ["refused", "early_close", "last_only"])
def test_a_broken_socket_changes_nothing_but_the_pace(
    emulator: Emulator, client: WiroClient, plan: str
) -> None:
    """Polling goes on underneath, and the result is the same."""
    emulator.script_task(socket=plan)
    submission = client.submit(MODEL, {"prompt": "a tram"})
    task = watch_task(
        client,
        emulator.websocket_url,
        submission.task_id,
        deadline=time.time() + 20,
        poll_seconds=0.3,
    )
    assert task.state == "succeeded"


@pytest.mark.parametrize("url", [None, "ws://127.0.0.1:9/v1"])
def test_without_a_socket_the_task_is_polled(
    emulator: Emulator, client: WiroClient, url: str | None
) -> None:
    """No address, or nobody there."""
    submission = client.submit(MODEL, {"prompt": "a tram"})
    task = watch_task(client, url, submission.task_id, deadline=time.time() + 20, poll_seconds=0.3)
    assert task.is_ended


def test_a_watch_ends_at_its_deadline_with_what_is_so(
    emulator: Emulator, client: WiroClient
) -> None:
    """A stuck task is shown as it is, not waited for."""
    emulator.script_task(outcome="stuck")
    submission = client.submit(MODEL, {"prompt": "a tram"})
    task = watch_task(
        client,
        emulator.websocket_url,
        submission.task_id,
        deadline=time.time() + 1.0,
        poll_seconds=0.3,
    )
    assert not task.is_ended


def test_faults_of_reading_do_not_end_a_watch(emulator: Emulator, client: WiroClient) -> None:
    """What may pass is waited out."""
    submission = client.submit(MODEL, {"prompt": "a tram"})
    emulator.script_fault("code_0", endpoint="Task/Detail", skip=1, times=2)
    task = watch_task(client, None, submission.task_id, deadline=time.time() + 20, poll_seconds=0.3)
    assert task.is_ended


def test_a_feed_follows_each_task_once_and_no_more_than_allowed(
    emulator: Emulator, client: WiroClient
) -> None:
    """Its threads are daemons, so that nothing ever waits for them."""
    emulator.script_task(outcome="stuck", times=None)
    tasks = [client.submit(MODEL, {"prompt": f"tram {number}"}) for number in range(3)]
    with closing(ProgressFeed(emulator.websocket_url, most_tasks=2)) as feed:
        for task in [*tasks, tasks[0]]:
            feed.follow(task.task_id, lambda token=task.task_token: token)  # type: ignore[misc]
        threads = [t for t in threading.enumerate() if t.name.startswith("wiro-progress-")]
        followed = [t for t in threads if t.name.rsplit("-", 1)[-1] in {x.task_id for x in tasks}]
        assert len(followed) == 2
        assert all(thread.daemon for thread in followed)
        assert not feed.is_following(tasks[2].task_id)
        deadline = time.monotonic() + 10
        while feed.find_latest(tasks[0].task_id) is None and time.monotonic() < deadline:
            feed.wait(0.1)
        assert feed.find_latest(tasks[0].task_id) is not None
        assert feed.find_latest(tasks[2].task_id) is None


def test_a_feed_survives_a_task_whose_token_cannot_be_had(
    emulator: Emulator, client: WiroClient
) -> None:
    """There are no events then, and nobody is told."""
    with closing(ProgressFeed(emulator.websocket_url)) as feed:
        feed.follow("1", lambda: client.get_task("1").token)
        assert not feed.wait(0.5)
        assert feed.is_following("1")
        assert feed.find_latest("1") is None
