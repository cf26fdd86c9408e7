"""Reading prompt files: every problem is found at once, and none holds up the right prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from wiro_dagster.catalogue import Catalogue, InputOption, InputSpec, ModelSchema
from wiro_dagster.errors import InputError, ServiceUnreachable
from wiro_dagster.prompts import (
    Prompt,
    PromptFile,
    PromptProblem,
    load_prompt_file,
    parse_prompt_text,
)

HAILUO = "minimax/hailuo-2-3"
TEXT_ONLY = "minimax/text-to-video-hailuo-02"
SUBJECT = "minimax/image-to-video-hailuo-01-subject"
LOGO = ModelSchema(
    "acme/logo",
    (
        InputSpec("logo", "fileinput", required=True),
        InputSpec("ratio", "select", options=(InputOption("16:9"), InputOption("1:1"))),
    ),
    None,
)
MYSTERY = ModelSchema("acme/mystery", None, "prompt", notes=("cannot be validated",))
CATALOGUE = Catalogue.builtin().with_schemas([LOGO, MYSTERY])
EXAMPLES = Path(__file__).parents[2] / "examples" / "prompts.yaml"


def read(text: str | bytes, suffix: str = ".yaml") -> PromptFile:
    return parse_prompt_text(text, suffix, CATALOGUE, source=f"prompts{suffix}")


def read_entries(*entries: object, **defaults: object) -> PromptFile:
    """Reads entries as a JSON prompt file, with Hailuo as the model where none is given."""
    content = {"defaults": {"model": HAILUO, **defaults}, "prompts": entries}
    return read(json.dumps(content), ".json")


def one_problem(found: PromptFile) -> PromptProblem:
    assert len(found.problems) == 1, [str(problem) for problem in found.problems]
    return found.problems[0]


def test_the_example_file_is_right() -> None:
    """Eight prompts over all four models, most of them short and cheap."""
    found = load_prompt_file(EXAMPLES, Catalogue.builtin())
    assert found.problems == ()
    assert len(found.prompts) == 8
    assert {p.model_slug for p in found.prompts.values()} == set(Catalogue.builtin().slugs)
    inputs = [prompt.inputs for prompt in found.prompts.values()]
    assert [i.get("resolution") for i in inputs].count("1080P") == 1
    assert [i.get("duration") for i in inputs].count("10") == 1
    assert len({prompt.fingerprint for prompt in found.prompts.values()}) == 8


def test_all_three_formats_give_the_same_prompts() -> None:
    """YAML, JSON and CSV are spellings of one thing."""
    in_yaml = read(
        f"""
        defaults: {{model: {HAILUO}}}
        prompts:
          - {{id: 1, prompt: A fox, inputs: {{duration: 10, promptOptimizer: false}}}}
          - {{id: b, prompt: "A hare, running", model: {TEXT_ONLY}, take: 2}}
        """
    )
    in_json = read_entries(
        {"id": 1, "prompt": "A fox", "inputs": {"duration": 10, "promptOptimizer": False}},
        {"id": "b", "prompt": "A hare, running", "model": TEXT_ONLY, "take": 2},
    )
    in_csv = read(
        "id,prompt,model,take,duration,inputs.promptOptimizer\n"
        f"1,A fox,{HAILUO},,10,false\n"
        f'b,"A hare, running",{TEXT_ONLY},2,,\n',
        ".csv",
    )
    assert in_yaml.problems == in_json.problems == in_csv.problems == ()
    assert in_yaml.prompts == in_json.prompts == in_csv.prompts
    assert [p.fingerprint for p in in_yaml.prompts.values()] == [
        p.fingerprint for p in in_csv.prompts.values()
    ]
    assert in_csv.prompts["b"].take == 2
    assert in_csv.prompts["b"].text == "A hare, running"


@pytest.mark.parametrize(
    "text",
    ["16:9", "1:1"],
)
def test_yaml_values_stay_the_text_that_was_written(text: str) -> None:
    """YAML's numbers, dates and truths are pitfalls: 16:9 would be the number 969."""
    found = read(
        "prompts: [{id: 2024-01-01, model: acme/logo, "
        f"inputs: {{ratio: {text}, logo: https://e.org/a.png}}}}]"
    )
    assert found.problems == ()
    assert found.prompts["2024-01-01"].inputs["ratio"] == text


@pytest.mark.parametrize("key", ["007", "1.10", "1e3", "no", "0x1F", "12:30:45", "1_000", "ünï"])
def test_an_id_is_the_text_that_was_written(key: str) -> None:
    """An id that looks like a number, a truth or a time is kept letter by letter."""
    found = read(f"prompts: [{{id: {key}, prompt: x, model: {HAILUO}}}]")
    assert list(found.prompts) == [key]


