"""The parts of a component's `defs.yaml`: account, ledger, stores, prompts, checks, timings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import dagster as dg

from wiro_dagster.component.yaml_reading import (
    Part,
    Setting,
    build_dataclass,
    dataclass_settings,
    resource_settings,
)
from wiro_dagster.defs.automation import build_missing_videos_schedule
from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.prompt_sources import AssetPrompts, S3Prompts
from wiro_dagster.errors import ConfigurationError
from wiro_dagster.orders import OrderPolicy
from wiro_dagster.orders.verdicts import CheckSeverity, VideoChecks
from wiro_dagster.resources.account import LedgerResource, WiroResource
from wiro_dagster.resources.places import build_video_store
from wiro_dagster.resources.stores import FolderVideoStore, S3Place, VideoStoreResource

_SQLITE = "sqlite:///"

ACCOUNT = Part(
    "WiroAccount",
    resource_settings(WiroResource),
    {
        "api_key": "{{ env.WIRO_API_KEY }}",
        "api_secret": "{{ env.WIRO_API_SECRET }}",
        "websocket_url": "wss://socket.wiro.ai/v1",
    },
    WiroResource,
    secrets=("api_key", "api_secret"),
)


def _build_ledger(**values: Any) -> LedgerResource:
    amounts = {
        name: str(v) for name, v in values.items() if name.endswith("_usd") and v is not None
    }
    ledger = LedgerResource(**values | amounts)
    ledger.get_limits()  # says at once what is wrong with them
    return ledger


LEDGER = Part(
    "WiroLedger",
    resource_settings(LedgerResource),
    {
        "url": "sqlite:///.wiro/ledger.db",
        "daily_budget_usd": 10,
        "total_budget_usd": 500,
        "collection_budget_usd": 100,
        "video_budget_usd": "0.60",
        "assumed_price_usd": "0.50",
    },
    _build_ledger,
    urls=("url",),
)


def locate_ledger(ledger: LedgerResource, folder: Path) -> LedgerResource:
    """The same ledger; a relative SQLite path starts from a folder."""
    url = ledger.url
    if isinstance(url, dg.EnvVar) or not url.startswith(_SQLITE):
        return ledger
    values = {name: getattr(ledger, name) for name in LedgerResource.model_fields}
    return LedgerResource(**values | {"url": f"{_SQLITE}{folder / url.removeprefix(_SQLITE)}"})


_SECRETS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_S3_ACCESS = {
    "region_name": Setting(str | None, "The region of S3.", None),
    "endpoint_url": Setting(str | None, "Where a service other than AWS listens.", None),
    "profile_name": Setting(str | None, "A profile of this machine's AWS settings.", None),
    **{
        name: Setting(str | None, f"{what}, as the name of an environment variable.", None)
        for name, what in zip(_SECRETS, ("Access key", "Secret key", "Session token"), strict=True)
    },
    "max_attempts": Setting(int, "How often a request to S3 is tried.", 5),
    "use_ssl": Setting(bool, "Whether to reach S3 through TLS.", default=True),
    "verify": Setting(bool | None, "Whether to verify S3's certificate.", None),
    "use_unsigned_session": Setting(bool, "Whether to send no credentials.", default=False),
}
"""Of dagster-aws's `S3Resource`, which is not loaded for its words alone."""


def _build_store(**given: Any) -> VideoStoreResource:
    values = {name: value for name, value in given.items() if value is not None}
    if ("path" in values) == ("bucket" in values):
        raise ConfigurationError("A video store has either a path (a folder) or a bucket (on S3).")
    if "path" in values:
        return FolderVideoStore(**values)
    from dagster_aws.s3 import S3Resource  # loads boto3

    from wiro_dagster.resources.s3 import S3VideoStore

    access = {name: value for name, value in values.items() if name in _S3_ACCESS}
    place = {name: value for name, value in values.items() if name not in _S3_ACCESS}
    return S3VideoStore(s3=S3Resource(**access), **place)


