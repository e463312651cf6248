"""Tables in text: the rows of a CSV or TSV file, each with the line where it begins."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from mobilebert_ja.common.errors import UserError, warn
from mobilebert_ja.common.text.normalization import nfkc

TAB = "\t"
DELIMITERS = {".csv": ",", ".tsv": TAB}
Row = tuple[int, list[str]]
_LINE_END = re.compile(r"\r\n?|\n")
_EXCEL_SEPARATOR = re.compile(r'"?sep=([,;|\t])"?', re.IGNORECASE)
_QUOTED = re.compile(r'"((?:[^"]++|"")*+)"(?=[\t\n]|\Z)')
_PLAIN = re.compile(r"[^\t\n]*+")
_NO_LIMIT = 2**31 - 1  # of characters in a field; the csv module's own is 131,072


def read_table(path: Path, lines: list[str], delimiter: str) -> tuple[str, list[Row]]:
    """(delimiter, rows), the header first, blank lines left out.

    In TSV a double quote is a character like any other, unless every field of a column is quoted.

    Args:
        delimiter: what separates fields, unless the first line is one for Excel: "sep=;".

    Raises `UserError` naming the line that is no row.
    """
    told = _EXCEL_SEPARATOR.fullmatch(lines[0].strip("\r\n"))
    if told:
        delimiter, lines = told[1], ["\n", *lines[1:]]
    return delimiter, _tsv_rows(path, lines) if delimiter == TAB else list(_csv_rows(path, lines, delimiter))


def _csv_rows(path: Path, lines: list[str], delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(_NO_LIMIT)
    # A quote behind the space that some write after a delimiter is one: else it and what it protects were text.
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        start = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            if str(error).startswith("new-line character"):
                raise UserError(
                    f"{path}, line {reader.line_num} has a carriage return within it; its lines must all end alike, "
                    "and a text with a line break must stand in double quotes."
                ) from None
            raise UserError(
                f"{path}, line {start} is malformed: {error} in line {reader.line_num}; a text with a double quote in "
                "it must stand in double quotes, and each of its own be doubled."
            ) from None
        if row is None:
            return
        if row:
            yield start, row


def _tsv_rows(path: Path, lines: list[str]) -> list[Row]:
    text = _LINE_END.sub("\n", "".join(lines))
    literal: set[int] = set()
    while True:  # what a quote takes in decides which rows there are, and they which columns are quoted
        rows = list(_split(text, literal))
        header = rows[0][1] if rows else []
        unquoted = {
            column
            for _, cells, quoted in rows[1:]
            if cells != header  # one that stands there again may be unquoted
            for column, cell in enumerate(cells)
            # Of a row that has another width for its quotes, they are none.
            if cell and quoted[column] == (len(cells) != len(header))
        } - literal
        if not unquoted:
            break
        literal |= unquoted
    for start, cells, _ in rows:
        if any("\n" in cell and TAB in cell for cell in cells):
            last = start + sum(cell.count("\n") for cell in cells)
            raise UserError(
                f"{path}, line {start}: a quote that opens in this row takes in what follows up to line {last}, tabs "
                "and all; a text in TSV cannot hold both line breaks and tabs."
            )
    return [(start, cells) for start, cells, _ in rows]


def _split(text: str, literal: set[int]) -> Iterator[tuple[int, list[str], list[bool]]]:
    """(line, fields, whether each is quoted) of every row; of `literal` columns the header alone can be."""
    position, line, header = 0, 1, True
    while position < len(text):
        start = line
        cells: list[str] = []
        quoted: list[bool] = []
        while True:
            match = _QUOTED.match(text, position) if header or len(cells) not in literal else None
            cells.append(match[1].replace('""', '"') if match else _PLAIN.match(text, position)[0])  # type: ignore[index]
            quoted.append(match is not None)
            end = match.end() if match else position + len(cells[-1])
            line += text.count("\n", position, end)
            position = end + 1
            if text[end : end + 1] != TAB:
                break
        line += 1
        if cells != [""]:
            yield start, cells, quoted
            header = False


def plain_name(name: str) -> str:
    """Equal for names of columns that are the same as a header again: in other letters, width or with spaces."""
    return nfkc(name).strip().casefold()


def as_written(name: str, names: Collection[str]) -> str:
    """The one of `names` that is `name`, or else the only one that looks like it: ガ may be two characters, a space
    stand at its end. If there is none, `name`."""
    if name in names:
        return name
    alike = [each for each in names if nfkc(each).strip() == nfkc(name).strip()]
    return alike[0] if len(alike) == 1 else name


def column_of(name: str, header: list[str], path: Path, hint: str) -> int:
    """The index of a column. Raises `UserError` if several have this name, or, ending in `hint`, if none has."""
    found = as_written(name, header)
    if header.count(found) == 1:
        return header.index(found)
    if found in header:
        raise UserError(f"{path} has {header.count(found)} columns named '{found}'.")
    raise UserError(f"{path} has no column '{name}'; it has {', '.join(map(repr, header))}. {hint}")


def require_same_width(path: Path, header: list[str], rows: list[Row], delimiter: str) -> None:
    """Raise `UserError` for a row that has more or fewer fields than the header."""
    hint = "a text with the delimiter in it must stand in double quotes."
    if delimiter == TAB:
        hint = "a text in TSV can hold no tab and no line break, unless every field of its column is in double quotes."
    for number, cells in rows:
        if len(cells) != len(header):
            raise UserError(f"{path}, line {number} has {len(cells)} fields, the header has {len(header)}; {hint}")


def tell_of_headers(path: Path, lines: list[int]) -> None:
    """Say on standard error where the header stands once more."""
    if lines:
        warn(
            f"{path}: line {', '.join(map(str, lines[:5]))}{', ...' if lines[5:] else ''}: the header "
            "once more; it is no row and is left out"
        )


def quotes_kept(rows: list[Row], column: int) -> int:
    """How many fields of a column of TSV stand in double quotes that were read as a part of them."""
    return sum(_QUOTED.fullmatch(cells[column]) is not None for _, cells in rows)


def refuse_swallowed_rows(path: Path, rows: list[Row], label_column: int, delimiter: str) -> None:
    """Raise `UserError` for a quoted field that looks as if its quote had taken in the rows after its own; see
    `swallowed_rows`."""
    for start, last in swallowed_rows(rows, delimiter, label_column):
        raise UserError(
            f"{path}, line {start}: a quote that opens in this row takes in what follows up to line {last}, "
            "which looks like rows; a text with a double quote in it must stand in double quotes, and each of "
            "its own be doubled."
        )


def swallowed_rows(rows: list[Row], delimiter: str, label_column: int | None = None) -> Iterator[tuple[int, int]]:
    """(first line, last line) of each quoted field that looks as if its quote had taken in the rows after its own.

    It does if all its lines, cut at delimiters, are rows, with a class that other rows have if there are classes; the
    first line lacks the columns before the field, the last one those after it. Of a single column nothing tells.
    """
    classes = set() if label_column is None else {cells[label_column].strip() for _, cells in rows}
    for start, row in rows:
        width = len(row)
        for column, field in enumerate(row):
            pieces = [line.split(delimiter) for line in _LINE_END.split(field)]
            if len(pieces) == 1 or width == 1:
                continue
            spans = [(column, width), *[(0, width)] * (len(pieces) - 2), (0, column + 1)]
            if all(
                len(cells) == end - begin
                and (
                    label_column is None
                    or not begin <= label_column < end
                    or cells[label_column - begin].strip(' "') in classes
                )
                for cells, (begin, end) in zip(pieces, spans, strict=True)
            ):
                yield start, start + sum(len(_LINE_END.findall(cell)) for cell in row)
