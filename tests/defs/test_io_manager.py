"""Videos as inputs of other assets, from a folder and from S3, by run and by sensor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg

from tests.support.project import Project
from wiro_dagster.media import probe_media

CAT = {"id": "cat", "prompt": "A cat on a windowsill"}
DOG = {"id": "dog", "prompt": "A dog in the surf"}


class Downstream:
    """Assets of a user that read videos, and what they were given."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.given: dict[str, Any] = {}
        given = self.given
        video = dg.AssetIn(project.collection.video_key)

        @dg.asset(partitions_def=project.collection.partitions, ins={"video": video})
        def length(video: Path) -> None:
            given["length"] = probe_media(video).duration_seconds

        @dg.asset(ins={"video": video})
        def sheet(video: dict[str, Path]) -> None:
            given["sheet"] = {key: path.stat().st_size for key, path in video.items()}

        @dg.asset(ins={"video": video})
        def bare(video) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
            given["bare"] = video

        self.definitions = dg.Definitions.merge(
            project.definitions, dg.Definitions(assets=[length, sheet, bare])
        )

    def run(self, *names: str, partition: str | None = None) -> dg.ExecuteInProcessResult:
        job = self.definitions.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            asset_selection=[dg.AssetKey(name.split("/")) for name in names],
            partition_key=partition,
            instance=self.project.instance,
            raise_on_error=False,
        )


def test_a_video_that_the_sensor_reported_is_an_input(project: Project) -> None:
    """No run ever handled it as an output."""
    project.write_prompts(CAT)
    project.order("cat")
    project.settle()
    downstream = Downstream(project)
    assert downstream.run("length", partition="cat").success
    assert downstream.given["length"] == 6.0


def test_a_video_and_what_reads_it_in_one_run(project: Project) -> None:
    """The path is there as soon as the video is."""
    project.write_prompts(CAT)
    downstream = Downstream(project)
    assert downstream.run("video", "length", partition="cat").success
    assert downstream.given["length"] == 6.0


def test_several_videos_are_a_dict_by_partition(project: Project) -> None:
    """What has no video yet is left out; one video is a dict too where a dict is asked for."""
    project.write_prompts(CAT, DOG)
    project.order("cat")
    project.settle()
    downstream = Downstream(project)
    assert downstream.run("sheet", "bare").success
    (order,) = project.ledger.list_orders()
    assert downstream.given["sheet"] == {"cat": order.files[0]["size_bytes"]}
    assert list(downstream.given["bare"]) == ["cat"]
    project.order("dog")
    project.settle()
    assert downstream.run("sheet").success
    assert set(downstream.given["sheet"]) == {"cat", "dog"}


def test_a_partition_without_a_video_says_so(project: Project) -> None:
    """Its run fails with the partition's name and what to do."""
    project.write_prompts(CAT)
    result = Downstream(project).run("length", partition="cat")
    assert not result.success
    failure = str(result.get_step_failure_events()[0].event_specific_data)
    assert '"cat" of video has no video yet' in failure


def test_the_newest_video_is_given(project: Project) -> None:
    """After a new prompt its path is another one."""
    project.write_prompts(CAT)
    project.order("cat")
    project.settle()
    downstream = Downstream(project)
    downstream.run("bare")
    first = downstream.given["bare"]["cat"]
    project.write_prompts({**CAT, "prompt": "A cat asleep"})
    project.order("cat")
    project.settle()
    downstream.run("bare")
    assert downstream.given["bare"]["cat"] != first


def test_a_collection_with_a_name_has_inputs_of_its_own(project: Project) -> None:
    """Its key has two parts, its IO manager its own name."""
    ads = Project(project.folder, project.emulator, project.instance, name="ads")
    ads.write_prompts(CAT)
    ads.order("cat")
    ads.settle()
    downstream = Downstream(ads)
    assert downstream.run("length", partition="cat").success
    assert downstream.given["length"] == 6.0
