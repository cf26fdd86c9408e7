"""What orders by itself, and what is out of date: policies, the schedule, staleness."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

# What the UI asks; Dagster has no public door to it but GraphQL.
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest
from PIL import Image

from tests.support.project import Project
from wiro_dagster import build_missing_videos_schedule
from wiro_dagster.defs.desks import load_prompts, open_desk

CAT = {"id": "cat", "prompt": "A cat on a windowsill"}
DOG = {"id": "dog", "prompt": "A dog in the surf"}
FAILING = {"id": "broken", "prompt": "A broken thing [fail]"}
SLEEPING_CAT = {**CAT, "prompt": "A cat asleep"}


def stale_reasons(project: Project, key: dg.AssetKey, partition: str | None) -> list[str]:
    """Why Dagster takes a partition for out of date; empty where it is up to date."""
    instance = project.instance
    graph = project.load().resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    return [
        f"{cause.reason}: {cause.dependency.asset_key.to_user_string() if cause.dependency else ''}"
        for cause in resolver.get_stale_causes(key, partition)
    ]


def is_fresh(project: Project, partition: str) -> bool:
    keys = (project.collection.order_key, project.collection.video_key)
    return [stale_reasons(project, key, partition) for key in keys] == [[], []]


def watch(project: Project, cursor: str | None = None, ticks: int = 3) -> str | None:
    """Ticks the prompt sensor as the daemon does, and gives its cursor."""
    for _ in range(ticks):
        result = look(project, cursor)
        if isinstance(result, dg.SkipReason):
            continue
        for request in result.dynamic_partitions_requests or []:
            project.instance.add_dynamic_partitions(
                request.partitions_def_name, list(request.partition_keys)
            )
        cursor = result.cursor
    return cursor


def look(project: Project, cursor: str | None = None) -> Any:
    """One tick of the prompt sensor, without what the daemon does of its result."""
    return project.tick_sensor(project.collection.prefixed("prompt_file_sensor"), cursor)


def prompts_ordered(project: Project) -> list[str]:
    return [order.prompt for order in project.ledger.list_orders()]


def automatic(project: Project, orders: str) -> Project:
    project.collection_options = {"auto_order": orders}
    return project


# ---- policies ----


def test_by_default_nothing_is_ordered(project: Project) -> None:
    """A new prompt becomes a partition, not a bill."""
    project.write_prompts(CAT)
    watch(project)
    assert prompts_ordered(project) == []


def test_new_prompts_are_ordered_once(project: Project) -> None:
    """With `auto_order="new"` the sensor orders what was never ordered, and no changed prompts."""
    automatic(project, "new").write_prompts(CAT, DOG)
    watch(project)
    watch(project)
    assert prompts_ordered(project) == [CAT["prompt"], DOG["prompt"]]
    assert len(project.materializations(project.collection.order_key, "cat")) == 1
    project.write_prompts(SLEEPING_CAT, DOG)
    watch(project)
    assert len(prompts_ordered(project)) == 2


def test_changed_prompts_are_ordered_too_where_wanted(project: Project) -> None:
    """With `auto_order="new_and_changed"` a new text is a new order; an earlier one is free."""
    automatic(project, "new_and_changed").write_prompts(CAT)
    watch(project)
    project.settle()
    project.write_prompts(SLEEPING_CAT)
    watch(project)
    project.settle()
    project.write_prompts(CAT)
    watch(project)
    project.settle()
    shown = [video.metadata["wiro/prompt"].value for video in project.videos("cat")]
    assert shown == [CAT["prompt"], SLEEPING_CAT["prompt"], CAT["prompt"]]
    assert project.emulator.billable_tasks() == 2
    assert is_fresh(project, "cat")


@pytest.mark.parametrize("policy", ["new", "new_and_changed"])
def test_what_failed_is_not_ordered_again_by_itself(project: Project, policy: str) -> None:
    """A prompt that Wiro cannot make does not come back with every edit of the file."""
    automatic(project, policy).write_prompts(FAILING)
    watch(project)
    project.settle()
    project.write_prompts(FAILING, CAT)
    watch(project)
    project.settle()
    assert sorted(prompts_ordered(project)) == [FAILING["prompt"], CAT["prompt"]]


def test_the_budget_holds_for_what_orders_itself(project: Project) -> None:
    """No policy spends more than a person may."""
    project.budget = "0.40"
    automatic(project, "new").write_prompts(
        *({"id": f"p{number}", "prompt": f"wave {number}"} for number in range(4))
    )
    watch(project)
    for _ in range(10):
        project.tick()
    assert len(project.ledger.list_orders(states=["ordered"])) >= 2
    assert float(project.emulator.spent_usd()) <= 0.40


def test_a_tick_that_died_after_ordering_is_made_good(project: Project) -> None:
    """An order whose materialization was never written gets it before its video does."""
    project.write_prompts(CAT)
    with dg.build_sensor_context(instance=project.instance, resources=project.resources) as context:
        resources = context.resources
        prompts = load_prompts(project.collection, resources, project.instance)
        open_desk(project.collection, resources).place("cat", prompts.prompts["cat"])
    # Here the process dies.
    watch(automatic(project, "new"))
    project.settle()
    assert len(project.materializations(project.collection.order_key, "cat")) == 1
    assert len(project.videos("cat")) == 1
    assert is_fresh(project, "cat")


# ---- the job and its schedule ----


def order_missing(project: Project, **config: Any) -> dg.ExecuteInProcessResult:
    job = project.load().resolve_job_def(project.collection.prefixed("order_missing_videos"))
    return job.execute_in_process(
        instance=project.instance,
        run_config={"ops": {"order_missing": {"config": config}}},
        raise_on_error=False,
    )


def test_the_job_orders_what_is_missing(project: Project) -> None:
    """What was never ordered or failed is; what is owned or under way is left alone."""
    project.write_prompts(CAT, DOG, FAILING)
    assert project.order("cat").success
    assert project.order("broken").success
    project.settle()
    assert order_missing(project).success
    assert order_missing(project).success
    assert prompts_ordered(project) == [
        CAT["prompt"],
        FAILING["prompt"],
        DOG["prompt"],
        FAILING["prompt"],
    ]
    project.settle()
    assert is_fresh(project, "dog")


def test_the_job_leaves_alone_what_a_person_cancelled(project: Project) -> None:
    """A cancelled order comes back when a person orders it."""
    project.write_prompts(CAT)
    project.order("cat")
    (order,) = project.ledger.list_orders()
    project.ledger.request_stop(order.id, state="cancelled", reason="Not wanted.")
    project.settle()
    assert order_missing(project).success
    assert len(project.ledger.list_orders()) == 1


def test_the_job_says_what_is_missing_and_orders_nothing(project: Project) -> None:
    """`dry_run` logs the prices of what is missing alone."""
    project.write_prompts(CAT, DOG)
    project.order("cat")
    result = order_missing(project, dry_run=True)
    assert result.success
    assert prompts_ordered(project) == [CAT["prompt"]]
    (prices,) = [
        entry.user_message
        for entry in project.instance.all_logs(result.run_id)
        if "dry_run" in entry.user_message
    ]
    assert "dog" in prices
    assert "cat" not in prices


def test_the_job_orders_as_much_as_its_launch_dialog_allows(project: Project) -> None:
    """What does not fit `max_usd` is not ordered, and the run says so; the rest is recorded."""
    project.write_prompts(CAT, DOG)
    assert not order_missing(project, max_usd=0.5).success
    assert prompts_ordered(project) == [CAT["prompt"]]
    assert len(project.materializations(project.collection.order_key, "cat")) == 1


def test_the_schedule_runs_each_morning(project: Project) -> None:
    """A tick launches the job, once for each time it is due."""
    schedule = build_missing_videos_schedule(
        project.collection, cron_schedule="0 6 * * *", execution_timezone="Europe/Berlin"
    )
    assert schedule.name == "missing_videos_schedule"
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    defs = dg.Definitions.merge(project.definitions, dg.Definitions(schedules=[schedule]))
    dg.Definitions.validate_loadable(defs)
    with dg.build_schedule_context(instance=project.instance) as context:
        requests = schedule.evaluate_tick(context).run_requests
    assert requests is not None
    assert len(requests) == 1


# ---- staleness ----


@pytest.fixture(params=["one run", "one run each", "click", "click on all", "sensor"])
def delivered(request: pytest.FixtureRequest, project: Project) -> Project:
    """Two owned videos, ordered and delivered in each of the ways there are."""
    order_key, video_key = project.collection.order_key, project.collection.video_key
    if request.param == "sensor":
        automatic(project, "new").write_prompts(CAT, DOG)
        watch(project)
    else:
        project.write_prompts(CAT, DOG)
    if request.param == "one run":
        assert project.order("cat", "dog").success
    elif request.param == "one run each":
        assert project.materialize(order_key, video_key, partitions=["cat"]).success
        assert project.materialize(order_key, video_key, partitions=["dog"]).success
    elif request.param == "click":
        assert project.materialize(video_key, partitions=["cat"]).success
        assert project.materialize(video_key, partitions=["dog"]).success
    elif request.param == "click on all":
        assert project.materialize(order_key, video_key, partitions=["cat", "dog"]).success
    project.settle()
    return project


def test_a_changed_prompt_makes_its_order_and_video_out_of_date(delivered: Project) -> None:
    """Only the changed one's, and only until it is ordered again, however it was delivered."""
    project = delivered
    assert is_fresh(project, "cat")
    assert is_fresh(project, "dog")
    project.collection_options = {}
    project.write_prompts(SLEEPING_CAT, DOG)
    order_key, video_key = project.collection.order_key, project.collection.video_key
    assert stale_reasons(project, order_key, "cat") == ["has a new dependency data version: prompt"]
    assert stale_reasons(project, video_key, "cat") == ["has a new dependency data version: prompt"]
    assert is_fresh(project, "dog")
    assert project.materialize(video_key, partitions=["cat"]).success
    assert is_fresh(project, "cat")


