"""Python imports this in each process of a test's Dagster: its daemon looks more often.

Dagster looks at its backfills every 30 seconds and at its sensors every five, and has no setting
for either. A sensor asks for a pause of its own, which is cut to nine seconds. How long the daemon
sleeps in between decides nothing that a test shows.
"""

from __future__ import annotations

import sys

if "dagster._daemon" in sys.orig_argv:
    from dagster._core.remote_representation.external import RemoteSensor
    from dagster._daemon import controller, sensor

    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 2
    sensor.MIN_INTERVAL_LOOP_TIME = 1
    asked = RemoteSensor.min_interval_seconds
    RemoteSensor.min_interval_seconds = property(lambda each: min(asked.fget(each), 9))
