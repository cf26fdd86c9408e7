"""`wiro-dagster models`: what a model takes and costs, which models there are, models as data."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from wiro_dagster.api.models import ModelDetail, PriceEntry
from wiro_dagster.catalogue import (
    Catalogue,
    InputSpec,
    ModelSchema,
    entry_from_schema,
    load_entry,
    save_entry,
    schema_from_page,
    terminal_text,
)
from wiro_dagster.catalogue.plain_text import read_text_file
from wiro_dagster.catalogue.suggestions import find_slug, guess_slug
from wiro_dagster.catalogue.values import number_text
from wiro_dagster.cli.account import (
    DEFAULT_MODEL_FOLDER,
    build_catalogue,
    has_account,
    model_folder_option,
    open_client,
)
from wiro_dagster.cli.tables import Column, json_option, print_table, wide_option
from wiro_dagster.errors import ApiError, InputError

_ENTRY_SUFFIXES = {".yaml", ".yml", ".json"}
_FILE_SUFFIXES = {*_ENTRY_SUFFIXES, ".txt", ".md"}

_STATED_BY_WIRO = ("prices", "cost_per_second_usd", "approximate_cost_usd", "computing_seconds")

_INPUT_COLUMNS = (
    Column("input"),
    Column("type"),
    Column("required"),
    Column("default"),
    Column("options or range"),
    Column("note", is_wide=True),
)
_PRICE_COLUMNS = (
    Column("inputs"),
    Column("method"),
    Column("price, USD", justify="right"),
    Column("each further", justify="right"),
    Column("each input", justify="right"),
)
_MODEL_COLUMNS = (
    Column("model"),
    Column("title"),
    Column("categories"),
    Column("description", is_wide=True),
)


@click.group()
def models() -> None:
    """Show what models take and cost, search them, or add them to a project."""


@models.command()
@click.argument("file_or_slug")
@click.option("--slug", help="The model, if a saved page does not name it.")
@model_folder_option
@wide_option
@json_option
def show(
    file_or_slug: str, slug: str | None, model_folder: Path | None, wide: bool, as_json: bool
) -> None:
    """Show the inputs and prices of a model.

    FILE_OR_SLUG is a slug such as minimax/hailuo-2-3, a saved llms-full.txt page, or a catalogue
    entry. Files, and models that the catalogue knows, need no network; prices and all other models
    come from Wiro.
    """
    with ExitStack() as stack:
        client = stack.enter_context(open_client()) if has_account() else None
        file = _find_file(file_or_slug)
        if file is not None:
            schema, detail, why_no_prices = _read_schema(file, slug), None, "a file states none"
        else:
            catalogue = build_catalogue(client, model_folder)
            if find_slug(file_or_slug) not in catalogue.slugs and client is None:
                _ask_for_account(catalogue, file_or_slug)
            schema = catalogue.get_schema(file_or_slug)
            detail, why_no_prices = _find_prices(catalogue, schema.slug)
    if as_json:
        click.echo(json.dumps(_to_json(schema, detail), indent=2))
    else:
        _print_model(schema, detail, why_no_prices, wide=wide)


@models.command()
@click.argument("text")
@click.option("--limit", default=20, show_default=True, help="How many to show.")
@wide_option
@json_option
def search(text: str, limit: int, wide: bool, as_json: bool) -> None:
    """List the models that Wiro finds for TEXT."""
    with open_client() as client:
        total, found = client.list_models(text, limit=limit)
    if as_json:
        click.echo(json.dumps([model.model_dump() for model in found], indent=2))
        return
    if not found:
        click.echo(f"Wiro finds no model for {text!r}. Try fewer or other words.")
        return
    rows = [
        [model.slug, model.title or "", ", ".join(model.categories), model.description]
        for model in found
    ]
    print_table(_MODEL_COLUMNS, rows, wide=wide)
    if total > len(found):
        click.echo(f"{len(found)} of {total}; --limit shows more.", err=True)


@models.command()
@click.argument("file_or_slug")
@click.option("--slug", help="The model, if a saved page does not name it.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_MODEL_FOLDER,
    show_default=True,
    help="Where the entry goes.",
)
@click.option("--replace", is_flag=True, help="Overwrite an existing entry.")
def add(file_or_slug: str, slug: str | None, folder: Path, replace: bool) -> None:
    """Write a model into the project as a catalogue entry, which you can read and edit.

    FILE_OR_SLUG is a slug, which Wiro is asked about unless the package has it, or a saved
    llms-full.txt page. The project's entry overrides Wiro's schema: add rules between inputs, or
    remove options. Its defaults count as stated: prompts that leave them out count as changed.
    """
    file = _find_file(file_or_slug)
    schema = _look_up(file_or_slug) if file is None else _read_schema(file, slug)
    path = folder / f"{schema.slug.replace('/', '__')}.yaml"
    if path.exists() and not replace:
        raise InputError(f"{path} exists already. Give --replace to overwrite it.")
    written = save_entry(schema, folder)
    for note in schema.notes:
        click.echo(f"Note: {note}", err=True)
    click.echo(f"{schema.slug} is in {written}. Review it: it overrides Wiro's schema.")


def _look_up(given: str) -> ModelSchema:
    """Return the package's entry, which has rules that Wiro does not state, or else Wiro's."""
    builtin = Catalogue.builtin()
    if find_slug(given) in builtin.slugs or guess_slug(given) in builtin.slugs:
        return builtin.get_schema(given)
    with open_client() as client:
        return Catalogue.builtin(client.get_model).get_schema(given)


def _find_file(given: str) -> Path | None:
    path = Path(given).expanduser()
    if path.is_file():
        return path
    if path.suffix.lower() in _FILE_SUFFIXES:
        raise InputError(
            f"there is no file {given}. Correct the path, or give a slug: owner/model."
        )
    return None


def _read_schema(file: Path, slug: str | None) -> ModelSchema:
    if file.suffix.lower() in _ENTRY_SUFFIXES:
        return load_entry(file)
    return schema_from_page(read_text_file(file), slug)


def _ask_for_account(catalogue: Catalogue, given: str) -> None:
    """Say what is missing if only Wiro could know the model."""
    if guess_slug(given) in catalogue.slugs:
        return  # get_schema names the slug that was probably intended
    with open_client():
        pass


def _find_prices(catalogue: Catalogue, slug: str) -> tuple[ModelDetail | None, str]:
    if not has_account():
        return None, "Wiro has them, and WIRO_API_KEY is not set"
    try:
        return catalogue.find_detail(slug), "Wiro does not know this model"
    except ApiError as error:
        return None, str(error)


def _print_model(
    schema: ModelSchema, detail: ModelDetail | None, why_no_prices: str, *, wide: bool
) -> None:
    makes = f", makes {schema.output_kind}" if schema.output_kind else ""
    title = f"{schema.title}, " if schema.title else ""
    _say(f"{schema.slug} ({title}from: {schema.source}{makes})")
    if schema.inputs is not None:
        rows = [_input_row(spec, schema.prompt_input) for spec in schema.inputs]
        print_table(_INPUT_COLUMNS, rows, wide=wide)
    for rule in schema.rules:
        given = " and ".join(f"{name} {' or '.join(values)}" for name, values in rule.when)
        because = f": {rule.because}" if rule.because else ""
        allowed = " and ".join(f"{name} must be {' or '.join(v)}" for name, v in rule.allow)
        _say(f"With {given}, {allowed}{because}.")
    if detail is None:
        _say(f"Prices: not known here ({why_no_prices}).")
    else:
        _print_prices(detail)
    for note in schema.notes:
        _say(f"Note: {note}")


def _say(text: str) -> None:
    click.echo(terminal_text(text))


def _input_row(spec: InputSpec, prompt_input: str | None) -> list[str]:
    name = f"{spec.id} or {spec.url_id}" if spec.url_id else spec.id
    return [
        f"{name} (the prompt)" if spec.id == prompt_input else name,
        spec.type,
        "yes" if spec.required else "",
        spec.default or "",
        _describe_values(spec),
        spec.note,
    ]


def _describe_values(spec: InputSpec) -> str:
    if spec.option_values:
        return ", ".join(spec.option_values)
    low, high, step = (
        None if number is None else number_text(number)
        for number in (spec.minimum, spec.maximum, spec.step)
    )
    if low is None and high is None:
        return ""
    text = f"{low or '…'} to {high or '…'}"
    return f"{text}, step {step}" if step else text


def _print_prices(detail: ModelDetail) -> None:
    if detail.price_problem:
        _say(f"Prices: Wiro's list cannot be read: {detail.price_problem}.")
    elif detail.prices:
        print_table(_PRICE_COLUMNS, map(_price_row, detail.prices))
    elif detail.cost_per_second_usd:
        _say(f"Price: {detail.cost_per_second_usd:f} USD a second of processing (cps).")
    else:
        _say("Prices: Wiro states none.")
    if detail.approximate_cost_usd is not None:
        _say(f"Wiro's own guess for a run: {detail.approximate_cost_usd:f} USD.")
    if detail.computing_seconds is not None:
        _say(f"Wiro expects a run to take {detail.computing_seconds:g} s.")


def _price_row(entry: PriceEntry) -> list[str]:
    inputs = ", ".join(f"{name} {value}" for name, value in entry.inputs.items())
    amounts = (entry.price, entry.price_extra, entry.price_input)
    texts = ("" if amount is None else f"{amount:f}" for amount in amounts)
    return [inputs or "always", entry.method, *texts]


def _to_json(schema: ModelSchema, detail: ModelDetail | None) -> dict[str, Any]:
    known: dict[str, Any] = {} if detail is None else detail.model_dump(mode="json")
    stated = {name: known.get(name) for name in _STATED_BY_WIRO}
    return entry_from_schema(schema) | stated
