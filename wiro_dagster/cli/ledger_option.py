"""The option `--ledger`, and how commands open the ledger that it names."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from wiro_dagster.cli.project import find_ledger_url
from wiro_dagster.errors import ConfigurationError
from wiro_dagster.ledger import Ledger
from wiro_dagster.ledger.database import parse_ledger_url
from wiro_dagster.resources.ledger_place import ledger_base, locate_ledger_url

_HELP = "SQLAlchemy URL of the ledger. Default: WIRO_LEDGER_URL, else the project's own ledger."

Command = TypeVar("Command", bound=Callable[..., Any])

ledger_option = click.option("--ledger", "url", envvar="WIRO_LEDGER_URL", help=_HELP)


def open_ledger(url: str | None) -> Ledger:
    """Open a ledger that exists already. A command that reads must not leave an empty one behind.

    Args:
        url: as the user gave it; `None` for the project's own.

    Raises:
        ConfigurationError: there is no such ledger, or its URL is not valid.
    """
    located = locate_ledger(url)
    place = parse_ledger_url(located)
    path = place.database
    if place.get_backend_name() == "sqlite" and path and not Path(path).exists():
        raise ConfigurationError(
            f"There is no ledger at {path}. It is created with the first order. To read another "
            "one, give --ledger or set WIRO_LEDGER_URL or DAGSTER_HOME."
        )
    return Ledger(located)


def create_ledger(url: str | None) -> Ledger:
    """Open a ledger, or create it if it does not exist.

    Args:
        url: as the user gave it; `None` for the project's own.
    """
    return Ledger(locate_ledger(url))


def describe_ledger(url: str | None) -> str:
    """Return the line above a table: which ledger it shows, without its password."""
    place = parse_ledger_url(locate_ledger(url))
    return f"Ledger: {place.render_as_string(hide_password=True)}"


def locate_ledger(url: str | None) -> str:
    """Return the URL of the ledger that the user means, or of the project's own."""
    # The project's folder is where the command runs, as with `wiro-dagster dev`.
    return locate_ledger_url(url, ledger_base(Path.cwd())) if url else find_ledger_url()


def with_ledger(command: Command) -> Command:
    """Give a subcommand `--ledger` too, and the opened ledger as its argument `ledger`.

    Its group leaves its own `--ledger` in `context.obj`, so the option works in both places.
    """

    @wraps(command)
    def opened(*args: Any, **options: Any) -> Any:
        url = options.pop("url") or click.get_current_context().obj
        return command(*args, ledger=open_ledger(url), **options)

    return click.option("--ledger", "url", help=_HELP)(opened)  # type: ignore[return-value]
