"""What a task is: examples to train on, examples to be judged by, the label names, and the score."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.tasks.jglue_metrics import answer_scores, similarity_scores
from mobilebert_ja.tasks.metrics import classification_scores, entity_scores, load_metric


@dataclass(frozen=True)
class Example:
    """A text and its answer.

    Attributes:
        target: a class name; for entities a list of spans (start, end, type) in characters; in JGLUE also a number
            (jsts) or ((start, answer), ...) (jsquad).
        second: what belongs to the text, in JGLUE: a second sentence, the choices, or the context of a question.
    """

    text: str
    target: Any
    second: Any = None

    @property
    def input(self) -> str | tuple[str, str]:
        """What a model is given: the text, or it and its second sentence."""
        return (self.text, self.second) if isinstance(self.second, str) else self.text

    @property
    def gold(self) -> Any:
        """The target as scores take it: of answers within a context their words alone."""
        return [answer for _, answer in self.target] if isinstance(self.target, tuple) else self.target


SCORES: dict[str, Callable[[Any, Any], dict[str, Any]]] = {
    "accuracy": classification_scores,
    "f1": entity_scores,
    "spearman": similarity_scores,
    "answer_f1": answer_scores,
}
KINDS = {"accuracy": "classes", "f1": "entities", "spearman": "number", "answer_f1": "answers"}


@dataclass(frozen=True)
class Task:
    """A task, read and split.

    Attributes:
        metric: "accuracy" (classes), "f1" (entities), "spearman" (numbers) or "answer_f1" (answers in a context); the
            key of the main score in what `score` returns.
        labels: what the model's outputs stand for, in order: class names, or BIO tags with "O" first.
        variants: further test sets, by name: the test part with its texts changed.
        kind: "classes" | "entities" | "number" | "choices" | "answers": how it is put to a model (see `forms.py`); if
            left open, the one that goes with the metric.
    """

    name: str
    metric: str
    labels: list[str]
    train: list[Example]
    test: list[Example]
    variants: dict[str, list[Example]] = field(default_factory=dict)
    kind: str = ""

    def __post_init__(self) -> None:
        if not self.kind:
            object.__setattr__(self, "kind", KINDS[self.metric])

    def with_train_share(self, share: float, seed: int) -> Task:
        """The same with `share` of the training part, in its order; what a smaller share has, a larger one has too.

        Raises `UserError` unless 0 < share <= 1, and if it leaves one class of several.
        """
        if not 0 < share <= 1:
            raise UserError(f"--train_share must be more than 0 and at most 1, not {share}.")
        kept = np.sort(np.random.default_rng(seed).permutation(len(self.train))[: math.ceil(share * len(self.train))])
        train = [self.train[place] for place in kept]
        if self.kind == "classes" and len({example.target for example in train}) < 2 <= len(self.labels):
            raise UserError(
                f"--train_share {share} leaves {len(train)} of {len(self.train)} training examples, all of one class "
                f"('{train[0].target}'); at least two classes are needed."
            )
        return dataclasses.replace(self, train=train)

    def references(self) -> list[Any]:
        """The right answers of the test part, as scores take them."""
        return [example.gold for example in self.test]

    def score(self, predictions: Sequence[Any]) -> dict[str, Any]:
        """Score predictions for the test part, in its order, by the function in `SCORES`."""
        return SCORES[self.metric](predictions, self.references())

    def score_with_evaluate(self, predictions: Sequence[Any]) -> dict[str, Any]:
        """The same scores by way of this repository's `evaluate` metrics, where there is one."""
        metric = self.evaluate_metric()
        if metric is None:
            return self.score(predictions)
        references = self.references()
        if self.metric == "accuracy":
            return metric.compute(predictions=list(predictions), references=references)
        return metric.compute(
            predictions=[_as_dictionaries(spans) for spans in predictions],
            references=[_as_dictionaries(spans) for spans in references],
        )

    def evaluate_metric(self) -> Any:
        """This repository's `evaluate` metric for the task; None if there is none (JGLUE's numbers and answers)."""
        name = {"accuracy": "accuracy", "f1": "entity_f1"}.get(self.metric)
        return None if name is None else load_metric(name)


def _as_dictionaries(spans: Sequence[Any]) -> list[dict[str, Any]]:
    return [{"start": start, "end": end, "type": kind} for start, end, kind in spans]


def share_rounded_up(count: int, percent: int) -> int:
    """`percent` of `count`, rounded up. In integers: ceil(0.2 * 35) would be 8, because 0.2 * 35 > 7."""
    return -(-count * percent // 100)
