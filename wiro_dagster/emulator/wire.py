"""Puts answers on the wire: the envelope, numbers and times, and models and uploads.

The `alternate` dialect takes the other side of each contradiction between the documents: numbers
as numbers, objects as JSON strings, refusals with their own HTTP statuses, bare error strings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from wiro_dagster.emulator.catalogue import Model
from wiro_dagster.emulator.refusals import TASK_NOT_FOUND, TASK_NOT_FOUND_LIVE, Refusal
from wiro_dagster.emulator.settings import Dialect
from wiro_dagster.emulator.uploads import Upload
from wiro_dagster.emulator.worlds.overrides import Override, apply_fields

_ALTERNATE_STATUS = {0: 400, 1: 404}


@dataclass(frozen=True)
class Display:
    """How one emulator writes what it shows.

    Args:
        dialect: which side of the documents' contradictions it takes.
        files_url: where outputs and uploads are served, without a trailing slash.
        clock_offset_seconds: how far the times that it states are ahead of its own clock.
    """

    dialect: Dialect
    files_url: str
    clock_offset_seconds: float = 0.0


def accepted(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the envelope of a call that was carried out."""
    return {"result": True, "errors": [], **fields, "servedby": "wiro-dagster emulator"}


def refused(refusal: Refusal, dialect: Dialect) -> tuple[int, dict[str, Any]]:
    """Return HTTP status and envelope of a refusal."""
    if dialect == "alternate":
        if refusal == TASK_NOT_FOUND:
            refusal = TASK_NOT_FOUND_LIVE
        status = refusal.http_status
        if status == 200:
            status = _ALTERNATE_STATUS.get(refusal.code, 200)
        # Some entries are bare strings: validation texts, which need no code to be understood.
        errors: list[Any] = (
            [refusal.message]
            if refusal.code == 0
            else [{"code": refusal.code, "message": refusal.message}]
        )
        return status, {"result": False, "errors": errors}
    error = {"code": refusal.code, "message": refusal.message}
    return refusal.http_status, {"result": False, "errors": [error]}


def number(value: Decimal | int, dialect: Dialect) -> str | int | float:
    """Return a number as this dialect writes it."""
    if dialect == "documents":
        return str(value)
    return int(value) if value == int(value) else float(value)


def stated_time(at: float | None, display: Display) -> str | int | float:
    """Return a time in unix seconds, as the service's clock has it; 0 for no time."""
    stated = 0 if at is None else int(at + display.clock_offset_seconds)
    return number(stated, display.dialect)


def money(amount: Decimal, dialect: Dialect) -> str | float:
    """Return an amount in USD as this dialect writes it."""
    if dialect == "alternate":
        return float(amount)
    return f"{amount:.12f}" if amount else "0"


def show_model(model: Model, *, dialect: Dialect, is_summary: bool) -> dict[str, Any]:
    """Return a model as Tool/Detail and, shorter, Tool/List show it."""
    entry = model.entry
    shown = {
        "id": model.number,
        "title": model.title,
        "slugowner": model.owner,
        "slugproject": model.project,
        "cleanslugowner": model.owner,
        "cleanslugproject": model.project,
        "description": entry.get("description", ""),
        "categories": list(model.categories),
        "tags": [],
        "marketplace": 1,
        "computingtime": entry.get("computingtime"),
        "approximatelycost": entry.get("approximatelycost"),
        "cps": entry.get("cps"),
        "dynamicprice": _show_prices(entry, dialect),
        "taskstat": {"runcount": "0", "successcount": "0", "errorcount": "0"},
    }
    if not is_summary:
        parameters = entry.get("parameters")
        is_text = dialect == "alternate" and parameters is not None
        shown["parameters"] = json.dumps(parameters) if is_text else parameters
        shown["readme"] = entry.get("description", "")
        shown["inspire"] = []
        shown["samples"] = []
    return apply_fields(shown, Override(fields=entry.get("shown") or {}))


def _show_prices(entry: Mapping[str, Any], dialect: Dialect) -> Any:
    prices = entry.get("dynamicprice")
    as_list = bool(entry.get("price_as_list")) != (dialect == "alternate")
    return json.dumps(prices) if isinstance(prices, list) and not as_list else prices


def show_upload(upload: Upload, display: Display) -> dict[str, Any]:
    """Return a kept file as File/Upload shows it."""
    return {
        "id": upload.id,
        "name": upload.name,
        "contenttype": upload.content_type,
        "parentid": upload.folder_id or "root",
        "size": number(upload.size_bytes, display.dialect),
        "isfolder": False,
        "addedtime": stated_time(upload.added_at, display),
        "accesskey": upload.id[:16],
        "url": f"{display.files_url}{upload.url_path()}",
    }
