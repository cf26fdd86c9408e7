"""What `dg scaffold defs wiro_dagster.WiroVideoComponent NAME` writes."""

from __future__ import annotations

import re
from typing import Any

import dagster as dg

DEFS_YAML = """\
type: {type_name}

attributes:
  # One entry of this file is one video. A file on S3 works too: s3://bucket/prompts.yaml
  prompt_file: prompts.yaml

  # Part of the names of assets, partitions and sensors, so that collections live side by side.
  name: {name}

  # What the sensor orders: never (you do), new, or new_and_changed. The budget always applies.
  auto_order: never

  account:
    api_key: "{{{{ env.WIRO_API_KEY }}}}"
    # Leave this out for a key-only project.
    api_secret: "{{{{ env.WIRO_API_SECRET }}}}"
    # Wiro's own, unless the emulator sets these variables.
    base_url: "{{{{ env('WIRO_BASE_URL', 'https://api.wiro.ai/v1') }}}}"
    cdn_hosts: "{{{{ env('WIRO_CDN_HOSTS', '*.wiro.ai').split(',') }}}}"
    websocket_url: "{{{{ env('WIRO_WEBSOCKET_URL', none) }}}}"
    # Where Wiro reaches `wiro-dagster webhook`, if you run it.
    callback_base_url: "{{{{ env('WIRO_CALLBACK_BASE_URL', none) }}}}"

  # What was ordered and paid for, and the most that may be spent in a day, in USD.
  ledger:
    url: sqlite:///.wiro/ledger.db
    daily_budget_usd: 10

  # A folder of this project. Or a bucket: video_store: s3://bucket/prefix (also gs:// and az://)
  video_store:
    path: videos
    # `wiro-dagster dev` shows the videos there, as does `wiro-dagster serve`.
    base_url: "{{{{ env('WIRO_VIDEO_BASE_URL', none) }}}}"

requirements:
  env:
    - WIRO_API_KEY
    - WIRO_API_SECRET
"""

PROMPTS_YAML = """\
# Each entry becomes one partition and one video. Image paths are relative to this file.
defaults:
  model: minimax/hailuo-2-3

prompts:
  - id: lighthouse-dawn
    prompt: >-
      A white lighthouse on a cliff at dawn, gulls circling, long waves rolling in below. The camera
      rises slowly from the rocks to the lamp.
"""


class WiroVideoScaffolder(dg.Scaffolder[Any]):
    """Writes a `defs.yaml` that works once the credentials are set, and a first prompt."""

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        """Write both files; keep a prompt file that already exists."""
        if request.scaffold_format != "yaml" or request.append:
            dg.scaffold_component(request, {"prompt_file": "prompts.yaml"})
            folder = request.target_path.parent if request.append else request.target_path
        else:
            folder = request.target_path
            name = re.sub(r"\W", "_", folder.name, flags=re.ASCII)
            text = DEFS_YAML.format(type_name=request.type_name, name=name)
            (folder / "defs.yaml").write_text(text, encoding="utf-8")
        prompts = folder / "prompts.yaml"
        if not prompts.exists():
            prompts.write_text(PROMPTS_YAML, encoding="utf-8")
