"""One world of a task: a name for a script, and the evidence that the service does this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

ASSUMED = "assumed"
VIDEO_APIS = "assumed; seen at other video APIs"
BILLING = "assumed; seen in other billing systems"
SEARCH_INDEX = "assumed; seen in lists behind a search index"
PROXIES = "assumed; seen at proxies"
S3 = "assumed; seen at providers with files on S3"
EXAMPLES = "documented, August 2026: the official examples show it"

# A placeholder for the seconds, which can be chosen with the world.
N: Final[Any] = object()


@dataclass(frozen=True)
class TaskWorld:
    """Something that can happen to a task.

    Args:
        name: what scripts, rates and prompts call it.
        what: what it changes, in one sentence.
        script: the fields of a task script that bring it about.
        seconds: the default of N; None for ever, if the script has an N.
        source: the evidence that the service does this.
    """

    name: str
    what: str
    script: Mapping[str, Any]
    seconds: float | None = None
    source: str = ASSUMED

    @property
    def takes_seconds(self) -> bool:
        """Whether its script has an N."""
        return _has_n(self.script)

    def fields(self, seconds: float | None = None) -> dict[str, Any]:
        """Return the script's fields, with these seconds or the default ones."""
        wanted = self.seconds if seconds is None else float(seconds)
        if seconds is not None and not self.takes_seconds:
            raise ValueError(f"{self.name} has no seconds to choose")
        fields: dict[str, Any] = _put(self.script, wanted)
        return {**fields, "worlds": [self.name]}


def _put(value: Any, seconds: float | None) -> Any:
    if value is N:
        return seconds
    if isinstance(value, Mapping):
        return {name: _put(item, seconds) for name, item in value.items()}
    return [_put(item, seconds) for item in value] if isinstance(value, list) else value


def _has_n(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_n(item) for item in value.values())
    return any(_has_n(item) for item in value) if isinstance(value, list) else value is N


def at_end(**override: Any) -> dict[str, Any]:
    """Return a script whose override holds from the task's end on."""
    return {"overrides": [{"since": "end", **override}]}


def shown(**override: Any) -> dict[str, Any]:
    """Return a script with an override of all calls."""
    return {"overrides": [override]}


def listed(**override: Any) -> dict[str, Any]:
    """Return a script with an override of Task/List."""
    return {"overrides": [{"calls": "list", **override}]}
