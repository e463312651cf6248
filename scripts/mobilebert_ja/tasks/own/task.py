"""A task from a user's own files: read, checked, and split if there is no file for the test part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import require_file
from mobilebert_ja.common.text.encodings import UTF8, encoding_of_name
from mobilebert_ja.inference.decoding import bio_labels
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.tasks.base import Example, Task
from mobilebert_ja.tasks.own.classes import read_classes
from mobilebert_ja.tasks.own.entities import read_entities
from mobilebert_ja.tasks.parts import keep_equal_together, stratified_split, tell_of_repeated

OWN_TASKS = {"classification": Kind.CLASSES, "entities": Kind.ENTITIES}
SETTING_NAMES = ("train_file", "test_file", "text_column", "label_column", "test_share", "encoding")


@dataclass(frozen=True)
class OwnData:
    """The settings that say where a user's own task is read from; named as the flags of finetune.py.

    Attributes:
        task: "classification" (a class per text) or "entities" (character spans in a text).
        encoding: what files are in that are not UTF-8.
        test_share: part of `train_file` that is held out if there is no `test_file`, 0 < test_share < 1.
    """

    task: str
    train_file: Path
    test_file: Path | None
    text_column: str
    label_column: str
    test_share: float
    encoding: str = UTF8

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any]) -> OwnData:
        """From a stage's settings or those in its record. Raises `UserError` if a file is missing."""
        if not settings.get("train_file"):
            raise UserError(f"--task {settings['task']} is for your own data: --train_file names its file.")
        if not 0 < settings["test_share"] < 1:
            raise UserError(f"--test_share must be more than 0 and less than 1, not {settings['test_share']}.")
        test_file = settings.get("test_file")
        return cls(
            settings["task"],
            require_file(settings["train_file"]),
            require_file(test_file) if test_file else None,
            settings["text_column"],
            settings["label_column"],
            settings["test_share"],
            encoding_of_name(settings.get("encoding", UTF8)),  # records made before there was one have none
        )

    @property
    def files(self) -> dict[str, Path]:
        """The files by the setting that names them."""
        return {"train_file": self.train_file} | ({"test_file": self.test_file} if self.test_file else {})

    def load(self, split_seed: int) -> Task:
        """Read and split; the same seed gives the same split on every machine. Raises `UserError` for bad input."""
        return _LOADERS[OWN_TASKS[self.task]](self, split_seed)

    def _classification(self, split_seed: int) -> Task:
        read = [read_classes(path, self.text_column, self.label_column, self.encoding) for path in self.files.values()]
        counts = Counter(example.target for example in read[0])
        labels = sorted(counts)
        if len(labels) < 2:
            raise UserError(f"{self.train_file} has one class only ('{labels[0]}'); at least two are needed.")
        if self.test_file:
            train, test = read
            self._require_known(Counter(example.target for example in test), labels, "label")
        else:
            train, test = self._stratified_split(read[0], counts, split_seed)
        return Task(self.task, Kind.CLASSES, labels, train, test)

    def _entities(self, split_seed: int) -> Task:
        read = [read_entities(path, self.encoding) for path in self.files.values()]
        types = sorted(_types(read[0]))
        if not types:
            raise UserError(f"{self.train_file} has no entity in it; there is nothing to learn.")
        if self.test_file:
            train, test = read
            self._require_known(_types(test), types, "type of entity")
        else:
            if len(read[0]) < 2:
                raise UserError(
                    f"{self.train_file} holds one sentence; to hold some out for the test, two are needed."
                )
            order = np.random.default_rng(split_seed).permutation(len(read[0]))
            size = min(self._held_out(len(read[0])), len(read[0]) - 1)
            train, test = ([read[0][index] for index in part] for part in (order[size:], order[:size]))
            train, test = self._equal_together(train, test, lambda _example: None)
        return Task(self.task, Kind.ENTITIES, bio_labels(types), train, test)

    def _held_out(self, count: int) -> int:
        """`test_share` of `count`, rounded up; in fractions, because 0.2 * 35 > 7."""
        return -int(-count * Fraction(str(self.test_share)) // 1)

    def _stratified_split(
        self, examples: list[Example], counts: Counter[str], split_seed: int
    ) -> tuple[list[Example], list[Example]]:
        """Each class gives its share to the test part, and keeps at least one example for training."""
        single = sorted(name for name, count in counts.items() if count == 1)
        if single:
            raise UserError(
                f"{self.train_file} has one example only of {', '.join(map(repr, single[:5]))}; to hold a share out "
                "for the test, each class needs two (or give a --test_file)."
            )
        train, test = stratified_split(
            examples, lambda example: example.target, self._held_out(len(examples)), split_seed
        )
        return self._equal_together(train, test, lambda example: example.target)

    def _equal_together(
        self, train: list[Example], test: list[Example], label_of: Callable[[Example], Hashable]
    ) -> tuple[list[Example], list[Example]]:
        tell_of_repeated(train + test, self.train_file)
        train, test = keep_equal_together(train, test, label_of)
        if not test:
            raise UserError(
                f"{self.train_file} has too few different texts to hold some out for the test and have "
                "others to learn from; give it more, or a --test_file."
            )
        return train, test

    def _require_known(self, found: Counter[str], known: list[str], what: str) -> None:
        unknown = sorted(found.keys() - set(known))
        if unknown:
            listed = ", ".join(f"'{name}' ({found[name]} times)" for name in unknown[:5])
            raise UserError(f"{self.test_file} has a {what} that {self.train_file} never shows: {listed}.")


def _types(examples: list[Example]) -> Counter[str]:
    return Counter(of_type for example in examples for _, _, of_type in example.target)


_LOADERS = {Kind.CLASSES: OwnData._classification, Kind.ENTITIES: OwnData._entities}
