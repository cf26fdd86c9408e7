"""The check that inputs pass: the four models of the package, and every parameter type."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wiro_dagster.catalogue import (
    MAX_FILE_BYTES,
    Catalogue,
    InputOption,
    InputRule,
    InputSpec,
    LocalFileInput,
    LocalFolders,
    ModelSchema,
)

HAILUO = Catalogue.builtin().get_schema("minimax/hailuo-2-3")
FAST = Catalogue.builtin().get_schema("minimax/hailuo-2-3-fast")
TEXT_ONLY = Catalogue.builtin().get_schema("minimax/text-to-video-hailuo-02")
SUBJECT = Catalogue.builtin().get_schema("minimax/image-to-video-hailuo-01-subject")
IMAGE = "https://example.org/a.jpg"
DEFAULTS = {"promptOptimizer": "true", "resolution": "768P", "duration": "6"}


def schema_of(*specs: InputSpec, **fields: Any) -> ModelSchema:
    return ModelSchema("acme/model", specs, fields.pop("prompt_input", None), **fields)


def problem_of(schema: ModelSchema, **inputs: Any) -> str:
    _, problems = schema.validate(inputs)
    assert len(problems) == 1, problems
    return problems[0]


@pytest.mark.parametrize("schema", [HAILUO, TEXT_ONLY], ids=lambda schema: schema.slug)
def test_documented_defaults_are_filled_in(schema: ModelSchema) -> None:
    """What is left out is sent with the documented default, as text."""
    inputs, problems = schema.validate({"prompt": "a fox"})
    assert problems == ()
    assert inputs == {"prompt": "a fox", **DEFAULTS}


def test_the_subject_model_takes_a_face_and_a_prompt_only() -> None:
    """Nothing else is filled in or accepted."""
    inputs, problems = SUBJECT.validate({"prompt": "she waves", "inputImageFirst": IMAGE})
    assert (inputs, problems) == ({"inputImageFirstUrl": IMAGE, "prompt": "she waves"}, ())
    assert "no such input" in problem_of(
        SUBJECT, prompt="she waves", inputImageFirst=IMAGE, duration=6
    )


@pytest.mark.parametrize("schema", [FAST, SUBJECT], ids=lambda schema: schema.slug)
def test_a_required_image_must_be_there(schema: ModelSchema) -> None:
    """The models that start from an image refuse a run without one."""
    assert problem_of(schema, prompt="x").startswith("inputImageFirst: required")


def test_a_text_model_takes_no_image() -> None:
    """An image for a model without image inputs is an unknown input."""
    assert "inputImageFirst: minimax/text-to-video-hailuo-02 has no such input" in problem_of(
        TEXT_ONLY, prompt="x", inputImageFirst=IMAGE
    )


@pytest.mark.parametrize("schema", [HAILUO, TEXT_ONLY], ids=lambda schema: schema.slug)
@pytest.mark.parametrize("duration", [10, "10", 10.0, Decimal(10)])
def test_1080p_makes_six_seconds_only(schema: ModelSchema, duration: object) -> None:
    """1080P with 10 seconds is refused, in any spelling, and the message says why."""
    problem = problem_of(schema, prompt="x", resolution="1080P", duration=duration)
    assert problem.startswith("duration: '10' is not allowed with resolution 1080P")
    assert "Allowed: '6'" in problem


def test_1080p_with_six_seconds_is_right() -> None:
    """The rule refuses the combination, not the resolution."""
    inputs, problems = HAILUO.validate({"prompt": "x", "resolution": "1080P"})
    assert problems == ()
    assert (inputs["resolution"], inputs["duration"]) == ("1080P", "6")


def test_a_file_and_a_url_are_never_both_sent(tmp_path: Path) -> None:
    """`X` and `XUrl` together are one problem, however they are spelled."""
    (tmp_path / "a.jpg").write_bytes(b"image")
    _, problems = FAST.validate(
        {"prompt": "x", "inputImageFirst": "a.jpg", "inputImageFirstUrl": IMAGE},
        folders=LocalFolders(tmp_path),
    )
    assert len(problems) == 1
    assert "takes one file or one URL, and 2 are given" in problems[0]


def test_everything_wrong_is_told_at_once() -> None:
    """Problems of values, of names and of missing inputs come together."""
    _, problems = FAST.validate({"resolution": "4K", "duraton": 6, "duration": "60"})
    assert [problem.partition(":")[0] for problem in problems] == [
        "duraton",
        "inputImageFirst",
        "prompt",
        "resolution",
        "duration",
    ]


def test_messages_name_the_value_and_what_is_allowed() -> None:
    """A value outside the options is quoted together with the options and a near one."""
    assert problem_of(HAILUO, prompt="x", resolution="1090P") == (
        "resolution: '1090P' is not allowed. Did you mean '1080P'? Allowed: '768P', '1080P'."
    )
    assert "Did you mean 'duration'?" in problem_of(HAILUO, prompt="x", duraton=6)


@pytest.mark.parametrize(
    ("given", "sent"),
    [(True, "true"), (False, "false"), ("yes", "true"), ("No", "false"), ("True", "true")],
)
def test_yes_and_no_are_true_and_false(given: object, sent: str) -> None:
    """YAML's and JSON's booleans reach Wiro as its own words."""
    inputs, problems = HAILUO.validate({"prompt": "x", "promptOptimizer": given})
    assert (inputs["promptOptimizer"], problems) == (sent, ())


@pytest.mark.parametrize("blank", ["", "  ", "\n", None])
def test_a_blank_prompt_is_no_prompt(blank: object) -> None:
    """A model that takes a prompt refuses an empty one."""
    assert problem_of(HAILUO, prompt=blank).startswith("prompt: required")


def test_blanks_and_line_ends_around_a_prompt_do_not_count() -> None:
    """The same text is the same video, whatever editor wrote it."""
    inputs, _ = HAILUO.validate({"prompt": "  one\r\ntwo\n"})
    assert inputs["prompt"] == "one\ntwo"


def test_orders_own_the_callback_url() -> None:
    """A callback in the inputs would send news of a paid task elsewhere."""
    assert "orders set this themselves" in problem_of(HAILUO, prompt="x", callbackUrl=IMAGE)


@pytest.mark.parametrize("given", [7, "7", 7.0, Decimal("7.00"), " 7 "])
def test_a_range_takes_numbers_in_any_spelling(given: object) -> None:
    """A number goes over the wire as a number, whole where it is whole."""
    schema = schema_of(InputSpec("steps", "range", minimum=Decimal(1), maximum=Decimal(9)))
    inputs, problems = schema.validate({"steps": given})
    assert (inputs, problems) == ({"steps": 7}, ())
    assert isinstance(inputs["steps"], int)


@pytest.mark.parametrize("given", [0.4, 2.1, "2.01", "many", True, "1e400", float("inf")])
def test_a_range_refuses_what_is_outside_or_between(given: object) -> None:
    """Bounds and steps hold, and the message states them."""
    schema = schema_of(
        InputSpec(
            "guidance",
            "range",
            minimum=Decimal("0.5"),
            maximum=Decimal(2),
            step=Decimal("0.1"),
        )
    )
    assert "Give a number from 0.5 to 2 in steps of 0.1 counted from 0.5." in problem_of(
        schema, guidance=given
    )


@pytest.mark.parametrize(
    ("bounds", "sentence"),
    [
        ({}, "Give a number."),
        ({"minimum": Decimal(2)}, "Give a number of 2 or more."),
        ({"maximum": Decimal("2.50")}, "Give a number of 2.5 or less."),
        ({"minimum": Decimal(0), "step": Decimal(5)}, "Give a number of 0 or more in steps of 5."),
    ],
)
def test_a_range_may_be_open(bounds: dict[str, Decimal], sentence: str) -> None:
    """Only the bounds that Wiro states are checked, and named."""
    assert sentence in problem_of(schema_of(InputSpec("x", "range", **bounds)), x="many")  # type: ignore[arg-type]


@settings(deadline=None)
@given(steps=st.integers(0, 100))
def test_decimal_steps_are_counted_exactly(steps: int) -> None:
    """0.1 + 0.1 + 0.1 is a step of 0.1, although it is not for binary floats."""
    schema = schema_of(
        InputSpec("x", "range", minimum=Decimal(0), maximum=Decimal(10), step=Decimal("0.1"))
    )
    number = Decimal(steps) / 10
    inputs, problems = schema.validate({"x": float(number)})
    assert problems == ()
    assert Decimal(str(inputs["x"])) == number


def test_a_documented_default_counts_even_between_the_steps() -> None:
    """Wiro's own default is never refused."""
    spec = InputSpec(
        "x", "range", default="7.5", minimum=Decimal(1), maximum=Decimal(20), step=Decimal(1)
    )
    assert schema_of(spec).validate({"x": "7.5"}) == ({"x": 7.5}, ())
    assert schema_of(spec).validate({}) == ({"x": 7.5}, ())
    assert schema_of(spec).validate({"x": 8.5})[1] != ()


