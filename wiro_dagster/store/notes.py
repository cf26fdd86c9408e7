"""Notes: small JSON objects that a store keeps beside its files, under `.wiro/notes/`.

They are evidence outside the ledger: if the ledger is lost, they still say what was bought. A note
that cannot be read must never stop anything: it is treated as missing, and the log names it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from wiro_dagster.errors import StoreError
from wiro_dagster.store.keys import check_key

_log = logging.getLogger(__name__)

NOTES_FOLDER = ".wiro/notes"
MAX_NOTE_BYTES = 64 * 1024
_SUFFIX = ".json"


def note_path(name: str) -> str:
    """Return where a note is, relative to its store.

    Raises:
        StoreError: the name is not safe on every system.
    """
    return f"{NOTES_FOLDER}/{check_key(name + _SUFFIX)}"


def note_name(path: str) -> str | None:
    """Return the name of the note at a path below the notes folder; None for other files."""
    name = path.removesuffix(_SUFFIX)
    if name == path or any(part.startswith(".") for part in path.split("/")):
        return None
    return name


def encode_note(name: str, content: Mapping[str, Any]) -> bytes:
    """Return a note as bytes.

    Raises:
        StoreError: it is too large.
    """
    encoded = json.dumps(dict(content), allow_nan=False, sort_keys=True).encode()
    if len(encoded) > MAX_NOTE_BYTES:
        raise StoreError(
            f"The note {name!r} takes {len(encoded)} bytes; {MAX_NOTE_BYTES} are allowed. "
            "Write less into it."
        )
    return encoded


def decode_note(encoded: bytes, uri: str) -> Mapping[str, Any] | None:
    """Return the content of a note; None if it cannot be read, and the log says so.

    Args:
        encoded: the first bytes of the note, one more than allowed at most.
        uri: where it is, for the log.
    """
    content: object = None
    if len(encoded) <= MAX_NOTE_BYTES:
        try:
            content = json.loads(encoded)
        except (ValueError, RecursionError):
            content = None
    if isinstance(content, dict):
        return content
    _log.warning("%s is not a readable note. It is treated as missing; delete or restore it.", uri)
    return None
