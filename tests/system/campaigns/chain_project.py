"""The project of the chain campaign: three assets of a user's own, each a paid stage."""

# No `from __future__ import annotations`: Dagster compares the context's annotation with its class.
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg

from wiro_dagster import (
    FolderVideoStore,
    LedgerResource,
    ModelResult,
    OrderPolicy,
    WiroModels,
    WiroResource,
)
from wiro_dagster.defs.timing import WaitTiming
from wiro_dagster.emulator import EMULATOR_API_KEY, EMULATOR_API_SECRET
from wiro_dagster.orders.policy import Timing

_TIMING = Timing(
    first_look_seconds=0.2,
    sweep_pause_seconds=0.2,
    look_maximum_seconds=0.5,
    settle_seconds=0.5,
    lease_seconds=3.0,
    recover_first_seconds=0.2,
    recover_pause_seconds=0.3,
    pause_seconds=0.5,
)
SCENES = dg.DynamicPartitionsDefinition(name="scenes")


class HastyModels(WiroModels):
    """The product's own resource, with shorter patience."""

    def get_policy(self) -> OrderPolicy:
        """Recover from a death within seconds."""
        return replace(super().get_policy(), timing=_TIMING, resubmit_after_seconds=4.0)

    def get_timing(self) -> WaitTiming:
        """Look often."""
        return WaitTiming(pause_seconds=0.1)


@dg.asset(partitions_def=SCENES)
def picture(
    context: dg.AssetExecutionContext, wiro_models: WiroModels
) -> dg.MaterializeResult[Any]:
    """A picture, from words."""
    words = f"A picture of {context.partition_key}"
    return wiro_models.run(
        context, "bytedance/seedream-v4-5", prompt=words, kind="image"
    ).materialize_result()


@dg.asset(partitions_def=SCENES, deps=[picture])
def clip(context: dg.AssetExecutionContext, wiro_models: WiroModels) -> dg.Output[ModelResult]:
    """A video that begins with the picture."""
    inputs = {"inputImageFirst": dg.AssetKey("picture")}
    words = f"A film of {context.partition_key}"
    return wiro_models.run(
        context, "minimax/hailuo-2-3-fast", prompt=words, inputs=inputs, kind="video"
    ).output()


@dg.asset(partitions_def=SCENES)
def large_clip(
    context: dg.AssetExecutionContext, wiro_models: WiroModels, clip: ModelResult
) -> dg.MaterializeResult[Any]:
    """The same video, larger."""
    return wiro_models.run(
        context, "emulator/upscale", inputs={"inputVideo": clip}, kind="video"
    ).materialize_result()


STAGES = (picture, clip, large_clip)


@dataclass(frozen=True)
class Place:
    """Where the project's things are.

    Args:
        folder: with Dagster's home, the ledger and the videos.
        base_url: of the emulator.
        cdn_host: of its files.
    """

    folder: Path
    base_url: str
    cdn_host: str

    @property
    def home(self) -> Path:
        """Dagster's."""
        return self.folder / "dagster"

    @property
    def ledger_url(self) -> str:
        """The ledger's."""
        return f"sqlite:///{self.folder / 'ledger.db'}"


def materialize_chain(place: Place, scene: str, begun: Path) -> None:
    """Materialize the three stages of a scene; what a run worker does. Ends the process.

    Args:
        place: of the project.
        scene: the partition.
        begun: a file to make when all is imported and the run begins.
    """
    log = os.open(place.folder / "runs.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    models = HastyModels(
        wiro=WiroResource(
            api_key=EMULATOR_API_KEY,
            api_secret=EMULATOR_API_SECRET,
            base_url=place.base_url,
            cdn_hosts=[place.cdn_host],
        ),
        ledger=LedgerResource(url=place.ledger_url, daily_budget_usd="1000"),
        store=FolderVideoStore(path=str(place.folder / "videos")),
    )
    with dg.DagsterInstance.from_config(str(place.home)) as instance:
        begun.touch()
        result = dg.materialize(
            STAGES,
            instance=instance,
            resources={"wiro_models": models},
            partition_key=scene,
            raise_on_error=False,
        )
    sys.exit(0 if result.success else 1)
