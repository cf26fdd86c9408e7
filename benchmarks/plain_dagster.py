"""What a user would write with Dagster alone: one run over all partitions, threads inside it.

PLAIN_PROMPTS is a file with one prompt a line, PLAIN_FOLDER takes the files. Each video is a
partition; Dagster materializes them all when the run ends. PLAIN_SENSORS lists intervals, in
seconds, of sensors that do nothing: what such ticks cost by themselves.
"""

import os
from pathlib import Path

import dagster as dg

from benchmarks.plain_script import make_videos

_PROMPTS = Path(os.environ["PLAIN_PROMPTS"]).read_text().splitlines()
_FOLDER = Path(os.environ["PLAIN_FOLDER"])


@dg.asset(
    partitions_def=dg.StaticPartitionsDefinition([f"v{n:05}" for n in range(len(_PROMPTS))]),
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def video(context: dg.AssetExecutionContext) -> None:
    """Make the videos of the run's partitions."""
    prompts = [_PROMPTS[int(key[1:])] for key in context.partition_keys]
    for made in make_videos(prompts, _FOLDER):
        context.log.info("video %s", made)


def _build_sensor(number: int, seconds: int) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"sensor_{number}",
        target=[video],
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def look() -> dg.SkipReason:
        return dg.SkipReason("It does nothing.")

    return look


_INTERVALS = os.environ.get("PLAIN_SENSORS", "").split(",")
defs = dg.Definitions(
    [video],
    sensors=[_build_sensor(n, int(seconds)) for n, seconds in enumerate(filter(None, _INTERVALS))],
)
