"""Timing models one item at a time, on one machine, in turns: what disturbs one contender disturbs the others too."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import torch

from mobilebert_ja.measuring.turns import take_turns


@dataclass
class Timing:
    """What was measured of one contender: milliseconds[repetition][item], from text in to answer out."""

    milliseconds: list[list[float]] = field(default_factory=list)

    @property
    def seconds(self) -> list[float]:
        """Seconds for all items, one value per repetition."""
        return [sum(repetition) / 1000 for repetition in self.milliseconds]

    @property
    def median_seconds(self) -> float:
        """Median of `seconds` over the repetitions."""
        return float(np.median(self.seconds))

    def percentile_ms(self, percent: float) -> float:
        """This percentile of the milliseconds of all calls, of all items and repetitions."""
        return float(np.percentile(np.array(self.milliseconds), percent))

    @property
    def median_ms(self) -> float:
        return self.percentile_ms(50)

    @property
    def p10_ms(self) -> float:
        return self.percentile_ms(10)

    @property
    def p90_ms(self) -> float:
        return self.percentile_ms(90)


@contextmanager
def _undisturbed(num_threads: int) -> Iterator[None]:
    """`num_threads` threads and no garbage collection within the block; afterwards as before."""
    threads, collecting = torch.get_num_threads(), gc.isenabled()
    torch.set_num_threads(num_threads)
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
        torch.set_num_threads(threads)


def time_one_by_one(
    contenders: Mapping[str, Callable[[str], Any]],
    texts: Sequence[str],
    repetitions: int,
    num_threads: int,
    warmup: int = 10,
    seed: int = 0,
    after_item: Callable[[], Any] | None = None,
    turn: int = 1,
) -> dict[str, Timing]:
    """Time every contender on every text, one text at a time, in turns whose order is drawn anew each time.

    Args:
        contenders: name -> a function from text to answer; whatever it does, tokenization included, is timed.
        repetitions: passes over the texts.
        num_threads: threads torch uses within a model call; other libraries were told beforehand.
        warmup: untimed calls of each contender beforehand, on texts spread over all of them.
        seed: of the orders.
        after_item: called, untimed, once for each text, when all contenders have answered it.
        turn: texts that a contender answers one after another before the next has its turn. With 1, each finds the
            processor's caches full of the others' weights; with more, as a program does that runs one model.

    Raises ValueError if there is nothing to time.
    """
    if not contenders or not texts or repetitions < 1 or turn < 1:
        raise ValueError("there must be at least one contender, one text, one repetition and one text per turn")
    parts = [texts[start : start + turn] for start in range(0, len(texts), turn)]

    def timed(answer: Callable[[str], Any]) -> Callable[[int], list[float]]:
        def milliseconds(index: int) -> list[float]:
            times = []
            for text in parts[index % len(parts)]:
                begun = time.perf_counter_ns()
                answer(text)
                times.append((time.perf_counter_ns() - begun) / 1e6)
            return times

        return milliseconds

    def after_turn(index: int) -> None:
        if after_item is not None:
            for _ in parts[index % len(parts)]:
                after_item()

    with _undisturbed(num_threads):
        for index in range(warmup):
            for answer in contenders.values():
                answer(texts[index * len(texts) // warmup])
        turns = take_turns(
            {name: timed(answer) for name, answer in contenders.items()},
            repetitions * len(parts),
            seed,
            after_round=after_turn,
        )
    starts = range(0, repetitions * len(parts), len(parts))
    return {
        name: Timing([list(chain.from_iterable(times[start : start + len(parts)])) for start in starts])
        for name, times in turns.items()
    }
