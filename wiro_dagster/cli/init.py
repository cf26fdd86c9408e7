"""`wiro-dagster init`: a small project that `dagster dev` and `dg dev` start."""

from __future__ import annotations

import re
from pathlib import Path

import click

from wiro_dagster.component.scaffolder import DEFS_YAML, PROMPTS_YAML

_PYPROJECT = """\
[project]
name = "{name}"
version = "0.1.0"
requires-python = ">=3.10"
dependencies = ["wiro-dagster"]

[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[tool.setuptools]
packages = ["{package}"]

[tool.dagster]
module_name = "{package}.definitions"
code_location_name = "{name}"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "{package}"
code_location_target_module = "{package}.definitions"
code_location_name = "{name}"
"""

_DEFINITIONS = '''\
"""Everything below `defs/` is one code location."""

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
'''

_GITIGNORE = """\
.env
.venv
.wiro
videos
__pycache__
"""

_NEXT = """\
Wrote {folder}. The prompts are in {prompts}.

Try it on the emulator, without an account and without cost:
  cd {folder} && wiro-dagster dev

With a Wiro account, which spends real money within the budget in defs.yaml:
  cd {folder} && WIRO_API_KEY=... WIRO_API_SECRET=... dagster dev"""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def init(folder: Path) -> None:
    """Write a small project into FOLDER. Existing files are never overwritten."""
    name = folder.absolute().name
    package = re.sub(r"\W", "_", name, flags=re.ASCII).lower()
    if not package.isidentifier():
        raise click.ClickException(
            f'"{name}" cannot name a Python package. Begin with a letter, such as my-videos.'
        )
    home = folder / package / "defs" / "videos"
    files = {
        folder / "pyproject.toml": _PYPROJECT.format(name=name, package=package),
        folder / ".gitignore": _GITIGNORE,
        folder / package / "__init__.py": "",
        folder / package / "definitions.py": _DEFINITIONS,
        folder / package / "defs" / "__init__.py": "",
        home / "defs.yaml": DEFS_YAML.format(
            type_name="wiro_dagster.WiroVideoComponent", name='""'
        ),
        home / "prompts.yaml": PROMPTS_YAML,
    }
    existing = [str(path) for path in files if path.exists()]
    if existing:
        raise click.ClickException(f"{existing[0]} exists. Choose another folder.")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    click.echo(_NEXT.format(folder=folder, prompts=home / "prompts.yaml"))