def test_right_prompts_are_not_held_up_by_wrong_ones() -> None:
    """Every problem has entry and field, and the others are there."""
    found = read(
        f"""
defaults:
  model: {HAILUO}
prompts:
  - id: good
    prompt: A fox
  - id: long-and-sharp
    prompt: A fox
    inputs: {{resolution: 1080P, duration: 10}}
  - id: empty
    prompt: ""
    take: 0
  - prompt: nameless
  - id: elsewhere
    prompt: A fox
    model: MiniMax/hailuo-2.3
  - just a text
  - id: good too
    prompt: A hare
"""
    )
    assert list(found.prompts) == ["good", "good too"]
    assert [(p.entry, p.field) for p in found.problems] == [
        ("2 (long-and-sharp)", "inputs.duration"),
        ("3 (empty)", "take"),
        ("3 (empty)", "prompt"),
        ("4", "id"),
        ("5 (elsewhere)", "model"),
        ("6", None),
    ]
    assert [p.id for p in found.problems] == [
        "long-and-sharp",
        *["empty"] * 2,
        None,
        "elsewhere",
        None,
    ]
    assert [p.line for p in found.problems] == [7, 10, 10, 13, 14, None]
    assert str(found.problems[0]).startswith(
        "prompts.yaml, line 7, entry 2 (long-and-sharp), inputs.duration: '10' is not allowed"
    )
    assert "Did you mean 'minimax/hailuo-2-3'" in found.problems[4].message


def test_of_duplicate_ids_none_is_taken() -> None:
    """Neither silently wins, also when they only look different as numbers and text."""
    found = read_entries(
        {"id": 1, "prompt": "a"}, {"id": "1 ", "prompt": "b"}, {"id": "2", "prompt": "c"}
    )
    assert list(found.prompts) == ["2"]
    assert [(p.field, p.id) for p in found.problems] == [("id", "1"), ("id", "1")]
    assert "entries 1, 2 share this id" in found.problems[0].message


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("a...b", "ranges of partitions"),
        ("a\tb", "control character"),
        ("a\nb", "control character"),
        ("a\u2028b", "LINE SEPARATOR"),
        ("a\0b", "control character"),
        ("a\ud800b", "control character"),
        ("x" * 201, "201 characters"),
        ("", "an id is needed"),
        (None, "an id is needed"),
        (["a"], "not a list"),
        ({"a": 1}, "not a SourceMapping"),
    ],
)
def test_ids_that_cannot_be_partition_keys_are_refused(key: object, reason: str) -> None:
    """They are refused here, before Dagster would stop the sensor over them."""
    problem = one_problem(read_entries({"id": key, "prompt": "x"}))
    assert problem.field == "id"
    assert reason in problem.message


def test_every_key_that_is_taken_is_one_that_dagster_takes() -> None:
    """The rule is Dagster's own, and stricter."""
    from dagster import StaticPartitionsDefinition

    keys = ["a b", "ä/ö", "1", "x" * 200, "a..b", "🦊", "[a],b|c"]
    found = read_entries(*({"id": key, "prompt": "x"} for key in keys))
    assert found.problems == ()
    assert StaticPartitionsDefinition(list(found.prompts)).get_partition_keys() == keys


@pytest.mark.parametrize("take", [0, -1, "x", 1.5, True, [1], "1e400"])
def test_a_take_is_a_whole_number_from_one(take: object) -> None:
    """Anything else would be another order than the one that was meant."""
    problem = one_problem(read_entries({"id": "a", "prompt": "x", "take": take}))
    assert problem.field == "take"


@pytest.mark.parametrize(("take", "meant"), [(2, 2), ("3", 3), (None, 1), (2.0, 2)])
def test_a_take_may_be_written_as_text(take: object, meant: int) -> None:
    """CSV has text only, and tables have floats."""
    found = read_entries({"id": "a", "prompt": "x", "take": take})
    assert found.prompts["a"].take == meant


