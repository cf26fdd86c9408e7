"""Stores for the files that were paid for: a folder here, S3 in `wiro_dagster.store.s3`.

Bring another store by giving a class the methods of `VideoStore`.
"""

from __future__ import annotations

from wiro_dagster.store.delivery import store_download, store_text
from wiro_dagster.store.folder import FolderStore
from wiro_dagster.store.keys import check_key, output_key, suffix_for
from wiro_dagster.store.protocol import StoredFile, VideoStore
from wiro_dagster.store.receiving import FileSource, RemoteFile

__all__ = [
    "FileSource",
    "FolderStore",
    "RemoteFile",
    "StoredFile",
    "VideoStore",
    "check_key",
    "output_key",
    "store_download",
    "store_text",
    "suffix_for",
]
