"""Where prompts may come from: a file, a file on S3, a table that an asset makes."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from markdown_it import MarkdownIt

from tests.support.project import Project
from wiro_dagster import AssetPrompts, S3Prompts, VideoCollection, build_prompt_source
from wiro_dagster.catalogue import Catalogue
from wiro_dagster.catalogue.bounds import MAX_TEXT_BYTES
from wiro_dagster.defs import bringing_in
from wiro_dagster.defs.desks import load_prompts
from wiro_dagster.defs.missing import Missing
from wiro_dagster.defs.order_checks import prompts_check
from wiro_dagster.defs.prompt_sources import FilePrompts, list_rows
from wiro_dagster.errors import ConfigurationError, InputError
from wiro_dagster.prompts import load_prompt_rows

ROWS = [
    {"id": "cat", "prompt": "A cat on a windowsill", "model": "minimax/hailuo-2-3"},
    {"id": "dog", "prompt": "A dog in the surf", "duration": 10},
]


def test_a_collection_has_one_source() -> None:
    """A file or another source, not both and not neither."""
    with pytest.raises(ConfigurationError, match="Give either"):
        VideoCollection()
    with pytest.raises(ConfigurationError, match="Give either"):
        VideoCollection(Path("a.yaml"), prompt_source=FilePrompts(Path("b.yaml")))


def test_a_text_names_a_source() -> None:
    """As in `WIRO_PROMPT_FILE` and in `defs.yaml`."""
    here = Path("/here")
    assert build_prompt_source("a/b.yaml", here) == FilePrompts(Path("/here/a/b.yaml"))
    assert build_prompt_source("/a/b.csv", here) == FilePrompts(Path("/a/b.csv"))
    assert build_prompt_source("s3://bucket/a.json", here) == S3Prompts("s3://bucket/a.json")
    with pytest.raises(ConfigurationError, match=r"s3://bucket/key\.yaml"):
        build_prompt_source("https://example.com/a.yaml", here)
    with pytest.raises(ConfigurationError, match=r"s3://bucket/key\.yaml"):
        build_prompt_source("s3://bucket", here)


# ---- S3 ----


@pytest.fixture
def s3(s3_client: Any) -> Any:
    s3_client.create_bucket(Bucket="prompts")
    return s3_client


def from_source(project: Project, source: object, **options: Any) -> Project:
    """The project, with its prompts from elsewhere."""
    project.collection_options = {"prompt_source": source, **options}
    return project


class Elsewhere(Project):
    """A project without a prompt file."""

    @property
    def collection(self) -> VideoCollection:
        return VideoCollection(policy=self.policy, **self.collection_options)


@pytest.fixture
def elsewhere(project: Project) -> Elsewhere:
    return Elsewhere(project.folder, project.emulator, project.instance)


def tick(project: Project, defs: dg.Definitions, cursor: str | None = None) -> Any:
    """One tick of the prompt sensor, with what the daemon does of its result."""
    with dg.build_sensor_context(
        instance=project.instance, cursor=cursor, definitions=defs, resources=defs.resources
    ) as context:
        result = defs.resolve_sensor_def("prompt_file_sensor").evaluate_tick(context)
    for request in result.dynamic_partitions_requests or []:
        project.instance.add_dynamic_partitions(
            request.partitions_def_name, list(request.partition_keys)
        )
    return result


@pytest.mark.parametrize("resource", [None, "s3"])
def test_prompts_from_s3_are_ordered(elsewhere: Elsewhere, s3: Any, resource: str | None) -> None:
    """With boto3's own settings, or with dagster-aws's resource; a new object is seen."""
    from dagster_aws.s3 import S3Resource

    project = from_source(elsewhere, S3Prompts("s3://prompts/a/b.csv", resource))
    put = {"Bucket": "prompts", "Key": "a/b.csv"}
    s3.put_object(**put, Body="id,prompt,model\ncat,A cat,minimax/hailuo-2-3\n")
    defs = dg.Definitions.merge(
        project.definitions,
        dg.Definitions(
            resources={"s3": S3Resource(endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"])}
        ),
    )
    first = tick(project, defs)
    assert isinstance(first.cursor, str)
    again = tick(project, defs, first.cursor)
    assert "has not changed" in str(again.skip_message)
    job = defs.resolve_implicit_global_asset_job_def()
    run = job.execute_in_process(
        asset_selection=[project.collection.order_key],
        partition_key="cat",
        instance=project.instance,
    )
    assert run.success
    s3.put_object(**put, Body="id,prompt,model\ndog,A dog,minimax/hailuo-2-3\n")
    tick(project, defs, first.cursor)
    assert set(project.instance.get_dynamic_partitions("prompts")) == {"cat", "dog"}


def test_a_missing_object_is_told_by_the_check(elsewhere: Elsewhere, s3: Any) -> None:
    """Partitions stay; the check says what is wrong with which URI."""
    project = from_source(elsewhere, S3Prompts("s3://prompts/none.yaml"))
    result = tick(project, project.definitions)
    (check,) = result.asset_events
    assert not check.passed
    assert "s3://prompts/none.yaml" in str(check.metadata["wiro/problem_list"].value)


def test_a_file_on_s3_cannot_name_files_of_this_machine(elsewhere: Elsewhere, s3: Any) -> None:
    """Whoever may write to the bucket must not be able to send local files to Wiro."""
    rows = "id,prompt,model,inputImageFirst\ncat,A cat,minimax/hailuo-2-3,/etc/hostname\n"
    s3.put_object(Bucket="prompts", Key="a.csv", Body=rows)
    project = from_source(elsewhere, S3Prompts("s3://prompts/a.csv"))
    result = tick(project, project.definitions)
    assert not result.dynamic_partitions_requests
    (check,) = result.asset_events
    assert "local files cannot be named here" in str(check.metadata["wiro/problem_list"].value)


# ---- an asset ----


def with_table(project: Project, rows: object) -> dg.Definitions:
    """The project, and an upstream asset that makes its table of prompts."""

    @dg.asset
    def marketing_texts() -> object:
        return rows

    return dg.Definitions.merge(project.definitions, dg.Definitions(assets=[marketing_texts]))


def test_prompts_from_an_asset_are_ordered(elsewhere: Elsewhere) -> None:
    """The table's materialization brings prompts in; the policy orders them."""
    source = AssetPrompts(dg.AssetKey("marketing_texts"), {"model": "minimax/hailuo-2-3"})
    project = from_source(elsewhere, source, auto_order="new_and_changed")
    defs = with_table(project, ROWS)
    before = tick(project, defs)
    assert not before.asset_events[0].passed
    assert "Materialize it" in str(before.asset_events[0].metadata["wiro/problem_list"].value)
    materialize(project, defs)
    seen = tick(project, defs, before.cursor)
    tick(project, defs, seen.cursor)
    project.settle()
    assert [len(project.videos(key)) for key in ("cat", "dog")] == [1, 1]
    assert project.videos("dog")[0].metadata["wiro/inputs"].value["duration"] == "10"
    graph = defs.resolve_asset_graph()
    assert graph.get(project.collection.prompt_key).parent_keys == {dg.AssetKey("marketing_texts")}


