"""The curve of a run: what its micro-batches gave since the last point, and a report if that is not finite."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from accelerate import Accelerator

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import write_json
from mobilebert_ja.common.progress import Progress
from mobilebert_ja.training.checkpoints import Checkpoints, TrainState

Batch = dict[str, Any]
BatchFunction = Callable[[int], Batch]


class Curve:
    """Collects losses and values; a point of the curve is their mean since the point before.

    Every checkpoint is preceded by a point, so that nothing collected here is part of what a resume needs.
    """

    def __init__(self, accelerator: Accelerator, progress: Progress):
        self._accelerator, self._progress = accelerator, progress
        self._window: list[dict[str, torch.Tensor]] = []
        self._indices: list[int] = []

    def add(self, index: int, loss: torch.Tensor, values: dict[str, Any]) -> None:
        """What micro-batch `index` gave. The tensors stay on their device: nothing waits for it here."""
        self._indices.append(index)
        self._window.append({"loss": loss.detach(), **{k: torch.as_tensor(v).detach() for k, v in values.items()}})

    def add_point(self, state: TrainState, grad_norm: torch.Tensor, learning_rate: float, share: float) -> None:
        """Append a point to the state's history, and show it. Raises `NotFinite`."""
        means = self._means()
        window, indices, self._window, self._indices = self._window, self._indices, [], []
        point = {
            "step": state.step,
            "seconds": round(state.seconds, 2),
            **means,
            "grad_norm": float(grad_norm),
            "learning_rate": learning_rate,
        }
        if not np.isfinite(means["loss"]) or not np.isfinite(point["grad_norm"]):
            raise NotFinite({index: float(each["loss"]) for index, each in zip(indices, window, strict=True)})
        state.history.append(point)
        self._accelerator.log({key: value for key, value in point.items() if key != "step"}, step=state.step)
        self._progress.update(state.step, share, point)

    def _means(self) -> dict[str, float]:
        """Mean of each value over the micro-batches since the last point, and over the processes."""
        window, accelerator = self._window, self._accelerator
        keys = dict.fromkeys(key for each in window for key in each)  # a loss may be dropped between two points
        means = {key: torch.stack([each[key].float() for each in window if key in each]).mean() for key in keys}
        if accelerator.num_processes > 1:
            means = {
                key: accelerator.reduce(value.to(accelerator.device), reduction="mean") for key, value in means.items()
            }
        return {key: float(value) for key, value in means.items()}


class NotFinite(Exception):
    """A loss or a gradient is not finite. `losses`: micro-batch -> its loss, since the last point of the curve."""

    def __init__(self, losses: dict[int, float]):
        super().__init__("The loss is not finite.")
        self.losses = losses


def fingerprint_of(content: Batch) -> str:
    """sha256 of a batch's arrays, by which one can tell whether another run sees the same rows."""
    digest = hashlib.sha256()
    for key in sorted(content):
        array = np.ascontiguousarray(content[key])
        digest.update(f"{key} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def report_not_finite(
    folder: Path, step: int, losses: dict[int, float], batch: BatchFunction, checkpoints: Checkpoints
) -> NoReturn:
    """Write not_finite.json: the first micro-batch whose loss is not finite (or the last one, if only the gradient
    is), its fingerprint and the checkpoint before it. Raises `UserError`."""
    culprit = next((index for index, loss in losses.items() if not np.isfinite(loss)), list(losses)[-1])
    good = checkpoints.latest()
    write_json(
        folder / "not_finite.json",
        {
            "seen_at_step": step,
            "micro_batch": culprit,
            "losses": {index: repr(loss) for index, loss in losses.items()},
            "batch_sha256": fingerprint_of(batch(culprit)),
            "last_checkpoint": good.name if good else None,
        },
    )
    raise UserError(
        f"The loss is not finite at step {step} (micro-batch {culprit}; see {folder / 'not_finite.json'}). "
        f"Lower --learning_rate or raise --warmup_steps; the last checkpoint is {good.name if good else 'the start'}."
    )
