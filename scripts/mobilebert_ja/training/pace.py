"""How far a run is: its clock, its budget of steps and seconds, and the learning rate that follows from them."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast

from mobilebert_ja.training.checkpoints import TrainState


class Clock:
    """Seconds in the loop, those before an interruption included.

    Args:
        agreed: whether all processes are to read the same time (the first one's), which costs a broadcast.
    """

    def __init__(self, accelerator: Accelerator, seconds_before: float, agreed: bool):
        self._accelerator = accelerator
        self._agreed = agreed and accelerator.num_processes > 1
        self._seconds_before, self._began = seconds_before, time.perf_counter()

    def read(self) -> float:
        seconds = self._seconds_before + time.perf_counter() - self._began
        if self._agreed:
            mine = torch.tensor([seconds], dtype=torch.float64, device=self._accelerator.device)
            seconds = float(broadcast(mine).item())
        return seconds


@dataclass(frozen=True)
class Budget:
    """Optimizer steps and, if above 0, seconds; whichever is used up first ends the run."""

    max_steps: int
    max_seconds: float

    def share_spent(self, state: TrainState) -> float:
        """From 0 to 1 (or a little more), of steps or seconds, whichever is further on."""
        clock = state.seconds / self.max_seconds if self.max_seconds else 0.0
        return max(state.step / self.max_steps, clock)

    def is_spent(self, state: TrainState) -> bool:
        return state.step >= self.max_steps or self.share_spent(state) >= 1


def linear_schedule(step: int, warmup_steps: int, progress: float) -> float:
    """Factor of the learning rate: linear warm-up over `warmup_steps`, then linear decay to 0 at progress 1."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return max(0.0, 1.0 - progress)


def constant_schedule(step: int, warmup_steps: int, progress: float) -> float:
    """Factor of the learning rate: linear warm-up over `warmup_steps`, then 1."""
    return linear_schedule(step, warmup_steps, 0.0)


SCHEDULES = {"linear": linear_schedule, "constant": constant_schedule}


def set_learning_rates(optimizers: list[torch.optim.Optimizer], factor: float) -> None:
    """Give every group its rate for the step to come: base_lr x rate x `factor`."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * group["rate"] * factor
