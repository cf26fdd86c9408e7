"""Bodies of requests, sent piece by piece: JSON, and multipart with files streamed from disk."""

from __future__ import annotations

import errno
import json
import mimetypes
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from urllib3.fields import RequestField
from urllib3.filepost import choose_boundary

from wiro_dagster.api.types import LocalFile
from wiro_dagster.errors import InputError

LARGEST_FILE_BYTES = 100_000_000
"""Wiro takes files of 100 MB at most."""

_PIECE_BYTES = 256 * 1024


class Body(ABC):
    """What a request sends. It can be iterated again for another attempt.

    `requests` takes its length for Content-Length and sends its pieces one by one.
    """

    content_type: str

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of bytes."""

    @abstractmethod
    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes, from the first one on."""


class JsonBody(Body):
    """One JSON object.

    Raises:
        InputError: a value has no form in JSON.
    """

    content_type = "application/json"

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._content = b"{" + b", ".join(_encode_field(*item) for item in fields.items()) + b"}"

    def __len__(self) -> int:
        """Return the number of bytes."""
        return len(self._content)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes."""
        yield self._content


def _encode_field(name: str, value: Any) -> bytes:
    try:
        return f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}".encode()
    except (TypeError, ValueError, RecursionError):
        raise InputError(f"{name}: a {type(value).__name__} cannot be sent as JSON") from None


@dataclass(frozen=True, slots=True)
class _Part:
    head: bytes
    content: bytes | Path
    size_bytes: int


class MultipartBody(Body):
    """A form with files, read from disk while it is sent.

    Args:
        fields: a list becomes one part for each of its items.

    Raises:
        InputError: a file cannot be read or is too large, or a value has no form as text.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        boundary = choose_boundary()
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._end = f"--{boundary}--\r\n".encode()
        self._parts = tuple(_build_parts(fields, f"--{boundary}\r\n"))
        framing_bytes = sum(len(part.head) + len(b"\r\n") for part in self._parts)
        files_bytes = sum(part.size_bytes for part in self._parts)
        self._size_bytes = framing_bytes + files_bytes + len(self._end)

    def __len__(self) -> int:
        """Return the number of bytes."""
        return self._size_bytes

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes."""
        for part in self._parts:
            yield part.head
            if isinstance(part.content, bytes):
                yield part.content
            else:
                yield from _read_file(part.content, part.size_bytes)
            yield b"\r\n"
        yield self._end


def has_local_file(value: Any) -> bool:
    """Return whether an input is a local file, or a list that holds one."""
    if isinstance(value, (list, tuple)):
        return any(has_local_file(item) for item in value)
    return isinstance(value, LocalFile)


def build_body(fields: Mapping[str, Any]) -> Body:
    """Return the body for inputs: JSON, or multipart if a local file is among them.

    Raises:
        InputError: an input cannot be sent.
    """
    if any(has_local_file(value) for value in fields.values()):
        return MultipartBody(fields)
    return JsonBody(fields)


def _build_parts(fields: Mapping[str, Any], boundary_line: str) -> Iterable[_Part]:
    for name, value in fields.items():
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(item, LocalFile):
                yield _build_file_part(name, item, boundary_line)
            else:
                yield _build_text_part(name, item, boundary_line)


def _build_text_part(name: str, value: Any, boundary_line: str) -> _Part:
    if isinstance(value, bool):
        value = "true" if value else "false"
    if not isinstance(value, (str, int, float)):
        raise InputError(f"{name}: a {type(value).__name__} cannot be sent beside a file")
    try:
        content = str(value).encode()
    except ValueError:
        raise InputError(f"{name}: the text holds half a character (a lone surrogate)") from None
    field = RequestField(name, content)
    field.make_multipart()
    return _Part(_render_head(field, boundary_line), content, len(content))


def _build_file_part(name: str, file: LocalFile, boundary_line: str) -> _Part:
    path = Path(file.path)
    size_bytes = measure_file(name, path)
    guessed = file.content_type or mimetypes.guess_type(path.name)[0]
    field = RequestField(name, b"", filename=path.name)
    field.make_multipart(content_type=guessed or "application/octet-stream")
    return _Part(_render_head(field, boundary_line), path, size_bytes)


def _render_head(field: RequestField, boundary_line: str) -> bytes:
    return (boundary_line + field.render_headers()).encode("utf-8", "replace")


def measure_file(name: str, path: Path) -> int:
    """Return the size in bytes of a file that can be sent.

    Raises:
        InputError: it cannot be read, is empty, or is over 100 MB.
    """
    try:
        with path.open("rb") as file:
            size_bytes = file.seek(0, 2)
    except OSError as error:
        raise InputError(f"{name}: {path} cannot be read ({error.strerror})") from error
    if size_bytes == 0:
        raise InputError(f"{name}: {path} is empty")
    if size_bytes > LARGEST_FILE_BYTES:
        raise InputError(
            f"{name}: {path} has {size_bytes / 1e6:.1f} MB; Wiro takes 100 MB at most. "
            "Make it smaller, or give a URL."
        )
    return size_bytes


def _read_file(path: Path, size_bytes: int) -> Iterator[bytes]:
    """Yield exactly as many bytes as were announced, or fail, so that Wiro never takes a part."""
    remaining = size_bytes
    with path.open("rb") as file:
        while remaining > 0:
            piece = file.read(min(_PIECE_BYTES, remaining))
            if not piece:
                raise OSError(errno.EIO, f"{path.name} became shorter while it was being sent")
            remaining -= len(piece)
            yield piece
