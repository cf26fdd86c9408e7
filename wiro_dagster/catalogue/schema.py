"""The inputs of one model, and the check that prompts pass before anything is sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from wiro_dagster.api.inputs import STRICT, TEXT_TYPES, InputSpec
from wiro_dagster.catalogue.file_values import read_file_input, read_file_or_url
from wiro_dagster.catalogue.files import FileInput, LocalFolders
from wiro_dagster.catalogue.reading import read_value
from wiro_dagster.catalogue.rules import InputRule
from wiro_dagster.catalogue.suggestions import did_you_mean, listing, shown
from wiro_dagster.catalogue.values import is_absent, plain_wire_value, wire_text

OutputKind = Literal["video", "image", "audio", "text", "file"]
SchemaSource = Literal["builtin", "entry", "wiro", "page"]

_RESERVED = frozenset({"callbackurl", "projectid"})


@dataclass(frozen=True, slots=True)
class InputProblem:
    """What is wrong with one input, or worth knowing of it.

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
    """The outcome of a check.

    Args:
        inputs: the wire values of what is right.
        problems: everything that is wrong.
        notes: values that were written in another way than the model takes them.
        filled: inputs that were not given and have the model's default.
    """

    inputs: Mapping[str, Any]
    problems: tuple[InputProblem, ...]
    notes: tuple[InputProblem, ...] = ()
    filled: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ModelSchema:
    """What a model takes, and what it makes.

    Args:
        slug: `owner/model`.
        inputs: in Wiro's order; `None` if Wiro lists none, so that nothing can be validated.
        prompt_input: the input that carries the prompt's text; `None` if there is no such input.
        rules: between inputs.
        title: as Wiro shows it.
        output_kind: what it makes, if that is known.
        notes: what users should know of this schema.
        source: where it comes from.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    slug: str
    inputs: tuple[InputSpec, ...] | None
    prompt_input: Annotated[str | None, Field(alias="prompt")]
    rules: tuple[InputRule, ...] = ()
    title: str | None = None
    output_kind: Annotated[OutputKind | None, Field(alias="output")] = None
    notes: tuple[str, ...] = ()
    source: Annotated[SchemaSource, Field(exclude=True)] = "wiro"

    @property
    def can_validate(self) -> bool:
        """Whether the inputs are known, so that they can be validated."""
        return self.inputs is not None

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name under which an input may be given; empty if none are known."""
        return frozenset(name for spec in self.inputs or () for name in spec.names)

    def find_input(self, name: str) -> InputSpec | None:
        """Return the input that takes values under `name`, if there is one."""
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
        rules = sorted([list(map(list, r.when)), list(map(list, r.allow))] for r in self.rules)
        text = json.dumps([self.slug, accepted, rules, self.prompt_input], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def validate(
        self, inputs: Mapping[str, Any], *, folders: LocalFolders | None = None
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Check inputs and return them as they go over the wire.

        Args:
            inputs: by input name, in any spelling.
            folders: where text may name local files; `None` refuses paths that are given as text.

        Returns:
            The wire inputs, defaults filled in and empty optional ones left out, and all problems,
            each naming its input and what is allowed.
        """
        checked = self.check(inputs, folders=folders)
        return dict(checked.inputs), tuple(map(str, checked.problems))

    def check(
        self, inputs: Mapping[str, Any], *, folders: LocalFolders | None = None
    ) -> CheckedInputs:
        """The same as `validate`, with each problem's input apart from its message."""
        return _Check(self, folders).run(inputs)


@dataclass
class _Check:
    """One check of inputs, as it goes on."""

    schema: ModelSchema
    folders: LocalFolders | None
    wire: dict[str, Any] = field(default_factory=dict)
    problems: list[InputProblem] = field(default_factory=list)
    notes: list[InputProblem] = field(default_factory=list)
    filled: set[str] = field(default_factory=set)

    def run(self, inputs: Mapping[str, Any]) -> CheckedInputs:
        given = {}
        for name, value in inputs.items():
            if name.casefold() in _RESERVED and not is_absent(value):
                self._add_problem(name, "orders set this themselves. Remove it.")
            elif not is_absent(value):
                given[name] = value
        if self.schema.inputs is None:
            self._read_unvalidated(given)
        else:
            self._read_all(self.schema.inputs, given)
            self._apply_rules()
        return CheckedInputs(
            self.wire, tuple(self.problems), tuple(self.notes), frozenset(self.filled)
        )

    def _add_problem(self, name: str, message: str) -> None:
        self.problems.append(InputProblem(name, message))

    def _read_unvalidated(self, given: Mapping[str, Any]) -> None:
        for name, value in given.items():
            try:
                # Only mappings name files here: nothing says which inputs take files.
                is_file = isinstance(value, (Mapping, Path, FileInput))
                self.wire[name] = (
                    read_file_or_url(value, self.folders) if is_file else plain_wire_value(value)
                )
            except ValueError as error:
                self._add_problem(name, str(error))

    def _read_all(self, specs: tuple[InputSpec, ...], given: Mapping[str, Any]) -> None:
        known = [name for spec in specs for name in spec.names]
        for name in given:
            if name not in self.schema.names:
                takes = f"It takes {listing(known)}." if known else "It takes no inputs."
                near = did_you_mean(name, known)
                self._add_problem(name, f"{self.schema.slug} has no such input.{near} {takes}")
        for spec in specs:
            try:
                found = self._read_one(spec, given)
            except ValueError as error:
                name = next((name for name in spec.names if name in given), spec.id)
                self._add_problem(name, str(error))
                continue
            if not found and spec.required:
                self._add_problem(spec.id, _missing(spec))
            self.wire |= found

    def _read_one(self, spec: InputSpec, given: Mapping[str, Any]) -> dict[str, Any]:
        if spec.is_file:
            return read_file_input(spec, given, self.folders)
        if spec.id in given:
            value, note = read_value(spec, given[spec.id])
            if note:
                self.notes.append(InputProblem(spec.id, note))
            return {spec.id: value}
        # A prompt's default is Wiro's example text: it must not be bought as a video.
        if spec.default is None or spec.id == self.schema.prompt_input:
            return {}
        self.filled.add(spec.id)
        return {spec.id: read_value(spec, spec.default)[0]}

    def _apply_rules(self) -> None:
        texts = {name: _rule_text(value) for name, value in self.wire.items()}
        for rule in self.schema.rules:
            if all(texts.get(name) in values for name, values in rule.when):
                for name, allowed in rule.allow:
                    if texts.get(name, allowed[0]) not in allowed:
                        self._add_problem(name, _broken(rule, name, allowed, texts))


def find_prompt_input(specs: tuple[InputSpec, ...]) -> str | None:
    """Return the input that carries the prompt: by its name, or the only required long text."""
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
    return "required, and not given. It must not be empty."


def _rule_text(value: Any) -> str:
    try:
        return wire_text(value)
    except ValueError:
        return ""


def _broken(rule: InputRule, name: str, allowed: tuple[str, ...], texts: Mapping[str, str]) -> str:
    given = " and ".join(f"{other} {texts[other]}" for other, _ in rule.when)
    because = f": {rule.because}" if rule.because else ""
    return (
        f"{shown(texts[name])} is not allowed with {given}{because}. "
        f"Allowed: {listing(allowed)}, or change {rule.when[0][0]}."
    )
