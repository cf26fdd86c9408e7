"""Where a ledger's URL points: a relative SQLite path never means the working directory.

The working directory depends on how the process was started. A ledger in another folder is an empty
ledger, and an empty ledger would buy everything again.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from wiro_dagster.errors import ConfigurationError
from wiro_dagster.ledger.database import parse_ledger_url

_RELATIVE_SQLITE = re.compile(r"^(sqlite(?:\+\w+)?:///)(?!/|:memory:|file:|\?|$)(.+)$")
_FILE_NAME = "wiro_ledger.db"


def locate_ledger_url(url: str, folder: Path) -> str:
    """Return a ledger's URL with a relative SQLite path resolved.

    Args:
        url: SQLAlchemy URL.
        folder: what a relative path is relative to; see `ledger_base`.
    """
    found = _RELATIVE_SQLITE.match(url)
    if found is None:
        return url
    return f"{found[1]}{folder.absolute() / found[2]}"


def absolute_ledger_url(url: str | Path) -> str:
    """Return the URL that a resource in Python names; a relative path starts at DAGSTER_HOME.

    Args:
        url: SQLAlchemy URL, or the path of a SQLite file.

    Raises:
        ConfigurationError: the path is relative and DAGSTER_HOME is not set, or the URL cannot be
            used.
    """
    text = f"sqlite:///{url}" if isinstance(url, Path) else url
    home = os.environ.get("DAGSTER_HOME")
    if home:
        text = locate_ledger_url(text, Path(home))
    elif _RELATIVE_SQLITE.match(text):
        raise ConfigurationError(
            f"The ledger's path in {text} is relative, and processes start in different folders. "
            'Write an absolute path, such as Path(__file__).with_name("ledger.db"), or set '
            "DAGSTER_HOME, where a relative path starts."
        )
    parse_ledger_url(text)
    return text


def ledger_base(folder: Path) -> Path:
    """Return what a relative path from the environment is relative to: DAGSTER_HOME if it is set.

    Args:
        folder: the project's folder, which is used otherwise.
    """
    return Path(os.environ.get("DAGSTER_HOME") or folder).absolute()


def default_ledger_url(folder: Path) -> str:
    """Return where the ledger is by default: under DAGSTER_HOME, else in the project's `.wiro`.

    Args:
        folder: the project's folder.
    """
    home = os.environ.get("DAGSTER_HOME")
    path = Path(home) / _FILE_NAME if home else folder / ".wiro" / "ledger.db"
    return f"sqlite:///{path.absolute()}"
