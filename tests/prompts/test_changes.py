"""What a change of a model's inputs does to prompts that exist."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from wiro_dagster.api.models import ModelDetail, read_model
from wiro_dagster.catalogue import (
    Catalogue,
    InputOption,
    InputSpec,
    ModelSchema,
    schema_from_model_detail,
)
from wiro_dagster.prompts import (
    Prompt,
    PromptFile,
    describe_change,
    list_changes,
    load_prompt_rows,
    parse_prompt_text,
)

DURATION = InputSpec(
    "duration", "select", default="6", options=(InputOption("6"), InputOption("10"))
)
PROMPT_INPUT = InputSpec("prompt", "textarea", required=True)
OLD = ModelSchema("acme/model", (PROMPT_INPUT, DURATION), "prompt")


def prompt_of(**inputs: Any) -> Prompt:
    checked = OLD.check({"prompt": "A fox", **inputs})
    assert checked.problems == ()
    name = f"p{inputs.get('duration', '')}"
    return Prompt(name, OLD.slug, checked.inputs, wiro_defaults=checked.filled)


SHORT, LONG = prompt_of(), prompt_of(duration="10")


def with_inputs(*specs: InputSpec) -> ModelSchema:
    return replace(OLD, inputs=specs)


def test_a_lost_option_breaks_the_prompts_that_use_it() -> None:
    """The others stay as they are."""
    new = with_inputs(PROMPT_INPUT, replace(DURATION, options=(InputOption("6"),)))
    change = describe_change(OLD, new, [SHORT, LONG])
    assert change.differences == ("duration: '10' can no longer be chosen.",)
    assert dict(change.broken) == {"p10": ("duration: '10' is not allowed. Allowed: '6'.",)}
    assert change.altered == ()
    assert "- breaks p10: duration: '10' is not allowed." in str(change)


def test_a_new_required_input_breaks_every_prompt() -> None:
    """And an input that is gone breaks those that state it."""
    new = with_inputs(PROMPT_INPUT, InputSpec("style", "text", required=True))
    change = describe_change(OLD, new, [SHORT, LONG])
    assert change.differences == ("duration is gone.", "style is new and required.")
    assert set(change.broken) == {"p", "p10"}


def test_an_input_that_is_gone_does_not_break_prompts_that_never_stated_it() -> None:
    """What was only a default is left out of the next order."""
    change = describe_change(OLD, with_inputs(PROMPT_INPUT), [SHORT, LONG])
    assert set(change.broken) == {"p10"}
    assert change.altered == ("p",)


def test_another_default_of_wiro_orders_nothing_again() -> None:
    """The report says what the next order would send; the fingerprint stays what it was."""
    new = with_inputs(PROMPT_INPUT, replace(DURATION, default="10"))
    change = describe_change(OLD, new, [SHORT, LONG])
    assert (dict(change.broken), change.altered) == ({}, ("p",))
    assert "Videos that you own stay as they are" in str(change)
    changed = new.check({"prompt": "A fox"})
    later = Prompt("p", new.slug, changed.inputs, wiro_defaults=changed.filled)
    assert later.inputs["duration"] == "10"
    assert later.fingerprint == SHORT.fingerprint


def test_a_change_that_concerns_no_prompt_says_so() -> None:
    """New options break nothing, and prompts of other models are passed over."""
    options = (*DURATION.options, InputOption("12"))
    new = with_inputs(PROMPT_INPUT, replace(DURATION, options=options))
    other = Prompt("other", "acme/other", {"x": "y"})
    change = describe_change(OLD, new, [SHORT, LONG, other])
    assert change.differences == ("duration: '12' can be chosen now.",)
    assert (dict(change.broken), change.altered) == ({}, ())


def test_losing_the_schema_is_a_difference() -> None:
    """Inputs that were validated no longer are."""
    change = describe_change(OLD, replace(OLD, inputs=None), [SHORT])
    assert change.differences == ("its inputs can no longer be validated.",)
    assert describe_change(replace(OLD, inputs=None), OLD, []).differences == (
        "its inputs can be validated now.",
    )


def test_every_kind_of_difference_is_told() -> None:
    """Type, duty, default, range and rules."""
    before = schema_from_model_detail(
        read_model(OLD.slug, {"parameters": [{"id": "n", "type": "range", "min": 1, "max": 5}]})
    )
    after = schema_from_model_detail(
        read_model(
            OLD.slug,
            {"parameters": [{"id": "n", "type": "range", "min": 1, "max": 9, "required": True}]},
        )
    )
    assert describe_change(before, after, []).differences == (
        "n: it is required now.",
        "n: its range has changed. Give a number from 1 to 9.",
    )


def test_a_prompt_file_tells_that_its_model_has_changed() -> None:
    """The reader of a problem learns that it was not the file that changed."""
    times = iter([0.0, 100_000.0, 200_000.0])
    answers = iter(
        read_model("acme/model", {"parameters": [{"id": name, "type": "textarea"}]})
        for name in ("prompt", "text")
    )
    catalogue = Catalogue((), lambda _: next(answers), clock=lambda: next(times))
    text = "prompts: [{id: a, model: acme/model, inputs: {prompt: x}}]"
    first, second = (
        parse_prompt_text(text, ".yaml", catalogue, source="prompts.yaml") for _ in range(2)
    )
    assert first.problems == ()
    assert str(second.problems[0]).endswith(
        "Wiro has changed this model's inputs (seen 1970-01-02): prompt is gone. text is new."
    )


def test_changes_of_models_are_listed_before_anything_is_ordered() -> None:
    """What breaks and what would be sent otherwise are named; what was corrected is not."""
    select = {"id": "duration", "type": "select", "default": "6"}
    now = [0.0]
    stated = [{**select, "options": ["6", "10"]}]

    def look_up(slug: str) -> ModelDetail:
        prompt = {"id": "prompt", "type": "textarea", "required": True}
        return read_model(slug, {"parameters": [{"items": [prompt, *stated]}]})

    catalogue = Catalogue(lookup=look_up, max_age_seconds=100, clock=lambda: now[0])
    long = {"id": "long", "prompt": "x", "model": "acme/a", "inputs": {"duration": 10}}
    short = {"id": "short", "prompt": "x", "model": "acme/a"}
    rows = [long, short]

    def load(known: Catalogue) -> PromptFile:
        return load_prompt_rows(rows, "a table", known)

    assert list_changes(load(catalogue), catalogue, load) == ()
    stated[:] = [{**select, "default": "5", "options": ["5", "6"]}]
    now[0] = 1000
    (change,) = list_changes(load(catalogue), catalogue, load)
    assert set(change.broken) == {"long"}
    assert change.altered == ("short",)
    rows[:] = [{**long, "inputs": {"duration": 5}}]
    assert list_changes(load(catalogue), catalogue, load) == ()


def test_what_wiro_changes_of_a_stated_model_is_told_too() -> None:
    """An entry of the package or the project goes on counting; prompts that fit are not told of."""
    now = [0.0]
    options = ["6", "10"]

    def look_up(slug: str) -> ModelDetail:
        prompt = {"id": "prompt", "type": "textarea", "required": True}
        select = {"id": "duration", "type": "select", "default": "6", "options": list(options)}
        return read_model(slug, {"parameters": [{"items": [prompt, select]}]})

    entry = ModelSchema(OLD.slug, None, "prompt", source="entry")
    catalogue = Catalogue([entry], look_up, max_age_seconds=100, clock=lambda: now[0])
    rows = [
        {"id": name, "prompt": "x", "model": OLD.slug, "duration": duration}
        for name, duration in {"long": "10", "short": "6", "longest": "12"}.items()
    ]

    def load(known: Catalogue) -> PromptFile:
        return load_prompt_rows(rows, "a table", known)

    catalogue.find_detail(OLD.slug)
    options.remove("10")
    now[0] = 1000
    catalogue.find_detail(OLD.slug)
    found = load(catalogue)
    assert found.problems == ()
    (change,) = list_changes(found, catalogue, load)
    assert (set(change.broken), change.altered, change.is_stated) == ({"long"}, (), True)
    assert "its catalogue entry still counts here" in str(change)
