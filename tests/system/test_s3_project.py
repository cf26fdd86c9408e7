"""A project whose videos go to S3, against a server that speaks S3 over HTTP."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import requests
from dagster_aws.s3 import S3Resource

from tests.defs.test_io_manager import Downstream
from tests.support.project import Project
from wiro_dagster import build_video_store
from wiro_dagster.errors import ConfigurationError
from wiro_dagster.resources.s3 import S3VideoStore
from wiro_dagster.resources.stores import VideoStoreResource

BUCKET = "media"
SECRET = "a-secret-of-the-s3-tests"
CAT = {"id": "cat", "prompt": "A cat on a windowsill"}
DOG = {"id": "dög", "prompt": "A dog in the surf"}


@pytest.fixture
def aws(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The environment as boto3 reads it, and a client with an empty bucket."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = S3Resource().get_client()
    client.create_bucket(Bucket=BUCKET)
    return client


class S3Project(Project):
    """The same project with another store."""

    store: VideoStoreResource

    @property
    def resources(self) -> dict[str, Any]:
        return super().resources | {"video_store": self.store}

    def load_resources(self) -> dict[str, Any]:
        return self.resources  # Dagster puts the secrets in


@pytest.fixture
def s3_project(project: Project, aws: Any) -> S3Project:
    """`WIRO_VIDEO_STORE=s3://media/videos`."""
    changed = S3Project(project.folder, project.emulator, project.instance)
    changed.store = build_video_store(f"s3://{BUCKET}/videos")
    return changed


def metadata_of(project: Project, partition: str) -> dict[str, Any]:
    return {key: value.value for key, value in project.videos(partition)[0].metadata.items()}


def test_an_order_becomes_a_verified_object(s3_project: S3Project, aws: Any) -> None:
    """`dagster/uri` names it, its bytes are those that were announced and hashed."""
    s3_project.write_prompts(CAT)
    s3_project.order("cat")
    (order,) = s3_project.settle()
    metadata = metadata_of(s3_project, "cat")
    uri = metadata["dagster/uri"]
    assert uri.startswith(f"s3://{BUCKET}/videos/cat-")
    kept = aws.get_object(Bucket=BUCKET, Key=uri.removeprefix(f"s3://{BUCKET}/"))
    content = kept["Body"].read()
    assert hashlib.sha256(content).hexdigest() == metadata["wiro/sha256"]
    assert len(content) == order.outputs[0]["size_bytes"] == metadata["wiro/size_bytes"]
    assert kept["ContentType"] == "video/mp4"
    assert metadata["wiro/preview"].startswith("![cat](data:image/webp;base64,")
    assert not list(s3_project.folder.glob("videos/*"))


def test_a_signed_link_downloads_the_video(s3_project: S3Project) -> None:
    """Whoever has it can watch; nobody else can."""
    s3_project.write_prompts(CAT)
    s3_project.order("cat")
    (order,) = s3_project.settle()
    url = s3_project.store.get_store().view_url(order.files[0]["key"])
    assert url is not None
    assert SECRET not in url
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in url  # new buckets take no older signature
    answer = requests.get(url, timeout=60)
    assert hashlib.sha256(answer.content).hexdigest() == order.files[0]["sha256"]


def test_a_downstream_asset_gets_a_local_copy_that_goes_again(s3_project: S3Project) -> None:
    """Paths are good while the run lives; nothing is left in the temporary folder."""
    s3_project.write_prompts(CAT, DOG)
    s3_project.order("cat", "dög")
    s3_project.settle()
    downstream = Downstream(s3_project)
    assert downstream.run("length", partition="dög").success
    assert downstream.given["length"] == 6.0
    assert downstream.run("sheet", "bare").success
    assert set(downstream.given["sheet"]) == {"cat", "dög"}
    assert [path for path in downstream.given["bare"].values() if path.exists()] == []
    assert list(Path(tempfile.gettempdir()).glob("wiro-dagster-*/dög*")) == []


def test_the_gallery_links_to_signed_urls(s3_project: S3Project, aws: Any) -> None:
    """Its own link opens from Dagster, and the videos play from it."""
    s3_project.write_prompts(CAT)
    s3_project.order("cat")
    s3_project.settle()
    assert Downstream(s3_project).run("video_gallery").success
    (record,) = s3_project.instance.fetch_materializations(
        dg.AssetKey("video_gallery"), limit=5
    ).records
    assert record.asset_materialization is not None
    link = record.asset_materialization.metadata["wiro/gallery"]
    assert isinstance(link, dg.UrlMetadataValue)
    assert link.url is not None
    page = requests.get(link.url, timeout=60)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "good for 7 days" in page.text
    assert "<video" in page.text


def test_secrets_given_by_name_work_and_show_nowhere(
    project: Project, aws: Any, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dg.EnvVar` in the nested resource is resolved where it is used, and only there."""
    monkeypatch.setenv("MEDIA_SECRET", SECRET)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    changed = S3Project(project.folder, project.emulator, project.instance)
    changed.store = S3VideoStore(
        s3=S3Resource(
            endpoint_url=s3_endpoint,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key=dg.EnvVar("MEDIA_SECRET"),
        ),
        bucket=BUCKET,
        storage_class="STANDARD_IA",
        server_side_encryption="AES256",
    )
    changed.write_prompts(CAT)
    changed.order("cat")
    (order,) = changed.settle()
    kept = aws_head(s3_endpoint, order.files[0]["key"])
    assert (kept["StorageClass"], kept["ServerSideEncryption"]) == ("STANDARD_IA", "AES256")
    assert f"{changed.store!r} {changed.store}" == (
        f"S3VideoStore(bucket='{BUCKET}', prefix='') bucket='{BUCKET}' prefix=''"
    )
    resolved = S3VideoStore(
        s3=S3Resource(aws_access_key_id="testing", aws_secret_access_key=SECRET), bucket=BUCKET
    )
    assert SECRET not in f"{resolved!r} {resolved} {resolved.get_store()!r}"
    written = b"".join(path.read_bytes() for path in project.folder.rglob("*") if path.is_file())
    assert SECRET.encode() not in written


def aws_head(s3_endpoint: str, key: str) -> Any:
    client = S3Resource(
        endpoint_url=s3_endpoint,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key=SECRET,
    ).get_client()
    return client.head_object(Bucket=BUCKET, Key=key)


def test_a_store_without_a_bucket_is_refused() -> None:
    """The message shows the form."""
    with pytest.raises(ConfigurationError, match="s3://bucket/prefix"):
        build_video_store("s3://")


def test_a_bucket_that_is_gone_keeps_the_order(s3_project: S3Project, aws: Any) -> None:
    """What is paid for waits, with the reason, until the store can take it."""
    s3_project.emulator.script_task(run_seconds=3.0)
    s3_project.write_prompts(CAT)
    s3_project.order("cat")
    s3_project.tick()  # submits it
    for kept in aws.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        aws.delete_object(Bucket=BUCKET, Key=kept["Key"])
    aws.delete_bucket(Bucket=BUCKET)
    s3_project.emulator.advance(3)
    for _ in range(40):
        s3_project.tick()
        (order,) = s3_project.ledger.list_orders()
        if order.error:
            break
    assert order.state == "finished"
    assert "NoSuchBucket" in (order.error or "")
