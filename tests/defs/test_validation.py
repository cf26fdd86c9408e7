"""What `dg check defs` refuses, and two collections in one code location."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from wiro_dagster import (
    FolderVideoStore,
    LedgerResource,
    VideoCollection,
    WiroResource,
    build_video_definitions,
)
from wiro_dagster.errors import InputError

WRONG = """\
prompts:
  - {id: cat, prompt: A cat, model: minimax/hailuo-2-3, inputs: {duratoin: 6}}
  - {id: fox, prompt: A fox, model: minimax/hailuo-2-3}
"""


@pytest.fixture
def prompt_file(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.yaml"
    path.write_text(WRONG)
    return path


def test_a_validation_names_the_mistakes_in_a_prompt_file(
    prompt_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster sets this variable for `dg check defs`; no account and no network is needed."""
    monkeypatch.setenv("DAGSTER_IS_DEFS_VALIDATION_CLI", "1")
    with pytest.raises(InputError, match=r"prompts\.yaml, line 2.*duratoin.*Did you mean") as error:
        build_video_definitions(VideoCollection(prompt_file=prompt_file))
    assert len(error.value.problems) == 1
    prompt_file.write_text(WRONG.replace("duratoin", "duration"))
    build_video_definitions(VideoCollection(prompt_file=prompt_file))


def test_a_running_code_location_loads_whatever_its_prompt_file_holds(prompt_file: Path) -> None:
    """One wrong entry must not take the assets of all others away."""
    build_video_definitions(VideoCollection(prompt_file=prompt_file))


def test_two_collections_merge_without_a_clash(prompt_file: Path) -> None:
    """They may share the account, the ledger and the store."""
    defs = dg.Definitions.merge(
        build_video_definitions(VideoCollection(prompt_file=prompt_file)),
        build_video_definitions(VideoCollection(prompt_file=prompt_file, name="ads")),
        dg.Definitions(
            resources={
                "wiro": WiroResource(api_key=dg.EnvVar("WIRO_API_KEY")),
                "wiro_ledger": LedgerResource(url=f"sqlite:///{prompt_file.parent}/ledger.db"),
                "video_store": FolderVideoStore(path=str(prompt_file.parent)),
            }
        ),
    )
    dg.Definitions.validate_loadable(defs)
    keys = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    assert {"video", "ads/video", "video_costs", "ads/video_costs"} <= keys
