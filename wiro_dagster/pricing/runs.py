"""The quote of a run by what a catalogue knows of its model."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from wiro_dagster.api.models import ModelDetail
from wiro_dagster.catalogue import Catalogue, LocalFileInput
from wiro_dagster.errors import MediaError
from wiro_dagster.media import probe_media
from wiro_dagster.pricing.facts import RunFacts
from wiro_dagster.pricing.quote import Quote, quote
from wiro_dagster.prompts import list_files

LONGEST_RUN_SECONDS = 3600.0
_AUDIO_METHOD = "cp-audiosecondslength"


def quote_run(
    catalogue: Catalogue,
    model_slug: str,
    inputs: Mapping[str, Any],
    *,
    longest_run_seconds: float = LONGEST_RUN_SECONDS,
) -> Quote:
    """Price a run.

    Args:
        catalogue: finds the model's prices.
        model_slug: the model.
        inputs: as they go over the wire; a `Prompt`'s inputs.
        longest_run_seconds: when a run is stopped.

    Raises:
        ApiError: Wiro must be asked for the price, and cannot be reached.
    """
    detail = catalogue.find_detail(model_slug)
    if detail is None:
        return Quote(None, None, "unknown", None, f"Wiro has no model {model_slug}.")
    facts = RunFacts(
        audio_seconds=_measure_audio(detail, inputs),
        longest_run_seconds=Decimal(repr(longest_run_seconds)),
    )
    return quote(detail, inputs, facts)


def _measure_audio(detail: ModelDetail, inputs: Mapping[str, Any]) -> Decimal | None:
    """The length of a run's input audio, if it is priced by that and all files are local."""
    if not any(entry.method == _AUDIO_METHOD for entry in detail.prices or ()):
        return None
    files = list(list_files(inputs))
    local = [file for file in files if isinstance(file, LocalFileInput)]
    if not files or len(local) < len(files):
        return None
    try:
        lengths = [probe_media(file.path, None).duration_seconds for file in local]
    except (MediaError, OSError):
        return None
    known = [Decimal(repr(length)) for length in lengths if length is not None]
    return sum(known, Decimal(0)) if len(known) == len(files) else None
