"""What Dagster and the command line show of second tries."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from click.testing import CliRunner

from tests.support.project import FAST, Project
from wiro_dagster.cli import main
from wiro_dagster.component.parts import Policy

OTHER = "minimax/text-to-video-hailuo-02"
SENSITIVE = "The generated video was flagged as sensitive."


def test_a_run_waits_for_the_second_try_and_shows_what_both_cost(project: Project) -> None:
    """The run that ordered the first try delivers the second; costs are on both."""
    project.policy = replace(FAST, fallback_models=(OTHER,))
    project.write_prompts({"id": "cat", "prompt": "A cat on a windowsill"})
    project.emulator.script_task(outcome="failed_with_cost", reason=SENSITIVE)
    assert project.materialize(project.collection.video_key, partitions=["cat"]).success
    (event,) = project.videos("cat")
    metadata: dict[str, Any] = {key: value.value for key, value in event.metadata.items()}
    assert metadata["wiro/model"] == OTHER
    assert metadata["wiro/cost_usd"] == 0.27
    assert metadata["wiro/tries_cost_usd"] == 0.55
    first, second = metadata["wiro/tries"]
    assert (first["state"], first["reason"], first["cost_usd"]) == ("failed", SENSITIVE, 0.28)
    assert (second["model"], second["cost_usd"]) == (OTHER, 0.27)
    url = f"sqlite:///{project.folder / 'ledger.db'}"
    shown = CliRunner().invoke(main, ["orders", "--ledger", url, "--json"]).output
    assert [(o["try"], o["retry_of"], o["cost_usd"]) for o in json.loads(shown)] == [
        (1, None, "0.28"),
        (2, first["order_id"], "0.27"),
    ]
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(main, ["orders", "--ledger", url]).output
    assert f"Try 2, after {first['order_id']}." in shown
    project.settle()
    assert len(project.videos("cat")) == 1
    assert project.emulator.billable_tasks() == 2


def test_yaml_says_the_same_as_python() -> None:
    """In a component, a list is as good as a tuple."""
    policy = Policy(attempts=2, fallback_models=[OTHER]).build()
    assert (policy.attempts, policy.fallback_models) == (2, (OTHER,))
    assert policy.list_next_models("a/b") == ("a/b", OTHER, OTHER)
