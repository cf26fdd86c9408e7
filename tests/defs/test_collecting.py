"""With `collect="runs"`, files are fetched in runs that the sensor requests, and never twice."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from tests.support.project import FAST, FAST_TIMING, QUICK, Project
from wiro_dagster import build_video_definitions
from wiro_dagster.defs.desks import open_desk
from wiro_dagster.defs.failures import failure_job_name
from wiro_dagster.ledger import Order

CAT = {"id": "cat", "prompt": "A cat on a windowsill"}
DOG = {"id": "dog", "prompt": "A dog in the surf"}
FOX = {"id": "fox", "prompt": "A fox in the snow"}
OWL = {"id": "owl", "prompt": "An owl at dusk"}
BEE = {"id": "bee", "prompt": "A bee in the clover"}
PATIENCE_SECONDS = 60.0
LEASE_SECONDS = 20.0


@pytest.fixture
def runs_project(project: Project) -> Project:
    """Its videos are collected by runs of two videos, two runs at once."""
    project.collection_options = {
        "collect": "runs",
        "collect_batch": 2,
        "collect_runs": 2,
        "timing": replace(QUICK, heartbeat_seconds=LEASE_SECONDS),
    }
    timing = replace(FAST_TIMING, lease_seconds=LEASE_SECONDS, retry_maximum_seconds=0.05)
    project.policy = replace(FAST, timing=replace(timing, sure_gone_seconds=1.0))
    return project


def finish_tasks(project: Project, *prompts: dict[str, Any]) -> list[dg.RunRequest]:
    """The runs that the sensor requests once all tasks have ended."""
    project.write_prompts(*prompts)
    assert project.order(str(prompts[0]["id"]), str(prompts[-1]["id"])).success
    wait_for(project, lambda orders: all(order.state == "finished" for order in orders))
    return list(project.tick().run_requests)


def wait_for(project: Project, is_so: Any) -> list[dg.RunRequest]:
    """Ticks until the orders are so; the runs that were requested meanwhile."""
    requests: list[dg.RunRequest] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        requests += project.tick().run_requests or []
        if is_so(project.ledger.list_orders()):
            return requests
        time.sleep(0.05)
    raise AssertionError([order.state for order in project.ledger.list_orders()])


def launch(project: Project, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
    """What the daemon does with a request, in this process."""
    job = project.load().resolve_job_def(str(request.job_name))
    return job.execute_in_process(
        instance=project.instance, tags=dict(request.tags), raise_on_error=False
    )


def collect_all(project: Project) -> list[Order]:
    """Launches what the sensor requests until all orders are at rest."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(order.due_at is not None for order in project.ledger.list_orders()):
        for request in project.tick().run_requests or []:
            if request.job_name == "collect_videos":
                launch(project, request)
        assert time.monotonic() < deadline, project.ledger.list_orders()
        time.sleep(0.05)
    return project.ledger.list_orders()


def video_runs(project: Project, partition: str) -> list[str]:
    """The runs that materialized a partition of `video`, the newest first."""
    wanted = dg.AssetRecordsFilter(project.collection.video_key, asset_partitions=[partition])
    records = project.instance.fetch_materializations(wanted, limit=10).records
    return [record.run_id for record in records]


def downloads(project: Project) -> int:
    return len(project.emulator.journal(kind="download"))


def test_a_run_fetches_and_materializes_what_the_sensor_only_follows(
    runs_project: Project,
) -> None:
    """Its run materializes each partition of `video`, once; the sensor evaluates the checks."""
    (request,) = finish_tasks(runs_project, CAT, DOG)
    assert downloads(runs_project) == 0
    result = launch(runs_project, request)
    assert result.success
    assert video_runs(runs_project, "cat") == video_runs(runs_project, "dog") == [result.run_id]
    assert downloads(runs_project) == runs_project.emulator.billable_tasks() == 2
    told = [event for event in runs_project.tick().asset_events if hasattr(event, "check_name")]
    passed = {check.check_name: check.passed for check in told}
    assert passed["orders_succeeded"]
    assert passed["playable"]
    assert [order.state for order in runs_project.settle()] == ["delivered", "delivered"]


def test_all_definitions_of_two_such_collections_fit_into_one_code_location(
    runs_project: Project,
) -> None:
    """Jobs and ops have the collection's name."""
    ads = replace(runs_project.collection, name="ads")
    collections = (runs_project.collection, ads)
    built = dg.Definitions.merge(
        *map(build_video_definitions, collections),
        dg.Definitions(resources=runs_project.load_resources()),
    )
    dg.Definitions.validate_loadable(built)


