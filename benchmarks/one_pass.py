"""What looking at a file costs beside decoding it: `python -m benchmarks.one_pass`.

Makes clips of 6 seconds from 320x180 to 1080p, in four kinds of content, and prints for each the
CPU time of decoding it plainly, of `inspect` (facts, problems, measures, preview and poster in one
pass), and their ratio. The best of three turns counts; both are measured in one process, in turns.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from wiro_dagster.media import inspect

_SIZES = ((320, 180), (640, 360), (1280, 720), (1920, 1080))
_CONTENTS = {
    "gradients": "speed=0.05",  # hardly anything to decode
    "testsrc": "",
    "testsrc2": "",
    "mandelbrot": "end_scale=0.02:end_pts=200",  # rich, as a filmed scene
}
_FPS, _SECONDS = 24, 6
_TURNS = 3


def write_clip(path: Path, content: str, options: str, width: int, height: int) -> Path:
    """Write a clip of H.264 with the pictures of one of FFmpeg's sources."""
    graph = av.filter.Graph()
    settings = f"size={width}x{height}:rate={_FPS}" + (f":{options}" if options else "")
    steps = [graph.add(content, settings), graph.add("format", "yuv420p"), graph.add("buffersink")]
    steps[0].link_to(steps[1])
    steps[1].link_to(steps[2])
    graph.configure()
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libx264", rate=_FPS, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(_FPS * _SECONDS):
            frame: Any = graph.pull()
            frame.pts, frame.time_base = index, Fraction(1, _FPS)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def decode(path: Path) -> None:
    """Decode a clip, and do nothing with it."""
    with av.open(str(path)) as container:
        for _frame in container.decode():
            pass


def measure(call: Callable[[], object]) -> float:
    """Return the CPU seconds that a call takes, on all threads."""
    start = time.process_time()
    call()
    return time.process_time() - start


def main() -> None:
    """Print the table."""
    print("| clip | decode, ms | inspect, ms | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for width, height in _SIZES:
            for content, options in _CONTENTS.items():
                path = Path(folder) / f"{content}-{height}.mp4"
                write_clip(path, content, options, width, height)
                turns = [
                    (measure(lambda: decode(path)), measure(lambda: inspect(path, "video/mp4")))  # noqa: B023
                    for _ in range(_TURNS)
                ]
                plain, full = (min(times) * 1000 for times in zip(*turns, strict=True))
                row = f"| {width}x{height} {content} | {plain:.0f} | {full:.0f} |"
                print(f"{row} {full / plain:.2f} |", flush=True)


if __name__ == "__main__":
    main()
