"""What a user writes whose prompts are ordered automatically: a collection with `auto_order`.

AUTO_FOLDER has everything: prompts, ledger and videos. If AUTO_APPROVAL is set, orders wait until
they are approved. The account is read as in `definitions.py`.
"""

import os
from pathlib import Path

import dagster as dg

from wiro_dagster import (
    FolderVideoStore,
    LedgerResource,
    VideoCollection,
    WiroResource,
    build_video_definitions,
)

_FOLDER = Path(os.environ["AUTO_FOLDER"])

defs = build_video_definitions(
    VideoCollection(
        prompt_file=_FOLDER / "prompts.yaml",
        auto_order="new",
        needs_approval=bool(os.environ.get("AUTO_APPROVAL")),
    ),
    resources={
        "wiro": WiroResource(
            api_key=dg.EnvVar("WIRO_API_KEY"),
            api_secret=dg.EnvVar("WIRO_API_SECRET"),
            base_url=os.environ["WIRO_BASE_URL"],
            cdn_hosts=[os.environ["WIRO_CDN_HOSTS"]],
            websocket_url=os.environ["WIRO_WEBSOCKET_URL"],
        ),
        "wiro_ledger": LedgerResource(
            url=f"sqlite:///{_FOLDER / 'ledger.db'}", daily_budget_usd=None
        ),
        "video_store": FolderVideoStore(path=str(_FOLDER / "out")),
    },
)
