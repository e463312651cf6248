"""Rate of build_corpus.py by number of workers, and its memory on many times the text.

    python scripts/measure.py corpus --data_dir path/to/data

Reads DATA_DIR/corpus, writes WORK_DIR/corpus_scaling. Rates: --workers, in turn, --repetitions times. Memory: the
largest process on the text and on --copies times the text. A copy has every kanji moved on by some code points, so it
is as long as the text and has as many sentences, but nothing in it is a duplicate of another copy.
"""

from __future__ import annotations

import fnmatch
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import list_files, read_json, read_lines, require_folder
from mobilebert_ja.common.progress import progress_bar
from mobilebert_ja.data.sample import resolve_data_dir
from mobilebert_ja.measuring.turns import median_ratio, take_turns
from mobilebert_ja.plans import stage_of
from mobilebert_ja.road import SCRIPTS
from mobilebert_ja.settings import CorpusScalingSettings, parse_settings, whole_numbers

KANJI = range(0x4E00, 0x9FA6)


def chosen(files: list[Path], patterns: str) -> list[Path]:
    """Files of which the name without endings matches one of the patterns."""
    names = [pattern.strip() for pattern in patterns.split(",")]
    found = [file for file in files if any(fnmatch.fnmatch(file.name.split(".")[0], name) for name in names)]
    if not found:
        raise UserError(f"No file of the corpus matches '{patterns}'.")
    return found


def moved_kanji(distance: int) -> dict[int, int]:
    """A table for `str.translate` that moves every kanji on in the code table, from its end to its start."""
    return {code: KANJI[(code - KANJI.start + distance) % len(KANJI)] for code in KANJI}


def write_copies(files: list[Path], copies: int, folder: Path) -> None:
    """`copies` texts of each file, the first being itself."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in progress_bar(range(copies), desc="writing copies", unit="copy"):
        table = moved_kanji(index)
        for file in files:
            with open(folder / f"{file.name.split('.')[0]}-copy{index}.txt", "w", encoding="utf-8") as stream:
                stream.writelines(line.translate(table) + "\n" for line in read_lines(file))


def build(sources: str, workers: int, folder: Path, exclude: Path) -> dict[str, Any]:
    """One run of build_corpus.py; what it cost."""
    shutil.rmtree(folder, ignore_errors=True)
    flags = ["--input", sources, "--num_workers", workers, "--work_dir", folder, "--exclude", exclude]
    command = [sys.executable, SCRIPTS / "build_corpus.py", *flags]
    if subprocess.run([str(part) for part in command]).returncode:
        raise UserError("build_corpus.py failed (its message stands above).")
    record = read_json(folder / "records" / "corpus.json")
    metrics = record["metrics"]
    shutil.rmtree(folder)
    peaks = [each["peak_memory_mib"] for each in metrics["passes"]]
    return {
        "workers": workers,
        "megabytes": round(metrics["read"]["bytes"] / 1e6, 2),
        "sentences": metrics["train"]["sentences"] + metrics["heldout"]["sentences"],
        "seconds": record["wall_seconds"],
        "megabytes_per_second": round(metrics["read"]["bytes"] / 1e6 / record["wall_seconds"], 3),
        "peak_memory_mib": max(peaks),
    }


def main() -> None:
    settings = parse_settings(CorpusScalingSettings, __doc__, section="")
    data = resolve_data_dir(settings)
    corpus = require_folder(data / "corpus", "It holds the raw text.")
    files = list_files(corpus)
    timed, multiplied = chosen(files, settings.timed), chosen(files, settings.multiplied)
    counts = whole_numbers("workers", settings.workers)
    stage = stage_of("corpus_scaling", settings, {"data_dir": corpus})
    if stage.is_done(settings.overwrite):
        return
    stage.begin()
    work, exclude = stage.folder / "work", data / "ner" / "ner.json"

    def with_workers(count: int) -> Callable[[int], dict[str, Any]]:
        return lambda _round: build(",".join(map(str, timed)), count, work, exclude)

    rates = take_turns({str(count): with_workers(count) for count in counts}, settings.repetitions)
    seconds = {count: [each["seconds"] for each in runs] for count, runs in rates.items()}
    times_as_fast = {count: median_ratio(seconds[str(counts[0])], mine) for count, mine in seconds.items()}
    once = build(",".join(map(str, multiplied)), counts[-1], work, exclude)
    write_copies(multiplied, settings.copies, stage.folder / "copies")
    many = build(str(stage.folder / "copies"), counts[-1], work, exclude)
    shutil.rmtree(stage.folder / "copies")
    stage.finish({"rates": rates, "times_as_fast": times_as_fast, "once": once, "many": many})
    for name, runs in rates.items():
        rate = statistics.median(each["megabytes_per_second"] for each in runs)
        print(f"{name} workers: {rate:.2f} MB/s, {times_as_fast[name]:.2f} times as fast as {counts[0]}")
    for each in (once, many):
        peak = f"at most {each['peak_memory_mib']:,.0f} MiB per process"
        print(f"{each['megabytes']:,.0f} MB: {each['seconds']:,.0f} s, {peak}")
