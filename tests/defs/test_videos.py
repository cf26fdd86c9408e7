"""The main job through Dagster's own doors: runs, sensor ticks, the event log."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from tests.support.project import QUICK, Project
from wiro_dagster import WiroMetadata
from wiro_dagster.defs.metadata import failure_metadata
from wiro_dagster.emulator import EMULATOR_API_KEY, EMULATOR_API_SECRET
from wiro_dagster.media import probe_media

CAT = {"id": "cat", "prompt": "A cat on a windowsill"}
DOG = {"id": "dog", "prompt": "A dog in the surf"}
FAILING = {"id": "broken", "prompt": "A broken thing [fail]"}


def last_check(project: Project) -> dg.AssetCheckEvaluation:
    key = dg.AssetCheckKey(project.collection.order_key, "orders_succeeded")
    (newest,) = project.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert newest.event is not None
    assert newest.event.dagster_event is not None
    evaluation = newest.event.dagster_event.event_specific_data
    assert isinstance(evaluation, dg.AssetCheckEvaluation)
    return evaluation


def test_a_prompt_becomes_an_owned_video(project: Project) -> None:
    """Prompt in, order, task, verified file, one materialization with cost and URLs."""
    project.write_prompts(CAT)
    assert project.order("cat").success
    (order,) = project.settle()
    (video,) = project.videos("cat")
    metadata = {key: value.value for key, value in video.metadata.items()}
    assert metadata["wiro/task_id"] == order.task_id
    assert metadata["wiro/cost_usd"] == pytest.approx(float(project.emulator.spent_usd()))
    assert metadata["wiro/prompt"] == CAT["prompt"]
    assert metadata["wiro/output_urls"].startswith(f"http://{project.emulator.cdn_host}/")
    assert metadata["wiro/preview"].startswith("![cat](data:image/webp;base64,")
    path = Path(metadata["dagster/uri"].removeprefix("file://"))
    assert probe_media(path, "video/mp4").duration_seconds == pytest.approx(
        metadata["wiro/duration_seconds"]
    )
    assert project.emulator.billable_tasks() == 1


def test_every_key_of_an_event_can_be_read_with_its_type(project: Project) -> None:
    """`WiroMetadata` knows all keys that the README lists and that events have."""
    project.write_prompts(CAT, FAILING)
    project.order("cat", "broken")
    (owned, failed) = project.settle()
    (video,) = project.videos("cat")
    read = WiroMetadata.extract(video.metadata)
    assert (read.order_id, read.task_id, read.model) == (owned.id, owned.task_id, owned.model_slug)
    assert (read.uri, read.sha256) == (owned.files[0]["uri"], owned.files[0]["sha256"])
    assert read.inputs["prompt"] == CAT["prompt"]
    assert read.ended_at is not None
    assert len(read.output_urls) == 1
    assert WiroMetadata.extract(failure_metadata(failed)).reason == failed.error
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    known = {f"wiro/{name}" for name in WiroMetadata.model_fields}
    assert {*re.findall(r"`(wiro/\w+)`", readme), *video.metadata} - known <= {"dagster/uri"}


def test_ordering_again_buys_nothing(project: Project) -> None:
    """What is under way or owned is not ordered again; the run says so and succeeds."""
    project.write_prompts(CAT)
    assert project.order("cat").success
    assert project.order("cat").success
    project.settle()
    assert project.order("cat").success
    project.settle()
    assert project.emulator.billable_tasks() == 1
    assert len(project.videos("cat")) == 1


def test_many_orders_are_one_run(project: Project) -> None:
    """A range of partitions is ordered by one run, each with its own data version."""
    project.write_prompts(CAT, DOG)
    assert project.order("cat", "dog").success
    versions = {
        project.materializations(project.collection.order_key, key)[0].tags["dagster/data_version"]
        for key in ("cat", "dog")
    }
    assert len(versions) == 2
    assert len(project.settle()) == 2


def write_fifty(project: Project) -> tuple[str, str]:
    """Bring 50 prompts in. Return the first and the last id."""
    names = [f"film-{number:02}" for number in range(50)]
    project.write_prompts(*({"id": name, "prompt": name} for name in names))
    project.bring_prompts_in()
    return names[0], names[-1]


def test_many_orders_are_sent_before_a_run_writes_their_events(project: Project) -> None:
    """Both at once would take one machine longer, and Wiro makes the videos meanwhile."""
    first, last = write_fifty(project)
    project.budget = "100"
    project.emulator.change_settings(task_seconds=100.0)
    recorded_before: list[int] = []

    def send_some(_: float) -> None:
        recorded = project.instance.get_materialized_partitions(dg.AssetKey("video_order"))
        recorded_before.append(len(recorded))
        project.tick()

    project.collection_options["timing"] = replace(QUICK, sleep=send_some)
    assert project.order(first, last).success
    assert recorded_before
    assert set(recorded_before) == {0}
    assert {order.state for order in project.ledger.list_orders()} != {"ordered"}


def test_a_run_does_not_wait_for_a_sensor_that_sends_nothing(project: Project) -> None:
    """It may have been stopped, or the budget be spent."""
    first, last = write_fifty(project)
    pauses: list[float] = []
    project.collection_options["timing"] = replace(QUICK, sleep=pauses.append)
    assert project.order(first, last).success
    assert 0 < sum(pauses) < 1.0
    assert {order.state for order in project.ledger.list_orders()} == {"ordered"}


def test_a_click_on_a_video_orders_waits_and_delivers(project: Project) -> None:
    """`video` is executable: it orders what nobody ordered, and its own run materializes it."""
    project.write_prompts(CAT)
    result = project.materialize(project.collection.video_key, partitions=["cat"])
    assert result.success
    assert [event.tags["dagster/data_version"] for event in project.videos("cat")] != []
    assert len(project.materializations(project.collection.order_key, "cat")) == 1
    project.settle()
    assert len(project.videos("cat")) == 1


def test_both_assets_in_one_run(project: Project) -> None:
    """Materialize all: the order step lets the video step run, for one partition and for many."""
    project.write_prompts(CAT, DOG)
    keys = (project.collection.order_key, project.collection.video_key)
    assert project.materialize(*keys, partitions=["cat"]).success
    assert project.materialize(*keys, partitions=["cat", "dog"]).success
    assert project.emulator.billable_tasks() == 2
    for partition in ("cat", "dog"):
        newest = project.videos(partition)[0]
        assert newest.metadata["wiro/task_id"].value
        order = project.ledger.find_latest("video", partition)
        assert order is not None
        assert newest.tags["dagster/data_version"] == order.fingerprint


def test_each_video_of_a_run_is_there_even_when_others_fail(project: Project) -> None:
    """A run over several partitions materializes what succeeds, then fails naming what did not."""
    project.write_prompts(CAT, FAILING, DOG)
    result = project.materialize(project.collection.video_key, partitions=["cat", "broken", "dog"])
    assert not result.success
    assert [len(project.videos(key)) for key in ("cat", "broken", "dog")] == [1, 0, 1]
    failure = result.get_step_failure_events()[0].event_specific_data
    assert '"broken": Failed:' in str(failure)


def test_a_failed_task_shows_on_its_partition_and_costs_nothing(project: Project) -> None:
    """The check on `video_order` and an observation on `video` carry Wiro's reason."""
    project.write_prompts(FAILING, CAT)
    assert project.order("broken", "cat").success
    project.settle()
    check = last_check(project)
    assert not check.passed
    assert '"broken"' in str(check.description)
    order = project.ledger.find_latest("video", "broken")
    assert order is not None
    assert order.error
    assert order.cost_usd == 0
    wanted = dg.AssetRecordsFilter(
        asset_key=project.collection.video_key, asset_partitions=["broken"]
    )
    records = project.instance.fetch_observations(wanted, limit=10).records
    told = [record.asset_observation for record in records]
    (failure,) = [event for event in told if event is not None and "wiro/reason" in event.metadata]
    assert order.error in str(failure.description)
    assert order.error in str(check.metadata["wiro/failures"].value)


