"""A table of odd media files: are they owned, what do the checks say, is there a preview.

    python -m tests.media.odd_files

makes each file, brings it into a store as a delivery does, and prints the table that is in
`docs/odd-files.md`.
"""

from __future__ import annotations

import gzip
import io
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from PIL import Image

from tests.support.media_samples import moving, turn, write_coloured_film, write_film, write_sound
from tests.support.store_sources import Answer, MemorySource
from wiro_dagster.errors import DownloadError
from wiro_dagster.ledger import Order
from wiro_dagster.orders.findings import find_out
from wiro_dagster.orders.verdicts import VideoChecks, find_unseen, judge_order
from wiro_dagster.store import FolderStore, StoredFile, store_download

MP4 = "video/mp4"
_MOST_TRIES = 5


@dataclass(frozen=True)
class Odd:
    """One kind of file, how it is announced, and what is right.

    Args:
        name: what is odd about it.
        make: its bytes.
        announced: the content type that Wiro states.
        stored: the suffix of the file that is owned; None if it is not owned.
        is_right: whether `playable` passes.
        has_preview: whether there is one.
        surplus_bytes: how much larger Wiro says that it is; None if it states no size.
    """

    name: str
    make: Callable[[Path], bytes]
    announced: str | None
    stored: str | None
    is_right: bool = True
    has_preview: bool = True
    surplus_bytes: int | None = 0


@dataclass(frozen=True)
class Outcome:
    """What became of a file."""

    file: StoredFile | None
    tries: int
    message: str


def bring_in(odd: Odd, folder: Path) -> Outcome:
    """Bring a file into a store, with as many tries as it takes to be sure."""
    body = odd.make(folder / "made")
    size_bytes = None if odd.surplus_bytes is None else len(body) + odd.surplus_bytes
    source = MemorySource(Answer(body, len(body), odd.announced))
    store = FolderStore(folder / "store")
    message = ""
    for tries in range(1, _MOST_TRIES + 1):
        try:
            file = store_download(
                source, "https://x", store, "f", content_type=odd.announced, size_bytes=size_bytes
            )
        except DownloadError as error:
            message = str(error)
        else:
            return Outcome(file, tries, file.problem or "")
    return Outcome(None, _MOST_TRIES, message)


def _film(**options: Any) -> Callable[[Path], bytes]:
    return lambda path: write_film(path, **{"file_format": "mp4", **options}).read_bytes()


def _sound(codec: str, file_format: str) -> Callable[[Path], bytes]:
    return lambda path: write_sound(path, codec=codec, file_format=file_format).read_bytes()


def _changed(change: Callable[[bytes], bytes], **options: Any) -> Callable[[Path], bytes]:
    return lambda path: change(_film(**options)(path))


def _image(
    file_format: str, mode: str = "RGB", size: tuple[int, int] = (64, 40), **options: Any
) -> Callable[[Path], bytes]:
    def make(_path: Path) -> bytes:
        picture = Image.radial_gradient("L").resize(size).convert(mode)
        buffer = io.BytesIO()
        picture.save(buffer, format=file_format, **options)
        return buffer.getvalue()

    return make


def _animation(file_format: str) -> Callable[[Path], bytes]:
    def make(_path: Path) -> bytes:
        first, *rest = [Image.new("RGB", (40, 20), (40 * step, 90, 200)) for step in range(5)]
        buffer = io.BytesIO()
        first.save(buffer, file_format, save_all=True, append_images=rest, duration=100, loop=0)
        return buffer.getvalue()

    return make


def _fixed(content: bytes) -> Callable[[Path], bytes]:
    return lambda _path: content


def _coloured(space: int, pixels: str, title: str | None = None) -> Callable[[Path], bytes]:
    return lambda path: write_coloured_film(
        path, colour_space=space, pixels=pixels, title=title
    ).read_bytes()


def _latin1_title(path: Path) -> bytes:
    return _coloured(1, "yuv420p", "Le caf@ du port")(path).replace(b"caf@", b"caf\xe9")


def _photo_taken_upright(path: Path) -> bytes:
    turned = Image.Exif()
    turned[0x0112] = 6
    return _image("jpeg", exif=turned)(path)


