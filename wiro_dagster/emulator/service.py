"""The parts of one emulated service, put together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wiro_dagster.emulator.account import Account
from wiro_dagster.emulator.callbacks import Callbacks
from wiro_dagster.emulator.catalogue import Catalogue, Model
from wiro_dagster.emulator.clock import Clock
from wiro_dagster.emulator.faults import Faults
from wiro_dagster.emulator.journal import Journal, Redactor
from wiro_dagster.emulator.json_answer import WrittenOnce
from wiro_dagster.emulator.keys import Keys
from wiro_dagster.emulator.output_urls import output_url, url_seconds
from wiro_dagster.emulator.outputs import OutputPlan, plan_outputs
from wiro_dagster.emulator.pricing import Work, bill
from wiro_dagster.emulator.script_queue import ScriptQueue
from wiro_dagster.emulator.settings import Settings
from wiro_dagster.emulator.shown_task import answer_text, show_task
from wiro_dagster.emulator.sounds import sound_seconds
from wiro_dagster.emulator.state import State
from wiro_dagster.emulator.task import Task, result_of
from wiro_dagster.emulator.tasks import Tasks
from wiro_dagster.emulator.uploads import Uploads
from wiro_dagster.emulator.validation import effective_inputs
from wiro_dagster.emulator.wire import Display
from wiro_dagster.emulator.worlds.models import ModelsOverTime
from wiro_dagster.emulator.worlds.overrides import Override, ShowingCall, apply_overrides
from wiro_dagster.emulator.worlds.periods import CLOCK_APART_SECONDS
from wiro_dagster.emulator.worlds.present import Worlds
from wiro_dagster.emulator.worlds.rewrites import Truth

# Assumed for input sounds that the emulator does not have itself.
_ASSUMED_SOUND_SECONDS = Decimal(10)
_CHARACTERS_A_TOKEN = 4
_SHOWN_IN_MEMORY = 4096


@dataclass(frozen=True)
class _Shown:
    """How a task at rest was shown, and everything that it depended on."""

    of: tuple[Task, Settings, Display]
    fields: WrittenOnce


class Service:
    """Everything one emulator knows and remembers.

    Args:
        settings: how it behaves.
        state: its memory.
        catalogue: its models.
    """

    def __init__(self, settings: Settings, state: State, catalogue: Catalogue) -> None:
        self.settings = settings.changed(state.get("settings", {}))
        self.started_with = settings
        self.state = state
        state.keep("starts", int(state.get("starts", 0)) + 1)
        offset, frozen_at = state.get("clock", (0.0, None))
        self.clock = Clock(offset, frozen_at, lambda *clock: state.keep("clock", clock))
        self.account = Account(state, settings.balance_usd)
        self.keys = Keys(state, settings)
        self.worlds = Worlds(state, settings.seed)
        self.models = ModelsOverTime(state, catalogue, self.worlds.holds)
        self.tasks = Tasks(state)
        self.uploads = Uploads(state)
        self.faults = Faults(state, settings.seed)
        self.scripts = ScriptQueue(state)
        self.callbacks = Callbacks(state)
        self._shown: dict[int, _Shown] = {}
        self.journal = Journal(state, Redactor((settings.api_key, settings.api_secret)))
        for key in self.keys.all():
            self.journal.hide(key.text, key.secret or "")

    def set_world_rates(self, rates: Mapping[str, float]) -> None:
        """Replace the rates of worlds that come by chance, from now on."""
        self.worlds.set_rates(rates, self.clock.now())

    def account_of(self, name: str) -> Account:
        """Return the account of this name; a new one has the opening balance."""
        return Account(self.state, self.started_with.balance_usd, name)

    def change_settings(self, changes: dict[str, Any]) -> None:
        """Change settings; restarts with the same state keep the change.

        Raises:
            ValueError: a name cannot be changed, or a value is not of its kind.
        """
        self.settings = self.settings.changed(changes)
        self.state.keep("settings", {**self.state.get("settings", {}), **changes})

    def reset(self) -> None:
        """Forget everything that happened; ids already given are not given again."""
        starts = self.state.get("starts", 1)
        self.state.empty()
        self.state.keep("starts", starts)
        self.uploads.delete_all()
        self.settings = self.started_with
        self.faults.clear()
        self.worlds.forget()
        self.models.forget()
        self.tasks.forget()
        self._shown.clear()
        self.clock.reset()

    def settle(self, now: float) -> None:
        """Bill and announce every task that has ended by now."""
        for task in self.tasks.to_settle(now):
            with self.state.transaction():
                cost = self.cost_of(task) if result_of(task).is_billed else Decimal(0)
                self.account_of(task.account).charge(cost)
                self.tasks.set_settled(task, cost)
                self.callbacks.plan_at_end(task, task.ends_at or now)

    def settled_now(self) -> float:
        """Settle what has ended, and return the time."""
        now = self.clock.now()
        self.settle(now)
        return now

    def model_of(self, task: Task) -> Model:
        """Return the model of a task; a bare stand-in if it has left the catalogue."""
        found = self.models.under(task.edition).find(task.slug)
        return found or Model({"slug": task.slug, "output": {"kind": "raw"}, "parameters": None})

    def outputs_of(self, task: Task) -> tuple[OutputPlan, ...]:
        """Return the outputs that the task has, or will have if it ends as its script says."""
        model = self.model_of(task)
        return plan_outputs(
            model,
            effective_inputs(model, task.parameters),
            uuid=task.uuid,
            count=task.script.outputs,
            same_names=task.script.same_names,
            tiny_videos=self.settings.tiny_videos,
        )

    def cost_of(self, task: Task) -> Decimal:
        """Return what the task is billed at its end."""
        if task.script.cost_usd is not None:
            return Decimal(task.script.cost_usd)
        return self.price_of(task) * Decimal(str(task.script.price_times))

    def price_of(self, task: Task) -> Decimal:
        """Return what the model's price list asks for the task."""
        model = self.model_of(task)
        inputs = effective_inputs(model, task.parameters)
        return bill(model, inputs, task.file_counts, self._work_of(task, model, inputs))

    @property
    def display(self) -> Display:
        """How this emulator writes what it shows."""
        offset = self.clock_offset_seconds
        return Display(self.settings.dialect, self.settings.files_url, offset)

    @property
    def clock_offset_seconds(self) -> float:
        """How far the times that the service states are ahead of the emulator's clock."""
        now, offset = self.clock.now(), self.settings.clock_offset_seconds
        offset += CLOCK_APART_SECONDS * self.worlds.holds("clock_ahead", now)
        return offset - CLOCK_APART_SECONDS * self.worlds.holds("clock_behind", now)

    def stated(self, at: float) -> float:
        """Return a time as the service states it."""
        return at + self.clock_offset_seconds

    def show(self, task: Task, now: float, call: ShowingCall = "detail") -> dict[str, Any]:
        """Return the task as a call shows it, its overrides included."""
        overrides = self.overrides_of(task, call, now)
        if not overrides and self._is_at_rest(task, now):
            return self._show_at_rest(task, now)
        seen_at = now - max((one.behind_seconds for one in overrides), default=0.0)
        shown = self._show_plainly(task, seen_at, now)
        if not overrides:
            return shown
        truth = Truth(self.model_of(task), partial(self.price_of, task))
        return apply_overrides(shown, overrides, truth)

    def _show_plainly(self, task: Task, seen_at: float, now: float) -> dict[str, Any]:
        return show_task(
            task,
            self.model_of(task),
            self.left_outputs(task, seen_at),
            now=seen_at,
            display=self.display,
            url_of=lambda plan: output_url(task, plan, self.settings, now),
            expires_at=self.expires_at(task),
        )

    def _is_at_rest(self, task: Task, now: float) -> bool:
        """Whether the task looks the same from now on, until it or the settings change."""
        return task.is_settled and task.has_ended(now) and not url_seconds(task, self.settings)

    def _show_at_rest(self, task: Task, now: float) -> dict[str, Any]:
        """Return what was shown before, if it still holds: lists are mostly of ended tasks."""
        known = self._shown.get(task.number)
        seen = (task, self.settings, self.display)
        if known is None or known.of != seen:
            if len(self._shown) >= _SHOWN_IN_MEMORY:
                self._shown.clear()
            known = self._shown[task.number] = _Shown(
                seen, WrittenOnce(self._show_plainly(task, now, now))
            )
        return known.fields

    def overrides_of(self, task: Task, call: ShowingCall, now: float) -> list[Override]:
        """Return what changes this call's answer about the task now."""
        return [
            one
            for one in task.script.overrides
            if one.holds(call, now, created_at=task.created_at, ends_at=task.ends_at)
        ]

    def left_outputs(self, task: Task, now: float) -> tuple[OutputPlan, ...]:
        """Return the outputs of a task that has ended with some; empty otherwise."""
        if task.has_ended(now) and result_of(task).has_outputs:
            return self.outputs_of(task)
        return ()

    def expires_at(self, task: Task) -> float | None:
        """Return when the task's outputs can no longer be fetched."""
        end = task.ends_at
        return None if end is None else end + self.settings.file_lifetime_seconds

    def has_file_of(self, task: Task, now: float) -> bool:
        """Return whether the files of an ended task are still there."""
        seconds, end = task.script.files_vanish_seconds, task.ends_at
        return task.deleted_at is None and (seconds is None or end is None or now < end + seconds)

    def _work_of(self, task: Task, model: Model, inputs: dict[str, Any]) -> Work:
        outputs = () if task.script.outcome == "no_outputs" else self.outputs_of(task)
        prompt = str(inputs.get(model.text_input or "") or "")
        written = sum(len(answer_text(plan.text)) for plan in outputs if plan.kind == "raw")
        tokens = -(-(len(prompt) + written) // _CHARACTERS_A_TOKEN)
        seconds = sum(plan.seconds for plan in outputs if plan.kind == "video")
        return Work(
            elapsed_seconds=task.elapsed_seconds(task.ends_at or task.created_at),
            output_files=len(outputs),
            output_pixels=tuple(
                plan.width * plan.height for plan in outputs if plan.kind == "image"
            ),
            output_video_seconds=Decimal(str(seconds)),
            input_images=sum(task.file_counts.values()),
            input_audio_seconds=self._sound_seconds(
                task.input_files.get(str(model.output.get("audio")), ())
            ),
            prompt_characters=len(prompt),
            tokens=tokens,
        )

    def _sound_seconds(self, urls: Sequence[str]) -> Decimal:
        total = Decimal(0)
        for url in urls:
            path = self.upload_path(url)
            seconds = None if path is None else sound_seconds(path)
            total += _ASSUMED_SOUND_SECONDS if seconds is None else seconds
        return total

    def upload_path(self, url: str) -> Path | None:
        """Return the path of the bytes, if the URL is of a file that a caller sent here."""
        # Without the port, which may be another one since the file was sent.
        parts, own = urlsplit(url), urlsplit(self.settings.files_url)
        kept = re.match("/uploads/([0-9a-f]{32})/", parts.path)
        if kept is None or parts.hostname != own.hostname:
            return None
        path = self.uploads.path(kept[1])
        return path if path.is_file() else None
