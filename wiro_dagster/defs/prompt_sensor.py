"""The sensor that looks for new and changed prompts, and what it keeps between its ticks."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg

from wiro_dagster.catalogue import LocalFileInput
from wiro_dagster.defs.asset_files import find_asset_version
from wiro_dagster.defs.between_ticks import report_between_ticks
from wiro_dagster.defs.bringing_in import bring_in
from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.desks import load_prompts
from wiro_dagster.defs.order_checks import prompts_check, unreadable_check
from wiro_dagster.defs.order_sensor import tick_seconds
from wiro_dagster.defs.prompt_sources import FilePrompts, asset_loader
from wiro_dagster.defs.report import Reporter
from wiro_dagster.defs.tick_resources import TickResources
from wiro_dagster.errors import InputError
from wiro_dagster.prompts import Prompt, list_files

_LOOK_SECONDS = 19
"""How often the source is looked at. Each tick costs the daemon more than it costs us."""

_PROBLEMS_SECONDS = 60.0
"""How soon problems are looked at again: a missing file may have come, or Wiro be back."""

_MODELS_SECONDS = 3600.0
"""How soon models are looked at again: they change too, without the prompts."""


@dataclass(frozen=True)
class PromptsSeen:
    """What the sensor keeps between its ticks.

    Args:
        version: of the source.
        files: hash of size and time of all local files that prompts name; empty if not known.
        assets: the newest materializations of the assets whose files prompts may name.
        check: hash of what the check said.
        look_again_at: unix seconds, when to look again although nothing has changed.
    """

    version: str = ""
    files: str = ""
    assets: str = ""
    check: str = ""
    look_again_at: float = 0.0

    @classmethod
    def from_cursor(cls, cursor: str | None) -> PromptsSeen:
        """Read a cursor; an unreadable one means that nothing was seen."""
        try:
            return cls(**json.loads(cursor or "{}"))
        except (ValueError, TypeError):
            return cls()

    def to_cursor(self) -> str:
        """A cursor, short however many prompts there are."""
        return json.dumps(asdict(self))

    def is_same(self, other: PromptsSeen) -> bool:
        """Whether the prompts are the same by everything that is known without reading them."""
        mine, others = ((seen.version, seen.files, seen.assets) for seen in (self, other))
        return mine == others and bool(self.files)


def build_prompt_file_sensor(
    collection: VideoCollection, resources: Mapping[str, Any] | None = None
) -> dg.SensorDefinition:
    """Build the sensor that turns new prompts into partitions, and sees prompts change.

    Args:
        collection: whose prompts.
        resources: of the collection, by key; `None` leaves them to Dagster.
    """
    source, opener = collection.source, TickResources(collection, resources)

    @dg.sensor(
        name=collection.prefixed("prompt_file_sensor"),
        minimum_interval_seconds=max(collection.minimum_interval_seconds, _LOOK_SECONDS),
        default_status=collection.default_status,
        required_resource_keys=opener.declared,
        tags={"wiro/collection": collection.ledger_name},
        description=(
            f"Adds a partition for every new prompt of {source.name}, and tells Dagster which have "
            f"changed. {_AUTO_ORDER[collection.auto_order]}"
        ),
    )
    def prompt_file_sensor(
        context: dg.SensorEvaluationContext,
    ) -> dg.SensorResult | dg.SkipReason:
        deadline = collection.timing.monotonic() + tick_seconds()
        before = PromptsSeen.from_cursor(context.cursor)
        now = _look(collection, context, opener)
        if now.is_same(before) and time.time() < before.look_again_at:
            return dg.SkipReason(f"{source.name} has not changed.")
        with opener.open(context) as opened:
            return _bring_news(context, collection, opened, before, now, deadline)

    return prompt_file_sensor


def _bring_news(
    context: dg.SensorEvaluationContext,
    collection: VideoCollection,
    resources: Any,
    before: PromptsSeen,
    now: PromptsSeen,
    deadline: float,
) -> dg.SensorResult:
    """Read the prompts, and return the tick's result."""
    try:
        prompts = load_prompts(collection, resources, context.instance, asset_loader(context))
    except InputError as error:
        context.log.error(str(error))  # noqa: TRY400, the stack says nothing to a user
        check = unreadable_check(error, collection.order_key)
        now = replace(_remember(collection, now, {}), look_again_at=_in(_PROBLEMS_SECONDS))
        return _conclude(before, now, check, reason=str(error))
    now = _remember(collection, now, prompts.prompts)
    for problem in prompts.problems:
        context.log.error(str(problem))
    for note in prompts.notes:
        context.log.info(note)
    for change in prompts.changes:
        context.log.warning(str(change))
    reporter = Reporter.in_sensor(context, collection, resources)
    news = bring_in(reporter, prompts, deadline=deadline, log=context.log)
    report_between_ticks(reporter)  # the first videos may come before a tick of the order sensor
    if news.left:
        pause = 0.0
    else:
        pause = _PROBLEMS_SECONDS if prompts.problems or news.failures else _MODELS_SECONDS
    now = replace(now, look_again_at=_in(pause))
    check = prompts_check(prompts, collection.order_key, news.missing)
    return _conclude(before, now, check, reason=news.summary, requests=news.requests)


