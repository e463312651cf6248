"""The one training loop: teacher, transfer, student and fine-tuning hand it a batch function and a loss function.

A batch is a pure function of its number, and all randomness inside the model is seeded by that number. So the whole
position of a run is one integer, and a resumed run takes exactly the steps that an undisturbed one would have taken.
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import broadcast
from torch import nn
from transformers import PreTrainedModel

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import write_json
from mobilebert_ja.common.progress import Progress
from mobilebert_ja.settings import TrainingSettings
from mobilebert_ja.training.checkpoints import Checkpoints, TrainState

Batch = dict[str, Any]
BatchFunction = Callable[[int], Batch]
LossFunction = Callable[[nn.Module, Batch], tuple[torch.Tensor, dict[str, Any]]]
_WRAPPED = ("forward", "_original_forward")  # what accelerate's prepare() sets on a model, for its autocast


def make_accelerator(
    gradient_accumulation_steps: int = 1, report_to: str = "", logging_dir: str | Path = ".", **extra: Any
) -> Accelerator:
    """The accelerator of an entry script. Hardware and precision come from accelerate's own configuration.

    Args:
        report_to: trackers that get the curve too, by accelerate's names, comma separated; "" for none.
        logging_dir: where trackers that write files write them.

    Raises `UserError` for fp16 and for a tracker that is unknown or not installed.
    """
    names = [name.strip() for name in report_to.split(",") if name.strip()]
    available = {tracker.value for tracker in get_available_trackers()}
    if missing := [name for name in names if name not in available]:
        raise UserError(
            f"--report_to {missing[0]}: accelerate knows no such tracker, or its package is not installed (there are "
            f"{', '.join(sorted(available)) or 'none'})."
        )
    accelerator = Accelerator(
        gradient_accumulation_steps=gradient_accumulation_steps,
        log_with=names or None,
        project_dir=str(logging_dir) if names else None,
        **extra,
    )
    if names:
        accelerator.init_trackers("mobilebert-ja")
    if accelerator.mixed_precision == "fp16":
        raise UserError("MobileBERT overflows in fp16; use --mixed_precision bf16 or no.")
    if accelerator.device.type == "cpu":
        # `accelerate launch` exports OMP_NUM_THREADS=1, which would leave all cores but one idle.
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // accelerator.num_processes))
    return accelerator


def linear_schedule(step: int, warmup_steps: int, progress: float) -> float:
    """Factor of the learning rate: linear warm-up over `warmup_steps`, then linear decay to 0 at progress 1."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return max(0.0, 1.0 - progress)


def constant_schedule(step: int, warmup_steps: int, progress: float) -> float:
    """Factor of the learning rate: linear warm-up over `warmup_steps`, then 1."""
    return linear_schedule(step, warmup_steps, 0.0)


SCHEDULES = {"linear": linear_schedule, "constant": constant_schedule}


def _prefetched(batch: BatchFunction, numbers: Iterator[int]) -> Iterator[tuple[int, Batch]]:
    """Batches in order, the next one being made while the current one is used."""
    with ThreadPoolExecutor(1) as pool:
        pending = None
        for number in numbers:
            following = (number, pool.submit(batch, number))
            if pending is not None:
                yield pending[0], pending[1].result()
            pending = following
        if pending is not None:
            yield pending[0], pending[1].result()


def _to_device(batch: Batch, device: torch.device) -> Batch:
    return {key: torch.as_tensor(value).to(device, non_blocking=True) for key, value in batch.items()}


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """A list that fills when the process is asked to end (SIGTERM, SIGINT), so that the loop can save first."""
    received: list[int] = []
    previous = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            previous[number] = signal.signal(number, lambda which, _frame: received.append(which))
        except ValueError:  # not in the main thread, for example inside a notebook's worker
            break
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _as_handed_in(model: nn.Module) -> Iterator[None]:
    """The model without the autocast that prepare() put around its forward(), as it is before and after training."""
    wrapped = {name: model.__dict__.pop(name) for name in _WRAPPED if name in model.__dict__}
    try:
        yield
    finally:
        model.__dict__.update(wrapped)


@contextmanager
def _attention_for_training(model: nn.Module, device: torch.device) -> Iterator[None]:
    """On a CPU, attention as single products instead of torch's fused kernel, whose backward pass is slow there for
    heads as narrow as MobileBERT's. The model is left with the attention it had."""
    changed = []
    if device.type == "cpu":
        for part in model.modules():
            if isinstance(part, PreTrainedModel) and part.config._attn_implementation == "sdpa":
                part.set_attn_implementation("eager")
                changed.append(part)
    try:
        yield
    finally:
        for part in changed:
            part.set_attn_implementation("sdpa")


