"""The checks on `video`: evaluated with each delivery, executable at any time.

None of them is a check of single partitions: Dagster stores a runless evaluation of a partitioned
check once for each partition, and refuses the next one. Each says which partitions fail now.
"""

# No `from __future__ import annotations`: Dagster compares the context's annotation with its class.
import math
from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import dagster as dg

from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.desks import open_desk
from wiro_dagster.defs.report import check_result
from wiro_dagster.ledger import Ledger
from wiro_dagster.orders.verdicts import VideoChecks, find_unseen, judge_order

_NAMED_FAILURES = 3
_LISTED_FAILURES = 200
_READ_AT_ONCE = 500

_NAMES = {
    "playable": "playable",
    "duration": "duration_as_ordered",
    "resolution": "resolution_as_ordered",
    "black": "not_black",
    "frozen": "not_frozen",
    "aspect_ratio": "aspect_ratio_of_image",
    "cost": "cost_within_quote",
    "size": "size_as_announced",
}
_RULES = {
    "playable": "Every file decodes to its end, and is what it was announced as.",
    "duration": "Videos and sounds are as long as ordered.",
    "resolution": "Videos and images are as large as ordered.",
    "black": "Videos are not black.",
    "frozen": "Videos do not freeze.",
    "aspect_ratio": "Videos have the shape of their first image.",
    "cost": "Nothing cost more than its quote.",
    "size": "Every stored file is as long as Wiro announced.",
}
_NEED_DECODING = frozenset(
    {"playable", "duration", "resolution", "black", "frozen", "aspect_ratio"}
)


@dataclass(frozen=True)
class _Judged:
    partition: str
    verdicts: Mapping[str, str]
    unseen: str | None


_judged_lock = Lock()


def evaluate_video_checks(
    collection: VideoCollection, ledger: Ledger, *, changed: Collection[int] = ()
) -> list[dg.AssetCheckEvaluation]:
    """One evaluation of each check that is not off, over all videos that represent a partition.

    Args:
        collection: whose videos.
        ledger: has the findings.
        changed: ids of orders whose files have come since the last evaluation.
    """
    judge_videos_until(collection, ledger, changed=changed)
    return build_evaluations(collection, ledger)


def build_evaluations(collection: VideoCollection, ledger: Ledger) -> list[dg.AssetCheckEvaluation]:
    """Build the evaluation of each check that is not off, over the videos that were judged."""
    known = _known(collection, ledger)
    with _judged_lock:
        standing = ledger.list_owned_ids(collection.ledger_name)
        judged = [known[order_id] for order_id in standing if order_id in known]
    return [_evaluation(collection, check, judged) for check in collection.checks.active]


def judge_videos_until(
    collection: VideoCollection,
    ledger: Ledger,
    *,
    changed: Collection[int] = (),
    deadline: float = math.inf,
) -> bool:
    """Judge the videos that were not judged yet. Return whether there was time for all of them.

    Verdicts on a video do not change, and a collection may have many thousands: each is judged once
    in a process, and the next call goes on.

    Args:
        collection: whose videos.
        ledger: has the findings.
        changed: ids of orders whose files have come since the last call.
        deadline: by the monotonic clock, when to judge no more.
    """
    known = _known(collection, ledger)
    standing = ledger.list_owned_ids(collection.ledger_name)
    with _judged_lock:
        for order_id in {*changed, *(known.keys() - set(standing))}:
            known.pop(order_id, None)
        missing = [order_id for order_id in standing if order_id not in known]
        for start in range(0, len(missing), _READ_AT_ONCE):
            if collection.timing.monotonic() >= deadline:
                return False
            few = missing[start : start + _READ_AT_ONCE]
            known.update(_judge_orders(ledger, few, collection.checks))
    return True


def build_video_checks(collection: VideoCollection) -> list[dg.AssetChecksDefinition]:
    """The same checks for Dagster's Execute button; empty where all are off."""
    if not collection.checks.active:
        return []
    specs = [
        dg.AssetCheckSpec(_NAMES[check], asset=collection.video_key, description=_RULES[check])
        for check in collection.checks.active
    ]

    # One step for all of them: they read the same rows.
    @dg.multi_asset_check(
        name=collection.prefixed("video_checks"),
        specs=specs,
        can_subset=True,
        required_resource_keys=collection.resource_keys,
    )
    def video_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        ledger = open_desk(collection, context.resources).context.ledger
        collection.cache.drop(_cache_key(collection, ledger))
        for evaluation in evaluate_video_checks(collection, ledger):
            if evaluation.asset_check_key in context.selected_asset_check_keys:
                yield check_result(evaluation)

    return [video_checks]


def _evaluation(
    collection: VideoCollection, check: str, judged: Collection[_Judged]
) -> dg.AssetCheckEvaluation:
    made = [video for video in judged if check in video.verdicts]
    failing = {video.partition: video.verdicts[check] for video in made if video.verdicts[check]}
    unseen = {
        video.partition: video.unseen
        for video in judged
        if video.unseen and check in _NEED_DECODING and check not in video.verdicts
    }
    metadata: dict[str, Any] = {"wiro/videos": len(made), "wiro/failing": len(failing)}
    if unseen:
        metadata["wiro/not_looked_at"] = len(unseen)
    if failing:
        newest = dict(list(failing.items())[-_LISTED_FAILURES:])
        metadata["wiro/failures"] = dg.MetadataValue.json(newest)
    severity = collection.checks.severity(check)
    return dg.AssetCheckEvaluation(
        asset_key=collection.video_key,
        check_name=_NAMES[check],
        passed=not failing,
        severity=dg.AssetCheckSeverity.WARN if severity == "warn" else dg.AssetCheckSeverity.ERROR,
        description=_describe(len(made), failing) + _describe_unseen(unseen),
        metadata=metadata,
    )


def _describe(made: int, failing: Mapping[str, str]) -> str:
    if not failing:
        passing = "1 video passes" if made == 1 else f"{made} videos pass"
        return f"{passing}." if made else "No videos to check yet."
    named = list(failing.items())[-_NAMED_FAILURES:]
    more = f"\nand {len(failing) - len(named)} more" if len(failing) > len(named) else ""
    lines = "".join(f'\n"{partition}": {verdict}' for partition, verdict in named)
    return f"{len(failing)} of {made} fail:{lines}{more}"


def _describe_unseen(unseen: Mapping[str, str]) -> str:
    if not unseen:
        return ""
    partition, reason = list(unseen.items())[-1]
    return f'\nNot looked at: {len(unseen)}, such as "{partition}": {reason}.'


def _judge_orders(
    ledger: Ledger, order_ids: list[int], checks: VideoChecks
) -> Iterator[tuple[int, _Judged]]:
    for order in ledger.list_orders(ids=order_ids):
        yield order.id, _Judged(order.partition, judge_order(order, checks), find_unseen(order))


def _known(collection: VideoCollection, ledger: Ledger) -> dict[int, _Judged]:
    return collection.cache.get(_cache_key(collection, ledger), dict[int, _Judged])


def _cache_key(collection: VideoCollection, ledger: Ledger) -> Hashable:
    return ("judged", ledger, collection.ledger_name, collection.checks)