def test_the_same_rows_again_order_nothing(elsewhere: Elsewhere) -> None:
    """A table that is made anew each hour does not make videos anew."""
    source = AssetPrompts(dg.AssetKey("marketing_texts"), {"model": "minimax/hailuo-2-3"})
    project = from_source(elsewhere, source, auto_order="new_and_changed")
    defs = with_table(project, ROWS)
    cursor = None
    for _ in range(2):
        materialize(project, defs)
        cursor = tick(project, defs, cursor).cursor
        cursor = tick(project, defs, cursor).cursor
    assert len(project.ledger.list_orders()) == 2


def materialize(project: Project, defs: dg.Definitions) -> None:
    job = defs.resolve_implicit_global_asset_job_def()
    key = dg.AssetKey("marketing_texts")
    assert job.execute_in_process(asset_selection=[key], instance=project.instance).success


class Pandas:
    """As a pandas table speaks."""

    columns = ("id", "prompt")

    def to_dict(self, orient: str) -> list[dict[str, str]]:
        assert orient == "records"
        return [{"id": "a", "prompt": "b"}]


class Polars:
    """As a polars table speaks."""

    def to_dicts(self) -> list[dict[str, str]]:
        return [{"id": "a", "prompt": "b"}]


class Arrow:
    """As an Arrow table speaks."""

    def to_pylist(self) -> list[dict[str, str]]:
        return [{"id": "a", "prompt": "b"}]


@pytest.mark.parametrize(
    "table", [Pandas(), Polars(), Arrow(), ({"id": "a", "prompt": "b"},)], ids=type
)
def test_tables_of_several_kinds_have_rows(table: object) -> None:
    """Whatever the upstream asset's IO manager gives."""
    assert list_rows(table, "asset a") == [{"id": "a", "prompt": "b"}]


