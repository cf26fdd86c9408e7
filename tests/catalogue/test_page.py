"""Schemas from a model's saved text page."""

from __future__ import annotations

import pytest

from wiro_dagster.catalogue import schema_from_page
from wiro_dagster.errors import InputError

PAGE = """## Basic model info

Model name: acme/Dream Pan
Model description: Pans slowly. type: nothing special
Model cover: https://cdn.example.org/a.webp
Model categories:
- tool
- image-to-video
Model tags:
- pan
Run Task Endpoint (POST): https://api.wiro.ai/v1/Run/acme/dream-pan
Get Task Detail Endpoint (POST): https://api.wiro.ai/v1/Task/Detail

## Model Inputs:

- name: inputImageUrl
  label: First image
  help: Must be jpeg or png, at most: 10 MB
  type: text
  default:
- name: websiteUrl
  label: Site
  help: Shown at the end
  type: text
  default:
- name: extras
  label: Extras
  help: More images
  type: combinefileinput
  default:
- name: prompt
  label: prompt
  help: prompt-help
  type: textarea
  default: A koala: it waves. Keep the - name: of the scene.
- name: model
  label: Model
  help: select-model-help
  type: select
  default: "1"
  options:
    - value: "632"
      label: Plain
      description: the plain one, made for - whatever
      triggerwords: ["plain style"]
      generatesettings: [{"type":"float","label":"scale"}]
    - value: "481"
      label: Film v6.0 B1
      triggerwords: []
      generatesettings: []
- name: private
  label: Private
  help: select-private-help
  type: select
  default: ""
  options:
- name: ratio
  label: Ratio
  help:
  type: select
  default: 16:9
  options:
    - value: ""
      label: as the image
    - value: "16:9"
      label: 16:9
- name: seed
  label: seed
  help: seed-help
  type: text
  default: 42

## Integration Header Prepare

```bash
# - name: notAnInput label: x help: y type: text
```
"""
ONE_LINE = " ".join(PAGE.split())


@pytest.mark.parametrize("text", [PAGE, ONE_LINE], ids=["lines", "one line"])
@pytest.mark.parametrize("heading", ["Model", "Tool"])
def test_a_page_is_read_with_or_without_its_line_breaks(text: str, heading: str) -> None:
    """Old and new headings, and pages that were saved as one line, give the same schema."""
    schema = schema_from_page(text.replace("## Model Inputs:", f"## {heading} Inputs:"))
    assert schema.inputs is not None
    assert schema.hash == schema_from_page(PAGE).hash
    assert [(spec.id, spec.type) for spec in schema.inputs] == [
        ("inputImage", "fileinput"),
        ("websiteUrl", "text"),
        ("extras", "combinefileinput"),
        ("prompt", "textarea"),
        ("model", "select"),
        ("private", "select"),
        ("ratio", "select"),
        ("seed", "text"),
    ]
    by_id = {spec.id: spec for spec in schema.inputs}
    assert by_id["model"].option_values == ("632", "481")
    assert [option.label for option in by_id["model"].options] == ["Plain", "Film v6.0 B1"]
    assert by_id["ratio"].option_values == ("16:9",)
    assert by_id["inputImage"].note == "Must be jpeg or png, at most: 10 MB"


def test_a_page_names_its_model_and_what_it_makes() -> None:
    """The slug comes from the Run address, the kind from the categories."""
    schema = schema_from_page(ONE_LINE)
    assert (schema.slug, schema.title) == ("acme/dream-pan", "acme/Dream Pan")
    assert (schema.output_kind, schema.prompt_input) == ("video", "prompt")
    assert schema_from_page(PAGE, "acme/other").slug == "acme/other"


def test_a_page_validates_inputs() -> None:
    """Defaults of the page are filled in, but not the example prompt."""
    schema = schema_from_page(PAGE)
    assert schema.validate({"prompt": "x", "inputImage": "https://e.org/a.jpg"}) == (
        {"inputImageUrl": "https://e.org/a.jpg", "prompt": "x", "ratio": "16:9", "seed": "42"},
        (),
    )
    _, problems = schema.validate({"model": "1"})
    assert [problem.partition(":")[0] for problem in problems] == ["prompt", "model"]


def test_a_page_says_what_it_does_not_state() -> None:
    """Which inputs are required is not on a page, and a default may not be among the options."""
    notes = schema_from_page(PAGE).notes
    assert "required" in notes[0]
    assert any("'1'" in note for note in notes)


def test_an_entry_that_cannot_be_read_is_noted() -> None:
    """Nothing of a page is dropped silently."""
    schema = schema_from_page(
        "## Tool Inputs: - name: a label: A type: text default: - name: b label: B", "acme/model"
    )
    assert schema.inputs is not None
    assert [spec.id for spec in schema.inputs] == ["a"]
    assert "cannot be read" in schema.notes[1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no '## Model Inputs:'"),
        ("<html>Not found</html>", "no '## Model Inputs:'"),
        ("## Model Inputs: - name: a label: A type: text", "does not name its model"),
        ("/v1/Run/acme/model ## Model Inputs: <ul><li>a</li></ul>", "no input can be read"),
    ],
)
def test_what_is_no_page_is_refused(text: str, reason: str) -> None:
    """The message says what to save instead."""
    with pytest.raises(InputError, match=reason):
        schema_from_page(text)
