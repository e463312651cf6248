"""Exact-match F1 of entities: plain functions of character spans.

They stand beside the metric because `evaluate` copies its script and the files next to that, and nothing else;
`mobilebert_ja.tasks.metrics` has them for everybody else. The first two are also in `class_scores` of the other
metric; a test compares them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

Span = tuple[int, int, str]  # [start, end) in characters, and the type of the entity


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
    require_same_length(predictions, references)
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
