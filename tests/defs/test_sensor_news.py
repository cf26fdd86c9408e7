"""What the order sensor tells beside videos: the account, the budget, progress. Once, not again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from tests.support.project import FAST, FAST_TIMING, SETTLE_SECONDS, Project
from wiro_dagster import WiroResource
from wiro_dagster.defs.order_cursor import OrderCursor
from wiro_dagster.ledger.schema import orders

CAT = {"id": "cat", "prompt": "A cat on a windowsill"}
DOG = {"id": "dog", "prompt": "A dog in the surf"}
IMPATIENT = replace(FAST, timing=replace(FAST_TIMING, refused_pause_seconds=0.5))


@dataclass
class WrongKeyProject(Project):
    """A project whose key Wiro does not know."""

    @property
    def resources(self) -> dict[str, Any]:
        given = super().resources
        wrong = WiroResource(
            api_key="wrong",
            api_secret="wrong",
            base_url=given["wiro"].base_url,
            cdn_hosts=given["wiro"].cdn_hosts,
        )
        return {**given, "wiro": wrong}


def evaluations(project: Project, name: str) -> list[dg.AssetCheckEvaluation]:
    """What the sensor told by one check, the oldest first; runs evaluate it too."""
    key = dg.AssetCheckKey(project.collection.order_key, name)
    history = project.instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
    found = []
    for record in reversed(history):
        if record.run_id:
            continue
        assert record.event is not None
        assert record.event.dagster_event is not None
        evaluation = record.event.dagster_event.event_specific_data
        assert isinstance(evaluation, dg.AssetCheckEvaluation)
        found.append(evaluation)
    return found


def verdicts(project: Project, name: str) -> list[bool]:
    return [evaluation.passed for evaluation in evaluations(project, name)]


def tick_until(project: Project, is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while not is_done():
        assert time.monotonic() < deadline
        project.tick()
        time.sleep(0.05)


def submissions(project: Project) -> int:
    return len(project.emulator.journal(kind="call", endpoint="Run"))


def progress(project: Project, partition: str) -> list[dg.AssetObservation]:
    """Observations of an order under way, the oldest first."""
    wanted = dg.AssetRecordsFilter(
        asset_key=project.collection.order_key, asset_partitions=[partition]
    )
    records = project.instance.fetch_observations(wanted, limit=100).records
    found = [record.asset_observation for record in reversed(records)]
    return [event for event in found if event is not None and "wiro/status" in event.metadata]


def change_orders(project: Project, **values: Any) -> None:
    with project.ledger.writing() as connection:
        connection.execute(sa.update(orders).values(values))


# ---- the account ----


def test_an_empty_balance_is_told_once_and_so_is_its_end(project: Project) -> None:
    """However often Wiro is tried again, by whichever process, a person hears of it once."""
    project.policy = IMPATIENT
    project.emulator.set_balance("0.10")
    project.write_prompts(CAT, DOG)
    assert project.order("cat", "dog").success
    tick_until(project, lambda: submissions(project) >= 4)
    restarted = Project(
        project.folder,
        project.emulator,
        project.instance,
        policy=IMPATIENT,
        cursor=project.cursor,
    )
    tick_until(restarted, lambda: submissions(project) >= 6)
    (told,) = evaluations(project, "account_open")
    assert (told.passed, told.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "Insufficient balance" in str(told.description)
    assert "resumes once the balance is topped up" in str(told.description)
    project.emulator.set_balance("1000")
    settled = restarted.settle()
    assert {order.state for order in settled} == {"delivered"}
    assert verdicts(project, "account_open") == [False, True]


def test_a_refused_key_is_told_and_its_orders_go_on_when_it_is_corrected(project: Project) -> None:
    """The first thing that goes wrong in a new project is not shown as an unknown price."""
    # The pause outlasts each tick, as the real one of minutes does.
    policy = replace(FAST, timing=replace(FAST_TIMING, refused_pause_seconds=3.0))
    wrong = WrongKeyProject(project.folder, project.emulator, project.instance, policy=policy)
    wrong.write_prompts(CAT)
    assert wrong.order("cat").success
    wrong.tick()
    (told,) = evaluations(project, "account_open")
    assert not told.passed
    assert "credentials" in str(told.description)
    assert verdicts(project, "within_budget") == [True]
    project.cursor = wrong.cursor
    assert [order.state for order in project.settle()] == ["delivered"]
    assert verdicts(project, "account_open") == [False, True]


def test_what_passes_by_itself_is_not_told_of_the_account(project: Project) -> None:
    """A 429 and Wiro's limit of tasks are nobody's fault."""
    project.policy = replace(
        FAST, timing=replace(FAST_TIMING, pause_seconds=0.1, slots_seconds=0.1)
    )
    project.emulator.set_balance("15")
    project.emulator.script_fault("rate_limited", endpoint="Run", retry_after="1")
    project.write_prompts(CAT, DOG)
    assert project.order("cat", "dog").success
    project.settle()
    assert verdicts(project, "account_open") == [True]


def test_a_waiting_run_says_once_that_the_account_is_refused(project: Project) -> None:
    """It goes on waiting, and delivers when there are funds."""
    project.policy = IMPATIENT
    project.emulator.set_balance("0.10")
    project.write_prompts(CAT)

    def fund() -> None:
        while submissions(project) < 2:
            time.sleep(0.05)
        project.emulator.set_balance("1000")

    funding = threading.Thread(target=fund)
    funding.start()
    result = project.materialize(project.collection.video_key, partitions=["cat"])
    funding.join()
    assert result.success
    told = [entry.user_message for entry in project.instance.all_logs(result.run_id)]
    assert sum("Nothing is submitted." in message for message in told) == 1
    assert sum("submissions again" in message for message in told) == 1


# ---- the budget ----


def test_orders_that_the_budget_holds_back_are_on_a_check(project: Project) -> None:
    """It names them and the reason when it turns, and is quiet until it turns back."""
    project.budget = "0.40"
    project.write_prompts(CAT, DOG, {"id": "owl", "prompt": "An owl at dusk"})
    assert project.order("cat", "owl").success
    for _ in range(6):
        project.tick()
    (told,) = evaluations(project, "within_budget")
    assert (told.passed, told.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert told.metadata["wiro/held_orders"].value == 2
    named = told.metadata["wiro/held"].value
    assert isinstance(named, dict)
    assert named.keys() == {"dog", "owl"}
    assert "0.4 USD daily budget" in str(told.description)
    project.budget = "10"
    with project.ledger.writing() as connection:
        held = sa.update(orders).where(orders.c.state == "ordered")
        connection.execute(held.values(due_at=0.0))  # looked at again in half a minute, else
    project.settle()
    assert verdicts(project, "within_budget") == [False, True]


def test_the_price_of_what_is_missing_is_told_before_the_click(project: Project) -> None:
    """How many videos nobody has ordered, what they would cost, and what is left to spend."""
    project.budget = "1"
    project.write_prompts(CAT, DOG)
    result = project.bring_prompts_in()
    (told,) = result.asset_events or evaluations(project, "prompts_valid")
    assert told.description == (
        "No problems. 2 prompts can be ordered. 2 videos are missing, 0.56 USD; budget left: 1 USD."
    )
    ordered = project.order("cat")
    told, *_ = [
        check
        for check in ordered.get_asset_check_evaluations()
        if check.check_name == "prompts_valid"
    ]
    assert str(told.description).endswith("1 video is missing, 0.28 USD; budget left: 1 USD.")
    assert told.metadata["wiro/missing_usd"].value == 0.28


def test_a_budget_that_is_nearly_used_up_is_told_before_it_is(project: Project) -> None:
    """From 80 % on the check warns, once, with nothing held back."""
    project.budget = "0.35"
    project.write_prompts(CAT)
    assert project.order("cat").success
    project.settle()
    (told,) = evaluations(project, "within_budget")
    assert (told.passed, told.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert told.description == "0.28 USD of the 0.35 USD daily budget are spent or committed."
    assert told.metadata["wiro/daily_budget_used_usd"].value == 0.28


def test_the_checks_can_be_executed_at_any_time(project: Project) -> None:
    """Dagster's Execute button says what the sensor says, and a failure blocks nothing."""
    project.budget = "0.10"
    project.write_prompts(CAT)
    assert project.order("cat").success
    project.tick()
    keys = [
        dg.AssetCheckKey(project.collection.order_key, name)
        for name in ("account_open", "within_budget")
    ]
    job = dg.define_asset_job("checks", selection=dg.AssetSelection.checks(*keys))
    defs = dg.Definitions.merge(project.definitions, dg.Definitions(jobs=[job]))
    result = defs.resolve_job_def("checks").execute_in_process(instance=project.instance)
    told = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert {name: check.passed for name, check in told.items()} == {
        "account_open": True,
        "within_budget": False,
    }
    assert told["within_budget"].severity == dg.AssetCheckSeverity.WARN
    assert not any(check.blocking for check in told.values())


