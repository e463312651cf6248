"""Silver answers: what a teacher says of texts that nobody labelled, as JSON Lines that one can read and correct.

    {"text": "...", "probabilities": {"良い": 0.9, "悪い": 0.1}}     classes; those of probability 0 may be left out
    {"text": "...", "label": "良い"}                                 the same from whoever is sure
    {"text": "...", "label": "良い", "confidence": 0.9}              or nearly so
    {"text": "田中は京都へ", "entities": [{"span": [0, 2], "type": "人名", "confidence": 0.98}],
     "outside": [{"span": [3, 5], "confidence": 0.6}]}               entities, and what may have been overlooked

A confidence that is not given is 1. Teachers write down as "outside" where they are not quite sure of no entity.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.text.encodings import UTF8
from mobilebert_ja.inference.decoding import Span, entity_types
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.tasks.public.ner import spans_of_item
from mobilebert_ja.tasks.text_files import json_lines, require_text

_DIGITS = 4  # of a probability in the file
_TOLERANCE = 0.02  # by which the sum of probabilities may miss 1: they are rounded, or somebody's estimates


class Silver(Protocol):
    """What a teacher says of one text."""

    @property
    def text(self) -> str: ...

    def is_sure(self, least: float) -> bool:
        """Whether anything of it has at least this confidence."""
        ...

    def as_item(self, labels: Sequence[str]) -> dict[str, Any]:
        """Its line in the file."""
        ...


@dataclass(frozen=True)
class SilverClass:
    """A probability for each class, in the order of the task's labels."""

    text: str
    probabilities: tuple[float, ...]

    def is_sure(self, least: float) -> bool:
        return max(self.probabilities) >= least

    def as_item(self, labels: Sequence[str]) -> dict[str, Any]:
        ranked = sorted(zip(labels, self.probabilities, strict=True), key=lambda pair: -pair[1])
        # Of hundreds of classes, what each loses adds up to more than the sum may miss.
        digits = max(_DIGITS, math.ceil(math.log10(len(labels) / _TOLERANCE)))
        rounded = {label: round(probability, digits) for label, probability in ranked}
        return {"text": self.text, "probabilities": {label: each for label, each in rounded.items() if each}}


@dataclass(frozen=True)
class SilverSpans:
    """Entities, each with a confidence, and stretches (start, end) outside of them with that of there being none."""

    text: str
    entities: tuple[tuple[Span, float], ...]
    outside: tuple[tuple[tuple[int, int], float], ...] = ()

    def unsure(self, least: float) -> list[tuple[int, int]]:
        """The stretches of the text, in characters, of which the teacher is not sure enough."""
        said = [((start, end), confidence) for (start, end, _), confidence in self.entities]
        return sorted(stretch for stretch, confidence in (*said, *self.outside) if confidence < least)

    def is_sure(self, least: float) -> bool:
        unsure = {index for start, end in self.unsure(least) for index in range(start, end)}
        return any(not letter.isspace() and index not in unsure for index, letter in enumerate(self.text))

    def as_item(self, labels: Sequence[str]) -> dict[str, Any]:
        entities = [
            {
                "name": self.text[start:end],
                "span": [start, end],
                "type": of_type,
                "confidence": round(confidence, _DIGITS),
            }
            for (start, end, of_type), confidence in self.entities
        ]
        outside = [
            {"name": self.text[start:end], "span": [start, end], "confidence": round(confidence, _DIGITS)}
            for (start, end), confidence in self.outside
        ]
        return {"text": self.text, "entities": entities, **({"outside": outside} if outside else {})}


def silver_line(answer: Silver, labels: Sequence[str]) -> str:
    """An answer as a line of the file."""
    return json.dumps(answer.as_item(labels), ensure_ascii=False) + "\n"


