"""Files of text, line by line: whatever is not clean text is refused with the line where it stands."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError, warn
from mobilebert_ja.common.files import open_bytes
from mobilebert_ja.common.text.encodings import BY_FLAG, UTF8
from mobilebert_ja.common.text.normalization import without_surrogates
from mobilebert_ja.common.text.raw import BY_ICONV, raw_lines, recognised, utf8_lines, what_it_is


def text_lines(path: Path, encoding: str | None = UTF8) -> list[str]:
    """Every line of a file, compressed or not, with its line end, byte order marks left out.

    Args:
        encoding: what the file is in if it is not UTF-8, by the flag --encoding; None: there is no such flag.

    Raises `UserError` naming file and line for bytes that are not so encoded or are NUL, and for a file without text.
    """
    with open_bytes(path) as stream:
        content = stream.read()
    remedy, encoding = (BY_ICONV, UTF8) if encoding is None else (BY_FLAG, encoding)
    if encoding != UTF8 and not _is_utf8(content):
        lines = _decoded_lines(content, path, encoding)
    else:
        lines = list(utf8_lines(io.BytesIO(content), str(path), lambda: content, remedy))
    for number, line in enumerate(lines, start=1):
        if "\0" in line:
            if recognised(content) not in (UTF8, encoding, None):
                raise UserError(f"{path}, line {number} is not {encoding.upper()}. {what_it_is(content, remedy)}")
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
        hint = " " + what_it_is(content, BY_FLAG) if other else ""
        raise UserError(f"{path}, line {number} is not {encoding} (byte {start + 1} of the file).{hint}") from None
    if found and other and content.decode(found, "ignore") != text:  # EUC-JP is half-width kana to CP932
        warn(f"{path} is read as {encoding}. {what_it_is(content, BY_FLAG)}")
    return lines


def json_lines(path: Path, encoding: str | None = UTF8) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of a JSON Lines file; blank lines are passed over. `encoding`: see `text_lines`.

    Raises `UserError` naming the line that is no JSON object.
    """
    return json_objects(path, text_lines(path, encoding))


def json_objects(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """As `json_lines`, of the lines of `path`, which may come one by one."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line.rstrip("\r\n"), object_pairs_hook=_object)
        except _TwiceError as error:
            raise UserError(f"{path}, line {number} has '{error}' twice in one object.") from None
        except (json.JSONDecodeError, RecursionError) as error:
            hint = " JSON Lines has one object per line, without brackets around them." if _opens_list(line) else ""
            raise UserError(f"{path}, line {number} is not valid JSON: {error}.{hint}") from None
        except ValueError:  # Python's limit for digits
            raise UserError(f"{path}, line {number} holds a number of too many digits to be read.") from None
        if not isinstance(item, dict):
            raise UserError(f"{path}, line {number} must be a JSON object, not a {type(item).__name__}.")
        yield number, item


class _TwiceError(Exception):
    """A key that stands twice; Python would take the last, others the first."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    item = dict(pairs)
    if len(item) < len(pairs):
        raise _TwiceError(Counter(key for key, _ in pairs).most_common(1)[0][0])
    return item


def _opens_list(line: str) -> bool:
    return line.lstrip().startswith("[")


def text_of_json(value: Any, where: str, what: str) -> str:
    """Return `value` if it is a text. Raises `UserError` beginning with `where` ("FILE, line 3")."""
    if not isinstance(value, str):
        raise UserError(f"{where}: '{what}' must be a text, not {kind_of_json(value)}.")
    return value


def kind_of_json(value: Any) -> str:
    """What a value is that should be another, for messages."""
    return "null" if value is None else f"a {type(value).__name__}"


def require_text(text: str, where: str, what: str) -> str:
    """Return `text` if it can be read, tokenized and written again.

    JSON escapes can hold what a UTF-8 file cannot. Raises `UserError` beginning with `where` ("FILE, line 3").
    """
    if not text.strip():
        raise UserError(f"{where}: the {what} is empty.")
    if "\0" in text:
        raise UserError(f"{where}: the {what} holds a NUL character.")
    if without_surrogates(text) != text:
        raise UserError(f"{where}: the {what} holds half of a surrogate pair.")
    return text
