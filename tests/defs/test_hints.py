"""The sensor's process follows tasks between its ticks, if the account says so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.support.project import QUICK, Project
from tests.support.waiting import wait_until
from wiro_dagster import OrderPolicy, WiroResource
from wiro_dagster.emulator import EMULATOR_API_KEY, EMULATOR_API_SECRET
from wiro_dagster.orders.policy import Timing

# Without a hint, nothing is seen within the first five minutes.
PATIENT = OrderPolicy(timing=Timing(first_look_seconds=300.0))


AWAKE = replace(QUICK, awake_seconds=60.0)


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
    return make_listening(project, project.instance)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The instance of DAGSTER_HOME, as the daemon has it."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with dg.DagsterInstance.get() as instance:
        yield instance


def make_listening(project: Project, instance: dg.DagsterInstance) -> ListeningProject:
    return ListeningProject(
        project.folder,
        project.emulator,
        instance,
        policy=PATIENT,
        cache=project.cache,
        collection_options={"timing": AWAKE},
    )


def order_one(project: ListeningProject, prompt_id: str = "cat") -> None:
    project.emulator.script_task(run_seconds=1.0)
    project.write_prompts({"id": prompt_id, "prompt": f"A {prompt_id}"})
    project.order(prompt_id)
    project.tick()


def show_one(project: ListeningProject, prompt_id: str) -> None:
    order_one(project, prompt_id)
    assert wait_until(lambda: state(project, prompt_id) == "delivered")


def state(project: ListeningProject, prompt_id: str = "cat") -> str:
    (found,) = (
        order.state for order in project.ledger.list_orders() if order.partition == prompt_id
    )
    return found


def list_checks(tick: Any) -> list[str]:
    return [e.check_name for e in tick.asset_events if isinstance(e, dg.AssetCheckEvaluation)]


@contextmanager
def without_index(home: Path) -> Iterator[None]:
    """For a moment, the event log has no tables."""
    index = home / "history" / "runs"
    aside = home / "aside"
    aside.mkdir()
    for path in index.glob("index.db*"):
        path.rename(aside / path.name)
    yield
    for path in index.glob("index.db*"):
        path.unlink()
    for path in aside.iterdir():
        path.rename(index / path.name)


def test_it_goes_on_until_the_next_tick_is_overdue(listening: ListeningProject) -> None:
    """However rare a user wants the ticks to be."""
    timing = replace(AWAKE, awake_seconds=0.01)
    listening.collection_options = {"timing": timing, "minimum_interval_seconds": 600}
    order_one(listening)
    assert wait_until(lambda: state(listening) == "stored")


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


def test_a_video_is_shown_before_the_next_tick(project: Project, home: dg.DagsterInstance) -> None:
    """That one counts it, and evaluates its checks."""
    listening = make_listening(project, home)
    order_one(listening)
    assert wait_until(lambda: state(listening) == "delivered")
    (video,) = listening.videos("cat")
    assert "wiro/cost_usd" in video.metadata
    tick = listening.tick()
    assert "1 delivered" in tick.skip_message
    assert {"playable", "cost_within_quote"} <= set(list_checks(tick))
    assert "delivered" not in listening.tick().skip_message
    assert len(listening.videos("cat")) == 1


def test_what_a_process_has_shown_before_it_ended_is_judged_by_the_next(
    project: Project, home: dg.DagsterInstance
) -> None:
    """The ledger knows what was shown since the last tick."""
    before = make_listening(project, home)
    show_one(before, "cat")
    show_one(before, "dog")  # and no tick follows
    before.cache.close()
    after = make_listening(project, home)
    after.cursor = before.cursor
    tick = after.tick()
    assert "1 delivered" in tick.skip_message
    assert {"playable", "cost_within_quote"} <= set(list_checks(tick))


def test_nothing_is_shown_in_another_instance_than_the_daemons(
    project: Project, home: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A code location may have a DAGSTER_HOME of its own, of which the user sees nothing."""
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "other"))
    listening = make_listening(project, home)
    order_one(listening)
    assert wait_until(lambda: state(listening) == "stored")
    time.sleep(1.0)
    assert state(listening) == "stored"
    listening.tick()
    assert len(listening.videos("cat")) == 1


def test_a_home_that_cannot_be_opened_leaves_videos_to_ticks(
    project: Project, home: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It need not be the one that the daemon uses."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "dagster.yaml").write_text("storage: nowhere")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "other"))
    listening = make_listening(project, home)
    order_one(listening)
    assert wait_until(lambda: state(listening) == "stored")
    listening.tick()
    assert len(listening.videos("cat")) == 1


def test_an_event_log_that_fails_between_ticks_stops_nothing_else(
    project: Project, home: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    """The video that cannot be shown waits for a tick; later ones come home and are shown."""
    listening = make_listening(project, home)
    order_one(listening)
    with without_index(Path(home.root_directory)):
        assert wait_until(lambda: "could not be shown between ticks" in caplog.text)
        assert state(listening) == "stored"
    show_one(listening, "dog")


def test_the_very_first_video_is_shown_before_the_next_tick(
    project: Project, home: dg.DagsterInstance
) -> None:
    """The sensor of prompts has seen by then that it is the daemon's instance."""
    listening = make_listening(project, home)
    listening.emulator.script_task(run_seconds=1.0)
    listening.tick()
    listening.write_prompts({"id": "cat", "prompt": "A cat"})
    listening.order("cat")
    assert wait_until(lambda: state(listening) == "delivered")
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
