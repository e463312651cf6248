"""A folder of JSON Lines or Parquet answered in tasks, one per file: on this machine, on Slurm or on Ray.

By datatrove's executors, which is why this module, alone in its room, imports from `corpus` and `data`.
"""

from __future__ import annotations

import functools
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from datatrove.executor.base import PipelineExecutor
from datatrove.pipeline.base import DocumentsPipeline, PipelineStep

from mobilebert_ja.bulk.answers import load_for_lines
from mobilebert_ja.common.errors import UserError, first_line, warn
from mobilebert_ja.common.files import COMPRESSIONS, read_lines, require_folder, write_atomically
from mobilebert_ja.common.records import Stage
from mobilebert_ja.corpus.executors import RunNotEnded, make_executor, no_other_run, no_run_within, run_phase
from mobilebert_ja.data.sources import bare_name

_PARQUET = ".parquet"
_SUFFIXES = tuple(f".jsonl{compression}" for compression in ("", *COMPRESSIONS))
_SHOWN = 5  # names in a warning
_BATCHES = 8  # per list of texts that is answered, so that texts of like length find each other
_loaded = functools.cache(load_for_lines)  # once per process, which may have several tasks


def texts_of(path: Path, column: str) -> Iterator[str]:
    """The text of each row of a Parquet or JSON Lines file; blank lines are no rows.

    Half a surrogate pair, which JSON can hold and UTF-8 cannot, becomes "?", so that positions stay.

    Raises `UserError` naming the row that has no text in this column.
    """
    rows = _parquet_rows(path, column) if path.suffix.lower() == _PARQUET else _json_rows(path, column)
    for where, text in rows:
        if not isinstance(text, str):
            raise UserError(f"{where}: {column} must be a text, not {text!r:.40} (--text_column names the column).")
        yield text.encode("utf-8", "replace").decode("utf-8")


def _parquet_rows(path: Path, column: str) -> Iterator[tuple[str, Any]]:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        with ParquetFile(path) as table:
            if column not in table.schema_arrow.names:
                raise UserError(f"{path} has no column {column}; it has {', '.join(table.schema_arrow.names)}.")
            for batch in table.iter_batches(columns=[column]):
                for text in batch.column(0).to_pylist():
                    number += 1
                    yield f"{path}, row {number}", text
    except UnicodeDecodeError:
        raise UserError(f"{path} holds in {column}, past row {number}, what is not UTF-8.") from None
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # not of what the file holds
            raise
        raise UserError(f"{path} is no Parquet file that can be read: {first_line(error)}") from None


