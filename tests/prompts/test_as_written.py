"""Prompt files as people and programs write them: what is meant is taken, and said."""

from __future__ import annotations

import contextlib
import json
import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wiro_dagster.catalogue import Catalogue, InputOption, InputSpec, LocalFolders, ModelSchema
from wiro_dagster.catalogue.bounds import MAX_KEY_LENGTH, MAX_PROMPTS, MAX_TAKE, MAX_TEXT_BYTES
from wiro_dagster.errors import InputError
from wiro_dagster.prompts import (
    PromptFile,
    inputs_to_json,
    load_prompt_file,
    load_prompt_rows,
    parse_prompt_text,
)

MODEL = "minimax/text-to-video-hailuo-02"
CATALOGUE = Catalogue.builtin()


def read(text: str | bytes, suffix: str = ".csv", catalogue: Catalogue = CATALOGUE) -> PromptFile:
    return parse_prompt_text(text, suffix, catalogue, source=f"prompts{suffix}")


def problems_of(found: PromptFile) -> list[str]:
    return [str(problem) for problem in found.problems]


# ---- one bad item ----


def test_a_row_that_is_not_csv_is_named_and_the_others_are_taken() -> None:
    """Commas outside quotes, text after a closing quote, and a quote that nothing closes."""
    found = read(
        "id,prompt,model\n"
        f"fox,A fox,{MODEL}\n"
        f"market,A market, neon signs, rain,{MODEL}\n"
        f'sign,"OPEN" sign in neon,{MODEL}\n'
        f'"harbour","Harbour, at ""dawn""",{MODEL}\n'
        f'open,"never closed,{MODEL}\n'
        f"lake,A lake,{MODEL}\n"
    )
    assert {key: prompt.text for key, prompt in found.prompts.items()} == {
        "fox": "A fox",
        "harbour": 'Harbour, at "dawn"',
        "lake": "A lake",
    }
    assert [(p.line, p.entry, p.id) for p in found.problems] == [
        (3, "2 (market)", "market"),
        (4, "3", None),
        (6, "5", None),
    ]
    assert "5 cells under 3 columns" in found.problems[0].message
    assert "write those inside it twice" in found.problems[1].message


CONTROL = "bell \x07; tab \t; vertical \x0b"


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".csv", f"id,prompt,model\nbad,{CONTROL},{MODEL}\ngood,x,{MODEL}\n"),
        (
            ".yaml",
            f"defaults: {{model: {MODEL}}}\nprompts:\n- id: bad\n  prompt: {CONTROL}\n"
            "- id: good\n  prompt: x\n",
        ),
        (
            ".json",
            f'{{"defaults": {{"model": "{MODEL}"}}, "prompts": [\n'
            f'{{"id": "bad", "prompt": "{CONTROL}"}},\n{{"id": "good", "prompt": "x"}}]}}',
        ),
    ],
)
def test_a_control_character_concerns_its_entry_only(suffix: str, text: str) -> None:
    """The problem names line, entry and character, in all formats."""
    found = read(text, suffix)
    assert list(found.prompts) == ["good"]
    (problem,) = found.problems
    assert (problem.id, problem.field, problem.line) == (
        "bad",
        "prompt",
        3 if suffix == ".yaml" else 2,
    )
    assert r"control character '\x07'" in problem.message


def test_json_in_a_yaml_file_is_read() -> None:
    """Programs write an emoji in two halves, which YAML does not know."""
    text = json.dumps({"prompts": [{"id": "fox", "prompt": "A fox \U0001f98a", "model": MODEL}]})
    assert read(text, ".yaml").prompts["fox"].text == "A fox \U0001f98a"


def test_a_missing_cell_in_json_is_absent() -> None:
    """Programs that write tables write NaN for a missing value."""
    entry = f'{{"id": "a", "prompt": "x", "model": "{MODEL}", "take": NaN}}'
    assert read(f'{{"prompts": [{entry}]}}', ".json").prompts["a"].take == 1


# ---- spreadsheets ----

GERMAN = "Ein Fuchs für Björn \u2013 „los!“"
ROWS = f"id;prompt;model\r\nfox;{GERMAN};{MODEL}\r\n"


