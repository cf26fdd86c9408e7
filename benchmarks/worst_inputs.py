"""Time and memory of the worst that the product can be given: `python -m benchmarks.worst_inputs`.

Each input is tried in a process of its own, which may take 60 s and 8 GB. `--source` names another
checkout to measure, such as one of an earlier commit; only names that both have are used.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

_MOST_SECONDS = 60.0
_MOST_BYTES = 8 * 1024**3
_REPORTED_CHARACTERS = 70


def write_png(path: Path, side: int = 30_000) -> None:
    """Write a picture of one colour, one bit for each pixel."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checked = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checked

    packer, row = zlib.compressobj(9), bytes(1 + (side + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    path.write_bytes(start + chunk(b"IDAT", packed) + chunk(b"IEND", b""))


def _jpeg(side: int) -> bytes:
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="image2pipe") as output:
        stream: Any = output.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        output.mux(stream.encode(av.VideoFrame(64, 64, "yuvj420p")))
        output.mux(stream.encode(None))
    jpeg = bytearray(buffer.getvalue())
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", side, side)
    return bytes(jpeg)


def write_jpeg(path: Path) -> None:
    """Write a picture whose header says 40,000 x 40,000."""
    path.write_bytes(_jpeg(40_000))


def write_growing_film(path: Path) -> None:
    """Write a film of 64 x 64 whose later pictures are 30,000 x 30,000."""
    import av

    with av.open(str(path), "w", format="avi") as output:
        stream: Any = output.add_stream("mjpeg", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        for index, picture in enumerate([_jpeg(64)] * 3 + [_jpeg(30_000)]):
            packet = av.Packet(picture)
            packet.stream, packet.pts, packet.dts = stream, index, index
            packet.time_base, packet.is_keyframe = Fraction(1, 8), True
            output.mux(packet)


def write_long_film(path: Path, side: int = 4096, frames: int = 2000) -> None:
    """Write a film of very many large pictures that hardly differ: a few megabytes."""
    import av

    with av.open(str(path), "w", format="mp4") as output:
        options = {"preset": "ultrafast", "crf": "51", "g": "100", "bf": "0"}
        stream: Any = output.add_stream("libx264", rate=60, options=options)
        stream.width, stream.height, stream.pix_fmt = side, side, "yuv420p"
        frame = av.VideoFrame(side, side, "yuv420p")
        for plane in frame.planes:
            plane.update(b"\x40" * plane.buffer_size)
        packets = []
        for index in range(100):
            frame.pts, frame.time_base = index, Fraction(1, 60)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        step = packets[1].pts - packets[0].pts
        for index in range(frames):
            first = packets[index % len(packets)]
            packet = av.Packet(bytes(first))
            packet.stream, packet.time_base = stream, first.time_base
            packet.pts = packet.dts = index * step
            packet.duration, packet.is_keyframe = step, first.is_keyframe
            output.mux(packet)


def write_animation(path: Path, frames: int = 200_000) -> None:
    """Write an animated WebP of very many tiny pictures."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="webp") as output:
        stream: Any = output.add_stream("libwebp", rate=1)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        output.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
        output.mux(stream.encode(None))
    picture = buffer.getvalue()[12:]
    frame = bytes(6) + b"\x0f\0\0\x0f\0\0\x64\0\0\0" + picture
    frame += bytes(len(frame) % 2)
    canvas = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0\x0f\0\0\x0f\0\0"
    one = b"ANMF" + struct.pack("<I", len(frame)) + frame
    body = b"WEBP" + canvas + b"ANIM" + struct.pack("<I", 6) + bytes(6) + one * frames
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


def write_aliases(path: Path) -> None:
    """Write prompts of some 600 bytes whose aliases unfold to 9^9 values."""
    lines = ["a0: &a0 [x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    path.write_text("\n".join([*lines, "prompts: [{id: a, prompt: x, model: *a9}]"]))


def write_large_prompts(path: Path) -> None:
    """Write a prompt file of 400 MB, sparse on the disk."""
    with path.open("wb") as file:
        file.truncate(400_000_000)


def probe(content_type: str, path: Path) -> str:
    """Look at a file as at a delivery."""
    from wiro_dagster.media import probe_media

    return str(probe_media(path, content_type))


def load(path: Path) -> str:
    """Read a prompt file."""
    from wiro_dagster.catalogue import Catalogue
    from wiro_dagster.prompts import load_prompt_file

    return f"{len(load_prompt_file(path, Catalogue.builtin()).problems)} problems"


@contextmanager
def _open_client(talk: Callable[[socket.socket], None]) -> Iterator[tuple[Any, str]]:
    from wiro_dagster.api.auth import Credentials
    from wiro_dagster.api.client import WiroClient

    def serve() -> None:
        while True:
            connection, _ = listener.accept()
            try:
                connection.recv(65536)
                talk(connection)
            except OSError:
                continue

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        client = WiroClient(
            Credentials("k", "s"),
            base_url=f"http://{host}/v1",
            cdn_hosts=[host],
            read_timeout_seconds=2,
            read_attempts=1,
        )
        yield client, f"http://{host}/a.mp4"


def _send_lists(connection: socket.socket) -> None:
    piece, times = b"[]," * 1000, 21_000
    first, last = b'{"result":true,"tasklist":[', b"[]]}"
    size_bytes = len(first) + times * len(piece) + len(last)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {size_bytes}"
    connection.sendall(head.encode() + b"\r\n\r\n" + first)
    for _ in range(times):
        connection.sendall(piece)
    connection.sendall(last)


def _send_packed_twice(connection: socket.socket) -> None:
    # Many members of gzip, each of which unfolds to a member of 64 MB of zeros.
    inner = zlib.compressobj(9, zlib.DEFLATED, 31)
    member = inner.compress(bytes(64 * 1024**2)) + inner.flush()
    outer = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = outer.compress(member * 40) + outer.flush()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Encoding: gzip, gzip\r\n"
    connection.sendall(head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)


def _send_slow_headers(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-A: ")
    while True:
        connection.sendall(b"a")
        time.sleep(0.2)


def ask(talk: Callable[[socket.socket], None], _path: Path) -> str:
    """Read a task from a hostile service."""
    with _open_client(talk) as (client, _):
        return str(client.get_task("1"))


def fetch(talk: Callable[[socket.socket], None], _path: Path) -> str:
    """Download from a hostile host, with a limit of 3 s."""
    with _open_client(talk) as (client, url), client.download(url, longest_seconds=3) as download:
        return f"{sum(map(len, download.chunks())):,} bytes taken as they are"


def _write_nothing(path: Path) -> None:
    path.touch()


Worst = tuple[Callable[[Path], None], Callable[[Path], str]]
INPUTS: dict[str, Worst] = {
    "PNG of 30,000 x 30,000": (write_png, partial(probe, "image/png")),
    "JPEG that says 40,000 x 40,000": (write_jpeg, partial(probe, "image/jpeg")),
    "film that grows to 30,000 x 30,000": (write_growing_film, partial(probe, "video/x-msvideo")),
    "2,000 frames of 4096 x 4096": (write_long_film, partial(probe, "video/mp4")),
    "WebP of 200,000 frames": (write_animation, partial(probe, "image/webp")),
    "YAML of aliases of aliases": (write_aliases, load),
    "prompt file of 400 MB": (write_large_prompts, load),
    "JSON answer of 21 million lists": (_write_nothing, partial(ask, _send_lists)),
    "API headers without end": (_write_nothing, partial(ask, _send_slow_headers)),
    "file headers without end": (_write_nothing, partial(fetch, _send_slow_headers)),
    "file packed twice, 2.7 GB": (_write_nothing, partial(fetch, _send_packed_twice)),
}
_SUFFIXES = {load: ".yaml"}


def try_one(name: str, path: Path) -> None:
    """Give the product one input, and print what that took as JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    use = INPUTS[name][1]
    before = _read_memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forgets the peak so far
    started = time.monotonic()
    try:
        result = use(path)
    except Exception as error:
        result = f"{type(error).__name__}: {error}"
    seconds = time.monotonic() - started
    grown = _read_memory("VmHWM") - before
    print(json.dumps({"seconds": seconds, "megabytes": grown, "result": result}))


def _read_memory(field: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    return 0.0


def try_apart(name: str, path: Path, source: Path) -> str:
    """Give one input to the product in another process; return the line of the table."""
    command = [sys.executable, __file__, "--one", name, "--path", str(path)]
    environment = {**os.environ, "PYTHONPATH": str(source.absolute())}
    try:
        child = subprocess.run(
            command,
            env=environment,
            cwd=path.parent,
            capture_output=True,
            check=False,
            timeout=_MOST_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"over {_MOST_SECONDS:.0f} | ? | stopped"
    lines = child.stdout.decode().splitlines()
    if child.returncode or not lines:
        said = child.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return f"? | ? | died ({child.returncode}): {said[:_REPORTED_CHARACTERS]}"
    found = json.loads(lines[-1])
    result = " ".join(str(found["result"]).split()).replace("|", "/")
    shown = result if len(result) <= _REPORTED_CHARACTERS else f"…{result[-_REPORTED_CHARACTERS:]}"
    return f"{found['seconds']:.1f} | {found['megabytes']:.0f} | {shown}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--one")
    parser.add_argument("--path", type=Path)
    options = parser.parse_args()
    if options.one:
        try_one(options.one, options.path)
        return
    print("| input | bytes | seconds | MB more | said |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, (write, use)) in enumerate(INPUTS.items()):
            path = Path(folder) / f"{number}{_SUFFIXES.get(use, '')}"
            write(path)
            line = try_apart(name, path, options.source)
            print(f"| {name} | {path.stat().st_size:,} | {line} |", flush=True)
            path.unlink()


if __name__ == "__main__":
    main()
