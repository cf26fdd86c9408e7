"""A user's own asset runs any model with one call, and pays for it once."""

# No `from __future__ import annotations`: Dagster compares the context's annotation with its class.
import hashlib
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.support.own_assets import quick_models
from tests.support.project import Project
from wiro_dagster import ModelResult, WiroModels
from wiro_dagster.defs.asset_files import find_newest
from wiro_dagster.defs.model_request import ModelRequest
from wiro_dagster.errors import OrderFailed

PICTURE = "bytedance/seedream-v4-5"
FILM = "minimax/hailuo-2-3"
FILM_FROM_PICTURE = "minimax/hailuo-2-3-fast"
SPEECH = "openbmb/voxcpm"
Made = dg.MaterializeResult[Any]
SCENES = dg.StaticPartitionsDefinition(["fox", "owl"])


@dg.asset(partitions_def=SCENES)
def portrait(context: dg.AssetExecutionContext, wiro_models: WiroModels) -> Made:
    return wiro_models.run(
        context, PICTURE, prompt=f"A {context.partition_key}", kind="image"
    ).materialize_result()


@dg.asset(partitions_def=SCENES, deps=[portrait])
def clip(context: dg.AssetExecutionContext, wiro_models: WiroModels) -> dg.Output[ModelResult]:
    inputs = {"inputImageFirst": dg.AssetKey("portrait")}
    return wiro_models.run(
        context, FILM_FROM_PICTURE, prompt="It looks up", inputs=inputs, max_usd=0.19
    ).output()


@dg.asset(partitions_def=SCENES)
def large_clip(
    context: dg.AssetExecutionContext, wiro_models: WiroModels, clip: ModelResult
) -> Made:
    return wiro_models.run(
        context, "emulator/upscale", inputs={"inputVideo": clip}, kind="video"
    ).materialize_result()


def materialize(
    project: Project, *assets: dg.AssetsDefinition, partition: str | None = "fox", **options: Any
) -> dg.ExecuteInProcessResult:
    models = options.pop("models", None) or quick_models(project)
    return dg.materialize(
        assets,
        selection=options.pop("selection", None),
        instance=project.instance,
        resources={"wiro_models": models, **options},
        partition_key=partition,
        raise_on_error=False,
    )


def made_by(function: Any, **options: Any) -> dg.AssetsDefinition:
    """An asset without partitions whose body is a call of the resource."""

    @dg.asset(name="made", retry_policy=dg.RetryPolicy(max_retries=1), **options)
    def made(context: dg.AssetExecutionContext, wiro_models: WiroModels) -> Made:
        return function(context, wiro_models).materialize_result()

    return made


def running(model: str, **options: Any) -> dg.AssetsDefinition:
    return made_by(lambda context, models: models.run(context, model, **options))


def metadata_of(project: Project, asset: str, partition: str) -> dict[str, Any]:
    record = find_newest(project.instance, dg.AssetKey(asset), [partition])[partition]
    assert record.asset_materialization is not None
    return {key: value.value for key, value in record.asset_materialization.metadata.items()}


def reason(result: dg.ExecuteInProcessResult) -> tuple[str, dict[str, Any]]:
    """Why a run failed, and the metadata of the failure. Every failure is final."""
    assert not any(event.is_step_up_for_retry for event in result.all_events)
    (event,) = [event for event in result.all_events if event.is_step_failure]
    data = event.step_failure_data.user_failure_data
    assert data is not None, event.step_failure_data.error
    return str(data.description), {key: value.value for key, value in data.metadata.items()}


def tasks(project: Project) -> list[str]:
    return [task["model"] for task in project.emulator.tasks()]


def test_one_call_gives_file_cost_and_metadata(project: Project) -> None:
    """The file is in the store, verified; the cost is Wiro's."""
    assert materialize(project, portrait).success
    found = metadata_of(project, "portrait", "fox")
    path = Path(found["dagster/uri"].removeprefix("file://"))
    assert hashlib.sha256(path.read_bytes()).hexdigest() == found["wiro/sha256"]
    assert path.suffix == ".png"
    assert Decimal(str(found["wiro/cost_usd"])) == project.emulator.spent_usd()
    assert (found["wiro/model"], found["wiro/width"]) == (PICTURE, 1024)
    (order,) = project.ledger.list_orders()
    assert (order.collection, order.partition, order.state) == ("portrait", "fox", "delivered")
    assert found["wiro/order_id"] == order.id


