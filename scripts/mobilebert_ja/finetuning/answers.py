"""A model's answers for a test part: made, scored, also with its texts changed, and kept in a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mobilebert_ja.common.files import write_json
from mobilebert_ja.tasks.base import Example, Task

# (examples, what they are, for a progress bar) -> answers in their order
AnswerFunction = Callable[[Sequence[Example], str], list[Any]]


@dataclass(frozen=True)
class Answered:
    """A test part with its answers.

    Attributes:
        predictions: in its order.
        details: all their scores, and those of its variants by name.
        variants: of each variant by name the answers to the texts that it changes, by their index in the test part.
    """

    predictions: list[Any]
    details: dict[str, Any] = field(default_factory=dict)
    variants: dict[str, dict[int, Any]] = field(default_factory=dict)


def answer_and_score(task: Task, answer: AnswerFunction, score: Callable[[Sequence[Any]], dict[str, Any]]) -> Answered:
    """Answer the test part and score it. In a variant only the changed texts are answered again.

    Args:
        score: `task.score` or `task.score_with_evaluate`.
    """
    predictions = answer(task.test, "test part")
    details = score(predictions)
    variants = {}
    for name, variant in task.variants.items():
        changed = [index for index, example in enumerate(variant) if example.text != task.test[index].text]
        again = answer([variant[index] for index in changed], name) if changed else []
        variants[name] = dict(zip(changed, again, strict=True))
        answers = [variants[name].get(index, each) for index, each in enumerate(predictions)]
        details[name] = {task.metric: task.score(answers)[task.metric], "changed": len(changed)}
    return Answered(predictions, details, variants)


def write_answers(path: Path, run: dict[str, Any], task: Task, answered: Answered) -> None:
    """{"run": what the record says of the run, "test": [{"text", "target", "prediction"}]}, atomically.

    With "second" beside "text" where an example has one, and with "text_NAME" and "prediction_NAME" where the variant
    NAME of the test part changes the text; elsewhere the answer to the variant is "prediction".
    """
    items = []
    for index, (example, prediction) in enumerate(zip(task.test, answered.predictions, strict=True)):
        item = {"text": example.text, **_second(example), "target": example.gold, "prediction": prediction}
        for name, answers in answered.variants.items():
            if index in answers:
                item |= {f"text_{name}": task.variants[name][index].text, f"prediction_{name}": answers[index]}
        items.append(item)
    write_json(path, {"run": run, "test": items})


def _second(example: Example) -> dict[str, Any]:
    return {} if example.second is None else {"second": example.second}
