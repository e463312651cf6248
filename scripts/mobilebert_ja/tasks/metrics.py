"""Scores as plain functions: accuracy, macro F1, exact-match F1 of entities. No torch, no downloads.

The arithmetic stands beside two metrics for `evaluate.load`, in the folders below `evaluate_metrics/`: what evaluate
loads must do without this package.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mobilebert_ja.evaluate_metrics.accuracy.class_scores import (
    accuracy,
    classification_scores,
    confusion_counts,
    macro_f1,
    per_class_scores,
)
from mobilebert_ja.evaluate_metrics.entity_f1.span_scores import Span, entity_scores

METRICS_FOLDER = Path(__file__).resolve().parents[1] / "evaluate_metrics"
__all__ = [
    "METRICS_FOLDER",
    "Span",
    "accuracy",
    "classification_scores",
    "confusion_counts",
    "entity_scores",
    "load_metric",
    "macro_f1",
    "mean_and_std",
    "per_class_scores",
]


def mean_and_std(scores: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (n - 1); the latter is None for a single score."""
    return statistics.fmean(scores), statistics.stdev(scores) if len(scores) > 1 else None


@cache
def load_metric(name: str) -> Any:
    """The `evaluate` metric "accuracy" or "entity_f1" of this repository; needs no network."""
    import evaluate  # several seconds to import: only whoever scores through it pays

    return evaluate.load(str(METRICS_FOLDER / name), keep_in_memory=True)  # no lock file shared between two runs