@pytest.mark.parametrize(
    "content",
    [
        b"sep=;\r\n" + ROWS.encode(),
        ("\ufeffsep=;\r\n" + ROWS).encode(),
        b'"sep=;"\n' + ROWS.encode("utf-8-sig"),
        ROWS.replace(";", "\t").encode("utf-16"),
        ROWS.encode("utf-16-le"),
        ROWS.encode("utf-16-be"),
        ROWS.replace("\r\n", "\r").encode(),
        ROWS.replace("id;prompt;model", '"ID";"Prompt, in German";"Model"')
        .replace("Prompt, in German", "Prompt")
        .encode(),
    ],
    ids=["sep", "bom sep", "sep bom", "utf-16", "utf-16-le", "utf-16-be", "old Mac", "capitals"],
)
def test_csv_is_read_as_spreadsheets_write_it(content: bytes) -> None:
    """Nothing has to be saved again in another way."""
    found = read(content)
    assert (problems_of(found), found.notes) == ([], ())
    assert found.prompts["fox"].text == GERMAN


def test_windows_1252_is_read_and_said() -> None:
    """It is a guess: other code pages have other letters in the same places."""
    found = read(ROWS.encode("cp1252"))
    assert found.prompts["fox"].text == GERMAN
    (note,) = found.notes
    assert note.startswith("prompts.csv: it is not UTF-8 (byte 32), so it is read as Windows-1252")


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"PK\x03\x04\x14\0\x06\0\x8d"]
)
def test_what_is_not_text_is_refused(content: bytes) -> None:
    """A workbook or a picture with another suffix."""
    with pytest.raises(InputError, match="not UTF-8 text"):
        read(content)


def test_extra_columns_are_ignored_with_one_note_each() -> None:
    """People keep notes, states and owners beside their prompts."""
    found = read(
        "id,prompt,model,notes,owner,Duration\n"
        f"a,x,{MODEL},too dark,anna,10\nb,y,{MODEL},fine,,\nc,z,{MODEL},,ben,6\n"
    )
    assert list(found.prompts) == ["a", "b", "c"]
    assert found.prompts["a"].inputs["duration"] == "10"
    assert found.notes == (
        "prompts.csv, column 'notes': no model here has such an input. It is ignored.",
        "prompts.csv, column 'owner': no model here has such an input. It is ignored.",
        "prompts.csv, column 'Duration': it is taken for the input 'duration'.",
    )


@pytest.mark.parametrize("column", ["duraton", "inputs.notes"])
def test_a_column_that_looks_like_an_input_is_not_ignored(column: str) -> None:
    """Left out silently, it would buy other videos than were meant."""
    found = read(f"id,prompt,model,{column}\na,x,{MODEL},10\nb,y,{MODEL},\n")
    assert list(found.prompts) == ["b"]
    assert "has no such input" in found.problems[0].message


def test_columns_of_other_models_are_not_extra() -> None:
    """A value for a model that has no such input is a mistake in that row."""
    rows = [
        {"id": "a", "prompt": "x", "model": MODEL, "inputImageFirst": "https://e.org/a.png"},
        {"id": "b", "prompt": "x", "model": "minimax/hailuo-2-3"},
    ]
    assert list(load_prompt_rows(rows, "a table", CATALOGUE).prompts) == ["b"]


# ---- values ----


@pytest.mark.parametrize(
    ("name", "written", "meant"),
    [
        ("resolution", "768p", "768P"),
        ("resolution", "1080", "1080P"),
        ("resolution", "1080 p", "1080P"),
        ("duration", "10s", "10"),
        ("duration", "10 seconds", "10"),
        ("duration", "6.0 sec", "6"),
    ],
)
def test_a_value_is_taken_for_what_it_means(name: str, written: str, meant: str) -> None:
    """A unit or a letter's case does not stop an order, and is said."""
    inputs = {"resolution": "768P", "duration": "6", name: written}
    entry = {"id": "a", "prompt": "x", "model": MODEL, "inputs": inputs}
    found = read(json.dumps({"prompts": [entry]}), ".json")
    assert found.prompts["a"].inputs[name] == meant
    assert found.notes == (
        f"prompts.json, line 1, entry 1 (a), inputs.{name}: {written!r} is taken as {meant!r}.",
    )


@pytest.mark.parametrize("written", ["10p", "720p", "1080i", "8", "s", "1080P s"])
def test_a_value_that_means_nothing_is_refused(written: str) -> None:
    """A guess could buy another video."""
    inputs = {"resolution": written} if "P" in written.upper() else {"duration": written}
    entry = {"id": "a", "prompt": "x", "model": MODEL, "inputs": inputs}
    assert not read(json.dumps({"prompts": [entry]}), ".json").prompts


def test_two_options_of_one_meaning_are_not_guessed_between() -> None:
    """`1080` could be either."""
    options = (InputOption("1080p"), InputOption("1080 P"))
    schema = ModelSchema("acme/a", (InputSpec("resolution", "select", options=options),), None)
    assert schema.validate({"resolution": "1080"})[1] != ()
    assert schema.validate({"resolution": "1080p"}) == ({"resolution": "1080p"}, ())


