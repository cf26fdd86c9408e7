"""What `dg check defs` checks beyond Dagster's own definitions: the prompt file."""

from __future__ import annotations

import os
from pathlib import Path

from wiro_dagster.catalogue.offline import OfflineCatalogue
from wiro_dagster.defs.collection import VideoCollection
from wiro_dagster.defs.prompt_sources import FilePrompts
from wiro_dagster.errors import InputError

# Dagster documents it: set by `dg check defs` and `dagster definitions validate`.
_VALIDATION_VARIABLE = "DAGSTER_IS_DEFS_VALIDATION_CLI"


def refuse_wrong_prompts(collection: VideoCollection) -> None:
    """Refuse a prompt file with mistakes, if Dagster only validates the definitions.

    A code location that runs must load whatever its prompt file holds, so that one wrong entry
    stops no other: there, the sensor and the check `prompts_valid` report mistakes. Prompts that
    come from S3 or an asset are not read, because a validation needs no network.

    Raises:
        InputError: names the file and the line of each mistake.
    """
    source = collection.source
    if not os.environ.get(_VALIDATION_VARIABLE) or not isinstance(source, FilePrompts):
        return
    catalogue = OfflineCatalogue.builtin()
    if collection.model_folder is not None:
        catalogue = catalogue.with_entries_from(Path(collection.model_folder))
    found = source.load(catalogue, resources=None, load_asset=None)
    if found.problems:
        raise InputError(*map(str, found.problems))