@pytest.mark.parametrize("given", [2, "2", 2.0, "2.0", "02"])
def test_options_that_are_numbers_match_by_value(given: object) -> None:
    """What is sent is Wiro's own spelling."""
    schema = schema_of(InputSpec("x", "select", options=(InputOption("1.0"), InputOption("2.00"))))
    assert schema.validate({"x": given}) == ({"x": "2.00"}, ())


def test_an_option_for_leaving_an_input_out_sends_nothing() -> None:
    """The empty option of a select means that the input is not sent."""
    options = (InputOption("", "Auto"), InputOption("1:1"))
    schema = schema_of(InputSpec("ratio", "select", options=options))
    assert schema.validate({"ratio": ""}) == ({}, ())
    assert schema.validate({"ratio": "1:1"}) == ({"ratio": "1:1"}, ())


def test_a_select_without_options_takes_any_text() -> None:
    """Where Wiro lists no options, nothing says what is wrong."""
    assert schema_of(InputSpec("voice", "select")).validate({"voice": 12}) == ({"voice": "12"}, ())


def test_an_unknown_type_is_sent_as_it_is() -> None:
    """A parameter type that is new at Wiro does not stop a run."""
    schema = schema_of(InputSpec("seed", "hologram"))
    assert schema.validate({"seed": 5}) == ({"seed": 5}, ())


