"""The ready project: settings from environment variables in, Dagster definitions out."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path
from typing import cast, get_args

import dagster as dg

from wiro_dagster.api.client import DEFAULT_BASE_URL
from wiro_dagster.defs.build import build_video_definitions
from wiro_dagster.defs.choices import Collect
from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.prompt_sources import build_prompt_source
from wiro_dagster.defs.wiro_models import WiroModels
from wiro_dagster.errors import ConfigurationError
from wiro_dagster.resources.account import LedgerResource, WiroResource
from wiro_dagster.resources.ledger_place import default_ledger_url, ledger_base, locate_ledger_url
from wiro_dagster.resources.places import build_video_store

_NO_LIMIT = "none"
_SWITCH = {"on": True, "off": False}


def build_project_definitions(folder: str | PathLike[str]) -> dg.Definitions:
    """Build the definitions of a project whose settings are environment variables.

    The README lists the variables. Relative paths are relative to the project's folder.

    Args:
        folder: the project's folder.

    Raises:
        ConfigurationError: a variable is set, but empty or not valid.

    Example:
        defs = build_project_definitions(Path(__file__).parent)
    """
    here = Path(folder).absolute()
    resources = build_project_resources(here)
    collection = VideoCollection(
        prompt_source=build_prompt_source(_read("WIRO_PROMPT_FILE", "examples/prompts.yaml"), here),
        model_folder=_find_models(here),
        dagster_url=_find("WIRO_DAGSTER_URL"),
        collect=_read_collect(),
    )
    return build_video_definitions(
        collection,
        resources={
            "wiro": resources.wiro,
            "wiro_ledger": resources.ledger,
            "video_store": resources.store,
            "wiro_models": resources,
        },
    )


def build_project_resources(folder: Path) -> WiroModels:
    """Build the account, the ledger and the store that the environment names, in one resource.

    Args:
        folder: the project's folder.

    Raises:
        ConfigurationError: a variable is set, but empty or not valid.
    """
    ledger = LedgerResource(url=_ledger_url(folder), daily_budget_usd=_daily_budget())
    ledger.get_limits()  # refuses a wrong budget here, not in a tick
    models = _find_models(folder)
    return WiroModels(
        wiro=_build_account(),
        ledger=ledger,
        store=build_video_store(
            _place(_read("WIRO_VIDEO_STORE", "videos"), folder),
            base_url=_find("WIRO_VIDEO_BASE_URL"),
        ),
        model_folder=None if models is None else str(models),
    )


def _read_collect() -> Collect:
    choice = _read("WIRO_COLLECT", "sensor")
    if choice not in get_args(Collect):
        raise ConfigurationError(f'WIRO_COLLECT is "{choice}". Use "sensor" or "runs".')
    return cast("Collect", choice)


def _find_models(folder: Path) -> Path | None:
    models = folder / "models"
    return models if models.is_dir() else None


def _build_account() -> WiroResource:
    return WiroResource(
        # Names, not values: Dagster's UI shows a resource's settings.
        api_key=dg.EnvVar("WIRO_API_KEY"),
        # An empty secret means a key-only project, as a container's settings often pass it.
        api_secret=dg.EnvVar("WIRO_API_SECRET") if os.environ.get("WIRO_API_SECRET") else None,
        base_url=_read("WIRO_BASE_URL", DEFAULT_BASE_URL),
        cdn_hosts=_read_list("WIRO_CDN_HOSTS", "*.wiro.ai"),
        websocket_url=_find("WIRO_WEBSOCKET_URL"),
        callback_base_url=_find("WIRO_CALLBACK_BASE_URL"),
        sockets=_read_switch("WIRO_SOCKETS"),
    )


def _ledger_url(folder: Path) -> str | dg.EnvVar:
    url = _find("WIRO_LEDGER_URL")
    if url is None:
        return default_ledger_url(folder)
    located = locate_ledger_url(url, ledger_base(folder))
    # An unchanged URL may contain a password, which the UI must not show.
    return dg.EnvVar("WIRO_LEDGER_URL") if located == url else located


def _daily_budget() -> str | None:
    budget = _read("WIRO_DAILY_BUDGET_USD", "10")
    return None if budget.lower() == _NO_LIMIT else budget


def _place(place: str, folder: Path) -> str:
    return place if "://" in place else str(folder / Path(place).expanduser())


def _read(name: str, default: str) -> str:
    value = _find(name)
    return default if value is None else value


def _read_list(name: str, default: str) -> list[str]:
    return [item.strip() for item in _read(name, default).split(",") if item.strip()]


def _read_switch(name: str) -> bool:
    value = _read(name, "on").lower()
    if value not in _SWITCH:
        raise ConfigurationError(f'{name} is "{value}". Write {" or ".join(_SWITCH)}.')
    return _SWITCH[value]


def _find(name: str) -> str | None:
    """Return the value of an environment variable, or `None` if it is not set.

    Raises:
        ConfigurationError: it is set, but empty.
    """
    value = os.environ.get(name)
    if value is None:
        return None
    if not value.strip():
        # An empty budget must not mean "no limit", nor an empty store "the working directory".
        raise ConfigurationError(
            f"{name} is set, but empty. Give it a value, or unset it to use the default."
            + (f' "{_NO_LIMIT}" means no limit.' if name.endswith("_USD") else "")
        )
    return value.strip()
