"""Failed orders turn their partitions red, with Wiro's reason and without another order."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from tests.support.project import Project
from wiro_dagster.defs.failures import list_ranges

CAT = {"id": "cat", "prompt": "A cat on a windowsill"}
DOG = {"id": "dog", "prompt": "A dog in the surf"}
BROKEN = {"id": "broken", "prompt": "A broken thing [fail]"}
TORN = {"id": "torn", "prompt": "A torn thing [fail]"}


def settle(project: Project) -> list[dg.RunRequest]:
    """The runs that the sensor requests until all orders are at rest."""
    requests: list[dg.RunRequest] = []
    tick = project.tick

    def note() -> Any:
        result = tick()
        requests.extend(result.run_requests or [])
        return result

    project.tick = note  # type: ignore[method-assign]
    project.settle()
    return requests


def launch(project: Project, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
    """What the daemon does with a request."""
    assert request.job_name is not None
    return (
        project.load()
        .resolve_job_def(request.job_name)
        .execute_in_process(
            instance=project.instance,
            tags=dict(request.tags),
            raise_on_error=False,
        )
    )


def failed_partitions(project: Project, run_id: str) -> list[str]:
    """The partitions that a run meant to materialize and did not."""
    run = project.instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status == dg.DagsterRunStatus.FAILURE
    planned = project.instance.get_records_for_run(
        run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    ).records
    return [str(record.partition_key) for record in planned]


def reasons(result: dg.ExecuteInProcessResult) -> str:
    (event,) = [event for event in result.all_events if event.is_step_failure]
    data = event.step_failure_data.user_failure_data
    assert data is not None
    return str(data.description)


def test_a_failed_order_turns_its_partition_red_with_wiros_reason(project: Project) -> None:
    """The run fails at once; it orders nothing and asks nobody to try again."""
    project.write_prompts(CAT, BROKEN)
    assert project.order("cat", "broken").success
    (request,) = settle(project)
    tasks = len(project.emulator.tasks())
    result = launch(project, request)
    assert failed_partitions(project, result.run_id) == ["broken"]
    assert '"broken": Failed:' in reasons(result)
    run = project.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags["dagster/max_retries"] == "0"
    assert len(project.ledger.list_orders()) == 2
    assert len(project.emulator.tasks()) == tasks


def test_one_run_reports_all_failures_that_are_next_to_each_other(project: Project) -> None:
    """A run over a range marks the whole range, so only failed partitions are in it."""
    project.write_prompts(BROKEN, TORN, CAT)
    assert project.order("broken", "torn", "cat").success
    requests = settle(project)
    partitions = {
        key
        for request in requests
        for key in failed_partitions(project, launch(project, request).run_id)
    }
    assert partitions == {"broken", "torn"}


def test_a_failure_that_was_ordered_again_is_no_longer_reported(project: Project) -> None:
    """The run ends well and materializes nothing: the new order decides."""
    project.write_prompts(BROKEN)
    assert project.order("broken").success
    (request,) = settle(project)
    project.write_prompts({**BROKEN, "prompt": "A mended thing"})
    assert project.order("broken").success
    result = launch(project, request)
    assert result.success
    assert project.videos("broken") == []


def test_the_job_never_orders_whoever_launches_it(project: Project) -> None:
    """A click on it, for a partition that was never ordered, spends nothing."""
    project.write_prompts(CAT)
    job = project.load().resolve_job_def("report_failed_videos")
    assert job.execute_in_process(instance=project.instance, partition_key="cat").success
    assert project.ledger.list_orders() == []
    assert project.emulator.billable_tasks() == 0


def test_failures_can_be_events_only(project: Project) -> None:
    """With `failures="event"` no run is started."""
    project.collection_options = {"failures": "event"}
    project.write_prompts(BROKEN)
    assert project.order("broken").success
    assert settle(project) == []


def test_what_the_user_cancelled_is_not_red(project: Project) -> None:
    """It did what was wanted."""
    project.write_prompts(CAT)
    assert project.order("cat").success
    (order,) = project.ledger.list_orders()
    assert project.ledger.request_stop(order.id, state="cancelled", reason="Not wanted.")
    assert settle(project) == []


@pytest.mark.parametrize(
    ("wanted", "ranges"),
    [
        ([], []),
        (["b"], [["b"]]),
        (["c", "b"], [["b", "c"]]),
        (["a", "c", "d"], [["a"], ["c", "d"]]),
        (["a", "b", "c", "d"], [["a", "b", "c", "d"]]),
    ],
)
def test_ranges_have_wanted_keys_only(wanted: list[str], ranges: list[list[str]]) -> None:
    """In Dagster's order, as few as possible."""
    assert list_ranges(["a", "b", "c", "d"], wanted) == ranges
