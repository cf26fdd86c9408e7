"""Schemas from what Wiro says of a model in Tool/Detail."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from wiro_dagster.api.models import read_model
from wiro_dagster.catalogue import ModelSchema, schema_from_model_detail

SLUG = "acme/model"


def schema_from_wire(*items: dict[str, Any], categories: list[str] | None = None) -> ModelSchema:
    """A schema from parameters as they stand in Wiro's JSON."""
    fields = {"parameters": [{"title": "Inputs", "items": list(items)}], "categories": categories}
    return schema_from_model_detail(read_model(SLUG, fields))


def test_all_seven_types_become_inputs() -> None:
    """Every documented parameter type is understood, in its group's order."""
    kinds = ["text", "textarea", "select", "range", "fileinput", "multifileinput"]
    kinds.append("combinefileinput")
    schema = schema_from_wire(*({"id": f"the_{kind}", "type": kind} for kind in kinds))
    assert schema.inputs is not None
    assert [spec.type for spec in schema.inputs] == kinds
    assert [spec.is_file for spec in schema.inputs] == [False] * 4 + [True] * 3
    assert "the_fileinputUrl" in schema.names
    assert "the_combinefileinputUrl" not in schema.names
    assert schema.notes == ()


@pytest.mark.parametrize("spelling", [True, "true", 1, "1"])
def test_required_counts_in_every_spelling(spelling: object) -> None:
    """Wiro writes required as a truth, a word or a number."""
    schema = schema_from_wire({"id": "seed", "type": "text", "required": spelling})
    assert schema.validate({})[1] == ("seed: required, and not given. It must not be empty.",)


def test_options_and_ranges_are_kept() -> None:
    """Numbers as text, and options that are numbers, are the same as in the documents."""
    schema = schema_from_wire(
        {"id": "size", "type": "select", "default": 2, "options": [{"label": "Two", "value": 2}]},
        {"id": "scale", "type": "range", "min": "0.5", "max": 4, "step": "0.5", "default": "1.0"},
    )
    assert schema.inputs is not None
    assert schema.inputs[1].minimum == Decimal("0.5")
    assert schema.validate({}) == ({"size": "2", "scale": 1}, ())


def test_null_parameters_cannot_be_validated_and_the_schema_says_so() -> None:
    """Nothing is refused, and a note tells the user why."""
    schema = schema_from_model_detail(read_model(SLUG, {"parameters": None}))
    assert schema.inputs is None
    assert "cannot be validated" in schema.notes[0]
    assert schema.validate({"anything": "goes"}) == ({"anything": "goes"}, ())


def test_no_parameters_at_all_take_no_inputs() -> None:
    """An empty list is a statement; null is none."""
    schema = schema_from_model_detail(read_model(SLUG, {"parameters": []}))
    assert schema.validate({"x": 1})[1] == ("x: acme/model has no such input. It takes no inputs.",)


def test_what_wiro_states_wrongly_is_left_out_and_noted() -> None:
    """A wrong default, crossed bounds or a second input of one name do not stop a run."""
    schema = schema_from_wire(
        {"id": "style", "type": "select", "default": "1", "options": [{"value": "old"}]},
        {"id": "scale", "type": "range", "min": 9, "max": 1, "step": 0},
        {"id": "style", "type": "text"},
        {"id": "odd", "type": "hologram"},
    )
    assert schema.validate({"scale": 100, "odd": "x"})[1] == ()
    assert len(schema.notes) == 4
    for name, note in zip(("style", "scale", "style", "odd"), schema.notes, strict=True):
        assert note.startswith(name)


def test_a_default_of_a_file_is_an_example_and_is_not_sent() -> None:
    """Nobody asked for a video of Wiro's sample image."""
    schema = schema_from_wire(
        {"id": "image", "type": "fileinput", "default": "https://e.org/sample.jpg"}
    )
    assert schema.validate({}) == ({}, ())


def test_a_url_listed_as_an_input_of_its_own_is_part_of_the_file_input() -> None:
    """Some models list `image` and `imageUrl`; both are one choice."""
    schema = schema_from_wire(
        {"id": "image", "type": "fileinput", "required": True},
        {"id": "imageUrl", "type": "text", "required": True},
    )
    url = "https://e.org/a.jpg"
    assert schema.validate({"imageUrl": url}) == ({"imageUrl": url}, ())


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([("negativePrompt", "textarea"), ("prompt", "textarea")], "prompt"),
        ([("negative_prompt", "textarea"), ("inputPrompt", "textarea")], "inputPrompt"),
        ([("lyrics", "textarea", True), ("style", "text", True)], "lyrics"),
        ([("first", "textarea", True), ("second", "textarea", True)], None),
        ([("negativePrompt", "textarea")], None),
        ([("prompt", "fileinput")], None),
        ([], None),
    ],
)
def test_the_prompt_input_is_found(items: list[tuple[Any, ...]], expected: str | None) -> None:
    """It is the one called prompt, or the only text that must be there."""
    schema = schema_from_wire(*({"id": i[0], "type": i[1], "required": len(i) > 2} for i in items))
    assert schema.prompt_input == expected


@pytest.mark.parametrize(
    ("categories", "kind"),
    [
        (["tool", "image-to-video"], "video"),
        (["video-to-audio"], "audio"),
        (["text-to-image", "partner"], "image"),
        (["text-to-speech"], "audio"),
        (["speech-to-text"], "text"),
        (["llm"], "text"),
        (["tool"], None),
        ([], None),
    ],
)
def test_categories_tell_what_is_made(categories: list[str], kind: str | None) -> None:
    """What a model makes stands after its `-to-`; what it takes does not count."""
    assert schema_from_wire(categories=categories).output_kind == kind
