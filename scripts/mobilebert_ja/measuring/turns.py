"""Contenders in turn: what disturbs the machine for a while disturbs all of them, and each round gives a ratio."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

Name = TypeVar("Name")
Result = TypeVar("Result")


def take_turns(
    contenders: Mapping[Name, Callable[[int], Result]],
    rounds: int,
    seed: int | None = None,
    note: Callable[[int, Name, Result], Any] | None = None,
    after_round: Callable[[int], Any] | None = None,
) -> dict[Name, list[Result]]:
    """Call every contender once per round and return what each of them gave, one result per round.

    Args:
        contenders: name -> a function of the round's index, which is the same for all contenders.
        seed: the order of each round is drawn with it; none: forwards and backwards alternately.
        note: called with the round's index, the name and the result, for a line of progress.
        after_round: called with the round's index when all contenders have had their turn.
    """
    order, shuffle = list(contenders), random.Random(seed)
    results: dict[Name, list[Result]] = {name: [] for name in contenders}
    for index in range(rounds):
        if seed is not None:
            shuffle.shuffle(order)
        elif index:
            order.reverse()
        for name in order:
            result = contenders[name](index)
            results[name].append(result)
            if note is not None:
                note(index, name, result)
        if after_round is not None:
            after_round(index)
    return results


def print_rate(unit: str) -> Callable[[int, str, float], None]:
    """A `note` of `take_turns` for rates."""
    return lambda index, name, rate: print(f"round {index + 1}, {name}: {rate:,.1f} {unit}", flush=True)


def round_ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """The ratio within each round. Of rates, ours over theirs is how many times as fast we are; of times, theirs over
    ours. Raises ValueError for different numbers of rounds."""
    return [one / other for one, other in zip(numerators, denominators, strict=True)]


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Median over the rounds of `round_ratios`."""
    return statistics.median(round_ratios(numerators, denominators))
