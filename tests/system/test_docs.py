"""What README and guides show: every block of code in them is run, or held against the project."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import dagster as dg
import pytest
import sqlalchemy as sa
import yaml
from click.testing import CliRunner
from dagster.components.testing.utils import create_defs_folder_sandbox

import wiro_dagster
from tests.support.project import FAST, Project
from wiro_dagster import (
    FolderVideoStore,
    LedgerResource,
    VideoCollection,
    WiroResource,
    WiroVideoComponent,
    build_video_definitions,
    build_video_store,
    errors,
)
from wiro_dagster.catalogue import Catalogue
from wiro_dagster.cli import main
from wiro_dagster.cli.project import emulator_environment
from wiro_dagster.emulator import Emulator
from wiro_dagster.ledger import Ledger, OrderRequest, OrderState
from wiro_dagster.ledger.schema import orders
from wiro_dagster.prompts import load_prompt_file

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
PROJECT = {
    "wiro": WiroResource(api_key="none"),
    "wiro_ledger": LedgerResource(url="sqlite:////tmp/ledger.db"),
    "video_store": FolderVideoStore(path="videos"),
}
_BLOCK = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
_FILE_NAME = re.compile(r"# ([\w.-]+\.(?:py|yaml))\b")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it is, what it says it is, and its text."""

    page: str
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 2, found[1], found[2])
        for found in _BLOCK.finditer(text)
    ]


@dataclass
class Reader:
    """Somebody who does what a page says, from top to bottom, in an empty folder."""

    folder: Path
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "page"})

    def run(self, block: Block) -> None:
        RUNNERS[block.kind](self, block)

    def run_python(self, block: Block) -> None:
        """Later blocks know what earlier ones defined. A named file is written too."""
        named = _FILE_NAME.match(block.text)
        if named:
            (self.folder / named[1]).write_text(block.text, encoding="utf-8")
            self.names["__file__"] = str(self.folder / named[1])
            if named[1].startswith("test_"):
                return  # a later block runs it
        code = compile("\n" * (block.line - 1) + block.text, block.page, "exec", dont_inherit=True)
        exec(code, self.names)
        if "defs" in self.names:
            dg.Definitions.validate_loadable(self.names["defs"])

    def run_yaml(self, block: Block) -> None:
        """A component's file is loaded as one, prompts are read and must be right."""
        content = yaml.safe_load(block.text)
        if "type" in content:
            self.load_component(content)
            return
        named = _FILE_NAME.match(block.text)
        path = self.folder / (named[1] if named else "prompts.yaml")
        path.write_text(block.text, encoding="utf-8")
        assert load_prompt_file(path, Catalogue.builtin()).problems == ()

    def load_component(self, content: dict[str, Any] | None) -> None:
        """`None` loads what the scaffolder writes."""
        with (
            create_defs_folder_sandbox() as sandbox,
            pytest.MonkeyPatch.context() as environment,
        ):
            path = sandbox.scaffold_component(WiroVideoComponent, "ads", defs_yaml_contents=content)
            written = yaml.safe_load((path / "defs.yaml").read_text())
            for variable in written.get("requirements", {}).get("env", ()):
                environment.setenv(variable, "sqlite://")
            with sandbox.load_component_and_build_defs(path) as (component, defs):
                assert isinstance(component, WiroVideoComponent)
                given = {name: PROJECT[name] for name in PROJECT.keys() - (defs.resources or {})}
                whole = dg.Definitions.merge(defs, dg.Definitions(resources=given))
                dg.Definitions.validate_loadable(whole)

    def run_shell(self, block: Block) -> None:
        for line in block.text.splitlines():
            words = shlex.split(line, comments=True)
            if words:
                COMMANDS[words[0]](self, words[1:])

    def run_text(self, block: Block) -> None:
        """A tree of the rooms has them all. tests/ledger/test_transitions.py reads the diagram."""
        if "─▶" not in block.text:
            words = set(re.findall(r"[a-z]+", block.text))
            package = ROOT / "wiro_dagster"
            assert words >= {path.parent.name for path in package.glob("*/__init__.py")}

    def run_command(self, words: list[str]) -> None:
        """One that runs until Ctrl-C must know the options that it gets."""
        if words[0] == "webhook":
            shown = CliRunner().invoke(main, ["webhook", "--help"]).output
            assert all(word in shown for word in words if word.startswith("--"))
            return
        result = CliRunner().invoke(main, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output

    def install(self, words: list[str]) -> None:
        assert words[0] == "install"
        for wanted in words[1:]:
            name, _, extras = wanted.rstrip("]").partition("[")
            known = importlib.metadata.metadata(name).get_all("Provides-Extra") or []
            assert set(extras.split(",")) - {""} <= set(known), wanted

    def make(self, words: list[str]) -> None:
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words) <= set(targets)

    def export(self, words: list[str]) -> None:
        """The project reads it, and understands the value."""
        name, _, value = words[0].partition("=")
        assert f'"{name}"' in (ROOT / "wiro_dagster/defs/project.py").read_text()
        if name == "WIRO_VIDEO_STORE":
            build_video_store(value)
        if name == "WIRO_LEDGER_URL":
            assert sa.make_url(value).get_backend_name() == "postgresql"

    def change_folder(self, words: list[str]) -> None:
        """Into a folder of the repository; the reader works on a copy of it."""
        shutil.copytree(ROOT / words[0], self.folder / words[0], dirs_exist_ok=True)
        self.folder = self.folder / words[0]

    def copy_file(self, words: list[str]) -> None:
        shutil.copy(self.folder / words[0], self.folder / words[1])

    def run_docker(self, words: list[str]) -> None:
        """tests/system/test_compose.py reads the file, and a campaign starts what is in it."""
        assert words[:2] == ["compose", "up"]
        assert (self.folder / "compose.yaml").exists()

    def run_dagster(self, words: list[str]) -> None:
        """What it would load is there, and was validated when the page showed it."""
        assert words[:2] == ["dev", "-f"]
        assert self.names["__file__"] == str(self.folder / words[2])
        assert isinstance(self.names["defs"], dg.Definitions)
        Ledger(f"sqlite:///{self.folder / 'ledger.db'}").close()  # the first order creates it

    def run_dg(self, words: list[str]) -> None:
        """What `dg` does for these, it does through the same doors of Dagster."""
        if words == ["list", "components"]:
            entry = '[project.entry-points."dagster_dg_cli.registry_modules"]\nwiro_dagster ='
            assert entry in (ROOT / "pyproject.toml").read_text()
            assert "WiroVideoComponent" in dir(wiro_dagster)
            return
        assert words in (
            ["scaffold", "defs", "wiro_dagster.WiroVideoComponent", "ads"],
            ["check", "defs"],
            ["dev"],
        )
        self.load_component(None)

    def run_module(self, words: list[str]) -> None:
        """A campaign or benchmark takes hours or minutes: it must know the options that it gets."""
        assert words[0] == "-m"
        shown = io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(shown),
            contextlib.suppress(SystemExit),
        ):
            patch.setattr(sys, "argv", [words[1], "--help"])
            with warnings.catch_warnings():
                # Another test may have imported the module already.
                warnings.simplefilter("ignore", RuntimeWarning)
                runpy.run_module(words[1], run_name="__main__")
        for option in (word for word in words if word.startswith("--")):
            assert option in shown.getvalue()

    def run_pytest(self, words: list[str]) -> None:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
        shown = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert shown.returncode == 0, shown.stdout
        assert " passed" in shown.stdout


