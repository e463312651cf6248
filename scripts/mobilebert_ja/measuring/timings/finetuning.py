"""Examples per second in fine-tuning: this loop and transformers' own Trainer on the same model and examples.

    ACCELERATE_MIXED_PRECISION=bf16 python scripts/measure.py finetuning --config recipes/cpu.yaml --task livedoor

Reads WORK_DIR/student (or --model_name_or_path) and DATA_DIR, writes WORK_DIR/finetuning_speed/TASK. The contenders
take turns: this loop; the Trainer as it comes, with padding to the longest row of a batch; and the Trainer told to
group rows by length. Same weights, examples, batch size, precision, optimizer (AdamW, fused) and one pass each.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from mobilebert_ja.data.sample import resolve_data_dir
from mobilebert_ja.finetuning.modelling.forms import training_rows
from mobilebert_ja.finetuning.modelling.heads import make_model, model_config, require_student
from mobilebert_ja.finetuning.origin import model_input
from mobilebert_ja.finetuning.run import Job, train
from mobilebert_ja.inference.kinds import KINDS
from mobilebert_ja.measuring.turns import median_ratio, print_rate, take_turns
from mobilebert_ja.plans import stage_of
from mobilebert_ja.settings import FinetuneSpeedSettings, parse_settings
from mobilebert_ja.tasks import task_source
from mobilebert_ja.tokenization.encoders import make_encoder
from mobilebert_ja.tokenization.folders import load_tokenizer
from mobilebert_ja.training.accelerator import make_accelerator


class Clock(TrainerCallback):
    """Seconds from the Trainer's first step to its end."""

    seconds = 0.0

    def on_train_begin(self, *_args: Any, **_kwargs: Any) -> None:
        self.begun = time.perf_counter()

    def on_train_end(self, *_args: Any, **_kwargs: Any) -> None:
        self.seconds = time.perf_counter() - self.begun


def this_loop(job: Job, folder: Path) -> float:
    """Seconds of one pass."""
    shutil.rmtree(folder, ignore_errors=True)
    _, state = train(job, folder, "this loop", crf=False)
    return state.seconds


def the_trainer(job: Job, folder: Path, by_length: bool) -> float:
    """Seconds of one pass."""
    settings, clock = job.settings, Clock()
    rows = training_rows(job.task, job.reader)
    data: Any = [{"input_ids": row.ids, "labels": row.labels} for row in rows]
    collator = DataCollatorForTokenClassification if KINDS[job.task.kind].per_token else DataCollatorWithPadding
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=settings.per_device_train_batch_size,
        num_train_epochs=1,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch_fused",
        seed=settings.seed,
        bf16=job.accelerator.mixed_precision == "bf16",
        use_cpu=not torch.cuda.is_available(),
        report_to="none",
        train_sampling_strategy="group_by_length" if by_length else "random",
        save_strategy="no",
        disable_tqdm=True,
        logging_strategy="no",
        dataloader_num_workers=0,
    )
    model = make_model(settings, job.config, job.task)
    Trainer(model, arguments, data_collator=collator(job.tokenizer), train_dataset=data, callbacks=[clock]).train()  # type: ignore
    return clock.seconds


def main() -> None:
    settings = parse_settings(FinetuneSpeedSettings, __doc__, "finetune_{task}")
    output = Path(settings.output_dir or Path(settings.work_dir) / "finetuning_speed" / settings.task)
    data = task_source(vars(settings), lambda: resolve_data_dir(settings))
    inputs = dict(data.files)
    if Path(str(settings.model_name_or_path)).is_dir():
        inputs["model_name_or_path"] = model_input(Path(str(settings.model_name_or_path)))
    accelerator = make_accelerator()
    stage = stage_of(f"finetuning_speed_{settings.task}", settings, inputs, output)
    if stage.is_done(settings.overwrite):
        return
    task = data.load(settings.split_seed)
    order = np.random.default_rng(settings.seed).permutation(len(task.train))[: settings.examples]
    task = dataclasses.replace(task, train=[task.train[index] for index in order])
    training = settings.training()
    require_student(training)
    tokenizer = load_tokenizer(str(settings.tokenizer or settings.model_name_or_path))
    encoder = make_encoder(tokenizer)
    config = model_config(training, encoder.entries)
    job = Job(accelerator, training, task, config, tokenizer, encoder)
    stage.begin(overwrite=settings.overwrite)
    work = stage.folder / "work"
    trainings: dict[str, Callable[[], float]] = {
        "this_loop": lambda: this_loop(job, work),
        "trainer": lambda: the_trainer(job, work, by_length=False),
        "trainer_by_length": lambda: the_trainer(job, work, by_length=True),
    }

    def rate_of(seconds: Callable[[], float]) -> Callable[[int], float]:
        return lambda _round: round(len(task.train) / seconds(), 1)

    contenders = {name: rate_of(seconds) for name, seconds in trainings.items()}
    rates = take_turns(contenders, settings.repetitions, note=print_rate("examples/s"))
    shutil.rmtree(work, ignore_errors=True)
    times_as_fast = {
        name: round(median_ratio(rates["this_loop"], rates[name]), 3) for name in rates if name != "this_loop"
    }
    metrics = {
        "examples_per_second": rates,
        "times_as_fast": times_as_fast,
        "examples": len(task.train),
        "precision": accelerator.mixed_precision,
        "num_threads": torch.get_num_threads(),
    }
    stage.finish(metrics)
    print(
        f"this loop is {times_as_fast['trainer']:.2f} times as fast as the Trainer, "
        f"{times_as_fast['trainer_by_length']:.2f} times as one that groups by length"
    )
