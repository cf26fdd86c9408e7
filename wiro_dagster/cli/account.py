"""The Wiro account in the environment, for commands that need Wiro."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from wiro_dagster.api.auth import Credentials
from wiro_dagster.api.client import DEFAULT_BASE_URL, WiroClient
from wiro_dagster.catalogue import Catalogue
from wiro_dagster.errors import AuthenticationRefused, ConfigurationError

DEFAULT_MODEL_FOLDER = Path("models")

model_folder_option = click.option(
    "--models",
    "model_folder",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"The project's own catalogue entries. Default: {DEFAULT_MODEL_FOLDER}/ if it exists.",
)


@contextmanager
def open_client() -> Iterator[WiroClient]:
    """Open a client with the settings of `definitions.py`.

    Raises:
        ConfigurationError: WIRO_API_KEY is not set, or Wiro refuses it.
    """
    key = os.environ.get("WIRO_API_KEY")
    if not key:
        raise ConfigurationError(
            "This command needs Wiro, but WIRO_API_KEY is not set. Set it (and WIRO_API_SECRET, "
            "unless the project is key-only), or set WIRO_BASE_URL and the key of an emulator."
        )
    credentials = Credentials(key, os.environ.get("WIRO_API_SECRET") or None)
    base_url = os.environ.get("WIRO_BASE_URL") or DEFAULT_BASE_URL
    with WiroClient(credentials, base_url=base_url) as client:
        try:
            yield client
        except AuthenticationRefused as error:
            raise ConfigurationError(
                f"{error} They come from WIRO_API_KEY and WIRO_API_SECRET; leave the secret out "
                "for a project of the key-only kind."
            ) from error


def has_account() -> bool:
    """Return whether the environment names an account."""
    return bool(os.environ.get("WIRO_API_KEY"))


def build_catalogue(client: WiroClient | None, model_folder: Path | None) -> Catalogue:
    """Return the package's models, the project's, and Wiro's if there is a client.

    Args:
        client: asks Wiro; `None` works without a network.
        model_folder: see `add_project_models`.

    Raises:
        InputError: a folder that was given is missing, or an entry is wrong.
    """
    return add_project_models(
        Catalogue.builtin(None if client is None else client.get_model), model_folder
    )


def add_project_models(catalogue: Catalogue, model_folder: Path | None) -> Catalogue:
    """Return a catalogue with the project's entries.

    Args:
        catalogue: the models without them.
        model_folder: the project's entries; `None` takes `models/` if it exists.

    Raises:
        InputError: a folder that was given is missing, or an entry is wrong.
    """
    if model_folder is None and not DEFAULT_MODEL_FOLDER.is_dir():
        return catalogue
    return catalogue.with_entries_from(model_folder or DEFAULT_MODEL_FOLDER)
