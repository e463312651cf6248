"""How sure a score is, and whether two models differ: bootstrap over the test items, exact tests. No torch.

The bootstrap draws the test items anew with replacement and scores each draw (Efron 1979); between two models both
are scored on the same draws, so that what is hard for both does not blur their difference. It says what another test
part of this kind might give, not what another seed of the training might.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json
from mobilebert_ja.tasks.jglue_metrics import character_f1, exact_match, pearson, spearman

LEVEL = 0.95
RESAMPLES = 1000
FEW_ITEMS = 30  # of fewer, draws with replacement repeat one another too much to stand for other test parts
# Numbers of the drawn items [items] -> a score. A score of the whole test part is that of 0 ... items - 1.
Statistic = Callable[[np.ndarray], float]


def accuracy_of(predictions: Sequence[str], references: Sequence[str]) -> Statistic:
    """Share of the drawn items that are right."""
    right = np.array([mine == theirs for mine, theirs in zip(predictions, references, strict=True)], np.float64)
    return lambda drawn: float(right[drawn].mean())


def macro_f1_of(predictions: Sequence[str], references: Sequence[str]) -> Statistic:
    """Mean F1 over the classes that are wanted or predicted among the drawn items, as `metrics.macro_f1`."""
    number_of = {name: number for number, name in enumerate(sorted({*predictions, *references}))}
    mine = np.array([number_of[name] for name in predictions])
    theirs = np.array([number_of[name] for name in references])

    def score(drawn: np.ndarray) -> float:
        predicted, wanted = mine[drawn], theirs[drawn]
        correct = np.bincount(predicted[predicted == wanted], minlength=len(number_of))
        both = np.bincount(predicted, minlength=len(number_of)) + np.bincount(wanted, minlength=len(number_of))
        return float((2 * correct[both > 0] / both[both > 0]).mean())

    return score


def entity_f1_of(predictions: Sequence[Sequence[Any]], references: Sequence[Sequence[Any]]) -> Statistic:
    """Micro F1 of exact spans over the drawn sentences, as `metrics.entity_scores`; 0 where there is no span."""
    counts = np.zeros((len(references), 2), np.int64)  # right; predicted and wanted
    for place, (mine, theirs) in enumerate(zip(predictions, references, strict=True)):
        found, there = set(map(tuple, mine)), set(map(tuple, theirs))
        counts[place] = len(found & there), len(found) + len(there)

    def score(drawn: np.ndarray) -> float:
        correct, both = counts[drawn].sum(axis=0).tolist()
        return 2 * correct / both if both else 0.0

    return score


def correlation_of(score: Callable[[Any, Any], float]) -> Callable[[Sequence[Any], Sequence[Any]], Statistic]:
    """`jglue_metrics.spearman` or `pearson` over the drawn pairs of numbers."""

    def statistic(predictions: Sequence[float], references: Sequence[float]) -> Statistic:
        mine, theirs = np.asarray(predictions, np.float64), np.asarray(references, np.float64)
        return lambda drawn: score(mine[drawn], theirs[drawn])

    return statistic


def mean_of(score: Callable[[str, Sequence[str]], float]) -> Callable[[Sequence[Any], Sequence[Any]], Statistic]:
    """The mean of `jglue_metrics.character_f1` or `exact_match` over the drawn questions."""

    def statistic(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Statistic:
        each = np.array([score(*pair) for pair in zip(predictions, references, strict=True)], np.float64)
        return lambda drawn: float(each[drawn].mean())

    return statistic


STATISTICS: dict[str, dict[str, Callable[[Sequence[Any], Sequence[Any]], Statistic]]] = {
    "accuracy": {"accuracy": accuracy_of, "macro_f1": macro_f1_of},
    "f1": {"f1": entity_f1_of},
    "spearman": {"spearman": correlation_of(spearman), "pearson": correlation_of(pearson)},
    "answer_f1": {"answer_f1": mean_of(character_f1), "exact_match": mean_of(exact_match)},
}


def statistics_of(metric: str, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, Statistic]:
    """The scores of a task, the main one first. `metric`: "accuracy" (class names), "f1" (spans), "spearman" (numbers)
    or "answer_f1" (answers beside lists of right ones)."""
    return {name: statistic(predictions, references) for name, statistic in STATISTICS[metric].items()}


def bootstrap(statistic: Statistic, items: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """The scores [resamples] of test parts of `items` items drawn with replacement; the same seed, the same draws."""
    generator = np.random.default_rng(seed)
    return np.array([statistic(generator.integers(items, size=items)) for _ in range(resamples)])


def percentile_interval(scores: np.ndarray, level: float = LEVEL) -> list[float]:
    """[low, high] that holds the middle `level` of the scores."""
    return [float(each) for each in np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])]


def score_intervals(metric: str, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, Any]:
    """The 95 % bootstrap interval of each score of a task, for its record."""
    return {
        "level": LEVEL,
        "resamples": RESAMPLES,
        **{
            name: percentile_interval(bootstrap(statistic, len(references)))
            for name, statistic in statistics_of(metric, predictions, references).items()
        },
    }


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Two-sided exact McNemar test: the chance that items right for one model alone part at least this unevenly.

    Args:
        only_first, only_second: items that the one model alone has right.
    """
    count = only_first + only_second
    ways = tail = 1  # in whole numbers: exact, however many items there are
    for number in range(min(only_first, only_second)):
        ways = ways * (count - number) // (number + 1)
        tail += ways
    return min(1.0, 2 * tail / 2**count)


