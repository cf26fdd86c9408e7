"""One prompt: what is asked of which model, and the fingerprint that it is paid for under."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from wiro_dagster.catalogue import AssetFileInput, LocalFileInput, StoredFileInput
from wiro_dagster.catalogue.signed_urls import without_signatures
from wiro_dagster.catalogue.values import number_text

FINGERPRINT_VERSION = 1


@dataclass(frozen=True)
class Prompt:
    """One video to be made.

    Args:
        id: the partition key.
        model_slug: `owner/model`.
        inputs: as they go over the wire, the prompt's text among them; a file is a
            `FileInput`, several values are a tuple. Read-only.
        take: counts the videos wanted of the same inputs, from 1.
        takes: how many are wanted at once, `take` and those after it. The fingerprint is that of
            the first: more takes do not make a video out of date.
        priority: higher goes first; `None` leaves it to the collection. Not in the fingerprint.
        prompt_input: the input that carries the text; `None` if the model takes none.
        wiro_defaults: the inputs that only Wiro stated. They are sent, but are not part of the
            fingerprint: if Wiro changes a default, that alone must not order everything again.
    """

    id: str
    model_slug: str
    inputs: Mapping[str, Any] = field(hash=False)
    take: int = 1
    prompt_input: str | None = field(default="prompt", compare=False)
    wiro_defaults: frozenset[str] = field(default=frozenset(), compare=False)
    takes: int = 1
    priority: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Make the inputs read-only."""
        object.__setattr__(self, "inputs", MappingProxyType(dict(self.inputs)))

    @property
    def text(self) -> str:
        """The prompt's text; empty if the model takes none."""
        return "" if self.prompt_input is None else str(self.inputs.get(self.prompt_input, ""))

    @property
    def fingerprint(self) -> str:
        """64 hex digits, equal for what would be the same video: see `fingerprint_of`."""
        stated = {n: v for n, v in self.inputs.items() if n not in self.wiro_defaults}
        return fingerprint_of(self.model_slug, stated, self.take)

    def list_takes(self) -> list[Prompt]:
        """Return a prompt for each take."""
        numbers = range(self.take, self.take + self.takes)
        return [replace(self, take=number, takes=1) for number in numbers]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the inputs as a dict: read-only mappings cannot be pickled."""
        inputs = dict(self.inputs)
        others = self.take, self.prompt_input, self.wiro_defaults, self.takes, self.priority
        return Prompt, (self.id, self.model_slug, inputs, *others)


def fingerprint_of(model_slug: str, inputs: Mapping[str, Any], take: int = 1) -> str:
    """Return the sha256 of a run's canonical JSON, as 64 hex digits.

    The JSON is ASCII without blanks, keys sorted by code point:
    `{"inputs":{…},"model":"owner/model","take":1,"version":1}`. Each scalar is its text on the
    wire (`6`, `6.0` and "6" are "6"; true is "true"), a file is `{"sha256":"…"}` wherever it is,
    several values are a list in their order.

    Some differences do not count as a change: line ends, blanks at the ends of lines, Unicode
    forms of one character, and in URLs the signature and its expiry. The prompt's id is not part
    of it either, so that a renamed prompt finds the video that is owned.
    """
    canonical = {
        "version": FINGERPRINT_VERSION,
        "model": model_slug,
        "inputs": {name: _canonical(value) for name, value in inputs.items()},
        "take": take,
    }
    text = json.dumps(canonical, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _canonical(value: Any) -> Any:
    if isinstance(value, AssetFileInput):
        return {"asset": value.asset, "partition": value.partition}  # until it is looked up
    if isinstance(value, (LocalFileInput, StoredFileInput)):
        return {"sha256": value.sha256}
    if isinstance(value, (tuple, list)):
        return [_canonical(item) for item in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return number_text(Decimal(repr(value)))
    return _plain(without_signatures(str(value)))


def _plain(text: str) -> str:
    lines = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line.rstrip() for line in lines).strip()
