"""The ledger or the event log is lost: each knows what was bought, and nothing is bought again."""

from __future__ import annotations

import shutil
from dataclasses import replace

from tests.support.project import Project
from wiro_dagster.defs.process_cache import ProcessCache
from wiro_dagster.store.notes import NOTES_FOLDER


def test_the_event_log_keeps_a_new_ledger_from_buying_again(project: Project) -> None:
    """It is heard before anything is sent, and fills the ledger by itself: the video is free."""
    project.write_prompts({"id": "a", "prompt": "A fox"})
    project.order("a")
    (bought,) = project.settle()
    shutil.rmtree(project.folder / "videos" / NOTES_FOLDER)
    url = f"sqlite:///{project.folder / 'new.db'}"
    new = replace(project, ledger_url=url, cache=ProcessCache(), cursor=None, loaded=None)
    new.order("a")
    new.tick()
    (order,) = new.ledger.list_orders()
    assert (order.task_id, order.is_owned) == (bought.task_id, True)
    assert order.cost_usd == bought.cost_usd
    assert new.ledger.identity().behind is None
    new.settle()
    assert project.emulator.billable_tasks() == 1
    assert len(new.videos("a")) == 1


def test_a_ledger_of_the_same_history_is_trusted(project: Project) -> None:
    """Its own events do not stop it, in this process or in the next."""
    project.write_prompts({"id": "a", "prompt": "A fox"})
    project.order("a")
    project.settle()
    again = replace(project, cache=ProcessCache(), cursor=None, loaded=None)
    again.tick()
    assert again.ledger.identity().behind is None


def test_a_new_event_log_shows_owned_videos_again(project: Project) -> None:
    """DAGSTER_HOME is new: the sensor reports what the ledger has, once and free."""
    project.write_prompts({"id": "a", "prompt": "A fox"})
    project.order("a")
    project.settle()
    project.instance.wipe()
    assert project.videos("a") == []
    new = replace(project, cache=ProcessCache(), cursor=None, loaded=None)
    new.tick()  # before the prompt sensor has brought the partitions back
    new.bring_prompts_in()
    new.settle()
    new.order("a")
    new.settle()
    assert len(new.videos("a")) == 1
    assert project.emulator.billable_tasks() == 1
