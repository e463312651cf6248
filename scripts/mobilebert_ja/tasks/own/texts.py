"""A user's own raw texts, without classes: plain text, JSON Lines or a column of a table, as documents."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

from mobilebert_ja.common.errors import UserError, warn
from mobilebert_ja.common.files import COMPRESSIONS, ending_of, read_lines
from mobilebert_ja.common.text.encodings import UTF8
from mobilebert_ja.corpus.build import excluded_texts, sentence_digests
from mobilebert_ja.data.sources import Document, documents_of_lines, paragraphs
from mobilebert_ja.tasks.own.tables import (
    DELIMITERS,
    as_written,
    column_of,
    plain_name,
    read_table,
    require_same_width,
    swallowed_rows,
    tell_of_headers,
)
from mobilebert_ja.tasks.text_files import json_objects, text_lines, text_of_json

_ARCHIVES = {".tar", ".tgz"}
_RULE = "evaluation_sentence"  # as `excluded_texts` calls it


def own_documents(path: Path, text_column: str, encoding: str = UTF8) -> Iterator[Document]:
    """The documents of a file, each a list of paragraphs: a row of a table or of JSON Lines is one.

    What ends otherwise than .csv, .tsv and .jsonl is plain text, with a blank line between documents.

    Args:
        text_column: name of the column, in JSON Lines of the key.
        encoding: what the file is in if it is not UTF-8.

    Raises `UserError` naming file and line for what is no text or no such row, and for a file that is empty.
    """
    compressed, ending = path.suffix.lower() in COMPRESSIONS, ending_of(path)
    if ending == ".json":
        raise UserError(f"{path}: a text per line is expected, as JSON Lines (.jsonl) have it.")
    if ending in DELIMITERS:
        documents = _of_table(path, text_column, encoding, DELIMITERS[ending])
    else:  # what is compressed as a stream: it may be large
        lines = read_lines(path, encoding) if compressed else _whole_lines(path, encoding)
        documents = _of_objects(path, text_column, lines) if ending == ".jsonl" else documents_of_lines(lines)
    empty = True
    for number, document in enumerate(documents, start=1):
        if any("\0" in paragraph for paragraph in document):
            raise UserError(f"{path}: text {number} holds a NUL character.")
        if any(paragraph.strip() for paragraph in document):
            empty = False
            yield document
    if empty:
        raise UserError(f"{path} is empty.")


def own_texts(path: Path, text_column: str, encoding: str = UTF8) -> Iterator[str]:
    """The texts of a file that are not blank: rows, as `own_documents` reads them, or each line of plain text."""
    has_rows = ending_of(path) in {*DELIMITERS, ".jsonl"}
    for document in own_documents(path, text_column, encoding):
        texts = ["\n".join(document)] if has_rows else document
        yield from (text.strip() for text in texts if text.strip())


def _of_table(path: Path, text_column: str, encoding: str, delimiter: str) -> Iterator[Document]:
    delimiter, rows = read_table(path, text_lines(path, encoding), delimiter)
    if not rows:  # a line for Excel alone
        return
    header = rows.pop(0)[1]
    column = column_of(text_column, header, path, "--text_column names the one to take.")
    again = sorted(map(plain_name, header))
    require_same_width(path, header, rows, delimiter)
    if swallowed := list(swallowed_rows(rows, delimiter)):
        first, last = swallowed[0]
        warn(
            f"{path}: {len(swallowed)} texts look as if a quote had taken in the rows after their own, the "
            f"first from line {first} to line {last}; in a text, double quotes must be doubled"
        )
    headers = []
    for number, cells in rows:
        if sorted(map(plain_name, cells)) == again:  # as in files put together
            headers.append(number)
        else:
            yield paragraphs(cells[column])
    tell_of_headers(path, headers)


def _whole_lines(path: Path, encoding: str) -> Iterator[str]:
    return (line.rstrip("\r\n") for line in text_lines(path, encoding))


def _of_objects(path: Path, text_column: str, lines: Iterable[str]) -> Iterator[Document]:
    for number, item in json_objects(path, lines):
        key = as_written(text_column, item)
        if key not in item:
            found = ", ".join(map(repr, item)) or "nothing"
            raise UserError(
                f"{path}, line {number} has no text '{text_column}'; it has {found}. "
                "--text_column names the key to take."
            )
        yield paragraphs(text_of_json(item[key], f"{path}, line {number}", text_column))


def sentences_to_leave_out(files: list[Path], text_column: str, encoding: str = UTF8) -> dict[str, frozenset[bytes]]:
    """Rule -> digests of the sentences that must not be learned from, as `excluded_texts` gives them.

    Beside what that reads (a JSON list of objects with "text", the livedoor archive), files that `own_documents` does.
    """
    theirs = [
        path
        for path in files
        if path.suffix.lower() == ".json" or not _ARCHIVES.isdisjoint(map(str.lower, path.suffixes))
    ]
    excluded = excluded_texts(theirs)
    documents = (own_documents(path, text_column, encoding) for path in files if path not in theirs)
    own = sentence_digests(itertools.chain.from_iterable(itertools.chain.from_iterable(documents)))
    if own:
        excluded[_RULE] = excluded.get(_RULE, frozenset()) | own
    return excluded
