"""The one training loop: teacher, transfer, student and fine-tuning hand it a batch function and a loss function.

A batch is a pure function of its index, and all randomness inside the model is seeded by that index. So the whole
position of a run is one integer, and a resumed run takes exactly the steps that an undisturbed one would have taken.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, Dataset

from mobilebert_ja.common.progress import Progress
from mobilebert_ja.settings import TrainingSettings
from mobilebert_ja.training.blocks.exchange import blocks_for_training
from mobilebert_ja.training.checkpoints import Checkpoints, TrainState
from mobilebert_ja.training.curve import Batch, BatchFunction, Curve, NotFinite, report_not_finite
from mobilebert_ja.training.pace import Budget, Clock, linear_schedule, set_learning_rates

LossFunction = Callable[[nn.Module, Batch], tuple[torch.Tensor, dict[str, Any]]]


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
    on_progress: Callable[[float], None] | None = None,
    evaluate: Callable[[], dict[str, float]] | None = None,
    eval_seconds: float = 0.0,
) -> TrainState:
    """Train `model` in place.

    Args:
        model: in the mode (train or eval) that the caller wants; it is moved to the accelerator's device.
        batch: micro-batch index -> arrays or tensors; must depend on the index alone.
        loss_function: (model, batch) -> the loss to minimize and values for the curve.
        max_steps: optimizer steps, each of `settings.gradient_accumulation_steps` micro-batches per process.
        max_train_seconds: if above 0, training ends at this time too, and the schedule follows whichever of steps and
            clock is further on.
        folder: checkpoints live in folder/checkpoints; `settings.resume_from_checkpoint` says which one is continued.
        schedule: (step, progress from 0 to 1) -> factor of the learning rate; default `linear_schedule`.
        before_step: called with the index of the step to come and the optimizers, to change groups' "rate".
        on_progress: told before each step which share of the training is over, as `schedule` is, for a loss function
            that changes with it.
        evaluate: called every `eval_seconds` (0: never) and must leave the model as it is; what it returns goes into
            the state's heldout_history. It costs no row and no step. Its time counts in `max_train_seconds`, for which
            a machine is rented, and stands by itself in the state's heldout_seconds.

    Returns:
        The final state. Checkpoints are removed by the caller once its output is safe (`Checkpoints.remove`).

    Raises:
        UserError: the loss is not finite (not_finite.json in `folder` says where), or the checkpoint is damaged.
        KeyboardInterrupt: asked to stop; a checkpoint has been saved.
    """
    schedule = schedule or (lambda step, progress: linear_schedule(step, warmup_steps, progress))
    given = optimizers if isinstance(optimizers, list) else [optimizers]
    shell, *prepared = accelerator.prepare(Shell(model), *given)
    checkpoints = Checkpoints(folder, accelerator)
    found = checkpoints.find(settings.resume_from_checkpoint)
    state = checkpoints.load(found) if found else TrainState()
    if found:
        accelerator.print(f"{describe}: goes on from step {state.step}")

    clock = Clock(accelerator, state.seconds, agreed=bool(max_train_seconds))
    budget = Budget(max_steps, max_train_seconds)
    progress = Progress(max_steps, describe, accelerator.is_main_process, state.step)
    curve = Curve(accelerator, progress)
    step_of = Steps(accelerator, shell, prepared, loss_function, settings, curve)
    heldout = HeldOut(accelerator, clock, progress, describe, evaluate, eval_seconds)
    saving = Saving(checkpoints, settings.save_seconds, found)
    indices = step_of.indices(state.step, max_steps)
    if settings.dataloader_num_workers:
        stream = _made_by_workers(batch, indices, settings.dataloader_num_workers, accelerator.device)
    else:
        stream = _prefetched(batch, indices)
    with _stop_requests() as stop, blocks_for_training(model, accelerator.device):
        while not budget.is_spent(state):
            if before_step is not None:
                before_step(state.step, prepared)
            share = budget.share_spent(state)
            if on_progress is not None:
                on_progress(share)
            factor = schedule(state.step, share)
            set_learning_rates(prepared, factor)
            grad_norm = step_of.take(stream, state)
            state.step += 1
            state.seconds = clock.read()
            if not budget.is_spent(state) and heldout.is_due(state, stopping=bool(stop)):
                heldout.measure(state)
            done = budget.is_spent(state)
            asked_to_stop = _any_process(bool(stop), accelerator)
            save_due = _any_process(saving.is_due(), accelerator)
            if state.step % settings.logging_steps == 0 or done or asked_to_stop or save_due:
                try:
                    curve.add_point(state, grad_norm, settings.learning_rate * factor, budget.share_spent(state))
                except NotFinite as error:
                    report_not_finite(folder, state.step, error.losses, batch, checkpoints)
            if asked_to_stop or (save_due and not done):
                saving.save(state)
            if asked_to_stop:
                raise KeyboardInterrupt
        saving.save(state)  # what follows, an evaluation or the saving of the model, may fail
    progress.close()
    accelerator.free_memory()
    model.zero_grad(set_to_none=True)
    return state


class Shell(nn.Module):
    """What accelerate prepares in place of a model: its autocast goes around this forward(), so that the model itself
    is the same before, while (an evaluation sees it without autocast) and after it is trained, and can be trained a
    second time.

    (prepare() replaces a module's forward() and marks it as prepared for good; `Accelerator.unwrap_model` with
    keep_fp32_wrapper=False peels transformers' own decorators off too and leaves a forward() that cannot be called.)
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.model(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """The model's own parts, for a loss function that needs one, for example a CRF."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("model"), name)


class Steps:
    """Optimizer steps: each of `gradient_accumulation_steps` micro-batches on every process."""

    def __init__(
        self,
        accelerator: Accelerator,
        model: nn.Module,
        optimizers: list[torch.optim.Optimizer],
        loss_function: LossFunction,
        settings: TrainingSettings,
        curve: Curve,
    ):
        self._accelerator, self._model, self._optimizers = accelerator, model, optimizers
        self._loss_function, self._settings, self._curve = loss_function, settings, curve

    def indices(self, first_step: int, max_steps: int) -> Iterator[int]:
        """Of this process's micro-batches, from `first_step` on."""
        accumulation = self._settings.gradient_accumulation_steps
        world, rank = self._accelerator.num_processes, self._accelerator.process_index
        for index in range(first_step * accumulation, max_steps * accumulation):
            yield index * world + rank

    def take(self, stream: Iterator[tuple[int, Batch]], state: TrainState) -> torch.Tensor:
        """One step; returns the norm of the gradient before it was clipped (0 if it is not clipped)."""
        accelerator, max_norm = self._accelerator, self._settings.max_grad_norm
        norm = torch.zeros(())
        for _ in range(self._settings.gradient_accumulation_steps):
            asked_for_data = time.perf_counter()
            index, content = next(stream)
            state.data_wait_seconds += time.perf_counter() - asked_for_data
            torch.manual_seed((self._settings.seed << 32) + index)
            with accelerator.accumulate(self._model):
                loss, values = self._loss_function(self._model, _to_device(content, accelerator.device))
                accelerator.backward(loss)
                if accelerator.sync_gradients and max_norm > 0:
                    norm = accelerator.clip_grad_norm_(self._model.parameters(), max_norm)
                for optimizer in self._optimizers:
                    optimizer.step()
                    optimizer.zero_grad()
            self._curve.add(index, loss, values)
        return norm


class HeldOut:
    """Evaluations by the clock while training; see `run_training`."""

    def __init__(
        self,
        accelerator: Accelerator,
        clock: Clock,
        progress: Progress,
        describe: str,
        evaluate: Callable[[], dict[str, float]] | None,
        every_seconds: float,
    ):
        self._accelerator, self._clock, self._progress, self._describe = accelerator, clock, progress, describe
        self._evaluate, self._every_seconds = evaluate, every_seconds

    def is_due(self, state: TrainState, stopping: bool) -> bool:
        """Whether it is time on any process; not on one that is asked to stop."""
        if self._evaluate is None or not self._every_seconds:
            return False
        last = state.heldout_history[-1]["seconds"] if state.heldout_history else 0.0
        return _any_process(not stopping and state.seconds - last >= self._every_seconds, self._accelerator)

    def measure(self, state: TrainState) -> None:
        """Evaluate, and add the result and the time that it took to the state."""
        assert self._evaluate is not None
        began = state.seconds
        measured = self._evaluate()
        state.heldout_history.append({"step": state.step, "seconds": round(began, 2), **measured})
        self._accelerator.log({f"heldout_{key}": value for key, value in measured.items()}, step=state.step)
        shown = ", ".join(f"{key} {value:.4g}" for key, value in measured.items())
        self._progress.note(f"{self._describe}: held-out at step {state.step}: {shown}")
        state.seconds = self._clock.read()
        state.heldout_seconds += state.seconds - began


class Saving:
    """Checkpoints by the clock. `last` is the one that the run goes on from, if any."""

    def __init__(self, checkpoints: Checkpoints, every_seconds: float, last: Path | None):
        self._checkpoints, self._every_seconds = checkpoints, every_seconds
        self._last_name = last.name if last else None
        self._last_time = time.monotonic()

    def is_due(self) -> bool:
        return time.monotonic() - self._last_time > self._every_seconds

    def save(self, state: TrainState) -> None:
        """Save, unless this very step has been saved."""
        name = self._checkpoints.name_of(state)
        if name != self._last_name:
            self._checkpoints.save(state)
            self._last_name, self._last_time = name, time.monotonic()


def _prefetched(batch: BatchFunction, indices: Iterator[int]) -> Iterator[tuple[int, Batch]]:
    """Batches in order, the next one being made while the current one is used."""
    with ThreadPoolExecutor(1) as pool:
        pending = None
        for index in indices:
            following = (index, pool.submit(batch, index))
            if pending is not None:
                yield pending[0], pending[1].result()
            pending = following
        if pending is not None:
            yield pending[0], pending[1].result()


class _Batches(Dataset[tuple[int, Batch]]):
    """A batch function as a dataset of its indices."""

    def __init__(self, batch: BatchFunction):
        self._batch = batch

    def __getitem__(self, index: int) -> tuple[int, Batch]:
        return index, {key: torch.as_tensor(value) for key, value in self._batch(index).items()}


def _made_by_workers(
    batch: BatchFunction, indices: Iterator[int], workers: int, device: torch.device
) -> Iterator[tuple[int, Batch]]:
    """Batches in order, made by other processes: for devices that are faster than one process makes them."""
    loader = DataLoader(
        _Batches(batch),
        batch_size=None,
        sampler=indices,  # type: ignore[arg-type]  # any iterable of indices
        num_workers=workers,
        prefetch_factor=4,
        pin_memory=device.type == "cuda",
        multiprocessing_context="fork",  # a batch function holds memory maps, and need not be one that can be pickled
    )
    return iter(loader)


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


def _any_process(flag: bool, accelerator: Accelerator) -> bool:
    """True if the flag is set on any process; no traffic when there is only one."""
    if accelerator.num_processes == 1:
        return flag
    return bool(accelerator.reduce(torch.tensor([float(flag)], device=accelerator.device), reduction="sum").item() > 0)
