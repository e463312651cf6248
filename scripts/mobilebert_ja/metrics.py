"""Scores as plain functions: accuracy, macro F1, exact-match F1 of entities. No torch, no downloads.

The same functions stand behind two metrics for `evaluate.load`, in the folders below `evaluate_metrics/`.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

Span = tuple[int, int, str]  # [start, end) in characters, and the type of the entity

METRICS_FOLDER = Path(__file__).resolve().parent / "evaluate_metrics"


def _require_same_length(predictions: Sequence[Any], references: Sequence[Any]) -> None:
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions for {len(references)} references")
    if not references:
        raise ValueError("there is nothing to score")


def precision_recall_f1(correct: int, predicted: int, wanted: int) -> dict[str, float | int]:
    """Precision, recall, their harmonic mean, and the number wanted ("support"). A share of nothing is 0."""
    precision = correct / predicted if predicted else 0.0
    recall = correct / wanted if wanted else 0.0
    f1 = 2 * correct / (predicted + wanted) if predicted + wanted else 0.0
    return {"precision": precision, "recall": recall, "f1": f1, "support": wanted}


def accuracy(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Share of predictions that equal their reference. Raises ValueError for different lengths or no items."""
    _require_same_length(predictions, references)
    return sum(mine == theirs for mine, theirs in zip(predictions, references, strict=True)) / len(references)


def per_class_scores(predictions: Sequence[str], references: Sequence[str]) -> dict[str, dict[str, float | int]]:
    """Precision, recall and F1 of every class that was wanted or predicted, by name."""
    _require_same_length(predictions, references)
    predicted, wanted = Counter(predictions), Counter(references)
    correct = Counter(mine for mine, theirs in zip(predictions, references, strict=True) if mine == theirs)
    return {
        name: precision_recall_f1(correct[name], predicted[name], wanted[name])
        for name in sorted(predicted.keys() | wanted.keys())
    }


def macro_f1(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Mean F1 over the classes that were wanted or predicted (as `f1_score(average="macro")` of scikit-learn)."""
    return statistics.fmean(scores["f1"] for scores in per_class_scores(predictions, references).values())


def confusion_counts(predictions: Sequence[str], references: Sequence[str]) -> dict[str, dict[str, int]]:
    """{wanted: {predicted: how often}}; pairs that never occur are left out. Its diagonal is what was right."""
    _require_same_length(predictions, references)
    counts = Counter(zip(references, predictions, strict=True))
    return {
        wanted: {mine: count for (theirs, mine), count in sorted(counts.items()) if theirs == wanted}
        for wanted in sorted(set(references))
    }


def classification_scores(predictions: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """{"accuracy", "macro_f1", "per_class": {class: {"precision", "recall", "f1", "support"}}, "confusion"}"""
    return {
        "accuracy": accuracy(predictions, references),
        "macro_f1": macro_f1(predictions, references),
        "per_class": per_class_scores(predictions, references),
        "confusion": confusion_counts(predictions, references),
    }


def _as_span(span: Sequence[Any]) -> Span:
    start, end, kind = span  # a list, if it comes from JSON
    return start, end, kind


def entity_scores(predictions: Sequence[Sequence[Span]], references: Sequence[Sequence[Span]]) -> dict[str, Any]:
    """Exact-match scores of entities: start, end and type must all be right, as conlleval and seqeval count.

    Args:
        predictions, references: for each sentence its spans, in any order. A span that is predicted twice in a
            sentence counts once.

    Returns:
        {"f1", "precision", "recall", "support"} over all entities (micro average), and the same by type in "per_type".
    """
    _require_same_length(predictions, references)
    correct: Counter[str] = Counter()
    predicted: Counter[str] = Counter()
    wanted: Counter[str] = Counter()
    for mine, theirs in zip(predictions, references, strict=True):
        found, there = set(map(_as_span, mine)), set(map(_as_span, theirs))
        correct.update(kind for _, _, kind in found & there)
        predicted.update(kind for _, _, kind in found)
        wanted.update(kind for _, _, kind in there)
    return {
        **precision_recall_f1(correct.total(), predicted.total(), wanted.total()),
        "per_type": {
            kind: precision_recall_f1(correct[kind], predicted[kind], wanted[kind])
            for kind in sorted(predicted.keys() | wanted.keys())
        },
    }


def mean_and_std(scores: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (n - 1); the latter is None for a single score."""
    return statistics.fmean(scores), statistics.stdev(scores) if len(scores) > 1 else None


@cache
def load_metric(name: str) -> Any:
    """The `evaluate` metric "accuracy" or "entity_f1" of this repository; needs no network."""
    import evaluate  # several seconds to import: only whoever scores through it pays

    return evaluate.load(str(METRICS_FOLDER / name), keep_in_memory=True)  # no lock file shared between two runs