@pytest.mark.parametrize("table", [None, "text", {"id": "a"}, 5])
def test_what_has_no_rows_is_refused(table: object) -> None:
    """The message says what to return."""
    with pytest.raises(InputError, match="Return a list of mappings"):
        list_rows(table, "asset a")


# ---- bounds ----


class LargeObjects:
    """S3, as far as reading one object goes."""

    def __init__(self, size_bytes: int, *, says_so: bool) -> None:
        self.read_bytes = 0
        self._size_bytes = size_bytes
        self._says_so = says_so

    def get_object(self, **_: str) -> dict[str, Any]:
        length = {"ContentLength": self._size_bytes} if self._says_so else {}
        return {"Body": self, **length}

    def read(self, size_bytes: int) -> bytes:
        self.read_bytes += min(size_bytes, self._size_bytes)
        return b" " * min(size_bytes, self._size_bytes)


@pytest.mark.parametrize("says_so", [True, False])
def test_an_object_on_s3_is_measured_before_it_is_read(*, says_so: bool) -> None:
    """An object whose size nobody states is read up to the limit and no further."""
    client = LargeObjects(300_000_000, says_so=says_so)
    source = S3Prompts("s3://bucket/a.yaml", "s3")
    with pytest.raises(InputError, match="more than 50 MB"):
        source.load(Catalogue.builtin(), SimpleNamespace(s3=client), None)
    assert client.read_bytes == (0 if says_so else MAX_TEXT_BYTES + 1)


def test_a_pipe_does_not_hold_up_the_sensor(tmp_path: Path) -> None:
    """Its version is that it cannot be read."""
    os.mkfifo(tmp_path / "pipe.yaml")
    version = FilePrompts(tmp_path / "pipe.yaml").find_version(None, dg.DagsterInstance.ephemeral())
    assert version.startswith("unreadable")


def test_a_collection_allows_further_folders(project: Project) -> None:
    """By default only the prompt file's own folder counts."""
    outside = project.folder / "outside"
    inside = project.folder / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / "face.png").write_bytes(b"face")
    file = inside / "prompts.yaml"
    file.write_text(
        "prompts: [{id: a, prompt: x, model: minimax/hailuo-2-3, "
        "inputs: {inputImageFirst: ../outside/face.png}}]"
    )
    for allowed, count in (((), 0), (("../outside",), 1)):
        collection = VideoCollection(prompt_file=file, allowed_folders=allowed)
        with dg.build_resources(project.resources) as resources:
            found = load_prompts(collection, resources, project.instance)
        assert len(found.prompts) == count


def test_texts_of_prompts_are_shown_as_text_in_the_check() -> None:
    """An id must not load a picture of another host into Dagster's UI."""
    picture = "![b](http://evil.example/b.png) <img src=x> [Sign in](http://evil.example)"
    rows: list[dict[str, Any]] = [
        {"id": picture, "prompt": "x", "model": "minimax/hailuo-2-3", "take": 0},
        {"id": "a", "prompt": "x", "model": picture},
        {"id": "b", "prompt": "x", "model": "minimax/hailuo-2-3", picture: "y"},
    ]
    check = prompts_check(
        load_prompt_rows(rows, "a table", Catalogue.builtin()),
        dg.AssetKey("video_order"),
        Missing(0, Decimal(0), 0, None),
    )
    for name in ("wiro/problem_list", "wiro/notes"):
        html = MarkdownIt().render(str(check.metadata[name].value))
        assert "evil.example" in html
        assert "<img" not in html
        assert "<a " not in html


def test_many_new_partitions_are_there_before_the_tick_ends(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon would ask Dagster for each, and hold up the sensors of others for minutes."""
    monkeypatch.setattr(bringing_in, "_MOST_REQUESTED", 2)
    monkeypatch.setattr(bringing_in, "_ADD_AT_ONCE", 2)
    names = ["cat", "dog", "bird"]
    prompts = [{"id": name, "prompt": f"A {name}"} for name in names]
    text = {"defaults": {"model": "minimax/hailuo-2-3"}, "prompts": prompts}
    project.prompt_file.write_text(json.dumps(text))
    result = project.tick_sensor("prompt_file_sensor", None)
    assert not result.dynamic_partitions_requests
    assert project.instance.get_dynamic_partitions("prompts") == names
