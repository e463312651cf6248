"""A user's own texts with a class each: CSV, TSV or JSON Lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mobilebert_ja.common.errors import UserError, warn
from mobilebert_ja.common.text.encodings import UTF8
from mobilebert_ja.tasks.base import Example
from mobilebert_ja.tasks.own.tables import (
    DELIMITERS,
    TAB,
    as_written,
    column_of,
    plain_name,
    quotes_kept,
    read_table,
    refuse_swallowed_rows,
    require_same_width,
    tell_of_headers,
)
from mobilebert_ja.tasks.text_files import json_lines, kind_of_json, require_text, text_lines, text_of_json

_DELIMITERS = DELIMITERS | {".txt": TAB}  # which is what Excel calls "Unicode text"
ENDINGS = (*_DELIMITERS, ".jsonl")
_NAMED_BY = "--text_column and --label_column name the two to take."


def read_classes(path: Path, text_column: str, label_column: str, encoding: str = UTF8) -> list[Example]:
    """Every row as an `Example` whose target is its class name; white space around the name is left out.

    A header that stands in the middle too, as in files put together, is no row; how often it does is told.

    Args:
        text_column, label_column: names of the columns, in JSON Lines of the keys.
        encoding: what the file is in if it is not UTF-8.

    Raises `UserError` naming file and line for whatever is no such row; no row is passed over.
    """
    if path.suffix.lower() not in ENDINGS:
        raise UserError(f"{path} must end in {', '.join(ENDINGS)}: its ending says how it is read.")
    read = _table if path.suffix.lower() in _DELIMITERS else _objects
    names = (plain_name(text_column), plain_name(label_column))
    examples, headers = [], []
    for number, text, label in read(path, text_column, label_column, encoding):
        if (plain_name(text), plain_name(label)) == names:
            headers.append(number)
            continue
        where = f"{path}, line {number}"
        examples.append(
            Example(require_text(text, where, text_column), require_text(label.strip(), where, label_column))
        )
    tell_of_headers(path, headers)
    if not examples:
        raise UserError(f"{path} holds a header and no rows.")
    return examples


def _table(path: Path, text_column: str, label_column: str, encoding: str) -> Iterator[tuple[int, str, str]]:
    """(line where the row begins, text, label) of each row; a quoted text may have line breaks in it."""
    lines = text_lines(path, encoding)
    delimiter, rows = read_table(path, lines, _DELIMITERS[path.suffix.lower()])
    if not rows:
        return
    header = rows.pop(0)[1]
    columns = [column_of(name, header, path, _NAMED_BY) for name in (text_column, label_column)]
    require_same_width(path, header, rows, delimiter)
    for number, cells in rows:
        same_names = sorted(map(plain_name, cells)) == sorted(map(plain_name, header))
        if same_names and plain_name(cells[columns[1]]) != plain_name(label_column):
            raise UserError(
                f"{path}, line {number} is a header again, with the columns in another order; what was put together "
                "there does not go together."
            )
    refuse_swallowed_rows(path, rows, columns[1], delimiter)
    for column in columns if delimiter == TAB else ():
        kept = quotes_kept(rows, column)
        if kept:
            warn(
                f"{path}: {kept} of {len(rows)} fields of '{header[column]}' stand in double quotes, not "
                "the others; in TSV they are then a part of the text"
            )
    yield from ((number, cells[columns[0]], cells[columns[1]]) for number, cells in rows)


def _objects(path: Path, text_column: str, label_column: str, encoding: str) -> Iterator[tuple[int, str, str]]:
    for number, item in json_lines(path, encoding):
        keys = [as_written(name, item) for name in (text_column, label_column)]
        for name, key in zip((text_column, label_column), keys, strict=True):
            if key not in item:
                found = ", ".join(map(repr, item)) or "nothing"
                raise UserError(f"{path}, line {number} has no '{name}'; it has {found}. {_NAMED_BY}")
        text, label = (item[key] for key in keys)
        where = f"{path}, line {number}"
        if isinstance(label, bool) or not isinstance(label, str | int):
            raise UserError(f"{where}: '{label_column}' must be a name or a whole number, not {kind_of_json(label)}.")
        yield number, text_of_json(text, where, text_column), str(label)
