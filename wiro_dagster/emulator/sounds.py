"""Sounds: a quiet melody of the asked-for length as WAV or MP3, and the length of sounds sent.

PyAV is imported on use.
"""

from __future__ import annotations

import array
import io
import math
import wave
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from wiro_dagster.emulator.chance import fraction

_RATE = 16_000
_NOTE_SECONDS = 0.25
_VOLUME = 6_000
_SCALE = (0, 2, 4, 7, 9, 12)


def make_sound(text: str, seconds: float, file_format: str) -> bytes:
    """Return a melody made from the text's letters, mono, 16 kHz."""
    samples = _melody(text, seconds)
    return _to_mp3(samples) if file_format == "mp3" else _to_wav(samples)


def sound_seconds(path: Path) -> Decimal | None:
    """Return the length of a sound file; None if it cannot be decoded."""
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.audio or container.duration is None:
                return None
            return Decimal(container.duration) / Decimal(av.time_base)
    except (av.error.FFmpegError, OSError, ValueError):
        return None


def _melody(text: str, seconds: float) -> array.array[int]:
    samples = array.array("h")
    per_note = int(_RATE * _NOTE_SECONDS)
    for start in range(0, int(_RATE * seconds), per_note):
        step = _SCALE[int(fraction(0, text, start) * len(_SCALE))]
        pitch = 220.0 * 2 ** (step / 12)
        length = min(per_note, int(_RATE * seconds) - start)
        samples.extend(
            int(_VOLUME * math.sin(math.tau * pitch * at / _RATE) * (1 - at / per_note))
            for at in range(length)
        )
    return samples


def _to_wav(samples: array.array[int]) -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(_RATE)
        writer.writeframes(samples.tobytes())
    return target.getvalue()


def _to_mp3(samples: array.array[int]) -> bytes:
    import av

    target = io.BytesIO()
    with av.open(
        target, "w", format="mp3", options={"write_xing": "0", "id3v2_version": "0"}
    ) as out:
        stream = out.add_stream("mp3", rate=_RATE)
        stream.layout = "mono"
        stream.bit_rate = 32_000
        frame_size = 576
        for start in range(0, len(samples), frame_size):
            part = samples[start : start + frame_size]
            frame = av.AudioFrame(format="s16p", layout="mono", samples=len(part))
            frame.planes[0].update(part.tobytes().ljust(frame.planes[0].buffer_size, b"\0"))
            frame.sample_rate, frame.pts = _RATE, start
            frame.time_base = Fraction(1, _RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return target.getvalue()
