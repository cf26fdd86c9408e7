"""Small films, sounds and pictures, made when a test asks for them."""

from __future__ import annotations

import array
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av

SAMPLE_RATE = 44_100
SOUND_BLOCK = 1024


def moving(index: int, x: int, y: int) -> int:
    """A bright ramp that moves: no two frames alike."""
    return (x * 5 + y * 3 + index * 9) % 200 + 40


def write_film(
    path: Path,
    *,
    width: int = 64,
    height: int = 36,
    fps: int = 24,
    seconds: float = 1.0,
    codec: str = "libx264",
    luma: Callable[[int, int, int], int] = moving,
    sound: bool = False,
    file_format: str | None = None,
    options: dict[str, str] | None = None,
    encoder_options: dict[str, str] | None = None,
) -> Path:
    """Write a film whose brightness at (frame, x, y) is `luma`."""
    with av.open(str(path), "w", format=file_format, options=options or {}) as output:
        stream: Any = output.add_stream(codec, rate=fps, options=encoder_options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        audio: Any = output.add_stream("aac", rate=SAMPLE_RATE) if sound else None
        if audio:
            audio.layout = "mono"
        for index in range(round(fps * seconds)):
            frame = av.VideoFrame(width, height, "yuv420p")
            _fill(frame, [luma(index, x, y) for y in range(height) for x in range(width)])
            output.mux(stream.encode(frame))
        if audio:
            _write_tone(output, audio, seconds)
        output.mux(stream.encode(None))
    return path


def write_sound(path: Path, *, codec: str, file_format: str, seconds: float = 1.0) -> Path:
    """Write a tone."""
    with av.open(str(path), "w", format=file_format) as output:
        stream: Any = output.add_stream(codec, rate=SAMPLE_RATE)
        stream.layout = "mono"
        _write_tone(output, stream, seconds)
    return path


def write_coloured_film(
    path: Path, *, colour_space: int, pixels: str = "yuv420p10le", title: str | None = None
) -> Path:
    """Write a film of 12 frames in a colour space, by FFmpeg's number for it."""
    with av.open(str(path), "w", format="mp4") as output:
        stream: Any = output.add_stream("libx264", rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        stream.codec_context.colorspace = colour_space
        if title:
            output.metadata["title"] = title
        for index in range(12):
            frame = av.VideoFrame(64, 48, "rgb24")
            size_bytes = frame.planes[0].buffer_size
            frame.planes[0].update(bytes((index * 9 + at) % 256 for at in range(size_bytes)))
            output.mux(stream.encode(frame.reformat(format=pixels)))
        output.mux(stream.encode(None))
    return path


def turn(film: bytes, width: int, height: int, quarter_turns: int) -> bytes:
    """Note in an MP4 that players are to turn its pictures clockwise."""
    one = 0x10000
    matrices = {
        1: (0, one, 0, -one, 0, 0, height << 16, 0, 1 << 30),
        2: (-one, 0, 0, 0, -one, 0, width << 16, height << 16, 1 << 30),
        3: (0, -one, 0, one, 0, 0, 0, width << 16, 1 << 30),
    }
    at = film.index(b"tkhd") + 44
    return film[:at] + struct.pack(">9i", *matrices[quarter_turns]) + film[at + 36 :]


def _fill(frame: av.VideoFrame, luma: list[int]) -> None:
    width = frame.width
    plane = frame.planes[0]
    padding = bytes(plane.line_size - width)
    rows = (bytes(luma[at : at + width]) for at in range(0, len(luma), width))
    plane.update(b"".join(row + padding for row in rows))
    for colour in frame.planes[1:]:
        colour.update(b"\x80" * colour.buffer_size)


def _write_tone(output: Any, stream: Any, seconds: float) -> None:
    block = stream.codec_context.frame_size or SOUND_BLOCK
    encoder_format = stream.codec_context.format.name
    for start in range(0, int(seconds * SAMPLE_RATE), block):
        wave = [math.sin((start + at) / 16) * 0.3 for at in range(block)]
        frame = av.AudioFrame(format=encoder_format, layout="mono", samples=block)
        frame.sample_rate, frame.pts = SAMPLE_RATE, start
        floats = encoder_format.startswith("flt")
        values = array.array("f", wave) if floats else _whole(wave)
        plane: Any = frame.planes[0]
        plane.update(values.tobytes().ljust(plane.buffer_size, b"\0"))
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def _whole(wave: list[float]) -> array.array[int]:
    return array.array("h", [round(value * 32_767) for value in wave])
