"""A user's own files, line by line: whatever is not clean UTF-8 text is refused with the line where it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import require_file

_SURROGATE = re.compile("[\ud800-\udfff]")


def text_lines(path: Path) -> list[str]:
    """Every line of a UTF-8 file with its line end, the byte order mark left out.

    Raises `UserError` naming file and line for bytes that are not UTF-8 or are NUL, and for a file without text.
    """
    lines = []
    with open(require_file(path), "rb") as stream:
        for number, raw in enumerate(stream, start=1):
            if number == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            try:
                lines.append(raw.decode("utf-8"))
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{path}, line {number} is not UTF-8 (byte {error.start + 1} of it is 0x{raw[error.start]:02x}). "
                    f"Convert it first, for example: iconv -f CP932 -t UTF-8 {path.name}."
                ) from None
            if b"\0" in raw:
                raise UserError(f"{path}, line {number} holds a NUL byte; the file is damaged or is not plain text.")
    if not any(line.strip() for line in lines):
        raise UserError(f"{path} is empty.")
    return lines


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of a JSON Lines file; blank lines are passed over.

    Raises `UserError` naming the line that is no JSON object.
    """
    for number, line in enumerate(text_lines(path), start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise UserError(f"{path}, line {number} is not valid JSON: {error}.") from None
        except ValueError:  # Python's limit for digits
            raise UserError(f"{path}, line {number} holds a number of too many digits to be read.") from None
        if not isinstance(item, dict):
            raise UserError(f"{path}, line {number} must be a JSON object, not a {type(item).__name__}.")
        yield number, item


def require_text(text: str, where: str, what: str) -> str:
    """Return `text` if it can be read, tokenized and written again.

    JSON escapes can hold what a UTF-8 file cannot. Raises `UserError` beginning with `where` ("FILE, line 3").
    """
    if not text.strip():
        raise UserError(f"{where}: the {what} is empty.")
    if "\0" in text:
        raise UserError(f"{where}: the {what} holds a NUL character.")
    if _SURROGATE.search(text):
        raise UserError(f"{where}: the {what} holds half of a surrogate pair.")
    return text
