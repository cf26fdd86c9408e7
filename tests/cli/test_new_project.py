"""`wiro-dagster init`, `demo` and `dev` in a folder that has nothing yet."""

from __future__ import annotations

import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from wiro_dagster.cli import main
from wiro_dagster.cli.examples_folder import EXAMPLE_PROMPTS, write_examples

ROOT = Path(__file__).parents[2]
KEYS = {"WIRO_API_KEY": "key", "WIRO_API_SECRET": "secret"}
LOAD = """
import os
import dagster as dg
from my_videos.definitions import defs

dg.Definitions.validate_loadable(defs())
os.environ.update(WIRO_BASE_URL="http://127.0.0.1:1/v1", WIRO_CDN_HOSTS="localhost:2")
wiro = defs().resources["wiro"]
print(wiro.base_url, wiro.cdn_hosts, wiro.websocket_url)
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def python(folder: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_new_project_loads_as_it_is(folder: Path) -> None:
    """Dagster finds its code location, and only the credentials come from outside.

    `wiro-dagster dev` points it at the emulator by the environment alone.
    """
    shown = run("init", "my-videos")
    assert shown.exit_code == 0, shown.output
    settings = (folder / "my-videos" / "pyproject.toml").read_text()
    assert 'module_name = "my_videos.definitions"' in settings
    assert (folder / "my-videos" / "my_videos" / "defs" / "videos" / "prompts.yaml").exists()
    loaded = python(folder / "my-videos", LOAD, **KEYS)
    assert loaded.returncode == 0, loaded.stderr[-3000:]
    assert loaded.stdout.split() == ["http://127.0.0.1:1/v1", "['localhost:2']", "None"]


def test_init_overwrites_nothing(folder: Path) -> None:
    """A second call, or a folder with files of its own, is refused."""
    run("init", "my-videos")
    (folder / "my-videos" / "my_videos" / "__init__.py").write_text("mine = 1\n")
    shown = run("init", "my-videos")
    assert shown.exit_code == 1
    assert "exists" in shown.stderr
    assert (folder / "my-videos" / "my_videos" / "__init__.py").read_text() == "mine = 1\n"


def test_a_name_that_python_cannot_import_is_refused(folder: Path) -> None:
    """The message says what to write."""
    shown = run("init", "2-videos")
    assert shown.exit_code == 1
    assert "Begin with a letter" in shown.stderr
    assert not list(folder.iterdir())


def test_examples_come_with_the_package(folder: Path) -> None:
    """Those of the repository and of the wheel are the same files, and yours are kept."""
    ours = ROOT / "wiro_dagster" / "cli" / "examples"
    for path in ours.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (ROOT / "examples" / path.relative_to(ours)).read_bytes()
    assert write_examples(folder)
    (folder / EXAMPLE_PROMPTS).write_text("prompts: []\n")
    assert not write_examples(folder)
    assert (folder / EXAMPLE_PROMPTS).read_text() == "prompts: []\n"


def test_a_folder_without_a_project_gets_the_ready_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `wiro-dagster dev` loads there has the example prompts."""
    write_examples(folder)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    ready = runpy.run_module("wiro_dagster.cli.ready")
    dg.Definitions.validate_loadable(ready["defs"])


def test_a_taken_port_is_a_clear_error(folder: Path) -> None:
    """It is found before anything is started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        shown = run("dev", "--port", str(port))
    assert shown.exit_code == 1
    assert f"Port {port} is in use" in shown.stderr
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("command", "module", "extra"),
    [
        ("demo", "starlette", "emulator"),
        ("emulator", "uvicorn", "emulator"),
        ("dev", "dagster_webserver", "dev"),
    ],
)
def test_a_missing_extra_is_one_sentence(
    folder: Path, command: str, module: str, extra: str
) -> None:
    """It names what to install."""
    code = f"import sys; sys.modules['{module}'] = None; from wiro_dagster.cli import main; main()"
    shown = subprocess.run(
        [sys.executable, "-c", code, command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 1
    (line,) = shown.stderr.strip().splitlines()
    assert module in line
    assert f'pip install "wiro-dagster[{extra}]"' in line
    assert not list(folder.iterdir())


def test_help_says_what_exit_codes_mean() -> None:
    """So that scripts can go by them."""
    shown = run("--help").output
    assert "Exit status" in shown
    assert "_WIRO_DAGSTER_COMPLETE" in shown