def run_training(
    accelerator: Accelerator,
    model: nn.Module,
    optimizers: torch.optim.Optimizer | list[torch.optim.Optimizer],
    batch: BatchFunction,
    loss_function: LossFunction,
    settings: TrainingSettings,
    *,
    max_steps: int,
    warmup_steps: int = 0,
    max_train_seconds: float = 0.0,
    folder: Path,
    describe: str = "training",
    schedule: Callable[[int, float], float] | None = None,
    before_step: Callable[[int, list[torch.optim.Optimizer]], None] | None = None,
    evaluate: Callable[[], dict[str, float]] | None = None,
    eval_seconds: float = 0.0,
) -> TrainState:
    """Train `model` in place.

    Args:
        model: in the mode (train or eval) that the caller wants; it is moved to the accelerator's device.
        batch: micro-batch number -> arrays or tensors; must depend on the number alone.
        loss_function: (model, batch) -> the loss to minimize and values for the curve.
        max_steps: optimizer steps, each of `settings.gradient_accumulation_steps` micro-batches a process.
        max_train_seconds: if above 0, training ends at this time too, and the schedule follows whichever of steps and
            clock is further on.
        folder: checkpoints live in folder/checkpoints; `settings.resume_from_checkpoint` says which one is continued.
        schedule: (step, progress from 0 to 1) -> factor of the learning rate; default `linear_schedule`.
        before_step: called with the number of the step to come and the optimizers, to change groups' "rate".
        evaluate: called every `eval_seconds` (0: never) while the model is as it was handed in, and must leave it so;
            what it returns goes into the state's heldout_history. It costs no row and no step. Its time counts in
            `max_train_seconds`, for which a machine is rented, and stands by itself in the state's heldout_seconds.

    Returns:
        The final state. Checkpoints are removed by the caller once its output is safe (`Checkpoints.remove`).

    Raises:
        UserError: the loss is not finite (not_finite.json in `folder` says where), or the checkpoint is damaged.
        KeyboardInterrupt: asked to stop; a checkpoint has been saved.
    """
    bare_model = model
    model, *prepared = accelerator.prepare(model, *(optimizers if isinstance(optimizers, list) else [optimizers]))
    checkpoints = Checkpoints(folder, accelerator)
    state = TrainState()
    found = checkpoints.find(settings.resume_from_checkpoint)
    if found is not None:
        state = checkpoints.load(found)
        accelerator.print(f"{describe}: goes on from step {state.step}")
    base_seconds, began = state.seconds, time.perf_counter()
    accumulation, world, rank = (
        settings.gradient_accumulation_steps,
        accelerator.num_processes,
        accelerator.process_index,
    )

    def elapsed() -> float:
        seconds = base_seconds + time.perf_counter() - began
        if max_train_seconds and world > 1:  # all processes must agree on when to stop
            seconds = float(broadcast(torch.tensor([seconds], dtype=torch.float64, device=accelerator.device)).item())
        return seconds

    def share_done() -> float:
        clock = state.seconds / max_train_seconds if max_train_seconds else 0.0
        return max(state.step / max_steps, clock)

    def evaluation_due() -> bool:
        last = state.heldout_history[-1]["seconds"] if state.heldout_history else 0.0
        return state.seconds - last >= eval_seconds

    schedule = schedule or (lambda step, progress: linear_schedule(step, warmup_steps, progress))
    numbers = (
        (step * accumulation + micro) * world + rank
        for step in range(state.step, max_steps)
        for micro in range(accumulation)
    )
    stream = _prefetched(batch, numbers)
    progress = Progress(max_steps, describe, accelerator.is_main_process, state.step)
    window: list[dict[str, torch.Tensor]] = []  # losses and values since the last point of the curve
    window_numbers: list[int] = []  # and the micro-batches that they come from
    last_save = time.monotonic()
    with _stop_requests() as stop, _attention_for_training(bare_model, accelerator.device):
        while state.step < max_steps and share_done() < 1:
            if before_step is not None:
                before_step(state.step, prepared)
            factor = schedule(state.step, share_done())
            for optimizer in prepared:
                for group in optimizer.param_groups:
                    group["lr"] = group["base_lr"] * group["rate"] * factor
            norm = torch.zeros(())
            for _ in range(accumulation):
                asked_for_data = time.perf_counter()
                number, content = next(stream)
                state.data_wait_seconds += time.perf_counter() - asked_for_data
                window_numbers.append(number)
                torch.manual_seed((settings.seed << 32) + number)
                with accelerator.accumulate(model):
                    loss, values = loss_function(model, _to_device(content, accelerator.device))
                    accelerator.backward(loss)
                    if accelerator.sync_gradients and settings.max_grad_norm > 0:
                        norm = accelerator.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
                    for optimizer in prepared:
                        optimizer.step()
                        optimizer.zero_grad()
                window.append({"loss": loss.detach(), **{k: torch.as_tensor(v).detach() for k, v in values.items()}})
            state.step += 1
            state.seconds = elapsed()
            done = state.step == max_steps or share_done() >= 1
            if evaluate and eval_seconds and not done and _any_process(not stop and evaluation_due(), accelerator):
                measured_at = state.seconds
                with _as_handed_in(bare_model):
                    measured = evaluate()
                state.heldout_history.append({"step": state.step, "seconds": round(measured_at, 2), **measured})
                accelerator.log({f"heldout_{key}": value for key, value in measured.items()}, step=state.step)
                shown = ", ".join(f"{key} {value:.4g}" for key, value in measured.items())
                progress.note(f"{describe}: held-out at step {state.step}: {shown}")
                state.seconds = elapsed()
                state.heldout_seconds += state.seconds - measured_at
                done = share_done() >= 1
            asked = _any_process(bool(stop), accelerator)
            due = _any_process(time.monotonic() - last_save > settings.save_seconds, accelerator)
            if state.step % settings.logging_steps == 0 or done or asked or due:
                means = _means(window, accelerator)
                used, numbers_used, window, window_numbers = window, window_numbers, [], []
                point = {
                    "step": state.step,
                    "seconds": round(state.seconds, 2),
                    **means,
                    "grad_norm": float(norm),
                    "learning_rate": settings.learning_rate * factor,
                }
                if not np.isfinite(means["loss"]) or not np.isfinite(point["grad_norm"]):
                    losses = [float(each["loss"]) for each in used]
                    _report_not_finite(folder, state.step, numbers_used, losses, batch, checkpoints)
                state.history.append(point)
                accelerator.log({key: value for key, value in point.items() if key != "step"}, step=state.step)
                progress.update(state.step, share_done(), point)
            if asked or (due and not done):
                checkpoints.save(state)
                last_save = time.monotonic()
                if asked:
                    raise KeyboardInterrupt
        if found is None or found.name != f"step-{state.step}":
            checkpoints.save(state)  # what follows, an evaluation or the saving of the model, may fail
    progress.close()
    # Leave the model as it was handed in. (accelerate's own unwrap_model peels off transformers' decorators too and
    # leaves a forward() that cannot be called.)
    for name in _WRAPPED:
        bare_model.__dict__.pop(name, None)
    accelerator.free_memory()
    bare_model.zero_grad(set_to_none=True)
    return state


