"""Reading prompts: from a file, from text, from rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from wiro_dagster.catalogue import Catalogue, LocalFolders
from wiro_dagster.catalogue.plain_text import check_size, decode_text, read_plain_file
from wiro_dagster.prompts.check import check_prompts
from wiro_dagster.prompts.prompt_file import PromptFile
from wiro_dagster.prompts.source import raw_prompts_from_rows, raw_prompts_from_text


def load_prompt_file(
    path: Path, catalogue: Catalogue, *, allowed_folders: Iterable[Path] = ()
) -> PromptFile:
    """Read a prompt file: YAML, JSON or CSV, by its suffix.

    Paths in it start from its folder. Whatever is wrong with single prompts is
    among the problems; the others can be ordered.

    Args:
        path: the prompt file.
        catalogue: the models that it may name.
        allowed_folders: where prompts may take files from, beside the prompt file's own folder.

    Raises:
        InputError: the file cannot be read or parsed, or does not have the shape of a prompt file.
    """
    folders = LocalFolders(path.parent, tuple(allowed_folders))
    return parse_prompt_text(
        read_plain_file(path), path.suffix, catalogue, source=str(path), folders=folders
    )


def parse_prompt_text(
    text: str | bytes,
    suffix: str,
    catalogue: Catalogue,
    *,
    source: str,
    folders: LocalFolders | None = None,
) -> PromptFile:
    """Read the text of a prompt file that is kept elsewhere, for example on S3.

    Args:
        text: its content; bytes are UTF-8, UTF-16 or Windows-1252.
        suffix: `.yaml`, `.yml`, `.json` or `.csv`.
        catalogue: the models that it may name.
        source: its name, for messages.
        folders: where it may take local files from; `None` refuses local files.

    Raises:
        InputError: it cannot be parsed, is over 50 MB, or does not have the shape of a prompt file.
    """
    check_size(len(text), source)
    note = ""
    if isinstance(text, bytes):
        text, note = decode_text(text, source)
    raw = raw_prompts_from_text(text.removeprefix("\ufeff"), suffix, source)
    found = check_prompts(raw, catalogue, folders)
    return replace(found, notes=(note, *found.notes)) if note else found


def load_prompt_rows(
    rows: Iterable[Mapping[str, Any]],
    source: str,
    catalogue: Catalogue,
    *,
    defaults: Mapping[str, Any] | None = None,
    folders: LocalFolders | None = None,
) -> PromptFile:
    """Read prompts from rows of a table, for example what an upstream asset returned.

    Args:
        rows: with `id`, `prompt`, `model`, `take`, and inputs as further columns, or under
            `inputs`. Empty cells (None, NaN, blank text) are as good as absent.
        source: the table's name, for messages.
        catalogue: the models that it may name.
        defaults: `model` and `inputs` for all rows.
        folders: where text may name local files; `None` refuses that, so that a table cannot send
            files of this machine. A `Path` is taken as it is.

    Raises:
        InputError: there are too many rows.
    """
    return check_prompts(raw_prompts_from_rows(rows, source, defaults), catalogue, folders)
