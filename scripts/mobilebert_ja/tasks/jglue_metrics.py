"""Scores of JGLUE's tasks that are neither classes nor entities: correlations, and answers compared by character."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np


def pearson(predictions: Sequence[float], references: Sequence[float]) -> float:
    """Pearson's correlation; 0 where one side does not vary."""
    mine, theirs = (np.asarray(each, np.float64) - np.mean(each) for each in (predictions, references))
    scale = np.sqrt((mine @ mine) * (theirs @ theirs))
    return float(mine @ theirs / scale) if scale > 0 else 0.0


def ranks(values: Sequence[float]) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(np.asarray(values, np.float64), return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return (last - (counts - 1) / 2)[place]


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
