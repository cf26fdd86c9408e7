"""`wiro-dagster serve`: show a video store to browsers of this machine."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from pathlib import Path

import click

from wiro_dagster.cli.project import VIDEO_PORT, is_free
from wiro_dagster.gallery.server import serve_folder, serve_store


@click.command()
@click.argument("store", required=False)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=VIDEO_PORT,
    show_default=True,
    help="Keep it: the links in Dagster name it.",
)
def serve(store: str | None, port: int) -> None:
    """Show the videos of a folder or a bucket to browsers of this machine, until Ctrl-C.

    STORE is a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix; by default
    WIRO_VIDEO_STORE, else the folder videos. Videos can be played and sought in; other machines get
    no answer.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        # A shell script may have started us in the background, with Ctrl-C ignored.
        signal.signal(number, signal.default_int_handler)
    place = store or os.environ.get("WIRO_VIDEO_STORE") or "videos"
    if not is_free(port):
        raise click.ClickException(
            f"Port {port} is in use. Stop what uses it, or choose another: --port {port + 1}"
        )
    if "://" in place:
        from wiro_dagster.resources.places import build_video_store  # loads Dagster

        serving = serve_store(build_video_store(place).get_store(), port=port)
    else:
        serving = serve_folder(Path(place).expanduser(), port=port)
    with serving as url:
        click.echo(f"{place} is shown at {url}. Ctrl-C ends it.")
        click.echo(f"Gallery, once it is materialized: {url}/gallery.html")
        click.echo(
            "For links in Dagster that play, give the video store this address: "
            f'base_url="{url}", or set WIRO_VIDEO_BASE_URL={url}'
        )
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
