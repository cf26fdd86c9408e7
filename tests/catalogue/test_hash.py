"""The hash of a schema: it changes when, and only when, what the model accepts changes."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from wiro_dagster.catalogue import InputOption, InputRule, InputSpec, ModelSchema

RESOLUTION = InputSpec(
    "resolution", "select", default="768P", options=(InputOption("768P"), InputOption("1080P"))
)
STEPS = InputSpec("steps", "range", minimum=Decimal(1), maximum=Decimal(50), step=Decimal(1))
SCHEMA = ModelSchema("acme/model", (RESOLUTION, STEPS), None)


def with_resolution(**changes: Any) -> ModelSchema:
    return replace(SCHEMA, inputs=(replace(RESOLUTION, **changes), STEPS))


@pytest.mark.parametrize(
    "same",
    [
        replace(SCHEMA, title="A title", notes=("a note",), source="page", output_kind="video"),
        with_resolution(label="Resolution", note="How sharp"),
        with_resolution(options=(InputOption("1080P", "Full HD"), InputOption("768P"))),
        replace(SCHEMA, inputs=(STEPS, RESOLUTION)),
        replace(SCHEMA, inputs=(RESOLUTION, replace(STEPS, maximum=Decimal("50.0")))),
    ],
)
def test_what_is_only_shown_does_not_change_the_hash(same: ModelSchema) -> None:
    """Labels, notes, order and spelling of numbers accept the same inputs."""
    assert same.hash == SCHEMA.hash


@pytest.mark.parametrize(
    "other",
    [
        replace(SCHEMA, slug="acme/other"),
        replace(SCHEMA, inputs=None),
        replace(SCHEMA, inputs=(RESOLUTION,)),
        replace(SCHEMA, prompt_input="resolution"),
        replace(SCHEMA, rules=(InputRule((("steps", ("1",)),), (("resolution", ("768P",)),)),)),
        with_resolution(required=True),
        with_resolution(default="1080P"),
        with_resolution(options=(InputOption("768P"),)),
        with_resolution(type="text"),
        replace(SCHEMA, inputs=(RESOLUTION, replace(STEPS, step=Decimal(2)))),
    ],
)
def test_what_is_accepted_changes_the_hash(other: ModelSchema) -> None:
    """Every change that could break a prompt, or alter what it sends, is seen."""
    assert other.hash != SCHEMA.hash


def test_the_hash_is_the_same_in_every_process() -> None:
    """It is kept in a database, so it must not depend on Python's own hashing."""
    assert SCHEMA.hash == "638226129a94326926d6e5655abee1cfdf6e3b850bee9ead28e70a5db26c1557"
