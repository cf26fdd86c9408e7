"""`wiro-dagster run`: runs one model from the command line, and pays for it once."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import click
import dagster as dg

from wiro_dagster.catalogue import LocalFolders
from wiro_dagster.cli.ledger_option import locate_ledger
from wiro_dagster.cli.project import ProjectFolder, require_modules, task_seconds_option
from wiro_dagster.cli.tables import json_option
from wiro_dagster.defs.model_request import ModelRequest
from wiro_dagster.defs.model_result import ModelResult
from wiro_dagster.defs.model_run import FileKind, ModelRun
from wiro_dagster.defs.project import build_project_resources
from wiro_dagster.defs.wiro_models import WiroModels
from wiro_dagster.emulator import Emulator
from wiro_dagster.errors import ConfigurationError
from wiro_dagster.resources.account import LedgerResource, WiroResource
from wiro_dagster.resources.stores import FolderVideoStore

_COLLECTION = "run"
_ID_DIGITS = 16


@click.command()
@click.argument("model")
@click.option("--prompt", help="The text, for models that take one.")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another input; a file is a path or a URL. Repeatable.",
)
@click.option("--take", type=click.IntRange(1), default=1, help="2 buys the same a second time.")
@click.option("--max-usd", help="The most that it may cost, all tries together.")
@click.option("--kind", type=click.Choice(get_args(FileKind)), help="What the files must be.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Copy the file there; further ones get a number. It stays in the video store too.",
)
@click.option(
    "--attempts", type=int, default=1, help="How often to try each model, if the failure may pass."
)
@click.option(
    "--fallback-model", "fallback_models", multiple=True, help="A model to try next. Repeatable."
)
@click.option("--ledger", "url", help="SQLAlchemy URL of the ledger. Default: as `orders`.")
@click.option("--emulator", "is_emulated", is_flag=True, help="Use the emulator: no cost.")
@task_seconds_option
@json_option
def run(
    model: str,
    inputs: Sequence[str],
    output: Path | None,
    url: str | None,
    *,
    is_emulated: bool,
    task_seconds: float,
    as_json: bool,
    **wanted: Any,
) -> None:
    """Run MODEL once, and print where its files are and what they cost.

    Settings are the environment variables of a project. Repeating a command buys nothing, even if
    the first one died: its paid task is continued.
    """
    request = ModelRequest(model, inputs=_read_inputs(inputs), **wanted)
    with _open_models(url, task_seconds if is_emulated else None) as models:
        prompt = models.read_prompt(
            request, "command", folders=LocalFolders(Path.cwd(), (Path("/"),))
        )
        # Each wish is a partition of its own: commands side by side do not supersede each other.
        prompt = replace(prompt, id=prompt.fingerprint[:_ID_DIGITS])
        model_run = models.open_run(
            request, prompt, _COLLECTION, waiter=f"command-{uuid.uuid4().hex}", log=_log
        )
        result = _finish(model_run)
        copies = [] if output is None else list(_copy(models, result, output))
    click.echo(
        json.dumps(_to_json(result, copies), indent=2)
        if as_json
        else "\n".join(_describe(result, copies))
    )


def _log(line: str) -> None:
    click.echo(line, err=True)


def _finish(model_run: ModelRun) -> ModelResult:
    try:
        return model_run.finish()
    except KeyboardInterrupt:
        model_run.drop("The command was interrupted.", cancel=False)
        _log("Interrupted. A task at Wiro continues; run the same command to resume it.")
        raise


@contextmanager
def _open_models(url: str | None, task_seconds: float | None) -> Iterator[WiroModels]:
    """Open what the environment names, or the emulator of this folder."""
    if task_seconds is None:
        if not os.environ.get("WIRO_API_KEY"):
            raise ConfigurationError(
                "WIRO_API_KEY is not set. Set it (and WIRO_API_SECRET, unless the project is "
                "key-only), or try the command without cost: --emulator"
            )
        with dg.build_resources({"models": _build_models(url)}) as resources:
            yield resources.models
        return
    require_modules("run")
    project = ProjectFolder(Path(".wiro").absolute())
    with (
        project.start_emulator(task_seconds) as emulator,
        dg.build_resources({"models": _build_emulated(project, emulator, url)}) as resources,
    ):
        yield resources.models


def _build_models(url: str | None) -> WiroModels:
    found = build_project_resources(Path.cwd())
    ledger = LedgerResource(
        url=locate_ledger(url or os.environ.get("WIRO_LEDGER_URL")),
        daily_budget_usd=found.ledger.daily_budget_usd,
    )
    return WiroModels(
        wiro=found.wiro, ledger=ledger, store=found.store, model_folder=found.model_folder
    )


def _build_emulated(project: ProjectFolder, emulator: Emulator, url: str | None) -> WiroModels:
    return WiroModels(
        wiro=WiroResource(
            api_key=emulator.api_key,
            api_secret=emulator.api_secret,
            base_url=emulator.base_url,
            cdn_hosts=[emulator.cdn_host],
        ),
        ledger=LedgerResource(url=locate_ledger(url) if url else project.ledger_url),
        store=FolderVideoStore(path=str(Path("videos").absolute())),
    )


def _read_inputs(inputs: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in inputs:
        name, is_given, value = text.partition("=")
        if not is_given:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE.", param_hint="--input")
        earlier = found.get(name, [])
        found[name] = value if name not in found else [*_as_list(earlier), value]
    return found


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _copy(models: WiroModels, result: ModelResult, output: Path) -> Iterator[Path]:
    """Copy the files to where the user wants them, each all or nothing."""
    for number, file in enumerate(result.files, 1):
        path = output if number == 1 else output.with_stem(f"{output.stem}-{number}")
        part = path.with_name(f".{path.name}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        with models.open_file(file) as stored:
            shutil.copyfile(stored, part)
        part.replace(path)
        yield path


def _describe(result: ModelResult, copies: Sequence[Path]) -> Iterator[str]:
    places = [str(path) for path in copies] or [file.uri for file in result.files]
    yield from places
    cost = "not stated yet" if result.cost_usd is None else f"{result.cost_usd:f} USD"
    news = "Bought now." if result.is_new else "Bought before; nothing new was bought."
    yield f"{result.model}, task {result.task_id}: {cost}. {news}"
    yield from (f"{check}: {problem}" for check, problem in result.problems.items())


def _to_json(result: ModelResult, copies: Sequence[Path]) -> dict[str, Any]:
    return {
        "model": result.model,
        "files": [file.to_json() for file in result.files],
        "copies": [str(path) for path in copies],
        "cost_usd": None if result.cost_usd is None else f"{result.cost_usd:f}",
        "task_id": result.task_id,
        "order": result.order_id,
        "is_new": result.is_new,
        "problems": dict(result.problems),
    }
