"""`wiro-dagster dev`: Dagster on this project, with the emulator where there is no API key."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import click

from wiro_dagster.cli.project import (
    VIDEO_PORT,
    ProjectFolder,
    emulator_environment,
    folder_option,
    free_port,
    task_seconds_option,
)
from wiro_dagster.gallery.server import serve_folder

_STOP_SECONDS = 20.0


@click.command()
@click.option("--port", default=3000, show_default=True, help="Of Dagster's UI.")
@click.option(
    "--workspace",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    default=Path("workspace.yaml"),
    show_default=True,
    help="Dagster's workspace file.",
)
@folder_option
@task_seconds_option
def dev(port: int, workspace: Path, folder: Path, task_seconds: float) -> None:
    """Opens Dagster on this project: on the real API with WIRO_API_KEY, else on the emulator.

    Dagster's home and the ledger are in DAGSTER_HOME where that is set. Videos in a folder are
    shown to browsers of this machine, so that Dagster can link to them.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        # Also where a shell script started us in the background, with Ctrl-C ignored: Dagster
        # would inherit that, and neither of us could be stopped.
        signal.signal(number, signal.default_int_handler)
    project = ProjectFolder(folder.absolute())
    environment = dict(os.environ)
    environment.setdefault("DAGSTER_HOME", str(project.dagster_home))
    with ExitStack() as stack:
        if environment.get("WIRO_API_KEY"):
            click.echo("WIRO_API_KEY is set: this spends real money, within the daily budget.")
        else:
            emulator = stack.enter_context(project.start_emulator(task_seconds))
            environment |= emulator_environment(emulator)
            click.echo(f"Emulator of Wiro: {emulator.start_page_url}")
        _show_videos(stack, environment, workspace.absolute().parent)
        click.echo(f"Dagster's UI: http://127.0.0.1:{port} (Ctrl-C ends both)")
        command = [sys.executable, "-m", "dagster", "dev", "-w", str(workspace), "-p", str(port)]
        # A session of its own: Ctrl-C reaches Dagster once, from here, also without a terminal.
        dagster = subprocess.Popen(command, env=environment, start_new_session=True)
        try:
            code = dagster.wait()
        except KeyboardInterrupt:
            code = _stop(dagster)
    raise click.exceptions.Exit(code)


def _show_videos(stack: ExitStack, environment: dict[str, str], project: Path) -> None:
    """Serves the video folder, unless videos go elsewhere or are shown by another server."""
    place = environment.setdefault("WIRO_VIDEO_STORE", str(project / "videos"))
    if "://" in place or environment.get("WIRO_VIDEO_BASE_URL"):
        return
    folder = Path(place).expanduser()
    url = stack.enter_context(serve_folder(folder, port=free_port(VIDEO_PORT)))
    environment["WIRO_VIDEO_BASE_URL"] = url
    click.echo(f"Gallery of the videos, once there are some: {url}/gallery.html")


def _stop(dagster: subprocess.Popen[bytes]) -> int:
    """Ends Dagster and everything that it started."""
    dagster.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
        dagster.wait(_STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(dagster.pid, signal.SIGKILL)
    dagster.wait()
    return 0
