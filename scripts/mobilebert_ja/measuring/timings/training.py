"""Tokens per second in pretraining: this loop and transformers' own Trainer on the same model and batches.

    ACCELERATE_MIXED_PRECISION=bf16 python scripts/measure.py training --config recipes/cpu.yaml

Reads WORK_DIR/shards and WORK_DIR/tokenizer, writes WORK_DIR/training_speed. The contenders take turns: this loop,
with the MLM head on the masked positions; and the Trainer with its MLM collator, whose model runs the head on all of
them. Same structure, random weights, rows, batch, precision and optimizer (AdamW, fused).

Where the time of a step of this loop goes is told by torch.profiler, in a run of its own after the timed ones: the
profiler costs time itself, so that the shares count and not their sum.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
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
from mobilebert_ja.measuring.runs import tabulate_shares
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
OPTIMIZER, REST, OUTSIDE = "optimizer", "the rest", "outside of operators"
# What torch's operators do in a step, forwards and backwards.
GROUPS = {
    "products": "mm addmm bmm baddbmm mkldnn_linear mkldnn::_linear_pointwise",
    "casts and copies": "copy_ _to_copy clone cat contiguous",
    "sums over rows": "sum mean",
    "element by element": "mul mul_ add add_ addcmul div sub neg threshold_backward clamp_min clamp_min_ relu relu_ "
    "native_batch_norm native_batch_norm_backward",  # NoNorm is one, by `training.blocks`
    "softmax and losses": "_softmax _softmax_backward_data _log_softmax _log_softmax_backward_data",
    "looking up": "embedding embedding_dense_backward index_select index index_put_ _index_put_impl_",
}


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


def group_of(operator: str) -> str:
    """The group of `GROUPS` that an operator of torch is in, for example "aten::mm"; `REST` for any other."""
    name = operator.removeprefix("aten::")
    return next((group for group, operators in GROUPS.items() if name in operators.split()), REST)


def milliseconds_by_group(events: Iterable[Any]) -> dict[str, float]:
    """Of the operators' own time, without that of those which they call; an optimizer's count as the optimizer."""
    spent: dict[str, float] = defaultdict(float)
    for event in events:
        caller = event
        while caller is not None and not caller.name.startswith("Optimizer.step"):
            caller = caller.cpu_parent
        spent[OPTIMIZER if caller else group_of(event.name)] += event.self_cpu_time_total / 1000
    return dict(spent)


class StepProfile:
    """A `before_step` that has torch.profiler watch the one step after the warm-up."""

    def __init__(self) -> None:
        self._profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])
        self._began = 0.0
        self.groups: dict[str, float] = {}

    def __call__(self, step: int, _optimizers: Any) -> None:
        if step == WARM_UP:
            self._profiler.start()
            self._began = time.perf_counter()
        elif step == WARM_UP + 1:
            whole = 1000 * (time.perf_counter() - self._began)
            self._profiler.stop()
            groups = milliseconds_by_group(self._profiler.events())
            groups[OUTSIDE] = max(0.0, whole - sum(groups.values()))
            self.groups = {name: round(spent, 2) for name, spent in sorted(groups.items(), key=lambda pair: -pair[1])}


def this_loop(
    config: MobileBertConfig,
    shards: Shards,
    settings: TrainingSpeedSettings,
    folder: Path,
    steps: int,
    before_step: Callable[[int, Any], None],
) -> None:
    """Pretraining as `pretrain.py` does it, from random weights."""
    torch.manual_seed(settings.seed)
    training = settings.training()
    model = PretrainingModel(MobileBertForPreTraining(config))
    initialise_student(model.model, settings.embedding_gain)
    shutil.rmtree(folder, ignore_errors=True)
    run_training(
        Accelerator(),
        model.train(settings.dropout),
        make_optimizers(model, training, "adamw"),
        batch_function(shards, training),
        pretraining_loss,
        training,
        max_steps=steps,
        folder=folder,
        describe="this loop",
        before_step=before_step,
    )


def rate_of_this_loop(
    config: MobileBertConfig, shards: Shards, settings: TrainingSpeedSettings, folder: Path
) -> float:
    """Tokens per second."""
    times: list[float] = []
    steps = settings.steps + WARM_UP + 1
    this_loop(config, shards, settings, folder, steps, lambda *_step: times.append(time.perf_counter()))
    return tokens_per_second(times, settings)


def rate_of_the_trainer(
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
        "this_loop": lambda _round: rate_of_this_loop(config, shards, settings, work),
        "trainer": lambda _round: rate_of_the_trainer(config, shards, settings, work, tokenizer, bf16),
    }
    rates = take_turns(contenders, settings.repetitions, note=print_rate("tokens/s"))
    profile = StepProfile()
    this_loop(config, shards, settings, work, WARM_UP + 2, profile)
    shutil.rmtree(work, ignore_errors=True)
    ours = statistics.median(rates["this_loop"])
    times_as_fast = median_ratio(rates["this_loop"], rates["trainer"])
    metrics = {
        "tokens_per_second": rates,
        "times_as_fast": round(times_as_fast, 3),
        "precision": accelerator.mixed_precision,
        "num_threads": torch.get_num_threads(),
        "step_ms_by_group": profile.groups,
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
    print(tabulate_shares(profile.groups, 1, "a step"))
    print(f"this loop is {times_as_fast:.2f} times as fast as the Trainer")
