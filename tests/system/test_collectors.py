"""A short form of the campaign of collector runs; `tests/system/campaigns` has the long one."""

from __future__ import annotations

from tests.support.postgres import postgres_database
from tests.system.campaigns.collectors import run_collectors


def test_runs_of_two_code_locations_collect_each_video_once(postgres_uri: str) -> None:
    """The daemon queues them, each is a process, one is killed: the next collects what it had."""
    with postgres_database(postgres_uri) as url:
        found = run_collectors(url, videos=2, kills=1)
    assert found.is_right, str(found)
    assert found.runs["FAILURE"] == len(found.stopped) == 1
    assert any(found.collected.values())
