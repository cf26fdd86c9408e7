"""Options of a collection: its own models, files deleted at Wiro, progress by WebSocket."""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import requests
import sqlalchemy as sa

from tests.support.project import FAST, Project
from wiro_dagster import WiroResource
from wiro_dagster.ledger.schema import models

CAT = {"id": "cat", "prompt": "A cat on a windowsill"}
AD = {
    "id": "ad",
    "model": "wiro/product-ads",
    "inputs": {"inputImage": ["https://a.example/b.png"]},
}
SEEDREAM = "bytedance/seedream-v4-5"


class ListeningProject(Project):
    """A project whose waiting runs hear of progress."""

    @property
    def resources(self) -> dict[str, Any]:
        given = super().resources["wiro"]
        wiro = WiroResource(
            api_key=given.api_key,
            api_secret=given.api_secret,
            base_url=given.base_url,
            cdn_hosts=given.cdn_hosts,
            websocket_url=self.emulator.websocket_url,
        )
        return {**super().resources, "wiro": wiro}


def listening(project: Project) -> ListeningProject:
    return ListeningProject(project.folder, project.emulator, project.instance)


def test_a_waiting_run_tells_the_progress_that_the_socket_tells(
    project: Project,
) -> None:
    """Per cent and status are in the run's log; the token is not."""
    project.emulator.change_settings(task_seconds=4)
    heard = listening(project)
    heard.write_prompts(CAT)
    result = heard.materialize(heard.collection.video_key, partitions=["cat"])
    assert result.success
    told = [entry.user_message for entry in project.instance.all_logs(result.run_id)]
    assert any(" %)." in message for message in told)
    client = heard.resources["wiro"].get_client()
    token = client.get_task(project.emulator.tasks()[0]["id"]).token
    assert not any(token in message for message in told)


@pytest.mark.parametrize("plan", ["refused", "early_close"])
def test_a_socket_that_fails_does_not_fail_the_run(project: Project, plan: str) -> None:
    """Polling goes on underneath."""
    project.emulator.script_task(socket=plan)
    heard = listening(project)
    heard.write_prompts(CAT)
    assert heard.materialize(heard.collection.video_key, partitions=["cat"]).success
    assert len(heard.videos("cat")) == 1


@pytest.mark.parametrize(("files_at_wiro", "are_there"), [("keep", True), ("delete", False)])
def test_files_at_wiro_are_deleted_once_ours_are_stored_where_that_is_wanted(
    project: Project, files_at_wiro: str, are_there: bool
) -> None:
    """The record stays there, and the video is ours."""
    project.policy = dataclasses.replace(FAST, files_at_wiro=files_at_wiro)
    project.write_prompts(CAT)
    project.order("cat")
    (order,) = project.settle()
    assert order.state == "delivered"
    assert requests.get(order.outputs[0]["url"], timeout=60).ok is are_there
    assert Path(order.files[0]["uri"].removeprefix("file://")).stat().st_size > 0


def test_what_is_billed_by_the_second_is_bounded_by_the_run_deadline(project: Project) -> None:
    """The budget has room for the longest run there can be, and for no longer one."""
    project.policy = dataclasses.replace(FAST, run_deadline_seconds=600)
    project.write_prompts(AD)
    project.order("ad")
    (order,) = project.ledger.list_orders()
    assert (order.quote_usd, order.ceiling_usd) == (Decimal("0.36"), Decimal("1.2"))


def test_models_of_the_project_count_before_wiros(project: Project) -> None:
    """An entry in the collection's model folder decides on inputs and defaults."""
    folder = project.folder / "models"
    folder.mkdir()
    prompt = {"id": "prompt", "type": "textarea", "required": True}
    size = {"id": "size", "type": "select", "default": "2048x2048", "options": ["2048x2048"]}
    entry = {"slug": SEEDREAM, "inputs": [prompt, size]}
    (folder / "seedream.json").write_text(json.dumps(entry))
    project.collection_options = {"model_folder": folder}
    project.write_prompts({**CAT, "model": SEEDREAM})
    project.order("cat")
    (order,) = project.ledger.list_orders()
    assert dict(order.inputs) == {"prompt": CAT["prompt"], "size": "2048x2048"}


def test_a_changed_model_is_told_before_anything_is_paid_again(
    project: Project,
) -> None:
    """`prompt_file_sensor` names the prompts that would be other videos now, and why."""
    project.write_prompts({**CAT, "model": SEEDREAM})
    with project.ledger.writing() as connection:
        content = connection.execute(sa.select(models.c.content)).scalar_one()
        old = json.loads(json.dumps(content).replace('"1024x1024"', '"1000x1000"'))
        changed = {**content, "previous": old["detail"], "changed_at": content["fetched_at"]}
        connection.execute(sa.update(models).values(content=changed))
    result = project.tick_sensor("prompt_file_sensor", None)
    (check,) = result.asset_events
    assert isinstance(check, dg.AssetCheckEvaluation)
    assert check.passed
    told = str(check.metadata["wiro/model_changes"].value)
    assert "its default was '1000x1000' and is '1024x1024'" in told
    assert "'cat'" in told
    assert "Videos that you own stay as they are" in told
