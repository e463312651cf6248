"""Variants that differ in a few settings: each is run once and leaves facts, which become a table."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from string import Formatter
from threading import Event
from typing import Any, TypeVar

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json
from mobilebert_ja.common.progress import progress_bar
from mobilebert_ja.common.records import Stage
from mobilebert_ja.inference.folder import ONNX, read_facts, with_default_treatment
from mobilebert_ja.plans import STAGES
from mobilebert_ja.settings import (
    BaselineSettings,
    CompressSettings,
    DistillSettings,
    FinetuneSettings,
    PretrainSettings,
    StageSettings,
    parse_settings,
)
from mobilebert_ja.tasks import PUBLIC_TASKS

Variant = TypeVar("Variant")
Facts = dict[str, Any]
_SETTINGS_OF: dict[str, type[StageSettings]] = {
    "pretrain.py": PretrainSettings,
    "distill.py": DistillSettings,
    "finetune.py": FinetuneSettings,
    "baseline.py": BaselineSettings,
    "compress.py": CompressSettings,
}


def stage_of_run(script: str, flags: Mapping[str, str], recipe_path: str | None) -> Stage:
    """The stage that a script will work on with these flags. Raises `UserError` for flags that it would not take."""
    given = dict(flags) | ({"config": recipe_path} if recipe_path else {})
    argv = [part for name, value in given.items() for part in (f"--{name}", value)]
    return STAGES[script](parse_settings(_SETTINGS_OF[script], None, argv=argv))


def remaking(script: str, flags: Mapping[str, str], settings: StageSettings) -> dict[str, str]:
    """The flags, and where a measurement is to be made anew and the run's output was made from something else, the one
    that makes it anew; the runs that are as they were stay."""
    anew = settings.overwrite and stage_of_run(script, flags, settings.config).was_made_otherwise()
    return dict(flags) | ({"overwrite": "true"} if anew else {})


def run_variants(
    variants: Mapping[str, Variant],
    run: Callable[[str, Variant, set[int]], Facts],
    describe: str,
    num_workers: int = 1,
) -> dict[str, Facts]:
    """Run every variant, `num_workers` at a time, each on processor cores of its own.

    Args:
        variants: name -> what `run` needs to know.
        run: gives the facts of one variant from its name, the variant and the cores it may use; one that finds a
            finished run takes it as it is, so that a command that was interrupted goes on.
        describe: stands before the progress bar.

    Returns:
        name -> facts, in the order of the variants. What `run` raises ends it all: variants not yet begun are not run.
    """
    cores = sorted(os.sched_getaffinity(0))
    share = max(1, len(cores) // num_workers)
    free: SimpleQueue[set[int]] = SimpleQueue()
    for worker in range(num_workers):
        free.put(set(cores[worker * share % len(cores) :][:share]))

    failed = Event()

    def work(name: str) -> Facts:
        if failed.is_set():
            raise CancelledError
        mine = free.get()
        try:
            return run(name, variants[name], mine)
        except BaseException:
            failed.set()
            raise
        finally:
            free.put(mine)

    with ThreadPoolExecutor(num_workers) as pool:
        results = list(progress_bar(pool.map(work, variants), desc=describe, total=len(variants), unit="run"))
    return dict(zip(variants, results, strict=True))


def tabulate(rows: Mapping[str, Mapping[str, Any]], columns: Mapping[str, str], heading: str = "") -> str:
    """A table for a terminal: a line of headings, then a line per row that begins with its name.

    Args:
        rows: name -> facts.
        columns: heading -> how a cell is written, a format string over the row's facts such as "{median_ms:.2f}"; the
            cell is "-" where the row lacks one of them or has None.
        heading: of the names.
    """
    lines = [[heading, *columns]]
    lines += [[name, *(_cell(pattern, facts) for pattern in columns.values())] for name, facts in rows.items()]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def tabulate_shares(milliseconds: Mapping[str, float], digits: int, heading: str = "") -> str:
    """`tabulate` of where time went: what, its milliseconds, and its share of them all."""
    whole = sum(milliseconds.values())
    rows = {name: {"ms": spent, "share": spent / whole} for name, spent in milliseconds.items()}
    return tabulate(rows, {"ms": f"{{ms:.{digits}f}}", "share": "{share:.1%}"}, heading)


def _cell(pattern: str, facts: Mapping[str, Any]) -> str:
    names = [name for _, name, _, _ in Formatter().parse(pattern) if name]
    return "-" if any(facts.get(name) is None for name in names) else pattern.format(**facts)


def require_free_record(name: str | None, folder: Path) -> None:
    """Raise `UserError` unless `measure.py` may keep a record under this name (None: it keeps none): one that another
    command made stays. Makes the folder, so that a place that cannot be written to is told before the work."""
    if name is None:
        return
    if not re.fullmatch(r"[\w-]+", name):
        raise UserError(f"--record is a name of letters, digits, - and _, as comparison_ner, not '{name}'.")
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"{name}.json"
    known = read_json(place) if place.is_file() else None
    this = Path(sys.argv[0]).name
    if known is not None and not (isinstance(known, dict) and this in str(known.get("command"))):
        raise UserError(f"{place} is there already and was not made by {this}; give --record another name.")


def of_a_public_task(named: str) -> tuple[Path, dict[str, Any]]:
    """The folder of a sped-up model, compressed/TASK standing for its default one, and what it says of itself.

    Raises `UserError` unless it is of a public task, whose test part gives the texts of the measurements.
    """
    folder = with_default_treatment(named)
    facts = read_facts(folder, ONNX)
    if facts["task"] not in PUBLIC_TASKS:
        raise UserError(f"{folder} is of the task {facts['task']}; the texts are those of the public tasks.")
    return folder, facts
