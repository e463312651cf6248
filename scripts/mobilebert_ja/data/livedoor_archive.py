"""The livedoor news corpus as its maker packs it: the articles' categories and titles."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path, PurePosixPath

from mobilebert_ja.common.errors import UserError, first_line
from mobilebert_ja.common.files import require_file

LIVEDOOR_FILE = "livedoor/ldcc-20140209.tar.gz"
_NOT_ARTICLES = {"LICENSE.txt", "README.txt", "CHANGES.txt"}
_HINT = (
    "python scripts/download_data.py fetches it (https://www.rondhuit.com/download.html#ldcc); --data_dir names the "
    "folder above livedoor/."
)


def read_articles(path: Path) -> list[tuple[str, str]]:
    """(category, title) of every article in the archive, in the order of their file names.

    An article is a file text/CATEGORY/NAME.txt: line 1 its address, line 2 its date, line 3 its title, then its text.
    Raises `UserError` naming the archive, and the file within, that is not as it should be.
    """
    return [(category, title) for category, title, _ in read_texts(path)]


def read_texts(path: Path) -> list[tuple[str, str, list[str]]]:
    """The same with what stands below the title, as the lines that are not blank."""
    articles = []
    for category, name, content in _files(path):
        title, *text = _title_and_text(content, path, f"{category}/{name}")
        articles.append((category, name, title, text))
    return [(category, title, text) for category, _, title, text in sorted(articles)]


def articles_digest(path: Path) -> str:
    """SHA-256 over names and contents of the articles: the same however the archive was packed.

    Raises `UserError` if it is no such archive.
    """
    lines = sorted(f"{category}/{name} {sha256(content).hexdigest()}\n" for category, name, content in _files(path))
    return sha256("".join(lines).encode()).hexdigest()


def _files(path: Path) -> Iterator[tuple[str, str, bytes]]:
    """(category, file name, content) of every article, in the archive's order."""
    require_file(path, _HINT)
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                file = PurePosixPath(member.name)
                if not member.isfile() or file.suffix != ".txt" or file.name in _NOT_ARTICLES:
                    continue
                stream = archive.extractfile(member)
                assert stream is not None  # only links and folders have none
                yield file.parent.name, file.name, stream.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(f"{path} is not a complete tar archive ({first_line(error)}). {_HINT}") from None


def _title_and_text(content: bytes, path: Path, name: str) -> list[str]:
    """The title and the lines below it that are not blank."""
    try:
        lines = [line.strip() for line in content.decode("utf-8").split("\n")]
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: {name} is not UTF-8 (byte {error.start}).") from None
    if len(lines) < 3 or not lines[2]:
        raise UserError(f"{path}: {name} has no title; line 3 of an article is its title.")
    return [lines[2], *filter(None, lines[3:])]
