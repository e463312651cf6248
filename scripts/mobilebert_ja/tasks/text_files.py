"""A user's own files, line by line: whatever is not clean text is refused with the line where it stands."""

from __future__ import annotations

import codecs
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import require_file
from mobilebert_ja.common.text import raw_lines, recognised, utf8_lines, what_it_is

UTF8 = "utf-8"
_OTHER_NAMES = {"windows-31j": "cp932", "ms932": "cp932", "eucjp-ms": "euc_jis_2004"}  # that Python does not know
_REMEDY = "--encoding {name} reads it"
_SURROGATE = re.compile("[\ud800-\udfff]")


def encoding_of_name(name: str) -> str:
    """Python's own name of an encoding. Raises `UserError` if it knows none of this name."""
    name = _OTHER_NAMES.get(name.lower().replace("_", "-"), name)
    try:
        "".encode(name)  # of what is no encoding of text, "base64" for example, lookup() knows the name
        return codecs.lookup(name).name.replace("utf-8-sig", UTF8)  # a mark is left out in any case
    except (LookupError, UnicodeError, ValueError):
        raise UserError(f"--encoding knows no '{name}'; it takes utf-8, cp932, utf-16, euc_jp and the like.") from None


def text_lines(path: Path, encoding: str = UTF8) -> list[str]:
    """Every line of a file with its line end, byte order marks left out.

    Args:
        encoding: what the file is in if it is not UTF-8.

    Raises `UserError` naming file and line for bytes that are not so encoded or are NUL, and for a file without text.
    """
    content = require_file(path).read_bytes()
    if encoding != UTF8 and not _is_utf8(content):
        lines = _decoded_lines(content, path, encoding)
    else:
        lines = list(utf8_lines(io.BytesIO(content), str(path), lambda: content, _REMEDY))
    for number, line in enumerate(lines, start=1):
        if "\0" in line:
            if recognised(content) not in (UTF8, encoding, None):
                raise UserError(f"{path}, line {number} is not {encoding.upper()}. {what_it_is(content, _REMEDY)}")
            raise UserError(f"{path}, line {number} holds a NUL byte; the file is damaged or is not plain text.")
    if not any(line.strip() for line in lines):
        raise UserError(f"{path} is empty.")
    return lines


def _is_utf8(content: bytes) -> bool:
    """Whether it is UTF-8 for certain: what is ASCII is so in seven-bit encodings too."""
    try:
        content.decode(UTF8)
    except UnicodeDecodeError:
        return False
    return not content.isascii() and b"\0" not in content


def _decoded_lines(content: bytes, path: Path, encoding: str) -> list[str]:
    found = recognised(content)
    other = found not in (None, UTF8, encoding)
    try:
        text = content.decode(encoding)
        lines = [line.decode(UTF8) for line in raw_lines(io.BytesIO(text.encode(UTF8)))]
    except UnicodeError as error:
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        number = content[:start].decode(encoding, "ignore").count("\n") + 1
        hint = " " + what_it_is(content, _REMEDY) if other else ""
        raise UserError(f"{path}, line {number} is not {encoding} (byte {start + 1} of the file).{hint}") from None
    if found and other and content.decode(found, "ignore") != text:  # EUC-JP is half-width kana to CP932
        print(f"warning: {path} is read as {encoding}. {what_it_is(content, _REMEDY)}", file=sys.stderr)
    return lines


def json_lines(path: Path, encoding: str = UTF8) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of a JSON Lines file; blank lines are passed over.

    Raises `UserError` naming the line that is no JSON object.
    """
    for number, line in enumerate(text_lines(path, encoding), start=1):
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