def _means(window: list[dict[str, torch.Tensor]], accelerator: Accelerator) -> dict[str, float]:
    """Mean of each value over the micro-batches of the window, and over the processes."""
    means = {key: torch.stack([each[key].float() for each in window]).mean() for key in window[0]}
    if accelerator.num_processes > 1:
        means = {
            key: accelerator.reduce(value.to(accelerator.device), reduction="mean") for key, value in means.items()
        }
    return {key: float(value) for key, value in means.items()}


def fingerprint_of(content: Batch) -> str:
    """sha256 of a batch's arrays, by which one can tell whether another run sees the same rows."""
    digest = hashlib.sha256()
    for key in sorted(content):
        array = np.ascontiguousarray(content[key])
        digest.update(f"{key} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _report_not_finite(
    folder: Path, step: int, numbers: list[int], losses: list[float], batch: BatchFunction, checkpoints: Checkpoints
) -> NoReturn:
    """Write not_finite.json: the first micro-batch whose loss is not finite (or the last one, if only the gradient
    is), its fingerprint and the checkpoint before it. Raises `UserError`."""
    first = next((place for place, loss in enumerate(losses) if not np.isfinite(loss)), len(losses) - 1)
    good = checkpoints.latest()
    write_json(
        folder / "not_finite.json",
        {
            "seen_at_step": step,
            "micro_batch": numbers[first],
            "losses": {number: repr(loss) for number, loss in zip(numbers, losses, strict=True)},
            "batch_sha256": fingerprint_of(batch(numbers[first])),
            "last_checkpoint": good.name if good else None,
        },
    )
    raise UserError(
        f"The loss is not finite at step {step} (micro-batch {numbers[first]}; see {folder / 'not_finite.json'}). "
        f"Lower --learning_rate or raise --warmup_steps; the last checkpoint is {good.name if good else 'the start'}."
    )


def _any_process(flag: bool, accelerator: Accelerator) -> bool:
    """True if the flag is set on any process; no traffic when there is only one."""
    if accelerator.num_processes == 1:
        return flag
    return bool(accelerator.reduce(torch.tensor([float(flag)], device=accelerator.device), reduction="sum").item() > 0)
