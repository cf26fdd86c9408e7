"""Assets of a user's own that run models, and the resource that they do it with."""

from __future__ import annotations

from dataclasses import replace

from tests.support.project import FAST_TIMING, QUICK, Project
from wiro_dagster import OrderPolicy, WiroModels
from wiro_dagster.defs.timing import WaitTiming


class QuickModels(WiroModels):
    """The same with short patience."""

    def get_policy(self) -> OrderPolicy:
        return replace(super().get_policy(), timing=FAST_TIMING, resubmit_after_seconds=4.0)

    def get_timing(self) -> WaitTiming:
        return QUICK


def quick_models(project: Project, **settings: object) -> QuickModels:
    """The resource on the project's account, ledger and store."""
    found = project.resources
    return QuickModels(
        wiro=found["wiro"], ledger=found["wiro_ledger"], store=found["video_store"], **settings
    )
