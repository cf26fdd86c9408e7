"""What models take: schemas of their inputs, and the check that inputs pass before a run.

catalogue = Catalogue.builtin(lookup=client.get_model)
schema = catalogue.get_schema("minimax/hailuo-2-3")
inputs, problems = schema.validate({"prompt": "A fox in the snow", "duration": 10})
"""

from __future__ import annotations

from wiro_dagster.api.inputs import InputOption, InputSpec
from wiro_dagster.catalogue.bounds import MAX_FILE_BYTES
from wiro_dagster.catalogue.catalogue import (
    CachedModel,
    Catalogue,
    MemorySchemaCache,
    ModelLookup,
    SchemaCache,
    SeenChange,
)
from wiro_dagster.catalogue.detail import schema_from_model_detail
from wiro_dagster.catalogue.entries import (
    entry_from_schema,
    load_entries,
    load_entry,
    save_entry,
    schema_from_entry,
)
from wiro_dagster.catalogue.escaping import markdown_text, terminal_text
from wiro_dagster.catalogue.files import (
    AssetFileInput,
    FileInput,
    LocalFileInput,
    LocalFolders,
    StoredFileInput,
    check_unchanged,
    read_local_file,
)
from wiro_dagster.catalogue.page import schema_from_page
from wiro_dagster.catalogue.rules import InputRule
from wiro_dagster.catalogue.schema import (
    CheckedInputs,
    InputProblem,
    ModelSchema,
    OutputKind,
)

__all__ = [
    "MAX_FILE_BYTES",
    "AssetFileInput",
    "CachedModel",
    "Catalogue",
    "CheckedInputs",
    "FileInput",
    "InputOption",
    "InputProblem",
    "InputRule",
    "InputSpec",
    "LocalFileInput",
    "LocalFolders",
    "MemorySchemaCache",
    "ModelLookup",
    "ModelSchema",
    "OutputKind",
    "SchemaCache",
    "SeenChange",
    "StoredFileInput",
    "check_unchanged",
    "entry_from_schema",
    "load_entries",
    "load_entry",
    "markdown_text",
    "read_local_file",
    "save_entry",
    "schema_from_entry",
    "schema_from_model_detail",
    "schema_from_page",
    "terminal_text",
]
