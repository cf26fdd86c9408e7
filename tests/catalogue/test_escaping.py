"""Text of others in terminals and in Markdown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from wiro_dagster.catalogue import markdown_text, terminal_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;owned\x07title", "title"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\", "click"),
        ("\x9b31mred", "red"),
        ("a\rb\x08c\x00", "abc"),
        ("safe\u202egpj.exe", "safegpj.exe"),
        ("one\r\ntwo\tthree", "one\ntwo\tthree"),
        ("Füchse 🦊 [/b]", "Füchse 🦊 [/b]"),
        ("half \ud83d", "half "),
    ],
)
def test_a_terminal_gets_text_only(text: str, shown: str) -> None:
    """No titles, colours, links, cursor moves or turned reading directions."""
    assert terminal_text(text) == shown


@given(st.text())
def test_no_control_character_reaches_a_terminal(text: str) -> None:
    """Whatever the text holds."""
    assert not any(
        (ord(c) < 0x20 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 for c in terminal_text(text)
    )


@pytest.mark.parametrize(
    "text",
    [
        "![b](http://evil.example/beacon.png) [Sign in](http://evil.example/login)",
        "<img src=x onerror=alert(1)><script>alert(1)</script>",
        "<http://evil.example>",
        "# head\n\n- list\n> quote",
        "`code` *a* __b__ ~~c~~ a|b",
        "&lt;b&gt; &copy;",
        "1. one",
        "![x][y]\n\n[y]: http://evil.example",
        "[![a](b)](c)\\",
    ],
)
def test_markdown_shows_text_as_it_is(text: str) -> None:
    """Nothing is loaded, nothing is linked, and the words are those that were written."""
    html = MarkdownIt().render(f"- {markdown_text(text)}")
    assert html.count("<") == html.count("<ul>") * 4, html
    plain = html.replace("<ul>\n<li>", "").replace("</li>\n</ul>\n", "")
    for name, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        plain = plain.replace(name, character)
    assert plain == " ".join(text.split())