def test_a_failed_order_can_be_placed_again(project: Project) -> None:
    """Materializing `video_order` once more is a person's word for another try."""
    project.write_prompts(FAILING)
    assert project.order("broken").success
    project.settle()
    assert project.order("broken").success
    project.settle()
    assert project.emulator.billable_tasks() == 2
    assert len(project.ledger.list_failed("video")) == 1


def test_the_check_passes_again_when_the_order_succeeds(project: Project) -> None:
    """A later order stands for the partition instead of the failed one."""
    project.write_prompts(FAILING)
    project.order("broken")
    project.settle()
    project.write_prompts({**FAILING, "prompt": "A mended thing"})
    project.order("broken")
    project.settle()
    assert last_check(project).passed


def test_a_wrong_prompt_does_not_hold_up_the_right_ones(project: Project) -> None:
    """Right prompts become partitions; the wrong one is named in a failed check."""
    wrong = {"id": "wrong", "prompt": "A wave", "inputs": {"resolution": "1080P", "duration": "10"}}
    project.write_prompts(CAT, wrong)
    keys = project.collection.partitions.get_partition_keys(
        dynamic_partitions_store=project.instance
    )
    assert keys == ["cat"]
    (check,) = project.bring_prompts_in().asset_events
    assert isinstance(check, dg.AssetCheckEvaluation)
    assert not check.passed
    assert "wrong" in str(check.metadata["wiro/problem_list"].value)
    assert "1080P" in str(check.metadata["wiro/problem_list"].value)


def test_an_unreadable_prompt_file_is_told_and_leaves_all_as_it_is(project: Project) -> None:
    """A broken file fails the check; partitions stay."""
    project.write_prompts(CAT)
    project.prompt_file.write_text("prompts: [")
    result = project.bring_prompts_in()
    (check,) = result.asset_events
    assert isinstance(check, dg.AssetCheckEvaluation)
    assert not check.passed
    assert not result.dynamic_partitions_requests


