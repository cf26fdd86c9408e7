"""The parts of a component's `defs.yaml`: account, ledger, store, prompts, checks, policy."""

# No `from __future__ import annotations`: Dagster resolves the fields by their annotations.
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import dagster as dg
from pydantic import Field

from wiro_dagster.component.resolvers import described, part_resolver, resource_model
from wiro_dagster.defs.automation import build_missing_videos_schedule
from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.prompt_sources import AssetPrompts, S3Prompts
from wiro_dagster.errors import ConfigurationError
from wiro_dagster.orders import OrderPolicy
from wiro_dagster.orders.verdicts import VideoChecks
from wiro_dagster.resources.account import LedgerResource, WiroResource
from wiro_dagster.resources.ledger_place import locate_ledger_url
from wiro_dagster.resources.places import build_video_store
from wiro_dagster.resources.stores import FolderVideoStore, S3Place, VideoStoreResource

ACCOUNT = part_resolver(
    resource_model("WiroAccount", WiroResource), WiroResource, secrets=("api_key", "api_secret")
)


@dataclass(frozen=True)
class LedgerSettings:
    """The ledger as YAML describes it; a relative SQLite path starts at the project's folder.

    Args:
        values: fields of `LedgerResource`.
    """

    values: Mapping[str, Any]

    def build(self, project: Path) -> LedgerResource:
        """Build the resource.

        Raises:
            ConfigurationError: a value is wrong.
        """
        values, url = dict(self.values), self.values.get("url")
        if isinstance(url, str) and not isinstance(url, dg.EnvVar):
            values["url"] = locate_ledger_url(url, project)
        return LedgerResource(**values)


def _read_ledger(**values: Any) -> LedgerSettings:
    settings = LedgerSettings(values)
    settings.build(Path.cwd())  # refuses wrong values while their line is known
    return settings


def _money_fields() -> dict[str, Any]:
    """Return the budgets, which YAML may hold as numbers."""
    return {
        name: (float | str | None, field)
        for name, field in LedgerResource.model_fields.items()
        if name.endswith("_usd")
    }


LEDGER = part_resolver(
    resource_model("WiroLedger", LedgerResource, **_money_fields()), _read_ledger, urls=("url",)
)


class S3Access(dg.Model):
    """How to reach S3: the fields of dagster-aws's `S3Resource`, which loads boto3."""

    region_name: str | None = Field(None, description="The region of S3.")
    endpoint_url: str | None = Field(None, description="The URL of a service other than AWS.")
    profile_name: str | None = Field(None, description="A profile of this machine's AWS settings.")
    aws_access_key_id: str | None = Field(None, description='Access key: "{{ env.NAME }}".')
    aws_secret_access_key: str | None = Field(None, description='Secret key: "{{ env.NAME }}".')
    aws_session_token: str | None = Field(None, description='Session token: "{{ env.NAME }}".')
    max_attempts: int | None = Field(5, description="How often a request to S3 is tried.")
    use_ssl: bool | None = Field(default=True, description="Whether to reach S3 through TLS.")
    verify: bool | None = Field(None, description="Whether to verify S3's certificate.")
    use_unsigned_session: bool | None = Field(
        default=False, description="Whether to send no credentials."
    )


def _build_store(**given: Any) -> VideoStoreResource:
    values = {name: value for name, value in given.items() if value is not None}
    if ("path" in values) == ("bucket" in values):
        raise ConfigurationError("A video store has either a path (a folder) or a bucket (on S3).")
    if "path" in values:
        return FolderVideoStore(**values)
    from dagster_aws.s3 import S3Resource  # loads boto3

    from wiro_dagster.resources.s3 import S3VideoStore

    access = {name: values.pop(name) for name in S3Access.model_fields if name in values}
    return S3VideoStore(s3=S3Resource(**access), **values)


STORE = part_resolver(
    resource_model(
        "WiroVideoStore",
        FolderVideoStore,
        S3Place,
        S3Access,
        path=(
            str | None,
            Field(None, description=FolderVideoStore.model_fields["path"].description),
        ),
        bucket=(str | None, Field(None, description=S3Place.model_fields["bucket"].description)),
    ),
    _build_store,
    secrets=("aws_access_key_id", "aws_secret_access_key", "aws_session_token"),
)


def locate_store(store: VideoStoreResource | str, folder: Path) -> VideoStoreResource:
    """Return the store that YAML names, with a relative path resolved against a folder."""
    if isinstance(store, str):
        place = store if "://" in store else str(folder / Path(store).expanduser())
        return build_video_store(place)
    if isinstance(store, FolderVideoStore):
        path = str(folder / Path(store.path).expanduser())
        return FolderVideoStore(path=path, base_url=store.base_url)
    return store


class ResourceKeys(dg.Model, dg.Resolvable):
    """The names of the project's own resources."""

    wiro: Annotated[str, described("Resource key of the `WiroResource`.")] = "wiro"
    ledger: Annotated[str, described("Resource key of the `LedgerResource`.")] = "wiro_ledger"
    store: Annotated[str, described("Resource key of the `VideoStoreResource`.")] = "video_store"


class S3File(dg.Model, dg.Resolvable):
    """A prompt file on S3, and the resource that reads it."""

    uri: Annotated[str, described("s3://bucket/key.yaml, or .json or .csv.")]
    s3: Annotated[str | None, described("Resource key of a dagster-aws S3Resource.")] = None

    def build(self) -> S3Prompts:
        """Build the source of prompts."""
        return S3Prompts(self.uri, s3=self.s3)


