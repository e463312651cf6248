"""Tokens per second in pretraining: this loop and transformers' own Trainer on the same model and batches.

    ACCELERATE_MIXED_PRECISION=bf16 python scripts/measure.py training --config recipes/cpu.yaml

Reads WORK_DIR/shards and WORK_DIR/tokenizer, writes WORK_DIR/training_speed. The contenders take turns: this loop,
with the MLM head on the masked positions; and the Trainer with its MLM collator, whose model runs the head on all of
them. Same structure, random weights, rows, batch, precision and optimizer (AdamW, fused).
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from transformers import (
    DataCollatorForLanguageModeling,
    MobileBertConfig,
    MobileBertForMaskedLM,
    MobileBertForPreTraining,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from mobilebert_ja.common.files import require_folder
from mobilebert_ja.measuring.turns import median_ratio, print_rate, take_turns
from mobilebert_ja.model.flops import utilisation
from mobilebert_ja.model.mobilebert import initialise_student, mobilebert_config
from mobilebert_ja.plans import stage_of
from mobilebert_ja.pretraining.masked_lm import PretrainingModel, batch_function, check_fits, pretraining_loss
from mobilebert_ja.pretraining.shards import Rows, Shards
from mobilebert_ja.settings import TrainingSpeedSettings, parse_settings
from mobilebert_ja.tokenization.encoder import load_tokenizer, locate_tokenizer
from mobilebert_ja.training.accelerator import make_accelerator
from mobilebert_ja.training.loop import run_training
from mobilebert_ja.training.optimizers import make_optimizers

WARM_UP = 2  # steps before the clock starts


class StepTimes(TrainerCallback):
    """When each step of the Trainer began."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_begin(self, *_args: Any, **_kwargs: Any) -> None:
        self.times.append(time.perf_counter())


def tokens_per_second(times: list[float], settings: TrainingSpeedSettings) -> float:
    """From the beginnings of all steps and the end of the last one."""
    steps = len(times) - 1 - WARM_UP
    tokens = steps * settings.per_device_train_batch_size * settings.max_seq_length
    return round(tokens / (times[-1] - times[WARM_UP]), 1)


def this_loop(config: MobileBertConfig, shards: Shards, settings: TrainingSpeedSettings, folder: Path) -> float:
    """Tokens per second."""
    torch.manual_seed(settings.seed)
    training = settings.training()
    model = PretrainingModel(MobileBertForPreTraining(config))
    initialise_student(model.model, settings.embedding_gain)
    times: list[float] = []
    shutil.rmtree(folder, ignore_errors=True)
    run_training(
        Accelerator(),
        model.train(settings.dropout),
        make_optimizers(model, training, "adamw"),
        batch_function(shards, training),
        pretraining_loss,
        training,
        max_steps=settings.steps + WARM_UP + 1,
        folder=folder,
        describe="this loop",
        before_step=lambda _step, _optimizers: times.append(time.perf_counter()),
    )
    return tokens_per_second(times, settings)


def the_trainer(
    config: MobileBertConfig, shards: Shards, settings: TrainingSpeedSettings, folder: Path, tokenizer: Any, bf16: bool
) -> float:
    """Tokens per second."""
    torch.manual_seed(settings.seed)
    model = MobileBertForMaskedLM(config)
    initialise_student(model, settings.embedding_gain)
    size = settings.per_device_train_batch_size
    rows = Rows(shards, settings.max_seq_length, settings.seed, settings.mixture)
    data = [{"input_ids": rows.row(index)["input_ids"]} for index in range((settings.steps + WARM_UP + 1) * size)]
    clock = StepTimes()
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=size,
        max_steps=settings.steps + WARM_UP + 1,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch_fused",
        bf16=bf16,
        use_cpu=not torch.cuda.is_available(),
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        logging_strategy="no",
        seed=settings.seed,
        dataloader_num_workers=0,
    )
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=settings.mlm_probability)
    Trainer(model, arguments, data_collator=collator, train_dataset=data, callbacks=[clock]).train()  # type: ignore
    return tokens_per_second(clock.times, settings)


def main() -> None:
    settings = parse_settings(TrainingSpeedSettings, __doc__, "pretrain_student")
    shards_dir = require_folder(Path(str(settings.shards_dir)), "pack_corpus.py makes it.")
    folder = locate_tokenizer(str(settings.tokenizer))
    inputs = {"shards_dir": shards_dir, "tokenizer": folder}
    stage = stage_of("training_speed", settings, inputs)
    accelerator = make_accelerator()
    if stage.is_done(settings.overwrite):
        return
    stage.begin(overwrite=settings.overwrite)
    shards, tokenizer = Shards(shards_dir, "train"), load_tokenizer(folder)
    config = mobilebert_config(
        shards.index["vocab_size"],
        settings.preset,
        num_hidden_layers=settings.num_hidden_layers,
        hidden_size=settings.hidden_size,
        intra_bottleneck_size=settings.intra_bottleneck_size,
        intermediate_size=settings.intermediate_size,
        embedding_size=settings.embedding_size,
    )
    like = MobileBertForPreTraining(config)
    check_fits(like, shards.index, folder, settings.max_seq_length)
    bf16, work = accelerator.mixed_precision == "bf16", stage.folder / "work"
    contenders: dict[str, Callable[[int], float]] = {
        "this_loop": lambda _round: this_loop(config, shards, settings, work),
        "trainer": lambda _round: the_trainer(config, shards, settings, work, tokenizer, bf16),
    }
    rates = take_turns(contenders, settings.repetitions, note=print_rate("tokens/s"))
    shutil.rmtree(work, ignore_errors=True)
    ours = statistics.median(rates["this_loop"])
    times_as_fast = median_ratio(rates["this_loop"], rates["trainer"])
    metrics = {
        "tokens_per_second": rates,
        "times_as_fast": round(times_as_fast, 3),
        "precision": accelerator.mixed_precision,
        **utilisation(
            like,
            settings.max_seq_length,
            settings.mlm_probability,
            ours,
            accelerator.device,
            accelerator.mixed_precision,
            1,
        ),
    }
    stage.finish(metrics)
    print(f"this loop is {times_as_fast:.2f} times as fast as the Trainer")
