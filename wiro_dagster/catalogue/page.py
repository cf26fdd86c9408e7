"""A model's saved page (`llms-full.txt` or `llms.txt`) as a schema, for work without a network."""

from __future__ import annotations

import re
from collections.abc import Iterator

from wiro_dagster.api.inputs import InputOption, InputSpec
from wiro_dagster.catalogue.detail import find_output_kind, settled_specs
from wiro_dagster.catalogue.schema import ModelSchema, find_prompt_input
from wiro_dagster.catalogue.suggestions import find_slug, shown
from wiro_dagster.errors import InputError

# A page may have lost its line breaks, so all are taken out first: a section ends where the next
# "## " begins, an entry where the next "- name: … label:" does.
_SECTION = re.compile(r"##\s*(?:Model|Tool) Inputs:(.*?)(?= ## |\Z)")
_ENTRY = re.compile(r" - name: ?(?=\S+ label:)")
_FIELDS = re.compile(
    r"(?P<name>\S+) label:(?P<label>.*?)"
    r"(?: help:(?P<help>.*?))?"
    r" type: ?(?P<type>[A-Za-z]+)"
    r"(?: required: ?(?P<required>\w+))?"
    r"(?: default:(?P<default>.*?))?"
    r"(?: options:(?P<options>.*))?"
)
_OPTION = re.compile(
    r"- value: ?\"(?P<value>[^\"]*)\" label:(?P<label>.*?)"
    r"(?= description:| triggerwords:| - value: ?\"|\Z)"
)
_RUN_ADDRESS = re.compile(r"/v1/Run/([A-Za-z0-9._-]+/[A-Za-z0-9._-]+)")
_TITLE = re.compile(r"(?:Model|Tool) name: ?(.+?) (?:Model|Tool) description:")
_CATEGORIES = re.compile(
    r"(?:Model|Tool) categories:(.*?)(?=(?:Model|Tool) tags:|Run Task Endpoint|##|\Z)"
)
_FILE_WORDS = ("input", "image", "video", "audio", "file", "photo", "logo", "mask", "voice")
_NOTES = (
    "read from a saved page: which inputs are required and the ends of ranges are not stated "
    "there. The prompt is taken as required.",
)


def schema_from_page(text: str, slug: str | None = None) -> ModelSchema:
    """Return the schema that a model's saved text page states.

    A page names file inputs by their URL names with type `text`; they become file inputs again.

    Args:
        text: the page, with or without its line breaks.
        slug: the model; `None` takes it from the page's own Run address.

    Raises:
        InputError: it is not a model's page, or does not name a model.
    """
    text = " ".join(text.split())
    section = _SECTION.search(text)
    if section is None:
        raise InputError(
            "this text has no '## Model Inputs:' or '## Tool Inputs:' section. "
            "Save the model's llms-full.txt page and give that file."
        )
    address = _RUN_ADDRESS.search(text)
    found_slug = find_slug(slug or (address.group(1) if address else ""))
    if found_slug is None:
        raise InputError("the page does not name its model. Give its slug as well: owner/model.")
    notes = list(_NOTES)
    specs = settled_specs(_entries(section.group(1), notes), notes)
    if not specs and section.group(1).strip():
        raise InputError(
            "no input can be read from the page's inputs section. Save the page as plain text, "
            "not as HTML, and try again."
        )
    prompt_input = find_prompt_input(specs)
    title, categories = _TITLE.search(text), _CATEGORIES.search(text)
    words = re.findall(r"-\s+(\S+)", categories.group(1)) if categories else []
    return ModelSchema(
        slug=found_slug,
        inputs=specs,
        prompt_input=prompt_input,
        title=title.group(1) if title else None,
        output_kind=find_output_kind(words),
        notes=tuple(notes),
        source="page",
    )


def _entries(section: str, notes: list[str]) -> Iterator[InputSpec]:
    for chunk in _ENTRY.split(section)[1:]:
        fields = _FIELDS.fullmatch(chunk.strip())
        if fields is None:
            notes.append(f"one entry of the page cannot be read: {shown(chunk.strip())}.")
        else:
            yield _spec_from(fields)


def _spec_from(fields: re.Match[str]) -> InputSpec:
    name, kind = fields["name"], fields["type"].lower()
    if kind == "text" and name.endswith("Url") and _names_a_file(name):
        name, kind = name[: -len("Url")], "fileinput"
    is_prompt = name.casefold() == "prompt" and kind in {"text", "textarea"}
    return InputSpec(
        id=name,
        type=kind,
        required=is_prompt or (fields["required"] or "").lower() in {"true", "1", "yes"},
        default=_unquoted(fields["default"]),
        options=tuple(
            InputOption(option["value"], option["label"].strip())
            for option in _OPTION.finditer(fields["options"] or "")
        ),
        label=fields["label"].strip(),
        note=(fields["help"] or "").strip(),
    )


def _names_a_file(name: str) -> bool:
    return any(word in name.casefold() for word in _FILE_WORDS)


def _unquoted(text: str | None) -> str | None:
    value = (text or "").strip()
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    return value or None
