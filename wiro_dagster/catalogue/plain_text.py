"""YAML and JSON files read so that every value stays the text that was written.

In ordinary YAML `16:9` is the number 969, `1.10` is 1.1, `no` is false and 2024-01-01 is a date.
Here they are all text; only null and, in JSON, true and false are values of their own.
"""

from __future__ import annotations

import json
import re
import stat
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from wiro_dagster.catalogue.bounds import MAX_DEPTH, MAX_TEXT_BYTES, MAX_VALUES
from wiro_dagster.errors import InputError

# libyaml is ten times as fast.
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TAG_PREFIX = "tag:yaml.org,2002:"
_TAGS = frozenset(
    {f"{_TAG_PREFIX}{kind}" for kind in ("str", "int", "float", "bool", "map", "seq")}
)

# YAML refuses a whole file for one control character. Each is replaced by a private character
# until its value is looked at, so that only the entry that holds it is refused.
_CONTROL = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff"
_HIDING = 0x10F700
_NONCHARACTERS = 0xFE
_CONTROL_CHARACTER = re.compile(f"[{_CONTROL}]")
_UNKEPT_CHARACTER = re.compile(f"[{_CONTROL}\ud800-\udfff{chr(_HIDING)}-{chr(_HIDING + 0xFF)}]")


class SourceMapping(dict[str, Any]):
    """A mapping that knows where it was written.

    Args:
        pairs: keys and values, in order; a repeated key keeps its last value.
        line: the line it starts on, counted from 1; `None` if that is not known.
    """

    def __init__(self, pairs: Iterable[tuple[str, Any]], line: int | None = None) -> None:
        pairs = list(pairs)
        super().__init__(pairs)
        self.line = line
        self.repeated: tuple[str, ...] = ()
        """Keys that were written more than once."""
        if len(self) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            self.repeated = tuple(key for key, count in counts.items() if count > 1)


def find_unkept(text: str) -> str | None:
    """Return the first control character or half of a character, which no database keeps."""
    found = _UNKEPT_CHARACTER.search(text)
    if found is None:
        return None
    low = ord(found[0]) - _HIDING
    if low < 0:
        return found[0]
    return chr(low if low < _NONCHARACTERS else 0xFF00 + low)


