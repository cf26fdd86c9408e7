"""`wiro-dagster dev`: Dagster on this project, with the emulator if there is no API key."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import click
import yaml

from wiro_dagster.cli.examples_folder import EXAMPLE_PROMPTS, write_examples
from wiro_dagster.cli.project import (
    DAGSTER_PORT,
    VIDEO_PORT,
    ProjectFolder,
    emulator_environment,
    folder_option,
    free_port,
    is_free,
    require_modules,
    task_seconds_option,
)
from wiro_dagster.gallery.server import serve_folder

_STOP_SECONDS = 20.0
_PORTS_TRIED = 20


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help=f"Of Dagster's UI: {DAGSTER_PORT}.")
@click.option(
    "--workspace",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Dagster's workspace file. Default: the project in this folder.",
)
@folder_option
@task_seconds_option
def dev(port: int | None, workspace: Path | None, folder: Path, task_seconds: float) -> None:
    """Open Dagster on this project: on the real API with WIRO_API_KEY, else on the emulator.

    A folder without a project gets example prompts and the ready project. Dagster's home and the
    ledger are in DAGSTER_HOME if that is set. Videos in a folder are served to browsers of this
    machine, so that Dagster can link to them.
    """
    require_modules("dev", "dagster_webserver")
    for number in (signal.SIGINT, signal.SIGTERM):
        # A shell script may have started us in the background, with Ctrl-C ignored. Dagster would
        # inherit that, and neither process could be stopped.
        signal.signal(number, signal.default_int_handler)
    port = _choose_port(port)
    project = ProjectFolder(folder.absolute())
    environment = dict(os.environ)
    environment.setdefault("DAGSTER_HOME", str(project.dagster_home))
    environment.setdefault("WIRO_DAGSTER_URL", f"http://127.0.0.1:{port}")
    target = _find_target(workspace, project, environment)
    with ExitStack() as stack:
        if environment.get("WIRO_API_KEY"):
            click.echo("WIRO_API_KEY is set: this spends real money, within the daily budget.")
        else:
            emulator = stack.enter_context(project.start_emulator(task_seconds))
            environment |= emulator_environment(emulator)
            click.echo(f"Emulator of Wiro: {emulator.start_page_url}")
        _show_videos(stack, environment, (workspace or Path("here")).absolute().parent)
        click.echo(f"Dagster's UI: http://127.0.0.1:{port} (Ctrl-C ends both)")
        command = [sys.executable, "-m", "dagster", "dev", *target, "-p", str(port)]
        # A session of its own: Ctrl-C reaches Dagster once, from here, also without a terminal.
        dagster = subprocess.Popen(command, env=environment, start_new_session=True)
        try:
            code = dagster.wait()
        except KeyboardInterrupt:
            code = _stop(dagster)
    raise click.exceptions.Exit(code)


def _choose_port(wanted: int | None) -> int:
    """Return the port of the UI. One that the user named is used or refused, never replaced."""
    if wanted is not None:
        if not is_free(wanted):
            raise click.ClickException(
                f"Port {wanted} is in use. Stop what uses it, or choose another: --port 3001"
            )
        return wanted
    ports = range(DAGSTER_PORT, DAGSTER_PORT + _PORTS_TRIED)
    port = next((number for number in ports if is_free(number)), None)
    if port is None:
        raise click.ClickException(f"Ports {ports[0]} to {ports[-1]} are in use. Give --port.")
    if port != DAGSTER_PORT:
        click.echo(f"Port {DAGSTER_PORT} is in use, so Dagster's UI gets port {port}.")
    return port


def _find_target(
    workspace: Path | None, project: ProjectFolder, environment: dict[str, str]
) -> list[str]:
    """Return what `dagster dev` loads: a workspace, a project, or the ready project."""
    here = Path.cwd()
    if workspace is None and (here / "workspace.yaml").exists():
        workspace = Path("workspace.yaml")
    if workspace is not None:
        return ["-w", str(workspace)]
    settings = here / "pyproject.toml"
    if settings.exists() and "[tool.dagster]" in settings.read_text(encoding="utf-8"):
        return []
    if "WIRO_PROMPT_FILE" not in environment:
        if write_examples(here):
            click.echo(f"Wrote example prompts: {EXAMPLE_PROMPTS}")
        environment["WIRO_PROMPT_FILE"] = str(here / EXAMPLE_PROMPTS)
    made = project.root / "workspace.yaml"
    location = {
        "module_name": "wiro_dagster.cli.ready",
        "working_directory": str(here),
        "location_name": "wiro",
    }
    made.write_text(yaml.safe_dump({"load_from": [{"python_module": location}]}))
    return ["-w", str(made)]


def _show_videos(stack: ExitStack, environment: dict[str, str], project: Path) -> None:
    """Serve the video folder, unless videos go elsewhere or a different server shows them."""
    place = environment.setdefault("WIRO_VIDEO_STORE", str(project / "videos"))
    if "://" in place or environment.get("WIRO_VIDEO_BASE_URL"):
        return
    folder = Path(place).expanduser()
    url = stack.enter_context(serve_folder(folder, port=free_port(VIDEO_PORT)))
    environment["WIRO_VIDEO_BASE_URL"] = url
    click.echo(f"Gallery of the videos, once there are some: {url}/gallery.html")


def _stop(dagster: subprocess.Popen[bytes]) -> int:
    """End Dagster and everything that it started."""
    dagster.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
        dagster.wait(_STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(dagster.pid, signal.SIGKILL)
    dagster.wait()
    return 0
