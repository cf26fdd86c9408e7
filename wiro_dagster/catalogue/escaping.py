"""Text of others on its way to a terminal or into Markdown: prompts, ids, messages of Wiro."""

from __future__ import annotations

import re

# Whole sequences, with what they carry: a title, the address of a link, a colour.
_ESCAPE_SEQUENCE = re.compile(
    r"(?:\x1b\]|\x9d)[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[P^_X][^\x1b\n]*(?:\x1b\\)?"
    r"|\x1b[ -/]*[0-~]?"
)
# Controls but for tab and line feed, halves of characters, and what turns the reading direction.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_MARKDOWN = re.compile(
    r"[\\`*_\[\]<>|~&#!@]|(?<=http):(?=//)|(?<=https):(?=//)|(?<=\bwww)\.|^[-+=]|(?<=^\d)[.)]",
    re.IGNORECASE,
)


def terminal_text(text: str) -> str:
    """Return text without escape sequences and control characters; line feeds and tabs stay."""
    return _CONTROL.sub("", _ESCAPE_SEQUENCE.sub("", text.replace("\r\n", "\n")))


def markdown_text(text: str) -> str:
    """Return text that Markdown shows as it is, on one line: no pictures, links, HTML or tables."""
    return _MARKDOWN.sub(r"\\\g<0>", " ".join(terminal_text(text).split()))
