"""`wiro-dagster demo`: the first thing that people run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dagster as dg
import yaml

PROMPTS = {
    "defaults": {"model": "minimax/hailuo-2-3"},
    "prompts": [{"id": "fox", "prompt": "A fox"}, {"id": "crow", "prompt": "A crow"}],
}


def test_the_demo_makes_the_videos_and_a_page_of_them(tmp_path: Path) -> None:
    """No account and no question; what it made is in Dagster, with links for `make dev`."""
    (tmp_path / "prompts.yaml").write_text(yaml.safe_dump(PROMPTS))
    command = [str(Path(sys.executable).parent / "wiro-dagster"), "demo"]
    command += ["--prompts", "prompts.yaml", "--task-seconds", "0.5"]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr[-2000:]
    assert "2 of 2 videos are in the store" in " ".join(shown.stdout.split())

    gallery = tmp_path / "videos" / "gallery.html"
    assert str(gallery) in shown.stdout
    assert "A crow" in gallery.read_text(encoding="utf-8")
    with dg.DagsterInstance.from_config(str(tmp_path / ".wiro" / "dagster_home")) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("video"))
    assert event is not None
    assert event.asset_materialization is not None
    link = event.asset_materialization.metadata["wiro/video"].value
    assert str(link).startswith("http://127.0.0.1:8379/")
