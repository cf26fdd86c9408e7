"""Waits for campaigns: the product's minutes take seconds here, and its days take minutes."""

from __future__ import annotations

from wiro_dagster.orders.policy import Timing

CAMPAIGN_TIMING = Timing(
    first_look_seconds=1.0,
    sweep_pause_seconds=0.5,
    recover_first_seconds=0.5,
    settle_seconds=2.0,
    pause_seconds=0.5,
    sure_gone_seconds=600.0,
    audit_pause_seconds=10.0,
    cost_recheck_seconds=(1.0, 3.0, 10.0),
)
"""Each campaign sets what depends on its faults: leases, lost answers, missing files."""
