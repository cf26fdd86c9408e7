"""Several takes of one prompt, as their user sees them in Dagster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
from click.testing import CliRunner

from tests.support.project import Project
from wiro_dagster.catalogue import Catalogue
from wiro_dagster.cli import main
from wiro_dagster.defs.process_cache import ProcessCache
from wiro_dagster.prompts import parse_prompt_text

ORDER, VIDEO, GALLERY = (dg.AssetKey(name) for name in ("video_order", "video", "video_gallery"))
CAT = {"id": "cat", "prompt": "A cat wakes up"}


def shown(project: Project) -> list[int]:
    """The takes that `video` has shown, the newest first."""
    return [event.metadata["wiro/take"].value for event in project.videos("cat")]


def cli(project: Project, *arguments: str) -> str:
    url = f"sqlite:///{project.folder / 'ledger.db'}"
    result = CliRunner().invoke(main, [*arguments, "--ledger", url])
    assert result.exit_code == 0, result.output
    return result.output


def gallery(project: Project) -> str:
    assert project.instance is not None
    result = (
        project.load()
        .resolve_implicit_global_asset_job_def()
        .execute_in_process(asset_selection=[GALLERY], instance=project.instance)
    )
    assert result.success
    return (project.folder / "videos" / "gallery.html").read_text()


def test_four_takes_are_compared_and_one_is_chosen(project: Project) -> None:
    """Four orders, four videos owned, one shown; a choice is reported and costs nothing."""
    project.write_prompts({**CAT, "takes": 4})
    assert project.order("cat").success
    project.settle()
    assert project.emulator.billable_tasks() == 4
    (first,) = shown(project)
    other = 3 if first != 3 else 2
    told = [event.description or "" for event in project.materializations(ORDER, "cat")]
    assert sum("takes choose" in text for text in told) == 3

    page = gallery(project)
    assert [page.count(f">take {number}</span>") for number in (1, 2, 3, 4)] == [1] * 4
    assert page.count("shown as video") == 1
    assert page.count("not chosen</span>") == 3

    assert f"take {other} is shown with the next tick" in cli(
        project, "takes", "choose", "cat", str(other), "--by", "anna"
    )
    project.settle()
    assert shown(project) == [other, first]
    (newest, *_) = project.videos("cat")
    assert newest.metadata["wiro/chosen_by"].value == "anna"
    listed = cli(project, "takes")
    assert listed.count("chosen by anna") == 1
    assert project.emulator.billable_tasks() == 4

    assert project.order("cat").success
    project.settle()
    assert shown(project) == [other, first]
    assert project.emulator.billable_tasks() == 4


def test_downstream_assets_get_the_chosen_take(project: Project) -> None:
    """The IO manager gives its file, and Dagster sees that it is another one."""
    project.write_prompts({**CAT, "takes": 2})
    project.materialize(VIDEO, partitions=["cat"])
    project.settle()
    orders = {order.take: order for order in project.ledger.list_orders()}
    paths: list[Path] = []

    @dg.asset(partitions_def=project.collection.partitions)
    def thumbnail(video: Path) -> None:
        paths.append(video)

    defs = dg.Definitions.merge(project.load(), dg.Definitions(assets=[thumbnail]))
    job = defs.resolve_implicit_global_asset_job_def()
    for take in (2, 1):
        config = {"ops": {"video": {"config": {"take": take}}}}
        assert project.materialize(VIDEO, partitions=["cat"], run_config=config).success
        assert job.execute_in_process(
            asset_selection=[thumbnail.key], partition_key="cat", instance=project.instance
        ).success
        assert paths[-1].name == orders[take].files[0]["key"]
        (version,) = ((project.videos("cat")[0].tags or {})["dagster/data_version"],)
        assert version == orders[take].fingerprint
    assert project.emulator.billable_tasks() == 2


def test_a_run_of_video_delivers_the_first_take_and_the_sensor_the_others(
    project: Project,
) -> None:
    """The run does not wait for all of them."""
    project.write_prompts({**CAT, "takes": 3})
    result = project.materialize(VIDEO, partitions=["cat"])
    assert result.success
    project.settle()
    assert len(shown(project)) == 1
    assert {order.state for order in project.ledger.list_orders()} == {"delivered"}


def test_a_run_can_order_takes_and_a_limit_counts_them_all(project: Project) -> None:
    """`takes` in the launch dialog, whatever the prompt file says."""
    project.write_prompts(CAT)
    refused = run_order(project, takes=3, max_usd=0.6)
    assert not refused.success
    assert project.ledger.list_orders() == []
    assert run_order(project, takes=3, max_usd=0.9).success
    assert [order.take for order in project.ledger.list_orders()] == [1, 2, 3]


def test_a_failed_take_does_not_fail_the_partition(project: Project) -> None:
    """It is red only if all takes have failed."""
    project.write_prompts({**CAT, "takes": 2})
    project.emulator.script_task(outcome="fail", reason="No.")
    assert project.materialize(VIDEO, partitions=["cat"]).success
    project.settle()
    assert len(shown(project)) == 1
    assert "failed" in gallery(project)
    assert project.ledger.list_failed("video") == []


def test_takes_may_be_a_default_and_a_wrong_number_is_named() -> None:
    """A typing error must not buy hundreds."""
    entries = [CAT, {**CAT, "id": "dog", "takes": 1}, {**CAT, "id": "owl", "takes": 400}]
    text = {"defaults": {"model": "minimax/hailuo-2-3", "takes": 3}, "prompts": entries}
    found = parse_prompt_text(json.dumps(text), ".json", Catalogue.builtin(), source="p.json")
    assert {key: prompt.takes for key, prompt in found.prompts.items()} == {"cat": 3, "dog": 1}
    (problem,) = found.problems
    assert "'400' is not a whole number from 1 to 20" in str(problem)


def run_order(project: Project, **config: Any) -> dg.ExecuteInProcessResult:
    return project.materialize(
        ORDER, partitions=["cat"], run_config={"ops": {"video_order": {"config": config}}}
    )


def test_a_lost_ledger_buys_no_take_again(project: Project) -> None:
    """Each take has a note of its own in the store; the choice is not among the evidence."""
    project.write_prompts({**CAT, "takes": 3})
    project.order("cat")
    project.settle()
    (first,) = shown(project)
    other = first % 3 + 1
    cli(project, "takes", "choose", "cat", str(other))
    project.settle()
    project.cache.close()
    project.cache, project.cursor = ProcessCache(), None
    for file in project.folder.glob("ledger.db*"):
        file.unlink()
    assert project.order("cat").success
    project.settle()
    assert project.emulator.billable_tasks() == 3
    takes = project.ledger.list_takes()
    assert [take.take for take in takes if take.superseded_by is None] == [1]
    assert {take.state for take in takes} == {"delivered"}
