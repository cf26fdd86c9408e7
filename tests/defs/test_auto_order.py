"""One tick of the prompt sensor observes and orders, a few prompts at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from tests.defs.test_automation import CAT, DOG, automatic, is_fresh, look, prompts_ordered
from tests.support.project import QUICK, Project
from wiro_dagster.defs import bringing_in


def test_the_tick_that_sees_new_prompts_orders_them(project: Project) -> None:
    """It adds their partitions first, and a prompt with a problem holds up none."""
    automatic(project, "new").write_file(CAT, {"id": "bad", "prompt": "?", "model": "none"}, DOG)
    result = look(project)
    assert not result.dynamic_partitions_requests
    assert project.instance.get_dynamic_partitions("prompts") == ["cat", "dog"]
    assert "2 prompts, 2 new; 1 problem; " in result.skip_message
    assert "Ordered: 2." in result.skip_message
    assert prompts_ordered(project) == [CAT["prompt"], DOG["prompt"]]
    project.settle()
    assert is_fresh(project, "cat")


def test_without_automatic_orders_dagster_shows_new_partitions_at_the_tick(
    project: Project,
) -> None:
    """Nothing needs them before the daemon adds them."""
    project.write_file(CAT, DOG)
    (request,) = look(project).dynamic_partitions_requests
    assert request.partition_keys == ["cat", "dog"]
    assert project.instance.get_dynamic_partitions("prompts") == []


@dataclass(eq=False)
class Clock:
    """Gives the same second, until it was read so often; then it does something else."""

    reads: int
    then: Callable[[], float]
    read: int = 0

    def __call__(self) -> float:
        self.read += 1
        return 0.0 if self.read <= self.reads else self.then()


def die() -> float:
    raise RuntimeError("The process dies.")


@pytest.fixture
def one_by_one(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setattr(bringing_in, "_ORDERED_AT_ONCE", 1)
    return automatic(project, "new")


def limit(project: Project, clock: Clock) -> None:
    project.collection_options |= {"timing": replace(QUICK, monotonic=clock)}


def test_first_orders_go_out_before_the_last_prompts_are_observed(one_by_one: Project) -> None:
    """A tick whose time is up has ordered what it observed; the next one goes on at once."""
    project = one_by_one
    project.write_file(CAT, DOG)
    limit(project, Clock(4, lambda: 1e9))
    result = look(project)
    assert "2 new; " in result.skip_message
    assert prompts_ordered(project) == [CAT["prompt"]]
    del project.collection_options["timing"]
    result = look(project, result.cursor)
    assert " 0 new; " in result.skip_message
    assert prompts_ordered(project) == [CAT["prompt"], DOG["prompt"]]
    assert "has not changed" in look(project, result.cursor).skip_message


@pytest.mark.parametrize("reads", range(2, 6))
def test_a_tick_that_dies_on_its_way_is_made_good(one_by_one: Project, reads: int) -> None:
    """Wherever it dies after it has added the partitions, the next one orders the rest, once."""
    project = one_by_one
    project.write_file(CAT, DOG)
    limit(project, Clock(reads, die))
    with pytest.raises(RuntimeError, match="dies"):
        look(project)
    assert project.instance.get_dynamic_partitions("prompts") == ["cat", "dog"]
    del project.collection_options["timing"]
    look(project)
    assert prompts_ordered(project) == [CAT["prompt"], DOG["prompt"]]
    for name in ("cat", "dog"):
        assert len(project.materializations(project.collection.prompt_key, name)) == 1
        assert len(project.materializations(project.collection.order_key, name)) == 1


def test_what_orders_itself_waits_for_approval_too(project: Project) -> None:
    """Nothing is bought before somebody approves."""
    project.collection_options = {"auto_order": "new", "needs_approval": True}
    project.write_file(CAT)
    look(project)
    (order,) = project.settle()
    assert order.state == "proposed"
    assert project.emulator.billable_tasks() == 0
