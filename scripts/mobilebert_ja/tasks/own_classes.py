"""A user's own texts with a class each: CSV, TSV or JSON Lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.tasks.base import Example
from mobilebert_ja.tasks.tables import TAB, quotes_kept, read_table, refuse_swallowed_rows
from mobilebert_ja.tasks.text_files import UTF8, json_lines, require_text, text_lines

DELIMITERS = {".csv": ",", ".tsv": TAB, ".txt": TAB}  # .txt is what Excel calls "Unicode text"
ENDINGS = (*DELIMITERS, ".jsonl")


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
    read = _table if path.suffix.lower() in DELIMITERS else _objects
    names = (_plain(text_column), _plain(label_column))
    examples, headers = [], []
    for number, text, label in read(path, text_column, label_column, encoding):
        if (_plain(text), _plain(label)) == names:
            headers.append(number)
            continue
        where = f"{path}, line {number}"
        examples.append(
            Example(require_text(text, where, text_column), require_text(label.strip(), where, label_column))
        )
    if headers:
        print(
            f"warning: {path}: line {', '.join(map(str, headers[:5]))}{', ...' if headers[5:] else ''}: the header "
            "once more; it is no row and is left out",
            file=sys.stderr,
        )
    if not examples:
        raise UserError(f"{path} holds a header and no rows.")
    return examples


def _plain(name: str) -> str:
    return name.strip().casefold()


def _table(path: Path, text_column: str, label_column: str, encoding: str) -> Iterator[tuple[int, str, str]]:
    """(line where the row begins, text, label) of each row; a quoted text may have line breaks in it."""
    lines = text_lines(path, encoding)
    delimiter, rows = read_table(path, lines, DELIMITERS[path.suffix.lower()])
    if not rows:
        return
    header = rows.pop(0)[1]
    columns = [_column(name, header, path) for name in (text_column, label_column)]
    hint = (
        "a text in TSV can hold no tab and no line break, unless every field of its column is in double quotes."
        if delimiter == TAB
        else "a text with the delimiter in it must stand in double quotes."
    )
    for number, cells in rows:
        if len(cells) != len(header):
            raise UserError(f"{path}, line {number} has {len(cells)} fields, the header has {len(header)}; {hint}")
        if sorted(map(_plain, cells)) == sorted(map(_plain, header)) and _plain(cells[columns[1]]) != _plain(
            label_column
        ):
            raise UserError(
                f"{path}, line {number} is a header again, with the columns in another order; what was put together "
                "there does not go together."
            )
    refuse_swallowed_rows(path, rows, columns[1], delimiter)
    for column in columns if delimiter == TAB else ():
        kept = quotes_kept(rows, column)
        if kept:
            print(
                f"warning: {path}: {kept} of {len(rows)} fields of '{header[column]}' stand in double quotes, not "
                "the others; in TSV they are then a part of the text",
                file=sys.stderr,
            )
    yield from ((number, cells[columns[0]], cells[columns[1]]) for number, cells in rows)


def _column(name: str, header: list[str], path: Path) -> int:
    if header.count(name) == 1:
        return header.index(name)
    if name in header:
        raise UserError(f"{path} has {header.count(name)} columns named '{name}'.")
    raise UserError(
        f"{path} has no column '{name}'; it has {', '.join(map(repr, header))}. "
        "--text_column and --label_column name the two to take."
    )


def _objects(path: Path, text_column: str, label_column: str, encoding: str) -> Iterator[tuple[int, str, str]]:
    for number, item in json_lines(path, encoding):
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
