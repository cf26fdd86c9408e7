"""Rules of previews: they move, they fit, and any WebP decoder opens them."""

from __future__ import annotations

import base64
import io
import itertools
import random
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.media_samples import moving, write_film, write_sound
from wiro_dagster.errors import MediaError
from wiro_dagster.media import make_poster, make_preview, preview_markdown


def _open(webp: bytes) -> Any:
    image = Image.open(io.BytesIO(webp))
    image.load()
    return image


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
    """An animated WebP of at most 24,000 bytes, small, endless, with different pictures."""
    webp = make_preview(film)
    assert len(webp) <= 24_000
    image = _open(webp)
    assert (image.format, image.size, image.info["loop"]) == ("WEBP", (160, 90), 0)
    pictures = set()
    for index in range(image.n_frames):
        image.seek(index)
        pictures.add(image.convert("RGB").tobytes())
    assert image.n_frames >= 8
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


@pytest.mark.parametrize("max_bytes", [24_000, 10_000, 3_000, 1_000])
def test_a_preview_of_noise_fits_too(noisy_film: Path, max_bytes: int) -> None:
    """Size and quality give way until the preview fits."""
    webp = make_preview(noisy_film, max_bytes=max_bytes)
    assert len(webp) <= max_bytes
    assert _open(webp).n_frames > 1


def test_too_little_room_is_an_error(film: Path) -> None:
    """Nothing is returned that would not fit."""
    with pytest.raises(MediaError, match="20 are allowed"):
        make_preview(film, max_bytes=20)


def test_an_upright_film_keeps_its_shape(tmp_path: Path) -> None:
    """The longer side is limited, whichever it is."""
    path = write_film(tmp_path / "film.mp4", width=180, height=320, seconds=0.3)
    assert _open(make_preview(path)).size == (90, 160)


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
    assert len(webp) <= 24_000


def test_transparency_stays(tmp_path: Path) -> None:
    """A logo on nothing is not shown on black."""
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(tmp_path / "logo.png")
    image = _open(make_preview(tmp_path / "logo.png"))
    assert image.mode == "RGBA"
    assert image.getpixel((30, 30))[3] == 0


def test_an_animation_that_ffmpeg_cannot_read_has_a_still(tmp_path: Path) -> None:
    """The first picture of an animated WebP stands for it."""
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


def test_sound_has_no_preview(tmp_path: Path) -> None:
    """Asking for a picture of sound is an error."""
    path = write_sound(tmp_path / "sound", codec="pcm_s16le", file_format="wav")
    with pytest.raises(MediaError, match="no pictures"):
        make_preview(path)


def test_a_long_film_takes_little_memory(tmp_path: Path) -> None:
    """However many frames there are, only a few small ones are kept."""
    from wiro_dagster.media.sampling import sample_frames

    path = write_film(tmp_path / "film.mp4", seconds=20, width=16, height=16, luma=moving)
    kept = sample_frames(path, most=10, longest_side=16)
    times = [frame.time for frame in kept]
    assert 5 <= len(kept) <= 10
    assert times[0] == 0
    gaps = {round(later - earlier, 3) for earlier, later in itertools.pairwise(times)}
    assert len(gaps) == 1
    assert times[-1] > 10


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
