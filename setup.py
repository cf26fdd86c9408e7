"""The package's description on PyPI: the README without pictures and links into the repository.

PyPI shows the description alone, so a relative link there leads nowhere. Everything else is in
pyproject.toml.
"""

import re
from pathlib import Path

from setuptools import setup

_IMAGE = re.compile(r"^!\[[^\]]*\]\((?!https:)[^)]*\)\n\n?", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\((?!https:)([^)#]+)(#[^)]*)?\)")


def describe(readme: str) -> str:
    """Leave out pictures, and name files in the repository instead of linking to them."""
    return _LINK.sub(r"\1 (`\2`)", _IMAGE.sub("", readme))


if __name__ == "__main__":
    setup(
        long_description=describe((Path(__file__).parent / "README.md").read_text("utf-8")),
        long_description_content_type="text/markdown",
    )
