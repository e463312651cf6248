"""What the two parts of a task have in common and what one of them lacks: a score speaks of new texts and of every
class only if equal texts stand in one part and each class in both."""

from __future__ import annotations

import dataclasses
import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable
from typing import Any

import numpy as np

from mobilebert_ja.common.errors import warn
from mobilebert_ja.common.text.normalization import nfkc
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.tasks.base import Example, Task
from mobilebert_ja.tasks.public.livedoor import stratified_test_sizes

_SHOWN = 5  # names in one warning


def what_is_read(example: Example) -> Hashable:
    """Equal for texts that a model cannot tell apart: width of letters and kind of white space are left out."""
    return _plain(example.input)


def _plain(value: Any) -> Hashable:
    if isinstance(value, str):
        return " ".join(nfkc(value).split())
    return tuple(map(_plain, value))


def stratified_split(
    examples: list[Example], label_of: Callable[[Example], Any], test_size: int, seed: int
) -> tuple[list[Example], list[Example]]:
    """(train, test): each label gives its share to the test part, and keeps at least one example for training."""
    by_label: dict[Any, list[Example]] = defaultdict(list)
    for example in examples:
        by_label[label_of(example)].append(example)
    sizes = stratified_test_sizes({name: len(members) for name, members in by_label.items()}, test_size)
    generator = np.random.default_rng(seed)
    train: list[Example] = []
    test: list[Example] = []
    for name in sorted(by_label):
        members = by_label[name]
        shuffled = [members[index] for index in generator.permutation(len(members))]
        size = min(sizes[name], len(members) - 1)
        test += shuffled[:size]
        train += shuffled[size:]
    return train, test


def held_out_of_training(task: Task, share: float, seed: int) -> Task:
    """The training part alone as a task of its own: `share` of it is the test part, drawn with `seed`.

    For choices that must not look at the test part, which is set aside. Equal texts are in one part; each class keeps
    an example to learn from. The test part may be empty, if there are too few texts.
    """

    def label_of(example: Example) -> str:
        return str(example.target) if task.kind is Kind.CLASSES else ""

    size = math.ceil(share * len(task.train))
    train, test = keep_equal_together(*stratified_split(task.train, label_of, size, seed), label_of)
    aside = [*task.test, *(example for variant in task.variants.values() for example in variant)]
    return dataclasses.replace(task, train=train, test=test, variants={}, set_aside=aside)


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
        for label in map(label_of, examples):
            sizes[to_test][label] += 1
            sizes[not to_test][label] -= 1

    def leaves_all_labels(text: Hashable) -> bool:
        labels = Counter(map(label_of, parts[False][text]))
        return all(sizes[False][label] > count for label, count in labels.items())

    for text in [text for text in parts[True] if text in parts[False]]:
        label = label_of(parts[True][text][0])
        surplus = sizes[True][label] - wanted[label]
        less = abs(surplus + len(parts[False][text])) < abs(surplus - len(parts[True][text]))
        move(text, to_test=less and leaves_all_labels(text))
    of_one_label: dict[Hashable, list[Hashable]] = defaultdict(list)
    for text, examples in parts[False].items():
        labels = set(map(label_of, examples))
        if len(labels) == 1:
            of_one_label[labels.pop()].append(text)
    for label in [label for label in wanted if not sizes[True][label]]:
        texts = [text for text in of_one_label[label] if leaves_all_labels(text)]
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


def tell_of_parts(task: Task, test_file: bool = False) -> None:
    """Say on standard error which texts stand in both parts or have several answers, and what one part lacks.

    Args:
        test_file: whether the test part is a file of its own, which no other split changes.
    """
    learned_answers, answers = _answers(task.train), _answers([*task.train, *task.test])
    both = [example for example in task.test if what_is_read(example) in learned_answers]
    if both:
        other = sum(repr(example.target) not in learned_answers[what_is_read(example)] for example in both)
        warn(
            f"{len(both)} of {len(task.test)} texts of the test part stand in the training part too, {other} of them "
            "with another answer; the score is not of new texts alone"
        )
    several = sum(len(each) > 1 for each in answers.values())
    if several:
        warn(f"texts with more than one answer: {several}; no model can give them all")
    learned, tested = (_names(task.kind, part) for part in (task.train, task.test))
    for names in _look_alikes(learned | tested):
        warn(f"names that look alike are learned as different ones: {' and '.join(map(_spelled, names))}")
    if tested - learned:  # nobody's mistake: a rare one fell to the test part, or --train_share left it out
        remedy = "another --split_seed, a larger --train_share or a --test_file splits otherwise"
        remedy = "rows of it in the training file, or a larger --train_share, would help" if test_file else remedy
        warn(f"{_listed(tested - learned)}: in the held-out part only, so it cannot be learned; {remedy}")
    if learned - tested:
        remedy = "a larger --test_share, another --split_seed or a --test_file gives it some"
        remedy = "rows of it in the --test_file would help" if test_file else remedy
        warn(f"{_listed(learned - tested)}: no example in the test part, so the score says nothing about it; {remedy}")


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


def _look_alikes(names: set[str]) -> list[list[str]]:
    """Names that differ in what is hardly seen: how ガ is composed, width, and characters that have no shape."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        alike[_HIDDEN.sub("", nfkc(name))].append(name)
    return [names for names in alike.values() if len(names) > 1]


_HIDDEN = re.compile(
    "[\\s\ufe00-\ufe0f\U000e0100-\U000e01ef"  # white space, variation selectors
    + "".join(re.escape(chr(code)) for code in range(0x110000) if unicodedata.category(chr(code)) == "Cf")
    + "]"
)


def _spelled(name: str) -> str:
    return f"'{name}' ({' '.join(f'U+{ord(char):04X}' for char in name)})"


def tell_of_repeated(examples: list[Example], where: object) -> None:
    """Say how many texts stand more than once in a file that is split here."""
    repeated = [len(each) for each in _by_text(examples).values() if len(each) > 1]
    if repeated:
        warn(
            f"{len(repeated)} texts stand in {where} more than once, {sum(repeated)} rows in all; equal texts are "
            "kept in one part"
        )


def _listed(names: Collection[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:_SHOWN]) + (f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")
