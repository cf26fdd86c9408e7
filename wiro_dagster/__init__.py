"""Paid, generated video as Dagster assets: prompts in, owned videos out, each paid for once.

The names below are imported when they are first used, so that the client and the emulator can be
used without loading Dagster.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from dagster_shared.libraries import DagsterLibraryRegistry

if TYPE_CHECKING:
    from wiro_dagster.component.component import WiroVideoComponent as WiroVideoComponent
    from wiro_dagster.defs.assets import build_prompt_spec as build_prompt_spec
    from wiro_dagster.defs.assets import build_video_asset as build_video_asset
    from wiro_dagster.defs.assets import build_video_order_asset as build_video_order_asset
    from wiro_dagster.defs.automation import (
        build_missing_videos_schedule as build_missing_videos_schedule,
    )
    from wiro_dagster.defs.build import build_video_definitions as build_video_definitions
    from wiro_dagster.defs.checks import build_order_checks as build_order_checks
    from wiro_dagster.defs.collection import VideoCollection as VideoCollection
    from wiro_dagster.defs.cost_asset import build_cost_asset as build_cost_asset
    from wiro_dagster.defs.gallery import build_gallery_asset as build_gallery_asset
    from wiro_dagster.defs.gallery_sensor import build_gallery_sensor as build_gallery_sensor
    from wiro_dagster.defs.io_manager import VideoIOManager as VideoIOManager
    from wiro_dagster.defs.io_manager import build_video_io_manager as build_video_io_manager
    from wiro_dagster.defs.model_result import ModelResult as ModelResult
    from wiro_dagster.defs.order_sensor import build_video_order_sensor as build_video_order_sensor
    from wiro_dagster.defs.project import build_project_definitions as build_project_definitions
    from wiro_dagster.defs.prompt_sensor import build_prompt_file_sensor as build_prompt_file_sensor
    from wiro_dagster.defs.prompt_sources import AssetPrompts as AssetPrompts
    from wiro_dagster.defs.prompt_sources import FilePrompts as FilePrompts
    from wiro_dagster.defs.prompt_sources import PromptSource as PromptSource
    from wiro_dagster.defs.prompt_sources import S3Prompts as S3Prompts
    from wiro_dagster.defs.prompt_sources import build_prompt_source as build_prompt_source
    from wiro_dagster.defs.translator import VideoAssetProps as VideoAssetProps
    from wiro_dagster.defs.translator import VideoTranslator as VideoTranslator
    from wiro_dagster.defs.video_checks import build_video_checks as build_video_checks
    from wiro_dagster.defs.wiro_metadata import WiroMetadata as WiroMetadata
    from wiro_dagster.defs.wiro_models import WiroModels as WiroModels
    from wiro_dagster.ledger.budget import BudgetLimits as BudgetLimits
    from wiro_dagster.orders.approval import approve_orders as approve_orders
    from wiro_dagster.orders.approval import decline_orders as decline_orders
    from wiro_dagster.orders.approval import list_proposed_orders as list_proposed_orders
    from wiro_dagster.orders.policy import OrderPolicy as OrderPolicy
    from wiro_dagster.orders.verdicts import VideoChecks as VideoChecks
    from wiro_dagster.resources.account import LedgerResource as LedgerResource
    from wiro_dagster.resources.account import WiroResource as WiroResource
    from wiro_dagster.resources.cloud import CloudVideoStore as CloudVideoStore
    from wiro_dagster.resources.places import build_video_store as build_video_store
    from wiro_dagster.resources.s3 import S3VideoStore as S3VideoStore
    from wiro_dagster.resources.stores import FolderVideoStore as FolderVideoStore
    from wiro_dagster.resources.stores import VideoStoreResource as VideoStoreResource
    from wiro_dagster.store.protocol import VideoStore as VideoStore
    from wiro_dagster.webhook.app import build_webhook_app as build_webhook_app

_HOMES = {
    "AssetPrompts": "defs.prompt_sources",
    "BudgetLimits": "ledger.budget",
    "CloudVideoStore": "resources.cloud",
    "FilePrompts": "defs.prompt_sources",
    "FolderVideoStore": "resources.stores",
    "LedgerResource": "resources.account",
    "ModelResult": "defs.model_result",
    "OrderPolicy": "orders.policy",
    "PromptSource": "defs.prompt_sources",
    "S3Prompts": "defs.prompt_sources",
    "S3VideoStore": "resources.s3",
    "VideoAssetProps": "defs.translator",
    "VideoChecks": "orders.verdicts",
    "VideoCollection": "defs.collection",
    "VideoIOManager": "defs.io_manager",
    "VideoStore": "store.protocol",
    "VideoStoreResource": "resources.stores",
    "VideoTranslator": "defs.translator",
    "WiroMetadata": "defs.wiro_metadata",
    "WiroModels": "defs.wiro_models",
    "WiroResource": "resources.account",
    "WiroVideoComponent": "component.component",
    "approve_orders": "orders.approval",
    "build_cost_asset": "defs.cost_asset",
    "build_gallery_asset": "defs.gallery",
    "build_gallery_sensor": "defs.gallery_sensor",
    "build_missing_videos_schedule": "defs.automation",
    "build_order_checks": "defs.checks",
    "build_project_definitions": "defs.project",
    "build_prompt_file_sensor": "defs.prompt_sensor",
    "build_prompt_source": "defs.prompt_sources",
    "build_prompt_spec": "defs.assets",
    "build_video_asset": "defs.assets",
    "build_video_checks": "defs.video_checks",
    "build_video_definitions": "defs.build",
    "build_video_io_manager": "defs.io_manager",
    "build_video_order_asset": "defs.assets",
    "build_video_order_sensor": "defs.order_sensor",
    "build_video_store": "resources.places",
    "build_webhook_app": "webhook.app",
    "decline_orders": "orders.approval",
    "list_proposed_orders": "orders.approval",
}
"""The modules that the public names come from. Type checkers need them above once more."""

__version__ = version("wiro-dagster")

__all__ = list(_HOMES)

DagsterLibraryRegistry.register("wiro-dagster", __version__, is_dagster_package=False)


if not TYPE_CHECKING:  # a type checker must see which names there are not

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})  # Dagster gets each of them, looking for components
