"""Reads the body of a call, whichever way it was sent."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from wiro_dagster.emulator.refusals import INVALID_BODY, Refused
from wiro_dagster.emulator.uploads import SentFile


async def read_fields(request: Request) -> dict[str, Any]:
    """Return the fields of a JSON object or a multipart form; files as SentFile.

    Raises:
        Refused: the body is neither.
    """
    content_type = request.headers.get("content-type", "")
    # One of the documents' examples says multipart over a JSON body, without a boundary.
    if content_type.startswith("multipart/form-data") and "boundary=" in content_type:
        return await _read_form(request)
    body = await request.body()
    if not body.strip():
        return {}
    try:
        fields = json.loads(body)
    except ValueError:
        raise Refused(INVALID_BODY) from None
    if not isinstance(fields, dict):
        raise Refused(INVALID_BODY)
    return fields


async def _read_form(request: Request) -> dict[str, Any]:
    try:
        form = await request.form()
    except (MultiPartException, ValueError):
        raise Refused(INVALID_BODY) from None
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        item = _sent_file(value) if isinstance(value, UploadFile) else value
        if name not in fields:
            fields[name] = item
        elif isinstance(fields[name], list):
            fields[name].append(item)
        else:
            fields[name] = [fields[name], item]
    return fields


def _sent_file(part: UploadFile) -> SentFile:
    name = part.filename or ""
    guessed, _ = mimetypes.guess_type(name)
    return SentFile(
        name=name,
        content_type=part.content_type or guessed or "application/octet-stream",
        size_bytes=part.size or 0,
        stream=part.file,
    )


def describe(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields as they can be written down: files by name and size."""

    def plain(value: Any) -> Any:
        if isinstance(value, SentFile):
            return f"<file {value.name}, {value.size_bytes} bytes>"
        return [plain(item) for item in value] if isinstance(value, list) else value

    return {name: plain(value) for name, value in fields.items()}
