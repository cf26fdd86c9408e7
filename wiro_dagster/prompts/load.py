"""Reading prompts: from a file, from text, from rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wiro_dagster.catalogue import Catalogue
from wiro_dagster.catalogue.plain_text_file import decode_text, read_text_file
from wiro_dagster.prompts.check import check_prompts
from wiro_dagster.prompts.prompt_file import PromptFile
from wiro_dagster.prompts.source import raw_prompts_from_rows, raw_prompts_from_text


def load_prompt_file(path: Path, catalogue: Catalogue) -> PromptFile:
    """Reads a prompt file: YAML, JSON or CSV, by its suffix.

    Local files in it are meant relative to its folder. Whatever is wrong with single prompts is
    among the problems; it does not hold up the others.

    Raises:
        InputError: the file cannot be read or parsed, or has another shape than a prompt file.
    """
    raw = raw_prompts_from_text(read_text_file(path), path.suffix, str(path))
    return check_prompts(raw, catalogue, base_folder=path.parent)


def parse_prompt_text(
    text: str | bytes,
    suffix: str,
    catalogue: Catalogue,
    *,
    source: str,
    base_folder: Path | None = None,
) -> PromptFile:
    """Reads the text of a prompt file that lies elsewhere, for example on S3.

    Args:
        text: its content; bytes are UTF-8.
        suffix: `.yaml`, `.yml`, `.json` or `.csv`.
        catalogue: the models that it may name.
        source: its name, for messages.
        base_folder: what relative paths start from; `None` refuses local files.

    Raises:
        InputError: it cannot be parsed, or has another shape than a prompt file.
    """
    if isinstance(text, bytes):
        text = decode_text(text, source)
    raw = raw_prompts_from_text(text.removeprefix("\ufeff"), suffix, source)
    return check_prompts(raw, catalogue, base_folder=base_folder)


def load_prompt_rows(
    rows: Iterable[Mapping[str, Any]],
    source: str,
    catalogue: Catalogue,
    *,
    defaults: Mapping[str, Any] | None = None,
    base_folder: Path | None = None,
) -> PromptFile:
    """Reads prompts from rows of a table, for example what an upstream asset returned.

    Args:
        rows: with `id`, `prompt`, `model`, `take`, and inputs as further columns, or under
            `inputs`. Empty cells (None, NaN, blank text) are as good as absent.
        source: the table's name, for messages.
        catalogue: the models that it may name.
        defaults: `model` and `inputs` for all rows.
        base_folder: what relative paths start from; `None` refuses local files given as text, so
            that a table cannot send files of this machine. A `Path` is taken as it is.
    """
    raw = raw_prompts_from_rows(rows, source, defaults)
    return check_prompts(raw, catalogue, base_folder=base_folder)
