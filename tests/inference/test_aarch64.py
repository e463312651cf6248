"""An ARM processor, emulated by qemu: a sped-up folder that was made here loads there and answers the same.

Says nothing of the speed there. `tests/helpers/running/aarch64_root.py` says what it takes.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.files.task_data import TEXTS
from helpers.models.exported_models import LOGITS_PROGRAM, write_exported
from helpers.paths import SCRIPTS
from helpers.running.processes import run, with_package

EMULATOR = shutil.which("qemu-aarch64")
ROOT = Path(os.environ.get("AARCH64_ROOT", "missing")).absolute()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(EMULATOR is None, reason="needs qemu-aarch64 (Debian: apt install qemu-user, 10 or later)"),
    pytest.mark.skipif(
        not (ROOT / "site" / "onnxruntime").is_dir(),
        reason="needs AARCH64_ROOT to name a folder that tests/helpers/running/aarch64_root.py made",
    ),
]
ASKED = TEXTS[:12]
HERE = [sys.executable]
THERE = [str(EMULATOR), "-L", str(ROOT), str(ROOT / "usr" / "bin" / "python3")]


def printed(python, *arguments, given):
    environment = with_package(OMP_NUM_THREADS="1")
    if python == THERE:
        environment |= {"PYTHONPATH": f"{SCRIPTS}:{ROOT / 'site'}", "PYTHONDONTWRITEBYTECODE": "1"}
    done = run([*python, *arguments], input=given, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write_exported(tmp_path_factory.mktemp("aarch64"), [("livedoor", 7), ("ner", 7)])


def test_it_is_another_processor():
    assert printed(THERE, "-c", "import platform; print(platform.machine())", given="").strip() == "aarch64"


def test_the_same_logits(folders):
    """But for sums in another order: where they move an activation across a rounding, it moves by a step of int8."""
    here, there = (
        json.loads(printed(python, "-c", LOGITS_PROGRAM, *folders.values(), given=json.dumps(ASKED)))
        for python in (HERE, THERE)
    )
    for mine, theirs in zip(here, there, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            assert np.abs(np.subtract(one, other)).max() < 0.01 * np.abs(one).max()


@pytest.mark.parametrize("task", ["livedoor", "ner"])
def test_the_same_answers(folders, task):
    """Words, spans and classes to the letter; probabilities to a hundredth."""
    here, there = (
        [
            json.loads(line)
            for line in printed(python, SCRIPTS / "predict.py", folders[task, 7], given="\n".join(ASKED)).splitlines()
        ]
        for python in (HERE, THERE)
    )
    assert len(here) == len(ASKED)
    for mine, theirs in zip(here, there, strict=True):
        assert mine.keys() == theirs.keys()
        for name, value in mine.items():
            if name in ("probability", "probabilities"):
                assert theirs[name] == pytest.approx(value, abs=0.01)
            else:
                assert theirs[name] == value
