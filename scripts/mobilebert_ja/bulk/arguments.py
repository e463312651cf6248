"""The flags of predict.py, checked. They are no settings of a recipe: answers need the runtime's packages alone."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError, warn
from mobilebert_ja.common.files import COMPRESSIONS, require_file
from mobilebert_ja.common.processor import usable_cores
from mobilebert_ja.common.text.encodings import UTF8, encoding_of_name

_ROWS = (".csv", ".tsv", ".jsonl")  # what training reads row by row


def checked(given: argparse.Namespace) -> argparse.Namespace:
    """The flags as they are meant. Raises `UserError` for one that is out of bounds or of the other form, and for an
    input file that is not there."""
    if given.num_workers is None:
        given.num_workers = max(1, usable_cores() // max(1, given.num_threads))
    for name in ("num_workers", "num_threads", "batch_size"):
        if getattr(given, name) < 1:
            raise UserError(f"{name} must be at least 1, not {getattr(given, name)}.")
    given.overwrite = given.overwrite == "true"
    given.encoding = encoding_of_name(given.encoding)
    _require_one_form(given)
    for stream, name, flag in ((sys.stdin, "input", "input_file"), (sys.stdout, "output", "output_file")):
        if stream is None and not (getattr(given, flag) or given.input_folder):
            raise UserError(f"Standard {name} is closed; --{flag} names a file.")
    for path in given.input_file:
        require_file(path)
        if given.output_file and given.output_file.exists() and path.samefile(given.output_file):
            raise UserError(f"{path} is both --input_file and --output_file.")
        _tell_of_rows(path)
    return given


def _tell_of_rows(path: Path) -> None:
    """Say on standard error what becomes of a file whose name promises rows: training reads them, this does not."""
    name = path.name.lower()
    if name.endswith(tuple(f"{ending}{compression}" for ending in _ROWS for compression in ("", *COMPRESSIONS))):
        warn(
            f"{path} is read as plain text: each of its lines is answered as it stands, with whatever is no text in "
            "it (a header, delimiters, keys). Give the texts alone, a line each, or .jsonl by --input_folder"
        )


def _require_one_form(given: argparse.Namespace) -> None:
    """Raise `UserError` for flags of lines together with those of folders."""
    if (given.input_folder is None) != (given.output_folder is None):
        raise UserError("--input_folder and --output_folder go together.")
    lines: dict[str, Any] = {"input_file": [], "output_file": None, "encoding": UTF8}
    folders: dict[str, Any] = {"text_column": "text", "executor": "local", "executor_options": None}
    foreign = lines if given.input_folder else folders
    for name, default in foreign.items():
        if getattr(given, name) != default:
            raise UserError(f"--{name} says nothing about {'a folder' if given.input_folder else 'lines of text'}.")
