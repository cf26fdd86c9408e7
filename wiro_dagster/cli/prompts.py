"""`wiro-dagster prompts`: check prompt files without an account and without a network."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import click

from wiro_dagster.catalogue.offline import OfflineCatalogue
from wiro_dagster.catalogue.suggestions import counted
from wiro_dagster.cli.account import add_project_models, model_folder_option
from wiro_dagster.errors import InputError
from wiro_dagster.prompts import PromptFile, PromptProblem, load_prompt_file

_DEFAULT_PROMPT_FILE = Path("examples/prompts.yaml")


def _absolute(
    _context: click.Context, _option: click.Parameter, folders: tuple[Path, ...]
) -> tuple[Path, ...]:
    """Folders of a command start from the working directory, those of a collection do not."""
    return tuple(folder.absolute() for folder in folders)


allowed_folders_option = click.option(
    "--allowed-folder",
    "allowed_folders",
    multiple=True,
    callback=_absolute,
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder beside the prompt file's own from which prompts may take files. Repeatable.",
)


def find_prompt_file() -> Path:
    """Return the prompt file that `definitions.py` uses.

    Raises:
        InputError: it is missing, or on S3.
    """
    place = os.environ.get("WIRO_PROMPT_FILE") or str(_DEFAULT_PROMPT_FILE)
    if place == str(_DEFAULT_PROMPT_FILE) and not _DEFAULT_PROMPT_FILE.exists():
        raise InputError(
            f"There is no {place} here. Name the prompt file, or set WIRO_PROMPT_FILE."
        )
    if "://" in place:
        raise InputError(f"WIRO_PROMPT_FILE is {place}. Name a local copy of it to this command.")
    return Path(place)


@click.group()
def prompts() -> None:
    """Check prompt files. Nothing is ordered."""


@prompts.command()
@click.argument("prompt_file", required=False, type=click.Path(path_type=Path))
@model_folder_option
@allowed_folders_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(
    prompt_file: Path | None,
    model_folder: Path | None,
    allowed_folders: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Check PROMPT_FILE without an account and without a network.

    Without PROMPT_FILE it is the one that WIRO_PROMPT_FILE names, else examples/prompts.yaml.
    Models are checked if the package or the project knows them. The exit status is 0 if all
    prompts can be ordered, and 1 if there are problems.
    """
    file = prompt_file or find_prompt_file()
    catalogue = add_project_models(OfflineCatalogue.builtin(), model_folder)
    try:
        found = load_prompt_file(file, catalogue, allowed_folders=allowed_folders)
    except InputError as error:
        problems = (PromptProblem(str(file), None, None, text) for text in error.problems)
        found = PromptFile({}, tuple(problems))
    _print_json(file, found) if as_json else _print(found)
    if found.problems:
        raise click.exceptions.Exit(1)


def _print(found: PromptFile) -> None:
    for note in found.notes:
        click.echo(f"Note: {note}", err=True)
    for problem in found.problems:
        click.echo(str(problem), err=True)
    problems = counted(len(found.problems), "problem") if found.problems else "No problems"
    click.echo(f"{problems}. {counted(len(found.prompts), 'prompt')} can be ordered.")


def _print_json(file: Path, found: PromptFile) -> None:
    content = {
        "file": str(file),
        "prompts": list(found.prompts),
        "problems": [asdict(problem) for problem in found.problems],
        "notes": list(found.notes),
    }
    click.echo(json.dumps(content, indent=2))
