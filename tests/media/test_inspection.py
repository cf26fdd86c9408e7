"""Rules of `inspect`: black and frozen pictures are found, with frame and number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.support.media_samples import moving, write_film, write_sound
from wiro_dagster.errors import MediaError
from wiro_dagster.media import (
    FrameMeasures,
    Inspection,
    MediaFacts,
    aspect_ratio_of_image,
    inspect,
)
from wiro_dagster.media.container import open_media
from wiro_dagster.media.content_type import HEAD_BYTES
from wiro_dagster.media.decoding import PixelBudget, read_tracks
from wiro_dagster.media.stated_size import read_stated_size

VIDEO_BLACK = 16


def measure(path: Path) -> FrameMeasures:
    measures = inspect(path, "video/mp4").measures
    assert measures is not None
    return measures


def test_a_film_that_moves_is_neither_black_nor_frozen(tmp_path: Path) -> None:
    """A sound film gives nothing to complain of."""
    seen = measure(write_film(tmp_path / "film.mp4", seconds=2))
    assert (seen.frame_count, seen.duration_seconds) == (48, 2.0)
    assert (seen.sampled_count, seen.black_count, seen.black_share) == (24, 0, 0)
    assert (seen.first_black_frame, seen.first_black_seconds) == (None, None)
    assert (seen.frozen_seconds, seen.frozen_share, seen.frozen_start_frame) == (0, 0, None)


def test_a_black_stretch_is_found_with_its_first_frame(tmp_path: Path) -> None:
    """Frames 24 to 35 of 48 are black: a quarter of the film, from second 1."""
    path = write_film(
        tmp_path / "film.mp4",
        seconds=2,
        luma=lambda index, x, y: VIDEO_BLACK if 24 <= index < 36 else moving(index, x, y),
    )
    seen = measure(path)
    assert seen.first_black_frame == 24
    assert seen.first_black_seconds == pytest.approx(1.0)
    assert seen.black_share == pytest.approx(0.25)
    assert seen.frozen_seconds == pytest.approx(0.5)


def test_a_dark_film_with_lights_is_not_black(tmp_path: Path) -> None:
    """A night scene has some bright places; black has none."""
    path = write_film(
        tmp_path / "night.mp4",
        luma=lambda index, x, y: 200 if (x + index) % 16 < 2 and y % 9 < 3 else VIDEO_BLACK,
    )
    assert measure(path).black_count == 0


def test_the_longest_standing_stretch_is_found(tmp_path: Path) -> None:
    """The picture stands from frame 6 to 11, and longer from frame 24 to 41."""

    def luma(index: int, x: int, y: int) -> int:
        shown = 6 if 6 <= index < 12 else 24 if 24 <= index < 42 else index
        return moving(shown, x, y)

    film = tmp_path / "film.mp4"
    # x264 spreads its work over threads, and what they make of few bits differs now and then.
    seen = measure(write_film(film, seconds=2, luma=luma, encoder_options={"crf": "10"}))
    assert seen.frozen_start_frame == 24
    assert seen.frozen_start_seconds == pytest.approx(1.0)
    assert seen.frozen_seconds == pytest.approx(18 / 24)
    assert seen.frozen_share == pytest.approx(18 / 48)


def test_a_film_of_one_picture_is_frozen_throughout(tmp_path: Path) -> None:
    """A stretch that lasts to the end counts up to the end."""
    path = write_film(tmp_path / "film.mp4", luma=lambda _, x, y: moving(0, x, y))
    seen = measure(path)
    assert (seen.frozen_start_frame, seen.frozen_share) == (0, 1.0)


def test_a_slow_pan_is_not_frozen(tmp_path: Path) -> None:
    """Small steps add up: each picture is compared with the first of its stretch."""
    path = write_film(
        tmp_path / "film.mp4", seconds=2, luma=lambda index, x, y: (x * 3 + y + index) % 200 + 20
    )
    assert measure(path).frozen_seconds < 0.5


def test_sound_has_no_frames(tmp_path: Path) -> None:
    """A file without pictures is neither black nor frozen, and has no shape."""
    path = write_sound(tmp_path / "sound", codec="pcm_s16le", file_format="wav")
    seen = inspect(path, "audio/wav")
    assert (seen.measures, seen.ratio, seen.preview, seen.poster) == (None, None, None, None)
    with pytest.raises(MediaError, match="no pictures"):
        aspect_ratio_of_image(path)


def test_a_film_is_measured_up_to_its_damage_and_beyond(tmp_path: Path) -> None:
    """What decodes is shown; the first damage is named."""
    path = write_film(tmp_path / "film.mp4", width=160, height=90, seconds=2)
    whole = path.read_bytes()
    middle = (whole.index(b"mdat") + whole.index(b"moov")) // 2
    path.write_bytes(whole[:middle] + b"\xff" * 400 + whole[middle + 400 :])
    seen = inspect(path, "video/mp4")
    assert seen.problem
    assert seen.measures
    assert seen.measures.frame_count > 10
    assert seen.preview


def test_switched_off_nothing_is_decoded(tmp_path: Path) -> None:
    """The first bytes tell the kind; the rest is not looked at."""
    path = write_film(tmp_path / "film.mp4")
    seen = inspect(path, "video/mp4", verify="bytes")
    assert (seen.facts, seen.content_type) == (MediaFacts("video"), "video/mp4")
    assert (seen.problem, seen.measures, seen.preview) == (None, None, None)
    assert "verify" in str(seen.unseen)


def test_a_file_of_too_many_pixels_is_looked_at_in_part(tmp_path: Path) -> None:
    """The budget is stated once; the frames until then count, and the rest is told."""
    path = write_film(tmp_path / "film.mp4", width=16, height=16, seconds=2)
    with open_media(path) as container:
        tracks = read_tracks(container, lambda _frame: None, PixelBudget(30 * 100_000))
    assert tracks.unseen == "it is too large: 30 frames were looked at"
    assert tracks.problem is None
    assert tracks.film
    assert tracks.film.count == 30


PICTURES = {
    "png": {},
    "jpeg": {},
    "gif": {},
    "bmp": {},
    "tiff": {},
    "webp": {},
    "lossless.webp": {"lossless": True},
    "avif": {"speed": 10},
}


@pytest.mark.parametrize("kind", PICTURES)
def test_a_pictures_size_is_read_from_its_header(tmp_path: Path, kind: str) -> None:
    """Whatever its format: no decoder is needed to see that a picture is too large for one."""
    path = tmp_path / "picture"
    Image.new("RGB", (90, 60)).save(path, format=kind.rpartition(".")[2], **PICTURES[kind])
    with path.open("rb") as file:
        assert read_stated_size(file, file.read(HEAD_BYTES)) == (90, 60)


@pytest.mark.parametrize("cut", [3, 12, 20, 40])
@pytest.mark.parametrize("kind", PICTURES)
def test_a_header_that_breaks_off_states_no_size(tmp_path: Path, kind: str, cut: int) -> None:
    """Nor does it harm anything."""
    path = tmp_path / "picture"
    Image.new("RGB", (90, 60)).save(path, format=kind.rpartition(".")[2], **PICTURES[kind])
    path.write_bytes(path.read_bytes()[:cut])
    with path.open("rb") as file:
        assert read_stated_size(file, file.read(HEAD_BYTES)) in {(0, 0), (90, 60)}


def test_a_jpeg_of_too_many_pixels_is_not_called_damaged(tmp_path: Path) -> None:
    """It was not looked at, and why is told."""
    path = tmp_path / "picture.jpg"
    Image.new("RGB", (90, 60)).save(path)
    jpeg = bytearray(path.read_bytes())
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = (16_000).to_bytes(2, "big") * 2
    path.write_bytes(jpeg)
    seen = inspect(path, "image/jpeg")
    assert (seen.problem, seen.unseen) == (None, "it is too large: 16000 x 16000 pixels")


def test_an_inspection_survives_json(tmp_path: Path) -> None:
    """Another process may have made it."""
    seen = inspect(write_film(tmp_path / "film.mp4"), "video/mp4")
    assert Inspection.from_json(json.loads(json.dumps(seen.to_json()))) == seen


@pytest.mark.parametrize("suffix", ["png", "jpeg", "webp", "gif"])
def test_the_shape_of_an_image_is_width_by_height(tmp_path: Path, suffix: str) -> None:
    """The first image's shape is what its video should have."""
    path = tmp_path / "image"
    Image.new("RGB", (90, 60)).save(path, format=suffix)
    assert aspect_ratio_of_image(path) == pytest.approx(1.5)


def test_a_photo_taken_upright_is_upright(tmp_path: Path) -> None:
    """Cameras store a photo lying and note how it is to be turned."""
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (90, 60)).save(tmp_path / "photo.jpg", exif=turned)
    assert aspect_ratio_of_image(tmp_path / "photo.jpg") == pytest.approx(60 / 90)


def test_an_animation_has_the_shape_of_its_canvas(tmp_path: Path) -> None:
    """Pictures of an animated WebP may cover only a part of it."""
    frames = [Image.new("RGB", (90, 60), (60 * step, 0, 0)) for step in range(3)]
    path = tmp_path / "animation.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    assert aspect_ratio_of_image(path) == pytest.approx(1.5)
