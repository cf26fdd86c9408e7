"""Python imports this in each process of a test's Dagster: its daemon looks more often.

Dagster looks at its backfills every 30 seconds and at its sensors every five, and has no setting
for either. How long it sleeps in between decides nothing that a test shows.
"""

from __future__ import annotations

import sys

if "dagster._daemon" in sys.orig_argv:
    from dagster._daemon import controller, sensor

    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 2
    sensor.MIN_INTERVAL_LOOP_TIME = 1