def test_asking_again_for_the_same_buys_nothing(project: Project) -> None:
    """In the same partition; another partition, or another take, is another purchase."""
    for _ in range(2):
        assert materialize(project, portrait).success
    assert tasks(project) == [PICTURE]
    first, second = project.materializations(dg.AssetKey("portrait"), "fox")
    assert first.metadata["dagster/uri"] == second.metadata["dagster/uri"]
    assert materialize(project, portrait, partition="owl").success
    assert tasks(project) == [PICTURE] * 2


def test_results_are_inputs_of_other_models(project: Project) -> None:
    """Picture, video from it, upscaled video: by asset key, and by a result that was loaded."""
    chain = [portrait, clip, large_clip]
    assert materialize(project, *chain).success
    assert tasks(project) == [PICTURE, FILM_FROM_PICTURE, "emulator/upscale"]
    sent = [task["parameters"] for task in project.emulator.tasks()]
    assert sent[1]["inputImageFirst"]
    assert sent[2]["inputVideo"]
    assert materialize(project, *chain).success
    assert len(tasks(project)) == len(chain)
    orders = project.ledger.list_orders()
    assert [order.collection for order in orders] == ["portrait", "clip", "large_clip"]
    assert sum(order.cost_usd or 0 for order in orders) == project.emulator.spent_usd()


def test_speech_is_decoded_and_measured(project: Project) -> None:
    """Sound has a length, and no pictures."""
    assert materialize(project, running(SPEECH, prompt="Hello there", kind="audio"), partition=None)
    found = metadata_of(project, "made", "made")
    assert found["wiro/duration_seconds"] == 1.0
    assert "wiro/problems" not in found
    assert "wiro/preview" not in found


def test_two_runs_of_one_asset_follow_each_other(project: Project) -> None:
    """One call's result is the next one's input; both are bought once."""

    def make(context: dg.AssetExecutionContext, models: WiroModels) -> ModelResult:
        picture = models.run(context, PICTURE, prompt="A fox", name="first")
        inputs = {"inputImageFirst": picture.file}
        return models.run(context, FILM_FROM_PICTURE, prompt="It runs", inputs=inputs)

    for _ in range(2):
        assert materialize(project, made_by(make), partition=None).success
    assert tasks(project) == [PICTURE, FILM_FROM_PICTURE]
    assert {o.collection for o in project.ledger.list_orders()} == {"made", "made/first"}


def test_a_file_can_be_read(project: Project) -> None:
    """From any store."""
    seen: list[bytes] = []

    def make(context: dg.AssetExecutionContext, models: WiroModels) -> ModelResult:
        result = models.run(context, PICTURE, prompt="A fox")
        with models.open_file(result) as path:
            seen.append(path.read_bytes()[:4])
        return result

    assert materialize(project, made_by(make), partition=None).success
    assert seen == [b"\x89PNG"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": "A fox", "inputs": {"duration": "7"}}, "inputs.duration"),
        ({"prompt": "A fox", "max_usd": 0.27}, "over the 0.27 USD limit"),
        ({"prompt": "A fox", "kind": "image"}, "makes video; image was asked for"),
        ({"prompt": "A fox", "inputs": {"inputImageFirst": dg.AssetKey("no")}}, "materialized yet"),
    ],
)
def test_what_cannot_be_bought_fails_before_anything_is_sent(
    project: Project, options: dict[str, Any], message: str
) -> None:
    """Wrong inputs, too high a price, another kind of file, an asset without a file."""
    result = materialize(project, running(FILM, **options), partition=None)
    assert message in reason(result)[0]
    assert tasks(project) == []
    assert all(order.state == "cancelled" for order in project.ledger.list_orders())


def test_a_failed_task_fails_the_step_with_wiros_reason_and_cost(project: Project) -> None:
    """And Dagster does not try again."""
    project.emulator.script_task(outcome="failed_with_cost", reason="The model is broken")
    result = materialize(project, running(FILM, prompt="A fox"), partition=None)
    words, metadata = reason(result)
    assert "The model is broken" in words
    assert metadata["wiro/cost_usd"] == 0.28
    again = materialize(project, running(FILM, prompt="A fox"), partition=None)
    assert "is not ordered again" in reason(again)[0]
    assert len(tasks(project)) == 1