STORE = Part(
    "WiroVideoStore",
    {
        name: replace(setting, default=None, type=setting.type | None)
        for name, setting in (
            resource_settings(FolderVideoStore) | resource_settings(S3Place) | _S3_ACCESS
        ).items()
    },
    {
        "path": "videos",
        "base_url": "https://videos.example.com",
        "bucket": "media",
        "prefix": "videos",
        "server_side_encryption": "aws:kms",
        "kms_key_id": "alias/videos",
        "storage_class": "STANDARD_IA",
        "region_name": "eu-central-1",
        "endpoint_url": "https://minio.example.com",
        "profile_name": "media",
        "aws_access_key_id": "{{ env.MINIO_KEY }}",
        "aws_secret_access_key": "{{ env.MINIO_SECRET }}",
        "aws_session_token": "{{ env.AWS_SESSION_TOKEN }}",
        "max_attempts": 5,
        "use_ssl": True,
        "verify": True,
        "use_unsigned_session": False,
    },
    _build_store,
    secrets=_SECRETS,
)


def locate_store(store: VideoStoreResource | str, folder: Path) -> VideoStoreResource:
    """The same store, or the one that a text names; a relative path starts from a folder."""
    if isinstance(store, str):
        place = store if "://" in store else str(folder / Path(store).expanduser())
        return build_video_store(place)
    if isinstance(store, FolderVideoStore):
        path = str(folder / Path(store.path).expanduser())
        return FolderVideoStore(path=path, base_url=store.base_url)
    return store


def _build_checks(**values: Any) -> VideoChecks:
    checks: VideoChecks = build_dataclass(VideoChecks)(
        **{name: "off" if value is False else value for name, value in values.items()}
    )
    return checks


CHECKS = Part(
    "VideoChecks",
    {
        # YAML reads a bare `off` as false.
        name: replace(setting, type=Literal["error", "warn", "off", False])
        if setting.type == CheckSeverity
        else setting
        for name, setting in dataclass_settings(VideoChecks).items()
    },
    {},
    _build_checks,
)

POLICY = Part("OrderPolicy", dataclass_settings(OrderPolicy), {}, build_dataclass(OrderPolicy))

FILE = Part(
    "S3Prompts",
    dataclass_settings(S3Prompts),
    {"uri": "s3://bucket/prompts.yaml", "s3": "s3"},
    S3Prompts,
)


def _build_table(asset_key: str, value_type: str | None = None, **values: Any) -> AssetPrompts:
    return AssetPrompts(
        dg.AssetKey.from_user_string(asset_key),
        value_type=None if value_type is None else _find_type(value_type),
        **values,
    )


def _find_type(name: str) -> type:
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f'value_type is "{name}", which cannot be imported: {error}. Write a class with its '
            "module, such as pandas.DataFrame."
        ) from error
    assert isinstance(found, type)
    return found


_TABLE = dataclass_settings(AssetPrompts)
TABLE = Part(
    "AssetPrompts",
    {
        "asset_key": replace(_TABLE["asset_key"], type=str),
        "defaults": replace(_TABLE["defaults"], type=dict[str, Any], default={}),
        "value_type": replace(_TABLE["value_type"], type=str | None),
    },
    {
        "asset_key": "marketing/prompts",
        "defaults": {"model": "minimax/hailuo-2-3"},
        "value_type": "pandas.DataFrame",
    },
    _build_table,
)


@dataclass(frozen=True)
class MissingVideosSchedule:
    """When to order what is missing.

    Args:
        cron_schedule: when, in the notation of cron.
        execution_timezone: whose time; UTC by default.
        default_status: whether the schedule runs from the start.
    """

    cron_schedule: str
    execution_timezone: str | None = None
    default_status: Literal["RUNNING", "STOPPED"] = "RUNNING"

    def build(self, collection: VideoCollection) -> dg.ScheduleDefinition:
        """The schedule of a collection."""
        return build_missing_videos_schedule(
            collection,
            cron_schedule=self.cron_schedule,
            execution_timezone=self.execution_timezone,
            default_status=dg.DefaultScheduleStatus(self.default_status),
        )


SCHEDULE = Part(
    "MissingVideosSchedule",
    dataclass_settings(MissingVideosSchedule),
    {"cron_schedule": "0 6 * * *", "execution_timezone": "Europe/Berlin"},
    build_dataclass(MissingVideosSchedule),
)


_COLLECTION = dataclass_settings(VideoCollection)
RESOURCE_KEYS = Part(
    "ResourceKeys", {name: _COLLECTION[name] for name in ("wiro", "ledger", "store")}, {}, dict
)
