"""A feed of several tasks' events: it makes waiting shorter, and nothing else depends on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from wiro_dagster.api.auth import Credentials
from wiro_dagster.api.client import WiroClient
from wiro_dagster.api.progress import ProgressFeed
from wiro_dagster.emulator import Emulator

MODEL = "minimax/text-to-video-hailuo-02"


@pytest.fixture
def client(emulator: Emulator) -> Iterator[WiroClient]:
    """Give a client of the emulator."""
    credentials = Credentials(emulator.api_key, emulator.api_secret)
    with WiroClient(credentials, base_url=emulator.base_url) as opened:
        yield opened


@pytest.mark.parametrize("frames", ["old", "new"])
def test_a_feed_tells_at_once_that_a_task_has_ended(
    emulator: Emulator, client: WiroClient, frames: str
) -> None:
    """`wait` returns early, and the last event says that nothing follows."""
    emulator.change_settings(socket_frames=frames)
    submission = client.submit(MODEL, {"prompt": "a tram"})
    with closing(ProgressFeed(emulator.websocket_url)) as feed:
        feed.follow(submission.task_id, lambda: submission.task_token)
        assert feed.wait(60)
        latest = feed.find_latest(submission.task_id)
    assert latest is not None
    assert latest.is_last
    assert client.get_task(submission.task_id).is_ended


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
        deadline = time.monotonic() + 60
        while feed.find_latest(tasks[0].task_id) is None and time.monotonic() < deadline:
            feed.wait(0.1)
        assert feed.find_latest(tasks[0].task_id) is not None
        assert feed.find_latest(tasks[2].task_id) is None


def test_a_feed_survives_a_task_whose_token_cannot_be_had(
    emulator: Emulator, client: WiroClient
) -> None:
    """There are no events then, and no error."""
    with closing(ProgressFeed(emulator.websocket_url)) as feed:
        feed.follow("1", lambda: client.get_task("1").token)
        assert not feed.wait(0.5)
        assert feed.find_latest("1") is None
