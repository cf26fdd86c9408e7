"""What a finished task is billed, by every price method of the service."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from wiro_dagster.emulator.catalogue import Model

_PIXELS_A_STEP = 1_048_576
_PICO = Decimal("0.000000000001")


@dataclass(frozen=True)
class Work:
    """What a task did that a price may depend on.

    Args:
        elapsed_seconds: of processing, without the queue.
        output_files: their number.
        output_pixels: of each image it made.
        output_video_seconds: the sum of its videos' lengths.
        input_images: how many came in.
        input_audio_seconds: the sum of its input sounds' lengths.
        prompt_characters: the length of its prompt.
        tokens: read and written.
    """

    elapsed_seconds: Decimal = Decimal(0)
    output_files: int = 0
    output_pixels: tuple[int, ...] = ()
    output_video_seconds: Decimal = Decimal(0)
    input_images: int = 0
    input_audio_seconds: Decimal = Decimal(0)
    prompt_characters: int = 0
    tokens: int = 0


def bill(
    model: Model, inputs: Mapping[str, Any], file_counts: Mapping[str, int], work: Work
) -> Decimal:
    """Return the cost of a successful task in USD, to twelve places.

    Args:
        model: the model that ran.
        inputs: its inputs, defaults included.
        file_counts: how many files were given for each file input.
        work: what it did.
    """
    entry = find_price(model, inputs, file_counts)
    if entry is None:
        rate = model.cost_per_second_usd or Decimal(0)
        return _rounded(rate * work.elapsed_seconds)
    method = str(entry.get("priceMethod", "cpr"))
    return _rounded(_METHODS.get(method, _per_run)(entry, work))


def find_price(
    model: Model, inputs: Mapping[str, Any], file_counts: Mapping[str, int]
) -> Mapping[str, Any] | None:
    """Return the most specific of the entries that apply, or None."""
    fitting = [
        entry
        for entry in model.prices
        if all(
            _fits(wanted, inputs.get(name), file_counts.get(name, 0))
            for name, wanted in (entry.get("inputs") or {}).items()
        )
    ]
    return max(fitting, key=lambda entry: len(entry.get("inputs") or {}), default=None)


def _fits(wanted: Any, given: Any, file_count: int) -> bool:
    text = str(wanted)
    if text.startswith("QUANTITY:"):
        return text == f"QUANTITY:{file_count}"
    return text == str(given)


def _amount(entry: Mapping[str, Any], name: str) -> Decimal:
    return Decimal(str(entry.get(name) or 0))


def _per_run(entry: Mapping[str, Any], _work: Work) -> Decimal:
    return _amount(entry, "price")


def _per_second(entry: Mapping[str, Any], work: Work) -> Decimal:
    return _amount(entry, "price") * work.elapsed_seconds


def _per_output(entry: Mapping[str, Any], work: Work) -> Decimal:
    return _amount(entry, "price") * max(1, work.output_files)


def _per_token(entry: Mapping[str, Any], work: Work) -> Decimal:
    return _amount(entry, "price") * work.tokens


def _per_pixels(entry: Mapping[str, Any], work: Work) -> Decimal:
    total = _amount(entry, "priceInput") * work.input_images
    further = _amount(entry, "priceExtra")
    for pixels in work.output_pixels:
        steps = max(1, math.ceil(pixels / _PIXELS_A_STEP))
        total += _amount(entry, "price") + further * (steps - 1)
    return total


def _per_audio_second(entry: Mapping[str, Any], work: Work) -> Decimal:
    return _amount(entry, "price") * work.input_audio_seconds


def _per_character(entry: Mapping[str, Any], work: Work) -> Decimal:
    return _amount(entry, "price") * work.prompt_characters


def _per_video_second(entry: Mapping[str, Any], work: Work) -> Decimal:
    return _amount(entry, "price") * work.output_video_seconds


_METHODS: Mapping[str, Callable[[Mapping[str, Any], Work], Decimal]] = {
    "cpr": _per_run,
    "cps": _per_second,
    "cpo": _per_output,
    "cpt": _per_token,
    "cp-pixel": _per_pixels,
    "cp-audiosecondslength": _per_audio_second,
    "cp-promptlength": _per_character,
    "cp-outputVideoLength": _per_video_second,
    # Emulated conversations have one turn; what is read out is counted in characters.
    "cp-realtimeturn": _per_run,
    "cp-readoutput": _per_token,
}


def _rounded(amount: Decimal) -> Decimal:
    return amount.quantize(_PICO, rounding=ROUND_HALF_UP)
