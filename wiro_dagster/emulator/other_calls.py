"""The calls about models and files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wiro_dagster.emulator.refusals import (
    MODEL_NOT_ACCESSIBLE,
    MODEL_NOT_FOUND,
    Refused,
    files_required,
    parameter_required,
)
from wiro_dagster.emulator.service import Service
from wiro_dagster.emulator.task_calls import whole_number
from wiro_dagster.emulator.uploads import SentFile
from wiro_dagster.emulator.wire import number, show_model, show_upload

_DEFAULT_LIMIT = 20
_LARGEST_LIMIT = 100


def show_tool(
    service: Service, fields: Mapping[str, Any], now: float, _account: str
) -> dict[str, Any]:
    """Carry out ``/Tool/Detail``."""
    for name in ("slugowner", "slugproject"):
        if not fields.get(name):
            raise Refused(parameter_required(name))
    model = service.models.at(now).find(f"{fields['slugowner']}/{fields['slugproject']}")
    if model is None:
        raise Refused(MODEL_NOT_FOUND)
    if model.entry.get("access") == "private":
        raise Refused(MODEL_NOT_ACCESSIBLE)
    shown = show_model(
        model, dialect=service.settings.dialect, is_summary=fields.get("summary") is True
    )
    return {"tool": [shown]}


def list_tools(
    service: Service, fields: Mapping[str, Any], now: float, _account: str
) -> dict[str, Any]:
    """Carry out ``/Tool/List``."""
    found = [
        model
        for model in service.models.at(now).search(fields)
        if model.entry.get("access") != "private"
    ]
    start = whole_number(fields.get("start"), 0)
    limit = min(_LARGEST_LIMIT, whole_number(fields.get("limit"), _DEFAULT_LIMIT))
    is_summary = fields.get("summary") in (True, "true")
    return {
        "total": number(len(found), service.settings.dialect),
        "tool": [
            show_model(model, dialect=service.settings.dialect, is_summary=is_summary)
            for model in found[start : start + limit]
        ],
    }


def create_folder(
    service: Service, fields: Mapping[str, Any], now: float, _account: str
) -> dict[str, Any]:
    """Carry out ``/File/FolderCreate``."""
    folder = service.uploads.create_folder(
        fields.get("name"), fields.get("parentid"), service.stated(now)
    )
    return {"list": [folder]}


def upload_file(
    service: Service, fields: Mapping[str, Any], now: float, _account: str
) -> dict[str, Any]:
    """Carry out ``/File/Upload``."""
    sent = fields.get("file")
    if not isinstance(sent, SentFile) or not sent.name:
        raise Refused(files_required("file"))
    folder_id = str(fields["folderid"]) if fields.get("folderid") else None
    upload = service.uploads.add(sent, now=now, folder_id=folder_id)
    return {"list": [show_upload(upload, service.display)]}
