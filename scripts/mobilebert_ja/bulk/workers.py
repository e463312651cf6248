"""Chunks of texts answered by processes of their own, in order; one that dies is replaced.

Processes and not threads: MeCab lets no other thread run while it reads a text, and what ends a process (the machine
is short of memory) ends one of several. They are spawned: onnxruntime does not go with `fork`.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from multiprocessing.connection import Connection

from mobilebert_ja.bulk.texts import Chunk, Handover
from mobilebert_ja.common.errors import UserError

Answer = Callable[[list[str]], bytes]  # texts into lines of output
_AHEAD = 4  # chunks per process that are taken before the first of them is written
_DEAD = (EOFError, OSError)  # what talking to a process that has died raises


def _serve(connection: Connection, make_answer: Callable[[], Answer]) -> None:
    """Answer what comes until the other end is closed, or gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the first process decides
    try:
        answer = make_answer()
        connection.send(None)
        while True:
            texts = connection.recv()
            try:
                reply: bytes | RuntimeError = answer(texts)
            except Exception:  # as text, for not every exception can be sent
                reply = RuntimeError(f"in a worker process:\n{traceback.format_exc()}")
            connection.send(reply)
    except _DEAD:
        return


class _NotStarted(UserError):
    pass


class _Process:
    """A process that answers one list of texts at a time."""

    def __init__(self, make_answer: Callable[[], Answer]):
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, make_answer), daemon=True)
        self._process.start()
        other.close()  # so that the end of the process is the end of the connection
        try:
            self._connection.recv()
        except _DEAD:
            raise _NotStarted(
                f"A worker process {self.ending()} before its first text; lower --num_workers."
            ) from None

    def answer(self, texts: list[str]) -> bytes:
        """Lines of output. Raises what answering raised, and one of `_DEAD` if the process is gone."""
        self._connection.send(texts)
        reply = self._connection.recv()
        if isinstance(reply, RuntimeError):
            raise reply
        return reply

    def ending(self) -> str:
        """How it ended, for a message."""
        self._process.join()
        code = self._process.exitcode or 0
        return f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"

    def kill(self) -> None:
        """End it, whatever it does; whoever waits for its answer gets one of `_DEAD`."""
        self._process.kill()


class Workers:
    """Processes that take chunks and answer them, each with a thread that talks to it.

    Args:
        make_answer: called in each process, so it and what it is made of must be picklable.
        where: names a text by its index, for a message.
        split: whether the texts of a chunk may be answered one by one, after a process has died of one of them.
    """

    def __init__(
        self, source: Handover, make_answer: Callable[[], Answer], count: int, where: Callable[[int], str], split: bool
    ):
        self._source, self._make_answer, self._where, self._split = source, make_answer, where, split
        self._exhausted = self._closing = False
        self._processes: set[_Process] = set()
        self._taking = threading.Lock()
        self._in_order: queue.Queue[tuple[Chunk | None, Future[bytes]]] = queue.Queue(_AHEAD * count)
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]

    def run(self) -> Iterator[tuple[Chunk, bytes]]:
        """(chunk, its lines of output), in order.

        Raises `UserError` naming the text of which two processes have died, one after the other, and what reading the
        texts raised; after what comes before it.
        """
        for thread in self._threads:
            thread.start()
        try:
            while True:
                chunk, answered = self._in_order.get()
                lines = answered.result()
                if chunk is None:
                    return
                yield chunk, lines
        finally:
            self._close()

    def _close(self) -> None:
        """End the processes, whatever they are doing, and the threads."""
        self._closing = True
        self._source.close()
        for process in list(self._processes):
            process.kill()
        for thread in self._threads:
            while thread.is_alive():  # it may wait for room
                try:
                    self._in_order.get(timeout=0.01)
                except queue.Empty:
                    thread.join(0.01)

    def _take(self) -> tuple[Chunk, Future[bytes]] | None:
        """The next chunk and where its lines go, which stands in line from now on. None: there is no other."""
        with self._taking:
            if self._exhausted or self._closing:
                return None
            answered: Future[bytes] = Future()
            chunk = None
            try:
                chunk = self._source.take()
            except BaseException as error:
                answered.set_exception(error)
            else:
                if chunk is None:
                    answered.set_result(b"")
            self._exhausted = chunk is None
            self._in_order.put((chunk, answered))
            return (chunk, answered) if chunk is not None else None

    def _work(self) -> None:
        process: _Process | None = None
        while (taken := self._take()) is not None:
            chunk, answered = taken
            try:
                process = process or self._start()
                try:
                    answered.set_result(process.answer(chunk.texts))
                except _DEAD:
                    self._stop(process)
                    if self._closing:
                        return
                    process = None  # unless another one can be started
                    process = self._start()
                    answered.set_result(self._again(process, chunk))
            except BaseException as error:
                answered.set_exception(error)
        if process is not None:
            self._stop(process)

    def _start(self) -> _Process:
        try:
            process = _Process(self._make_answer)
        except _NotStarted:
            process = _Process(self._make_answer)
        self._processes.add(process)
        return process

    def _stop(self, process: _Process) -> None:
        process.kill()
        process.ending()
        self._processes.discard(process)

    def _again(self, process: _Process, chunk: Chunk) -> bytes:
        """The lines of a chunk of which a process has died. Raises `UserError` naming the text if it dies too."""
        pieces = [[text] for text in chunk.texts] if self._split else [chunk.texts]
        lines, index = b"", chunk.first
        for piece in pieces:
            try:
                lines += process.answer(piece)
            except _DEAD:
                name = self._where(index)
                if len(piece) > 1:
                    name += f", or one of the {len(piece) - 1} behind it"
                raise UserError(
                    f"{name}: two worker processes died of this text, one after the other; "
                    f"the second {process.ending()}."
                ) from None
            index += len(piece)
        return lines
