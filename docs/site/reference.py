"""The page `reference.md`: every public name and every setting, from the code's own docstrings.

MkDocs calls `on_files` when it builds the site.
"""  # noqa: INP001, MkDocs loads it as a file

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import wiro_dagster

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

_SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Example):$", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)
_INTRODUCTION = """\
# Reference

Every public name of `wiro_dagster`, made from the code's docstrings. Amounts are in USD, times in
seconds.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page to the site."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, "reference.md", content=build_page()))
    return files


def build_page() -> str:
    """Return the page as Markdown."""
    return "\n".join([_INTRODUCTION, *map(_describe, sorted(wiro_dagster.__all__))])


def list_settings(kind: type) -> Mapping[str, tuple[str, str]]:
    """Return default and meaning of each setting of a class, by name."""
    if issubclass(kind, BaseModel):
        return dict(_model_settings(kind))
    if not dataclasses.is_dataclass(kind):
        return {}
    meanings = _meanings(kind)
    return {
        field.name: (_default_of(field), meanings.get(field.name, ""))
        for field in dataclasses.fields(kind)
    }


def _model_settings(kind: type[BaseModel]) -> Iterator[tuple[str, tuple[str, str]]]:
    source = inspect.getsource(kind)
    for name, field in kind.model_fields.items():
        told = field.description or _resolver_text(field.metadata) or _text_below(source, name)
        default = "required" if field.is_required() else _shown(field.get_default())
        yield name, (default, told)


def _resolver_text(metadata: list[Any]) -> str:
    return next((found for item in metadata if (found := getattr(item, "description", ""))), "")


def _text_below(source: str, name: str) -> str:
    """Return the text that stands below a field, as in `WiroMetadata`."""
    found = re.search(rf'^    {name}: .*\n    """(.*)"""', source, re.MULTILINE)
    return found[1] if found else ""


def _default_of(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return _shown(field.default)
    return "required" if field.default_factory is dataclasses.MISSING else ""


def _shown(value: object) -> str:
    if value is PydanticUndefined or " at 0x" in repr(value):
        return ""
    return f"`{value!r}`"


def _describe(name: str) -> str:
    named = getattr(wiro_dagster, name)
    if not inspect.isclass(named):
        return f"## `{name}{_signature(named)}`\n\n{_text(named)}\n"
    parts = [f"## `{name}`\n", _text(named, without_arguments=bool(list_settings(named)))]
    if settings := list_settings(named):
        parts.append("\n| setting | default | meaning |\n|---|---|---|")
        for key, (default, told) in settings.items():
            cells = (text.replace("|", "\\|") for text in (f"`{key}`", default, told))
            parts.append(f"| {' | '.join(cells)} |")
    for key, part in vars(named).items():
        is_documented = inspect.isfunction(part) and not key.startswith("_")
        if is_documented and inspect.getdoc(part):
            parts.append(f"\n### `{name}.{key}{_signature(part)}`\n\n{_text(part)}")
    return "\n".join(parts) + "\n"


def _signature(function: Any) -> str:
    """Return the names of the arguments; the text below says what they are."""
    shown = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name != "self":
            default = "" if parameter.default is parameter.empty else "=…"
            shown.append(f"{parameter.name}{default}")
    return f"({', '.join(shown)})"


def _text(named: Any, *, without_arguments: bool = False) -> str:
    """Return a docstring as Markdown: its prose, then its arguments and errors as lists."""
    pieces = _SECTION.split(inspect.getdoc(named) or "")
    parts = [pieces[0].strip()]
    for title, body in zip(pieces[1::2], pieces[2::2], strict=True):
        if title == "Args" and not without_arguments:
            parts.append("\n".join(f"- `{key}`: {told}" for key, told in _entries(body)))
        elif title == "Raises":
            parts += [f"Raises `{key}`: {told}" for key, told in _entries(body)]
        elif title in {"Returns", "Yields"}:
            parts.append(f"{title}: {' '.join(body.split())}")
        elif title == "Example":
            parts.append(f"```text\n{inspect.cleandoc(body)}\n```")
    return "\n\n".join(part for part in parts if part)


def _meanings(kind: type) -> dict[str, str]:
    pieces = _SECTION.split(inspect.getdoc(kind) or "")
    bodies = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    return dict(_entries(bodies.get("Args", "")))


def _entries(body: str) -> Iterator[tuple[str, str]]:
    for key, told in _ENTRY.findall(body):
        yield key, " ".join(told.split())
