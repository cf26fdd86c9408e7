"""Where a ledger's URL points: a relative SQLite path never means the working directory.

The working directory depends on how the process was started. A ledger in another folder is an empty
ledger, and an empty ledger would buy everything again.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

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
