"""Where the lines of answers go: to standard output, or to a file that a run which was killed goes on with."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, Protocol

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json, write_json

SECONDS_BETWEEN_NOTES = 1.0  # what a run that is killed has to do anew, at most


class Output(Protocol):
    """Takes the answers to texts, in order. `texts_done`: how many have been answered by an earlier run."""

    texts_done: int

    def write(self, texts: list[str], lines: bytes) -> None: ...

    def finish(self) -> None: ...


class WithProgress:
    """An output with a progress bar. `total`: number of texts, if it is known."""

    def __init__(self, output: Output, total: int | None):
        from mobilebert_ja.common.progress import progress_bar  # here: what shows no bar does without its library

        self._output, self.texts_done = output, output.texts_done
        self._bar = progress_bar(desc="texts", total=total, initial=self.texts_done, unit="text")

    def write(self, texts: list[str], lines: bytes) -> None:
        self._output.write(texts, lines)
        self._bar.update(len(texts))

    def finish(self) -> None:
        self._output.finish()
        self._bar.close()


class StandardOutput:
    """What is written is there at once."""

    texts_done = 0

    def write(self, texts: list[str], lines: bytes) -> None:
        sys.stdout.buffer.write(lines)
        sys.stdout.buffer.flush()

    def finish(self) -> None:
        pass


def _unfinished(path: Path) -> tuple[Path, Path]:
    """What stands for a file until it is complete: the answers so far, and the note on them."""
    return path.with_name(path.name + ".partial"), path.with_name(path.name + ".partial.json")


def remove_unfinished(path: Path) -> None:
    """Remove what an earlier run has begun of `path`."""
    for each in _unfinished(path.resolve() if path.is_symlink() else path):
        each.unlink(missing_ok=True)


class OtherTextsError(UserError):
    """An unfinished file holds the answers to other texts than those that are given now."""


class ResumableFile:
    """A file that gets its name when it is complete; until then it is FILE.partial, with FILE.partial.json beside it,
    which notes how far it is sound, and a checksum of the texts that are answered so far.

    Args:
        made_from: what the answers depend on beside the texts; as JSON.
        texts: those of the whole input; those that an earlier run has answered are taken from it and compared.
        overwrite: replace `path`, and what an earlier run has begun with something else than `made_from`.

    Raises `UserError` if `path` exists, if another run is writing it, if an earlier one was made from something else,
    or if what stands there is not of such a run; `OtherTextsError`, whether or not to overwrite, if it has answered
    other texts, which have been read by then: `remove_unfinished` lets the next one begin anew.
    """

    def __init__(self, path: Path, made_from: dict[str, Any], texts: Iterator[str], overwrite: bool):
        self.path, self._made_from = path, made_from
        if path.exists() and not (path.is_file() or path.is_dir()):  # before what /dev/stdout leads to is looked for
            raise UserError(f"{path} is a device or a pipe; leave --output_file out.")
        if path.is_symlink():  # to another disk perhaps: what it leads to is written, the link stays
            path = self.path = path.resolve()
        self._partial, self._note = _unfinished(path)
        self._require_place(overwrite)
        self._digest = hashlib.sha256()
        self.texts_done = 0
        self._stream: IO[bytes] = open(self._partial, "ab")  # noqa: SIM115 - closed by finish()
        self._lock()
        begun = self._begun(overwrite)
        self._go_on(begun, texts)
        write_json(self._note, begun)
        self._noted = time.monotonic()

    def _require_place(self, overwrite: bool) -> None:
        if self.path.is_dir():
            raise UserError(f"{self.path} is a folder; --output_file names a file.")
        if not self.path.parent.is_dir():
            raise UserError(f"{self.path.parent}, where --output_file is to stand, is no folder.")
        if self.path.exists() and not overwrite:
            raise UserError(f"{self.path} exists; --overwrite replaces it.")

    def _lock(self) -> None:
        with contextlib.suppress(ImportError):  # Windows has no such locks
            import fcntl

            try:
                fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(f"Another run is writing {self._partial}; wait for it to end.") from None

    def _begun(self, overwrite: bool) -> dict[str, Any]:
        """How far an earlier run came, or that there was none that can be gone on with."""
        size = self._partial.stat().st_size
        if not self._note.exists():
            if size and not overwrite:
                raise UserError(f"{self._partial} exists and is not of predict.py's making; move it.")
            return self._state(0)
        begun = read_json(self._note)
        if not isinstance(begun, dict) or set(begun) != set(self._state(0)):
            raise UserError(f"{self._note} is not of predict.py's making; move it.")
        if size < begun["bytes"]:
            return self._state(0)
        if begun["made_from"] != self._made_from:
            if overwrite:
                return self._state(0)
            other = ", ".join(name for name, value in self._made_from.items() if begun["made_from"].get(name) != value)
            raise UserError(f"{self._partial} was begun with another {other}; --overwrite begins anew.")
        return begun

    def _go_on(self, begun: dict[str, Any], texts: Iterator[str]) -> None:
        """Pass over the texts that are answered, and cut off what is not known to be sound."""
        for text in islice(texts, begun["texts"]):
            self._count(text)
        if self._digest.hexdigest() != begun["texts_sha256"]:
            self._stream.close()
            raise OtherTextsError(
                f"{self._partial} holds answers to other texts than the first {begun['texts']:,} of these; give the "
                "same texts again, or begin anew: with --overwrite those of --input_file, or having removed it."
            )
        self._stream.truncate(begun["bytes"])
        self._stream.seek(0, os.SEEK_END)  # where it is to be written; told from now on

    def _count(self, text: str) -> None:
        self._digest.update(text.encode("utf-8", "surrogatepass") + b"\n")
        self.texts_done += 1

    def _state(self, size: int) -> dict[str, Any]:
        return {
            "made_from": self._made_from,
            "texts": self.texts_done,
            "texts_sha256": self._digest.hexdigest(),
            "bytes": size,
        }

    def write(self, texts: list[str], lines: bytes) -> None:
        """Add the answers to the next texts."""
        self._stream.write(lines)
        for text in texts:
            self._count(text)
        if time.monotonic() - self._noted >= SECONDS_BETWEEN_NOTES:
            self._sync()
            write_json(self._note, self._state(self._stream.tell()))
            self._noted = time.monotonic()

    def _sync(self) -> None:
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def finish(self) -> None:
        """Give the file its name."""
        self._sync()
        os.replace(self._partial, self.path)
        self._stream.close()
        self._note.unlink()