# ---- progress ----


def test_progress_is_on_the_partition_once_a_minute(project: Project) -> None:
    """The start is told, then news, with status, percentage and time; never each poll."""
    project.emulator.change_settings(task_seconds=100.0)
    project.emulator.freeze()
    project.write_prompts(CAT)
    assert project.order("cat").success
    project.tick()
    assert progress(project, "cat") == []
    project.emulator.advance(10)
    tick_until(project, lambda: bool(progress(project, "cat")))
    project.emulator.advance(50)
    before = project.ledger.list_orders()[0].progress_percent
    tick_until(project, lambda: project.ledger.list_orders()[0].progress_percent != before)
    for _ in range(3):
        project.tick()
    (started,) = progress(project, "cat")
    assert started.metadata["wiro/task_id"].value == project.emulator.tasks()[0]["id"]
    change_orders(project, observed_at=0.0)
    project.tick()
    _, later = progress(project, "cat")
    assert later.metadata["wiro/status"].value == "task_output"
    percent = later.metadata["wiro/progress_percent"].value
    assert isinstance(percent, float)
    assert 0 < percent <= 100
    seconds = later.metadata["wiro/running_seconds"].value
    assert isinstance(seconds, float)
    assert f"task_output, {percent:.0f} %" in str(later.description)
    change_orders(project, observed_at=0.0)
    project.tick()
    assert len(progress(project, "cat")) == 2


