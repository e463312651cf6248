"""What a model costs before it answers for the first time, measured in a process that has nothing loaded yet.

    python -m mobilebert_ja.measuring.models.cold_start onnx FOLDER livedoor 128

is such a process: it loads a model, answers one text and says how large it has become.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError

EAGER, TORCHSCRIPT, ONNX = "eager", "torchscript", "onnx"
TEXT = "新しい映画の予告編が公開され、話題になっている。"
SCRIPTS = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class ColdStart:
    """Seconds from starting Python to the first answer, and the peak of resident memory by then in MiB; one each."""

    seconds: list[float]
    peak_mib: list[float]


def answer_once(kind: str, folder: Path, task: str, max_seq_length: int) -> Any:
    """Load a folder and answer; imports nothing that this kind of model does without."""
    if kind == ONNX:
        from mobilebert_ja.runtime import load

        return load(folder).predict_one(TEXT)
    import torch

    torch.set_num_threads(1)
    if kind == TORCHSCRIPT:
        from mobilebert_ja.compression.torchscript import load_compressed

        return load_compressed(folder).predictor().predict_one(TEXT)
    from mobilebert_ja.finetuning.folder import load_finetuned

    return load_finetuned(folder, task, max_seq_length)[1].predictor().predict_one(TEXT)


def peak_mib() -> float:
    """Largest resident memory of this process alone; what getrusage says includes the process that started it."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(kind: str, folder: Path, task: str, max_seq_length: int, repetitions: int) -> ColdStart:
    """Start `repetitions` processes one after another. Raises `UserError` if one fails."""
    command = [
        sys.executable,
        "-m",
        "mobilebert_ja.measuring.models.cold_start",
        kind,
        str(folder),
        task,
        str(max_seq_length),
    ]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    measured = ColdStart([], [])
    for _ in range(repetitions):
        begun = time.perf_counter()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            measured.seconds.append(round(time.perf_counter() - begun, 4))
            _, complaint = process.communicate()
        if process.returncode:
            last = (complaint.strip() or f"exit status {process.returncode}").splitlines()[-1]
            raise UserError(f"A fresh process cannot load {folder}: {last}")
        measured.peak_mib.append(json.loads(line)["peak_mib"])
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=(EAGER, TORCHSCRIPT, ONNX))
    parser.add_argument("folder", type=Path)
    parser.add_argument("task")
    parser.add_argument("max_seq_length", type=int)
    given = parser.parse_args()
    answer_once(given.kind, given.folder, given.task, given.max_seq_length)
    print(json.dumps({"peak_mib": round(peak_mib(), 1)}), flush=True)


if __name__ == "__main__":
    main()
