"""The sensor's process follows tasks between its ticks, if the account says so."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from tests.support.project import QUICK, Project
from tests.support.waiting import wait_until
from wiro_dagster import OrderPolicy, WiroResource
from wiro_dagster.emulator import EMULATOR_API_KEY, EMULATOR_API_SECRET
from wiro_dagster.orders.policy import Timing

# Without a hint, nothing is seen within the first five minutes.
PATIENT = OrderPolicy(timing=Timing(first_look_seconds=300.0))


AWAKE = replace(QUICK, awake_seconds=60.0, buying_seconds=60.0)


class ListeningProject(Project):
    sockets = True

    @property
    def resources(self) -> dict[str, Any]:
        account = WiroResource(
            api_key=EMULATOR_API_KEY,
            api_secret=EMULATOR_API_SECRET,
            base_url=self.emulator.base_url,
            cdn_hosts=[self.emulator.cdn_host],
            websocket_url=self.emulator.websocket_url,
            sockets=self.sockets,
        )
        return super().resources | {"wiro": account}


@pytest.fixture
def listening(project: Project) -> ListeningProject:
    return ListeningProject(
        project.folder,
        project.emulator,
        project.instance,
        policy=PATIENT,
        cache=project.cache,
        collection_options={"timing": AWAKE},
    )


def order_one(project: ListeningProject) -> None:
    project.emulator.script_task(run_seconds=1.0)
    project.write_prompts({"id": "cat", "prompt": "A cat"})
    project.order("cat")
    project.tick()


def state(project: ListeningProject) -> str:
    (order,) = project.ledger.list_orders()
    return order.state


def test_a_video_is_in_the_store_before_the_next_tick(listening: ListeningProject) -> None:
    """And the next tick delivers it at once."""
    order_one(listening)
    deadline = time.monotonic() + 60
    while state(listening) != "stored" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert state(listening) == "stored"
    assert listening.videos("cat") == []
    listening.tick()
    assert len(listening.videos("cat")) == 1


def test_an_order_is_sent_before_the_next_tick(project: Project) -> None:
    """Without sockets too, and while the sensor is at rest: its ticks are seldom."""
    project.collection_options = {"timing": AWAKE}
    project.write_prompts({"id": "cat", "prompt": "A cat"})
    for _ in range(3):
        assert project.tick().skip_message == "No orders are under way."
    project.order("cat")
    assert wait_until(lambda: len(project.emulator.tasks()) == 1)
    assert "1 submitted" in project.tick().skip_message


def test_a_tick_stays_for_tasks_that_are_about_to_end(project: Project) -> None:
    """Their videos are shown with it, and not with the next one."""
    project.collection_options = {"timing": replace(QUICK, stay_seconds=5.0)}
    project.emulator.change_settings(task_seconds=0.3)
    project.write_prompts({"id": "cat", "prompt": "A cat"})
    project.order("cat")
    project.tick()
    assert len(project.videos("cat")) == 1


def test_sockets_can_be_switched_off(listening: ListeningProject) -> None:
    """Then the next look comes with a tick."""
    assert WiroResource(api_key="k").sockets is True
    listening.sockets = False
    order_one(listening)
    assert listening.emulator.journal(kind="socket") == []
