"""The command line of the emulator."""

from __future__ import annotations

import errno
import json
import tempfile
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click

from wiro_dagster.emulator.settings import EMULATOR_API_KEY, EMULATOR_API_SECRET, Settings


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(text) from None


def _rate(text: str) -> tuple[str, float]:
    kind, _, rate = text.partition("=")
    return kind, float(rate)


@click.command("emulator")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8790, show_default=True, help="Port of the API; 0 for a free one.")
@click.option("--files-host", default="localhost", show_default=True, help="Name in output URLs.")
@click.option(
    "--files-port", default=8791, show_default=True, help="Port of the outputs; 0 for a free one."
)
@click.option(
    "--second-files-port", default=0, help="Port of the second CDN host; 0 for a free one."
)
@click.option(
    "--state",
    "state_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    show_default="a temporary file",
    help="SQLite file that tasks, journal and balance are kept in.",
)
@click.option("--task-seconds", default=8.0, show_default=True, help="From a Run to its end.")
@click.option("--queue-seconds", default=0.0, show_default=True, help="Additional queue time.")
@click.option("--listing-delay", default=0.0, help="Seconds until Task/List shows a new task.")
@click.option("--detail-delay", default=0.0, help="Seconds until Task/Detail knows a new task.")
@click.option("--file-lifetime", default=259200.0, help="Seconds that outputs can be fetched.")
@click.option(
    "--api-key",
    envvar="WIRO_EMULATOR_API_KEY",
    default=EMULATOR_API_KEY,
    show_default=True,
    help="Key that callers must show.",
)
@click.option(
    "--api-secret",
    envvar="WIRO_EMULATOR_API_SECRET",
    default=EMULATOR_API_SECRET,
    show_default=True,
    help="Secret that they must sign with.",
)
@click.option(
    "--clock-offset", default=0.0, help="Seconds that stated times and the Date header are ahead."
)
@click.option(
    "--host-name",
    "host_names",
    multiple=True,
    help="A further name that requests may call it by, or * for any; may be repeated.",
)
@click.option("--key-only", is_flag=True, help="A project of the kind that signs nothing.")
@click.option(
    "--balance", type=_amount, default="1000", show_default=True, help="USD in the account."
)
@click.option("--seed", default=0, show_default=True, help="Repeats chance and contents.")
@click.option(
    "--fault-rate",
    "fault_rates",
    type=_rate,
    multiple=True,
    help="Random faults, e.g. drop_after=0.05 or Run:http_502_before=0.1; may be repeated.",
)
@click.option(
    "--world",
    "world_rates",
    type=_rate,
    multiple=True,
    help="Worlds by chance, e.g. late_cost=0.05 or gateway_accepts=0.1; may be repeated.",
)
@click.option("--dialect", type=click.Choice(["documents", "alternate"]), default="documents")
@click.option("--socket-frames", type=click.Choice(["old", "new"]), default="old")
@click.option("--tiny-videos", is_flag=True, help="64x36 clips, for thousands of tasks.")
@click.option(
    "--prompt-markers/--no-prompt-markers",
    default=True,
    show_default=True,
    help="Whether [fail] and the like in a prompt have a meaning.",
)
@click.option("--refuse-default-user-agents", is_flag=True, help="HTML 403 for library agents.")
@click.option(
    "--callback-host",
    "callback_hosts",
    multiple=True,
    help="A host beside this machine that callbacks may go to, or * for any; may be repeated.",
)
@click.option(
    "--models",
    "model_files",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="A JSON file with further models; may be repeated.",
)
@click.option("--ends-with-parent", is_flag=True, help="End when standard input does.")
@click.option(
    "--remove-state", is_flag=True, help="With --ends-with-parent: remove the state then."
)
@click.option("--announce-json", is_flag=True, help="Print the URLs as one line of JSON.")
def emulator_command(
    *,
    host: str,
    port: int,
    files_host: str,
    files_port: int,
    second_files_port: int,
    state_path: Path | None,
    task_seconds: float,
    queue_seconds: float,
    listing_delay: float,
    detail_delay: float,
    file_lifetime: float,
    clock_offset: float,
    host_names: tuple[str, ...],
    api_key: str,
    api_secret: str,
    key_only: bool,
    balance: Decimal,
    seed: int,
    fault_rates: tuple[tuple[str, float], ...],
    world_rates: tuple[tuple[str, float], ...],
    dialect: Any,
    socket_frames: Any,
    tiny_videos: bool,
    prompt_markers: bool,
    refuse_default_user_agents: bool,
    callback_hosts: tuple[str, ...],
    model_files: tuple[Path, ...],
    ends_with_parent: bool,
    remove_state: bool,
    announce_json: bool,
) -> None:
    """Emulate the Wiro API on this machine: nothing is generated, nothing is charged."""
    # Only here: the options can be shown without starlette and uvicorn.
    from wiro_dagster.emulator.parent import Parent
    from wiro_dagster.emulator.server import Listening, serve
    from wiro_dagster.emulator.state import remove_state as remove

    settings = Settings(
        api_key=api_key,
        api_secret=api_secret,
        is_key_only=key_only,
        task_seconds=task_seconds,
        queue_seconds=queue_seconds,
        listing_delay_seconds=listing_delay,
        detail_delay_seconds=detail_delay,
        file_lifetime_seconds=file_lifetime,
        clock_offset_seconds=clock_offset,
        host_names=host_names,
        balance_usd=balance,
        seed=seed,
        dialect=dialect,
        socket_frames=socket_frames,
        tiny_videos=tiny_videos,
        prompt_markers=prompt_markers,
        refuse_default_user_agents=refuse_default_user_agents,
        callback_hosts=callback_hosts,
    )

    def announce(urls: dict[str, str]) -> None:
        click.echo(json.dumps(urls) if announce_json else _welcome(settings, urls))

    parent = Parent() if ends_with_parent else None
    with tempfile.TemporaryDirectory(prefix="wiro-emulator-") as folder:
        try:
            serve(
                settings,
                Listening(host, port, files_host, files_port, second_files_port),
                state_path or Path(folder) / "state.db",
                model_files=model_files,
                fault_rates=dict(fault_rates),
                world_rates=dict(world_rates),
                parent=parent,
                announce=announce,
            )
        except (ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
                raise click.ClickException(
                    f"Port {port} or {files_port} is in use. Choose others with --port and "
                    "--files-port; 0 takes any."
                ) from error
            raise click.ClickException(str(error)) from error
    # Otherwise the parent does so: it may want to start the emulator again before.
    if remove_state and state_path is not None and parent is not None and parent.is_gone:
        remove(state_path)


def _welcome(settings: Settings, urls: dict[str, str]) -> str:
    variables = {
        "WIRO_BASE_URL": urls["base_url"],
        "WIRO_CDN_HOSTS": urls["cdn_host"],
        "WIRO_WEBSOCKET_URL": urls["websocket_url"],
    }
    if settings.api_key == EMULATOR_API_KEY:
        variables["WIRO_API_KEY"] = EMULATOR_API_KEY
    if settings.api_secret == EMULATOR_API_SECRET and not settings.is_key_only:
        variables["WIRO_API_SECRET"] = EMULATOR_API_SECRET
    return "\n".join(
        [
            "An emulator of the Wiro API: nothing is generated, nothing is charged.",
            f"Watch it at {urls['start_page_url']}. To use it, paste this into another shell:",
            *(f"  export {name}={value}" for name, value in variables.items()),
            "Ctrl-C ends it.",
        ]
    )
