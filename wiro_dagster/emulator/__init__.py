"""An emulator of the Wiro API, for tests and for trying things out without paying.

    with Emulator.start(tiny_videos=True) as emulator:
        client = WiroClient(
            Credentials(emulator.api_key, emulator.api_secret),
            base_url=emulator.base_url,
            cdn_hosts=[emulator.cdn_host],
        )
        emulator.script_fault("http_504", endpoint="Task/Detail")
        task_id = client.submit("minimax/hailuo-2-3", {"prompt": "a fox"}).task_id
        emulator.advance(60)
        assert client.get_task(task_id).state == "succeeded"
        assert emulator.billable_tasks() == 1

It runs as a process of its own and speaks real HTTP and WebSocket; its state survives a kill of
itself. ``python -m wiro_dagster.emulator`` starts one by hand. What it reproduces, and what it
does not, is in the README.md beside this file.
"""

from __future__ import annotations

from wiro_dagster.emulator.process import Emulator
from wiro_dagster.emulator.remote import EmulatorControl
from wiro_dagster.emulator.settings import EMULATOR_API_KEY, EMULATOR_API_SECRET

__all__ = ["EMULATOR_API_KEY", "EMULATOR_API_SECRET", "Emulator", "EmulatorControl"]
