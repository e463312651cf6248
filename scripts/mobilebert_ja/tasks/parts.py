"""What the two parts of a task have in common and what one of them lacks: a score speaks of new texts and of every
class only if equal texts stand in one part and each class in both."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable
from typing import Any

from mobilebert_ja.common.normalization import nfkc
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.tasks.base import Example, Task

_SHOWN = 5  # names in one warning


def what_is_read(example: Example) -> Hashable:
    """Equal for texts that a model cannot tell apart: width of letters and kind of white space are left out."""
    return _plain(example.input)


def _plain(value: Any) -> Hashable:
    if isinstance(value, str):
        return " ".join(nfkc(value).split())
    return tuple(map(_plain, value))


def keep_equal_together(
    train: list[Example], test: list[Example], label_of: Callable[[Example], Hashable]
) -> tuple[list[Example], list[Example]]:
    """The same split, but equal texts of both parts are in one: the one that keeps the size of the test part.

    Each label keeps an example for training, and for the test too if it had one and has another text to give. Parts
    without equal texts stay as they are.
    """
    parts = {True: _by_text(test), False: _by_text(train)}  # whether it is the test part
    sizes = {each: Counter(map(label_of, part)) for each, part in ((True, test), (False, train))}
    wanted = sizes[True].copy()

    def move(text: Hashable, to_test: bool) -> None:
        examples = parts[not to_test].pop(text)
        parts[to_test].setdefault(text, []).extend(examples)
        labels = Counter(map(label_of, examples))
        sizes[to_test] += labels
        sizes[not to_test] -= labels

    def leaves_all_labels(text: Hashable) -> bool:
        labels = Counter(map(label_of, parts[False][text]))
        return all(sizes[False][label] > count for label, count in labels.items())

    for text in [text for text in parts[True] if text in parts[False]]:
        label = label_of(parts[True][text][0])
        surplus = sizes[True][label] - wanted[label]
        less = abs(surplus + len(parts[False][text])) < abs(surplus - len(parts[True][text]))
        move(text, to_test=less and leaves_all_labels(text))
    for label in [label for label in wanted if not sizes[True][label]]:
        texts = [
            text
            for text, examples in parts[False].items()
            if all(label_of(example) == label for example in examples) and leaves_all_labels(text)
        ]
        if texts:
            move(min(texts, key=lambda text: len(parts[False][text])), to_test=True)
    return (
        [example for example in (*train, *test) if what_is_read(example) in parts[False]],
        [example for example in (*test, *train) if what_is_read(example) in parts[True]],
    )


def _by_text(examples: list[Example]) -> dict[Hashable, list[Example]]:
    grouped: dict[Hashable, list[Example]] = {}
    for example in examples:
        grouped.setdefault(what_is_read(example), []).append(example)
    return grouped


def tell_of_parts(task: Task) -> None:
    """Say on standard error which texts stand in both parts or have several answers, and what one part lacks."""
    learned_answers, answers = _answers(task.train), _answers([*task.train, *task.test])
    both = [example for example in task.test if what_is_read(example) in learned_answers]
    if both:
        other = sum(repr(example.target) not in learned_answers[what_is_read(example)] for example in both)
        _warn(
            f"{len(both)} of {len(task.test)} texts of the test part stand in the training part too, {other} of them "
            "with another answer; the score is not of new texts alone"
        )
    several = sum(len(each) > 1 for each in answers.values())
    if several:
        _warn(f"texts with more than one answer: {several}; no model can give them all")
    learned, tested = (_names(task.kind, part) for part in (task.train, task.test))
    if tested - learned:  # nobody's mistake: a rare one fell to the test part, or --train_share left it out
        _warn(
            f"{_listed(tested - learned)}: in the held-out part only, so it cannot be learned; another --split_seed, "
            "a larger --train_share or a --test_file splits otherwise"
        )
    if learned - tested:
        _warn(
            f"{_listed(learned - tested)}: no example in the test part, so the score says nothing about it; a larger "
            "--test_share, another --split_seed or a --test_file gives it some"
        )


def _answers(examples: list[Example]) -> dict[Hashable, set[str]]:
    answers: dict[Hashable, set[str]] = defaultdict(set)
    for example in examples:
        answers[what_is_read(example)].add(repr(example.target))
    return answers


def _names(kind: Kind, examples: list[Example]) -> set[str]:
    """The classes or types that examples show."""
    if kind is Kind.ENTITIES:
        return {of_type for example in examples for _, _, of_type in example.target}
    return {example.target for example in examples} if kind is Kind.CLASSES else set()


def tell_of_repeated(examples: list[Example], where: object) -> None:
    """Say how many texts stand more than once in a file that is split here."""
    repeated = [len(each) for each in _by_text(examples).values() if len(each) > 1]
    if repeated:
        _warn(
            f"{len(repeated)} texts stand in {where} more than once, {sum(repeated)} rows in all; equal texts are "
            "kept in one part"
        )


def _listed(names: Collection[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:_SHOWN]) + (f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")


def _warn(words: str) -> None:
    print(f"warning: {words}", file=sys.stderr)
