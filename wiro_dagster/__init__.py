"""Paid, generated video as Dagster assets: prompts in, owned videos out, each paid for once.

The names below are imported when they are first used, so that the client and the emulator can be
used without loading Dagster.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from dagster_shared.libraries import DagsterLibraryRegistry

if TYPE_CHECKING:
    from wiro_dagster.automation import build_missing_videos_schedule
    from wiro_dagster.budget import BudgetLimits
    from wiro_dagster.collection import VideoCollection
    from wiro_dagster.component import WiroVideoComponent
    from wiro_dagster.definitions import build_video_definitions
    from wiro_dagster.orders.policy import OrderPolicy
    from wiro_dagster.prompt_sources import (
        AssetPrompts,
        FilePrompts,
        PromptSource,
        S3Prompts,
        build_prompt_source,
    )
    from wiro_dagster.resources import LedgerResource, WiroResource
    from wiro_dagster.store_resources import (
        FolderVideoStore,
        VideoStoreResource,
        build_video_store,
    )
    from wiro_dagster.verdicts import VideoChecks

_HOMES = {
    "AssetPrompts": "wiro_dagster.prompt_sources",
    "BudgetLimits": "wiro_dagster.budget",
    "FilePrompts": "wiro_dagster.prompt_sources",
    "FolderVideoStore": "wiro_dagster.store_resources",
    "LedgerResource": "wiro_dagster.resources",
    "OrderPolicy": "wiro_dagster.orders.policy",
    "PromptSource": "wiro_dagster.prompt_sources",
    "S3Prompts": "wiro_dagster.prompt_sources",
    "VideoChecks": "wiro_dagster.verdicts",
    "VideoCollection": "wiro_dagster.collection",
    "VideoStoreResource": "wiro_dagster.store_resources",
    "WiroResource": "wiro_dagster.resources",
    "WiroVideoComponent": "wiro_dagster.component",
    "build_missing_videos_schedule": "wiro_dagster.automation",
    "build_prompt_source": "wiro_dagster.prompt_sources",
    "build_video_definitions": "wiro_dagster.definitions",
    "build_video_store": "wiro_dagster.store_resources",
}

__version__ = version("wiro-dagster")

__all__ = [
    "AssetPrompts",
    "BudgetLimits",
    "FilePrompts",
    "FolderVideoStore",
    "LedgerResource",
    "OrderPolicy",
    "PromptSource",
    "S3Prompts",
    "VideoChecks",
    "VideoCollection",
    "VideoStoreResource",
    "WiroResource",
    "WiroVideoComponent",
    "build_missing_videos_schedule",
    "build_prompt_source",
    "build_video_definitions",
    "build_video_store",
]

DagsterLibraryRegistry.register("wiro-dagster", __version__, is_dagster_package=False)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(globals().keys() | _HOMES.keys())  # Dagster looks for components in it