def _empty_sound(path: Path) -> bytes:
    flags = "frag_keyframe+empty_moov+default_base_moof"
    with av.open(str(path), "w", format="mp4", options={"movflags": flags}) as output:
        stream: Any = output.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 36, "yuv420p"
        sound: Any = output.add_stream("aac", rate=48_000)
        sound.layout = "mono"
        for index in range(24):
            frame = av.VideoFrame(64, 36, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([index * 8 + 20]) * plane.buffer_size)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path.read_bytes()


def _longer_sound(film: bytes) -> bytes:
    at = film.rfind(b"mdhd") + 4
    scale, length = struct.unpack_from(">II", film, at + 12)
    return film[: at + 16] + struct.pack(">I", length + scale // 2) + film[at + 20 :]


def _unknown_sound(film: bytes) -> bytes:
    at, kind = film.rfind(b"mp4a"), film.find(b"\x40\x15", film.rfind(b"esds"))
    changed = bytearray(film)
    changed[at : at + 4], changed[kind] = b"apac", 0xC5
    return bytes(changed)


def _two_sounds(path: Path) -> bytes:
    with (
        av.open(io.BytesIO(_film(sound=True)(path))) as film,
        av.open(str(path), "w", format="mp4") as output,
    ):
        sources = [film.streams.video[0], film.streams.audio[0], film.streams.audio[0]]
        streams = [output.add_stream_from_template(source) for source in sources]
        for packet in [packet for packet in film.demux() if packet.dts is not None]:
            for source, stream in zip(sources, streams, strict=True):
                if packet.stream is source:
                    again = av.Packet(bytes(packet))
                    again.pts, again.dts, again.duration = packet.pts, packet.dts, packet.duration
                    again.time_base, again.stream = packet.time_base, stream
                    again.is_keyframe = packet.is_keyframe
                    output.mux(again)
    return _unknown_sound(path.read_bytes())


def _damaged_sound(film: bytes) -> bytes:
    with av.open(io.BytesIO(film)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
    at = packets[len(packets) // 2].pos or 0
    return film[:at] + b"\xa5" * 24 + film[at + 24 :]


def _hole(film: bytes) -> bytes:
    middle = (film.index(b"mdat") + film.index(b"moov")) // 2
    return film[:middle] + bytes(600) + film[middle + 600 :]


def _flipped(film: bytes) -> bytes:
    start, end = film.index(b"mdat") + 1_000, film.index(b"moov") - 100
    changed = bytearray(film)
    for at in range(start, end, 97):
        changed[at] ^= 0x10
    return bytes(changed)


def _no_pictures_left(film: bytes) -> bytes:
    start, end = film.index(b"mdat") + 4, film.index(b"moov") - 4
    return film[:start] + bytes(end - start) + film[end:]


def _anamorphic(path: Path) -> bytes:
    with av.open(str(path), "w", format="mp4") as output:
        stream: Any = output.add_stream("libx264", rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(16, 9)
        for index in range(12):
            frame = av.VideoFrame(64, 64, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([index * 12 + 40]) * plane.buffer_size)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path.read_bytes()


def _webp_bomb(path: Path) -> bytes:
    webp = _animation("webp")(path)
    return webp[:24] + (16_382).to_bytes(3, "little") * 2 + webp[30:]


_WEB_PAGE = b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>"
_SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
_CODECS: tuple[tuple[str, str, str, str], ...] = (
    ("libx264", "matroska", "video/x-matroska", ".mkv"),
    ("libx264", "mov", "video/quicktime", ".mov"),
    ("mpeg4", "mp4", MP4, ".mp4"),
    ("mpeg4", "avi", "video/x-msvideo", ".avi"),
    ("libx264", "mpegts", "video/mp2t", ".ts"),
    ("mpeg2video", "mpeg", "video/mpeg", ".mpg"),
    ("flv", "flv", "video/x-flv", ".flv"),
    ("wmv2", "asf", "video/x-ms-wmv", ".wmv"),
    ("libvpx", "webm", "video/webm", ".webm"),
    ("libvpx-vp9", "webm", "video/webm", ".webm"),
    ("libx265", "mp4", MP4, ".mp4"),
    ("libaom-av1", "mp4", MP4, ".mp4"),
    ("libsvtav1", "mp4", MP4, ".mp4"),
    ("libtheora", "ogg", "video/ogg", ".ogv"),
)


def list_kinds() -> Iterator[Odd]:
    """Yield all kinds of files that can be made here."""
    for codec, file_format, announced, suffix in _CODECS:
        if codec in av.codecs_available:
            made = _film(codec=codec, file_format=file_format, width=64, height=64)
            yield Odd(f"{codec} in {file_format}", made, announced, suffix)
    yield from _KINDS


_KINDS: tuple[Odd, ...] = (
    Odd("plain film", _film(), MP4, ".mp4"),
    Odd("with sound", _film(sound=True), MP4, ".mp4"),
    Odd("index first", _film(options={"movflags": "+faststart"}), MP4, ".mp4"),
    Odd("fragmented", _film(options={"movflags": "frag_keyframe+empty_moov"}), MP4, ".mp4"),
    Odd(
        "WebM without a length",
        _film(codec="libvpx", file_format="webm", options={"live": "1"}),
        "video/webm",
        ".webm",
    ),
    Odd("one frame", _film(seconds=1 / 24), MP4, ".mp4"),
    Odd("two frames", _film(seconds=2 / 24), MP4, ".mp4"),
    Odd("upright", _film(width=36, height=64), MP4, ".mp4"),
    Odd("16 x 16 pixels", _film(width=16, height=16), MP4, ".mp4"),
    Odd("very wide", _film(width=320, height=16), MP4, ".mp4"),
    Odd("pixels that are not square", _anamorphic, MP4, ".mp4"),
    Odd("turned by 90 degrees", _changed(lambda film: turn(film, 64, 36, 1)), MP4, ".mp4"),
    Odd("turned by 180 degrees", _changed(lambda film: turn(film, 64, 36, 2)), MP4, ".mp4"),
    Odd("turned by 270 degrees", _changed(lambda film: turn(film, 64, 36, 3)), MP4, ".mp4"),
    Odd("all black", _film(luma=lambda *_: 16), MP4, ".mp4"),
    Odd("frozen", _film(luma=lambda _, x, y: moving(0, x, y)), MP4, ".mp4"),
    Odd("HDR10, 10 bits", _coloured(9, "yuv420p10le"), MP4, ".mp4"),
    Odd("ICtCp, 10 bits", _coloured(14, "yuv420p10le"), MP4, ".mp4"),
    Odd("YCgCo, 4:4:4", _coloured(8, "yuv444p10le"), MP4, ".mp4"),
    Odd("BT.2020 constant luminance", _coloured(10, "yuv420p10le"), MP4, ".mp4"),
    Odd("4:2:2", _coloured(1, "yuv422p"), MP4, ".mp4"),
    Odd("title in Latin-1", _latin1_title, MP4, ".mp4"),
    Odd("title of 60 kB", _coloured(1, "yuv420p", "x" * 60_000), MP4, ".mp4"),
    Odd("title of markup", _coloured(1, "yuv420p", "<script>\x1b[2J\n"), MP4, ".mp4"),
    Odd("empty sound track", _empty_sound, MP4, ".mp4"),
    Odd("sound shorter than it says", _changed(_longer_sound, sound=True), MP4, ".mp4"),
    Odd("sound of an unknown codec", _changed(_unknown_sound, sound=True), MP4, ".mp4"),
    Odd("second sound of an unknown codec", _two_sounds, MP4, ".mp4"),
    Odd("damaged sound", _changed(_damaged_sound, sound=True, seconds=2), MP4, ".mp4", False),
    Odd("a hole in the middle", _changed(_hole, seconds=2), MP4, ".mp4", False),
    Odd("flipped bits", _changed(_flipped, width=160, height=90), MP4, ".mp4", False),
    Odd("no pictures left", _changed(_no_pictures_left), MP4, ".mp4", False, False),
    Odd("no index", _changed(lambda film: film[: film.index(b"moov")]), MP4, ".mp4", False, False),
    Odd("header only", _changed(lambda film: film[:40]), MP4, ".mp4", False, False),
    Odd(
        "half, as announced",
        _changed(
            lambda film: film[: len(film) // 2], options={"movflags": "+faststart"}, seconds=2
        ),
        MP4,
        ".mp4",
        False,
        False,
    ),
    Odd("followed by a web page", _changed(lambda film: film + _WEB_PAGE), MP4, ".mp4"),
    Odd("twice in one file", _changed(lambda film: film + film), MP4, ".mp4"),
    Odd("size announced too small", _film(), MP4, ".mp4", surplus_bytes=-137),
    Odd("size announced too large", _film(), MP4, ".mp4", surplus_bytes=1000),
    Odd("no size announced", _film(), MP4, ".mp4", surplus_bytes=None),
    Odd("a film called WebM", _film(), "video/webm", ".mp4"),
    Odd("a film called bytes", _film(), "application/octet-stream", ".mp4"),
    Odd("a film called application/mp4", _film(), "application/mp4", ".mp4"),
    Odd("a film without a type", _film(), None, ".mp4"),
    Odd("a film called an image", _film(), "image/png", ".mp4", False),
    Odd("a film of a type with a line break", _film(), "video/mp4\r\nx: y", ".mp4"),
    Odd("a film of an unheard-of type", _film(), "video/x-новый", ".mp4"),
    Odd("an animated GIF called a film", _animation("gif"), MP4, ".gif", False),
    Odd("an animated WebP called a film", _animation("webp"), MP4, ".webp", False),
    Odd("a WebP called a film", _image("webp"), MP4, ".webp", False),
    Odd("a PNG called a film", _image("png"), MP4, ".png", False),
    Odd("sound called a film", _sound("aac", "mp4"), MP4, ".m4a", False, False),
    Odd("a JPEG called PNG", _image("jpeg"), "image/png", ".jpg"),
    Odd("PNG", _image("png"), "image/png", ".png"),
    Odd("PNG with transparency", _image("png", "RGBA"), "image/png", ".png"),
    Odd("PNG, 16 bits of grey", _image("png", "I;16"), "image/png", ".png"),
    Odd("PNG with a palette", _image("png", "P"), "image/png", ".png"),
    Odd("PNG of one pixel", _image("png", size=(1, 1)), "image/png", ".png"),
    Odd("animated PNG", _animation("png"), "image/png", ".png"),
    Odd(
        "PNG cut in half",
        lambda path: _image("png", size=(200, 200))(path)[:900],
        "image/png",
        ".png",
        False,
        False,
    ),
    Odd(
        "PNG of 67 million pixels",
        _image("png", "1", size=(8_200, 8_200)),
        "image/png",
        ".png",
        has_preview=False,
    ),
    Odd("JPEG", _image("jpeg"), "image/jpeg", ".jpg"),
    Odd("JPEG in CMYK", _image("jpeg", "CMYK"), "image/jpeg", ".jpg"),
    Odd("photo taken upright", _photo_taken_upright, "image/jpeg", ".jpg"),
    Odd("WebP", _image("webp"), "image/webp", ".webp"),
    Odd("animated WebP", _animation("webp"), "image/webp", ".webp"),
    Odd(
        "animated WebP of 268 million pixels", _webp_bomb, "image/webp", ".webp", has_preview=False
    ),
    Odd("animated GIF", _animation("gif"), "image/gif", ".gif"),
    Odd("AVIF", _image("avif"), "image/avif", ".avif"),
    Odd("BMP", _image("bmp"), "image/bmp", ".bmp"),
    Odd("TIFF", _image("tiff"), "image/tiff", ".tiff"),
    Odd("MP3", _sound("libmp3lame", "mp3"), "audio/mpeg", ".mp3", has_preview=False),
    Odd("WAV", _sound("pcm_s16le", "wav"), "audio/wav", ".wav", has_preview=False),
    Odd("FLAC", _sound("flac", "flac"), "audio/flac", ".flac", has_preview=False),
    Odd("AAC", _sound("aac", "adts"), "audio/aac", ".aac", has_preview=False),
    Odd("M4A", _sound("aac", "ipod"), "audio/mp4", ".m4a", has_preview=False),
    Odd(
        "WAV cut in half",
        lambda path: _sound("pcm_s16le", "wav")(path)[:40_000],
        "audio/wav",
        ".wav",
        False,
        False,
    ),
    Odd("glTF", _fixed(b"glTF" + bytes(99)), "model/gltf-binary", ".glb", has_preview=False),
    Odd("text", _fixed(b"Once upon a time"), "text/plain", ".txt", has_preview=False),
    Odd("JSON", _fixed(b'{"a": 1}'), "application/json", ".json", has_preview=False),
    Odd("SVG", _fixed(_SVG), "image/svg+xml", ".svg", has_preview=False),
    Odd("a page that was ordered", _fixed(_WEB_PAGE), "text/html", ".html", has_preview=False),
    Odd("bytes of no kind", _fixed(bytes(range(256)) * 9), None, ".bin", has_preview=False),
    Odd("bytes called a film", _fixed(b"\x01\xff" * 999), MP4, ".bin", False, False),
    Odd("a film in gzip", _changed(gzip.compress), MP4, ".bin", False, False),
    Odd("a web page instead", _fixed(_WEB_PAGE), MP4, None, False, False),
    Odd("a web page instead of bytes", _fixed(_WEB_PAGE), None, None, False, False),
    Odd("a web page instead of SVG", _fixed(_WEB_PAGE), "image/svg+xml", None, False, False),
    Odd(
        "an error of a file server instead",
        _fixed(b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'),
        MP4,
        None,
        False,
        False,
    ),
    Odd("JSON instead", _fixed(b'{"error": "expired"}'), MP4, None, False, False),
    Odd("a message instead", _fixed("Nicht verfügbar".encode()), "audio/mpeg", None, False, False),
    Odd(
        "a playlist instead",
        _fixed(b"#EXTM3U\n#EXTINF:6,\nhttps://cdn.example.com/0.ts\n"),
        MP4,
        None,
        False,
        False,
    ),
    Odd("nothing instead", _fixed(b""), MP4, None, False, False),
)


COLUMNS = ("file", "owned as", "tries", "checks that fail", "preview")


def list_rows() -> Iterator[tuple[str, ...]]:
    """Yield the lines of the table: what became of each file, in words."""
    for odd in list_kinds():
        with tempfile.TemporaryDirectory() as folder:
            found = bring_in(odd, Path(folder))
        file = found.file
        seen = file.inspection if file else None
        preview = f"{len(seen.preview):,} bytes" if seen and seen.preview else "none"
        owned = file.key[1:] if file else "not owned"
        verdicts = _judge(odd, file) if file else found.message
        yield odd.name, owned, str(found.tries), verdicts, preview


def _judge(odd: Odd, file: StoredFile) -> str:
    """Say which checks fail on a file, or why it could not be looked at."""
    announced = None if odd.surplus_bytes is None else file.size_bytes + odd.surplus_bytes
    assert file.inspection
    kept = file.to_json() | {"findings": find_out(file.inspection, {}).to_json()}
    order = Order(
        id=1,
        collection="video",
        partition="odd",
        account="a",
        model_slug="m",
        inputs={},
        fingerprint="f",
        take=1,
        state="stored",
        created_at=0.0,
        outputs=({"url": "https://x", "size_bytes": announced},),
        files=(kept,),
    )
    verdicts = judge_order(order, VideoChecks())
    failing = [f"{name}: {verdict}" for name, verdict in verdicts.items() if verdict]
    unseen = find_unseen(order)
    told = [*failing, *([f"not looked at: {unseen}"] if unseen else [])]
    return " ".join(told) or ("none" if verdicts.get("playable") == "" else "none apply but size")


def _main() -> None:
    av.logging.set_level(None)
    rows = list(list_rows())
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    owned = sum(row[1] != "not owned" for row in rows)
    print(f"\n{len(rows)} files, {owned} owned.")


if __name__ == "__main__":
    _main()