_AUTO_ORDER = {
    "never": "It orders nothing on its own.",
    "new": "It orders the videos of prompts that were never ordered.",
    "new_and_changed": "It orders the videos of prompts that are new or have changed.",
}


def _look(
    collection: VideoCollection, context: dg.SensorEvaluationContext, opener: TickResources
) -> PromptsSeen:
    # To open the instance costs more than the rest of the look.
    source, keys = collection.source, collection.input_keys
    if isinstance(source, FilePrompts):
        version = source.find_version()
    else:
        with opener.open(context) as resources:
            version = source.find_version(resources, context.instance)
    known, paths = collection.cache.get(_files_key(collection), lambda: ("", frozenset[Path]()))
    files = _digest_files(paths) if known == version else ""
    assets = find_asset_version(context.instance, keys) if keys else ""
    return PromptsSeen(version, files, assets)


def _remember(
    collection: VideoCollection, seen: PromptsSeen, prompts: Mapping[str, Prompt]
) -> PromptsSeen:
    """Note which local files to watch.

    If they were not known before the prompts were read, they may have changed since: then the
    next tick reads once more.
    """
    paths = frozenset(_list_files(prompts.values()))
    collection.cache.put(_files_key(collection), (seen.version, paths))
    return seen if paths else replace(seen, files=_digest_files(paths))


def _files_key(collection: VideoCollection) -> tuple[str, str]:
    """Where the cache keeps the version of the source that was read, and the local files in it.

    With these a tick sees changed files without reading the source again.
    """
    return "files of prompts", collection.ledger_name


def _list_files(prompts: Iterable[Prompt]) -> Iterator[Path]:
    for prompt in prompts:
        for file in list_files(prompt.inputs):
            if isinstance(file, LocalFileInput):
                yield file.path


def _digest_files(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        try:
            stat = path.stat()
            state = f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ino}"
        except OSError as error:
            state = type(error).__name__
        digest.update(f"{path}\0{state}\0".encode())
    return digest.hexdigest()


def _in(seconds: float) -> float:
    return time.time() + seconds


def _conclude(
    before: PromptsSeen,
    now: PromptsSeen,
    check: dg.AssetCheckEvaluation,
    *,
    reason: str,
    requests: Sequence[dg.AddDynamicPartitionsRequest] = (),
) -> dg.SensorResult:
    """The tick's result. Emit the check only when its result or the source changed."""
    text = f"{check.passed}\0{check.description}\0{check.metadata}"
    now = replace(now, check=hashlib.sha256(text.encode()).hexdigest())
    is_news = (now.version, now.check) != (before.version, before.check)
    return dg.SensorResult(
        dynamic_partitions_requests=list(requests),
        asset_events=[check] if is_news else [],
        cursor=now.to_cursor(),
        skip_reason=reason,  # Dagster shows it as the tick's text, whatever the tick did
    )
