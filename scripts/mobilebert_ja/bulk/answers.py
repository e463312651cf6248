"""Answers to many texts: by this process as long as they come slowly, by several once they wait in line."""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mobilebert_ja.bulk.output import Output
from mobilebert_ja.bulk.texts import CHUNK_TEXTS, Handover
from mobilebert_ja.bulk.workers import Answer, Workers
from mobilebert_ja.runtime import Answerer, load

PATIENCE = 1.0  # seconds that texts are answered here alone: starting processes takes about as long


def as_lines(answerer: Answerer, batch_size: int, texts: list[str]) -> bytes:
    """A line of JSON for each answer."""
    answers = answerer.predict(texts, batch_size)
    lines = [json.dumps(dataclasses.asdict(answer), ensure_ascii=False) + "\n" for answer in answers]
    return "".join(lines).encode("utf-8")


def load_for_lines(folder: Path, num_threads: int, batch_size: int) -> Answer:
    """The model of a folder, as a function from texts to lines of output."""
    return functools.partial(as_lines, load(folder, num_threads), batch_size)


class Answering:
    """How many texts are answered.

    Args:
        make_answer: loads what answers; called here, at once, and in each process, so it must be picklable.
        num_workers: processes, once texts wait in line.
        batch_size: texts per model call. With more than one an answer may depend a little on the others: chunks are
            then always the same, whoever is fast, and so is the output.
        patience: seconds before processes are started.
    """

    def __init__(
        self, make_answer: Callable[[], Answer], num_workers: int, batch_size: int = 1, patience: float = PATIENCE
    ):
        self._make_answer, self._num_workers, self._patience = make_answer, num_workers, patience
        self._batched = batch_size > 1
        # A whole number of batches, and several, so that texts of like length find each other.
        self._chunk_texts = max(CHUNK_TEXTS // batch_size, 8) * batch_size if self._batched else CHUNK_TEXTS
        self._answer: Answer | None = make_answer()

    def run(self, texts: Iterator[str], where: Callable[[int], str], output: Output) -> None:
        """Answer all texts. Raises what reading them, answering them and `output` raise.

        Args:
            texts: those that are to be answered, read by a thread, at most a few chunks ahead of what is written.
            where: names a text by its index in the input, for a message.
            output: its `texts_done` is the index of the first of `texts`.
        """
        source = Handover(texts, output.texts_done, self._chunk_texts, self._batched)
        if self._answer_here(source, output):
            return
        self._answer = None  # the processes have their own
        workers = Workers(source, self._make_answer, self._num_workers, where, split=not self._batched)
        for chunk, lines in workers.run():
            output.write(chunk.texts, lines)

    def _answer_here(self, source: Handover, output: Output) -> bool:
        """Answer texts one after the other. Returns whether that was all: False if processes are worth their start."""
        assert self._answer is not None  # until there are processes
        begun = time.monotonic()
        while (chunk := source.take()) is not None:
            for texts in [chunk.texts] if self._batched else [[text] for text in chunk.texts]:
                output.write(texts, self._answer(texts))
            if self._num_workers > 1 and source.full() and time.monotonic() - begun >= self._patience:
                return False
        return True