def test_going_back_to_an_earlier_prompt_is_seen_as_well(project: Project) -> None:
    """There and back again is not "nothing has changed" for what was made in between."""
    project.write_prompts(CAT)
    project.order("cat")
    project.settle()
    project.write_prompts(SLEEPING_CAT)
    project.order("cat")
    project.settle()
    project.write_prompts(CAT)
    assert not is_fresh(project, "cat")
    project.order("cat")
    project.settle()
    assert is_fresh(project, "cat")


def test_ordering_before_the_sensor_has_looked_is_not_out_of_date(project: Project) -> None:
    """A run that reads a newer text than the sensor tells Dagster of it."""
    project.write_prompts(CAT)
    watch(project)
    text = project.prompt_file.read_text().replace(CAT["prompt"], SLEEPING_CAT["prompt"])
    project.prompt_file.write_text(text)
    assert project.order("cat").success
    project.settle()
    watch(project)
    assert is_fresh(project, "cat")


def test_a_prompt_is_observed_once_for_each_text(project: Project) -> None:
    """Edits of other prompts add nothing to a prompt's history."""
    project.write_prompts(CAT)
    watch(project)
    project.write_prompts(CAT, DOG)
    watch(project)
    wanted = dg.AssetRecordsFilter(
        asset_key=project.collection.prompt_key, asset_partitions=["cat"]
    )
    (record,) = project.instance.fetch_observations(wanted, limit=10).records
    observation = record.asset_observation
    assert observation is not None
    assert observation.metadata["wiro/prompt"].value == CAT["prompt"]