def test_no_run_is_asked_for_twice(runs_project: Project) -> None:
    """A tick that comes again asks by the same key; while the run is under way, for none."""
    (request,) = finish_tasks(runs_project, CAT)
    (again,) = runs_project.tick().run_requests
    assert again.run_key == request.run_key
    run = begin(runs_project, request, dg.DagsterRunStatus.STARTED)
    assert not runs_project.tick().run_requests
    runs_project.instance.delete_run(run.run_id)
    assert runs_project.tick().run_requests


def begin(project: Project, request: dg.RunRequest, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    """A run that is under way, and whose worker does nothing."""
    return project.instance.create_run_for_job(
        project.load().resolve_job_def(str(request.job_name)),
        tags=dict(request.tags),
        status=status,
    )


def test_there_are_as_many_runs_as_the_videos_need_up_to_the_limit(
    runs_project: Project,
) -> None:
    """Five videos need three runs of two; two are requested, and each takes two videos."""
    requests = finish_tasks(runs_project, CAT, DOG, FOX, OWL, BEE)
    assert len({request.run_key for request in requests}) == len(requests) == 2
    assert launch(runs_project, requests[0]).success
    states = [order.state for order in runs_project.ledger.list_orders()]
    assert sorted(states) == ["delivered"] * 2 + ["finished"] * 3
    begin(runs_project, requests[1], dg.DagsterRunStatus.STARTED)
    (third,) = runs_project.tick().run_requests
    assert third.run_key not in {request.run_key for request in requests}
    # The second run's machine is gone: nothing is heard of it for five heartbeats.
    options = runs_project.collection_options
    hasty = replace(options["timing"], heartbeat_seconds=0.1)
    runs_project.collection_options = {**options, "timing": hasty}
    time.sleep(0.6)
    assert len(runs_project.tick().run_requests) == 2


def test_what_a_dead_run_had_claimed_is_collected_by_the_next(runs_project: Project) -> None:
    """Once its lease has ended; the video is bought and shown once."""
    (request,) = finish_tasks(runs_project, CAT)
    ledger = runs_project.ledger
    (claimed,) = ledger.claim("video", ["finished"], limit=1, lease_seconds=600.0)
    ledger.register_waiter([claimed.id], "dead", until=time.time() + 600.0)
    assert launch(runs_project, request).success
    assert not runs_project.tick().run_requests
    assert video_runs(runs_project, "cat") == []
    ledger.register_waiter([claimed.id], "dead", until=time.time())
    assert ledger.renew_all([claimed], 0.0) == [True]  # the lease ends now
    collect_all(runs_project)
    assert len(video_runs(runs_project, "cat")) == runs_project.emulator.billable_tasks() == 1


def test_what_a_run_stored_before_it_died_is_shown_by_the_sensor(runs_project: Project) -> None:
    """The file is not fetched again."""
    finish_tasks(runs_project, CAT)
    desk = open_desk(runs_project.collection, SimpleNamespace(**runs_project.resources))
    for _ in desk.collect(5, run_id="dead", heartbeat_seconds=LEASE_SECONDS):
        pass
    assert runs_project.ledger.list_orders()[0].state == "stored"
    runs_project.tick()
    assert video_runs(runs_project, "cat") == []  # for now it is the run's to show
    (order,) = runs_project.ledger.list_orders()
    runs_project.ledger.register_waiter([order.id], "dead", until=time.time())
    assert runs_project.settle()[0].state == "delivered"
    assert video_runs(runs_project, "cat") == [""]
    assert downloads(runs_project) == 1


def test_a_run_leaves_orders_to_runs_that_wait_for_them(runs_project: Project) -> None:
    """A run of `video` fetches and shows its own orders."""
    (request,) = finish_tasks(runs_project, CAT)
    (order,) = runs_project.ledger.list_orders()
    runs_project.ledger.register_waiter([order.id], "waiting", until=time.time() + 60)
    assert launch(runs_project, request).success
    assert not runs_project.tick().run_requests
    assert runs_project.ledger.list_orders()[0].state == "finished"


def test_files_that_cannot_be_fetched_are_shown_as_in_the_sensor(runs_project: Project) -> None:
    """The run says so and succeeds, others try again, and a file that is gone turns red."""
    runs_project.emulator.script_fault("file_not_found", times=None)
    (request,) = finish_tasks(runs_project, CAT)
    assert launch(runs_project, request).success
    (order,) = runs_project.ledger.list_orders()
    assert (order.state, order.attempts) == ("finished", 1)
    assert "404" in str(order.error)
    requests: list[str] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while failure_job_name(runs_project.collection) not in requests:
        for request in runs_project.tick().run_requests or []:
            requests.append(str(request.job_name))
            launch(runs_project, request)
        assert time.monotonic() < deadline, runs_project.ledger.list_orders()
    assert runs_project.ledger.list_orders()[0].state == "uncollected"
    assert runs_project.emulator.billable_tasks() == 1