def test_what_the_defaults_mean_is_said_once() -> None:
    """Not once for each of a thousand prompts."""
    found = read(
        f"defaults: {{model: {MODEL}, inputs: {{duration: 10s}}}}\n"
        "prompts: [{id: a, prompt: x}, {id: b, prompt: y}]",
        ".yaml",
    )
    assert found.notes == ("prompts.yaml, defaults.inputs.duration: '10s' is taken as '10'.",)


# ---- ids ----


@pytest.mark.parametrize(
    ("key", "clear"),
    [
        ("fo\u200bx", "fox"),
        ("f\u043ex", "fox"),
        ("\u0391nna", "Anna"),
        ("a\u00a0b", "a b"),
        ("a\u3164b", "ab"),
        ("\ufeffa", "a"),
        ("a\u202eb", "ab"),
        ("\uff46\uff4f\uff58", "fox"),
        ("\ufb01sh", "fish"),
        ("a\tb", "a b"),
        ("a\u00adb", "ab"),
    ],
)
def test_an_id_that_is_not_what_it_looks_like_is_refused(key: str, clear: str) -> None:
    """The clear id is in the message: two ids that look the same would be two paid videos."""
    found = load_prompt_rows([{"id": key, "prompt": "x", "model": MODEL}], "a table", CATALOGUE)
    (problem,) = found.problems
    assert problem.field == "id"
    assert f"Write {clear!r}." in problem.message


@pytest.mark.parametrize(
    "key", ["лиса", "αβγ", "Фокс-2", "fox лиса", "日本", "🦊", "naïve", "a_b-c.1"]
)
def test_an_id_in_one_script_is_taken(key: str) -> None:
    """Only words that mix scripts are suspicious."""
    found = load_prompt_rows([{"id": key, "prompt": "x", "model": MODEL}], "a table", CATALOGUE)
    assert list(found.prompts) == [key]


def test_an_accent_of_its_own_is_the_same_id() -> None:
    """A Mac writes it so in file names."""
    decomposed = unicodedata.normalize("NFD", "café")
    found = load_prompt_rows(
        [{"id": decomposed, "prompt": "x", "model": MODEL}], "a table", CATALOGUE
    )
    assert list(found.prompts) == ["café"]


# ---- bounds ----


def one(**entry: Any) -> PromptFile:
    return load_prompt_rows([{"id": "a", "prompt": "x", "model": MODEL, **entry}], "t", CATALOGUE)


def test_bounds_hold_at_their_edges() -> None:
    """The limit itself is allowed, one more is a problem of that prompt."""
    assert one(take=MAX_TAKE).prompts["a"].take == MAX_TAKE
    assert "from 1 to 9999" in problems_of(one(take=MAX_TAKE + 1))[0]
    assert one(id="x" * MAX_KEY_LENGTH).problems == ()
    assert "200 are allowed" in problems_of(one(id="x" * (MAX_KEY_LENGTH + 1)))[0]


def test_a_table_has_a_bound() -> None:
    """Beyond it no tick could bring the prompts in."""
    row = {"id": "a", "prompt": "x", "model": MODEL}
    with pytest.raises(InputError, match="100000 are allowed"):
        load_prompt_rows([row] * (MAX_PROMPTS + 1), "a table", CATALOGUE)


@pytest.mark.parametrize("kind", ["merge", "alias"])
def test_yaml_that_unfolds_without_bound_is_refused(kind: str) -> None:
    """A few hundred bytes could stand for a billion values."""
    lines = ["a0: &a0 {k: v}" if kind == "merge" else "a0: &a0 [x, x, x]"]
    for n in range(1, 10):
        many = ", ".join([f"*a{n - 1}"] * 9)
        lines.append(
            f"a{n}: &a{n} {{<<: [{many}]}}" if kind == "merge" else f"a{n}: &a{n} [{many}]"
        )
    with pytest.raises(InputError, match="more than 1000000 values"):
        read("\n".join([*lines, "prompts: [{id: a, prompt: *a9}]"]), ".yaml")


@pytest.mark.parametrize("text", ["prompts: &p [*p]", "prompts: &p\n  <<: *p\n", "prompts: *p"])
def test_yaml_that_refers_to_itself_is_refused(text: str) -> None:
    """So is a reference to nothing."""
    with pytest.raises(InputError, match=r"line .*is not defined before this place"):
        read(text, ".yaml")