def test_a_failure_that_cost_nothing_may_be_asked_for_again(project: Project) -> None:
    """The words fit an asset of the user's own: there is no `video_order`."""
    project.emulator.script_task(outcome="fail", reason="The model is broken")
    words, metadata = reason(materialize(project, running(FILM, prompt="A fox"), partition=None))
    assert words.startswith("Failed: The model is broken. Ask for it again")
    assert metadata["wiro/cost_usd"] == 0
    assert materialize(project, running(FILM, prompt="A fox"), partition=None).success
    assert len(tasks(project)) == 2


def test_a_lost_ledger_does_not_buy_again_what_the_store_has(project: Project) -> None:
    """The notes beside the files say what was bought."""
    assert materialize(project, portrait).success
    project.ledger_url = f"sqlite:///{project.folder / 'another.db'}"
    assert materialize(project, portrait).success
    assert tasks(project) == [PICTURE]


@pytest.mark.parametrize("cancel", [True, False])
def test_a_terminated_run_leaves_its_task_unless_it_is_told_to_cancel(
    project: Project, *, cancel: bool
) -> None:
    """What was not sent yet is dropped in any case."""
    project.emulator.change_settings(task_seconds=30.0)
    models = quick_models(project, wait_deadline_seconds=0.01)
    wanted = ModelRequest(PICTURE, "A fox")
    prompt = models.read_prompt(wanted, "fox")
    sent = models.open_run(wanted, prompt, "sent", waiter="run", log=print)
    with pytest.raises(OrderFailed, match="The order continues"):
        sent.finish()
    sent.drop("Terminated.", cancel=cancel)
    unsent = models.open_run(wanted, prompt, "unsent", waiter="run", log=print)
    unsent.place()
    unsent.drop("Terminated.", cancel=cancel)
    stops = {order.collection: order.stop_state for order in project.ledger.list_orders()}
    assert stops["sent"] == ("cancelled" if cancel else None)
    states = {order.collection: order.state for order in project.ledger.list_orders()}
    assert states == {"sent": "running", "unsent": "cancelled"}


def test_a_second_try_by_policy_gives_the_file(project: Project) -> None:
    """Both tries are in the metadata."""
    project.emulator.script_task(outcome="fail", reason="The generated video was flagged")
    other = "minimax/text-to-video-hailuo-02"
    asset = running(FILM, prompt="A fox", fallback_models=[other])
    assert materialize(project, asset, partition=None).success
    found = metadata_of(project, "made", "made")
    assert [each["model"] for each in found["wiro/tries"]] == [FILM, other]


def test_a_run_that_died_is_taken_up_by_the_next_one(project: Project) -> None:
    """The paid task is adopted: no second POST."""
    models = quick_models(project, wait_deadline_seconds=0.01)
    project.emulator.change_settings(task_seconds=1.0)
    first = materialize(project, running(FILM, prompt="A fox"), partition=None, models=models)
    assert "The order continues" in reason(first)[0]
    assert materialize(project, running(FILM, prompt="A fox"), partition=None).success
    assert len(tasks(project)) == 1


def test_an_order_that_no_one_waits_for_is_not_bought(project: Project) -> None:
    """A call submits its own order only, not what a dead run of another partition left behind."""
    left = quick_models(project)
    wanted = ModelRequest(PICTURE, "An owl")
    prompt = left.read_prompt(wanted, "owl", instance=project.instance)
    left.open_run(wanted, prompt, "portrait", waiter="dead", log=print).place()
    assert materialize(project, portrait).success
    assert tasks(project) == [PICTURE]


def test_a_run_over_several_partitions_says_which_one_it_means(project: Project) -> None:
    """One run, two partitions, two purchases."""

    @dg.asset(partitions_def=SCENES, backfill_policy=dg.BackfillPolicy.single_run())
    def several(context: dg.AssetExecutionContext, wiro_models: WiroModels) -> None:
        for key in context.partition_keys:
            wiro_models.run(context, PICTURE, prompt=f"A {key}", partition=key)

    result = dg.Definitions(
        assets=[several], resources={"wiro_models": quick_models(project)}
    ).resolve_implicit_global_asset_job_def()
    ends: Sequence[str] = ("start", "end")
    tags = {
        f"dagster/asset_partition_range_{end}": key
        for end, key in zip(ends, ("fox", "owl"), strict=True)
    }
    assert result.execute_in_process(instance=project.instance, tags=tags).success
    assert [order.partition for order in project.ledger.list_orders()] == ["fox", "owl"]
