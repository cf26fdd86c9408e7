"""Uploads are made once for each content, whoever asks and from wherever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.conftest import Clock
from wiro_dagster.api.auth import Credentials
from wiro_dagster.api.client import WiroClient
from wiro_dagster.emulator import Emulator
from wiro_dagster.errors import InputError
from wiro_dagster.ledger import Ledger
from wiro_dagster.ledger.uploads import LedgerUploads
from wiro_dagster.orders.uploads import Uploads

pytestmark = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
IMAGE = b"\x89PNG\r\n\x1a\n not really an image"


@pytest.fixture
def client(emulator: Emulator) -> Iterator[WiroClient]:
    credentials = Credentials(emulator.api_key, emulator.api_secret)
    with WiroClient(credentials, base_url=emulator.base_url) as opened:
        yield opened


@pytest.fixture
def uploads(client: WiroClient, ledger: Ledger, clock: Clock) -> Uploads:
    return Uploads(client, LedgerUploads(ledger, "account"), reuse_seconds=100, clock=clock)


def count_uploads(emulator: Emulator) -> int:
    return len(emulator.journal(kind="call", endpoint="File/Upload"))


def test_the_same_bytes_are_uploaded_once(
    uploads: Uploads,
    client: WiroClient,
    ledger: Ledger,
    emulator: Emulator,
    tmp_path: Path,
) -> None:
    """Another name, another process: the content decides."""
    paths = [tmp_path / "face.png", tmp_path / "copy of face.png"]
    for path in paths:
        path.write_bytes(IMAGE)
    first = uploads.upload(paths[0])
    elsewhere = Uploads(client, LedgerUploads(ledger, "account"), clock=ledger.clock)
    assert uploads.upload(paths[1]) == elsewhere.upload(paths[0]) == first
    assert count_uploads(emulator) == 1
    assert first.url is not None
    assert requests.get(first.url, timeout=60).content == IMAGE


def test_other_bytes_and_other_accounts_are_uploaded(
    uploads: Uploads,
    client: WiroClient,
    ledger: Ledger,
    emulator: Emulator,
    tmp_path: Path,
) -> None:
    """A changed file is a new one, and an account cannot use another's."""
    path = tmp_path / "face.png"
    path.write_bytes(IMAGE)
    first = uploads.upload(path)
    Uploads(client, LedgerUploads(ledger, "other"), clock=ledger.clock).upload(path)
    path.write_bytes(IMAGE + b"!")
    assert uploads.upload(path).id != first.id
    assert count_uploads(emulator) == 3


def test_an_old_upload_is_made_again(
    uploads: Uploads, clock: Clock, emulator: Emulator, tmp_path: Path
) -> None:
    """Wiro does not say how long it keeps files."""
    path = tmp_path / "face.png"
    path.write_bytes(IMAGE)
    first = uploads.upload(path)
    clock.advance(101)
    second = uploads.upload(path)
    assert second.id != first.id
    assert uploads.upload(path) == second
    assert count_uploads(emulator) == 2


def test_a_failed_upload_is_not_remembered(
    uploads: Uploads, emulator: Emulator, tmp_path: Path
) -> None:
    """Nor is a file that cannot be sent."""
    path = tmp_path / "face.png"
    path.write_bytes(b"")
    with pytest.raises(InputError):
        uploads.upload(path)
    path.write_bytes(IMAGE)
    uploads.upload(path)
    assert count_uploads(emulator) == 1
