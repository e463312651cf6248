"""Reading text in any of the usual compressions, writing so that a reader never sees half a file."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import os
import shutil
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.text.encodings import decoded_lines
from mobilebert_ja.common.text.raw import SAMPLE_BYTES, utf8_lines


def _open_zstandard(path: Path, _mode: str) -> Any:
    from backports import zstd  # here, so that a machine that only trains does without it

    return zstd.open(path, "rb")


def _zstandard_error() -> type[Exception]:
    """What reading a damaged .zst file raises; known only once its library is loaded."""
    library = sys.modules.get("backports.zstd")
    return library.ZstdError if library is not None else EOFError


_OPENERS: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open, ".zst": _open_zstandard}
COMPRESSIONS = tuple(_OPENERS)


def ending_of(path: Path) -> str:
    """What says how a file is read, in small letters: the last ending, or the one before it of a compressed file."""
    return (Path(path.stem) if path.suffix.lower() in COMPRESSIONS else path).suffix.lower()


def require_file(path: str | Path, hint: str = "") -> Path:
    """Return `path` if it is a file that can be read, else raise `UserError` with `hint` as the way out."""
    path = Path(path)
    if path.is_file():
        return path
    if path.is_dir():
        raise UserError(f"{path} is a folder, a file was expected." + (f" {hint}" if hint else ""))
    if path.exists():  # what a shell makes of <(command)
        raise UserError(f"{path} is a pipe or a device; a file was expected, which can be read more than once.")
    raise UserError(f"{path} does not exist." + (f" {hint}" if hint else ""))


def require_folder(path: str | Path, hint: str = "") -> Path:
    """Return `path` if it is a folder, else raise `UserError` with `hint` as the way out."""
    path = Path(path)
    if path.is_dir():
        return path
    what = "is a file, a folder was expected" if path.is_file() else "does not exist"
    raise UserError(f"{path} {what}." + (f" {hint}" if hint else ""))


_GIT_LFS = b"version https://git-lfs.github.com/spec/"


def is_git_lfs_pointer(path: Path) -> bool:
    """Whether a file is what git-lfs has in place of a large one until that is fetched."""
    with open(path, "rb") as stream:
        return stream.read(len(_GIT_LFS)) == _GIT_LFS


def without_git_lfs(path: Path) -> str:
    """What a file is of which that is true, and what to do, for a message."""
    return f"{path} is a git-lfs pointer, not the file itself; install git-lfs and run 'git lfs pull'"


@contextmanager
def open_bytes(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a file (plain, .gz, .xz, .bz2 or .zst, in letters of either case) to read the bytes that it holds.

    Raises `UserError` naming the file, if there is none, and the byte where its compression is damaged.
    """
    path = require_file(path)
    with _OPENERS.get(path.suffix.lower(), open)(path, "rb") as stream:
        try:
            yield stream
        except (EOFError, lzma.LZMAError, zlib.error, _zstandard_error(), OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            place = f"past byte {stream.tell()} of its text"
            raise UserError(f"{path} is damaged: it cannot be decompressed {place}.") from None


def read_lines(path: str | Path, encoding: str | None = None) -> Iterator[str]:
    """Yield the lines of a file (plain, .gz, .xz, .bz2 or .zst) without byte order marks and line ends.

    Args:
        encoding: what the flag --encoding says, see `encodings.encoding_of_name`; None: UTF-8, and there is no flag.

    Raises `UserError` naming the file and the line that is not so encoded, or the byte where its compression is
    damaged.
    """

    def sample() -> bytes:
        with open_bytes(path) as stream:
            return stream.read(SAMPLE_BYTES)

    with open_bytes(path) as stream:
        if encoding is None:
            lines = utf8_lines(stream, str(path), sample)
        else:
            lines = decoded_lines(stream, str(path), encoding)
        for line in lines:
            yield line.rstrip("\r\n")


@contextmanager
def write_atomically(path: str | Path, mode: str = "w", errors: str | None = None) -> Iterator[IO[Any]]:
    """Open a temporary file beside `path`; rename it to `path` when the block ends without an error.

    Args:
        errors: what becomes of half a surrogate pair in a file of text; None: it cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".partial")
    try:
        with open(temporary, mode, encoding=None if "b" in mode else "utf-8", errors=errors) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    os.replace(temporary, path)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON, atomically.

    A name of a file that is not UTF-8 holds halves of surrogate pairs to Python; they are escaped, as JSON does it.
    """
    with write_atomically(path, errors="backslashreplace") as stream:
        json.dump(value, stream, ensure_ascii=False, indent=2)
        stream.write("\n")


def read_json(path: str | Path, hint: str = "") -> Any:
    """Read a JSON file; a missing or damaged one raises `UserError`."""
    path = require_file(path, hint)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON: {error}.") from None
    except ValueError:  # Python's limit for digits
        raise UserError(f"{path} holds a number of too many digits to be read.") from None


def link_or_copy(source: str, target: str) -> None:
    """A second name for a file, or, where the file system has no such thing, a copy; for `shutil.copytree`.

    Only for files that are replaced and never changed, as `write_atomically` does.
    """
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def list_files(folder: str | Path) -> list[Path]:
    """Every file below `folder`, sorted by its path."""
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())
