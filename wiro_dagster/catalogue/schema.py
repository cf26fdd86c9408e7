"""The inputs of one model, and the check that prompts pass before anything is sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from wiro_dagster.catalogue.file_values import read_file_input, read_file_or_url
from wiro_dagster.catalogue.spec import TEXT_TYPES, InputRule, InputSpec
from wiro_dagster.catalogue.suggestions import did_you_mean, listing, shown
from wiro_dagster.catalogue.typed import build_input_model, read_value
from wiro_dagster.catalogue.upstream_file import FileInput
from wiro_dagster.catalogue.values import is_absent, plain_wire_value, wire_text

OutputKind = Literal["video", "image", "audio", "text", "file"]
SchemaSource = Literal["builtin", "entry", "wiro", "page"]

_RESERVED = frozenset({"callbackurl", "projectid"})


@dataclass(frozen=True, slots=True)
class InputProblem:
    """What is wrong with one input.

    Args:
        field: the input's name as it was given.
        message: what is wrong and what to do.
    """

    field: str
    message: str

    def __str__(self) -> str:
        """`field: message`."""
        return f"{self.field}: {self.message}"


@dataclass(frozen=True, slots=True)
class CheckedInputs:
    """The outcome of a check: the wire values of what is right, and everything that is wrong."""

    inputs: Mapping[str, Any]
    problems: tuple[InputProblem, ...]


@dataclass(frozen=True)
class ModelSchema:
    """What a model takes, and what it makes.

    Args:
        slug: `owner/model`.
        inputs: in Wiro's order; `None` where Wiro lists none, so that nothing can be validated.
        prompt_input: the input that carries the prompt's text; `None` where there is no such input.
        rules: between inputs.
        title: as Wiro shows it.
        output_kind: what it makes, as far as that is known.
        notes: what a person should know of this schema.
        source: where it comes from.
    """

    slug: str
    inputs: tuple[InputSpec, ...] | None
    prompt_input: str | None
    rules: tuple[InputRule, ...] = ()
    title: str | None = None
    output_kind: OutputKind | None = None
    notes: tuple[str, ...] = ()
    source: SchemaSource = "wiro"

    @property
    def can_validate(self) -> bool:
        """Whether the inputs are known, so that they can be validated."""
        return self.inputs is not None

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name under which an input may be given; empty where none are known."""
        return frozenset(name for spec in self.inputs or () for name in spec.names)

    def find_input(self, name: str) -> InputSpec | None:
        """The input that takes values under `name`, `None` where there is none."""
        return next((spec for spec in self.inputs or () if name in spec.names), None)

    @cached_property
    def hash(self) -> str:
        """64 hex digits that change when, and only when, what the model accepts changes."""
        accepted = None
        if self.inputs is not None:
            accepted = [
                [
                    spec.id,
                    spec.type,
                    spec.required,
                    spec.default,
                    sorted(spec.option_values),
                    *(None if n is None else str(n.normalize()) for n in _bounds(spec)),
                ]
                for spec in sorted(self.inputs, key=lambda spec: spec.id)
            ]
        rules = sorted([list(map(list, r.when)), r.input, list(r.allowed)] for r in self.rules)
        text = json.dumps([self.slug, accepted, rules, self.prompt_input], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def validate(
        self, inputs: Mapping[str, Any], *, base_folder: Path | None = None
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Checks inputs and gives them as they go over the wire.

        Args:
            inputs: by input name, in any spelling.
            base_folder: what relative paths of local files start from; `None` refuses paths that
                are given as text.

        Returns:
            The wire inputs, defaults filled in and empty optional ones left out, and all problems,
            each naming its input and what is allowed.
        """
        checked = self.check(inputs, base_folder=base_folder)
        return dict(checked.inputs), tuple(map(str, checked.problems))

    def check(self, inputs: Mapping[str, Any], *, base_folder: Path | None = None) -> CheckedInputs:
        """The same as `validate`, with each problem's input apart from its message."""
        given = {name: value for name, value in inputs.items() if not is_absent(value)}
        problems = [
            InputProblem(name, "orders set this themselves. Remove it.")
            for name in given
            if name.casefold() in _RESERVED and name not in self.names
        ]
        given = {name: value for name, value in given.items() if name.casefold() not in _RESERVED}
        if self.inputs is None:
            wire = self._read_unvalidated(given, base_folder, problems)
        else:
            wire = self._read(self.inputs, given, base_folder, problems)
            problems += self._broken_rules(wire)
        return CheckedInputs(wire, tuple(problems))

    @cached_property
    def input_model(self) -> type[BaseModel]:
        """The inputs as a pydantic class, one field for each; its errors are this schema's.

        `model_dump(by_alias=True, exclude_none=True)` of an instance gives wire inputs.
        """

        def check_all(given: Any) -> Any:
            if not isinstance(given, Mapping):
                return given
            checked = self.check(given)
            if checked.problems:
                raise ValueError("\n".join(map(str, checked.problems)))
            return checked.inputs

        return build_input_model(self.slug, self.inputs or (), check_all)

    def _read_unvalidated(
        self,
        given: Mapping[str, Any],
        base_folder: Path | None,
        problems: list[InputProblem],
    ) -> dict[str, Any]:
        wire = {}
        for name, value in given.items():
            try:
                # Only mappings name files here: nothing says which inputs take files.
                is_file = isinstance(value, (Mapping, Path, FileInput))
                wire[name] = (
                    read_file_or_url(value, base_folder) if is_file else plain_wire_value(value)
                )
            except ValueError as error:
                problems.append(InputProblem(name, str(error)))
        return wire

    def _read(
        self,
        specs: tuple[InputSpec, ...],
        given: Mapping[str, Any],
        base_folder: Path | None,
        problems: list[InputProblem],
    ) -> dict[str, Any]:
        known = [name for spec in specs for name in spec.names]
        problems += [
            InputProblem(name, self._unknown(name, known))
            for name in given
            if name not in self.names
        ]
        wire: dict[str, Any] = {}
        for spec in specs:
            try:
                found = self._read_one(spec, given, base_folder)
            except ValueError as error:
                field = next((name for name in spec.names if name in given), spec.id)
                problems.append(InputProblem(field, str(error)))
                continue
            if not found and spec.required:
                problems.append(InputProblem(spec.id, _missing(spec)))
            wire |= found
        return wire

    def _read_one(
        self, spec: InputSpec, given: Mapping[str, Any], base_folder: Path | None
    ) -> dict[str, Any]:
        if spec.is_file:
            return read_file_input(spec, given, base_folder)
        if spec.id in given:
            return {spec.id: read_value(spec, given[spec.id])}
        # A prompt's default is Wiro's example text: nobody asked for that video.
        if spec.default is None or spec.id == self.prompt_input:
            return {}
        return {spec.id: read_value(spec, spec.default)}

    def _unknown(self, name: str, known: list[str]) -> str:
        takes = f"It takes {listing(known)}." if known else "It takes no inputs."
        return f"{self.slug} has no such input.{did_you_mean(name, known)} {takes}"

    def _broken_rules(self, wire: Mapping[str, Any]) -> list[InputProblem]:
        texts = {name: _rule_text(value) for name, value in wire.items()}
        return [
            InputProblem(rule.input, _broken(rule, texts))
            for rule in self.rules
            if all(texts.get(name) in values for name, values in rule.when)
            and texts.get(rule.input, rule.allowed[0]) not in rule.allowed
        ]


def find_prompt_input(specs: tuple[InputSpec, ...]) -> str | None:
    """The input that carries the prompt: called so, or the only required long text."""
    texts = [spec for spec in specs if spec.type in TEXT_TYPES]
    for spec in texts:
        if spec.id.casefold() == "prompt":
            return spec.id
    for spec in texts:
        if spec.id.casefold().endswith("prompt") and "negative" not in spec.id.casefold():
            return spec.id
    required = [spec for spec in texts if spec.required and spec.type == "textarea"]
    return required[0].id if len(required) == 1 else None


def _bounds(spec: InputSpec) -> tuple[Any, ...]:
    return spec.minimum, spec.maximum, spec.step


def _missing(spec: InputSpec) -> str:
    if spec.url_id is not None:
        return f"required, and not given. Give a file as {spec.id} or an https URL."
    if spec.option_values:
        return f"required, and not given. Allowed: {listing(spec.option_values)}."
    return "required, and not given. Write it, it must not be empty."


def _rule_text(value: Any) -> str:
    try:
        return wire_text(value)
    except ValueError:
        return ""


def _broken(rule: InputRule, texts: Mapping[str, str]) -> str:
    given = " and ".join(f"{name} {texts[name]}" for name, _ in rule.when)
    because = f": {rule.because}" if rule.because else ""
    return (
        f"{shown(texts[rule.input])} is not allowed with {given}{because}. "
        f"Allowed: {listing(rule.allowed)}, or change {rule.when[0][0]}."
    )
