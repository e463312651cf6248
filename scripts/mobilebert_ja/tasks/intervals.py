"""How sure a score is, and whether two models differ: bootstrap over the test items, exact tests. No torch.

The bootstrap draws the test items anew with replacement and scores each draw (Efron 1979); between two models both
are scored on the same draws, so that what is hard for both does not blur their difference. It says what another test
part of this kind might give, not what another seed of the training might.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json
from mobilebert_ja.tasks.metrics import METRICS, Statistic, statistics_of

LEVEL = 0.95
RESAMPLES = 1000
FEW_ITEMS = 30  # of fewer, draws with replacement repeat one another too much to stand for other test parts


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


def read_answers(path: Path) -> Answers:
    """Raises `UserError` if the file is not one of predictions."""
    stored = read_json(path, "finetune.py and baseline.py write predictions-seed-N.json.")
    try:
        test = stored["test"]
        columns = [[item[name] for item in test] for name in ("text", "target", "prediction")]
        (types,) = {(type(pair[0]), type(pair[1])) for pair in zip(*columns[1:], strict=True)}
        metric = {each.json_types: name for name, each in METRICS.items()}[types]
        columns[1:] = [[METRICS[metric].read(each) for each in column] for column in columns[1:]]
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
        for index, (one, other) in enumerate(zip(mine, theirs, strict=True)):
            if one != other:
                raise UserError(
                    f"{pair} are over different {name}s: item {index} (counted from 0) is {one!r} and {other!r}."
                )