def bootstrap_p(differences: np.ndarray) -> float:
    """Two-sided p of the hypothesis that there is no difference: twice the share of draws on the rarer side of zero.

    One draw is added on each side (Davison and Hinkley 1997), so that it is never 0.
    """
    rarer = min((differences <= 0).sum(), (differences >= 0).sum())
    return min(1.0, float(2 * (rarer + 1) / (len(differences) + 1)))


@dataclass(frozen=True)
class Answers:
    """A predictions-seed-N.json as finetune.py and baseline.py write it.

    `metric` follows from targets and predictions: "accuracy" (class names both), "f1" (lists of spans both),
    "spearman" (numbers both) or "answer_f1" (lists of right answers, and one answer).
    """

    path: Path
    metric: str
    texts: list[str]
    targets: list[Any]
    predictions: list[Any]


# Types of target and prediction -> metric
_METRICS: dict[Any, str] = {
    (str, str): "accuracy",
    (list, list): "f1",
    (float, float): "spearman",
    (list, str): "answer_f1",
}


def read_answers(path: Path) -> Answers:
    """Raises `UserError` if the file is not one of predictions."""
    stored = read_json(path, "finetune.py and baseline.py write predictions-seed-N.json.")
    try:
        test = stored["test"]
        columns = [[item[name] for item in test] for name in ("text", "target", "prediction")]
        (kinds,) = {tuple(map(type, pair)) for pair in zip(*columns[1:], strict=True)}
        metric = _METRICS[kinds]
        if metric == "f1":
            columns[1:] = [
                [[(start, end, kind) for start, end, kind in spans] for spans in each] for each in columns[1:]
            ]
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{path} holds no predictions; finetune.py and baseline.py write predictions-seed-N.json."
        ) from None
    return Answers(Path(path), metric, *columns)


def compare(first: Answers, second: Answers, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """Scores, difference (second - first) with its interval, and p.

    Returns:
        {"metric", "items", "scores": {"first", "second"}, "difference", "interval": [low, high], "test", "p"}; for
        classes also "only_first" and "only_second", the items that one alone has right.

    Raises `UserError` unless both answered the same texts with the same targets.
    """
    _require_same_items(first, second)
    items = len(first.texts)
    one, other = (
        next(iter(statistics_of(each.metric, each.predictions, each.targets).values())) for each in (first, second)
    )
    everything = np.arange(items)
    drawn = bootstrap(lambda numbers: other(numbers) - one(numbers), items, resamples, seed)
    result: dict[str, Any] = {
        "metric": first.metric,
        "items": items,
        "scores": {"first": one(everything), "second": other(everything)},
        "difference": other(everything) - one(everything),
        "interval": percentile_interval(drawn),
    }
    if first.metric != "accuracy":
        return result | {"test": "paired bootstrap", "p": bootstrap_p(drawn)}
    right = [
        [mine == theirs for mine, theirs in zip(each.predictions, each.targets, strict=True)]
        for each in (first, second)
    ]
    only_first = sum(mine and not theirs for mine, theirs in zip(*right, strict=True))
    only_second = sum(theirs and not mine for mine, theirs in zip(*right, strict=True))
    return result | {
        "only_first": only_first,
        "only_second": only_second,
        "test": "exact McNemar",
        "p": mcnemar_p(only_first, only_second),
    }


def _require_same_items(first: Answers, second: Answers) -> None:
    pair = f"{first.path} and {second.path}"
    if first.metric != second.metric:
        raise UserError(f"{pair} are of different tasks: {first.metric} and {second.metric}.")
    if len(first.texts) != len(second.texts):
        raise UserError(f"{pair} are over different texts: {len(first.texts)} and {len(second.texts)} of them.")
    for name, mine, theirs in (("text", first.texts, second.texts), ("target", first.targets, second.targets)):
        for place, (one, other) in enumerate(zip(mine, theirs, strict=True)):
            if one != other:
                raise UserError(
                    f"{pair} are over different {name}s: item {place} (counted from 0) is {one!r} and {other!r}."
                )
