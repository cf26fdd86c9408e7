"""One page with all videos of a collection, that needs no server and no network."""

from __future__ import annotations
