"""The example prompts that come with the package."""

from __future__ import annotations

import shutil
from pathlib import Path

_EXAMPLES = Path(__file__).parent / "examples"

EXAMPLE_PROMPTS = Path("examples/prompts.yaml")
"""Where the ready project looks for prompts by default."""


def write_examples(folder: Path) -> bool:
    """Copy the example prompts and images into a project, unless it has prompts there.

    Args:
        folder: the project's folder.

    Returns:
        Whether they were written.
    """
    if (folder / EXAMPLE_PROMPTS).exists():
        return False
    shutil.copytree(_EXAMPLES, folder / EXAMPLE_PROMPTS.parent, dirs_exist_ok=True)
    return True
