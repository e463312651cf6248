"""Accuracy, scores by class, confusion counts: plain functions of class names.

They stand beside the metric because `evaluate` copies its script and the files next to that, and nothing else;
`mobilebert_ja.tasks.metrics` has them for everybody else.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any


def require_same_length(predictions: Sequence[Any], references: Sequence[Any]) -> None:
    """Raise ValueError for different lengths or no items."""
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
    require_same_length(predictions, references)
    return sum(mine == theirs for mine, theirs in zip(predictions, references, strict=True)) / len(references)


def per_class_scores(predictions: Sequence[str], references: Sequence[str]) -> dict[str, dict[str, float | int]]:
    """Precision, recall and F1 of every class that was wanted or predicted, by name."""
    require_same_length(predictions, references)
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
    require_same_length(predictions, references)
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
