"""Catalogue entries as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from wiro_dagster.api.models import read_model
from wiro_dagster.catalogue import (
    Catalogue,
    ModelSchema,
    load_entries,
    load_entry,
    save_entry,
    schema_from_model_detail,
)
from wiro_dagster.errors import InputError

ENTRY = """
slug: acme/slow-pan
output: video
inputs:
  - {id: prompt, type: textarea, required: true}
  - {id: image, type: fileinput}
  - {id: resolution, type: select, default: 768P, options: [768P, 1080P]}
  - {id: duration, type: select, default: 6, options: [{value: 6, label: Six}, 10]}
  - {id: ratio, type: select, options: [16:9, 1:1]}
  - {id: speed, type: range, min: 0.5, max: 2, step: 0.5}
rules:
  - {when: {resolution: 1080P}, allow: {duration: 6}, because: 1080P makes short videos only}
"""


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    path = tmp_path / "slow-pan.yaml"
    path.write_text(ENTRY, encoding="utf-8")
    return path


def test_an_entry_is_a_schema(entry: Path) -> None:
    """Values stay the text that was written: 16:9 is no number of seconds."""
    schema = load_entry(entry)
    assert schema.prompt_input == "prompt"
    assert schema.validate({"prompt": "x", "ratio": "16:9", "speed": 1.5})[1] == ()
    assert schema.validate({"prompt": "x", "resolution": "1080P", "duration": "10"})[1] == (
        "duration: '10' is not allowed with resolution 1080P: 1080P makes short videos only. "
        "Allowed: '6', or change resolution.",
    )


def test_a_project_entry_goes_before_the_package_and_wiro(entry: Path) -> None:
    """What stands in the project is what a person decided on."""
    entry.write_text(ENTRY.replace("acme/slow-pan", "minimax/hailuo-2-3"), encoding="utf-8")
    builtin = Catalogue.builtin()
    catalogue = builtin.with_entries_from(entry.parent)
    assert "speed" in catalogue.get_schema("minimax/hailuo-2-3").names
    assert "speed" not in builtin.get_schema("minimax/hailuo-2-3").names
    assert set(catalogue.slugs) == set(builtin.slugs)


@pytest.mark.parametrize("file_format", ["yaml", "json"])
@pytest.mark.parametrize("slug", Catalogue.builtin().slugs)
def test_a_saved_schema_is_the_same_when_read_again(
    tmp_path: Path, slug: str, file_format: str
) -> None:
    """Saving and loading loses nothing, in either format."""
    schema = Catalogue.builtin().get_schema(slug)
    path = save_entry(schema, tmp_path / "models", file_format=file_format)  # type: ignore[arg-type]
    assert path.name == f"{slug.replace('/', '__')}.{file_format}"
    (read,) = load_entries(tmp_path / "models")
    assert (read.hash, read.title, read.output_kind) == (
        schema.hash,
        schema.title,
        schema.output_kind,
    )
    assert read.inputs == schema.inputs


def test_a_model_of_wiro_can_be_saved_with_whatever_it_states(tmp_path: Path) -> None:
    """Odd types, null parameters and odd defaults survive, as far as they count."""
    items = [
        {"id": "a", "type": "hologram"},
        {"id": "b", "type": "range", "min": "0.10", "max": 2, "step": 0.1, "default": "1"},
        {"id": "c", "type": "select", "default": "z", "options": [{"value": "y", "label": "Y"}]},
        {"id": "d", "type": "text", "default": "null", "note": "off: # not a comment"},
    ]
    fields = {"parameters": [{"title": "", "items": items}]}
    schema = schema_from_model_detail(read_model("acme/odd", fields))
    read = load_entry(save_entry(schema, tmp_path))
    assert (
        read.validate({"a": 1}) == schema.validate({"a": 1}) == ({"a": 1, "b": 1, "d": "null"}, ())
    )
    mystery = ModelSchema("acme/mystery", None, "prompt")
    assert load_entry(save_entry(mystery, tmp_path)).inputs is None


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("slug: acme/slow-pan", "", "slug: this key is missing"),
        ("acme/slow-pan", "Acme/Slow-Pan", "not a lower-case owner/model"),
        ("output: video", "output: films", "output: Input should be 'video'"),
        ("output: video", "outputs: video", "outputs: there is no such key"),
        ("type: textarea", "type: textaera", "inputs.1.type: write one of 'any'"),
        ("default: 768P", "default: 4K", "resolution has the default '4K'"),
        ("{id: image,", "{id: prompt,", "prompt is listed twice"),
        ("when: {resolution:", "when: {resolutoin:", "no input 'resolutoin'"),
        ("output: video", "prompt: text", "no input 'text'"),
        ("output: video", "output: [", "line"),
    ],
)
def test_a_wrong_entry_names_file_and_field(entry: Path, old: str, new: str, reason: str) -> None:
    """Messages say where to look."""
    entry.write_text(ENTRY.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=r"slow-pan\.yaml") as caught:
        load_entry(entry)
    assert reason in str(caught.value)


def test_an_entry_that_is_no_mapping_is_refused(entry: Path) -> None:
    """A list is not an entry."""
    entry.write_text("- a\n- b\n", encoding="utf-8")
    with pytest.raises(InputError, match="keys and values are needed"):
        load_entry(entry)


def test_two_entries_for_one_model_are_refused(entry: Path) -> None:
    """Neither silently wins."""
    (entry.parent / "copy.yml").write_text(ENTRY, encoding="utf-8")
    with pytest.raises(InputError, match="another file here is for acme/slow-pan"):
        load_entries(entry.parent)


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    """A typing error in the folder's name does not look like an empty catalogue."""
    with pytest.raises(InputError, match="there is no folder"):
        Catalogue.builtin().with_entries_from(tmp_path / "nope")
