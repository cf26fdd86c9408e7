"""Names of stored files: readable, unique, and safe on Linux, macOS, Windows and S3.

Nothing in a name comes from the name that a file had elsewhere.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

from wiro_dagster.errors import StoreError
from wiro_dagster.media import Inspection, MediaKind
from wiro_dagster.media.content_type import ACTIVE_TYPES, essence_of, family_of

_READABLE_BYTES = 80
_KEY_PART_BYTES = 150
_DIGEST_DIGITS = 10
_PLAIN_TASK_ID = re.compile(r"[0-9a-z]{1,12}")
_NOT_ON_EVERY_SYSTEM = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')
_RESERVED_ON_WINDOWS = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", re.IGNORECASE)

_SUFFIXES = {
    "video/mp4": ".mp4",
    "video/webm": ".webm",
    "video/quicktime": ".mov",
    "video/x-matroska": ".mkv",
    "video/x-msvideo": ".avi",
    "image/png": ".png",
    "image/apng": ".png",
    "image/jpeg": ".jpg",
    "image/jpg": ".jpg",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/avif": ".avif",
    "image/bmp": ".bmp",
    "image/tiff": ".tiff",
    "image/svg+xml": ".svg",
    "image/heic": ".heic",
    "image/jxl": ".jxl",
    "video/mp2t": ".ts",
    "video/mpeg": ".mpg",
    "video/ogg": ".ogv",
    "video/x-flv": ".flv",
    "video/x-ms-asf": ".wmv",
    "audio/mpeg": ".mp3",
    "audio/mp3": ".mp3",
    "audio/wav": ".wav",
    "audio/x-wav": ".wav",
    "audio/wave": ".wav",
    "audio/vnd.wave": ".wav",
    "audio/mp4": ".m4a",
    "audio/x-m4a": ".m4a",
    "audio/aac": ".aac",
    "audio/flac": ".flac",
    "audio/x-flac": ".flac",
    "audio/ogg": ".ogg",
    "audio/webm": ".weba",
    "audio/x-matroska": ".mka",
    "audio/aiff": ".aiff",
    "audio/amr": ".amr",
    "audio/x-caf": ".caf",
    "text/plain": ".txt",
    "text/markdown": ".md",
    "text/csv": ".csv",
    "text/vtt": ".vtt",
    "application/x-subrip": ".srt",
    "text/html": ".html",
    "application/xhtml+xml": ".xhtml",
    "application/xml": ".xml",
    "text/xml": ".xml",
    "application/json": ".json",
    "application/pdf": ".pdf",
    "application/zip": ".zip",
    "model/gltf-binary": ".glb",
    "model/gltf+json": ".gltf",
    "model/obj": ".obj",
}

_OCTETS = "application/octet-stream"
_KIND_SUFFIXES: dict[MediaKind, str] = {
    "video": ".mp4",
    "image": ".png",
    "audio": ".mp3",
    "file": ".bin",
}
# Outputs never have such a name: theirs end in a digest and a task.
_OWN_PAGE = re.compile(r"([^/]*_)?gallery\.html")


def output_key(
    partition: str, fingerprint: str, task_id: str, index: int = 0, suffix: str = ""
) -> str:
    """Return the name of one output of one task.

    `sunrise at sea` becomes `sunrise-at-sea-3f9a2b1c44-534574.mp4`: the partition made readable, a
    digest of partition and fingerprint that keeps alike names apart (also where upper and lower
    case are one), the task, and from the second output on its number.

    Args:
        partition: the prompt's partition key, any text.
        fingerprint: of the order.
        task_id: Wiro's id of the task; a long or unusual one is shortened to a digest.
        index: which of the task's outputs, from 0.
        suffix: of the file name, with its dot: see `suffix_for`.

    Returns:
        A name of at most 150 bytes in UTF-8.
    """
    number = f"-{index + 1}" if index else ""
    task = task_id if _PLAIN_TASK_ID.fullmatch(task_id) else "t" + _digest(task_id)
    return f"{_readable(partition)}-{_digest(partition, fingerprint)}-{task}{number}{suffix}"


def suffix_for(content_type: str | None) -> str:
    """Return the file name suffix of a content type, with its dot; empty if the type is unknown."""
    return _SUFFIXES.get(essence_of(content_type), "")


def kept_suffix(content_type: str | None, kind: MediaKind) -> str:
    """Return the suffix of a file that is kept, by what it holds."""
    return suffix_for(content_type) or _KIND_SUFFIXES[kind]


def kept_type(seen: Inspection, announced: str | None) -> str:
    """Return the content type that a file is kept as: what it is, not what it was called.

    It is one that we know, or application/octet-stream.
    """
    kind, essence = seen.facts.kind, essence_of(announced)
    fits = essence in _SUFFIXES and family_of(essence) in (None, kind)
    if kind == "file" and fits and family_of(essence) is None:
        return essence
    return seen.content_type or (essence if fits else _OCTETS)


def served_type(content_type: str | None) -> str:
    """Return a content type that is safe in a header: a known one, or application/octet-stream."""
    essence = essence_of(content_type)
    if essence not in _SUFFIXES:
        return _OCTETS
    return f"{essence}; charset=utf-8" if essence.startswith("text/") else essence


def is_own_page(key: str) -> bool:
    """Tell whether a key is that of a page we wrote: the gallery, whose script may run."""
    return _OWN_PAGE.fullmatch(key) is not None


def is_active(key: str, content_type: str | None) -> bool:
    """Tell whether scripts in a file would run in a browser: it is then served as an attachment.

    They would have the rights of whatever else the store's host serves.
    """
    return essence_of(served_type(content_type)) in ACTIVE_TYPES and not is_own_page(key)


def check_key(key: str) -> str:
    """Make sure that a key names something inside a store, on every system.

    Raises:
        StoreError: the key is absolute, leaves the store, or holds what some system refuses.
    """
    for part in key.split("/"):
        if (
            not part
            or part[0] == "."
            or part[-1] in " ."
            or _NOT_ON_EVERY_SYSTEM.search(part)
            or _RESERVED_ON_WINDOWS.match(part)
            or not _is_text(part)
            or len(part.encode()) > _KEY_PART_BYTES
        ):
            raise StoreError(
                f"{key!r} is not a safe file name. Use a name that output_key() makes."
            )
    return key


def _readable(partition: str) -> str:
    letters = "".join(
        char if char.isalnum() or unicodedata.category(char) in {"Mn", "Mc"} else "-"
        for char in unicodedata.normalize("NFC", partition)
    )
    words = re.sub("-+", "-", letters).strip("-")
    while len(words.encode()) > _READABLE_BYTES:
        words = words[:-1]
    # A mark without a letter before it would join whatever a list shows before the name.
    while words and (words[0] == "-" or unicodedata.category(words[0]).startswith("M")):
        words = words[1:]
    return words.rstrip("-") or "output"


def _digest(*texts: str) -> str:
    hashed = hashlib.sha256()
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        hashed.update(len(encoded).to_bytes(8, "big") + encoded)
    return hashed.hexdigest()[:_DIGEST_DIGITS]


def _is_text(part: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in part)