def _json_rows(path: Path, column: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip():
            where = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{where} is not valid JSON: {error}.") from None
            yield where, row.get(column) if isinstance(row, dict) else None


def files_to_answer(folder: Path, column: str) -> dict[str, Path]:
    """Name of the file of answers -> file with texts, of all below a folder.

    Says on standard error which others stand there, hidden ones aside. Raises `UserError` if there are none, if two
    would have answers of the same name, or if the first row of one has no text.
    """
    require_folder(folder)
    endings = (*_SUFFIXES, _PARQUET)
    there = sorted(path for path in folder.rglob("*") if path.is_file())
    files = [path for path in there if path.name.lower().endswith(endings)]
    if not files:
        raise UserError(f"{folder} holds no texts: expected .jsonl ({', '.join(COMPRESSIONS)}) or .parquet files.")
    shown = [path.relative_to(folder) for path in there if path not in files]
    others = [str(path) for path in shown if not any(part.startswith(".") for part in path.parts)]
    if others:
        listed = ", ".join(others[:_SHOWN]) + (f" and {len(others) - _SHOWN} more" if others[_SHOWN:] else "")
        warn(f"{folder}: {listed}: neither .jsonl nor .parquet, and not answered")
    bare = (path.stem if path.suffix.lower() == _PARQUET else bare_name(path) for path in files)
    names = [str(path.relative_to(folder).with_name(f"{name}.jsonl")) for path, name in zip(files, bare, strict=True)]
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise UserError(f"{folder}: the answers to {count} files would all be called {name}; rename them.")
    for path in files:
        next(texts_of(path, column), None)
    return dict(zip(names, files, strict=True))


class AnswerFiles(PipelineStep):
    """The files of a task, each into a file of answers, a line for each row and in their order.

    Args:
        model, num_threads, batch_size: see `answers.load_for_lines`.
        files: see `files_to_answer`.
        output: folder for the answers.
    """

    type = "🏷 - ANSWERS"
    name = "answers"

    def __init__(
        self, model: Path, num_threads: int, batch_size: int, files: dict[str, Path], column: str, output: Path
    ):
        super().__init__()
        self.model, self.num_threads, self.batch_size = model, num_threads, batch_size
        self.files, self.column, self.output = files, column, output

    def run(self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1) -> None:
        answer = _loaded(self.model, self.num_threads, self.batch_size)
        for name, path in list(self.files.items())[rank::world_size]:
            with write_atomically(self.output / name, "wb") as stream:
                for texts in _lists(texts_of(path, self.column), _BATCHES * self.batch_size):
                    stream.write(answer(texts))


def _lists(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    remaining = iter(texts)
    while some := list(islice(remaining, size)):
        yield some


def _folder_of_logs(output: Path, names: Iterable[str]) -> Path:
    """Where the tasks' logs stand until the end: no answers of these names go there, for it is removed then."""
    taken = {Path(name).parts[0].lower() for name in names}
    name = "passes"
    while name in taken:
        name += "_"
    return output / name


def answer_folder(
    model: Path,
    input_folder: Path,
    output_folder: Path,
    column: str = "text",
    num_threads: int = 1,
    batch_size: int = 1,
    executor: str = "local",
    executor_options: str | None = None,
    num_workers: int = 1,
    overwrite: bool = False,
) -> None:
    """Answer every file of a folder into `output_folder`, which gets a record as a stage's does.

    Killed and started again, it goes on with the files that are missing.

    Args:
        model: the folder of a sped-up model.
        column: where the text of a row stands.
        executor, executor_options, num_workers: see `executors.make_executor`.
        overwrite: replace the output of an earlier run, or an unfinished one of other settings.

    Raises `UserError` for input that cannot be read, output that is not of such a run or was made otherwise, and tasks
    that failed.
    """
    if output_folder.resolve().is_relative_to(input_folder.resolve()):
        raise UserError(f"{output_folder} stands in {input_folder}, all of which is read; name another folder.")
    files = {name: path.resolve() for name, path in files_to_answer(input_folder, column).items()}
    settings = {"text_column": column, "batch_size": batch_size}
    inputs = {"model": model, "input_folder": input_folder}
    stage = Stage("answers", settings, output_folder, inputs, users_folders=("input_folder",))
    if stage.is_done(overwrite):
        return
    with no_run_within(stage.folder):
        stage.begin(resume=True, overwrite=overwrite)
    output = stage.folder.resolve()  # tasks may run elsewhere
    step = AnswerFiles(model.resolve(), num_threads, batch_size, files, column, output)

    def with_logs(logs: Path) -> PipelineExecutor:
        return make_executor(executor, executor_options, [step], len(files), num_workers, logs)

    passes = _folder_of_logs(output, files)
    passes.mkdir(exist_ok=True)
    with no_other_run(passes):
        cost = run_phase("answers", with_logs, passes, len(files))
    missing = [name for name in files if not (output / name).is_file()]
    if missing:
        raise RunNotEnded(
            f"{output} lacks the answers to {len(missing)} of {len(files)} files, {missing[0]} for example, though "
            "its tasks have ended; remove it and start again."
        )
    shutil.rmtree(passes)
    stage.finish({"files": len(files), **cost})
    print(f"{output_folder}: answers to {len(files):,} files")