def test_ordering_a_prompt_that_is_gone_fails_with_its_name(project: Project) -> None:
    """A partition without a prompt is not ordered, and nothing is sent."""
    project.write_prompts(CAT, DOG)
    project.write_prompts(CAT)
    assert not project.order("dog").success
    assert project.emulator.billable_tasks() == 0


def test_a_second_tick_reports_nothing_twice(project: Project) -> None:
    """A daemon that dies after writing its events, before its cursor, repeats the tick."""
    project.write_prompts(CAT)
    project.order("cat")
    project.settle()
    (order,) = project.ledger.list_orders()
    with project.ledger.writing() as connection:
        connection.exec_driver_sql(
            "UPDATE wiro_orders SET state = 'stored', due_at = 0, lease = NULL"
        )
    project.cursor = None
    project.settle()
    assert len(project.videos("cat")) == 1
    assert project.ledger.get(order.id).state == "delivered"


def test_a_reported_video_is_fresh_and_goes_stale_with_its_prompt(project: Project) -> None:
    """The event carries the provenance that a run would have written."""
    project.write_prompts(CAT)
    project.order("cat")
    project.settle()
    (video,) = project.videos("cat")
    (order_event,) = project.materializations(project.collection.order_key, "cat")
    upstream = order_event.tags["dagster/data_version"]
    assert video.tags["dagster/input_data_version/video_order"] == upstream
    assert int(video.tags["dagster/input_event_pointer/video_order"]) > 0
    for tag in ("dagster/input_data_version/prompt", "dagster/input_event_pointer/prompt"):
        assert video.tags[tag] == order_event.tags[tag]
    assert video.tags["dagster/code_version"] == "1"


def test_a_changed_prompt_is_a_new_video_and_going_back_is_free(project: Project) -> None:
    """A new text is bought; the earlier one is shown again without paying."""
    project.write_prompts(CAT)
    project.order("cat")
    project.settle()
    project.write_prompts({**CAT, "prompt": "A cat asleep"})
    project.order("cat")
    project.settle()
    project.write_prompts(CAT)
    project.order("cat")
    project.settle()
    shown = [video.metadata["wiro/prompt"].value for video in project.videos("cat")]
    assert shown == [CAT["prompt"], "A cat asleep", CAT["prompt"]]
    assert project.emulator.billable_tasks() == 2


def test_a_deleted_file_is_fetched_again_not_bought_again(project: Project) -> None:
    """While Wiro still has the file, losing ours costs a download."""
    project.write_prompts(CAT)
    project.order("cat")
    project.settle()
    for file in (project.folder / "videos").iterdir():
        if file.is_file():
            file.unlink()
    assert project.order("cat").success
    project.settle()
    assert list((project.folder / "videos").glob("*.mp4"))
    assert project.emulator.billable_tasks() == 1


def test_the_daily_budget_holds_back_what_would_pass_it(project: Project) -> None:
    """Spent and committed never pass the budget; what waits says why."""
    project.budget = "0.40"
    project.write_prompts(*({"id": f"p{n}", "prompt": f"wave {n}"} for n in range(4)))
    project.order("p0", "p3")
    for _ in range(20):
        result = project.tick()
    assert float(project.emulator.spent_usd()) <= 0.40
    states = {order.state for order in project.ledger.list_orders()}
    assert "ordered" in states
    held = project.ledger.list_orders(states=["ordered"])[0]
    assert "0.4 USD daily budget" in (held.hold or "")
    assert result.cursor is not None


def test_two_collections_live_side_by_side(project: Project) -> None:
    """Names, prompts and orders of one collection are not the other's."""
    ads = Project(project.folder, project.emulator, project.instance, name="ads")
    project.write_prompts(CAT)
    ads.write_prompts({**CAT, "prompt": "An advertisement with a cat"})
    project.order("cat")
    ads.order("cat")
    project.settle()
    ads.settle()
    assert ads.collection.video_key == dg.AssetKey(["ads", "video"])
    assert len(project.videos("cat")) == len(ads.videos("cat")) == 1
    assert project.videos("cat")[0].metadata != ads.videos("cat")[0].metadata


def test_no_secret_is_in_the_event_log_or_the_ledger(project: Project) -> None:
    """Keys, secrets and task tokens stay in the process."""
    project.write_prompts(CAT, FAILING)
    project.order("cat", "broken")
    project.settle()
    client = project.resources["wiro"].get_client()
    secrets = [
        EMULATOR_API_SECRET,
        EMULATOR_API_KEY,
        *(client.get_task(task["id"]).token for task in project.emulator.tasks()),
    ]
    assert len(secrets) == 4
    kept = b"".join(path.read_bytes() for path in project.folder.rglob("*") if path.is_file())
    assert [secret for secret in secrets if secret.encode() in kept] == []
    assert [secret for secret in secrets if secret in repr(project.resources)] == []
