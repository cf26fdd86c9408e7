"""Checks a run's inputs against its model's schema, in the words of the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from wiro_dagster.emulator.catalogue import Input, Model
from wiro_dagster.emulator.refusals import (
    INVALID_BODY,
    Refusal,
    Refused,
    files_required,
    not_a_number,
    not_an_option,
    out_of_range,
    parameter_required,
)
from wiro_dagster.emulator.uploads import SentFile

_URL_STARTS = ("http://", "https://")


def check_inputs(model: Model, sent: Mapping[str, Any]) -> None:
    """Check all inputs; a model without a schema takes anything.

    Args:
        model: the model that shall run.
        sent: the request's fields; a SentFile for each file.

    Raises:
        Refused: the first problem found.
    """
    if model.inputs is None:
        return
    for wanted in model.inputs:
        _CHECKS.get(wanted.type, _check_text)(wanted, sent)
    for rule in model.entry.get("refuse") or ():
        effective = effective_inputs(model, sent)
        if all(effective.get(name) == value for name, value in rule["when"].items()):
            raise Refused(Refusal(0, rule["message"]))


def effective_inputs(model: Model, sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the model works with: the inputs sent, and defaults for the others."""
    effective = {
        wanted.id: wanted.default
        for wanted in model.inputs or ()
        if not _is_empty(wanted.default) and not wanted.type.endswith("fileinput")
    }
    effective.update({name: value for name, value in sent.items() if not _is_empty(value)})
    return effective


def files_of(sent: Mapping[str, Any], input_id: str) -> list[SentFile | str]:
    """Return all files and URLs given for one file input, in order."""
    found: list[SentFile | str] = []
    for name in (input_id, f"{input_id}Url"):
        for value in _as_list(sent.get(name)):
            if isinstance(value, SentFile):
                found.append(value)
            elif isinstance(value, str):
                found.extend(part.strip() for part in value.split(",") if part.strip())
    return found


def _check_text(wanted: Input, sent: Mapping[str, Any]) -> None:
    value = sent.get(wanted.id)
    if _is_empty(value):
        if wanted.is_required and _is_empty(wanted.default):
            raise Refused(parameter_required(wanted.id))
    elif not isinstance(value, str):
        raise Refused(INVALID_BODY)


def _check_select(wanted: Input, sent: Mapping[str, Any]) -> None:
    _check_text(wanted, sent)
    value = sent.get(wanted.id)
    if not _is_empty(value) and wanted.options and value not in wanted.options:
        raise Refused(not_an_option(wanted.id, wanted.options))


def _check_number(wanted: Input, sent: Mapping[str, Any]) -> None:
    value = sent.get(wanted.id)
    if _is_empty(value):
        if wanted.is_required and _is_empty(wanted.default):
            raise Refused(parameter_required(wanted.id))
        return
    number = _as_number(value)
    if number is None:
        raise Refused(not_a_number(wanted.id))
    minimum, maximum = wanted.bound("min"), wanted.bound("max")
    if (minimum is not None and number < minimum) or (maximum is not None and number > maximum):
        raise Refused(out_of_range(wanted.id, minimum, maximum))


def _check_one_file(wanted: Input, sent: Mapping[str, Any]) -> None:
    given, url = sent.get(wanted.id), sent.get(f"{wanted.id}Url")
    # The file goes in one field and a URL in the other, never both.
    if not _is_empty(given) and not isinstance(given, SentFile):
        raise Refused(INVALID_BODY)
    if not _is_empty(given) and not _is_empty(url):
        raise Refused(INVALID_BODY)
    _check_urls(_as_list(url))
    if wanted.is_required and _is_empty(given) and _is_empty(url):
        raise Refused(files_required(wanted.id))


def _check_several_files(wanted: Input, sent: Mapping[str, Any]) -> None:
    given, urls = _as_list(sent.get(wanted.id)), sent.get(f"{wanted.id}Url")
    if not all(isinstance(value, SentFile) or _is_empty(value) for value in given):
        raise Refused(INVALID_BODY)
    if not _is_empty(urls) and not isinstance(urls, str):
        raise Refused(INVALID_BODY)
    _check_urls([part.strip() for part in str(urls or "").split(",")])
    if wanted.is_required and not files_of(sent, wanted.id):
        raise Refused(files_required(wanted.id))


def _check_combined_files(wanted: Input, sent: Mapping[str, Any]) -> None:
    given = _as_list(sent.get(wanted.id))
    _check_urls([value for value in given if not isinstance(value, SentFile)])
    if wanted.is_required and not files_of(sent, wanted.id):
        raise Refused(files_required(wanted.id))


_CHECKS = {
    "text": _check_text,
    "textarea": _check_text,
    "select": _check_select,
    "range": _check_number,
    "fileinput": _check_one_file,
    "multifileinput": _check_several_files,
    "combinefileinput": _check_combined_files,
}


def _check_urls(values: Sequence[Any]) -> None:
    for value in values:
        if not _is_empty(value) and not (isinstance(value, str) and value.startswith(_URL_STARTS)):
            raise Refused(INVALID_BODY)


def _is_empty(value: Any) -> bool:
    if isinstance(value, SentFile):
        # A browser sends an empty part if no file was chosen.
        return not value.name and value.size_bytes == 0
    return value is None or value == "" or value == []


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _as_number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
