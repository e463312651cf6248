"""A model's answers for a test part: made, scored, also with its texts changed, and kept in a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mobilebert_ja.files import write_json
from mobilebert_ja.tasks.base import Example, Task

# (examples, what they are, for a progress bar) -> answers in their order
AnswerFunction = Callable[[Sequence[Example], str], list[Any]]


def answer_and_score(
    task: Task, answer: AnswerFunction, score: Callable[[Sequence[Any]], dict[str, Any]]
) -> tuple[list[Any], dict[str, Any]]:
    """Answers for the test part and all their scores. In a variant only the changed texts are answered again.

    Args:
        score: `task.score` or `task.score_with_evaluate`.
    """
    predictions = answer(task.test, "test part")
    details = score(predictions)
    for name, variant in task.variants.items():
        changed = [place for place, example in enumerate(variant) if example.text != task.test[place].text]
        answers = list(predictions)
        again = answer([variant[place] for place in changed], name) if changed else []
        for place, each in zip(changed, again, strict=True):
            answers[place] = each
        details[name] = {task.metric: task.score(answers)[task.metric], "changed": len(changed)}
    return predictions, details


def write_answers(path: Path, run: dict[str, Any], task: Task, predictions: Sequence[Any]) -> None:
    """{"run": what the record says of the run, "test": [{"text", "target", "prediction"}]}, atomically.

    With "second" beside "text" where an example has one.
    """
    answers = [
        {"text": example.text, **_second(example), "target": example.gold, "prediction": prediction}
        for example, prediction in zip(task.test, predictions, strict=True)
    ]
    write_json(path, {"run": run, "test": answers})


def _second(example: Example) -> dict[str, Any]:
    return {} if example.second is None else {"second": example.second}
