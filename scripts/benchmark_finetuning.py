"""Measure fine-tuning: examples a second of this loop and of transformers' own Trainer on the same model and examples.

    ACCELERATE_MIXED_PRECISION=bf16 python scripts/benchmark_finetuning.py --config recipes/cpu.yaml --task livedoor

Reads WORK_DIR/student (or --model_name_or_path) and DATA_DIR, writes WORK_DIR/finetuning_speed/TASK. The contenders
take turns: this loop; the Trainer as it comes, with padding to the longest row of a batch; and the Trainer told to
group rows by length. Same weights, examples, batch size, precision, optimizer (AdamW, fused) and one pass each.
"""

from __future__ import annotations

import dataclasses
import shutil
import statistics
import time
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

from mobilebert_ja.common.errors import UserError, exit_on_user_error
from mobilebert_ja.common.records import Stage
from mobilebert_ja.data.sample import resolve_data_dir
from mobilebert_ja.finetuning.forms import training_rows
from mobilebert_ja.finetuning.heads import make_model, model_config
from mobilebert_ja.finetuning.run import Job, train
from mobilebert_ja.inference.kinds import KINDS
from mobilebert_ja.settings import FinetuneSpeedSettings, parse_settings
from mobilebert_ja.tasks import PUBLIC_TASKS, task_source
from mobilebert_ja.tokenization.encoder import FastEncoder, load_tokenizer
from mobilebert_ja.training.loop import make_accelerator


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


@exit_on_user_error
def main() -> None:
    settings = parse_settings(FinetuneSpeedSettings, __doc__, "finetune_{task}", task=list(PUBLIC_TASKS))
    for name in ("examples", "repetitions"):
        if getattr(settings, name) < 1:
            raise UserError(f"--{name} must be at least 1, not {getattr(settings, name)}.")
    settings.num_train_epochs = 1
    output = Path(settings.output_dir or Path(settings.work_dir) / "finetuning_speed" / settings.task)
    data = task_source(vars(settings), lambda: resolve_data_dir(settings))
    inputs = dict(data.files)
    if Path(str(settings.model_name_or_path)).is_dir():
        inputs["model_name_or_path"] = Path(str(settings.model_name_or_path))
    accelerator = make_accelerator()
    stage = Stage(f"finetuning_speed_{settings.task}", vars(settings), output, inputs, Path(str(settings.records_dir)))
    if stage.is_done(settings.overwrite):
        return
    task = data.load(settings.split_seed)
    order = np.random.default_rng(settings.seed).permutation(len(task.train))[: settings.examples]
    task = dataclasses.replace(task, train=[task.train[place] for place in order])
    tokenizer = load_tokenizer(str(settings.tokenizer or settings.model_name_or_path))
    encoder = FastEncoder(tokenizer)
    config = model_config(settings, len(encoder.vocab))
    job = Job(accelerator, settings, task, config, tokenizer, encoder)
    stage.begin(overwrite=settings.overwrite)
    work = stage.folder / "work"
    contenders = {
        "this_loop": lambda: this_loop(job, work),
        "trainer": lambda: the_trainer(job, work, by_length=False),
        "trainer_by_length": lambda: the_trainer(job, work, by_length=True),
    }
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(settings.repetitions):
        for name in contenders if number % 2 == 0 else reversed(contenders):
            rates[name].append(round(len(task.train) / contenders[name](), 1))
            print(f"round {number + 1}, {name}: {rates[name][-1]:,.1f} examples/s", flush=True)
    shutil.rmtree(work, ignore_errors=True)
    ours = rates["this_loop"]
    times_as_fast = {
        name: round(statistics.median(own / other for own, other in zip(ours, others, strict=True)), 3)
        for name, others in rates.items()
        if name != "this_loop"
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


if __name__ == "__main__":
    main()
