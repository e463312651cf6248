"""One pretraining run: evaluated, trained by the loop, evaluated again, saved, and what its record says of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor, nn

from mobilebert_ja.model.checkpoint import save_model
from mobilebert_ja.model.flops import utilisation
from mobilebert_ja.model.mobilebert import parameter_counts
from mobilebert_ja.pretraining.masked_lm import PretrainingModel, evaluate_pretraining, pretraining_loss
from mobilebert_ja.pretraining.replaced_tokens import Generator
from mobilebert_ja.pretraining.shards import Shards
from mobilebert_ja.settings import PretrainSettings
from mobilebert_ja.training.checkpoints import Checkpoints, TrainState
from mobilebert_ja.training.curve import Batch, BatchFunction
from mobilebert_ja.training.loop import run_training
from mobilebert_ja.training.optimizers import make_optimizers
from mobilebert_ja.training.pace import SCHEDULES


@dataclass(frozen=True)
class Outcome:
    """A run that has ended, and the held-out evaluations before and after it."""

    state: TrainState
    before: dict[str, float]
    after: dict[str, float]


class PretrainingLoss:
    """`pretraining_loss` as a run's settings want it: the guide's part ends with its share of the run."""

    def __init__(self, model: PretrainingModel, settings: PretrainSettings):
        self._loss = partial(
            pretraining_loss,
            guide_weight=settings.guide_weight,
            guide_row_weight=settings.guide_row_weight,
            tag_weight=settings.tag_weight,
            replaced_token_weight=settings.replaced_token_weight,
            hard_masking=model.hard_masking,
        )
        self._guide_until = settings.guide_until
        self._share_spent = 0.0

    def on_progress(self, share: float) -> None:
        self._share_spent = share

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
        if self._guide_until is not None and self._share_spent >= self._guide_until:
            batch = {name: value for name, value in batch.items() if name != "guide"}
        return self._loss(model, batch)


def run_pretraining(
    accelerator: Accelerator,
    model: PretrainingModel,
    batch: BatchFunction,
    heldout: Shards,
    settings: PretrainSettings,
    folder: Path,
    describe: str,
    generator: Generator | None = None,
) -> Outcome:
    """Train `model` in place, from the last checkpoint in `folder` if there is one; see `run_training` for errors.

    Args:
        generator: what replaces words of the batches, which then say which (`with_replaced_words`).
    """
    schedule = partial(SCHEDULES[settings.lr_scheduler_type], warmup_steps=settings.warmup_steps)
    before = evaluate_pretraining(model, heldout, settings, accelerator.device)
    model.train(settings.dropout)
    if not settings.next_sentence_prediction:
        # It gets no gradient, for which several processes would wait for ever or give up.
        model.next_sentence_parts().requires_grad_(False)
    loss = PretrainingLoss(model, settings)
    state = run_training(
        accelerator,
        model,
        make_optimizers(model, settings, settings.optimizer),
        batch,
        loss if generator is None else generator.before(loss),
        settings,
        max_steps=settings.max_steps,
        schedule=lambda step, progress: schedule(step, progress=progress),
        on_progress=loss.on_progress,
        max_train_seconds=settings.max_train_seconds,
        folder=folder,
        describe=describe,
        evaluate=lambda: evaluate_pretraining(model, heldout, settings, accelerator.device),
        eval_seconds=settings.eval_seconds,
    )
    return Outcome(state, before, evaluate_pretraining(model, heldout, settings, accelerator.device))


def save_pretraining(
    accelerator: Accelerator,
    model: PretrainingModel,
    outcome: Outcome,
    settings: PretrainSettings,
    tokenizer: Path,
    folder: Path,
) -> dict[str, Any]:
    """Save the model with its tokenizer, remove the checkpoints, and return the record's metrics. For one process."""
    state = outcome.state
    rows = settings.per_device_train_batch_size * settings.gradient_accumulation_steps * accelerator.num_processes
    tokens = state.step * rows * settings.max_seq_length
    rate = tokens / (state.seconds - state.heldout_seconds)
    used = utilisation(
        model.model,
        settings.max_seq_length,
        settings.mlm_probability,
        rate,
        accelerator.device,
        accelerator.mixed_precision,
        accelerator.num_processes,
    )
    save_model(model.model.cpu().eval(), tokenizer, folder, settings.save_dtype, settings.max_shard_size)
    Checkpoints(folder, accelerator).remove()
    return {
        "steps": state.step,
        "tokens_seen": tokens,
        "train_seconds": round(state.seconds, 1),
        "heldout_seconds": round(state.heldout_seconds, 1),
        "tokens_per_second": round(rate, 1),
        "data_wait_share": round(state.data_wait_seconds / state.seconds, 4),
        **used,
        "precision": accelerator.mixed_precision,
        "num_processes": accelerator.num_processes,
        **parameter_counts(model.model),
        "before": outcome.before,
        "after": outcome.after,
        "history": state.history,
        "heldout_history": [
            {"tokens": each["step"] * rows * settings.max_seq_length, **each} for each in state.heldout_history
        ],
    }


def tell_of_pretraining(name: str, metrics: dict[str, Any]) -> None:
    """Print two lines: what a run cost, and what it brought.

    Args:
        name: of the output.
        metrics: as `save_pretraining` gives them.
    """
    before, after = metrics["before"], metrics["after"]
    print(
        f"{name}: {metrics['tokens_seen']:,} tokens in {metrics['train_seconds']:.0f} s "
        f"({metrics['tokens_per_second']:,.0f} tokens/s, "
        f"{metrics['flop_utilisation']:.0%} of the device's operations, "
        f"{metrics['data_wait_share']:.1%} of the time waiting for data)"
    )
    print(
        f"held-out MLM loss {before['mlm_loss']:.3f} -> {after['mlm_loss']:.3f}, "
        f"accuracy {before['mlm_accuracy']:.1%} -> {after['mlm_accuracy']:.1%}"
    )
