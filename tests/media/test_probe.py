"""Rules of `probe_media`: what is whole passes with its measures, what is not is refused."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.media_samples import write_film, write_sound
from wiro_dagster.errors import MediaError
from wiro_dagster.media import MediaFacts, inspect, probe_media


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film with sound whose header comes first, so that only its end can be missing."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_film(path, sound=True, seconds=2, options={"movflags": "+faststart"})


def test_a_film_is_measured_on_its_frames(film: Path) -> None:
    """Length, size, number of frames and codec come from decoding."""
    assert probe_media(film, "video/mp4") == MediaFacts("video", 2.0, 64, 36, 48, "h264")


@pytest.mark.parametrize(
    ("codec", "file_format", "content_type", "name"),
    [("mpeg4", "mp4", "video/mp4", "mpeg4"), ("libvpx-vp9", "webm", "video/webm", "vp9")],
)
def test_other_codecs_and_containers_are_films_too(
    tmp_path: Path, codec: str, file_format: str, content_type: str, name: str
) -> None:
    """MPEG-4 and WebM decode like H.264."""
    path = write_film(tmp_path / "film", codec=codec, file_format=file_format)
    facts = probe_media(path, content_type)
    assert (facts.kind, facts.frame_count, facts.codec) == ("video", 24, name)
    assert facts.duration_seconds == pytest.approx(1.0, abs=0.01)


def test_a_film_without_announced_type_is_recognised(film: Path) -> None:
    """The first bytes decide where no type does."""
    assert probe_media(film).kind == "video"
    assert probe_media(film, "application/octet-stream").kind == "video"


@pytest.mark.parametrize("suffix", ["png", "jpeg", "webp", "gif", "avif"])
def test_an_image_has_a_size_and_no_length(tmp_path: Path, suffix: str) -> None:
    """A still image is one frame without duration."""
    path = tmp_path / "image"
    Image.new("RGB", (40, 20), "teal").save(path, format=suffix)
    facts = probe_media(path, f"image/{suffix}")
    assert (facts.kind, facts.width, facts.height, facts.frame_count) == ("image", 40, 20, 1)
    assert facts.duration_seconds is None


@pytest.mark.parametrize("suffix", ["webp", "gif", "png"])
def test_a_moving_image_has_a_length(tmp_path: Path, suffix: str) -> None:
    """Animations are images with a duration, also as WebP, which FFmpeg does not read."""
    path = _write_animation(tmp_path / "animation", suffix)
    facts = probe_media(path, f"image/{suffix}")
    assert (facts.kind, facts.frame_count, facts.duration_seconds) == ("image", 5, 0.5)
    assert (facts.width, facts.height) == (40, 20)


def test_a_moving_image_may_be_transparent(tmp_path: Path) -> None:
    """A WebP animation with a channel for transparency decodes too."""
    first, *rest = [Image.new("RGBA", (40, 20), (40 * step, 90, 200, 99)) for step in range(3)]
    path = tmp_path / "animation.webp"
    first.save(path, save_all=True, append_images=rest, duration=100, lossless=False, quality=50)
    assert b"ALPH" in path.read_bytes()
    assert probe_media(path, "image/webp").frame_count == 3


@pytest.mark.parametrize(
    ("codec", "file_format", "content_type"),
    [
        ("pcm_s16le", "wav", "audio/wav"),
        ("libmp3lame", "mp3", "audio/mpeg"),
        ("aac", "mp4", "audio/mp4"),
        ("flac", "flac", "audio/flac"),
    ],
)
def test_sound_has_a_length_and_no_size(
    tmp_path: Path, codec: str, file_format: str, content_type: str
) -> None:
    """Sound is decoded to its end too."""
    path = write_sound(tmp_path / "sound", codec=codec, file_format=file_format)
    facts = probe_media(path, content_type)
    assert (facts.kind, facts.width, facts.frame_count) == ("audio", None, None)
    assert facts.duration_seconds == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("content_type", ["model/gltf-binary", "text/plain", "image/svg+xml", None])
def test_what_is_no_media_need_only_hold_something(
    tmp_path: Path, content_type: str | None
) -> None:
    """Other types are kept as files; bytes that look like nothing are not decoded."""
    path = tmp_path / "other"
    path.write_bytes(b"glTF, or whatever it is " * 9)
    assert probe_media(path, content_type) == MediaFacts("file")


@pytest.mark.parametrize("content_type", ["video/mp4", "image/png", "text/plain", None])
def test_an_empty_file_is_refused(tmp_path: Path, content_type: str | None) -> None:
    """0 bytes are nothing of any type."""
    path = tmp_path / "empty"
    path.touch()
    with pytest.raises(MediaError, match=r"0 bytes.*empty"):
        probe_media(path, content_type)


@pytest.mark.parametrize("content_type", ["video/mp4", "image/png", None])
def test_a_web_page_that_poses_as_media_is_refused(
    tmp_path: Path, content_type: str | None
) -> None:
    """Error pages come with status 200 at times, and with any type."""
    path = tmp_path / "page.mp4"
    path.write_text("\n<!DOCTYPE html><html><body>Not found</body></html>")
    with pytest.raises(MediaError, match="web page"):
        probe_media(path, content_type)


def test_an_error_of_a_file_server_is_refused(tmp_path: Path) -> None:
    """Some servers answer in XML."""
    path = tmp_path / "error.mp4"
    path.write_text('<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>')
    with pytest.raises(MediaError, match="web page"):
        probe_media(path, "video/mp4")


def test_text_is_not_played_as_a_terminal_recording(tmp_path: Path) -> None:
    """FFmpeg would show any text as a film of a terminal."""
    path = tmp_path / "text.txt"
    path.write_text("hello world " * 200)
    with pytest.raises(MediaError):
        probe_media(path, "video/mp4")


def test_a_playlist_is_not_followed(tmp_path: Path, film: Path) -> None:
    """A downloaded file may not make us open others."""
    path = tmp_path / "list.mp4"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{film}\n#EXT-X-ENDLIST\n")
    with pytest.raises(MediaError):
        probe_media(path, "video/mp4")


def test_a_film_cut_anywhere_is_refused(tmp_path: Path, film: Path) -> None:
    """Wherever a download breaks off, the film does not pass for whole."""
    whole = film.read_bytes()
    path = tmp_path / "cut.mp4"
    for kept in [len(whole) * part // 24 for part in range(1, 24)] + [len(whole) - 1]:
        path.write_bytes(whole[:kept])
        with pytest.raises(MediaError, match=f"{kept} bytes"):
            probe_media(path, "video/mp4")


def test_a_film_without_its_index_is_refused(tmp_path: Path) -> None:
    """An MP4 whose header comes last and is cut off has no frames to find."""
    whole = write_film(tmp_path / "film.mp4").read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: whole.index(b"moov") - 4])
    with pytest.raises(MediaError, match="does not decode"):
        probe_media(path, "video/mp4")


def test_a_webm_that_stops_early_is_refused(tmp_path: Path) -> None:
    """WebM decodes without complaint up to a cut: its stated length tells."""
    path = write_film(tmp_path / "film", codec="libvpx-vp9", file_format="webm", seconds=2)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(MediaError):
        probe_media(path, "video/webm")


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_damage_in_the_middle_is_noticed(tmp_path: Path, codec: str) -> None:
    """Decoders hide damage by guessing, but note that they did; once in a while none can know."""
    path = write_film(tmp_path / "film.mp4", codec=codec, width=160, height=90)
    whole = path.read_bytes()
    start, end = whole.index(b"mdat") + 1_000, whole.index(b"moov") - 200
    dice = random.Random(7)
    problems = []
    for _ in range(20):
        at = dice.randrange(start, end)
        path.write_bytes(whole[:at] + dice.randbytes(200) + whole[at + 200 :])
        problems.append(inspect(path, "video/mp4").problem)
    assert sum(problem is not None for problem in problems) >= 19


def test_damaged_sound_is_noticed(tmp_path: Path) -> None:
    """A film whose sound does not decode is not whole."""
    path = write_sound(tmp_path / "sound", codec="aac", file_format="mp4", seconds=3)
    whole = path.read_bytes()
    middle = (whole.index(b"mdat") + whole.index(b"moov")) // 2
    path.write_bytes(whole[:middle] + b"\xff" * 400 + whole[middle + 400 :])
    with pytest.raises(MediaError):
        probe_media(path, "audio/mp4")


def test_a_damaged_image_is_noticed(tmp_path: Path) -> None:
    """A PNG cut in the middle, and a WebP animation cut in a picture."""
    image = Image.effect_noise((64, 64), 90)
    image.save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MediaError):
        probe_media(tmp_path / "a.png", "image/png")
    animation = _write_animation(tmp_path / "animation", "webp")
    whole = animation.read_bytes()
    for kept in range(40, len(whole), 40):
        animation.write_bytes(whole[:kept])
        with pytest.raises(MediaError):
            probe_media(animation, "image/webp")


def test_a_webp_animation_without_pictures_is_refused(tmp_path: Path) -> None:
    """The header of an animation alone is no image."""
    chunks = b"WEBPVP8X" + struct.pack("<I", 10) + bytes([2, 0, 0, 0, 9, 0, 0, 9, 0, 0])
    path = tmp_path / "animation.webp"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)
    with pytest.raises(MediaError):
        probe_media(path, "image/webp")


def test_a_file_of_another_kind_than_announced_is_refused(tmp_path: Path, film: Path) -> None:
    """An image is no video, and a video no image."""
    image = tmp_path / "image.mp4"
    Image.new("RGB", (40, 20)).save(image, format="png")
    with pytest.raises(MediaError, match=r"announced as video/mp4.*an image \(png\)"):
        probe_media(image, "video/mp4")
    with pytest.raises(MediaError, match=r"a video \(h264\)"):
        probe_media(film, "image/png")


def test_a_picture_of_absurd_size_is_refused(tmp_path: Path) -> None:
    """A few bytes may promise gigabytes of pixels; they are never made."""
    path = tmp_path / "bomb.png"
    Image.new("1", (8_200, 8_200)).save(path, format="png")
    with pytest.raises(MediaError, match="8200 x 8200"):
        probe_media(path, "image/png")


def test_sound_with_a_cover_picture_is_sound(tmp_path: Path) -> None:
    """A song's cover does not make it a film."""
    import av
    from av.stream import Disposition

    song = write_sound(tmp_path / "song.m4a", codec="aac", file_format="mp4")
    cover = tmp_path / "cover.png"
    Image.new("RGB", (40, 40), "red").save(cover)
    path = tmp_path / "covered.m4a"
    with (
        av.open(str(song)) as sound,
        av.open(str(cover)) as picture,
        av.open(str(path), "w", format="mp4") as output,
    ):
        streams = {
            source: output.add_stream_from_template(source.streams[0])
            for source in (sound, picture)
        }
        cover_stream: Any = streams[picture]
        cover_stream.disposition = Disposition.attached_pic.value
        for source, stream in streams.items():
            for packet in source.demux(source.streams[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    output.mux(packet)
    assert probe_media(path, "audio/mp4").kind == "audio"


def test_facts_survive_json() -> None:
    """What the ledger keeps is what was measured; unknown keys of later versions are ignored."""
    facts = MediaFacts("video", 6.0, 1366, 768, 144, "h264")
    assert MediaFacts.from_json({**facts.to_json(), "bit_depth": 8}) == facts


def test_importing_media_and_stores_is_light() -> None:
    """PyAV, boto3 and Pillow are loaded when they are used."""
    script = (
        "import sys, wiro_dagster.media, wiro_dagster.store, wiro_dagster.store.s3\n"
        "print([name for name in ('av', 'boto3', 'PIL', 'dagster') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert result.stdout.strip() == b"[]"


def _write_animation(path: Path, suffix: str) -> Path:
    first, *rest = [Image.new("RGB", (40, 20), (40 * step, 90, 200)) for step in range(5)]
    first.save(path, format=suffix, save_all=True, append_images=rest, duration=100, loop=0)
    return path
