"""`WiroMetadata`: the `wiro/` keys of an event, read back with their types."""

# No `from __future__ import annotations`: Pydantic reads the fields by their annotations.
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import dagster as dg
from pydantic import BaseModel, BeforeValidator, ConfigDict

_NAMESPACE = "wiro/"


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


_Texts = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class WiroMetadata(BaseModel):
    """What this package records on events of `prompt`, `video_order` and `video`.

    A key that an event lacks is None, or empty.

    Example:
        event = instance.get_latest_materialization_event(dg.AssetKey("video"))
        video = WiroMetadata.extract(event.asset_materialization.metadata)
        print(video.model, video.cost_usd, video.uri)
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    order_id: int | None = None
    """The order's number in the ledger."""
    ledger_id: str | None = None
    """Which ledger has the order."""
    ledger_sequence: int | None = None
    """How far that ledger was, for telling an older copy of it."""
    task_id: str | None = None
    """Wiro's task."""
    model: str | None = None
    """`owner/model`."""
    prompt: str | None = None
    """The prompt's text."""
    inputs: Mapping[str, Any] = {}
    """The model's inputs, as they were sent."""
    take: int | None = None
    """Which of several videos of the same prompt."""
    takes: int | None = None
    """Of a prompt: how many takes it asks for, if they are several."""
    chosen_by: str | None = None
    """Who chose this take."""
    choose: str | None = None
    """Of `video_order`: how to show a further take that has come."""
    fingerprint: str | None = None
    """Of the model and its inputs: the data version."""
    quote_usd: float | None = None
    """What it was expected to cost."""
    cost_usd: float | None = None
    """What Wiro charged; None if Wiro did not say."""
    uri: str | None = None
    """Where the first file is: `file://…`, `s3://…`. The key is `dagster/uri`."""
    files: tuple[str, ...] = ()
    """Where the files are, if there are several."""
    sha256: str | None = None
    """Of the first file, 64 hexadecimal digits."""
    size_bytes: int | None = None
    """Of all files."""
    text: str | None = None
    """The start of a language model's answer."""
    output_urls: _Texts = ()
    """The files on Wiro's CDN; they expire."""
    duration_seconds: float | None = None
    """Measured on the decoded frames, as the next two are."""
    width: int | None = None
    """In pixels."""
    height: int | None = None
    """In pixels."""
    queue_seconds: float | None = None
    """How long the task waited at Wiro."""
    elapsed_seconds: float | None = None
    """How long it ran."""
    ended_at: datetime | None = None
    """When it ended at Wiro, in UTC."""
    preview: str | None = None
    """Markdown that shows the video moving."""
    video: str | None = None
    """A URL that plays the video."""
    approved_by: str | None = None
    """Who approved the order."""
    approved_at: datetime | None = None
    """When, in UTC."""
    waits_for_approval: bool = False
    """Whether the order waits until it is approved."""
    tries: tuple[Mapping[str, Any], ...] = ()
    """What each try came to, if there were several."""
    tries_cost_usd: float | None = None
    """What all tries cost together."""
    state: str | None = None
    """The order's state, if it ended without a video."""
    reason: str | None = None
    """Wiro's reason, if it ended without a video."""
    status: str | None = None
    """Of a running task: Wiro's status."""
    running_seconds: float | None = None
    """Of a running task: how long it has been out of the queue."""
    progress_percent: float | None = None
    """Of a running task: how far it is, if Wiro says so."""

    @classmethod
    def extract(cls, metadata: Mapping[str, Any]) -> "WiroMetadata":
        """Read the keys of an event.

        Args:
            metadata: of a materialization, an observation or a check.

        Raises:
            ValidationError: a key holds a value of the wrong type, so the event is not ours.
        """
        values = {
            key.removeprefix(_NAMESPACE): value.value
            if isinstance(value, dg.MetadataValue)
            else value
            for key, value in metadata.items()
            if key.startswith(_NAMESPACE)
        }
        uri = metadata.get("dagster/uri")
        return cls(**values | {"uri": uri.value if isinstance(uri, dg.MetadataValue) else uri})
