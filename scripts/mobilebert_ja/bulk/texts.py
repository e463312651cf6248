"""Texts, one per line, from files or standard input, and their way to whoever answers them, in chunks."""

from __future__ import annotations

import sys
import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mobilebert_ja.common.files import read_lines
from mobilebert_ja.common.text.encodings import UTF8, decoded_lines

CHUNK_TEXTS = 64  # about 50 ms of work, against which handing a chunk to a process is little
CHUNK_CHARS = 1 << 16


class Texts:
    """The lines of files, or of standard input if there is no file, without their ends; to be gone through once.

    Args:
        files: plain or compressed; one after the other.
        encoding: Python's own name of it.

    Iterating raises `UserError` naming the line that is not so encoded.
    """

    def __init__(self, files: list[Path], encoding: str = UTF8):
        self.files, self.encoding = files, encoding
        self._starts: list[tuple[int, str]] = []  # index of the first line of each file so far

    def count(self) -> int | None:
        """How many there are, having read the files through once, so that a line that is broken is told before the
        work; None of standard input."""
        if not self.files:
            return None
        return sum(1 for path in self.files for _ in read_lines(path, self.encoding))

    def __iter__(self) -> Iterator[str]:
        index = 0
        for name, lines in self._sources():
            self._starts.append((index, name))
            for line in lines:
                yield line
                index += 1

    def _sources(self) -> Iterator[tuple[str, Iterable[str]]]:
        if not self.files:
            # A file object of its own: the interpreter takes the lock of sys.stdin's when it ends, which a thread that
            # waits for a line would still hold.
            stream = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115 - ends with the process
            lines = decoded_lines(stream, "standard input", self.encoding)
            yield "standard input", (line.rstrip("\r\n") for line in lines)
        for path in self.files:
            yield str(path), read_lines(path, self.encoding)

    def where(self, index: int) -> str:
        """ "FILE, line N" of a text that was read, by its index."""
        start, name = self._starts[bisect_right(self._starts, index, key=lambda each: each[0]) - 1]
        return f"{name}, line {index - start + 1}"


@dataclass(frozen=True)
class Chunk:
    """Consecutive texts. `first`: index of the first of them."""

    first: int
    texts: list[str]


class Handover:
    """Texts on their way from a thread that reads them, at most one chunk ahead, to whoever takes them.

    Who takes gets what is there, and waits only if that is nothing: a text that comes by itself is a chunk by itself.

    Args:
        texts: read by a thread of its own, as others take them.
        first: index of the first of them.
        chunk_texts: how many a chunk has at most; fewer if they have more than `CHUNK_CHARS` characters.
        whole: wait until a chunk is full, so that which texts share one does not depend on who was fast.
    """

    def __init__(self, texts: Iterable[str], first: int = 0, chunk_texts: int = CHUNK_TEXTS, whole: bool = False):
        self._texts, self._first, self._most, self._whole = texts, first, chunk_texts, whole
        self._waiting: list[str] = []
        self._chars = 0
        self._ended = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def full(self) -> bool:
        """Whether a whole chunk waits: texts come faster than they are taken."""
        return len(self._waiting) >= self._most or self._chars >= CHUNK_CHARS

    def take(self) -> Chunk | None:
        """The texts that wait; None after the last. Raises what reading them raised, after the last that was read."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self.full() or (self._waiting and not self._whole))
            if not self._waiting:
                if self._error is not None:
                    raise self._error
                return None
            chunk = Chunk(self._first, self._waiting)
            self._first += len(self._waiting)
            self._waiting, self._chars = [], 0
            self._changed.notify_all()
            return chunk

    def close(self) -> None:
        """Read no further; whoever takes gets None."""
        with self._changed:
            self._ended, self._waiting = True, []
            self._changed.notify_all()

    def _read(self) -> None:
        error: BaseException | None = None
        try:
            for text in self._texts:
                with self._changed:
                    self._changed.wait_for(lambda: self._ended or not self.full())
                    if self._ended:
                        return
                    self._waiting.append(text)
                    self._chars += len(text)
                    self._changed.notify_all()
        except BaseException as raised:
            error = raised
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()