@pytest.mark.parametrize("given", [["a"], {"a": 1}, b"bytes", object()])
def test_text_inputs_take_one_text(given: object) -> None:
    """A list or mapping where text belongs is a mistake in the file."""
    assert "one text or number is needed" in problem_of(schema_of(InputSpec("t", "text")), t=given)


def test_a_local_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    """A path becomes the file with hash and size, and goes into the file's own field."""
    (tmp_path / "a.jpg").write_bytes(b"image")
    inputs, problems = FAST.validate(
        {"prompt": "x", "inputImageFirst": "a.jpg"}, folders=LocalFolders(tmp_path)
    )
    assert problems == ()
    file = inputs["inputImageFirst"]
    assert isinstance(file, LocalFileInput)
    assert (file.path, file.size_bytes) == ((tmp_path / "a.jpg").resolve(), 5)
    assert file.sha256 == "6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d"
    assert "inputImageFirstUrl" not in inputs


def test_the_same_path_with_new_bytes_is_another_file(tmp_path: Path) -> None:
    """Hashes are kept between looks, but not beyond a change of the file."""
    path = tmp_path / "a.jpg"
    path.write_bytes(b"one")
    first, _ = FAST.validate({"prompt": "x", "inputImageFirst": path})
    path.write_bytes(b"three")
    second, _ = FAST.validate({"prompt": "x", "inputImageFirst": path})
    assert first["inputImageFirst"].sha256 != second["inputImageFirst"].sha256


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.jpg", "there is no file"),
        ("folder", "is not a plain file"),
        ("empty.jpg", "is empty"),
        ("huge.jpg", "100 MB"),
        ("s3://bucket/a.jpg", "cannot be fetched"),
        ("data:image/png;base64,AAAA", "cannot be fetched"),
        ("file:///etc/hosts", "cannot be fetched"),
        ("bad\0name", "cannot be read"),
    ],
)
def test_files_that_cannot_be_sent_are_problems(tmp_path: Path, name: str, reason: str) -> None:
    """What cannot be uploaded is found before anything is paid for."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.jpg").touch()
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    _, problems = FAST.validate(
        {"prompt": "x", "inputImageFirst": name}, folders=LocalFolders(tmp_path)
    )
    assert len(problems) == 1
    assert reason in problems[0]


def test_a_file_of_exactly_100_mb_is_taken(tmp_path: Path) -> None:
    """The limit itself is allowed."""
    with (tmp_path / "big.jpg").open("wb") as file:
        file.truncate(MAX_FILE_BYTES)
    _, problems = FAST.validate(
        {"prompt": "x", "inputImageFirst": "big.jpg"}, folders=LocalFolders(tmp_path)
    )
    assert problems == ()


def test_text_from_elsewhere_names_no_local_file(tmp_path: Path) -> None:
    """Without a base folder a table cannot make us upload a file of this machine."""
    path = tmp_path / "secret.txt"
    path.write_text("x")
    assert "local files cannot be named here" in problem_of(
        FAST, prompt="x", inputImageFirst=str(path)
    )
    assert FAST.validate({"prompt": "x", "inputImageFirst": path})[1] == ()


def test_a_url_field_takes_urls_only(tmp_path: Path) -> None:
    """A path under the URL name is told where it belongs."""
    problem = problem_of(FAST, prompt="x", inputImageFirstUrl="a.jpg")
    assert "takes http(s) URLs" in problem
    assert "inputImageFirst" in problem


def test_a_multifileinput_divides_files_and_urls(tmp_path: Path) -> None:
    """Files go under the name, URLs with commas under the URL name."""
    (tmp_path / "a.png").write_bytes(b"a")
    schema = schema_of(InputSpec("docs", "multifileinput"))
    inputs, problems = schema.validate(
        {"docs": ["a.png", "https://e.org/1"], "docsUrl": "https://e.org/2, https://e.org/3"},
        folders=LocalFolders(tmp_path),
    )
    assert problems == ()
    assert [file.path.name for file in inputs["docs"]] == ["a.png"]
    assert inputs["docsUrl"] == "https://e.org/1,https://e.org/2,https://e.org/3"


def test_a_comma_inside_one_of_several_urls_is_refused() -> None:
    """It would be read as two URLs."""
    schema = schema_of(InputSpec("docs", "multifileinput"))
    assert "%2C" in problem_of(schema, docs=["https://e.org/a,b"])


def test_a_combinefileinput_keeps_order_and_has_no_url_name(tmp_path: Path) -> None:
    """Files and URLs stay together under one name, in their order."""
    (tmp_path / "a.png").write_bytes(b"a")
    schema = schema_of(InputSpec("images", "combinefileinput"))
    inputs, problems = schema.validate(
        {"images": ["https://e.org/1", "a.png"]}, folders=LocalFolders(tmp_path)
    )
    assert problems == ()
    assert inputs["images"][0] == "https://e.org/1"
    assert inputs["images"][1].path.name == "a.png"
    assert "no such input" in problem_of(schema, imagesUrl="https://e.org/1")


def test_several_files_may_be_written_in_one_cell() -> None:
    """A CSV cell lists several URLs with commas."""
    schema = schema_of(InputSpec("images", "combinefileinput"))
    inputs, _ = schema.validate({"images": "https://e.org/1, https://e.org/2"})
    assert inputs == {"images": ("https://e.org/1", "https://e.org/2")}


def test_without_a_schema_inputs_pass_as_they_are(tmp_path: Path) -> None:
    """A model whose inputs nobody lists is not validated, but its files are."""
    (tmp_path / "a.png").write_bytes(b"a")
    schema = ModelSchema("acme/mystery", None, "prompt")
    inputs, problems = schema.validate(
        {
            "prompt": "x",
            "seed": 5,
            "on": True,
            "tags": ["a", 1],
            "image": {"file": "a.png"},
            "none": None,
        },
        folders=LocalFolders(tmp_path),
    )
    assert problems == ()
    assert inputs["image"].path.name == "a.png"
    assert {k: v for k, v in inputs.items() if k != "image"} == {
        "prompt": "x",
        "seed": 5,
        "on": True,
        "tags": ("a", "1"),
    }
    assert not schema.can_validate
    assert "there is no file" in problem_of(schema, image=tmp_path / "b.png")


def test_a_default_is_never_sent_for_the_prompt() -> None:
    """Wiro's example prompt is not what anybody asked for."""
    schema = schema_of(
        InputSpec("prompt", "textarea", required=True, default="A cat"), prompt_input="prompt"
    )
    assert problem_of(schema).startswith("prompt: required")


def test_rules_look_at_defaults_too() -> None:
    """A rule that only a default breaks is broken."""
    schema = schema_of(
        InputSpec("mode", "text"),
        InputSpec("fps", "select", default="24", options=(InputOption("24"), InputOption("60"))),
        rules=(InputRule((("mode", ("slow",)),), (("fps", ("60",)),)),),
    )
    assert problem_of(schema, mode="slow").startswith("fps: '24' is not allowed with mode slow")
    assert schema.validate({"mode": "slow", "fps": 60})[1] == ()


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["prompt", "duration", "resolution", "inputImageFirst", "junk"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()),
    )
)
def test_nothing_that_a_file_can_hold_breaks_the_check(given_inputs: dict[str, Any]) -> None:
    """Any value gives wire inputs or problems; right inputs are right again."""
    inputs, problems = HAILUO.validate(given_inputs)
    if not problems:
        assert HAILUO.validate(inputs) == (inputs, ())
