"""What a task is: examples to train on, examples to be judged by, the label names, and the score."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.inference.kinds import KINDS, Kind
from mobilebert_ja.tasks.metrics import METRICS, load_metric


@dataclass(frozen=True)
class Example:
    """A text and its answer.

    Attributes:
        target: a class name; for entities a list of spans (start, end, type) in characters; in JGLUE also a number
            (jsts) or ((start, answer), ...) (jsquad).
        second: what belongs to the text, in JGLUE: a second sentence, the choices (a tuple), or a question's context.
    """

    text: str
    target: Any
    second: Any = None

    @property
    def input(self) -> Any:
        """What a model is given: the text, or the text and what belongs to it."""
        return self.text if self.second is None else (self.text, self.second)

    @property
    def gold(self) -> Any:
        """The target as scores take it: of answers within a context their words alone."""
        return [answer for _, answer in self.target] if isinstance(self.target, tuple) else self.target


@dataclass(frozen=True)
class Task:
    """A task, read and split.

    Attributes:
        kind: what it asks of a model.
        labels: what the model's outputs stand for, in order: class names, or BIO tags with "O" first.
        variants: further test sets, by name: the test part with its texts changed.
        set_aside: the true test part where another stands in its place; nothing is learned from its texts either.
    """

    name: str
    kind: Kind
    labels: list[str]
    train: list[Example]
    test: list[Example]
    variants: dict[str, list[Example]] = field(default_factory=dict)
    set_aside: list[Example] = field(default_factory=list)

    @property
    def metric(self) -> str:
        """The key of the main score in what `score` returns: "accuracy", "f1", "spearman" or "answer_f1"."""
        return KINDS[self.kind].metric

    def with_train_share(self, share: float, seed: int) -> Task:
        """The same with `share` of the training part, in its order; what a smaller share has, a larger one has too.

        Raises `UserError` unless 0 < share <= 1, and if it leaves one class of several.
        """
        if not 0 < share <= 1:
            raise UserError(f"--train_share must be more than 0 and at most 1, not {share}.")
        kept = np.sort(np.random.default_rng(seed).permutation(len(self.train))[: math.ceil(share * len(self.train))])
        train = [self.train[index] for index in kept]
        if self.kind is Kind.CLASSES and len({example.target for example in train}) < 2 <= len(self.labels):
            raise UserError(
                f"--train_share {share} leaves {len(train)} of {len(self.train)} training examples, all of one class "
                f"('{train[0].target}'); at least two classes are needed."
            )
        return dataclasses.replace(self, train=train)

    def references(self) -> list[Any]:
        """The right answers of the test part, as scores take them."""
        return [example.gold for example in self.test]

    def score(self, predictions: Sequence[Any]) -> dict[str, Any]:
        """Score predictions for the test part, in its order."""
        return METRICS[self.metric].scores(predictions, self.references())

    def score_with_evaluate(self, predictions: Sequence[Any]) -> dict[str, Any]:
        """The same scores by way of this repository's `evaluate` metrics, where there is one."""
        metric = self.evaluate_metric()
        if metric is None:
            return self.score(predictions)
        references = self.references()
        if self.kind is Kind.ENTITIES:
            predictions, references = (
                [_as_dictionaries(spans) for spans in column] for column in (predictions, references)
            )
        return metric.compute(predictions=list(predictions), references=references)

    def evaluate_metric(self) -> Any:
        """This repository's `evaluate` metric for the task; None if there is none (JGLUE's numbers and answers)."""
        name = METRICS[self.metric].evaluate_name
        return load_metric(name) if name else None


def _as_dictionaries(spans: Sequence[Any]) -> list[dict[str, Any]]:
    return [{"start": start, "end": end, "type": of_type} for start, end, of_type in spans]


def share_rounded_up(count: int, percent: int) -> int:
    """`percent` of `count`, rounded up. In integers: ceil(0.2 * 35) would be 8, because 0.2 * 35 > 7."""
    return -(-count * percent // 100)