def read_silver(path: Path, kind: Kind, labels: Sequence[str], encoding: str | None = UTF8) -> list[Silver]:
    """The answers in a file, in its order.

    Args:
        kind: of the task; one of `READERS`.
        labels: of the task.
        encoding: what the file is in if it is not UTF-8; None: no flag tells.

    Raises `UserError` naming file and line for whatever is no answer to such a task.
    """
    answers = []
    for number, item in json_lines(path, encoding):
        where = f"{path}, line {number}"
        if not isinstance(item.get("text"), str):
            raise UserError(f'{where}: there must be a "text" in words.')
        require_text(item["text"], where, "text")
        try:
            answers.append(READERS[kind](item, labels))
        except ValueError as error:
            raise UserError(f"{where}: {error}.") from None
    return answers


def _class_of_item(item: dict[str, Any], labels: Sequence[str]) -> Silver:
    given = item.get("probabilities")
    if (given is None) == (item.get("label") is None):
        raise ValueError('there must be either "probabilities" or a "label"')
    if given is None:
        given = _of_label(item, labels)
    if not isinstance(given, dict) or not given:
        raise ValueError('"probabilities" must be an object with a number for each class')
    _require_known(given, labels, "class")
    values = [_share(given.get(label, 0.0), f"the probability of '{label}'") for label in labels]
    total = sum(values)
    if abs(total - 1) > _TOLERANCE:
        raise ValueError(f"the probabilities add up to {total:.3f}, not to 1")
    return SilverClass(item["text"], tuple(value / total for value in values))


def _of_label(item: dict[str, Any], labels: Sequence[str]) -> dict[str, float]:
    """All probability for the label, or, beside a confidence, what is left of it evenly for the others."""
    label = item["label"]
    if isinstance(label, bool) or not isinstance(label, str | int | float):
        raise ValueError('the "label" must be a name or a number')
    name = str(label).strip()  # as those of labelled examples are read
    _require_known([name], labels, "class")
    confidence = _share(item.get("confidence", 1.0), "the confidence")
    rest = (1 - confidence) / max(1, len(labels) - 1)
    return {each: confidence if each == name else rest for each in labels}


def _spans_of_item(item: dict[str, Any], labels: Sequence[str]) -> Silver:
    spans = spans_of_item(item)
    _require_known([of_type for _, _, of_type in spans], entity_types(labels), "type of entity")
    confidences = {tuple(each["span"]): _confidence(each) for each in item["entities"]}
    outside = item.get("outside", [])
    if not isinstance(outside, list):
        raise ValueError('"outside" must be a list')
    # The same form but for a type, which there is none of.
    stretches = spans_of_item(item | {"entities": [_with_type(each) for each in outside]})
    doubts = {tuple(each["span"]): _confidence(each) for each in outside}
    return SilverSpans(
        item["text"],
        tuple((span, confidences[span[:2]]) for span in spans),
        tuple((stretch[:2], doubts[stretch[:2]]) for stretch in stretches),
    )


def _with_type(stretch: Any) -> Any:
    return {**stretch, "type": "outside"} if isinstance(stretch, dict) else stretch


def _confidence(entity: dict[str, Any]) -> float:
    return _share(entity.get("confidence", 1.0), f"the confidence of the span {entity['span']}")


def _share(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{what} must be a number from 0 to 1")
    return float(value)


def _require_known(names: Any, known: Sequence[str], what: str) -> None:
    for name in names:
        if name not in known:
            shown = ", ".join(known[:5]) + (", ..." if len(known) > 5 else "")
            raise ValueError(f"'{name}' is no {what} of the task, which has {shown}")


READERS: dict[Kind, Callable[[dict[str, Any], Sequence[str]], Silver]] = {
    Kind.CLASSES: _class_of_item,
    Kind.ENTITIES: _spans_of_item,
}


def draw(answers: Sequence[Silver], share: float, seed: int) -> list[Silver]:
    """`share` of the answers, rounded up, in their order; what a smaller share has, a larger one has too."""
    kept = np.random.default_rng(seed).permutation(len(answers))[: math.ceil(share * len(answers))]
    return [answers[index] for index in np.sort(kept)]
