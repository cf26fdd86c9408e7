"""Prompts: read from files or tables, checked against the catalogue, and fingerprinted.

found = load_prompt_file(Path("prompts.yaml"), Catalogue.builtin())
for problem in found.problems:
    print(problem)
for prompt in found.prompts.values():
    print(prompt.id, prompt.model_slug, prompt.fingerprint)
"""

from __future__ import annotations

from wiro_dagster.prompts.changes import describe_change, list_changes
from wiro_dagster.prompts.load import load_prompt_file, load_prompt_rows, parse_prompt_text
from wiro_dagster.prompts.prompt import Prompt, fingerprint_of
from wiro_dagster.prompts.prompt_file import PromptFile, PromptProblem, SchemaChange
from wiro_dagster.prompts.wire import (
    inputs_from_json,
    inputs_to_json,
    list_files,
    replace_files,
    wire_inputs,
)

__all__ = [
    "Prompt",
    "PromptFile",
    "PromptProblem",
    "SchemaChange",
    "describe_change",
    "fingerprint_of",
    "inputs_from_json",
    "inputs_to_json",
    "list_changes",
    "list_files",
    "load_prompt_file",
    "load_prompt_rows",
    "parse_prompt_text",
    "replace_files",
    "wire_inputs",
]
