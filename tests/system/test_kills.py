"""A short form of the kill campaign; `tests/system/campaigns` has the long one."""

from __future__ import annotations

import sys

import pytest

from tests.system.campaigns.kill import Kills, run_kills


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found through /proc")
def test_kills_neither_pay_twice_nor_lose() -> None:
    """Run workers, code server and daemon die at random moments while videos are made."""
    kills = Kills(
        orders=3,
        kills=4,
        seed=1,
        task_seconds=3.0,
        pause_seconds=(0.2, 2.0),
        ask_by="run",
        ask_again_seconds=8.0,
    )
    found = run_kills(kills)
    assert found.is_right, str(found)
