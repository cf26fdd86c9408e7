"""The API keys: the one of the settings, further ones, and which of them are revoked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from wiro_dagster.emulator.settings import MAIN_ACCOUNT, Settings
from wiro_dagster.emulator.state import State


@dataclass(frozen=True)
class Key:
    """One API key.

    Args:
        text: what callers show.
        secret: what they sign with; None for a key that goes alone.
        account: has the tasks that it sees, and pays for its runs.
    """

    text: str = field(repr=False)
    secret: str | None = field(repr=False)
    account: str


class Keys:
    """All keys, kept in the state.

    Args:
        state: keeps them.
        settings: with the key that there always is.
    """

    def __init__(self, state: State, settings: Settings) -> None:
        self._state = state
        secret = None if settings.is_key_only else settings.api_secret
        self._first = Key(settings.api_key, secret, MAIN_ACCOUNT)

    def all(self) -> list[Key]:
        """Return all keys, revoked ones too."""
        further = [Key(*values) for values in self._state.get("keys", [])]
        return [self._first, *further]

    def find(self, text: str, now: float) -> Key | None:
        """Return the key, if it is known and not revoked."""
        revoked: dict[str, Any] = self._state.get("revoked_keys", {})
        if text in revoked and (revoked[text] is None or now < revoked[text]):
            return None
        return next((key for key in self.all() if key.text == text), None)

    def add(self, text: str, secret: str | None, account: str) -> None:
        """Add a key.

        Raises:
            ValueError: it is empty, or there is one already.
        """
        if not text or any(key.text == text for key in self.all()):
            raise ValueError("a new key must be a text that no other key has")
        kept = [[key.text, key.secret, key.account] for key in self.all()[1:]]
        self._state.keep("keys", [*kept, [text, secret, account]])

    def revoke(self, text: str, until: float | None) -> None:
        """Refuse a key until a time, or for ever.

        Raises:
            ValueError: the key is unknown.
        """
        if all(key.text != text for key in self.all()):
            raise ValueError("the key is unknown")
        self._state.keep("revoked_keys", {**self._state.get("revoked_keys", {}), text: until})

    def restore(self, text: str) -> None:
        """Accept a revoked key again."""
        revoked = dict(self._state.get("revoked_keys", {}))
        revoked.pop(text, None)
        self._state.keep("revoked_keys", revoked)
