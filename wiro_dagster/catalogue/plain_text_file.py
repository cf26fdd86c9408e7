"""YAML and JSON files read so that every value stays the text that a person wrote.

In ordinary YAML `16:9` is the number 969, `1.10` is 1.1, `no` is false and 2024-01-01 is a date.
Here all of them are text; only null and, in JSON, true and false are values of their own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import yaml

from wiro_dagster.errors import InputError

_MAX_BYTES = 50_000_000
_MAX_DEPTH = 100


class SourceMapping(dict[str, Any]):
    """A mapping that knows where it was written.

    Args:
        pairs: keys and values, in order; a repeated key keeps its last value.
        line: the line it starts on, counted from 1; `None` where that is not known.
    """

    def __init__(self, pairs: Iterable[tuple[str, Any]], line: int | None = None) -> None:
        pairs = list(pairs)
        super().__init__(pairs)
        self.line = line
        self.repeated = tuple(
            key for key, count in Counter(key for key, _ in pairs).items() if count > 1
        )
        """Keys that were written more than once."""


# libyaml, where it is there, is ten times as fast.
class _TextLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  PyYAML's own protocol


_TextLoader.add_implicit_resolver(
    "tag:yaml.org,2002:null",
    yaml.SafeLoader.yaml_implicit_resolvers["~"][0][1],
    ["~", "n", "N", ""],
)
_TextLoader.add_implicit_resolver(
    "tag:yaml.org,2002:merge", yaml.SafeLoader.yaml_implicit_resolvers["<"][0][1], ["<"]
)


def _construct_mapping(loader: Any, node: yaml.MappingNode) -> SourceMapping:
    line = node.start_mark.line + 1
    own = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
    loader.flatten_mapping(node)  # `<<` puts the merged pairs first, so that own ones win
    mapping = SourceMapping(
        (
            (_key(loader, key), loader.construct_object(value, deep=True))
            for key, value in node.value
        ),
        line,
    )
    mapping.repeated = tuple(key for key, count in own.items() if count > 1)
    return mapping


def _key(loader: Any, node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise yaml.constructor.ConstructorError(
            None, None, "a key must be a single word", node.start_mark
        )
    return str(loader.construct_scalar(node))


_TextLoader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)


def parse_yaml(text: str, source: str) -> Any:
    """The one document of a YAML text.

    Raises:
        InputError: it cannot be parsed; the message names line and column.
    """
    try:
        _check_depth(text)
        return yaml.load(text, Loader=_TextLoader)  # noqa: S506, it makes text only
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(
            f"{source}{where}: this is not YAML: {error.problem}. Correct it and try again."
        ) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"{source}: this is not YAML: {error}. Correct it.") from error


def _check_depth(text: str) -> None:
    # libyaml's composer recurses in C: a hundred thousand brackets would end the whole process.
    depth = 0
    for event in yaml.parse(text, Loader=_TextLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise ValueError(f"it is nested more than {_MAX_DEPTH} deep")


def parse_json(text: str, source: str) -> Any:
    """The value of a JSON text, its numbers kept as text.

    Raises:
        InputError: it cannot be parsed; the message names line and column.
    """
    try:
        return json.loads(
            text,
            parse_int=str,
            parse_float=str,
            parse_constant=_refuse_constant,
            object_pairs_hook=SourceMapping,
        )
    except json.JSONDecodeError as error:
        raise InputError(
            f"{source}, line {error.lineno}, column {error.colno}: this is not JSON: {error.msg}. "
            "Correct it and try again."
        ) from error
    except (RecursionError, ValueError) as error:
        raise InputError(f"{source}: this is not JSON: {error}. Correct it.") from error


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a value")


def read_text_file(path: Path) -> str:
    """The text of a UTF-8 file, a byte order mark left out.

    Raises:
        InputError: it is missing, unreadable, over 50 MB, or not UTF-8.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path} has more than {_MAX_BYTES} bytes. Divide it into several.")
        return decode_text(path.read_bytes(), str(path))
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}. Correct the path.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path} cannot be read: {reason}. Correct the path or rights.") from error


def decode_text(content: bytes, source: str) -> str:
    """UTF-8 bytes as text, a byte order mark left out.

    Raises:
        InputError: they are not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{source} is not UTF-8 text (byte {error.start}). Save it again as UTF-8."
        ) from error