@pytest.mark.parametrize(
    ("entry", "field", "reason"),
    [
        ({"promt": "x"}, "promt", "Did you mean 'prompt'"),
        ({"duration": 6}, "duration", "Write it under 'inputs:'"),
        ({"inputs": {"duraton": 6}}, "inputs.duraton", "Did you mean 'duration'"),
        ({"inputs": {"duration": 7}}, "inputs.duration", "Allowed: '6', '10'"),
        ({"inputs": {"duration": [6]}}, "inputs.duration", "Allowed: '6', '10'"),
        ({"inputs": {"duration": {"a": [[]]}}}, "inputs.duration", "Allowed: '6', '10'"),
        ({"inputs": [6]}, "inputs", "write inputs as"),
        ({"inputs": {"prompt": "y"}}, "prompt", "given as inputs.prompt too"),
        ({"model": ["a/b"]}, "model", "Write owner/model"),
        ({"model": LOGO.slug, "inputs": {"logo": "https://e.org/a"}}, "prompt", "takes no prompt"),
        ({"model": SUBJECT}, "inputs.inputImageFirst", "required"),
        ({"inputs": {"inputImageFirst": "a.jpg"}}, "inputs.inputImageFirst", "cannot be named"),
    ],
)
def test_each_problem_names_its_field(entry: dict[str, Any], field: str, reason: str) -> None:
    """The message names the field, and says what to do."""
    problem = one_problem(read_entries({"id": "a", "prompt": "x", **entry}))
    assert problem.field == field
    assert reason in problem.message


def test_an_entry_needs_a_model() -> None:
    """Its own, or the file's."""
    problem = one_problem(read('{"prompts": [{"id": "a", "prompt": "x"}]}', ".json"))
    assert (problem.field, "defaults.model" in problem.message) == ("model", True)


@pytest.mark.parametrize("prompt", ["", "  ", None])
def test_an_empty_prompt_is_refused_where_the_model_takes_one(prompt: object) -> None:
    """A blank is no prompt."""
    assert one_problem(read_entries({"id": "a", "prompt": prompt})).field == "prompt"


def test_a_prompt_that_yaml_reads_as_a_list_is_refused() -> None:
    """`[slow pan] a fox` is a list for YAML where it stands alone."""
    problem = one_problem(read(f"prompts: [{{id: a, prompt: [slow pan], model: {HAILUO}}}]"))
    assert problem.field == "prompt"


def test_a_prompt_may_be_written_among_the_inputs() -> None:
    """It is an input like others."""
    found = read_entries({"id": "a", "inputs": {"prompt": "x"}})
    assert found.prompts["a"].text == "x"


def test_a_model_without_prompt_needs_none() -> None:
    """Its entries have inputs only."""
    found = read_entries({"id": "a", "model": LOGO.slug, "inputs": {"logo": "https://e.org/a.png"}})
    assert found.prompts["a"].text == ""
    assert found.prompts["a"].inputs == {"logoUrl": "https://e.org/a.png"}


def test_local_files_are_relative_to_the_prompt_file(tmp_path: Path) -> None:
    """Wherever the process was started."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "face.jpg").write_bytes(b"face")
    path = tmp_path / "prompts.yaml"
    path.write_text(
        f"""
prompts:
  - {{id: a, prompt: x, model: {SUBJECT}, inputs: {{inputImageFirst: images/face.jpg}}}}
  - {{id: b, prompt: x, model: {SUBJECT}, inputs: {{inputImageFirst: images/fase.jpg}}}}
""",
        encoding="utf-8",
    )
    found = load_prompt_file(path, CATALOGUE)
    assert found.prompts["a"].inputs["inputImageFirst"].size_bytes == 4
    assert one_problem(found).field == "inputs.inputImageFirst"
    assert "fase.jpg" in one_problem(found).message


def test_a_model_that_cannot_be_validated_is_sent_as_written_and_noted() -> None:
    """The file's notes tell the user."""
    found = read_entries({"id": "a", "prompt": "x", "model": MYSTERY.slug, "inputs": {"q": 1}})
    assert found.prompts["a"].inputs == {"prompt": "x", "q": "1"}
    assert found.notes == ("acme/mystery: cannot be validated",)


def test_a_model_that_cannot_be_looked_up_is_a_problem_of_its_prompts_only() -> None:
    """An outage at Wiro does not hold up prompts of models that are known."""

    def unreachable(slug: str) -> Any:
        raise ServiceUnreachable("connection refused.")

    found = parse_prompt_text(
        f"prompts: [{{id: a, prompt: x, model: acme/new}}, {{id: b, prompt: x, model: {HAILUO}}}]",
        ".yaml",
        Catalogue.builtin(unreachable),
        source="prompts.yaml",
    )
    assert list(found.prompts) == ["b"]
    assert "cannot be looked up now: connection refused." in one_problem(found).message


