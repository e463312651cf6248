"""From unlabelled text to the silver answers that a student learns: read, sifted, answered once, and drawn from."""

from __future__ import annotations

import fcntl
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from accelerate import Accelerator

from mobilebert_ja.common.errors import UserError, warn
from mobilebert_ja.common.files import require_file
from mobilebert_ja.common.folders import own_record
from mobilebert_ja.common.progress import progress_bar
from mobilebert_ja.common.records import Stage
from mobilebert_ja.common.text.encodings import encoding_of_name
from mobilebert_ja.labelling.opinions import TOGETHER
from mobilebert_ja.labelling.origin import ANSWERS_NAME, labelling_stage
from mobilebert_ja.labelling.teachers import Teacher, open_teachers, require_unseen_test_part
from mobilebert_ja.settings import CompressSettings, FinetuneSettings, comma_separated
from mobilebert_ja.tasks.base import Example, Task
from mobilebert_ja.tasks.own.texts import own_texts
from mobilebert_ja.tasks.parts import what_is_read
from mobilebert_ja.tasks.silver import Silver, draw, read_silver, silver_line

CHUNK = 512  # texts that are answered and written at a time; an interruption costs one chunk at most
TEST, TRAINING, REPEATED = "in_test_part", "in_training_part", "repeated"

Given = TypeVar("Given")


@dataclass(frozen=True)
class SilverSet:
    """What is to be learned of the teachers, and the facts of how it came about, for the record."""

    answers: list[Silver]
    facts: dict[str, Any]


def silver_set(
    settings: FinetuneSettings, task: Task, files: dict[str, Path], accelerator: Accelerator
) -> SilverSet | None:
    """The silver answers that the settings ask for; None if they ask for none.

    Args:
        files: those that the task was read from.

    Raises `UserError` if a file or a teacher is not what it should be, or if nothing is left to be learned.
    """
    if not (settings.teacher or settings.teacher_file):
        return None
    sources = [Path(each) for each in comma_separated(settings.teacher_file)]
    encoding = encoding_of_name(settings.encoding)
    given = [answer for path in sources for answer in read_silver(path, task.kind, task.labels, encoding)]
    answering_seconds = 0.0
    if settings.teacher:
        stage = labelling_stage(settings, files)
        if accelerator.is_main_process:
            label(settings, task, files, stage, accelerator)
        accelerator.wait_for_everyone()
        sources.append(require_file(stage.output_dir / ANSWERS_NAME, f"Remove {stage.output_dir} to ask anew."))
        given += read_silver(sources[-1], task.kind, task.labels, None)  # --encoding would have others asked for
        answering_seconds = (own_record(stage.output_dir) or {}).get("wall_seconds", 0.0)
    answers, left_out = sift(given, lambda answer: answer.text, task)
    if not answers:
        raise UserError(f"{_names(sources)} holds nothing to learn from: {_told(left_out)}.")
    sure = [answer for answer in answers if answer.is_sure(settings.min_confidence or 0.0)]
    if not sure:
        raise UserError(
            f"Of {len(answers)} answers of the teachers, none is as sure as --min_confidence "
            f"{settings.min_confidence}; a smaller one, or another teacher, is needed."
        )
    drawn = draw(sure, settings.silver_share, settings.split_seed)
    facts: dict[str, Any] = {
        "given": len(given),
        **left_out,
        "unsure": len(answers) - len(sure),
        "learned": len(drawn),
        "answering_seconds": round(answering_seconds, 2),
    }
    if accelerator.is_main_process:
        print(
            f"{task.name}: {len(drawn)} silver answers from {_names(sources)} beside {len(task.train)} labelled "
            f"examples; left out: {_told(left_out)}, {facts['unsure']} below --min_confidence",
            flush=True,
        )
    return SilverSet(drawn, facts | {"files": [str(path) for path in sources]})


def sift(given: Sequence[Given], text_of: Callable[[Given], str], task: Task) -> tuple[list[Given], dict[str, int]]:
    """What is left without texts of the test part (and of its variants), of the training part, and repeated ones.

    Texts are equal if a model cannot tell them apart (see `what_is_read`). How many of each were left out is the
    second answer.
    """
    variants = (example for variant in task.variants.values() for example in variant)
    parts = {TRAINING: task.train, TEST: [*task.test, *variants, *task.set_aside]}
    known = {what_is_read(example): name for name in (TRAINING, TEST) for example in parts[name]}
    kept, left_out = [], Counter({TEST: 0, TRAINING: 0, REPEATED: 0})
    for each in given:
        text = what_is_read(Example(text_of(each), None))
        if text in known:
            left_out[known[text]] += 1
        else:
            known[text] = REPEATED
            kept.append(each)
    return kept, dict(left_out)


def _told(left_out: dict[str, int]) -> str:
    return (
        f"{left_out[TEST]} texts of the test part, {left_out[TRAINING]} of the training part, "
        f"{left_out[REPEATED]} repeated"
    )


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths))