def test_json_with_too_many_values_is_refused() -> None:
    """Each empty list would take thirty times its two bytes."""
    with pytest.raises(InputError, match="more than 1000000 values"):
        read('{"prompts": [' + "[]," * 1_000_001 + "[]]}", ".json")


def test_a_file_is_measured_before_it_is_read(tmp_path: Path) -> None:
    """The bound itself is allowed; one byte more is refused without being read."""
    path = tmp_path / "prompts.yaml"
    for size in (MAX_TEXT_BYTES + 1, 400_000_000_000):
        with path.open("wb") as file:
            file.truncate(size)
        with pytest.raises(InputError, match="more than 50 MB"):
            load_prompt_file(path, CATALOGUE)


def test_only_plain_files_are_read(tmp_path: Path) -> None:
    """A pipe would make every tick wait for its writer."""
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    for name in ("pipe.yaml", "zero.yaml"):
        with pytest.raises(InputError, match="not a plain file"):
            load_prompt_file(tmp_path / name, CATALOGUE)


# ---- files of this machine ----


def test_prompts_take_local_files_from_their_own_folder_only(tmp_path: Path) -> None:
    """Whoever writes prompts must not be able to send any file of this machine to Wiro."""
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    folder = tmp_path / "project"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "own.png").write_bytes(b"own")
    (folder / "link.png").symlink_to(secret)
    (folder / "inner.png").symlink_to(folder / "images" / "own.png")
    paths = [str(secret), "../secret.png", "link.png", "images/../../secret.png", "/dev/zero"]
    entries = [
        {"id": path, "prompt": "x", "inputs": {"inputImageFirst": path}}
        for path in [*paths, "images/own.png", "inner.png"]
    ]
    file = folder / "prompts.json"
    file.write_text(json.dumps({"defaults": {"model": "minimax/hailuo-2-3"}, "prompts": entries}))
    found = load_prompt_file(file, CATALOGUE)
    assert list(found.prompts) == ["images/own.png", "inner.png"]
    assert len(found.problems) == len(paths)
    for problem in found.problems:
        assert "is outside the folders that prompts may take files from" in problem.message
        assert "allowed_folders" in problem.message
    allowed = load_prompt_file(file, CATALOGUE, allowed_folders=[Path("..")])
    assert [p.id for p in allowed.problems] == ["/dev/zero"]


def test_an_allowed_folder_does_not_open_its_neighbours(tmp_path: Path) -> None:
    """`media` is not a prefix of `media-private`."""
    for name in ("media", "media-private", "prompts"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(b"a")
    folders = LocalFolders(tmp_path / "prompts", (tmp_path / "media",))
    assert folders.read("../media/a.png").size_bytes == 1
    with pytest.raises(InputError, match="is outside"):
        folders.read("../media-private/a.png")


# ---- anything ----

_WORDS = (
    f"id prompt model prompts defaults inputs a b {MODEL} 10s 768p << &a *a !x ~ null NaN sep=;"
)
_SIGNS = ",;\t\"'\n\r: -{}[]|>\ufeff\0\x07\u2028\x85\U0001f98aé\u0301#?%@`\ud800\uffff"
_PIECES = st.sampled_from([*_WORDS.split(), *_SIGNS, "\r\n", "- ", "---", "\\ud83d"])
_TEXTS = st.lists(_PIECES, max_size=30).map("".join) | st.text(max_size=40)


@settings(deadline=None, max_examples=300)
@given(text=_TEXTS, suffix=st.sampled_from([".csv", ".yaml", ".json"]), rows=_TEXTS)
def test_any_text_is_read_or_refused(text: str, suffix: str, rows: str) -> None:
    """No other error than ours, and what is taken can be shown, kept and compared."""
    heads = {".csv": "id,prompt,model\n", ".yaml": "prompts:\n", ".json": '{"prompts": '}
    for content in (text, heads[suffix] + rows, text.encode("utf-8", "surrogatepass")):
        try:
            found = read(content, suffix)
        except InputError as error:
            str(error).encode()
            continue
        for line in (*map(str, found.problems), *found.notes):
            assert "\n" not in line
            line.encode()
        for prompt in found.prompts.values():
            assert len(prompt.fingerprint) == 64
            json.dumps(inputs_to_json(prompt.inputs)).encode()


@settings(deadline=None, max_examples=200)
@given(content=st.binary(max_size=60), suffix=st.sampled_from([".csv", ".yaml", ".json"]))
def test_any_bytes_are_read_or_refused(content: bytes, suffix: str) -> None:
    """In whatever encoding."""
    with contextlib.suppress(InputError):
        read(content, suffix)
