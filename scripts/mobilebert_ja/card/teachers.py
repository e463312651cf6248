"""Who answered the texts that nobody labelled: the records of models that learned it, and their teachers in words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from mobilebert_ja.card.names import CLASSICAL, IN_ENGLISH, METHODS, SILVER, WITH_MORE
from mobilebert_ja.card.values import fine_tunings
from mobilebert_ja.common.records import recorded_fingerprint
from mobilebert_ja.settings import comma_separated


def silver_endings(records: dict[str, Any], task: str) -> list[str]:
    """What stands behind the task in the names of the records of models that learned teachers' answers: first the one
    that the pages lead with, `SILVER`, then those that other teachers or other texts made, `SILVER-...`."""
    return sorted(name.removeprefix(task) for name in records if re.fullmatch(rf"{task}{SILVER}(-.+)?", name))


@dataclass(frozen=True)
class Teacher:
    """Who answered the texts that a model learned from.

    Attributes:
        name: the ending of a record's name, "" for the plain model itself; of others what the command called them.
        runs: how many models of it answered, one per seed.
    """

    name: str
    runs: int = 1

    @property
    def in_japanese(self) -> str:
        titles: dict[str, str] = METHODS | WITH_MORE
        runs = f"(乱数シード {self.runs}通り)" if self.runs > 1 else ""
        return titles.get(self.name, f"`{self.name}`") + runs

    @property
    def in_english(self) -> str:
        runs = f" ({self.runs} seeds)" if self.runs > 1 else ""
        return (IN_ENGLISH.get(self.name, f"`{self.name}`") if self.name else "the model itself") + runs


def teachers_of(records: dict[str, Any], task: str, ending: str = SILVER) -> list[Teacher]:
    """The teachers of a task's silver model in the order of its command, then the files with answers; empty without
    its record."""
    record = records.get(f"{task}{ending}", {})
    settings = record.get("settings", {})
    named, files = (comma_separated(settings.get(name)) for name in ("teacher", "teacher_file"))
    folders = [name for name in named if f"-{name}" not in CLASSICAL]
    marks = [mark for name, mark in record.get("inputs", {}).items() if re.fullmatch(r"teacher(_\d+)?", name)]
    # A name of the Hub has no mark; whose the others are can be told only where there is none.
    mark_of = dict(zip(folders, marks, strict=True)) if len(folders) == len(marks) else {}
    teachers = [
        Teacher(f"-{name}") if f"-{name}" in CLASSICAL else _made_by(records, task, mark_of.get(name), name)
        for name in named
    ]
    return [*teachers, *map(Teacher, files)]


def _made_by(records: dict[str, Any], task: str, mark: str | None, name: str) -> Teacher:
    """Whose folder, or whose one file of weights, has this mark; called `name` if no record knows it."""
    made = [("", name) for name in fine_tunings(records, task)]
    made += [(ending, f"{task}{ending}") for ending in (*METHODS, *WITH_MORE)]
    for ending, record in ((ending, records[name]) for ending, name in made if name in records):
        if mark == recorded_fingerprint(record):
            return Teacher(ending, len(record["metrics"]["runs"]))
        if mark and any(digest.startswith(mark) for digest in record.get("files", {}).values()):
            return Teacher(ending)
    return Teacher(name)


def teachers_in_words(records: dict[str, Any], task: str, ending: str = SILVER) -> str:
    """The teachers in Japanese; "" without a record."""
    return "、".join(teacher.in_japanese for teacher in teachers_of(records, task, ending))


def asked_large(records: dict[str, Any], task: str, ending: str = SILVER) -> bool:
    """Whether somebody answered who is neither a classical method nor the model itself."""
    return any(teacher.name and teacher.name not in CLASSICAL for teacher in teachers_of(records, task, ending))
