"""What a task is: examples to train on, examples to be judged by, the label names, and the score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mobilebert_ja.metrics import classification_scores, entity_scores, load_metric


@dataclass(frozen=True)
class Example:
    """A text and its answer: a class name (livedoor) or a list of spans (start, end, type) in characters (ner)."""

    text: str
    target: Any


@dataclass(frozen=True)
class Task:
    """A task, read and split.

    Attributes:
        metric: "accuracy" (one class a text) or "f1" (entities); the key of the main score in what `score` returns.
        labels: what the model's outputs stand for, in order: class names, or BIO tags with "O" first.
        variants: further test sets, by name: the test part with its texts changed.
    """

    name: str
    metric: str
    labels: list[str]
    train: list[Example]
    test: list[Example]
    variants: dict[str, list[Example]] = field(default_factory=dict)

    def score(self, predictions: Sequence[Any]) -> dict[str, Any]:
        """Score predictions for the test part, in its order; see `classification_scores` and `entity_scores`."""
        references = [example.target for example in self.test]
        if self.metric == "accuracy":
            return classification_scores(predictions, references)
        return entity_scores(predictions, references)

    def score_with_evaluate(self, predictions: Sequence[Any]) -> dict[str, Any]:
        """The same scores by way of this repository's `evaluate` metrics."""
        references = [example.target for example in self.test]
        if self.metric == "accuracy":
            return load_metric("accuracy").compute(predictions=list(predictions), references=references)
        return load_metric("entity_f1").compute(
            predictions=[_as_dictionaries(spans) for spans in predictions],
            references=[_as_dictionaries(spans) for spans in references],
        )


def _as_dictionaries(spans: Sequence[Any]) -> list[dict[str, Any]]:
    return [{"start": start, "end": end, "type": kind} for start, end, kind in spans]


def share_rounded_up(count: int, percent: int) -> int:
    """`percent` of `count`, rounded up. In integers: ceil(0.2 * 35) would be 8, because 0.2 * 35 > 7."""
    return -(-count * percent // 100)
