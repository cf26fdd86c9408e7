"""The limits of what is read from prompt files, catalogue entries and the files they name."""

from __future__ import annotations

MAX_TEXT_BYTES = 50_000_000
"""Size of a prompt file or catalogue entry; checked before it is read."""

MAX_VALUES = 1_000_000
"""Values of a YAML or JSON file, counted after YAML's aliases are unfolded."""

MAX_DEPTH = 100
"""How deep lists and mappings may be nested."""

MAX_PROMPTS = 100_000
"""Prompts of one file or table."""

MAX_KEY_LENGTH = 200
"""Characters of a prompt's id."""

MAX_TAKE = 9_999
"""The highest take."""

MAX_TAKES = 20
"""Takes of one prompt that are ordered at once: a typing error must not buy hundreds."""

MAX_PRIORITY = 100
"""The highest priority, and the lowest with a minus."""

PRIORITIES = {"urgent": 10, "normal": 0, "low": -10}
"""Words for priorities."""

MAX_FILE_BYTES = 100_000_000
"""Size of a file that is sent as an input: Wiro takes 100 MB."""
