"""A user's own texts with a class each: CSV, TSV or JSON Lines."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.tasks.base import Example
from mobilebert_ja.tasks.text_files import json_lines, require_text, text_lines

DELIMITERS = {".csv": ",", ".tsv": "\t"}
ENDINGS = (*DELIMITERS, ".jsonl")


def read_classes(path: Path, text_column: str, label_column: str) -> list[Example]:
    """Every row as an `Example` whose target is its class name; white space around the name is left out.

    Args:
        text_column, label_column: names of the columns, in JSON Lines of the keys.

    Raises `UserError` naming file and line for whatever is no such row; no row is passed over.
    """
    if path.suffix.lower() not in ENDINGS:
        raise UserError(f"{path} must end in {', '.join(ENDINGS)}: its ending says how it is read.")
    rows = _objects(path, text_column, label_column)
    if path.suffix.lower() in DELIMITERS:
        rows = _table(path, text_column, label_column)
    examples = [
        Example(require_text(text, f"{path}, line {number}", text_column), _label(label, path, number, label_column))
        for number, text, label in rows
    ]
    if not examples:
        raise UserError(f"{path} holds a header and no rows.")
    return examples


def _label(label: str, path: Path, number: int, column: str) -> str:
    return require_text(label.strip(), f"{path}, line {number}", column)


def _table(path: Path, text_column: str, label_column: str) -> Iterator[tuple[int, str, str]]:
    """(line where the row ends, text, label) of each row; a quoted text may have line breaks in it."""
    reader = csv.reader(text_lines(path), delimiter=DELIMITERS[path.suffix.lower()], strict=True)
    try:
        header = next(row for row in reader if row)
        columns = [_column(name, header, path) for name in (text_column, label_column)]
        for row in reader:
            if not row:
                continue  # a blank line is no row
            if len(row) != len(header):
                raise UserError(
                    f"{path}, line {reader.line_num} has {len(row)} fields, the header has {len(header)}; "
                    "a text with the delimiter in it must stand in double quotes."
                )
            yield reader.line_num, row[columns[0]], row[columns[1]]
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num} is malformed: {error}.") from None


def _column(name: str, header: list[str], path: Path) -> int:
    if header.count(name) == 1:
        return header.index(name)
    if name in header:
        raise UserError(f"{path} has {header.count(name)} columns named '{name}'.")
    raise UserError(
        f"{path} has no column '{name}'; it has {', '.join(map(repr, header))}. "
        "--text_column and --label_column name the two to take."
    )


def _objects(path: Path, text_column: str, label_column: str) -> Iterator[tuple[int, str, str]]:
    for number, item in json_lines(path):
        for name in (text_column, label_column):
            if name not in item:
                raise UserError(
                    f"{path}, line {number} has no '{name}'; it has {', '.join(map(repr, item)) or 'nothing'}. "
                    "--text_column and --label_column name the two to take."
                )
        text, label = item[text_column], item[label_column]
        if not isinstance(text, str):
            raise UserError(f"{path}, line {number}: '{text_column}' must be a text, not {_json(text)}.")
        if isinstance(label, bool) or not isinstance(label, str | int):
            raise UserError(f"{path}, line {number}: '{label_column}' must be a name or a number, not {_json(label)}.")
        yield number, text, str(label)


def _json(value: Any) -> str:
    return "null" if value is None else f"a {type(value).__name__}"
