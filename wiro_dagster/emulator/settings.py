"""How one emulator behaves. What may change while it runs is listed in CHANGEABLE."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, get_args

# Not secrets: they open nothing but an emulator on this machine.
EMULATOR_API_KEY = "emulator-api-key"
EMULATOR_API_SECRET = "emulator-api-secret"
MAIN_ACCOUNT = "main"

Dialect = Literal["documents", "alternate"]
SocketFrames = Literal["old", "new"]
Cdn = Literal["first", "second"]

CHANGEABLE = (
    "task_seconds",
    "queue_seconds",
    "listing_delay_seconds",
    "detail_delay_seconds",
    "file_lifetime_seconds",
    "url_seconds",
    "cdn",
    "clock_offset_seconds",
    "dialect",
    "socket_frames",
    "prompt_markers",
    "refuse_default_user_agents",
)
_MAY_BE_NEGATIVE = ("clock_offset_seconds",)


@dataclass(frozen=True)
class Settings:
    """The settings of one emulator; every time is in seconds of the emulator's clock.

    Args:
        api_key: the key that callers must show.
        api_secret: the secret their signatures must be made with.
        is_key_only: whether the project is of the kind that takes the key alone.
        task_seconds: from the Run to the end of an ordinary task.
        queue_seconds: additional time in the queue, for every task.
        listing_delay_seconds: how long a new task is missing from Task/List.
        detail_delay_seconds: how long a new task is unknown to Task/Detail.
        file_lifetime_seconds: how long outputs can be fetched after the task's end.
        url_seconds: how long an output's URL works after it was shown; 0 if URLs are not signed.
        cdn: the host of the outputs' URLs.
        clock_offset_seconds: how far the times that the API states, and its Date header, are ahead
            of the emulator's clock; below 0 they are behind.
        host_names: names beside this machine's that requests may have in their Host header.
        balance_usd: the balance a fresh state begins with.
        seed: makes the random faults and the contents repeatable.
        dialect: which side of the documents' contradictions the answers take.
        socket_frames: the older or the newer shape of the WebSocket's frames.
        tiny_videos: whether videos are 64x36 clips, for campaigns of thousands of tasks.
        prompt_markers: whether words such as [fail] in a prompt choose what happens.
        refuse_default_user_agents: whether library user agents get an HTML 403.
        callback_hosts: hosts beside this machine that callbacks and input images may reach.
        files_url: serves the outputs, without a trailing slash.
        second_files_url: the same files on the second CDN host.
    """

    api_key: str = field(default=EMULATOR_API_KEY, repr=False)
    api_secret: str = field(default=EMULATOR_API_SECRET, repr=False)
    is_key_only: bool = False
    task_seconds: float = 8.0
    queue_seconds: float = 0.0
    listing_delay_seconds: float = 0.0
    detail_delay_seconds: float = 0.0
    file_lifetime_seconds: float = 3 * 86_400.0
    url_seconds: float = 0.0
    cdn: Cdn = "first"
    clock_offset_seconds: float = 0.0
    host_names: tuple[str, ...] = ()
    balance_usd: Decimal = Decimal(1000)
    seed: int = 0
    dialect: Dialect = "documents"
    socket_frames: SocketFrames = "old"
    tiny_videos: bool = False
    prompt_markers: bool = True
    refuse_default_user_agents: bool = False
    callback_hosts: tuple[str, ...] = ()
    files_url: str = ""
    second_files_url: str = ""

    def changed(self, changes: Mapping[str, Any]) -> Settings:
        """Return a copy with some of the changeable settings replaced.

        Raises:
            ValueError: a name is not changeable, or a value is not of its kind.
        """
        for name, value in changes.items():
            if name not in CHANGEABLE:
                raise ValueError(f"{name} cannot be changed; choose from {', '.join(CHANGEABLE)}")
            _check_value(name, value, getattr(self, name))
        return dataclasses.replace(self, **changes)

    def changeable(self) -> dict[str, Any]:
        """Return the changeable settings, for the control API and the start page."""
        return {name: getattr(self, name) for name in CHANGEABLE}


def _check_value(name: str, value: Any, present: Any) -> None:
    choices = {"dialect": get_args(Dialect), "socket_frames": get_args(SocketFrames)}
    choices["cdn"] = get_args(Cdn)
    if name in choices:
        if value not in choices[name]:
            raise ValueError(f"{name} must be one of {', '.join(choices[name])}")
    elif isinstance(present, bool):
        if not isinstance(value, bool):
            raise ValueError(f"{name} must be true or false")
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} must be a number of seconds")
    elif value < 0 and name not in _MAY_BE_NEGATIVE:
        raise ValueError(f"{name} must be a number of seconds, zero or more")
