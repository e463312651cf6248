"""Texts per second of predict.py by number of processes and texts per model call.

    python scripts/measure.py bulk --model_folder work/compressed/livedoor/fast --data_dir DATA

Gives the test part's texts, over and over until there are --texts of them, to predict.py as a file, in each round once
for each of --processes with each of --batch_sizes. The seconds are those of the whole command, its start included. All
are compared with the first of both: the answers must be the same bytes whatever the number of processes, and with
another number of texts per call the share that agrees is counted. Writes WORK_DIR/bulk, on a processor without VNNI
WORK_DIR/bulk-avx2.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import require_file
from mobilebert_ja.data.sample import resolve_data_dir
from mobilebert_ja.measuring.runs import of_a_public_task, tabulate
from mobilebert_ja.measuring.turns import median_ratio, take_turns
from mobilebert_ja.plans import timing_stage
from mobilebert_ja.road import SCRIPTS
from mobilebert_ja.settings import BulkSettings, parse_settings, whole_numbers
from mobilebert_ja.tasks import data_file, load_task

Way = tuple[int, int]  # processes, texts per model call


def one_line(text: str) -> str:
    """A text with single spaces for all white space: a line break would end it in predict.py's file."""
    return " ".join(text.split())


def described(way: Way) -> str:
    """A way in predict.py's flags."""
    workers, batch_size = way
    return f"--num_workers {workers} --batch_size {batch_size}"


def answered(model: Path, texts: Path, way: Way, output: Path) -> float:
    """Seconds of one run of predict.py, which leaves its answers in `output`. Raises `UserError` if it fails."""
    workers, batch_size = way
    flags = ["--input_file", texts, "--output_file", output, "--num_workers", workers, "--batch_size", batch_size]
    command = [str(part) for part in (sys.executable, SCRIPTS / "predict.py", model, *flags, "--overwrite")]
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    took = time.perf_counter() - begun
    if done.returncode:
        said = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()  # a killed one says nothing
        raise UserError(f"predict.py failed: {said[-1]}")
    return took


def what_it_says(answers: bytes) -> list[Any]:
    """What is compared of each answer between numbers of texts per call: the class, or the entities."""
    read = [json.loads(line) for line in answers.splitlines()]
    return [each.get("label", each.get("entities")) for each in read]


def facts_of(ways: list[Way], seconds: dict[Way, list[float]], texts: int, answers: dict[Way, bytes]) -> list[Any]:
    """The record's part on each way, compared with the first. Raises `UserError` if the number of processes changed an
    answer."""
    first = what_it_says(answers[ways[0]])
    found = []
    for way in ways:
        workers, batch_size = way
        if answers[way] != answers[ways[0][0], batch_size]:
            raise UserError(f"With {workers} processes predict.py's answers were others than with {ways[0][0]}.")
        says = what_it_says(answers[way])
        found.append(
            {
                "num_workers": workers,
                "batch_size": batch_size,
                "seconds": [round(each, 3) for each in seconds[way]],
                "texts_per_second": [round(texts / each, 1) for each in seconds[way]],
                "times_as_fast": round(median_ratio(seconds[ways[0]], seconds[way]), 3),
                "agreement": sum(one == other for one, other in zip(says, first, strict=True)) / texts,
            }
        )
    return found


def main() -> None:
    settings = parse_settings(BulkSettings, __doc__, section="")
    folder, facts = of_a_public_task(str(settings.model_folder))
    counts = [whole_numbers(name, getattr(settings, name)) for name in ("batch_sizes", "processes")]
    ways = list(dict.fromkeys((workers, batch_size) for batch_size, workers in itertools.product(*counts)))
    inputs = {"model_folder": folder, "data_dir": require_file(data_file(facts["task"], resolve_data_dir(settings)))}
    stage = timing_stage("bulk", settings, inputs, Path(settings.work_dir) / "bulk")
    if stage.is_done(settings.overwrite):
        return
    examples = load_task(facts["task"], resolve_data_dir(settings), 0).test
    lines = [one_line(example.text) for example in itertools.islice(itertools.cycle(examples), settings.texts)]
    stage.begin()
    texts = stage.folder / "texts.txt"
    texts.write_text("\n".join(lines) + "\n", encoding="utf-8")
    answers: dict[Way, bytes] = {}

    def with_way(way: Way) -> Callable[[int], float]:
        def run(_round: int) -> float:
            output = stage.folder / "answers.jsonl"
            took = answered(folder, texts, way, output)
            answers[way] = output.read_bytes()
            output.unlink()
            return took

        return run

    def note(index: int, way: Way, took: float) -> None:
        print(f"round {index + 1}, {described(way)}: {len(lines) / took:,.0f} texts per second", flush=True)

    seconds = take_turns({way: with_way(way) for way in ways}, settings.repetitions, note=note)
    texts.unlink()
    found = facts_of(ways, seconds, len(lines), answers)
    stage.finish({"task": facts["task"], "treatment": facts.get("treatment"), "texts": len(lines), "ways": found})
    columns = {"texts per second": "{rate:,.0f}", "times as fast": "{times_as_fast:.2f}", "same": "{agreement:.1%}"}
    rows = {
        described((each["num_workers"], each["batch_size"])): each
        | {"rate": statistics.median(each["texts_per_second"])}
        for each in found
    }
    print(tabulate(rows, columns, "predict.py"))
