"""The URLs of outputs: on the first or the second CDN host, signed for a while or open."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlencode

from wiro_dagster.emulator.outputs import OutputPlan
from wiro_dagster.emulator.settings import Settings
from wiro_dagster.emulator.task import Task


def output_path(task: Task, plan: OutputPlan) -> str:
    """Return the path of an output on the files' hosts."""
    return f"/{task.uuid}-{plan.index}/{plan.name}"


def output_url(task: Task, plan: OutputPlan, settings: Settings, now: float) -> str:
    """Return the URL of an output as it is shown now."""
    cdn = task.script.cdn or settings.cdn
    host = settings.files_url if cdn == "first" else settings.second_files_url
    path, seconds = output_path(task, plan), url_seconds(task, settings)
    if not seconds:
        return f"{host}{path}"
    until = repr(now + seconds)
    return f"{host}{path}?{urlencode({'expires': until, 'signature': _sign(task, until)})}"


def is_open(task: Task, query: Mapping[str, str], settings: Settings, now: float) -> bool:
    """Return whether a URL with this query works now."""
    if not url_seconds(task, settings):
        return True
    until, signature = query.get("expires", ""), query.get("signature", "")
    return hmac.compare_digest(_sign(task, until).encode(), signature.encode()) and now < float(
        until
    )


def url_seconds(task: Task, settings: Settings) -> float:
    """Return how long a URL of the task's outputs works; 0 if it always does."""
    seconds = task.script.url_seconds
    return settings.url_seconds if seconds is None else seconds


def _sign(task: Task, until: str) -> str:
    return hmac.new(task.token.encode(), until.encode(), hashlib.sha256).hexdigest()[:32]
