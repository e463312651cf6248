"""Scores as plain functions, and the table of what belongs to each main score. No torch, no downloads.

The arithmetic of classes and entities stands beside two metrics for `evaluate.load`, in the folders below
`evaluate_metrics/`: what evaluate loads must do without this package. That of JGLUE's numbers and answers stands here.
"""

from __future__ import annotations

import importlib
import inspect
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mobilebert_ja.evaluate_metrics.accuracy.class_scores import (
    accuracy,
    classification_scores,
    confusion_counts,
    macro_f1,
    per_class_scores,
)
from mobilebert_ja.evaluate_metrics.entity_f1.span_scores import entity_scores
from mobilebert_ja.inference.decoding import Span

METRICS_FOLDER = Path(__file__).resolve().parents[1] / "evaluate_metrics"
__all__ = [
    "METRICS",
    "METRICS_FOLDER",
    "Metric",
    "Statistic",
    "accuracy",
    "accuracy_of",
    "answer_scores",
    "character_f1",
    "classification_scores",
    "confusion_counts",
    "entity_f1_of",
    "entity_scores",
    "exact_match",
    "load_metric",
    "macro_f1",
    "macro_f1_of",
    "mean_and_std",
    "pearson",
    "per_class_scores",
    "ranks",
    "similarity_scores",
    "spearman",
    "statistics_of",
]
# Indices of the drawn items [items] -> a score. A score of the whole test part is that of 0 ... items - 1.
Statistic = Callable[[np.ndarray], float]