def test_progress_is_no_new_data(project: Project) -> None:
    """What is downstream does not start, and nothing is out of date, because a task runs."""
    collection = project.collection

    @dg.asset(
        deps=[collection.order_key, collection.video_key],
        partitions_def=collection.partitions,
        automation_condition=dg.AutomationCondition.any_deps_updated(),
    )
    def thumbnail() -> None: ...

    defs = dg.Definitions.merge(project.definitions, dg.Definitions(assets=[thumbnail]))
    project.emulator.script_task(outcome="stuck", stuck_at="task_output")
    project.write_prompts(CAT)
    assert project.order("cat").success
    first = dg.evaluate_automation_conditions(defs=defs, instance=project.instance)
    tick_until(project, lambda: bool(progress(project, "cat")))
    second = dg.evaluate_automation_conditions(
        defs=defs, instance=project.instance, cursor=first.cursor
    )
    assert second.get_requested_partitions(thumbnail.key) == set()


# ---- the cursor ----


@pytest.mark.parametrize("text", [None, "", "no cursor", "[]", '{"reported": [1]}'])
def test_a_cursor_that_cannot_be_read_tells_nothing(text: str | None) -> None:
    """The sensor goes on, and looks at the event log before it reports."""
    assert OrderCursor.from_text(text) == OrderCursor()


def test_an_old_cursor_loses_no_report(project: Project) -> None:
    """A tick that is repeated must not take an order for told that has come back since."""
    project.write_prompts(CAT)
    assert project.order("cat").success
    tick_until(project, lambda: bool(project.videos("cat")))
    old = project.cursor
    project.settle()
    project.write_prompts({**CAT, "prompt": "A cat asleep"})
    assert project.order("cat").success
    project.settle()
    project.write_prompts(CAT)
    assert project.order("cat").success
    project.cursor = old
    project.settle()
    shown = [video.metadata["wiro/prompt"].value for video in project.videos("cat")]
    assert shown == [CAT["prompt"], "A cat asleep", CAT["prompt"]]


def test_a_tick_that_did_something_says_what(project: Project) -> None:
    """The tick's text in Dagster, for the prompt sensor and for the order sensor."""
    project.write_prompts(CAT)
    project.prompt_file.write_text(project.prompt_file.read_text() + "  owner: me\n")
    told = project.bring_prompts_in().skip_message
    assert told.startswith("0 prompts, 0 new; 1 problem; partitions without a prompt: 0.")
    project.write_prompts(CAT)
    project.materialize(project.collection.order_key, partitions=["cat"])
    project.emulator.freeze()  # else a slow tick may see the task end
    assert str(project.tick().skip_message).startswith("This tick: 1 submitted")
    assert project.ledger.list_orders()[0].state == "running"
    project.emulator.resume()
    texts = []
    while project.ledger.list_orders()[0].due_at is not None:
        texts.append(project.tick().skip_message)
    assert any("1 delivered" in text for text in texts)
    assert texts[-1].endswith("No orders are under way.")