def test_a_default_counts_for_the_models_that_have_it() -> None:
    """One model's default is left out for another one that does not know it."""
    found = read_entries(
        {"id": "a", "prompt": "x"},
        {"id": "b", "model": LOGO.slug, "inputs": {"logo": "https://e.org/a.png"}},
        {"id": "c", "prompt": "x", "inputs": {"duration": 6}},
        inputs={"duration": 10, "ratio": "1:1"},
    )
    assert found.problems == ()
    assert found.prompts["a"].inputs["duration"] == "10"
    assert found.prompts["b"].inputs == {"logoUrl": "https://e.org/a.png", "ratio": "1:1"}
    assert found.prompts["c"].inputs["duration"] == "6"


def test_a_default_that_no_model_has_is_a_mistake() -> None:
    """Left out silently, it would buy other videos than were meant."""
    found = read_entries(
        {"id": "a", "prompt": "x"}, {"id": "b", "prompt": "y"}, inputs={"duraton": 10}
    )
    assert found.prompts == {}
    assert {problem.field for problem in found.problems} == {"defaults.inputs.duraton"}


def test_null_takes_a_default_back() -> None:
    """An entry can leave out what the file sets for all."""
    found = read(
        f"defaults: {{model: {HAILUO}, inputs: {{duration: 10}}}}\n"
        "prompts: [{id: a, prompt: x, inputs: {duration: ~}}]"
    )
    assert found.prompts["a"].inputs["duration"] == "6"


def test_an_entry_s_url_replaces_a_default_file() -> None:
    """They are two spellings of one input, so that is no conflict."""
    found = read_entries(
        {"id": "a", "prompt": "x", "inputs": {"inputImageFirstUrl": "https://e.org/own.jpg"}},
        inputs={"inputImageFirst": "https://e.org/default.jpg"},
    )
    assert found.prompts["a"].inputs["inputImageFirstUrl"] == "https://e.org/own.jpg"


def test_an_unknown_top_level_key_is_a_problem_of_the_file() -> None:
    """It holds up nothing, unless it looks like misspelt defaults."""
    found = read(f"promts: []\nprompts: [{{id: a, prompt: x, model: {HAILUO}}}]")
    assert one_problem(found).field == "promts"
    assert one_problem(found).entry is None
    assert list(found.prompts) == ["a"]


@pytest.mark.parametrize(
    ("top", "field"),
    [
        ("default: {inputs: {duration: 10}}", "default"),
        ("defaults: {duration: 10}", "defaults.duration"),
        ("defaults: {inputz: {duration: 10}}", "defaults.inputz"),
    ],
)
def test_wrong_defaults_hold_all_prompts_back(top: str, field: str) -> None:
    """Without the defaults that were meant, every prompt would be another video."""
    found = read(f"{top}\nprompts: [{{id: a, prompt: x, model: {HAILUO}}}]")
    assert found.prompts == {}
    assert found.problems[0].field == field
    assert "not taken" in found.problems[1].message
    assert found.problems[1].id == "a"


def test_a_key_written_twice_is_told() -> None:
    """YAML and JSON would let the last one win."""
    found = read(
        f"prompts: [{{id: a, id: b, prompt: x, model: {HAILUO}, "
        "inputs: {duration: 6, duration: 10}}]"
    )
    assert [problem.field for problem in found.problems] == ["id", "inputs.duration"]
    in_json = '{"prompts": [{"id": "a", "prompt": "x", "prompt": "y", "model": "acme/mystery"}]}'
    assert one_problem(read(in_json, ".json")).field == "prompt"


def test_yaml_merges_are_no_repetition() -> None:
    """`<<` takes entries from an anchor, and own keys win."""
    found = read(
        f"""
prompts:
  - &first {{id: a, prompt: x, model: {HAILUO}}}
  - {{<<: *first, id: b}}
"""
    )
    assert found.problems == ()
    assert list(found.prompts) == ["a", "b"]


