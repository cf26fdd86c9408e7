"""What one entry of a price list comes to, for each of Wiro's price methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from wiro_dagster.api.models import PriceEntry
from wiro_dagster.catalogue.values import number_text
from wiro_dagster.pricing.facts import Certainty, RunSize

QuoteKind = Literal["exact", "estimate", "bound", "unknown"]

_PIXELS_A_STEP = 1_048_576


@dataclass(frozen=True, slots=True)
class Price:
    """What one price comes to.

    Args:
        kind: how sure it is.
        amount_usd: the expected cost; `None` under "unknown".
        ceiling_usd: the most it can be; `None` if nothing bounds it.
        note: how it was found, without a full stop.
    """

    kind: QuoteKind
    amount_usd: Decimal | None
    ceiling_usd: Decimal | None
    note: str


def price_of(entry: PriceEntry, size: RunSize) -> Price:
    """Return what a price entry comes to for a run."""
    method = _METHODS.get(entry.method)
    if method is None:
        return unknown(f"{entry.method} is not a price method known here")
    return method(entry, size)


def unknown(note: str) -> Price:
    """Return a price that cannot be known before the run."""
    return Price("unknown", None, None, note)


def per_second(rate_usd: Decimal, size: RunSize) -> Price:
    """Return a price by seconds of processing, or Wiro's own guess if it states no seconds."""
    limit = size.facts.longest_run_seconds
    ceiling = None if limit is None else rate_usd * limit
    seconds = size.model.computing_seconds
    if seconds is not None and seconds > 0:
        amount = rate_usd * Decimal(repr(seconds))
        note = f"{_usd(rate_usd)} a second, for the {seconds:g} s that Wiro expects"
    elif size.model.approximate_cost_usd:
        amount = size.model.approximate_cost_usd
        note = f"Wiro's own guess; billed at {_usd(rate_usd)} a second of processing"
    elif ceiling is not None:
        return Price("bound", ceiling, ceiling, f"{_usd(rate_usd)} a second, for {limit} s at most")
    else:
        return unknown(f"{_usd(rate_usd)} a second of processing, and no time is stated (cps)")
    return Price("estimate", amount, None if ceiling is None else max(amount, ceiling), note)


def _cpr(entry: PriceEntry, _size: RunSize) -> Price:
    return _sure(entry.price, f"{_usd(entry.price)} a run")


def _cps(entry: PriceEntry, size: RunSize) -> Price:
    return per_second(entry.price, size)


def _cpo(entry: PriceEntry, size: RunSize) -> Price:
    count, certainty = size.output_count
    # A run without outputs is billed once.
    amount = entry.price * max(1, count)
    return _counted(amount, certainty, f"{_usd(entry.price)} a file, {count} expected")


def _cp_pixel(entry: PriceEntry, size: RunSize) -> Price:
    if size.output_pixels is None:
        return unknown("billed by output pixels (cp-pixel), and no input states the size")
    pixels, size_certainty = size.output_pixels
    count, count_certainty = size.output_count
    steps = max(1, -(-pixels // _PIXELS_A_STEP))
    further = entry.price if entry.price_extra is None else entry.price_extra
    amount = count * (entry.price + further * (steps - 1))
    amount += (entry.price_input or Decimal(0)) * size.input_image_count
    note = f"{count} x {pixels} pixels in steps of {_PIXELS_A_STEP}"
    if count_certainty == "estimate":
        count_certainty = "exact"  # one image of the size asked for
    certainty = size_certainty if count_certainty == "exact" else count_certainty
    return _counted(amount, certainty, note)


def _cp_audio_seconds(entry: PriceEntry, size: RunSize) -> Price:
    seconds = size.facts.audio_seconds
    if seconds is None:
        return unknown("billed by seconds of input audio (cp-audiosecondslength), not known here")
    return _sure(entry.price * seconds, f"{_usd(entry.price)} a second, {seconds} s of audio")


def _cp_prompt_length(entry: PriceEntry, size: RunSize) -> Price:
    if size.prompt is None:
        return unknown("billed by the prompt's length (cp-promptlength), and there is no prompt")
    # Whether Wiro counts an emoji as one or, like JavaScript, as two is not documented.
    characters, units = len(size.prompt), len(size.prompt.encode("utf-16-le")) // 2
    amount, ceiling = entry.price * characters, entry.price * units
    note = f"{_usd(entry.price)} a character, {characters} of them"
    return Price("exact" if amount == ceiling else "estimate", amount, ceiling, note)


def _cp_video_seconds(entry: PriceEntry, size: RunSize) -> Price:
    seconds = size.output_seconds
    if seconds is None:
        return unknown(
            "billed by seconds of output video (cp-outputVideoLength), and no input states them"
        )
    count, certainty = size.output_count
    amount = entry.price * seconds * count
    note = f"{_usd(entry.price)} a second, {seconds} s asked for"
    return _sure(amount, note) if count == 1 else _counted(amount, certainty, note)


def _tokens(_entry: PriceEntry, _size: RunSize) -> Price:
    return unknown("billed by tokens (cpt), which are counted after the run")


def _after_the_run(entry: PriceEntry, _size: RunSize) -> Price:
    return unknown(f"billed by what happens in the run ({entry.method})")


def _sure(amount: Decimal, note: str) -> Price:
    return Price("exact", amount, amount, note)


def _counted(amount: Decimal, certainty: Certainty, note: str) -> Price:
    if certainty == "unbounded":
        return Price("estimate", amount, None, note)
    return Price(certainty, amount, amount, note)


def _usd(amount: Decimal) -> str:
    return f"{number_text(amount)} USD"


_METHODS: Mapping[str, Callable[[PriceEntry, RunSize], Price]] = {
    "cpr": _cpr,
    "cps": _cps,
    "cpo": _cpo,
    "cpt": _tokens,
    "cp-pixel": _cp_pixel,
    "cp-audiosecondslength": _cp_audio_seconds,
    "cp-promptlength": _cp_prompt_length,
    "cp-outputVideoLength": _cp_video_seconds,
    "cp-realtimeturn": _after_the_run,
    "cp-readoutput": _after_the_run,
}
