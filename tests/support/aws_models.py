"""boto3 reads the description of S3 once a process, however many clients the tests make.

Each session would read it for itself: a tenth of a second for each client.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import botocore.session
from botocore.loaders import create_loader


def share_aws_models() -> None:
    """Give all sessions of this process one loader, which keeps what it read."""
    botocore.session.create_loader = _shared_loader


@lru_cache
def _shared_loader(search_path: str | None = None) -> Any:
    return create_loader(search_path)
