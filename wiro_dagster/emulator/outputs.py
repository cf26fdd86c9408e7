"""What files a task makes: their number, names, shape, length and exact size.

The size is decided here, before anything is made: the files' host fills each file up to it with
bytes that players ignore, so that a task can announce its outputs without having made them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from wiro_dagster.emulator.catalogue import Model

OutputKind = Literal["video", "image", "audio", "raw"]

# Short side in pixels; the long one follows from the shape. 768P is 1366x768 at 16:9.
_DEFAULT_SHAPE = (16, 9)
_TINY_SIZE = (64, 36)
_CONTENT_TYPES = {
    "mp4": "video/mp4",
    "png": "image/png",
    "webp": "image/webp",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
}
_LARGEST_SIDE = 4096


@dataclass(frozen=True)
class OutputPlan:
    """One output of a task.

    Args:
        index: its place among the task's outputs, from 0.
        kind: what it is.
        name: the file name that the service announces.
        file_format: mp4, png, webp, wav or mp3; raw for text.
        text: the prompt, shown in pictures and returned by language models.
        width: in pixels, for videos of a 16:9 shape and for images.
        height: in pixels.
        seconds: the length of a video or a sound.
        size_bytes: the exact size of the file.
    """

    index: int
    kind: OutputKind
    name: str
    file_format: str
    text: str
    width: int
    height: int
    seconds: float
    size_bytes: int

    @property
    def content_type(self) -> str:
        """The type that the service announces."""
        return _CONTENT_TYPES.get(self.file_format, "raw")


def plan_outputs(
    model: Model,
    inputs: Mapping[str, Any],
    *,
    uuid: str,
    count: int | None,
    same_names: bool,
    tiny_videos: bool,
) -> tuple[OutputPlan, ...]:
    """Return all outputs of a successful task.

    Args:
        model: the model that ran.
        inputs: its inputs, defaults included.
        uuid: of the task; varies the files' sizes.
        count: how many, if it differs from what was ordered.
        same_names: whether all carry the same name.
        tiny_videos: whether videos are small stand-ins.
    """
    wanted = int(float(_shaped(model, inputs, "count", 1))) if count is None else count
    return tuple(
        _plan_one(model, inputs, uuid, index, 0 if same_names else index, tiny_videos)
        for index in range(wanted)
    )


def _plan_one(
    model: Model,
    inputs: Mapping[str, Any],
    uuid: str,
    index: int,
    name_index: int,
    tiny_videos: bool,
) -> OutputPlan:
    kind: OutputKind = model.output["kind"]
    text = str(inputs.get(model.text_input or "", "") or model.title)
    width, height, seconds, file_format = 0, 0, 0.0, "raw"
    if kind == "video":
        file_format = "mp4"
        seconds = float(_shaped(model, inputs, "seconds", 6))
        short_side = resolution_lines(str(_shaped(model, inputs, "resolution", "768P")))
        width, height = _TINY_SIZE if tiny_videos else fit_shape(short_side, *_DEFAULT_SHAPE)
    elif kind == "image":
        file_format = str(_shaped(model, inputs, "format", "png"))
        width, height = _image_size(str(_shaped(model, inputs, "size", "1024x1024")))
    elif kind == "audio":
        file_format = str(_shaped(model, inputs, "format", "wav"))
        # About fifteen letters a second, as people speak.
        seconds = float(max(1, min(60, round(len(text) / 15))))
    return OutputPlan(
        index=index,
        kind=kind,
        name=f"{name_index}.{file_format}",
        file_format=file_format,
        text=text,
        width=width,
        height=height,
        seconds=seconds,
        size_bytes=_exact_size(kind, file_format, width, height, seconds, f"{uuid}-{index}"),
    )


def _shaped(model: Model, inputs: Mapping[str, Any], name: str, otherwise: Any) -> Any:
    """Return the value of the input that shapes this side of the output, or the model's default."""
    shape = model.output.get(name) or {}
    value = inputs.get(shape.get("input", ""))
    return shape.get("default", otherwise) if value in (None, "") else value


def resolution_lines(resolution: str) -> int:
    """Return the short side in pixels of a resolution such as 768P."""
    found = re.match(r"\d+", resolution)
    return min(_LARGEST_SIDE, int(found.group())) if found else 768


def fit_shape(short_side: int, width: int, height: int) -> tuple[int, int]:
    """Return a frame of this shape with this short side; H.264 wants both sides even."""
    # Films are 21:9 at most; the limit also keeps the frames of a ribbon-like image small.
    ratio = min(max(width / height, 9 / 21), 21 / 9)
    if ratio >= 1:
        return _even(short_side * ratio), _even(short_side)
    return _even(short_side), _even(short_side / ratio)


def _even(value: float) -> int:
    return max(16, round(value / 2 + 0.01) * 2)


def _image_size(size: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)[x*](\d+)", size)
    if not found:
        return 1024, 1024
    return min(_LARGEST_SIDE, int(found.group(1))), min(_LARGEST_SIDE, int(found.group(2)))


def _exact_size(
    kind: OutputKind, file_format: str, width: int, height: int, seconds: float, key: str
) -> int:
    varied = int.from_bytes(hashlib.sha256(key.encode()).digest()[:2], "big")
    if kind == "video":
        if (width, height) == _TINY_SIZE:
            return int(16_000 + 400 * seconds) + varied % 4096
        # Some 125 KB a second at 768 lines: more than the encoder needs for this content.
        return int(100_000 + seconds * width * height * 0.12) + varied
    # RIFF files, WebP and WAV, have an even number of bytes.
    if kind == "image":
        return (width * height // (4 if file_format == "webp" else 2) + 20_000 + varied) // 2 * 2
    if file_format == "wav":
        return (int(seconds * 32_000) + 1_000 + varied) // 2 * 2
    if kind == "audio":
        return int(seconds * 8_000) + 20_000 + varied
    return 0
