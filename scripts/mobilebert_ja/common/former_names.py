"""Names that settings, records and folders had before: what was made under them is read as if made today."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mobilebert_ja.common.files import read_json

# Of settings, and of what records and compressed.json call by the same words.
FORMER_NAMES = {"recipe": "treatment", "compressed": "card"}
_FORMER_RECORDS = ((r"compressed_([a-z]+)", r"compressed_\1_card"), (r"card_recipe_([a-z]+)", r"card_treatment_\1"))
_FORMER_FOLDERS = {"card_treatment": "card_recipe"}
_NAMED = ("settings", "inputs", "metrics", "tasks")  # parts of a record whose keys are such names


def with_todays_keys(found: Any, throughout: bool = False) -> Any:
    """A dictionary with its keys under today's names; with `throughout`, those of the ones inside it, too."""
    if not isinstance(found, dict):
        return found
    return {
        FORMER_NAMES.get(key, key): with_todays_keys(value, True) if throughout else value
        for key, value in found.items()
    }


def read_record(path: str | Path) -> Any:
    """A record, or the identity of a stage at work, under today's names. Raises `UserError` if it is no JSON.

    Where models were timed, their names are keys deeper down, too; elsewhere those may be a user's classes.
    """
    record = read_json(path)
    if not isinstance(record, dict):
        return record
    of_models = "contenders" in record.get("metrics", ()) or "tasks" in record
    return {key: with_todays_keys(value, of_models) if key in _NAMED else value for key, value in record.items()}


def todays_record_name(name: str) -> str:
    """What a record is called today."""
    for former, todays in _FORMER_RECORDS:
        if re.fullmatch(former, name):
            return re.sub(former, todays, name)
    return name


def standing(folder: Path) -> Path:
    """KIND/NAME below a work folder, or what stands there under the kind's former name, if only that does."""
    kind = folder.parent.name
    former = folder.parent.with_name(_FORMER_FOLDERS.get(kind, kind)) / folder.name
    return former if former.exists() and not folder.exists() else folder
