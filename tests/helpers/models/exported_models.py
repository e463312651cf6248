"""Sped-up folders with random weights, and a program that asks them: for processors that are emulated."""

from collections.abc import Iterable
from pathlib import Path

from helpers.files.task_data import LABELS, write_tokenizer
from helpers.models.fast_models import tiny_model
from mobilebert_ja.compression.onnx.export import export
from mobilebert_ja.finetuning.folder import load_finetuned
from mobilebert_ja.model.checkpoint import save_model

MAX_LENGTH = 24
# Of each folder that it is given, prints the logits of each text on standard input.
LOGITS_PROGRAM = """
import json, sys
from mobilebert_ja.runtime import load
texts, result = json.load(sys.stdin), []
for answerer in map(load, sys.argv[1:]):
    result.append([answerer._logits([answerer._input(text).rows[0]]).ravel().tolist() for text in texts])
print(json.dumps(result))
"""


def write_exported(work: Path, wanted: Iterable[tuple[str, int]]) -> dict[tuple[str, int], Path]:
    """(task, bits of a weight) -> a folder that the runtime reads."""
    tokenizer = write_tokenizer(work / "tokenizer")
    size = len((tokenizer / "vocab.txt").read_text(encoding="utf-8").splitlines())
    made = {each: work / "{}-{}".format(*each) for each in wanted}
    for (task, bits), folder in made.items():
        if not (work / task).exists():
            save_model(tiny_model(task, LABELS[task], size), tokenizer, work / task)
        model, ready = load_finetuned(work / task, task, MAX_LENGTH)
        export(model, ready, folder, "onnx", {}, reduce_range=bits == 7)
    return made
