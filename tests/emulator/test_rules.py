"""The emulator's rules that need no server: courses of tasks, exact sizes, chance, redaction."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiro_dagster import emulator
from wiro_dagster.emulator import EmulatorControl
from wiro_dagster.emulator.catalogue import Catalogue
from wiro_dagster.emulator.chance import fraction, happens
from wiro_dagster.emulator.clock import Clock
from wiro_dagster.emulator.faults import all_kinds
from wiro_dagster.emulator.journal import Redactor, redact_url
from wiro_dagster.emulator.lettering import find_font, legible, without_accents
from wiro_dagster.emulator.local_hosts import is_reachable
from wiro_dagster.emulator.outputs import fit_shape, plan_outputs, resolution_lines
from wiro_dagster.emulator.padding import fill
from wiro_dagster.emulator.pictures import make_picture, wrap
from wiro_dagster.emulator.pricing import Work, bill
from wiro_dagster.emulator.settings import CHANGEABLE
from wiro_dagster.emulator.sounds import make_sound
from wiro_dagster.emulator.task_script import (
    PROMPT_MARKERS,
    RANDOM_TASK_SCRIPTS,
    TaskScript,
    script_from_json,
)
from wiro_dagster.emulator.timeline import LADDER, TERMINAL, build_timeline, ends_at, status_at
from wiro_dagster.emulator.uploads import safe_name
from wiro_dagster.emulator.validation import effective_inputs
from wiro_dagster.emulator.worlds.periods import PERIOD_WORLDS, PeriodWorld
from wiro_dagster.emulator.worlds.rewrites import REWRITES
from wiro_dagster.emulator.worlds.tasks import TASK_WORLDS
from wiro_dagster.emulator.worlds.world import TaskWorld

_SCRIPTS = st.sampled_from([*PROMPT_MARKERS.values(), *RANDOM_TASK_SCRIPTS.values(), {}])


@given(_SCRIPTS, st.floats(0, 1000), st.floats(0, 1000), st.floats(0, 1e6))
def test_a_course_moves_forward_and_ends_at_most_once(
    fields: dict[str, Any], task_seconds: float, queue_seconds: float, after: float
) -> None:
    """Times never fall, only the last status is terminal, and what is known never changes."""
    timeline = build_timeline(
        script_from_json(fields), 100.0, task_seconds=task_seconds, queue_seconds=queue_seconds
    )
    times = [moment.at for moment in timeline]
    assert times == sorted(times)
    assert not any(moment.status in TERMINAL for moment in timeline[:-1])
    end = ends_at(timeline)
    present = status_at(timeline, 100.0 + after)
    assert (present in TERMINAL) == (end is not None and end <= 100.0 + after)


def test_an_ordinary_task_takes_its_seconds_and_the_queue_its_own() -> None:
    """Queue time comes before everything but the queue."""
    timeline = build_timeline(TaskScript(), 0.0, task_seconds=10, queue_seconds=5)
    assert [moment.status for moment in timeline] == [status for status, _ in LADDER]
    assert timeline[1].at == 6.0
    assert ends_at(timeline) == 15.0


@pytest.mark.parametrize("fields", [*PROMPT_MARKERS.values(), *RANDOM_TASK_SCRIPTS.values()])
def test_every_built_in_script_is_valid_and_survives_storage(fields: dict[str, Any]) -> None:
    """What is written down comes back as it was."""
    script = script_from_json(fields)
    assert script_from_json(script.to_json()) == script


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"outcome": "explode"}, "outcome must be one of"),
        ({"run_seconds": -1}, "run_seconds must be a number"),
        ({"outputs": 500}, "outputs must be"),
        ({"cost_usd": "much"}, "cost_usd must be"),
        ({"skip": "task_end"}, "skip must be a list"),
        ({"color": 1}, "no color"),
    ],
)
def test_a_script_that_makes_no_sense_is_refused(fields: dict[str, Any], message: str) -> None:
    """By the name of the field."""
    with pytest.raises(ValueError, match=message):
        script_from_json(fields)


@given(st.integers(0, 5000), st.sampled_from(["png", "webp", "wav", "mp3"]), st.booleans())
def test_a_file_is_filled_to_the_exact_size(spare: int, file_format: str, is_long: bool) -> None:
    """To the byte, whatever is missing; RIFF files have even sizes."""
    content = _CONTENTS[file_format]
    tag = "a tag that is longer" if is_long else "tag"
    size = len(content) + 100 + spare
    size -= size % 2
    filled = fill(file_format, content, size, tag)
    assert len(filled) == size
    assert tag.encode() in filled


_CONTENTS = {
    "png": make_picture("x", "y", width=16, height=16, file_format="png"),
    "webp": make_picture("x", "y", width=16, height=16, file_format="webp"),
    "wav": make_sound("x", 0.1, "wav"),
    "mp3": make_sound("x", 0.1, "mp3"),
}


def test_a_file_larger_than_announced_is_never_made() -> None:
    """It would be a lie that no script asked for."""
    with pytest.raises(ValueError, match="too large"):
        fill("png", _CONTENTS["png"], len(_CONTENTS["png"]), "tag")


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (16, 9, (1366, 768)),
        (1, 1, (768, 768)),
        (9, 16, (768, 1366)),
        (4, 3, (1024, 768)),
        (1000, 1, (1792, 768)),
    ],
)
def test_frames_keep_a_shape_within_reason(
    width: int, height: int, expected: tuple[int, int]
) -> None:
    """The short side is the ordered one; both are even; ribbons are cut at 21:9."""
    assert fit_shape(768, width, height) == expected


@pytest.mark.parametrize(("text", "lines"), [("768P", 768), ("1080P", 1080), ("720p", 720)])
def test_a_resolution_names_the_short_side(text: str, lines: int) -> None:
    """In either case of its letter."""
    assert resolution_lines(text) == lines


def test_every_model_can_be_run_planned_and_billed() -> None:
    """The catalogue is consistent: outputs have sizes, prices can be worked out."""
    for model in Catalogue.load():
        inputs = effective_inputs(model, {"prompt": "a fox"})
        plans = plan_outputs(
            model, inputs, uuid="a" * 32, count=None, same_names=False, tiny_videos=False
        )
        assert plans
        assert all(plan.size_bytes > 0 or plan.kind == "raw" for plan in plans)
        assert bill(model, inputs, {}, Work(output_files=len(plans))) >= 0


def test_chance_is_fair_and_repeatable() -> None:
    """Rates hold over many questions, and one question has one answer."""
    draws = [happens(0.05, 1, "kind", number) for number in range(4000)]
    assert 140 < sum(draws) < 260
    assert draws == [happens(0.05, 1, "kind", number) for number in range(4000)]
    assert all(0 <= fraction(2, number) < 1 for number in range(100))


def test_a_redactor_knows_names_texts_and_urls() -> None:
    """Secrets go wherever they hide, and lists too long to read are cut."""
    redactor = Redactor(["s3cret"])
    shown = redactor.value(
        {
            "tasktoken": "abc",
            "callbackUrl": "https://example.org/hook/abc?x=1",
            "prompt": "s3cret in a text",
            "deep": [{"X-Api-Key": "k"}],
            "many": list(range(100)),
        }
    )
    assert shown["tasktoken"] == "[redacted]"
    assert shown["callbackUrl"] == "https://example.org/[redacted]"
    again = redactor.value({"callbackUrl": "https://example.org/hook/abc?x=1"})
    assert shown["callbackUrlDigest"] == again["callbackUrlDigest"]
    assert shown["prompt"] == "[redacted] in a text"
    assert shown["deep"] == [{"X-Api-Key": "[redacted]"}]
    assert len(shown["many"]) == 20
    assert redact_url("") == ""


@pytest.mark.parametrize(
    ("url", "further", "expected"),
    [
        ("http://127.0.0.1:80/x", (), True),
        ("http://localhost/x", (), True),
        ("https://example.org/x", (), False),
        ("https://example.org/x", ("example.org",), True),
        ("https://example.org/x", ("*",), True),
        ("file:///etc/passwd", ("*",), False),
        ("http://[broken", ("*",), False),
    ],
)
def test_only_this_machine_is_reached_unless_told(
    url: str, further: tuple[str, ...], expected: bool
) -> None:
    """Callbacks and input images, both."""
    assert is_reachable(url, further) == expected


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("fox.png", "fox.png"),
        ("../../etc/passwd", "passwd"),
        ("a b<c>.png", "a_b_c_.png"),
        ("", "file"),
    ],
)
def test_names_of_files_are_made_harmless(given_name: str, kept: str) -> None:
    """No folder, no markup, never empty."""
    assert safe_name(given_name) == kept


def test_text_is_wrapped_at_words_and_long_words_anywhere() -> None:
    """No line is longer than the width, and nothing is lost."""
    text = "a fox " + "x" * 45 + " runs"
    lines = wrap(text, len, 10)
    assert max(len(line) for line in lines) <= 10
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_letters_that_no_font_has_lose_their_accents() -> None:
    """Better a plain letter than an empty box; plain text stays as it is."""
    assert without_accents("Füchse, Straße, \u0131ş\u0131k, \u6771") == "Fuchse, Strasse, isik, ?"
    assert legible("a fox") == "a fox"
    assert find_font("ü", 20).size == 20


def test_a_clock_remembers_every_change() -> None:
    """So that a restarted emulator shows the same time."""
    kept: list[tuple[float, float | None]] = []
    clock = Clock(remember=lambda offset, frozen: kept.append((offset, frozen)))
    clock.advance(10)
    frozen = clock.freeze()
    clock.advance(5)
    assert kept[0] == (10, None)
    assert kept[-1][1] == frozen + 5
    clock.resume()
    assert kept[-1][1] is None
    readings = [clock.now() for _ in range(5)]
    assert all(one <= other for one, other in itertools.pairwise(readings))


def test_a_new_task_wakes_no_listener_of_another_one() -> None:
    """Each of very many listeners would look at the state for each task that is made."""

    async def wait_both() -> list[bool]:
        clock = Clock()
        waits = [asyncio.ensure_future(clock.wait(None, plans=plans)) for plans in (False, True)]
        await asyncio.sleep(0)
        clock.wake_planner()
        await waits[1]
        woken = [wait.done() for wait in waits]
        clock.wake_all()
        await waits[0]
        return woken

    assert asyncio.run(asyncio.wait_for(wait_both(), 60)) == [False, True]


def test_the_readme_names_everything_there_is() -> None:
    """Every marker, field, fault, rate, setting, method of control and world."""
    readme = Path(emulator.__file__).with_name("README.md").read_text(encoding="utf-8")
    names = [
        *PROMPT_MARKERS,
        *RANDOM_TASK_SCRIPTS,
        *(field.name for field in dataclasses.fields(TaskScript)),
        *all_kinds(),
        *CHANGEABLE,
        *(name for name in dir(EmulatorControl) if not name.startswith("_")),
    ]
    assert [name for name in names if name not in readme] == []
    worlds = (*TASK_WORLDS.values(), *PERIOD_WORLDS.values())
    rows = [
        f"| `{world.name}` | {world.what} | {_shortest(world)} | {world.source} |"
        for world in worlds
    ]
    assert [row for row in rows if row not in readme] == []
    assert [name for name in REWRITES if f"`{name}`" not in readme] == []


def _shortest(world: TaskWorld | PeriodWorld) -> str:
    if world.seconds is not None:
        return f"{world.seconds:g}"
    return "for ever" if isinstance(world, TaskWorld) and world.takes_seconds else ""
