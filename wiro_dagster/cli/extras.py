"""What to install for a command that needs an extra."""

from __future__ import annotations

EMULATOR_MODULES = ("PIL", "python_multipart", "starlette", "uvicorn", "websockets")
OPTIONAL_MODULES = frozenset({*EMULATOR_MODULES, "dagster_webserver"})


def describe_missing(command: str, module: str) -> str:
    """Return the sentence for a command whose extra is not installed."""
    extra = command if command in ("dev", "webhook") else "emulator"
    return (
        f"wiro-dagster {command} needs {module}, which is not installed. Install it with: "
        f'pip install "wiro-dagster[{extra}]"'
    )