def unlabelled_texts(settings: FinetuneSettings | CompressSettings) -> list[str]:
    """The texts of --unlabelled_file, without the white space around them."""
    encoding, column = encoding_of_name(settings.encoding), settings.text_column
    files = map(Path, comma_separated(settings.unlabelled_file))
    return [text for file in files for text in own_texts(file, column, encoding)]


def new_texts(
    texts: Sequence[str], settings: FinetuneSettings | CompressSettings, task: Task
) -> tuple[list[str], dict[str, int]]:
    """As `sift`, of the texts of --unlabelled_file. Raises `UserError` if it leaves none."""
    new, left_out = sift(texts, str, task)
    if not new:
        raise UserError(f"{settings.unlabelled_file} holds nothing to learn from: {_told(left_out)}.")
    return new, left_out


def unlabelled_set(settings: CompressSettings, task: Task) -> tuple[list[str], dict[str, Any]]:
    """The texts of --unlabelled_file without those of the task's parts, and the facts of how they came about, for the
    record; neither if the settings name no file.

    Raises `UserError` if a file is not what it should be, or if nothing is left to be learned.
    """
    if not settings.unlabelled_file:
        return [], {}
    given = unlabelled_texts(settings)
    new, left_out = new_texts(given, settings, task)
    files = comma_separated(settings.unlabelled_file)
    print(
        f"{task.name}: {len(new)} unlabelled texts from {', '.join(files)} beside {len(task.train)} labelled "
        f"examples; left out: {_told(left_out)}",
        flush=True,
    )
    return new, {"given": len(given), **left_out, "learned": len(new), "files": files}


def label(
    settings: FinetuneSettings, task: Task, files: dict[str, Path], stage: Stage, accelerator: Accelerator
) -> None:
    """Have the teachers answer the unlabelled texts, unless they did so already; goes on where it was interrupted."""
    texts = unlabelled_texts(settings)
    new_texts(texts, settings, task)  # or there is nothing to ask for
    with _alone(stage.output_dir):
        record = own_record(stage.output_dir)
        if record:
            require_unseen_test_part(settings, files)
            _require_same_labels(record, task, stage.output_dir)
            print(f"{stage.output_dir / ANSWERS_NAME}: answered already", flush=True)
            return
        teachers = open_teachers(settings, task, files, accelerator.device)
        different = list(dict.fromkeys(texts))  # whatever the split: another one needs no new answers
        stage.begin(resume=True)
        with accelerator.autocast():  # where the processor multiplies in bf16, models answer in half the time
            ask(teachers, different, task, stage.folder / ANSWERS_NAME)
        truncated = max(teacher.truncated for teacher in teachers)
        if truncated:
            warn(
                f"{truncated} of {len(different)} unlabelled texts are longer than a teacher reads; it was "
                "given their beginnings"
            )
        stage.finish({"texts": len(different), "teachers": len(teachers), "labels": task.labels})


def _require_same_labels(record: dict[str, Any], task: Task, folder: Path) -> None:
    """Raise `UserError` unless answers that are there were given for the labels that the task has now."""
    known = record["metrics"].get("labels", task.labels)
    if set(known) != set(task.labels):
        different = sorted({*known} ^ {*task.labels})
        raise UserError(
            f"{folder / ANSWERS_NAME} was answered for other labels than the task {task.name} has: "
            f"{', '.join(different[:5])}. Remove {folder} to ask anew."
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two commands may ask the same at the same time, for example for two seeds; the second waits for the first."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(f".{folder.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ask(teachers: Sequence[Teacher], texts: Sequence[str], task: Task, path: Path) -> None:
    """Append the teachers' answers to `path`, a chunk at a time, from the first chunk on that is not whole there."""
    done = _whole_chunks(path)
    with (
        open(path, "a", encoding="utf-8") as stream,
        progress_bar(total=len(texts), initial=done, desc="teachers' answers", unit="text") as bar,
    ):
        for start in range(done, len(texts), CHUNK):
            chunk = texts[start : start + CHUNK]
            by_teacher = [teacher.opinions(chunk) for teacher in teachers]
            for text, *opinions in zip(chunk, *by_teacher, strict=True):
                stream.write(silver_line(TOGETHER[task.kind](text, opinions, task.labels), task.labels))
            stream.flush()
            bar.update(len(chunk))


def _whole_chunks(path: Path) -> int:
    """How many answers stand in whole chunks; what follows them, of which a part may be missing, is cut off."""
    content = path.read_bytes() if path.is_file() else b""
    ends = [found.end() for found in re.finditer(b"\n", content)]
    whole = len(ends) // CHUNK * CHUNK
    if content:
        with open(path, "r+b") as stream:
            stream.truncate(ends[whole - 1] if whole else 0)
    return whole
