"""Processors without VNNI and AVX-512, emulated by qemu: the same files give the same answers there.

What they are held against is an emulated processor too, so that nothing depends on the machine that runs the tests.
"""

import functools
import json
import platform
import shutil
import sys

import numpy as np
import pytest

from helpers.fast_models import tiny_model
from helpers.paths import SCRIPTS
from helpers.processes import run, with_package
from helpers.task_data import LABELS, TEXTS, write_tokenizer
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
# SSE4.2, and nothing newer; numpy runs on nothing older. onnxruntime multiplies in 16 bits here, so nothing saturates.
REFERENCE = "Nehalem"
HERE = "this machine's own"
# Each with the last instructions for vectors that it has: AVX2, AVX.
PROCESSORS = ["Haswell", "SandyBridge", HERE]
MAX_LENGTH = 24
ASKED = TEXTS[:12]
PROGRAM = """
import json, sys
from mobilebert_ja.runtime import load
texts, result = json.load(sys.stdin), []
for answerer in map(load, sys.argv[1:]):
    result.append([answerer._logits([answerer._input(text).rows[0]]).ravel().tolist() for text in texts])
print(json.dumps(result))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """(task, bits of a weight) -> folder"""
    work = tmp_path_factory.mktemp("processors")
    tokenizer = write_tokenizer(work / "tokenizer")
    size = len((tokenizer / "vocab.txt").read_text(encoding="utf-8").splitlines())
    for task, labels in LABELS.items():
        save_model(tiny_model(task, labels, size), tokenizer, work / task)
    made = {each: work / "{}-{}".format(*each) for each in (("livedoor", 7), ("ner", 7), ("livedoor", 8))}
    for (task, bits), folder in made.items():
        model, ready = load_finetuned(work / task, task, MAX_LENGTH)
        export(model, ready, folder, "onnx", {}, reduce_range=bits == 7)
    return made


def printed(processor, *arguments, given):
    """What Python prints on a processor."""
    emulator = [] if processor == HERE else ["qemu-x86_64", "-cpu", processor]
    # Of its own accord, numpy's OpenBLAS takes qemu's Nehalem for a processor with AVX.
    corrected = {"OPENBLAS_CORETYPE": "Nehalem"} if processor == "Nehalem" else {}
    environment = with_package(OMP_NUM_THREADS="1", **corrected)
    done = run([*emulator, sys.executable, *arguments], input=given, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def logits(folders):
    """processor -> key of a folder -> logits of each text; a processor starts once, which costs more than its work."""

    @functools.cache
    def on(processor):
        found = json.loads(printed(processor, "-c", PROGRAM, *folders.values(), given=json.dumps(ASKED)))
        return dict(zip(folders, found, strict=True))

    return on


def largest_difference(first, second):
    return max(np.abs(np.subtract(a, b)).max() for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("task", list(LABELS))
def test_the_same_logits(logits, task, processor):
    assert largest_difference(logits(processor)[task, 7], logits(REFERENCE)[task, 7]) < 1e-4


def test_weights_of_eight_bits_saturate_with_avx2(logits):
    """Why weights have seven bits; and that what is emulated is emulated."""
    assert largest_difference(logits("Haswell")["livedoor", 8], logits(REFERENCE)["livedoor", 8]) > 1e-3


def test_the_same_lines(folders):
    asked = {"given": "\n".join(ASKED)}
    arguments = (SCRIPTS / "predict.py", folders["ner", 7])
    assert printed("Haswell", *arguments, **asked) == printed(HERE, *arguments, **asked) != ""
