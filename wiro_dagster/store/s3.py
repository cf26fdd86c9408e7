"""Files in Amazon S3, or in a service that speaks its protocol.

    client = S3Resource(region_name="eu-central-1").get_client()
    store = S3Store(client, "my-bucket", "videos", server_side_encryption="aws:kms")

The client's user needs `s3:PutObject`, `s3:GetObject`, `s3:ListBucket` and
`s3:AbortMultipartUpload`; also `s3:ListBucketMultipartUploads` to clear up the uploads that a
dead process left.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from wiro_dagster.errors import StoreError
from wiro_dagster.store.disk import STALE_SECONDS
from wiro_dagster.store.keys import check_key, is_active, served_type
from wiro_dagster.store.notes import (
    MAX_NOTE_BYTES,
    NOTES_FOLDER,
    decode_note,
    encode_note,
    note_name,
    note_path,
)
from wiro_dagster.store.objects import LONGEST_VIEW_SECONDS, ObjectStore, StoredObject
from wiro_dagster.store.s3_errors import is_missing, s3_errors

_log = logging.getLogger(__name__)

_MEBIBYTE = 1024 * 1024


class S3Store(ObjectStore):
    """Keeps files as objects of a bucket.

    A file is uploaded in parts of which S3 verifies the SHA-256. Its own SHA-256 goes along as
    metadata, and is compared.

    Args:
        client: a boto3 S3 client, such as `S3Resource(…).get_client()` of dagster-aws makes.
        bucket: an existing bucket.
        prefix: what all keys start with; a slash is put after it.
        server_side_encryption: "AES256" or "aws:kms"; None leaves it to the bucket's own setting.
        kms_key_id: key to encrypt with; implies "aws:kms".
        storage_class: such as "STANDARD_IA"; it must be readable at once.
        part_bytes: files larger than this are uploaded in parts of this size, at least 5 MiB.
        threads: how many parts of one file are under way at once.
        temporary_folder: where files are staged and copied to; the system's when None.
    """

    algorithm = "sha256"

    def __init__(
        self,
        client: Any,
        bucket: str,
        prefix: str = "",
        *,
        server_side_encryption: str | None = None,
        kms_key_id: str | None = None,
        storage_class: str | None = None,
        part_bytes: int = 16 * _MEBIBYTE,
        threads: int = 4,
        temporary_folder: Path | None = None,
    ) -> None:
        super().__init__(temporary_folder)
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        self._client = client
        self._part_bytes = part_bytes
        self._threads = threads
        self._has_cleared_up = False
        encryption = server_side_encryption or ("aws:kms" if kms_key_id else None)
        options = {
            "ServerSideEncryption": encryption,
            "SSEKMSKeyId": kms_key_id,
            "StorageClass": storage_class,
        }
        self._upload_options = {name: value for name, value in options.items() if value}

    def __repr__(self) -> str:
        return f"S3Store({self._uri(self.prefix)!r})"

    def uri_for(self, key: str) -> str:
        """Return the object's `s3://` URI."""
        return self._uri(self._name(key))

    def view_url(self, key: str, *, expires_seconds: int = 3600) -> str | None:
        """Return a signed URL that shows the file to anyone who has it, for seven days at most."""
        with self._errors(f"{key} could not be given a URL in"):
            url = self._client.generate_presigned_url(
                "get_object",
                Params={"Bucket": self.bucket, "Key": self._name(key)},
                ExpiresIn=min(expires_seconds, LONGEST_VIEW_SECONDS),
            )
        return str(url)

    def write_note(self, name: str, content: Mapping[str, Any]) -> None:
        """Put the note as one small object."""
        path, encoded = note_path(name), encode_note(name, content)
        with self._errors(f"The note {name} could not be written to"):
            self._client.put_object(
                Bucket=self.bucket,
                Key=self._below_prefix(path),
                Body=encoded,
                ContentType="application/json",
                **self._upload_options,
            )

    def read_note(self, name: str) -> Mapping[str, Any] | None:
        """Get the note's object."""
        key = self._below_prefix(note_path(name))
        with self._errors(f"The note {name} could not be read from"):
            try:
                answer = self._client.get_object(Bucket=self.bucket, Key=key)
            except self._client.exceptions.ClientError as error:
                if is_missing(error):
                    return None
                raise
            with answer["Body"] as body:
                encoded = body.read(MAX_NOTE_BYTES + 1)
        return decode_note(encoded, self._uri(key))

    def list_notes(self, prefix: str = "") -> Iterator[str]:
        """List the objects under the notes' prefix, a page at a time."""
        folder = self._below_prefix(NOTES_FOLDER) + "/"
        with self._errors("Notes could not be listed in"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=folder + prefix
            )
            for kept in (kept for page in pages for kept in page.get("Contents", [])):
                name = note_name(str(kept["Key"]).removeprefix(folder))
                if name is not None:
                    yield name

    def abort_stale_uploads(self, *, older_than_seconds: float = STALE_SECONDS) -> int:
        """Abort uploads under the prefix that were begun long ago and never ended; they cost money.

        Returns:
            How many were aborted.
        """
        newest = time.time() - older_than_seconds
        aborted = 0
        with self._errors("unfinished uploads could not be aborted in"):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.bucket, Prefix=f"{self.prefix}/" if self.prefix else ""
            )
            for upload in (upload for page in pages for upload in page.get("Uploads", [])):
                begun: dt.datetime = upload["Initiated"]
                if begun.timestamp() <= newest:
                    self._client.abort_multipart_upload(
                        Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )
                    aborted += 1
        return aborted

    def _clear_up(self) -> None:
        # Once for each store object is enough, and nothing depends on it: the permission to list
        # uploads may be missing.
        self._has_cleared_up = True
        try:
            self.abort_stale_uploads()
        except StoreError as error:
            _log.info("%s", error)

    def _errors(self, what: str) -> AbstractContextManager[None]:
        return s3_errors(what, self._uri(self.prefix))

    def _find_object(self, key: str) -> StoredObject | None:
        name = self._name(key)
        with self._errors(f"{key} could not be looked up in"):
            try:
                kept = self._client.head_object(Bucket=self.bucket, Key=name)
            except self._client.exceptions.ClientError as error:
                if is_missing(error):
                    return None
                raise
        return StoredObject(kept["ContentLength"], kept["Metadata"].get("sha256"))

    def _upload(
        self, staged: Path, key: str, *, content_type: str | None, digests: Mapping[str, str]
    ) -> None:
        if staged.stat().st_size > self._part_bytes and self.prefix and not self._has_cleared_up:
            self._clear_up()
        extra = {
            **self._upload_options,
            **self._checksum_options(),
            "Metadata": {"sha256": digests["sha256"]},
            **_serving_options(key, content_type),
        }
        self._client.upload_file(
            str(staged), self.bucket, self._name(key), ExtraArgs=extra, Config=self._transfer()
        )

    def _download(self, key: str, path: Path) -> None:
        self._client.download_file(self.bucket, self._name(key), str(path), Config=self._transfer())

    def _checksum_options(self) -> dict[str, str]:
        # Services other than Amazon's may refuse checksums they do not know; boto3 has a switch
        # for that (AWS_REQUEST_CHECKSUM_CALCULATION).
        wanted = getattr(self._client.meta.config, "request_checksum_calculation", None)
        return {} if wanted == "when_required" else {"ChecksumAlgorithm": "SHA256"}

    def _transfer(self) -> Any:
        from boto3.s3.transfer import TransferConfig

        return TransferConfig(
            multipart_threshold=self._part_bytes + 1,
            multipart_chunksize=self._part_bytes,
            max_concurrency=self._threads,
        )

    def _name(self, key: str) -> str:
        return self._below_prefix(check_key(key))

    def _below_prefix(self, path: str) -> str:
        return f"{self.prefix}/{path}" if self.prefix else path

    def _uri(self, name: str) -> str:
        return f"s3://{self.bucket}/{name}".rstrip("/")


def _serving_options(key: str, content_type: str | None) -> dict[str, str]:
    served = served_type(content_type)
    if is_active(key, content_type):
        return {"ContentType": served, "ContentDisposition": "attachment"}
    return {"ContentType": served}
