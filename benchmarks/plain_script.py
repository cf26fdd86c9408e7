"""What a user would write by hand: `requests`, threads, a poll every five seconds, no memory.

    python -m benchmarks.plain_script PROMPTS FOLDER

PROMPTS is a file with one prompt a line; WIRO_BASE_URL, WIRO_API_KEY and WIRO_API_SECRET name the
service. Prints one JSON line a video. Nothing is verified, and a lost answer is a lost video.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import local
from typing import Any

import requests

MODEL = "minimax/hailuo-2-3"
THREADS = 8
POLL_SECONDS = 5.0
_thread = local()


def make_videos(prompts: list[str], folder: Path) -> Iterator[dict[str, Any]]:
    """Make a video of each prompt. Yield number, task id, and when its end was seen, as they come.

    Args:
        prompts: texts.
        folder: for the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(THREADS) as pool:
        submitted = [pool.submit(_submit, prompt) for prompt in prompts]
        waiting: dict[int, str] = {}
        for number, future in enumerate(submitted):
            waiting[number] = future.result()
        while waiting:
            started = time.monotonic()
            looks = {pool.submit(_look, task_id): n for n, task_id in waiting.items()}
            fetches: list[Future[dict[str, Any]]] = []
            for look in as_completed(looks):
                task, number = look.result(), looks[look]
                if task["status"] == "task_postprocess_end":
                    path = folder / f"{number}.mp4"
                    fetches.append(pool.submit(_fetch, number, task, path, time.time()))
                    del waiting[number]
            for fetch in as_completed(fetches):
                yield fetch.result()
            time.sleep(max(0.0, started + POLL_SECONDS - time.monotonic()))


def _submit(prompt: str) -> str:
    inputs = {"prompt": prompt, "promptOptimizer": "true", "resolution": "768P", "duration": "6"}
    return str(_call(f"Run/{MODEL}", inputs)["taskid"])


def _look(task_id: str) -> dict[str, Any]:
    task: dict[str, Any] = _call("Task/Detail", {"taskid": task_id})["tasklist"][0]
    return task


def _fetch(number: int, task: dict[str, Any], path: Path, seen_at: float) -> dict[str, Any]:
    answer = _session().get(task["outputs"][0]["url"], timeout=60)
    answer.raise_for_status()
    path.write_bytes(answer.content)
    return {"number": number, "task_id": task["id"], "seen_at": seen_at, "owned_at": time.time()}


def _call(endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
    key, secret = os.environ["WIRO_API_KEY"], os.environ["WIRO_API_SECRET"]
    nonce = str(time.time_ns())
    signed = hmac.new(key.encode(), (secret + nonce).encode(), hashlib.sha256).hexdigest()
    headers = {"x-api-key": key, "x-nonce": nonce, "x-signature": signed}
    url = f"{os.environ['WIRO_BASE_URL']}/{endpoint}"
    answer = _session().post(url, json=body, headers=headers, timeout=60)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def _session() -> requests.Session:
    if not hasattr(_thread, "session"):
        _thread.session = requests.Session()
    session: requests.Session = _thread.session
    return session


def main() -> None:
    """Make the videos of a file of prompts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prompts", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    for video in make_videos(options.prompts.read_text().splitlines(), options.folder):
        print(json.dumps(video), flush=True)


if __name__ == "__main__":
    main()
