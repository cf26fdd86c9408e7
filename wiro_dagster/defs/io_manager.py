"""Videos as inputs of other assets: `def thumbnail(video: Path)` gets a file to read.

    @dg.asset(partitions_def=collection.partitions)
    def thumbnail(video: Path) -> None:
        ...

An asset that takes several partitions gets a dict from partition key to path.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, get_origin
from urllib.parse import unquote

import dagster as dg

from wiro_dagster.defs.event_log import find_video_uris
from wiro_dagster.errors import StoreError
from wiro_dagster.store import VideoStore

_NAMED_PARTITIONS = 10


class VideoIOManager(dg.IOManager):
    """Gives paths of owned videos, whether a run or the sensor reported them.

    Args:
        store: where the videos are.
        copies: keeps local copies of a remote store until it is closed.
    """

    def __init__(self, store: VideoStore, copies: ExitStack) -> None:
        self._store = store
        self._copies = copies

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Do nothing: a video is in the store before it is materialized."""

    def load_input(self, context: dg.InputContext) -> Path | dict[str, Path]:
        """Return the path of one video, or the paths of several by partition key.

        If several are requested, missing ones are left out and named in the log.

        Raises:
            StoreError: the video does not exist, or the store has lost it.
        """
        keys = list(context.asset_partition_keys)
        uris = find_video_uris(context.instance, context.asset_key, keys)
        if _takes_one(context, keys):
            if keys[0] not in uris:
                raise StoreError(
                    f'The partition "{keys[0]}" of {context.asset_key.to_user_string()} has no '
                    "video yet. Materialize it first."
                )
            return self._open(uris[keys[0]])
        missing = [key for key in keys if key not in uris]
        if missing:
            named = ", ".join(f'"{key}"' for key in missing[:_NAMED_PARTITIONS])
            more = " and others" if len(missing) > _NAMED_PARTITIONS else ""
            context.log.warning(
                f"{len(missing)} of {len(keys)} partitions have no video: {named}{more}."
            )
        return {key: self._open(uris[key]) for key in keys if key in uris}

    def _open(self, uri: str) -> Path:
        # A store's keys have no folders in them. The store may have moved since: its files count.
        key = unquote(uri.rsplit("/", 1)[-1])
        return self._copies.enter_context(self._store.local_copy(key))


def build_video_io_manager(store: str) -> dg.IOManagerDefinition:
    """Return the IO manager of a video store; local copies are removed when the run or step ends.

    Args:
        store: resource key of the `VideoStoreResource`.
    """

    @dg.io_manager(  # type: ignore[arg-type]  # its types know no generators; it does
        required_resource_keys={store}, description="Gives paths of videos to other assets."
    )
    def video_io_manager(context: dg.InitResourceContext) -> Iterator[VideoIOManager]:
        with ExitStack() as copies:
            yield VideoIOManager(getattr(context.resources, store).get_store(), copies)

    return video_io_manager


def _takes_one(context: dg.InputContext, keys: list[str]) -> bool:
    wanted = context.dagster_type.typing_type
    if len(keys) != 1 or wanted is dict or get_origin(wanted) is dict:
        return False
    # Without an annotation: an asset that has partitions itself takes its own.
    return wanted is Path or context.has_partition_key
