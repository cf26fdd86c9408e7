"""Rules of previews: they move, they fit, and any WebP decoder opens them."""

from __future__ import annotations

import base64
import io
import itertools
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from tests.support.media_samples import turn, write_coloured_film, write_film
from wiro_dagster.media import inspect, preview_markdown
from wiro_dagster.media.pictures import Album


def _open(webp: bytes) -> Any:
    image = Image.open(io.BytesIO(webp))
    image.load()
    return image


def make_preview(path: Path, *, max_bytes: int = 18_000) -> bytes:
    preview = inspect(path, preview_bytes=max_bytes).preview
    assert preview is not None
    return preview


def make_poster(path: Path) -> bytes:
    poster = inspect(path).poster
    assert poster is not None
    return poster


def _noise(index: int, x: int, y: int) -> int:
    return random.Random(index * 100_003 + x * 331 + y).randrange(16, 235)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "film.mp4", width=320, height=180)


@pytest.fixture(scope="module")
def noisy_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nothing compresses worse."""
    path = tmp_path_factory.mktemp("film") / "noise.mp4"
    return write_film(path, width=160, height=90, seconds=0.6, luma=_noise)


def test_a_preview_moves_for_ever_and_fits(film: Path) -> None:
    """An animated WebP, at most 24,000 bytes as a data URI, endless, with different pictures."""
    webp = make_preview(film)
    assert len(base64.b64encode(webp)) <= 24_000
    image = _open(webp)
    assert (image.format, image.size, image.info["loop"]) == ("WEBP", (320, 180), 0)
    pictures = set()
    for index in range(image.n_frames):
        image.seek(index)
        pictures.add(image.convert("RGB").tobytes())
    assert image.n_frames >= 4
    assert len(pictures) == image.n_frames


def test_a_preview_covers_the_whole_film(tmp_path: Path) -> None:
    """A film that turns from dark to bright in its second half shows both in its preview."""
    path = write_film(
        tmp_path / "film.mp4", seconds=4, luma=lambda index, x, y: 40 if index < 48 else 200
    )
    image = _open(make_preview(path))
    levels = []
    for index in range(image.n_frames):
        image.seek(index)
        levels.append(image.convert("L").resize((1, 1)).getpixel((0, 0)))
    assert sum(level < 100 for level in levels) == pytest.approx(len(levels) / 2, abs=1)


def test_the_same_film_gives_the_same_preview(film: Path) -> None:
    """Nothing in a preview depends on when or where it was made."""
    assert make_preview(film) == make_preview(film)


@pytest.mark.parametrize("max_bytes", [18_000, 10_000, 3_000, 1_000])
def test_a_preview_of_noise_fits_too(noisy_film: Path, max_bytes: int) -> None:
    """Size and quality give way until the preview fits."""
    webp = make_preview(noisy_film, max_bytes=max_bytes)
    assert len(webp) <= max_bytes
    assert _open(webp).n_frames > 1


def test_a_preview_is_320_pixels_wide(tmp_path: Path) -> None:
    """Upright or lying, plain or rich: quality and frames give way first."""
    for width, height in ((640, 360), (360, 640)):
        path = write_film(
            tmp_path / "film.mp4",
            width=width,
            height=height,
            seconds=0.3,
            luma=lambda index, x, y: (x * y // 500 + index * 9) % 200 + 20,
        )
        image = _open(make_preview(path))
        assert image.width == 320
        assert image.width / image.height == pytest.approx(width / height, abs=0.01)


def test_a_preview_of_a_rich_upright_film_is_320_pixels_wide() -> None:
    """Upright pictures have twice the pixels; quality gives way before width does."""
    album = Album()
    for index in range(6):
        frame = av.VideoFrame(720, 1280, "yuv420p")
        for plane in frame.planes:
            plane.update(random.Random(index).randbytes(plane.buffer_size))
        frame.pts, frame.time_base = index, Fraction(1, 24)
        album.see(frame)
    assert album.poster()
    webp = album.preview()
    assert webp is not None
    image = _open(webp)
    assert (image.width, image.n_frames > 1) == (320, True)
    assert len(webp) <= 18_000


def test_too_little_room_gives_no_preview(film: Path) -> None:
    """Nothing is returned that would not fit, and nothing fails."""
    seen = inspect(film, preview_bytes=20)
    assert (seen.preview, seen.problem) == (None, None)


def test_small_pictures_are_not_enlarged(tmp_path: Path) -> None:
    """A film of 64 by 36 pixels stays as it is."""
    assert _open(make_preview(write_film(tmp_path / "film.mp4"))).size == (64, 36)


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_a_turned_film_stands_upright(tmp_path: Path, quarter_turns: int) -> None:
    """A phone stores a film lying and notes how it is to be turned."""
    path = write_film(
        tmp_path / "film.mp4",
        width=64,
        height=48,
        luma=lambda index, x, y: 220 if x < 20 and y < 20 else 30 + index % 4,
    )
    path.write_bytes(turn(path.read_bytes(), 64, 48, quarter_turns))
    seen = inspect(path)
    sides = (48, 64) if quarter_turns % 2 else (64, 48)
    assert (seen.facts.width, seen.facts.height) == sides
    assert seen.ratio == pytest.approx(sides[0] / sides[1])
    assert seen.preview
    image = _open(seen.preview).convert("L")
    assert image.size == sides
    corners = [(5, 5), (image.width - 6, 5), (image.width - 6, image.height - 6)]
    corners.append((5, image.height - 6))
    levels = [image.getpixel(corner) for corner in corners]
    # The bright corner, top left in the file, has gone round clockwise.
    assert levels.index(max(levels)) == quarter_turns


@pytest.mark.parametrize("space", [8, 10, 14])
def test_colours_that_nobody_converts_have_a_preview_all_the_same(
    tmp_path: Path, space: int
) -> None:
    """YCgCo, BT.2020 with constant luminance, ICtCp, in 10 bits: a little off in colour."""
    path = write_coloured_film(tmp_path / "film.mp4", colour_space=space)
    seen = inspect(path, "video/mp4")
    assert seen.problem is None
    assert seen.measures
    assert seen.preview
    assert seen.poster


def test_a_very_short_film_has_a_preview(tmp_path: Path) -> None:
    """Two frames are enough to move, one is a still."""
    two = write_film(tmp_path / "two.mp4", seconds=2 / 24)
    assert _open(make_preview(two)).n_frames == 2
    one = write_film(tmp_path / "one.mp4", seconds=1 / 24)
    assert _open(make_preview(one)).n_frames == 1


@pytest.mark.parametrize("suffix", ["png", "jpeg", "webp"])
def test_an_image_has_a_still_preview(tmp_path: Path, suffix: str) -> None:
    """Images are shown as they are, only smaller."""
    path = tmp_path / "image"
    Image.effect_noise((900, 600), 80).convert("RGB").save(path, format=suffix)
    webp = make_preview(path)
    image = _open(webp)
    assert image.n_frames == 1
    assert image.width / image.height == pytest.approx(1.5, abs=0.02)
    assert len(webp) <= 18_000


def test_transparency_stays(tmp_path: Path) -> None:
    """A logo on nothing is not shown on black."""
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(tmp_path / "logo.png")
    image = _open(make_preview(tmp_path / "logo.png"))
    assert image.mode == "RGBA"
    assert image.getpixel((30, 30))[3] == 0


def test_an_animated_webp_has_a_preview(tmp_path: Path) -> None:
    """FFmpeg cannot read it; Pillow does."""
    frames = [Image.new("RGB", (64, 36), (80 * step, 0, 90)) for step in range(3)]
    path = tmp_path / "animation.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    assert _open(make_preview(path)).size == (64, 36)


def test_a_poster_is_a_still_from_the_middle(tmp_path: Path) -> None:
    """The first frame of a film is often dark; the middle shows what it is about."""
    path = write_film(
        tmp_path / "film.mp4", luma=lambda index, x, y: 200 if 8 <= index < 20 else 20
    )
    image = _open(make_poster(path))
    assert image.n_frames == 1
    assert image.convert("L").getpixel((5, 5)) > 150


def test_a_long_film_takes_little_memory() -> None:
    """However many frames there are, only a few small ones are kept, evenly spread."""
    album = Album()
    for index in range(5000):
        frame = av.VideoFrame(16, 16, "yuv420p")
        frame.pts, frame.time_base = index, Fraction(1, 24)
        album.see(frame)
        assert len(album._kept) <= 16
    numbers = [frame.pts for frame in album._kept]
    gaps = {later - earlier for earlier, later in itertools.pairwise(numbers)}
    assert (numbers[0], len(gaps)) == (0, 1)
    assert numbers[-1] > 4000


def test_markdown_shows_the_picture_by_itself() -> None:
    """The bytes are in the text: nothing is fetched."""
    text = preview_markdown(b"webp", "sunrise")
    assert text == f"![sunrise](data:image/webp;base64,{base64.b64encode(b'webp').decode()})"


def test_no_prompt_breaks_out_of_the_markdown() -> None:
    """Brackets, line breaks and HTML in a prompt stay text."""
    text = preview_markdown(b"x", "a](http://evil) \n\n<script> `b` " + "long " * 99)
    alt, _, rest = text.partition("](data:")
    assert rest == "image/webp;base64,eA==)"
    assert "\n" not in text
    assert r"a\]\(http://evil\) \<script\> \`b\`" in alt
    assert len(alt) < 250
