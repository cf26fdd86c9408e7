"""`wiro-dagster webhook`: receive Wiro's callbacks, so that ends are seen at once."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress

import click

from wiro_dagster.cli.ledger_option import describe_ledger, ledger_option, open_ledger
from wiro_dagster.webhook import WebhookApp

_PORT = 8380
_VARIABLE = "WIRO_CALLBACK_BASE_URL"
_MOST_CONNECTIONS = 256
_STOP_SECONDS = 2


@click.command("webhook")
@ledger_option
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all."
)
@click.option("--port", type=click.IntRange(1, 65535), default=_PORT, show_default=True)
@click.option("--path", default="/", show_default=True, help="Answer below this path only.")
def webhook(url: str | None, host: str, port: int, path: str) -> None:
    """Receive Wiro's callbacks until Ctrl-C, so that the end of a task is seen at once.

    A call only makes the next look at its task due; nothing that it says is believed. Give the
    address by which Wiro reaches this receiver to the project as WIRO_CALLBACK_BASE_URL, or to the
    account as callback_base_url.
    """
    import uvicorn

    for number in (signal.SIGINT, signal.SIGTERM):
        # A shell script may have started us in the background, with Ctrl-C ignored.
        signal.signal(number, signal.default_int_handler)
    place = f"/{path.strip('/')}".rstrip("/")
    listener = _listen(host, port)
    app = WebhookApp(open_ledger(url), path=place)
    config = uvicorn.Config(
        app,
        http="h11",  # it bounds the size of headers
        ws="none",
        lifespan="on",
        access_log=False,  # paths have markers
        log_level="error",
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_STOP_SECONDS,
        server_header=False,
    )
    click.echo(describe_ledger(url))
    click.echo(f"Wiro's callbacks are received at http://{host}:{port}{place}. Ctrl-C ends it.")
    click.echo(_describe_public_url(place))
    with suppress(KeyboardInterrupt), listener:
        uvicorn.Server(config).run([listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        reason = error.strerror or str(error)
        raise click.ClickException(
            f"Cannot listen on {host}:{port}: {reason}. Choose others with --host and --port."
        ) from error


def _describe_public_url(place: str) -> str:
    public = os.environ.get(_VARIABLE)
    if public:
        return f"Runs carry {public}: forward that to this address."
    return (
        "To make new runs call it, set its public address where Dagster runs: "
        f"{_VARIABLE}=https://YOUR-HOST{place or '/'}"
    )
