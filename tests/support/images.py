"""Pictures that prompts send along. Wiro looks at nothing but their bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from wiro_dagster.catalogue import LocalFileInput, read_local_file

IMAGE = b"\x89PNG\r\n\x1a\n not really an image"


def write_image(folder: Path, name: str = "face.png", content: bytes = IMAGE) -> LocalFileInput:
    """A file as a prompt of a model with a first image has it."""
    path = folder / name
    path.write_bytes(content)
    return replace(read_local_file(path), url_input="inputImageFirstUrl")
