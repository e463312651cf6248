"""Answer texts, one per line, with a sped-up model; needs no torch.

    python scripts/predict.py work/compressed/livedoor < titles.txt
    python scripts/predict.py work/compressed/livedoor --input_file titles.txt.gz --output_file answers.jsonl
    python scripts/predict.py work/compressed/livedoor --input_folder parts --output_folder answers --executor slurm

Texts are UTF-8 or what --encoding says, lines end in LF or CRLF, or all in CR; a byte order mark at the beginning of a
line is no part of it. Files may be compressed (.gz, .xz, .bz2, .zst).

Writes one line of JSON for each, in order: {"label": ..., "probability": ..., "probabilities": {...}} or
{"entities": [{"start": ..., "end": ..., "type": ..., "text": ...}]}, with positions in characters of the line. For
classes "cut" is true where a line is longer than the model reads; entities are found in lines of any length. A line is
answered at once; where many wait, --num_workers processes share them. With --output_file or --output_folder a run that
was killed goes on where it was when it is started again.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
from pathlib import Path

from mobilebert_ja.bulk.answers import Answering, load_for_lines
from mobilebert_ja.bulk.arguments import checked
from mobilebert_ja.bulk.output import (
    OtherTextsError,
    Output,
    ResumableFile,
    StandardOutput,
    WithProgress,
    remove_unfinished,
)
from mobilebert_ja.bulk.texts import Texts
from mobilebert_ja.common.errors import Parser, exit_on_user_error
from mobilebert_ja.common.files import sha256_of
from mobilebert_ja.common.text.encodings import UTF8
from mobilebert_ja.inference.folder import FACTS_NAME, with_default_treatment


def parser() -> Parser:
    """Flags of lines, flags of folders, and what is shared by both."""
    made = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    made.add_argument("folder", type=Path, help="compressed/TASK, or one of the folders in it: onnx or fast.")
    made.add_argument("--input_file", nargs="+", type=Path, default=[], help="Texts (default: standard input).")
    made.add_argument("--output_file", type=Path, help="Where the answers go (default: standard output).")
    made.add_argument("--encoding", default=UTF8, help="Of the texts, if not UTF-8: cp932 (Excel), utf-16, euc_jp.")
    made.add_argument("--input_folder", type=Path, help="JSON Lines or Parquet, which need the packages of the road.")
    made.add_argument("--output_folder", type=Path, help="Where their answers go.")
    made.add_argument("--text_column", default="text", help="Where a row has its text (default: %(default)s).")
    made.add_argument("--executor", choices=("local", "slurm", "ray"), default="local", help="Where their tasks run.")
    made.add_argument("--executor_options", help="JSON: more arguments of datatrove's executor.")
    yes_or_no = {"nargs": "?", "const": "true", "default": "false", "choices": ("true", "false")}
    made.add_argument("--overwrite", **yes_or_no, help="Replace output that is there.")
    made.add_argument("--num_workers", type=int, help="Processes (default: the cores that may be used).")
    made.add_argument("--num_threads", type=int, default=1, help="Threads of a model call (default: %(default)s).")
    together = "lines wait for others, and an answer may depend a little on its neighbours"
    made.add_argument("--batch_size", type=int, default=1, help=f"Texts per model call; with more than 1, {together}.")
    return made


def answer_lines(model: Path, given: argparse.Namespace) -> None:
    """Lines of files or of standard input into lines of a file or of standard output."""
    make_answer = functools.partial(load_for_lines, model, given.num_threads, given.batch_size)
    answering = Answering(make_answer, given.num_workers, given.batch_size)
    texts = Texts(given.input_file, given.encoding)
    streams = (stream is not None and stream.isatty() for stream in (sys.stderr, sys.stdin, sys.stdout))
    shown = given.output_file or tuple(streams) == (True, False, False)
    total = texts.count()  # whether or not it is shown: what is wrong with a file is told before the work
    lines = iter(texts)
    output: Output = StandardOutput()
    if given.output_file:
        made_from = {"model": sha256_of(model / FACTS_NAME), "batch_size": given.batch_size}
        try:
            output = ResumableFile(given.output_file, made_from, lines, given.overwrite)
        except OtherTextsError:
            if not (given.overwrite and given.input_file):  # standard input cannot be read from its beginning again
                raise
            remove_unfinished(given.output_file)
            texts = Texts(given.input_file, given.encoding)
            lines = iter(texts)
            output = ResumableFile(given.output_file, made_from, lines, given.overwrite)
    if shown:
        output = WithProgress(output, total)
    answering.run(lines, texts.where, output)
    output.finish()


@exit_on_user_error
def main() -> None:
    given = checked(parser().parse_args())
    model = with_default_treatment(given.folder)
    if given.input_folder:
        from mobilebert_ja.bulk.folders import answer_folder  # here: it needs what answers do without

        load_for_lines(model, given.num_threads, given.batch_size)  # what is wrong with it is told before any task
        answer_folder(
            model,
            given.input_folder,
            given.output_folder,
            given.text_column,
            given.num_threads,
            given.batch_size,
            given.executor,
            given.executor_options,
            given.num_workers,
            given.overwrite,
        )
        return
    try:
        answer_lines(model, given)
    except BrokenPipeError:  # whoever reads the answers has enough of them
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