def mean_and_std(scores: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (n - 1); the latter is None for a single score."""
    return statistics.fmean(scores), statistics.stdev(scores) if len(scores) > 1 else None


@cache
def load_metric(name: str) -> Any:
    """The `evaluate` metric "accuracy" or "entity_f1" of this repository; needs no network and no writable home.

    `evaluate.load` would copy its files to HF_HOME first, and import the copy.
    """
    import evaluate  # several seconds to import: only whoever scores through it pays

    module = importlib.import_module(f"mobilebert_ja.evaluate_metrics.{name}.{name}")
    kind: Any
    (kind,) = (each for each in vars(module).values() if inspect.isclass(each) and issubclass(each, evaluate.Metric))
    with tempfile.TemporaryDirectory() as scratch:  # a folder is made in any case, and not used
        return kind(cache_dir=scratch, keep_in_memory=True)  # no lock file shared between two runs


def pearson(predictions: Sequence[float], references: Sequence[float]) -> float:
    """Pearson's correlation; 0 where one side does not vary."""
    mine, theirs = (np.asarray(each, np.float64) - np.mean(each) for each in (predictions, references))
    scale = np.sqrt((mine @ mine) * (theirs @ theirs))
    return float(mine @ theirs / scale) if scale > 0 else 0.0


def ranks(values: Sequence[float]) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs."""
    _, index, counts = np.unique(np.asarray(values, np.float64), return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return (last - (counts - 1) / 2)[index]


def spearman(predictions: Sequence[float], references: Sequence[float]) -> float:
    """Spearman's correlation: Pearson's of the ranks."""
    return pearson(ranks(predictions).tolist(), ranks(references).tolist())


def similarity_scores(predictions: Sequence[float], references: Sequence[float]) -> dict[str, float]:
    """{"pearson", "spearman"}. Raises ValueError for different lengths or no items."""
    if len(predictions) != len(references) or not references:
        raise ValueError(f"{len(predictions)} predictions for {len(references)} references")
    return {"pearson": pearson(predictions, references), "spearman": spearman(predictions, references)}


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """1 if the prediction is one of the right answers but for white space around it, else 0."""
    return float(prediction.strip() in {answer.strip() for answer in answers})


def character_f1(prediction: str, answers: Sequence[str]) -> float:
    """F1 of the characters that prediction and answer share (as bags), with the answer that fits best.

    Japanese has no spaces between words, so JSQuAD counts characters where SQuAD counts words.
    """
    best = 0.0
    mine = [character for character in prediction if not character.isspace()]
    for answer in answers:
        theirs = [character for character in answer if not character.isspace()]
        common = (Counter(mine) & Counter(theirs)).total()
        if common:
            best = max(best, 2 * common / (len(mine) + len(theirs)))
    return best


def answer_scores(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """{"exact_match", "answer_f1"}: means over the questions, each with its list of right answers."""
    if len(predictions) != len(references) or not references:
        raise ValueError(f"{len(predictions)} predictions for {len(references)} references")
    pairs: list[Any] = list(zip(predictions, references, strict=True))
    return {
        "exact_match": sum(exact_match(*pair) for pair in pairs) / len(pairs),
        "answer_f1": sum(character_f1(*pair) for pair in pairs) / len(pairs),
    }


def accuracy_of(predictions: Sequence[str], references: Sequence[str]) -> Statistic:
    """Share of the drawn items that are right."""
    right = np.array([mine == theirs for mine, theirs in zip(predictions, references, strict=True)], np.float64)
    return lambda drawn: float(right[drawn].mean())


def macro_f1_of(predictions: Sequence[str], references: Sequence[str]) -> Statistic:
    """Mean F1 over the classes that are wanted or predicted among the drawn items, as `macro_f1`."""
    index_of = {name: index for index, name in enumerate(sorted({*predictions, *references}))}
    mine = np.array([index_of[name] for name in predictions])
    theirs = np.array([index_of[name] for name in references])

    def score(drawn: np.ndarray) -> float:
        predicted, wanted = mine[drawn], theirs[drawn]
        correct = np.bincount(predicted[predicted == wanted], minlength=len(index_of))
        both = np.bincount(predicted, minlength=len(index_of)) + np.bincount(wanted, minlength=len(index_of))
        return float((2 * correct[both > 0] / both[both > 0]).mean())

    return score


def entity_f1_of(predictions: Sequence[Sequence[Any]], references: Sequence[Sequence[Any]]) -> Statistic:
    """Micro F1 of exact spans over the drawn sentences, as `entity_scores`; 0 where there is no span."""
    counts = np.zeros((len(references), 2), np.int64)  # right; predicted and wanted
    for index, (mine, theirs) in enumerate(zip(predictions, references, strict=True)):
        found, there = set(map(tuple, mine)), set(map(tuple, theirs))
        counts[index] = len(found & there), len(found) + len(there)

    def score(drawn: np.ndarray) -> float:
        correct, both = counts[drawn].sum(axis=0).tolist()
        return 2 * correct / both if both else 0.0

    return score


def correlation_of(score: Callable[[Any, Any], float]) -> Callable[[Sequence[Any], Sequence[Any]], Statistic]:
    """`spearman` or `pearson` over the drawn pairs of numbers."""

    def statistic(predictions: Sequence[float], references: Sequence[float]) -> Statistic:
        mine, theirs = np.asarray(predictions, np.float64), np.asarray(references, np.float64)
        return lambda drawn: score(mine[drawn], theirs[drawn])

    return statistic


def mean_of(score: Callable[[str, Sequence[str]], float]) -> Callable[[Sequence[Any], Sequence[Any]], Statistic]:
    """The mean of `character_f1` or `exact_match` over the drawn questions."""

    def statistic(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Statistic:
        each = np.array([score(*pair) for pair in zip(predictions, references, strict=True)], np.float64)
        return lambda drawn: float(each[drawn].mean())

    return statistic


def spans_of_json(spans: Sequence[Sequence[Any]]) -> list[Span]:
    """Spans as tuples, which JSON keeps as lists."""
    return [(start, end, of_type) for start, end, of_type in spans]


@dataclass(frozen=True)
class Metric:
    """What belongs to a main score.

    Attributes:
        scores: (predictions, references) -> all scores of a test part, the main one under the metric's own name.
        statistics: of each score that gets an interval, the main one first: (predictions, references) -> `Statistic`.
        json_types: of a target and of a prediction, as a file of answers keeps them.
        read: an answer as such a file keeps it -> as scores take it. Raises TypeError or ValueError if it is none.
        evaluate_name: this repository's `evaluate` metric that gives the same; "": there is none.
    """

    scores: Callable[[Any, Any], dict[str, Any]]
    statistics: Mapping[str, Callable[[Sequence[Any], Sequence[Any]], Statistic]]
    json_types: tuple[type, type]
    read: Callable[[Any], Any] = lambda answer: answer
    evaluate_name: str = ""


METRICS = {
    "accuracy": Metric(
        classification_scores, {"accuracy": accuracy_of, "macro_f1": macro_f1_of}, (str, str), evaluate_name="accuracy"
    ),
    "f1": Metric(entity_scores, {"f1": entity_f1_of}, (list, list), spans_of_json, "entity_f1"),
    "spearman": Metric(
        similarity_scores, {"spearman": correlation_of(spearman), "pearson": correlation_of(pearson)}, (float, float)
    ),
    "answer_f1": Metric(
        answer_scores, {"answer_f1": mean_of(character_f1), "exact_match": mean_of(exact_match)}, (list, str)
    ),
}


def statistics_of(metric: str, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, Statistic]:
    """The scores of a task that get an interval, the main one first. `metric`: a key of `METRICS`."""
    return {name: make(predictions, references) for name, make in METRICS[metric].statistics.items()}
