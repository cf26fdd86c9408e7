"""Where downloads come from in tests of stores: memory, and a folder that counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from wiro_dagster.errors import DownloadError


@dataclass
class Answer:
    """One file as a server gives it: the announced length may lie, the body may break off."""

    body: bytes
    content_length: int | None = None
    content_type: str | None = "video/mp4"
    breaks_after: int | None = None

    def chunks(self) -> Iterator[bytes]:
        step = 10_000
        for at in range(0, len(self.body), step):
            if self.breaks_after is not None and at >= self.breaks_after:
                raise DownloadError("The connection broke off. Try again.")
            yield self.body[at : at + step]


@dataclass
class MemorySource:
    """Gives the same answer to every URL, and remembers who asked."""

    answer: Answer
    urls: list[str] = field(default_factory=list)

    @contextmanager
    def download(self, url: str) -> Iterator[Answer]:
        self.urls.append(url)
        yield self.answer


@dataclass
class CountingFileSource:
    """Gives a file of this machine, and notes each request in another, for all processes."""

    path: Path
    journal: Path
    content_type: str

    @contextmanager
    def download(self, url: str) -> Iterator[Answer]:
        with self.journal.open("a") as journal:
            journal.write(url + "\n")
        body = self.path.read_bytes()
        yield Answer(body, len(body), self.content_type)

    @property
    def request_count(self) -> int:
        return len(self.journal.read_text().splitlines()) if self.journal.exists() else 0
