"""Answer texts from standard input, one per line, with a sped-up model; needs no torch.

    python scripts/predict.py work/compressed/livedoor < titles.txt

Texts are UTF-8, lines end in LF or CRLF, or all in CR; a byte order mark at the beginning of a line is no part of it.
Writes one line of JSON for each, at once: {"label": ..., "probability": ..., "probabilities": {...}} or
{"entities": [{"start": ..., "end": ..., "type": ..., "text": ...}]}, with positions in characters of the line. For
classes "cut" is true where a line is longer than the model reads; entities are found in lines of any length.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Iterable, Iterator

from mobilebert_ja.common.errors import Parser, exit_on_user_error
from mobilebert_ja.common.text import utf8_lines
from mobilebert_ja.runtime import load


def lines_of(stream: Iterable[bytes]) -> Iterator[str]:
    """The lines of a UTF-8 stream without their ends. Raises `UserError` naming the line that is not UTF-8."""
    return (line.rstrip("\r\n") for line in utf8_lines(stream, "standard input"))


@exit_on_user_error
def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("folder", help="compressed/TASK, or one of the folders in it: onnx or fast.")
    parser.add_argument("--num_threads", type=int, default=1, help="Threads of a model call (default: %(default)s).")
    given = parser.parse_args()
    answerer = load(given.folder, given.num_threads)
    try:
        for line in lines_of(sys.stdin.buffer):
            answer = json.dumps(dataclasses.asdict(answerer.predict_one(line)), ensure_ascii=False)
            sys.stdout.buffer.write(answer.encode("utf-8") + b"\n")
            sys.stdout.buffer.flush()
    except BrokenPipeError:  # whoever reads the answers has enough of them
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
