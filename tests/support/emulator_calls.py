"""A caller of the emulator that knows nothing of the package's client: plain signed POSTs."""

from __future__ import annotations

import hashlib
import hmac
import itertools
from typing import Any

import requests

from wiro_dagster.emulator import Emulator

HAILUO = "minimax/hailuo-2-3"
_NONCES = itertools.count(1)


def sign(key: str, secret: str, nonce: str) -> str:
    return hmac.new(key.encode(), f"{secret}{nonce}".encode(), hashlib.sha256).hexdigest()


class Caller:
    """Calls one emulator; every method returns the parsed envelope."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.session = requests.Session()

    def headers(self) -> dict[str, str]:
        key, secret = self.emulator.api_key, self.emulator.api_secret
        if secret is None:
            return {"x-api-key": key}
        nonce = str(next(_NONCES))
        return {"x-api-key": key, "x-nonce": nonce, "x-signature": sign(key, secret, nonce)}

    def post(self, endpoint: str, fields: Any = None, **options: Any) -> requests.Response:
        options = {"headers": self.headers(), "timeout": 20, **options}
        if fields is not None:
            options["json"] = fields
        return self.session.post(f"{self.emulator.base_url}/{endpoint}", **options)

    def call(self, endpoint: str, **fields: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.post(endpoint, fields).json()
        return answer

    def run(self, prompt: str = "a fox in the snow", model: str = HAILUO, **inputs: Any) -> str:
        answer = self.call(f"Run/{model}", **{"prompt": prompt, **inputs})
        assert answer["result"], answer
        return str(answer["taskid"])

    def detail(self, task_id: str) -> dict[str, Any]:
        answer = self.call("Task/Detail", taskid=task_id)
        assert answer["result"], answer
        task: dict[str, Any] = answer["tasklist"][0]
        return task

    def ended(self, prompt: str = "a fox in the snow", **inputs: Any) -> dict[str, Any]:
        """A task that has had all the time it could want."""
        task_id = self.run(prompt, **inputs)
        self.emulator.advance(300)
        return self.detail(task_id)

    def refusal(self, endpoint: str, **fields: Any) -> tuple[int, str]:
        """Code and text of an answer that must be a refusal."""
        answer = self.call(endpoint, **fields)
        assert answer["result"] is False, answer
        return answer["errors"][0]["code"], answer["errors"][0]["message"]
