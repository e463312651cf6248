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

from helpers.files.task_data import LABELS, TEXTS
from helpers.models.exported_models import LOGITS_PROGRAM, write_exported
from helpers.paths import SCRIPTS
from helpers.running.processes import run, with_package

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
ASKED = TEXTS[:12]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """(task, bits of a weight) -> folder"""
    return write_exported(tmp_path_factory.mktemp("processors"), [("livedoor", 7), ("ner", 7), ("livedoor", 8)])


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
        found = json.loads(printed(processor, "-c", LOGITS_PROGRAM, *folders.values(), given=json.dumps(ASKED)))
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