def test_a_prompts_partition_is_filled_with_text_model_and_price(project: Project) -> None:
    """What it would cost is seen before it is ordered."""
    project.write_prompts(CAT)
    watch(project)
    (prompt,) = project.materializations(project.collection.prompt_key, "cat")
    assert prompt.metadata["wiro/prompt"].value == CAT["prompt"]
    assert prompt.metadata["wiro/model"].value == "minimax/hailuo-2-3"
    assert prompt.metadata["wiro/quote_usd"].value == 0.28


# ---- local files, problems ----


def test_an_edited_image_is_a_changed_prompt(project: Project, tmp_path: Path) -> None:
    """The prompt file stays as it is; the picture that it names does not."""
    image = tmp_path / "start.png"
    Image.new("RGB", (640, 360), "crimson").save(image)
    project.write_prompts(
        {**CAT, "inputs": {"inputImageFirst": "start.png"}},
    )
    cursor = watch(project)
    assert project.order("cat").success
    project.settle()
    assert is_fresh(project, "cat")
    assert watch(project, cursor, ticks=1) == cursor
    Image.new("RGB", (640, 360), "navy").save(image)
    watch(project, cursor)
    assert not is_fresh(project, "cat")


def test_an_unchanged_file_is_not_read_again(project: Project) -> None:
    """The cursor is short, and tells all."""
    project.write_prompts(*({"id": f"p{n}", "prompt": f"wave {n}"} for n in range(50)))
    cursor = watch(project)
    assert cursor is not None
    assert len(cursor) < 400
    result: Any = project.tick_sensor("prompt_file_sensor", cursor)
    assert isinstance(result, dg.SkipReason) or "not changed" in str(result.skip_message)


# ---- downstream ----


def test_what_is_downstream_starts_when_the_sensor_reports_a_video(project: Project) -> None:
    """`AutomationCondition.eager()` fires for a video's partition, once."""
    collection = project.collection

    @dg.asset(
        deps=[collection.video_key],
        partitions_def=collection.partitions,
        automation_condition=dg.AutomationCondition.eager(),
    )
    def thumbnail() -> None: ...

    defs = dg.Definitions.merge(project.definitions, dg.Definitions(assets=[thumbnail]))
    project.write_prompts(CAT, DOG)
    first = dg.evaluate_automation_conditions(defs=defs, instance=project.instance)
    assert first.total_requested == 0
    project.order("cat")
    project.settle()
    second = dg.evaluate_automation_conditions(
        defs=defs, instance=project.instance, cursor=first.cursor
    )
    assert second.get_requested_partitions(thumbnail.key) == {"cat"}
    project.settle()
    third = dg.evaluate_automation_conditions(
        defs=defs, instance=project.instance, cursor=second.cursor
    )
    assert third.total_requested == 0
