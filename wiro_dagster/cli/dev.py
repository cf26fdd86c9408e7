"""`wiro-dagster dev`: Dagster on this project, with the emulator where there is no API key."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import click

from wiro_dagster.cli.project import ProjectFolder, emulator_environment

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
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".wiro"),
    show_default=True,
    help="Keeps the emulator's state, and Dagster's home where DAGSTER_HOME is not set.",
)
@click.option(
    "--task-seconds", default=8.0, show_default=True, help="How long an emulated task runs."
)
def dev(port: int, workspace: Path, folder: Path, task_seconds: float) -> None:
    """Opens Dagster on this project: on the real API with WIRO_API_KEY, else on the emulator."""
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
        click.echo(f"Dagster's UI: http://127.0.0.1:{port} (Ctrl-C ends both)")
        command = [sys.executable, "-m", "dagster", "dev", "-w", str(workspace), "-p", str(port)]
        # A session of its own: Ctrl-C reaches Dagster once, from here, also without a terminal.
        dagster = subprocess.Popen(command, env=environment, start_new_session=True)
        try:
            code = dagster.wait()
        except KeyboardInterrupt:
            code = _stop(dagster)
    raise click.exceptions.Exit(code)


def _stop(dagster: subprocess.Popen[bytes]) -> int:
    """Ends Dagster and everything that it started."""
    dagster.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
        dagster.wait(_STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(dagster.pid, signal.SIGKILL)
    dagster.wait()
    return 0
