"""Where a priority is stated: prompt, collection, run."""

from __future__ import annotations

import json
from typing import Any

import dagster as dg

from tests.support.project import Project
from wiro_dagster.catalogue import Catalogue
from wiro_dagster.prompts import parse_prompt_text

ORDER = dg.AssetKey("video_order")


def priorities(project: Project) -> dict[str, int]:
    return {order.partition: order.priority for order in project.ledger.list_orders()}


def order(project: Project, *partitions: str, **options: Any) -> None:
    assert project.materialize(ORDER, partitions=partitions, **options).success


def test_a_prompt_counts_before_its_collection_and_a_run_before_both(project: Project) -> None:
    """A run states it in its config, or in Dagster's own tag."""
    project.collection_options = {"priority": 3}
    project.write_prompts(
        {"id": "cat", "prompt": "A cat", "priority": "urgent"}, {"id": "dog", "prompt": "A dog"}
    )
    order(project, "cat", "dog")
    assert priorities(project) == {"cat": 10, "dog": 3}
    order(project, "dog", tags={"dagster/priority": "-4"})
    assert priorities(project) == {"cat": 10, "dog": -4}
    config = {"ops": {"video_order": {"config": {"priority": 7}}}}
    order(project, "dog", run_config=config, tags={"dagster/priority": "-4"})
    assert priorities(project) == {"cat": 10, "dog": 7}


def test_a_priority_is_a_word_or_a_number_and_no_change_of_the_prompt() -> None:
    """Fingerprints stay, so that nothing is ordered again; a wrong word is named."""
    words: list[object] = ["urgent", "Normal", "low", 5, "-7", "soon", 1000]
    entries = [{"id": f"p{i}", "prompt": "A cat", "priority": w} for i, w in enumerate(words)]
    text = {"defaults": {"model": "minimax/hailuo-2-3"}, "prompts": entries}
    found = parse_prompt_text(json.dumps(text), ".json", Catalogue.builtin(), source="p.json")
    assert [prompt.priority for prompt in found.prompts.values()] == [10, 0, -10, 5, -7]
    assert len({prompt.fingerprint for prompt in found.prompts.values()}) == 1
    assert [problem.id for problem in found.problems] == ["p5", "p6"]
    assert "Write urgent, normal, low, or a whole number" in str(found.problems[0])
