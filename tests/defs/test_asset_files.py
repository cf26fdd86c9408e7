"""Files that upstream assets made, as inputs of prompts."""

# No `from __future__ import annotations`: Dagster compares the context's annotation with its class.
import runpy
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.defs.test_automation import is_fresh, stale_reasons
from tests.support.project import Project
from wiro_dagster import build_video_definitions, build_video_store
from wiro_dagster.cli.project import emulator_environment
from wiro_dagster.defs.desks import load_prompts
from wiro_dagster.emulator import Emulator
from wiro_dagster.resources.stores import VideoStoreResource

IMAGE = b"\x89PNG\r\n\x1a\n not really an image"
PORTRAITS = dg.DynamicPartitionsDefinition(name="faces")


def animate(prompt_id: str, image: object, **more: Any) -> dict[str, Any]:
    return {
        "id": prompt_id,
        "prompt": f"{prompt_id} smiles",
        "model": "minimax/image-to-video-hailuo-01-subject",
        "inputs": {"inputImageFirst": image},
        **more,
    }


@dataclass
class Studio(Project):
    """A project whose prompts name files of other assets."""

    made: dict[str, Any] = field(default_factory=dict)
    extra: list[dg.Definitions] = field(default_factory=list)

    @property
    def definitions(self) -> dg.Definitions:
        """The collection, the assets `logo` and `portraits`, and what a test adds."""

        @dg.asset
        def logo() -> dg.MaterializeResult[Any]:
            return dg.MaterializeResult(metadata={"path": self.made["logo"]})

        @dg.asset(partitions_def=PORTRAITS)
        def portraits(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
            metadata = {"dagster/uri": self.made[context.partition_key]}
            return dg.MaterializeResult(metadata=metadata)

        @dg.asset
        def pickled() -> dict[str, str]:
            return {"kept": "by an IO manager"}

        assets = dg.Definitions(assets=[logo, portraits, pickled])
        return dg.Definitions.merge(super().definitions, assets, *self.extra)

    def make(self, asset: str, what: object, partition: str | None = None) -> None:
        """Materializes an asset, which tells of a file or a URL."""
        self.made[partition or asset] = what
        if partition:
            self.instance.add_dynamic_partitions("faces", [partition])
        job = self.load().resolve_implicit_global_asset_job_def()
        keys = [dg.AssetKey.from_user_string(asset)]
        chosen = {"partition_key": partition} if partition else {}
        assert job.execute_in_process(
            asset_selection=keys, instance=self.instance, **chosen
        ).success

    def write_image(self, name: str, content: bytes = IMAGE) -> str:
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def problems(self) -> dict[str, str]:
        """What is wrong with which prompt."""
        with dg.build_resources(self.resources) as resources:
            found = load_prompts(self.collection, resources, self.instance)
        return {str(problem.id): str(problem) for problem in found.problems}


@pytest.fixture
def studio(project: Project) -> Studio:
    assets = {"input_assets": ["logo", "portraits", "pickled"]}
    return Studio(project.folder, project.emulator, project.instance, collection_options=assets)


def sent_files(project: Project) -> list[Any]:
    return [task["parameters"].get("inputImageFirst") for task in project.emulator.tasks()]


def test_the_file_that_an_asset_made_is_sent(studio: Studio) -> None:
    """Its own partition, a named one, or an asset without partitions; the graph shows it."""
    studio.make("logo", studio.write_image("logo.png"))
    studio.make("portraits", Path(studio.write_image("a.png")).as_uri(), "anna")
    studio.make("portraits", "https://example.com/bert.png", "bert")
    studio.write_prompts(
        animate("anna", {"asset": "portraits"}),
        animate("bert", {"asset": ["portraits"]}),
        animate("carl", {"asset": "portraits", "partition": "anna"}),
        animate("logo", {"asset": "logo"}),
    )
    assert studio.order("anna", "logo").success
    orders = {order.partition: order for order in studio.settle()}
    assert {order.state for order in orders.values()} == {"delivered"}
    assert len(orders) == 4
    assert orders["anna"].inputs["inputImageFirst"] == orders["carl"].inputs["inputImageFirst"]
    assert orders["bert"].inputs["inputImageFirstUrl"] == "https://example.com/bert.png"
    assert orders["logo"].inputs["inputImageFirst"]["file"].endswith("logo.png")
    assert len([name for name in sent_files(studio) if name]) == 3
    assert is_fresh(studio, "anna")
    assert is_fresh(studio, "logo")
    parents = studio.definitions.resolve_asset_graph().get(studio.collection.order_key).parent_keys
    assert {dg.AssetKey("logo"), dg.AssetKey("portraits")} <= parents


def test_other_bytes_are_another_video_and_the_same_bytes_are_not(studio: Studio) -> None:
    """A new materialization is seen by the sensor; what is unchanged is owned and stays free."""
    studio.make("logo", studio.write_image("one.png"))
    studio.write_prompts(animate("logo", {"asset": "logo"}))
    studio.order("logo")
    studio.settle()
    cursor = studio.bring_prompts_in().cursor
    unchanged = studio.tick_sensor("prompt_file_sensor", cursor)
    assert "has not changed" in str(unchanged.skip_message)

    studio.make("logo", studio.write_image("copy.png"))
    studio.tick_sensor("prompt_file_sensor", cursor)
    studio.order("logo")
    assert len(studio.settle()) == 1
    assert is_fresh(studio, "logo")

    studio.make("logo", studio.write_image("two.png", IMAGE + b"!"))
    studio.tick_sensor("prompt_file_sensor", cursor)
    stale = stale_reasons(studio, studio.collection.video_key, "logo")
    assert "has a new dependency data version: prompt" in stale
    studio.order("logo")
    first, second = studio.settle()
    assert (first.superseded_by, second.state) == (second.id, "delivered")
    assert is_fresh(studio, "logo")


def test_what_cannot_be_had_is_a_problem_of_its_prompt_alone(studio: Studio) -> None:
    """Each problem names the field and the next step; the others are ordered."""
    studio.make("logo", studio.write_image("logo.png"))
    studio.make("portraits", studio.write_image("lost.png"), "lost")
    Path(studio.made["lost"]).unlink()
    studio.make("pickled", None)
    studio.make("portraits", "gs://elsewhere/face.png", "far")
    studio.write_prompts(
        animate("fine", {"asset": "logo"}),
        animate("lost", {"asset": "portraits"}),
        animate("none", {"asset": "portraits"}),
        animate("none2", {"asset": "portraits", "partition": "nobody"}),
        animate("typo", {"asset": "portrait"}),
        animate("pickle", {"asset": "pickled"}),
        animate("far", {"asset": "portraits"}),
        animate("odd", {"asset": "logo", "part": "x"}),
        animate("empty", {"asset": []}),
    )
    problems = studio.problems()
    assert all(text.count("inputs.inputImageFirst: ") == 1 for text in problems.values())
    for name, words in {
        "lost": 'what "portraits" made; materialize it again',
        "none": 'no partition "none" yet. Materialize it, or name another: {asset: portraits,',
        "none2": 'no partition "nobody" yet. Materialize it.',
        "typo": "Did you mean 'portraits'? Add it in its definition: VideoCollection(input_assets",
        "pickle": "is a Python object that an IO manager keeps",
        "far": "not in this collection's video store",
        "odd": "'part' has no meaning here",
        "empty": "is not an asset key",
    }.items():
        assert words in problems.pop(name)
    assert problems == {}
    assert studio.order("fine").success
    assert studio.instance.get_dynamic_partitions("prompts") == ["fine"]
    assert [order.state for order in studio.settle()] == ["delivered"]


def test_an_asset_that_was_never_materialized_holds_nothing_up(studio: Studio) -> None:
    """Its prompt is ordered once the asset is there; nothing is bought before."""
    studio.collection_options = {**studio.collection_options, "auto_order": "new"}
    studio.write_prompts(animate("logo", {"asset": "logo"}))
    assert "has not been materialized yet. Materialize it." in studio.problems()["logo"]
    studio.make("logo", studio.write_image("logo.png"))
    for _ in range(2):
        studio.bring_prompts_in()
    assert [order.state for order in studio.settle()] == ["delivered"]
    assert studio.emulator.billable_tasks() == 1


def keyframes(studio: Studio) -> Project:
    """A collection of images, whose files the studio's videos begin with."""
    upstream = replace(studio, name="keyframes", collection_options={})
    studio.extra = [build_video_definitions(upstream.collection)]
    studio.collection_options = {"input_assets": ["keyframes/video"]}
    return upstream


def make_film_of_pictures(studio: Studio) -> dict[str, Any]:
    pictures = keyframes(studio)
    pictures.write_prompts({"id": "fox", "prompt": "A fox", "model": "bytedance/seedream-v4-5"})
    assert pictures.order("fox").success
    (picture,) = pictures.settle()
    studio.write_prompts(animate("fox", {"asset": "keyframes/video"}))
    assert studio.order("fox").success
    (film,) = studio.settle()
    assert film.state == "delivered", film.error
    assert is_fresh(studio, "fox")
    sent = dict(film.inputs["inputImageFirst"])
    assert sent["sha256"] == picture.files[0]["sha256"]
    assert sent["size_bytes"] == picture.files[0]["size_bytes"]
    assert len([name for name in sent_files(studio) if name]) == 1
    return sent


def test_a_collection_of_images_feeds_one_of_videos(studio: Studio) -> None:
    """The picture that Wiro made, from our own store, is the first image of the film."""
    sent = make_film_of_pictures(studio)
    assert sent["file"].startswith(str(studio.folder / "videos"))


@dataclass
class S3Studio(Studio):
    """The same with its files on S3."""

    store: VideoStoreResource | None = None

    @property
    def resources(self) -> dict[str, Any]:
        return super().resources | {"video_store": self.store}


@pytest.fixture
def s3_store(s3_client: Any) -> VideoStoreResource:
    """`s3://media/videos` on a real S3 server over HTTP."""
    s3_client.create_bucket(Bucket="media")
    return build_video_store("s3://media/videos")


def test_pictures_on_s3_feed_videos_too(studio: Studio, s3_store: VideoStoreResource) -> None:
    """They are copied from the video store when they are sent; a lost one buys nothing."""
    import boto3

    far = S3Studio(studio.folder, studio.emulator, studio.instance, store=s3_store)
    sent = make_film_of_pictures(far)
    assert sent["stored"].endswith(".png")
    # An object that another asset put into the store is hashed.
    boto3.client("s3").put_object(Bucket="media", Key="videos/logo.png", Body=IMAGE)
    far.make("logo", "s3://media/videos/logo.png")
    far.collection_options = {"input_assets": ["logo"]}
    far.write_prompts(animate("logo", {"asset": "logo"}))
    far.order("logo")
    boto3.client("s3").delete_object(Bucket="media", Key="videos/logo.png")
    lost = far.settle()[-1]
    assert (lost.partition, lost.state, lost.inputs["inputImageFirst"]["size_bytes"]) == (
        "logo",
        "failed",
        len(IMAGE),
    )
    assert "s3://media/videos/logo.png is gone" in str(lost.error)
    assert far.emulator.billable_tasks() == 2


REAL_PROJECT = """
import os
from pathlib import Path

import dagster as dg

from wiro_dagster import (
    AssetPrompts,
    FolderVideoStore,
    LedgerResource,
    OrderPolicy,
    VideoCollection,
    WiroResource,
    build_video_definitions,
)
from wiro_dagster.defs.timing import WaitTiming
from wiro_dagster.orders.policy import Timing

HERE = Path(__file__).parent
ANIMATE = "minimax/image-to-video-hailuo-01-subject"


@dg.asset
def face():
    return dg.MaterializeResult(metadata={"path": dg.MetadataValue.path(HERE / "face.png")})


@dg.asset
def texts():
    return [
        {"id": "anna", "prompt": "She smiles", "inputImageFirst": {"asset": "face"}},
        {"id": "bert", "prompt": "A fox in the snow", "model": "minimax/hailuo-2-3"},
        {"id": "path", "prompt": "He smiles", "inputImageFirst": HERE / "face.png"},
    ]


collection = VideoCollection(
    prompt_source=AssetPrompts(dg.AssetKey("texts"), {"model": ANIMATE}),
    input_assets=["face"],
    policy=OrderPolicy(timing=Timing(first_look_seconds=0.1, sweep_pause_seconds=0.1)),
    timing=WaitTiming(pause_seconds=0.1),
)
defs = dg.Definitions.merge(
    build_video_definitions(collection),
    dg.Definitions(
        assets=[face, texts],
        executor=dg.in_process_executor,
        resources={
            "wiro": WiroResource(
                api_key=dg.EnvVar("WIRO_API_KEY"),
                api_secret=dg.EnvVar("WIRO_API_SECRET"),
                base_url=os.environ["WIRO_BASE_URL"],
                cdn_hosts=os.environ["WIRO_CDN_HOSTS"].split(","),
            ),
            "wiro_ledger": LedgerResource(url=f"sqlite:///{HERE / 'ledger.db'}"),
            "video_store": FolderVideoStore(path=str(HERE / "videos")),
        },
    ),
)
"""


@pytest.fixture
def kept_project(tmp_path: Path, emulator: Emulator) -> Iterator[Project]:
    """A project whose instance other processes can open."""
    home = tmp_path / "dagster"
    home.mkdir()
    with dg.instance_for_test(temp_dir=str(home)) as instance:
        yield Project(tmp_path, emulator, instance)


def test_a_table_asset_is_read_in_a_real_run(
    kept_project: Project, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dagster asset materialize`: prompts of a table, one of them with a file of an asset."""
    project = kept_project
    (tmp_path / "face.png").write_bytes(IMAGE)
    (tmp_path / "studio.py").write_text(REAL_PROJECT)
    environment = {
        **emulator_environment(emulator),
        "DAGSTER_HOME": str(project.instance.root_directory),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    job = runpy.run_path(str(tmp_path / "studio.py"))[
        "defs"
    ].resolve_implicit_global_asset_job_def()
    made = [dg.AssetKey("texts"), dg.AssetKey("face")]
    assert job.execute_in_process(asset_selection=made, instance=project.instance).success
    project.instance.add_dynamic_partitions("prompts", ["anna", "bert", "path"])
    done = subprocess.run(
        [
            *(sys.executable, "-m", "dagster", "asset", "materialize", "-f", "studio.py"),
            *("--select", "video", "--partition-range", "anna...path"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    orders = {order.partition: order for order in project.ledger.list_orders()}
    assert {name: order.state for name, order in orders.items()} == dict.fromkeys(
        ("anna", "bert", "path"), "delivered"
    )
    assert orders["anna"].inputs["inputImageFirst"] == orders["path"].inputs["inputImageFirst"]
    assert emulator.billable_tasks() == 3
    assert [len(project.videos(name)) for name in orders] == [1, 1, 1]
