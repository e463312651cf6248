"""Processors without VNNI and AVX-512, emulated by qemu: the same files give the same answers there."""

import json
import os
import platform
import shutil
import subprocess
import sys

import numpy as np
import pytest

from helpers.fast_models import SCRIPTS, tiny_model
from helpers.task_data import write_tokenizer
from inference.test_runtime import LABELS, MAX_LENGTH, TEXTS
from mobilebert_ja.compression.export import export
from mobilebert_ja.finetuning.folder import load_finetuned
from mobilebert_ja.model.checkpoint import save_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("qemu-x86_64") is None or platform.machine() != "x86_64",
        reason="needs qemu-x86_64 (Debian: apt install qemu-user) on an x86-64 machine",
    ),
]
# Each with the last instructions for vectors that it has: AVX2, AVX, SSE4.2. numpy runs on nothing older.
PROCESSORS = ["Haswell", "SandyBridge", "Nehalem"]
ASKED = TEXTS[:12]
PROGRAM = """
import json, sys
from mobilebert_ja.runtime import load
answerer, texts = load(sys.argv[1]), json.load(sys.stdin)
print(json.dumps([answerer._logits([answerer._input(text).rows[0]]).ravel().tolist() for text in texts]))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """(task, bits of a weight) -> folder"""
    work = tmp_path_factory.mktemp("processors")
    tokenizer = write_tokenizer(work / "tokenizer")
    size = len((tokenizer / "vocab.txt").read_text(encoding="utf-8").splitlines())
    made = {}
    for task, labels in LABELS.items():
        save_model(tiny_model(task, labels, size), tokenizer, work / task)
        for bits in (7, 8):
            made[task, bits] = work / f"{task}-{bits}"
            model, ready = load_finetuned(work / task, task, MAX_LENGTH)
            export(model, ready, made[task, bits], "onnx", {}, reduce_range=bits == 7)
    return made


def run(processor, arguments, given):
    """What Python prints on a processor; None: on this machine's own."""
    emulator = ["qemu-x86_64", "-cpu", processor] if processor else []
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": "1"}
    if processor == "Nehalem":  # numpy's OpenBLAS takes qemu's for one with AVX
        environment["OPENBLAS_CORETYPE"] = "Nehalem"
    command = [*emulator, sys.executable, *map(str, arguments)]
    done = subprocess.run(command, input=given, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def largest_difference(processor, folder):
    """Between the logits there and here."""
    given = json.dumps(ASKED)
    there, here = (json.loads(run(each, ["-c", PROGRAM, folder], given)) for each in (processor, None))
    return max(np.abs(np.subtract(a, b)).max() for a, b in zip(there, here, strict=True))


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("task", list(LABELS))
def test_the_same_logits(folders, task, processor):
    assert largest_difference(processor, folders[task, 7]) < 1e-4


def test_weights_of_eight_bits_are_cut_off_without_vnni(folders):
    """Why weights have seven bits; and that what is emulated is emulated."""
    assert largest_difference("Haswell", folders["livedoor", 8]) > 1e-3


def test_the_same_lines(folders):
    arguments, lines = [SCRIPTS / "predict.py", folders["ner", 7]], "\n".join(ASKED)
    assert run("Haswell", arguments, lines) == run(None, arguments, lines) != ""