@pytest.mark.parametrize(
    ("suffix", "text", "reason"),
    [
        (".yaml", "", "is empty"),
        (".yaml", "just text", "holds 'just text'"),
        (".yaml", "- {id: a}", "under 'prompts:'"),
        (".yaml", "promts: []", "Did you mean that by 'promts'?"),
        (".yaml", "prompts: {a: x}", "not a list"),
        (".yaml", "prompts: []\ndefaults: minimax", "not a mapping"),
        (".yaml", "prompts: []\ndefaults: {inputs: [6]}", "defaults.inputs"),
        (".yaml", "prompts: []\nprompts: []", "'prompts' is written twice"),
        (".yaml", "prompts: []\ndefaults: {model: a, model: b}", "'model' is written twice"),
        (".yaml", "prompts: [", "cannot be read as YAML"),
        (".yaml", "prompts:\n  - {id: a", "line 3, column 1"),
        (".yaml", "prompts: !!python/object:os.system []", "cannot be read as YAML"),
        (".yaml", "a: 1\n---\nb: 2", "cannot be read as YAML"),
        (".yaml", "prompts: " + "[" * 100_000, "nested more than 100 deep"),
        (".json", "{", "line 1, column 2"),
        (".json", "[]", "under 'prompts:'"),
        (".json", "[" * 100_000, "cannot be read as JSON"),
        (".csv", "", "is empty"),
        (".csv", "prompt,model\nx,y", "no column 'id'"),
        (".csv", "id,prompt,prompt\na,x,y", "'prompt' is there twice"),
        (".csv", '"id"s,prompt\na,x', "line 1: this row is not CSV"),
        (".txt", "id", ".txt is not a kind of prompt file"),
        ("", "id", "no suffix is not a kind"),
    ],
)
def test_what_is_no_prompt_file_is_refused(suffix: str, text: str, reason: str) -> None:
    """The error names the file, and what is wrong with it as a whole."""
    with pytest.raises(InputError) as caught:
        read(text, suffix)
    assert str(caught.value).startswith(f"prompts{suffix}")
    assert reason in str(caught.value)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    """Missing files, folders, and what is not text."""
    (tmp_path / "latin.csv").write_bytes(b"id,prompt\na,f\x81\xfc\x90chse")
    (tmp_path / "folder.yaml").mkdir()
    for name, reason in (
        ("missing.yaml", "there is no file"),
        ("latin.csv", "not UTF-8"),
        ("folder.yaml", "cannot be read"),
    ):
        with pytest.raises(InputError, match=reason):
            load_prompt_file(tmp_path / name, CATALOGUE)


def test_bytes_with_a_byte_order_mark_are_read() -> None:
    """Editors on Windows write one."""
    text = f"id,prompt,model\r\na,x,{HAILUO}\r\n"
    for content in (text.encode("utf-8-sig"), "\ufeff" + text):
        found = parse_prompt_text(content, ".CSV", CATALOGUE, source="s3://bucket/p.csv")
        assert list(found.prompts) == ["a"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_may_be_divided_as_spreadsheets_do(delimiter: str) -> None:
    """Comma, semicolon and tab; empty lines and empty cells at the end do not count."""
    rows = [["id", "prompt", "model", ""], ["a", "x", HAILUO, ""], ["", "", "", ""]]
    found = read("\n".join(delimiter.join(row) for row in rows), ".csv")
    assert (list(found.prompts), found.problems) == (["a"], ())


def test_a_csv_problem_names_its_line() -> None:
    """Also after a text of several lines."""
    found = read(f'id,prompt,model,duration\na,"one\ntwo",{HAILUO},\n\nb,x,{HAILUO},7\n', ".csv")
    assert found.prompts["a"].text == "one\ntwo"
    assert one_problem(found).line == 5


def test_a_column_that_is_given_twice_is_a_problem() -> None:
    """`duration` and `inputs.duration` are one input."""
    found = read(f"id,prompt,model,duration,inputs.duration\na,x,{HAILUO},6,10\n", ".csv")
    assert one_problem(found).field == "inputs.duration"


def test_a_file_may_have_no_prompts_yet() -> None:
    """An empty list is no mistake."""
    assert read("prompts:").prompts == {}


def test_ten_thousand_prompts_are_read_in_seconds() -> None:
    """Each model is looked at once, not once a prompt."""
    rows = "".join(f"p{number},A fox number {number},{HAILUO}\n" for number in range(10_000))
    found = read("id,prompt,model\n" + rows, ".csv")
    assert len(found.prompts) == 10_000


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["duration", "prompt", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
_ENTRIES = st.dictionaries(
    st.sampled_from(["id", "prompt", "model", "inputs", "take", "junk"]), _VALUES
)


@settings(deadline=None)
@given(entries=st.lists(_ENTRIES | _VALUES, max_size=4))
def test_no_content_breaks_the_reader(entries: list[Any]) -> None:
    """Each entry is a prompt or has a problem, in both formats, and prompts have usable keys."""
    content = {"defaults": {"model": TEXT_ONLY}, "prompts": entries}
    for text, suffix in (
        (json.dumps(content), ".json"),
        (yaml.safe_dump(content, allow_unicode=False), ".yaml"),
    ):
        found = read(text, suffix)
        refused = {p.entry for p in found.problems}
        assert len(found.prompts) + len(refused) == len(entries)
        assert all(isinstance(prompt, Prompt) for prompt in found.prompts.values())
