"""The ready project: settings from the environment in, Dagster definitions out.

    dagster dev -w workspace.yaml

The README lists the variables. `make dev` sets them for the emulator where WIRO_API_KEY is not set.
"""

import os
from pathlib import Path

import dagster as dg

from wiro_dagster import (
    LedgerResource,
    VideoCollection,
    WiroResource,
    build_prompt_source,
    build_video_definitions,
    build_video_store,
)

HERE = Path(__file__).parent


def ledger_url() -> str:
    """Where the ledger is unless WIRO_LEDGER_URL says otherwise: beside Dagster's own storage."""
    home = os.environ.get("DAGSTER_HOME")
    path = Path(home) / "wiro_ledger.db" if home else HERE / ".wiro" / "ledger.db"
    return f"sqlite:///{path}"


def cdn_hosts() -> list[str]:
    """Hosts that outputs may be downloaded from."""
    hosts = os.environ.get("WIRO_CDN_HOSTS", "*.wiro.ai")
    return [host.strip() for host in hosts.split(",") if host.strip()]


defs = dg.Definitions.merge(
    build_video_definitions(
        VideoCollection(
            prompt_source=build_prompt_source(
                os.environ.get("WIRO_PROMPT_FILE", "examples/prompts.yaml"), HERE
            ),
            model_folder=HERE / "models" if (HERE / "models").is_dir() else None,
        )
    ),
    dg.Definitions(
        resources={
            "wiro": WiroResource(
                # Names, not values: Dagster's UI shows a resource's settings.
                api_key=dg.EnvVar("WIRO_API_KEY"),
                api_secret=(
                    dg.EnvVar("WIRO_API_SECRET") if os.environ.get("WIRO_API_SECRET") else None
                ),
                base_url=os.environ.get("WIRO_BASE_URL", "https://api.wiro.ai/v1"),
                cdn_hosts=cdn_hosts(),
                websocket_url=os.environ.get("WIRO_WEBSOCKET_URL"),
            ),
            "wiro_ledger": LedgerResource(
                url=(
                    dg.EnvVar("WIRO_LEDGER_URL")
                    if os.environ.get("WIRO_LEDGER_URL")
                    else ledger_url()
                ),
                daily_budget_usd=os.environ.get("WIRO_DAILY_BUDGET_USD", "10"),
            ),
            "video_store": build_video_store(
                os.environ.get("WIRO_VIDEO_STORE", str(HERE / "videos")),
                base_url=os.environ.get("WIRO_VIDEO_BASE_URL"),
            ),
        }
    ),
)
