"""`wiro-dagster prompts check`: everything that is wrong, without an account or a network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from wiro_dagster.cli import main

MODEL = "minimax/text-to-video-hailuo-02"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without an account; whoever asks Wiro all the same gets no answer."""
    monkeypatch.chdir(tmp_path)
    for name in ("WIRO_API_KEY", "WIRO_API_SECRET", "WIRO_PROMPT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WIRO_BASE_URL", "http://127.0.0.1:9/v1")
    return tmp_path


def check(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["prompts", "check", *arguments])


def test_a_file_without_problems_exits_with_0(folder: Path) -> None:
    """Notes do not count as problems."""
    (folder / "prompts.csv").write_text(f"id,prompt,model,owner\nfox,A fox,{MODEL},anna\n")
    result = check("prompts.csv")
    assert result.exit_code == 0, result.output
    assert "No problems. 1 prompt can be ordered." in result.output
    assert "Note: prompts.csv, column 'owner'" in result.output


def test_every_problem_is_named_and_exits_with_1(folder: Path) -> None:
    """File, line, entry and field, and how many prompts are right."""
    (folder / "prompts.csv").write_text(
        f"id,prompt,model,duration\nfox,A fox,{MODEL},6\nlake,A lake,{MODEL},7\n,x,{MODEL},\n"
    )
    result = check("prompts.csv")
    assert result.exit_code == 1
    assert "prompts.csv, line 3, entry 2 (lake), inputs.duration: '7' is not" in result.output
    assert "prompts.csv, line 4, entry 3, id: an id is needed" in result.output
    assert "2 problems. 1 prompt can be ordered." in result.output


def test_json_says_the_same(folder: Path) -> None:
    """For a hook or a pipeline; a file that cannot be read at all is a problem too."""
    (folder / "prompts.yaml").write_text(
        f"defaults: {{model: {MODEL}}}\nprompts: [{{id: fox, prompt: x}}, {{id: a...b, prompt: x}}]"
    )
    result = check("prompts.yaml", "--json")
    assert result.exit_code == 1
    found = json.loads(result.output)
    assert (found["file"], found["prompts"], found["notes"]) == ("prompts.yaml", ["fox"], [])
    (problem,) = found["problems"]
    assert (problem["line"], problem["id"], problem["field"]) == (2, "a...b", "id")
    (folder / "prompts.yaml").write_text("prompts: [")
    result = check("prompts.yaml", "--json")
    assert result.exit_code == 1
    assert "cannot be read as YAML" in json.loads(result.output)["problems"][0]["message"]


def test_a_model_that_only_wiro_knows_is_a_note(folder: Path) -> None:
    """Its prompts are checked as far as that can be done here; a misspelt title is a problem."""
    (folder / "prompts.json").write_text(
        json.dumps(
            {
                "prompts": [
                    {"id": "new", "prompt": "x", "model": "acme/new-films"},
                    {"id": "near", "prompt": "x", "model": "minimax/hailuo-2-4"},
                    {"id": "title", "prompt": "x", "model": "MiniMax/hailuo-2.3"},
                ]
            }
        )
    )
    result = check("prompts.json")
    assert result.exit_code == 1
    assert "Note: acme/new-films: it is not in the catalogue" in result.output
    assert "Did you mean 'minimax/hailuo-2-3'?" in result.output
    assert "entry 3 (title), model: there is no model 'MiniMax/hailuo-2.3'" in result.output
    assert "1 problem. 2 prompts can be ordered." in result.output


def test_the_projects_models_count(folder: Path) -> None:
    """They are read from models/ if it exists."""
    (folder / "models").mkdir()
    (folder / "models" / "films.yaml").write_text(
        "slug: acme/new-films\n"
        "inputs: [{id: prompt, type: textarea}, {id: mood, type: select, options: [calm]}]\n"
    )
    (folder / "prompts.csv").write_text("id,prompt,model,mood\na,x,acme/new-films,wild\n")
    result = check("prompts.csv")
    assert "'wild' is not allowed. Allowed: 'calm'." in result.output


def test_files_from_allowed_folders_are_taken(folder: Path) -> None:
    """The option starts from the working directory."""
    for name in ("prompts", "media"):
        (folder / name).mkdir()
    (folder / "media" / "a.png").write_bytes(b"a")
    (folder / "prompts" / "p.csv").write_text(
        "id,prompt,model,inputImageFirst\na,x,minimax/hailuo-2-3,../media/a.png\n"
    )
    assert check("prompts/p.csv").exit_code == 1
    assert check("prompts/p.csv", "--allowed-folder", "media").exit_code == 0


def test_no_escape_sequence_reaches_the_terminal(folder: Path) -> None:
    """What an author of prompts writes is shown as text."""
    entry = {"id": "\x1b]0;owned\x07[/b]", "prompt": "x", "model": "\x1b[31macme", "\x1b[0m": 1}
    (folder / "prompts.json").write_text(json.dumps({"prompts": [entry]}))
    result = check("prompts.json")
    assert result.exit_code == 1
    assert "\x1b" not in result.output
    assert "\x07" not in result.output


def test_the_file_comes_from_the_environment_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same variable as in definitions.py."""
    (folder / "p.csv").write_text(f"id,prompt,model\na,x,{MODEL}\n")
    monkeypatch.setenv("WIRO_PROMPT_FILE", "p.csv")
    assert check().exit_code == 0
    monkeypatch.setenv("WIRO_PROMPT_FILE", "s3://bucket/p.csv")
    result = check()
    assert result.exit_code == 1
    assert "Name a local copy" in result.output