class PromptTable(dg.Model, dg.Resolvable):
    """An asset that makes a table of prompts."""

    asset_key: Annotated[str, described("The upstream asset, such as marketing/prompts.")]
    defaults: Annotated[dict[str, Any], described("`model` and `inputs` for all rows.")] = Field(
        default_factory=dict
    )
    value_type: Annotated[
        str | None, described("What the IO manager must return, such as pandas.DataFrame.")
    ] = None

    def build(self) -> AssetPrompts:
        """Build the source of prompts.

        Raises:
            ConfigurationError: `value_type` cannot be imported.
        """
        return AssetPrompts(
            dg.AssetKey.from_user_string(self.asset_key),
            defaults=self.defaults,
            value_type=None if self.value_type is None else _import_type(self.value_type),
        )


def _import_type(name: str) -> type:
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f'value_type is "{name}", which cannot be imported: {error}. Write a class with its '
            "module, such as pandas.DataFrame."
        ) from error
    if not isinstance(found, type):
        raise ConfigurationError(f'value_type is "{name}", which is not a class.')
    return found


# YAML reads a bare `off` as false.
_Severity = Literal["error", "warn", "off", False]


class Checks(dg.Model, dg.Resolvable):
    """Severities and limits of the checks on the videos."""

    playable: Annotated[_Severity, described("Every frame decodes.")] = "error"
    duration: Annotated[_Severity, described("As long as ordered, within a tenth.")] = "error"
    resolution: Annotated[_Severity, described("As large as ordered, within a twentieth.")] = (
        "error"
    )
    black: Annotated[_Severity, described("Not black.")] = "error"
    frozen: Annotated[_Severity, described("Not a still picture.")] = "warn"
    aspect_ratio: Annotated[_Severity, described("In the shape of its first image.")] = "warn"
    cost: Annotated[_Severity, described("Not more expensive than its quote.")] = "warn"
    size: Annotated[_Severity, described("As many bytes as Wiro announced.")] = "error"
    black_share: Annotated[
        float, described("The share of black frames from which `black` fails.")
    ] = 0.2
    frozen_share: Annotated[
        float, described("The share that stands still from which `frozen` fails.")
    ] = 0.5

    def build(self) -> VideoChecks:
        """Build the checks."""
        given: dict[str, Any] = self.model_dump(include=self.model_fields_set)
        given |= {name: "off" for name, severity in given.items() if severity is False}
        return VideoChecks(**given)


class Policy(dg.Model, dg.Resolvable):
    """What happens to orders, and to their files at Wiro."""

    superseded: Annotated[
        Literal["keep", "cancel"],
        described("What happens to a running task when its prompt changes."),
    ] = "keep"
    files_at_wiro: Annotated[
        Literal["keep", "delete"],
        described("What happens to a task's files at Wiro once they are in the store."),
    ] = "keep"
    local_files: Annotated[
        Literal["attach", "upload"],
        described("Attach local files to each run, or upload each content once for all runs."),
    ] = "attach"
    verify: Annotated[
        Literal["frames", "bytes"],
        described("What is verified: every frame, or only size and sha256."),
    ] = "frames"
    max_file_bytes: Annotated[
        int, described("Larger output files stay at Wiro until this is raised.")
    ] = 2 * 1024**3
    run_deadline_seconds: Annotated[
        float, described("Tasks that run longer are killed. Queue time does not count.")
    ] = 3600.0
    resubmit_after_seconds: Annotated[
        float,
        described(
            "How long Wiro's list must not show a lost submission before it is submitted again."
        ),
    ] = 900.0
    model_max_age_seconds: Annotated[
        float, described("How old Wiro's statement about a model may be when it is used.")
    ] = 3600.0
    attempts: Annotated[
        int,
        described(
            "How often each model is tried, the first time included, if it fails for a reason that "
            "may pass. 1 means no second try.",
            2,
        ),
    ] = 1
    fallback_models: Annotated[
        list[str],
        described(
            "Models to try next, in order, for the same reasons. Each must take the prompt's "
            "inputs.",
            ["minimax/text-to-video-hailuo-02"],
        ),
    ] = Field(default_factory=list)

    def build(self) -> OrderPolicy:
        """Build the policy."""
        given: dict[str, Any] = self.model_dump(include=self.model_fields_set)
        if "fallback_models" in given:
            given["fallback_models"] = tuple(given["fallback_models"])
        return OrderPolicy(**given)


class MissingVideosSchedule(dg.Model, dg.Resolvable):
    """When to order missing videos."""

    cron_schedule: Annotated[str, described("When, in cron notation: 0 6 * * *")]
    execution_timezone: Annotated[
        str | None, described("The time zone, such as Europe/Berlin; UTC by default.")
    ] = None
    default_status: Annotated[
        Literal["RUNNING", "STOPPED"], described("Whether the schedule runs from the start.")
    ] = "RUNNING"

    def build(self, collection: VideoCollection) -> dg.ScheduleDefinition:
        """Build the schedule of a collection."""
        return build_missing_videos_schedule(
            collection,
            cron_schedule=self.cron_schedule,
            execution_timezone=self.execution_timezone,
            default_status=dg.DefaultScheduleStatus(self.default_status),
        )


class Retries(dg.Model, dg.Resolvable):
    """Dagster's retries of a step."""

    max_retries: Annotated[int, described("How often a crashed step is tried again.")] = 1
    delay: Annotated[float | None, described("Seconds between two attempts.")] = None

    def build(self) -> dg.RetryPolicy:
        """Build the retry policy."""
        return dg.RetryPolicy(max_retries=self.max_retries, delay=self.delay)
