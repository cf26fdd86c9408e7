"""Fixtures for tests against the emulator.

Enable them in a ``conftest.py``::

    pytest_plugins = ["wiro_dagster.emulator.pytest_plugin"]

and ask for ``wiro_emulator``::

    def test_a_lost_answer_is_not_paid_twice(wiro_emulator):
        wiro_emulator.script_fault("drop", endpoint="Run", moment="after")
        order_my_video(base_url=wiro_emulator.base_url)
        assert wiro_emulator.billable_tasks() == 1

One process serves the whole session; each test begins with it empty.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from wiro_dagster.emulator.process import Emulator


@pytest.fixture(scope="session")
def wiro_emulator_process() -> Iterator[Emulator]:
    """The session's emulator, with all that earlier tests left in it.

    Tasks take two seconds and videos are tiny. Override this fixture to start it otherwise.
    """
    with Emulator.start(task_seconds=2.0, tiny_videos=True) as emulator:
        yield emulator


@pytest.fixture
def wiro_emulator(wiro_emulator_process: Emulator) -> Emulator:
    """An emulator with nothing in it: no tasks, no faults, a full account, a clock that runs."""
    wiro_emulator_process.reset()
    return wiro_emulator_process