RUNNERS: dict[str, Callable[[Reader, Block], None]] = {
    "python": Reader.run_python,
    "yaml": Reader.run_yaml,
    "bash": Reader.run_shell,
    "text": Reader.run_text,
}
COMMANDS: dict[str, Callable[[Reader, list[str]], None]] = {
    "wiro-dagster": Reader.run_command,
    "cd": Reader.change_folder,
    "cp": Reader.copy_file,
    "docker": Reader.run_docker,
    "pip": Reader.install,
    "make": Reader.make,
    "export": Reader.export,
    "dagster": Reader.run_dagster,
    "dg": Reader.run_dg,
    "pytest": Reader.run_pytest,
    "python": Reader.run_module,
}


@pytest.fixture
def reader(tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """In a folder with the images that prompts name, and a ledger with some history."""
    for name, value in emulator_environment(emulator).items():
        monkeypatch.setenv(name, value)
    history = f"sqlite:///{tmp_path / 'history.db'}"
    Ledger(history).close()
    monkeypatch.setenv("WIRO_LEDGER_URL", history)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for copy in ("images/portrait.jpg", "photos/anna.jpg"):
        (tmp_path / copy).parent.mkdir()
        shutil.copy(ROOT / "examples/images/face.jpg", tmp_path / copy)
    return Reader(tmp_path)


def write_troubled_orders() -> None:
    """Orders 12 to 14 as the page speaks of them."""
    ledger = Ledger(os.environ["WIRO_LEDGER_URL"])
    for number in range(1, 15):
        ledger.place(
            OrderRequest(
                collection="video",
                partition=f"prompt-{number}",
                account="account",
                model_slug="minimax/hailuo-2-3",
                inputs={"prompt": "a cat"},
                fingerprint=str(number),
            )
        )
    output = [{"url": "https://cdn.wiro.ai/12.mp4"}]
    changes: dict[int, dict[str, Any]] = {
        12: {"state": "uncollected", "outputs": output, "task_id": "task-4710"},
        13: {"state": "unknown"},
    }
    with ledger.writing() as connection:
        for order_id, values in changes.items():
            connection.execute(sa.update(orders).where(orders.c.id == order_id).values(values))


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_runs(reader: Reader, page: str) -> None:
    """From top to bottom, as somebody would who follows it; none is passed over."""
    if page == "docs/when-something-went-wrong.md":
        write_troubled_orders()
    blocks = blocks_of(page)
    fences = re.findall(r"^\s*(?:```|~~~)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert len(fences) == 2 * len(blocks)
    for block in blocks:
        try:
            reader.run(block)
        except Exception as error:
            raise AssertionError(f"{block} does not do what it shows") from error


def run_job(defs: dg.Definitions, keys: list[str], partition: str, **options: Any) -> None:
    job = defs.resolve_implicit_global_asset_job_def()
    selection = [dg.AssetKey.from_user_string(key) for key in keys]
    assert job.execute_in_process(
        asset_selection=selection, partition_key=partition, **options
    ).success


def test_the_first_project_makes_a_video(reader: Reader, project: Project) -> None:
    """Its prompts and definitions, word for word, on the emulator."""
    for block in blocks_of("docs/first-project.md"):
        if block.text.startswith(("# prompts.yaml", "# definitions.py")):
            reader.run(block)
    project.instance.add_dynamic_partitions("ads_prompts", ["lighthouse"])
    run_job(reader.names["defs"], ["ads/video"], "lighthouse", instance=project.instance)
    assert len(list((reader.folder / "videos").glob("lighthouse-*.mp4"))) == 1


def test_assets_before_and_after_a_video_do_what_the_guide_says(
    reader: Reader, project: Project
) -> None:
    """A portrait goes into a video, and ten lines get the video as a path."""
    for block in blocks_of("docs/other-assets.md"):
        reader.run(block)
    people, names = replace(reader.names["people"], policy=FAST), reader.names
    published = dg.asset(
        names["published"].op.compute_fn.decorated_fn,
        name="published",
        partitions_def=people.partitions,
        ins={"video": dg.AssetIn(people.video_key)},
    )
    defs = dg.Definitions.merge(
        build_video_definitions(people),
        dg.Definitions(assets=[names["portraits"], published], resources=project.resources),
    )
    project.instance.add_dynamic_partitions("people_prompts", ["anna"])
    run_job(defs, ["portraits"], "anna", instance=project.instance)
    run_job(defs, ["people/video", "published"], "anna", instance=project.instance)
    (task,) = project.emulator.tasks()
    assert "inputImageFirst" in task["parameters"]
    (copied,) = (reader.folder / "published").glob("anna-*.mp4")
    assert copied.stat().st_size > 0


def test_the_alerts_of_the_guide_are_sent(
    reader: Reader, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed video is told with Wiro's reason; a check that turns red requests the alert once."""
    for block in blocks_of("docs/alerts.md"):
        reader.run(block)
    names, told = reader.names, []
    names["tell"] = told.append
    project.write_prompts({"id": "fox", "prompt": "A fox [fail]"})
    assert project.order("fox").success
    project.settle()
    job = project.load().resolve_job_def("report_failed_videos")
    (order,) = project.ledger.list_orders()
    tags = {"wiro/failed_orders": str(order.id)}
    run = job.execute_in_process(
        instance=project.instance,
        partition_key="fox",
        tags=tags,
        resources=project.resources,
        raise_on_error=False,
    )
    context = dg.build_run_status_sensor_context(
        "failed_videos",
        dagster_event=run.get_run_failure_event(),
        dagster_instance=project.instance,
        dagster_run=run.dagster_run,
    ).for_run_failure()
    names["failed_videos"](context)
    assert "fox" in told[0]
    defs, red = names["ads_with_alerts"], project.collection.order_key
    defs = dg.Definitions.merge(defs, dg.Definitions(resources=project.resources))
    ticks = []
    cursor = None
    for passed in (True, False, False):
        project.instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(asset_key=red, check_name="account_open", passed=passed)
        )
        result = dg.evaluate_automation_conditions(
            defs, project.instance, cursor=cursor, asset_selection=dg.AssetSelection.all()
        )
        cursor = result.cursor
        ticks.append(result.get_num_requested(dg.AssetKey("video_alert")))
    # What was red before the first evaluation is nobody's news; Dagster decides about that.
    assert ticks[1:] == [1, 0]


def test_what_can_go_wrong_is_all_in_the_guide() -> None:
    """Each error of the tree, each state of an order, and each check of a collection."""
    page = (ROOT / "docs/when-something-went-wrong.md").read_text(encoding="utf-8")
    raised = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.WiroError)
    }
    defs = dg.Definitions.merge(
        build_video_definitions(VideoCollection(prompt_file=Path("prompts.yaml"))),
        dg.Definitions(resources=PROJECT),
    )
    checks = {key.name for key in defs.resolve_asset_graph().asset_check_keys}
    wanted = raised | checks | set(get_args(OrderState))
    assert {word for word in wanted if f"`{word}`" not in page} == set()


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    """Files, folders and pictures of this project; the README leads to every guide."""
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?://)([^)#]+)", text)
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []
    if page == "README.md":
        assert set(PAGES[1:]) <= set(links)
