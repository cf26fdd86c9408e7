"""Where the demo and `wiro-dagster dev` keep their files, and how they start the emulator."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import click

from wiro_dagster.cli.extras import EMULATOR_MODULES, describe_missing
from wiro_dagster.emulator import Emulator
from wiro_dagster.resources.ledger_place import default_ledger_url

_API_PORT = 8377
_FILES_PORT = 8378
_DAGSTER_YAML = "telemetry:\n  enabled: false\nnux:\n  enabled: false\n"

DAGSTER_PORT = 3000
"""Where `wiro-dagster dev` opens Dagster's UI, if it is free."""

VIDEO_PORT = 8379
"""Where `wiro-dagster dev` serves the videos to browsers of this machine, if it is free."""

folder_option = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".wiro"),
    show_default=True,
    help="Has the emulator's state, Dagster's home and the ledger.",
)
task_seconds_option = click.option(
    "--task-seconds", default=8.0, show_default=True, help="How long an emulated task runs."
)


@dataclass(frozen=True)
class ProjectFolder:
    """The folder `.wiro` of a project: the emulator's state, Dagster's home and the ledger.

    Args:
        root: the folder itself.
    """

    root: Path

    @property
    def dagster_home(self) -> Path:
        """Dagster's home; it is created with its settings if it is missing."""
        home = self.root / "dagster_home"
        home.mkdir(parents=True, exist_ok=True)
        settings = home / "dagster.yaml"
        if not settings.exists():
            settings.write_text(_DAGSTER_YAML)
        return home

    @property
    def ledger_url(self) -> str:
        """Where `definitions.py` has the ledger by default for this Dagster home."""
        return f"sqlite:///{self.dagster_home / 'wiro_ledger.db'}"

    def start_emulator(self, task_seconds: float) -> Emulator:
        """Start the emulator with the state of its last run, on its usual ports if free."""
        self.root.mkdir(parents=True, exist_ok=True)
        return Emulator.start(
            port=free_port(_API_PORT),
            files_port=free_port(_FILES_PORT),
            state_path=self.root / "emulator.db",
            task_seconds=task_seconds,
        )


def find_ledger_url() -> str:
    """Return the ledger of the project in this folder.

    It is under DAGSTER_HOME if that is set. Else it is that of the demo and of `wiro-dagster dev`,
    or that of the definitions if only theirs exists.
    """
    of_definitions = default_ledger_url(Path.cwd())
    if os.environ.get("DAGSTER_HOME"):
        return of_definitions
    of_demo = Path(".wiro").absolute() / "dagster_home" / "wiro_ledger.db"
    path_of_definitions = Path(of_definitions.removeprefix("sqlite:///"))
    if path_of_definitions.exists() and not of_demo.exists():
        return of_definitions
    return f"sqlite:///{of_demo}"


def emulator_environment(emulator: Emulator) -> dict[str, str]:
    """Return the environment variables that make a project use the emulator."""
    settings = {
        "WIRO_API_KEY": emulator.api_key,
        "WIRO_API_SECRET": emulator.api_secret or "",
        "WIRO_BASE_URL": emulator.base_url,
        "WIRO_CDN_HOSTS": emulator.cdn_host,
        "WIRO_WEBSOCKET_URL": emulator.websocket_url,
    }
    return {name: value for name, value in settings.items() if value}


def free_port(wanted: int) -> int:
    """Return the wanted port if it is free, so that recorded URLs keep working; else 0 = any."""
    return wanted if is_free(wanted) else 0


def is_free(port: int) -> bool:
    """Return whether a port of this machine is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def require_modules(command: str, *modules: str) -> None:
    """Refuse a command whose optional dependencies are not installed.

    Args:
        command: which subcommand.
        modules: what it needs, beside the emulator.

    Raises:
        ClickException: names what is missing, and how to install it.
    """
    for module in (*EMULATOR_MODULES, *modules):
        if find_spec(module) is None:
            raise click.ClickException(describe_missing(command, module))
