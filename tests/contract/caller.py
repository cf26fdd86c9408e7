"""Plain signed POSTs: a second reading of the document, which shares nothing with the client."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import time
from typing import Any

import requests

_NONCES = itertools.count(int(time.time()))


def sign(key: str, secret: str, nonce: str) -> str:
    """HMAC-SHA256 in hex: keyed with the API key, over the secret and the nonce."""
    return hmac.new(key.encode(), f"{secret}{nonce}".encode(), hashlib.sha256).hexdigest()


class WireCaller:
    """Calls one project's endpoints and looks at the bare envelope.

    Args:
        base_url: of the REST API.
        key: the project's API key.
        secret: its secret; `None` for a key-only project.
    """

    def __init__(self, base_url: str, key: str, secret: str | None) -> None:
        self.base_url = base_url
        self.key = key
        self.secret = secret
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "wiro-dagster-contract/1"

    def headers(self, nonce: str | None = None) -> dict[str, str]:
        if self.secret is None:
            return {"x-api-key": self.key}
        nonce = nonce or str(next(_NONCES))
        signature = sign(self.key, self.secret, nonce)
        return {"x-api-key": self.key, "x-nonce": nonce, "x-signature": signature}

    def post(self, endpoint: str, fields: Any = None, **options: Any) -> requests.Response:
        options = {"headers": self.headers(), "timeout": 60, **options}
        if fields is not None:
            options["json"] = fields
        return self._session.post(f"{self.base_url}/{endpoint}", **options)

    def call(self, endpoint: str, /, **fields: Any) -> dict[str, Any]:
        """The envelope of a call, which must be one."""
        answer = self.post(endpoint, fields).json()
        assert isinstance(answer, dict), answer
        assert isinstance(answer["result"], bool), answer
        assert isinstance(answer["errors"], list), answer
        assert answer["result"] is (not answer["errors"]), answer
        return answer

    def refusal(self, endpoint: str, /, **fields: Any) -> tuple[int, str]:
        """Code and text of a call that must be refused."""
        answer = self.call(endpoint, **fields)
        assert answer["result"] is False, answer
        return answer["errors"][0]["code"], answer["errors"][0]["message"]

    def task(self, task_id: str) -> dict[str, Any]:
        """A task as Task/Detail shows it."""
        answer = self.call("Task/Detail", taskid=task_id)
        assert answer["result"], answer
        task: dict[str, Any] = answer["tasklist"][0]
        return task
