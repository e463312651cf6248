"""What a training runs on: as accelerate is set and, where it is not, what the processor is good at."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.tracking import get_available_trackers
from accelerate.utils import parse_flag_from_env

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.processor import multiplies_in_bf16, usable_cores
from mobilebert_ja.settings import comma_separated
from mobilebert_ja.training.memory import keep_freed_memory

# Set by `accelerate launch` and by torchrun, which also export OMP_NUM_THREADS=1 where nobody has set it.
_LAUNCHED = ("ACCELERATE_DYNAMO_BACKEND", "TORCHELASTIC_RUN_ID")


def make_accelerator(
    gradient_accumulation_steps: int = 1, report_to: str = "", logging_dir: str | Path = ".", **extra: Any
) -> Accelerator:
    """The accelerator of an entry script. Hardware and precision come from accelerate's own configuration.

    Precision that nobody has set is bf16 on a CPU that multiplies in it; one line says which it is, and why.

    Args:
        report_to: trackers that get the curve too, by accelerate's names, comma separated; "" for none.
        logging_dir: where trackers that write files write them.

    Raises `UserError` for fp16 and for a tracker that is unknown or not installed.
    """
    names = comma_separated(report_to)
    available = {tracker.value for tracker in get_available_trackers()}
    if missing := [name for name in names if name not in available]:
        raise UserError(
            f"--report_to {missing[0]}: accelerate knows no such tracker, or its package is not installed (there are "
            f"{', '.join(sorted(available)) or 'none'})."
        )
    # As Accelerator itself would do; without the flag, several processes on CPUs would not find one another.
    on_cpu = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU")).device.type == "cpu"
    precision, reason = choose_precision(on_cpu)
    accelerator = Accelerator(
        gradient_accumulation_steps=gradient_accumulation_steps,
        log_with=names or None,
        project_dir=str(logging_dir) if names else None,
        mixed_precision=precision,
        **extra,
    )
    if names:
        accelerator.init_trackers("mobilebert-ja")
    if accelerator.mixed_precision == "fp16":
        raise UserError("MobileBERT overflows in fp16; use --mixed_precision bf16 or no.")
    shown = "fp32" if accelerator.mixed_precision == "no" else accelerator.mixed_precision
    accelerator.print(f"precision: {shown} ({reason})", file=sys.stderr)
    if on_cpu:
        keep_freed_memory()
        if accelerator.mixed_precision == "bf16" and multiplies_in_bf16() is False:
            accelerator.print(
                "warning: this processor has no instructions for bf16 and emulates it, which is many times slower "
                "than fp32; give --mixed_precision no (or ACCELERATE_MIXED_PRECISION=no).",
                file=sys.stderr,
            )
        if (threads := choose_threads(accelerator.num_processes)) is not None:
            torch.set_num_threads(threads)
    return accelerator


def choose_precision(on_cpu: bool) -> tuple[str | None, str]:
    """What to hand to accelerate as `mixed_precision` (None: its own choice), and why, for the user."""
    if os.environ.get("ACCELERATE_MIXED_PRECISION"):  # set by the user, or by `accelerate launch`, which always does
        return None, "as accelerate is set"
    if not on_cpu:
        return None, "accelerate's default"
    if multiplies_in_bf16():
        return "bf16", "this processor multiplies in it"
    return "no", "this processor does not multiply in bf16"


def choose_threads(num_processes: int) -> int | None:
    """torch's threads for each of `num_processes`; None: leave what the user has set (OMP_NUM_THREADS, if it is a
    number of threads).

    Otherwise the processors that this process may use, by its affinity and by its container's quota, are shared out.
    A value of 1 from a launcher is taken for the launcher's own, which would leave all cores but one idle.
    """
    wished = os.environ.get("OMP_NUM_THREADS", "")
    number = wished.partition(",")[0].strip()  # a list is of nested teams, the outer first
    launched = any(name in os.environ for name in _LAUNCHED)
    if number.isdecimal() and int(number) and not (launched and wished == "1"):
        return None
    return max(1, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE") or num_processes))
