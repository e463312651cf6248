"""A model's answers for a test part: made, scored, also with its texts changed, and kept in a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mobilebert_ja.files import write_json
from mobilebert_ja.tasks.base import Task


def answer_and_score(
    task: Task, predict: Callable[[list[str], str], list[Any]], score: Callable[[Sequence[Any]], dict[str, Any]]
) -> tuple[list[Any], dict[str, Any]]:
    """Answers for the test part and all their scores. In a variant only the changed texts are answered again.

    Args:
        predict: (texts, what they are, for a progress bar) -> answers in the order of the texts.
        score: `task.score` or `task.score_with_evaluate`.
    """
    predictions = predict([example.text for example in task.test], "test part")
    details = score(predictions)
    for name, variant in task.variants.items():
        changed = [place for place, example in enumerate(variant) if example.text != task.test[place].text]
        answers = list(predictions)
        texts = [variant[place].text for place in changed]
        for place, answer in zip(changed, predict(texts, name), strict=True):
            answers[place] = answer
        details[name] = {task.metric: task.score(answers)[task.metric], "changed": len(changed)}
    return predictions, details


def write_answers(path: Path, run: dict[str, Any], task: Task, predictions: Sequence[Any]) -> None:
    """{"run": what the record says of the run, "test": [{"text", "target", "prediction"}]}, atomically."""
    answers = [
        {"text": example.text, "target": example.target, "prediction": prediction}
        for example, prediction in zip(task.test, predictions, strict=True)
    ]
    write_json(path, {"run": run, "test": answers})
