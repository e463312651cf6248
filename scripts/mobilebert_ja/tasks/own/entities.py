"""A user's own texts with entities marked in them: JSON Lines with character spans, or CoNLL with IOB2 tags."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError, warn
from mobilebert_ja.common.text.encodings import UTF8
from mobilebert_ja.inference.decoding import OUTSIDE, Span
from mobilebert_ja.tasks.base import Example
from mobilebert_ja.tasks.public.ner import spans_of_item
from mobilebert_ja.tasks.text_files import json_lines, require_text, text_lines

CONLL_ENDINGS = (".conll", ".txt")
ENDINGS = (".jsonl", *CONLL_ENDINGS)
DOCUMENT_MARK = "-DOCSTART-"
# What ends a sentence: a blank line, CoNLL's line between two documents, of however many columns, MeCab's last line.
_MARK = re.compile(rf"[ \t\r\n]*\Z|{DOCUMENT_MARK}(?![^ \t\r\n])|EOS[ \t\r\n]*\Z")


def read_entities(path: Path, encoding: str = UTF8) -> list[Example]:
    """Every sentence as an `Example` whose target is its spans (start, end, type), in characters and in order.

    White space at the ends of an entity is left out of it, since no token is made of it; how often is told.

    Args:
        encoding: what the file is in if it is not UTF-8.

    Raises `UserError` naming file and line for whatever is no such sentence; no sentence is passed over.
    """
    if path.suffix.lower() not in ENDINGS:
        raise UserError(f"{path} must end in {', '.join(ENDINGS)}: its ending says how it is read.")
    read = _conll if path.suffix.lower() in CONLL_ENDINGS else _json_lines
    examples, trimmed = [], 0
    for where, example in read(path, encoding):
        if example.text.strip() == DOCUMENT_MARK:
            continue
        spans = [_without_space(span, example.text, where) for span in example.target]
        trimmed += sum(span != given for span, given in zip(spans, example.target, strict=True))
        examples.append(Example(example.text, spans))
    if not examples:
        raise UserError(f"{path} holds no sentence.")
    if trimmed:
        warn(f"{path}: {trimmed} entities begin or end with white space, which is left out of them")
    return examples


def _without_space(span: Span, text: str, where: str) -> Span:
    start, end, of_type = span
    held = text[start:end]
    if not held.strip():
        raise UserError(f"{where}: the entity [{start}, {end}] holds white space alone.")
    return end - len(held.lstrip()), start + len(held.rstrip()), of_type


def _json_lines(path: Path, encoding: str) -> Iterator[tuple[str, Example]]:
    unsure = 0
    for number, item in json_lines(path, encoding):
        where = f"{path}, line {number}"
        try:
            spans = spans_of_item(item)
        except ValueError as error:
            raise UserError(f"{where} is malformed: {error}.") from None
        for _, _, of_type in spans:
            require_text(of_type, where, "type of an entity")
        unsure += _behind_two_units(item)
        yield where, Example(require_text(item["text"], where, "text"), spans)
    if unsure:
        warn(
            f'{path}: {unsure} entities without a "name" stand behind a character beyond U+FFFF (an emoji, a rare '
            "kanji); spans count it as one character, where JavaScript counts two. A name shows whether they do"
        )


def _behind_two_units(item: dict[str, Any]) -> int:
    """How many entities would be elsewhere if their positions were of UTF-16, and have no name to tell."""
    far = next((index for index, char in enumerate(item["text"]) if char > "\uffff"), len(item["text"]))
    return sum(entity.get("name") is None and entity["span"][1] > far for entity in item["entities"])


def _conll(path: Path, encoding: str) -> Iterator[tuple[str, Example]]:
    """Tokens are joined without spaces, as Japanese is written."""
    text, spans = "", list[Span]()
    open_type = ""  # the type of the entity that the token before belongs to
    for number, line in enumerate(
        [*text_lines(path, encoding), ""], start=1
    ):  # a blank line ends the last sentence too
        if _MARK.match(line):
            if text:
                yield f"{path}, sentence before line {number}", Example(text, spans)
            text, spans, open_type = "", [], ""
            continue
        token, prefix, of_type = _token_and_tag(line.rstrip("\r\n"), f"{path}, line {number}")
        start, text = len(text), text + token
        if prefix == "I" and of_type != open_type:
            raise UserError(
                f"{path}, line {number}: I-{of_type} continues no {of_type}; in IOB2 the first token of an entity "
                f"has B-{of_type}."
            )
        if prefix == "I":
            spans[-1] = (spans[-1][0], len(text), of_type)
        elif prefix == "B":
            spans.append((start, len(text), of_type))
        open_type = of_type


def _token_and_tag(line: str, where: str) -> tuple[str, str, str]:
    """(token, prefix, type) of one line; the type of "O" is ""."""
    # Not str.split(): it would take an ideographic space, which may be a token, for a separator.
    fields = line.split("\t") if "\t" in line else line.split(" ")
    if len(fields) != 2 or not fields[0]:
        raise UserError(f"{where} must be a token, a space or tab, and a tag; it is {line!r}.")
    token, tag = fields
    prefix, _, of_type = tag.partition("-")
    if tag != OUTSIDE and not (prefix in ("B", "I") and of_type.strip()):
        raise UserError(f"{where}: the tag must be O, B-TYPE or I-TYPE (IOB2), not {tag!r}.")
    return token, prefix, of_type.strip()
