"""Makes a task's outputs when they are first asked for, and keeps what can be used again."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.error import URLError
from urllib.request import Request, urlopen

from wiro_dagster.emulator.local_hosts import is_reachable
from wiro_dagster.emulator.outputs import OutputPlan, fit_shape
from wiro_dagster.emulator.padding import fill, room
from wiro_dagster.emulator.pictures import make_picture, open_picture
from wiro_dagster.emulator.service import Service
from wiro_dagster.emulator.sounds import make_sound
from wiro_dagster.emulator.task import Task
from wiro_dagster.emulator.videos import VideoPlan, make_video

_LARGEST_INPUT_BYTES = 20 * 1024 * 1024
_INPUT_TIMEOUT_SECONDS = 5.0
_WORKERS = 2


class Media:
    """Makes and caches output files; safe to share between threads.

    Args:
        service: the emulated service.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._folder = service.state.files_folder / "media"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="media")
        self._locks: dict[str, threading.Lock] = {}

    async def open(self, task: Task, plan: OutputPlan) -> bytes:
        """Return the bytes of an output, made on a thread of their own if not cached."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self.make, task, plan)

    def make(self, task: Task, plan: OutputPlan) -> bytes:
        """Return the bytes of an output: as large as announced, and like no other output's."""
        tag = f"wiro-dagster emulator, task {task.number}, output {plan.index}, {task.uuid}"
        content = self._cached(task, plan, room(plan.size_bytes, tag))
        return fill(plan.file_format, content, plan.size_bytes, tag)

    def _cached(self, task: Task, plan: OutputPlan, largest_bytes: int) -> bytes:
        background = self._first_image(task, plan)
        path = self._folder / f"{self._key(task, plan, background)}.{plan.file_format}"
        with self._locks.setdefault(path.name, threading.Lock()):
            if path.exists():
                content = path.read_bytes()
                if len(content) <= largest_bytes:
                    return content
            content = self._make(task, plan, background, largest_bytes)
            unfinished = path.with_suffix(".part")
            unfinished.write_bytes(content)
            # A killed emulator must not find half a file in its cache.
            unfinished.replace(path)
            return content

    def _make(
        self, task: Task, plan: OutputPlan, background: bytes | None, largest_bytes: int
    ) -> bytes:
        footer = f"{task.slug}   task {task.number}   emulated"
        if plan.kind == "audio":
            return make_sound(plan.text, plan.seconds, plan.file_format)
        if plan.kind == "image":
            size = {"width": plan.width, "height": plan.height}
            return make_picture(plan.text, footer, file_format=plan.file_format, **size)
        picture = open_picture(background) if background else None
        width, height = plan.width, plan.height
        if picture is not None and not self._is_tiny:
            width, height = fit_shape(min(width, height), picture.width, picture.height)
        text = "" if self._is_tiny else plan.text
        video = VideoPlan(text, footer, width, height, plan.seconds, largest_bytes)
        return make_video(video, picture)

    @property
    def _is_tiny(self) -> bool:
        return self._service.settings.tiny_videos

    def _key(self, task: Task, plan: OutputPlan, background: bytes | None) -> str:
        """Name what the content depends on; all tiny videos of one length are one."""
        parts = [plan.kind, plan.file_format, plan.width, plan.height, plan.seconds]
        if not (self._is_tiny and plan.kind == "video"):
            parts += [plan.text, task.number, self._service.settings.seed]
            parts.append(hashlib.sha256(background).hexdigest() if background else "")
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def _first_image(self, task: Task, plan: OutputPlan) -> bytes | None:
        if plan.kind != "video" or self._is_tiny:
            return None
        wanted = self._service.model_of(task).output.get("first_image")
        urls = task.input_files.get(str(wanted)) or ()
        return self._read(urls[0]) if urls else None

    def _read(self, url: str) -> bytes | None:
        path = self._service.upload_path(url)
        if path is not None:
            return path.read_bytes()
        if not is_reachable(url, self._service.settings.callback_hosts):
            return None
        return _fetch(url)


def _fetch(url: str) -> bytes | None:
    request = Request(url, headers={"user-agent": "wiro-dagster-emulator"})
    try:
        with urlopen(request, timeout=_INPUT_TIMEOUT_SECONDS) as answer:
            content: bytes = answer.read(_LARGEST_INPUT_BYTES)
            return content
    except (URLError, OSError, ValueError):
        return None