def parse_yaml(text: str, source: str) -> Any:
    """Return the one document of a YAML text.

    Raises:
        InputError: it cannot be parsed, or is too large; the message names line and column.
    """
    try:
        return _YamlReader(_CONTROL_CHARACTER.sub(_hidden, text)).read()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(
            f"{source}{where}: cannot be read as YAML: {error.problem}. Correct it and try again."
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{source}: cannot be read as YAML: {error}. Correct it.") from error


def _hidden(found: re.Match[str]) -> str:
    return chr(_HIDING + (ord(found[0]) & 0xFF))


class _YamlReader:
    """Makes values of YAML's events, in one pass and without recursion in libyaml."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=_LOADER))
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._count = 0

    def read(self) -> Any:
        value, is_read = None, False
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if is_read:
                    raise _yaml_error("a file holds one document, and a second one starts", event)
                value, is_read = self._value(next(self._events), 0), True
        return value

    def _value(self, event: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise _yaml_error(f"it is nested more than {MAX_DEPTH} deep", event)
        if isinstance(event, yaml.AliasEvent):
            return self._unfold(event)
        if event.tag not in {None, "!", f"{_TAG_PREFIX}null"} | _TAGS:
            tag = event.tag.replace(_TAG_PREFIX, "!!")
            raise _yaml_error(f"the tag {tag} has no meaning here", event)
        before = self._count
        self._add(1, event)
        if isinstance(event, yaml.ScalarEvent):
            is_plain = event.implicit[0] or event.tag == f"{_TAG_PREFIX}null"
            value: Any = None if is_plain and event.value in _NULLS else event.value
        elif isinstance(event, yaml.SequenceStartEvent):
            value = [self._value(e, depth + 1) for e in self._until(yaml.SequenceEndEvent)]
        else:
            value = self._mapping(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = value, self._count - before
        return value

    def _mapping(self, start: Any, depth: int) -> SourceMapping:
        pairs: list[tuple[str, Any]] = []
        merged: list[Mapping[str, Any]] = []
        for event in self._until(yaml.MappingEndEvent):
            is_merge = isinstance(event, yaml.ScalarEvent) and event.implicit[0]
            key = event.value if isinstance(event, yaml.ScalarEvent) else self._value(event, depth)
            if not isinstance(key, str):
                raise _yaml_error("a key must be a single word", event)
            value = self._value(next(self._events), depth + 1)
            if not (is_merge and key == "<<"):
                pairs.append((key, value))
                continue
            merged += value if isinstance(value, list) else [value]
            if not all(isinstance(one, Mapping) for one in merged):
                raise _yaml_error("<< takes keys and values", event)
        mapping = SourceMapping(pairs, start.start_mark.line + 1)
        for one in merged:  # a mapping's own keys win, then the ones merged first
            for key, value in one.items():
                mapping.setdefault(key, value)
        return mapping

    def _until(self, end: type) -> Iterator[Any]:
        for event in self._events:
            if isinstance(event, end):
                return
            yield event

    def _unfold(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            raise _yaml_error(f"*{event.anchor} is not defined before this place", event)
        value, count = self._anchors[event.anchor]
        self._add(count, event)  # a few aliases of aliases could expand to a billion values
        return value

    def _add(self, count: int, event: Any) -> None:
        self._count += count
        if self._count > MAX_VALUES:
            raise _yaml_error(f"it has more than {MAX_VALUES} values. Divide the file", event)


def _yaml_error(problem: str, event: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


def parse_json(text: str, source: str) -> Any:
    """Return the value of a JSON text, its numbers as text, NaN as a missing value.

    Raises:
        InputError: it cannot be parsed, or is too large; the message names line and column.
    """
    try:
        if text.count("[") + text.count("{") > MAX_VALUES:
            raise ValueError(f"it has more than {MAX_VALUES} values. Divide the file")
        return _JsonDecoder(text).decode(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{source}, line {error.lineno}, column {error.colno}: cannot be read as JSON: "
            f"{error.msg}. Correct it and try again."
        ) from error
    except RecursionError as error:
        raise InputError(f"{source}: cannot be read as JSON: it is nested too deep.") from error
    except ValueError as error:
        raise InputError(f"{source}: cannot be read as JSON: {error}. Correct it.") from error


class _JsonDecoder(json.JSONDecoder):
    """Python's decoder; each object knows the line that it starts on."""

    def __init__(self, text: str) -> None:
        super().__init__(
            parse_int=str,
            parse_float=str,
            # Programs that write tables write a missing cell as NaN.
            parse_constant=float,
            object_pairs_hook=list,
            strict=False,  # control characters are refused with the entry that holds them
        )
        self._line_ends = [found.start() for found in re.finditer("\n", text)]
        self._read_pairs = json.decoder.JSONObject  # type: ignore[attr-defined]
        self.parse_object = self._read_object
        self.scan_once = json.scanner.py_make_scanner(self)  # type: ignore[attr-defined]

    def _read_object(self, place: tuple[str, int], *rest: Any) -> tuple[SourceMapping, int]:
        pairs, end = self._read_pairs(place, *rest)
        return SourceMapping(pairs, bisect_right(self._line_ends, place[1] - 1) + 1), end


def read_text_file(path: Path) -> str:
    """Return the text of a file; see `read_plain_file` and `decode_text`.

    Raises:
        InputError: it cannot be read, or is not text.
    """
    return decode_text(read_plain_file(path), str(path))[0]


def read_plain_file(path: Path) -> bytes:
    """Return the bytes of a text file, which is measured before it is read.

    Raises:
        InputError: it is missing, unreadable, over 50 MB, or a folder, pipe or device.
    """
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):  # reading a pipe would wait for its writer
            raise InputError(f"{path} cannot be read: it is not a plain file. Correct the path.")
        check_size(state.st_size, str(path))
        with path.open("rb") as file:
            content = file.read(MAX_TEXT_BYTES + 1)
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}. Correct the path.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} cannot be read: {reason}. Correct the path or rights.") from error
    check_size(len(content), str(path))
    return content


def check_size(size_bytes: int, source: str) -> None:
    """Refuse a text file that is too large.

    Raises:
        InputError: it has more than 50 MB.
    """
    if size_bytes > MAX_TEXT_BYTES:
        raise InputError(f"{source} has more than {MAX_TEXT_BYTES // 1_000_000} MB. Divide it.")


def decode_text(content: bytes, source: str) -> tuple[str, str]:
    """Return bytes as text without byte order mark, and what the reader of it should know.

    UTF-8 and UTF-16 are certain. What is neither is taken for Windows-1252, the "ANSI" of
    spreadsheet programs, with a note.

    Raises:
        InputError: they are not text.
    """
    encoding = "utf-8-sig"
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif b"\0" in content[:2]:
        encoding = "utf-16-be" if content[:1] == b"\0" else "utf-16-le"
    try:
        return content.decode(encoding), ""
    except UnicodeDecodeError as error:
        problem = error
    try:
        if encoding != "utf-8-sig" or b"\0" in content:
            raise problem
        text = content.decode("cp1252")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{source} is not UTF-8 text (byte {problem.start}). Save it again as UTF-8."
        ) from error
    return text, (
        f"{source}: it is not UTF-8 (byte {problem.start}), so it is read as Windows-1252. Check "
        "its accents and quotation marks, or save it as UTF-8."
    )
