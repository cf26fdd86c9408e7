"""Bring prompts in: partitions, observations, and orders if `auto_order` is set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from logging import Logger

import dagster as dg

from wiro_dagster.catalogue.suggestions import counted
from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.missing import Missing, add_up_missing, list_wanted
from wiro_dagster.defs.placed import Placed
from wiro_dagster.defs.report import Reporter
from wiro_dagster.prompts import Prompt, PromptFile

_ADD_AT_ONCE = 10_000
_MOST_REQUESTED = 500
"""More new partitions are added here: the daemon asks for each, and no other sensor ticks then."""

_ORDERED_AT_ONCE = 20
"""The first of many prompts are ordered before the last are observed, which takes 25 ms each."""


@dataclass(frozen=True)
class News:
    """What a tick found.

    Args:
        requests: for partitions that are still to be added.
        failures: why prompts could not be ordered.
        left: how much there was no time for.
        summary: one line.
        missing: the videos that were never ordered.
    """

    requests: list[dg.AddDynamicPartitionsRequest]
    failures: dict[str, str]
    left: int
    summary: str
    missing: Missing


def bring_in(reporter: Reporter, prompts: PromptFile, *, deadline: float, log: Logger) -> News:
    """Add new partitions, observe what is new or changed, and order what `auto_order` wants.

    If the process dies on the way, the next call does the rest, and nothing twice.

    Args:
        reporter: of the collection.
        prompts: as they are now.
        deadline: by the monotonic clock, when to start no more.
        log: of the tick.
    """
    collection, instance, every = reporter.collection, reporter.instance, prompts.prompts
    known = set(collection.partitions.get_partition_keys(dynamic_partitions_store=instance))
    new = [prompt_id for prompt_id in every if prompt_id not in known]
    summary = (
        f"{counted(len(every), 'prompt')}, {len(new)} new; "
        f"{counted(len(prompts.problems), 'problem')}; "
        f"partitions without a prompt: {len(known - prompts.ids)}."
    )
    requests = _add_partitions(instance, collection, new)
    placed = _observe_and_order(reporter, prompts, deadline)
    if collection.auto_order != "never":
        summary += f" Ordered: {len(placed.placements)}."
    for prompt_id, reason in placed.failures.items():
        log.error(f'"{prompt_id}" was not ordered: {reason}')
    missing = add_up_missing(reporter.desk, collection, every.values())
    summary += f" {missing.describe()}"
    log.info(summary)
    return News(requests, placed.failures, placed.left, summary, missing)


def _add_partitions(
    instance: dg.DagsterInstance, collection: VideoCollection, ids: list[str]
) -> list[dg.AddDynamicPartitionsRequest]:
    """Request new partitions, which Dagster shows at the tick, or add them at once.

    An order needs its partition, and many would take the daemon too long.
    """
    partitions = collection.partitions
    if collection.auto_order == "never" and len(ids) <= _MOST_REQUESTED:
        return [partitions.build_add_request(ids)] if ids else []
    for start in range(0, len(ids), _ADD_AT_ONCE):
        instance.add_dynamic_partitions(str(partitions.name), ids[start : start + _ADD_AT_ONCE])
    return []


def _observe_and_order(reporter: Reporter, prompts: PromptFile, deadline: float) -> Placed:
    """Take a few prompts at a time, so that the first orders are sent while the last are observed.

    The events are written at once, not with the tick's result: an order refers to its prompt's.
    """
    every, present = prompts.prompts.values(), prompts.ids
    changed = {prompt.id for prompt in reporter.list_changed(every)}
    wanted = {p.id for p in list_wanted(reporter.desk.ledger, reporter.collection, every)}
    due = [prompt for prompt in every if prompt.id in changed or prompt.id in wanted]
    placed = Placed()
    for start in range(0, len(due), _ORDERED_AT_ONCE):
        few = due[start : start + _ORDERED_AT_ONCE]
        placed.left += reporter.observe(_among(few, changed), deadline=deadline)
        to_order = _among(few, wanted)
        placed.add(reporter.place_and_record(to_order, present=present, deadline=deadline))
    return placed


def _among(prompts: Sequence[Prompt], ids: set[str]) -> list[Prompt]:
    return [prompt for prompt in prompts if prompt.id in ids]
