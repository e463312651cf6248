"""Transfer the teacher's knowledge to a MobileBERT: layer by layer (or all at once), then its predictions.

    accelerate launch scripts/distill.py --config recipes/tiny.yaml

Reads WORK_DIR/teacher, WORK_DIR/shards and WORK_DIR/tokenizer, writes WORK_DIR/distilled, a `save_pretrained` folder.
Without --data_dir, stages before it that have not run yet are run first, on the embedded sample. Interrupted, it goes
on from its last checkpoint when the same command is run again.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import mobilebert_ja.training.waiting  # noqa: F401

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from transformers import MobileBertForPreTraining

from mobilebert_ja.common.errors import exit_on_user_error
from mobilebert_ja.model.checkpoint import save_model
from mobilebert_ja.model.ib_bert import load_teacher, require_same_maps
from mobilebert_ja.model.mobilebert import mobilebert_config, parameter_counts
from mobilebert_ja.plans import transfer_stage
from mobilebert_ja.pretraining.masked_lm import PretrainingModel, batch_function, check_fits, evaluate_pretraining
from mobilebert_ja.pretraining.shards import Shards
from mobilebert_ja.pretraining.transfer import (
    ProgressivePhases,
    TransferModel,
    copy_from_teacher,
    transfer_loss_function,
    transfer_optimizers,
)
from mobilebert_ja.road import walk
from mobilebert_ja.settings import DistillSettings, from_recipe, load_recipe, parse_settings
from mobilebert_ja.training.accelerator import make_accelerator
from mobilebert_ja.training.checkpoints import Checkpoints, TrainState
from mobilebert_ja.training.curve import BatchFunction
from mobilebert_ja.training.loop import run_training
from mobilebert_ja.training.optimizers import make_optimizers


def make_student(settings: DistillSettings, teacher: MobileBertForPreTraining) -> MobileBertForPreTraining:
    """A student whose maps correspond to the teacher's; sizes that both share are the teacher's own."""
    sizes = teacher.config
    config = mobilebert_config(
        sizes.vocab_size,
        settings.preset,
        num_hidden_layers=settings.num_hidden_layers or sizes.num_hidden_layers,
        hidden_size=settings.hidden_size or sizes.hidden_size,
        embedding_size=settings.embedding_size or sizes.embedding_size,
        num_attention_heads=sizes.num_attention_heads,
        max_position_embeddings=sizes.max_position_embeddings,
        intra_bottleneck_size=settings.intra_bottleneck_size,
        intermediate_size=settings.intermediate_size,
    )
    require_same_maps(sizes, config)
    torch.manual_seed(settings.seed)
    student = MobileBertForPreTraining(config)
    for model in (student, teacher):
        model.set_attn_implementation("eager")  # the only one that gives attention maps
    return student


@exit_on_user_error
def main() -> None:
    settings = parse_settings(DistillSettings, __doc__)
    accelerator = make_accelerator(
        settings.gradient_accumulation_steps,
        settings.report_to,
        Path(settings.work_dir) / "logs",
        # Frozen upper layers take no part in a phase of the transfer.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    missing = not all(Path(str(each)).is_dir() for each in (settings.teacher, settings.shards_dir))
    if missing and settings.data_dir is None and settings.config is not None:
        if accelerator.is_main_process:
            flags = {"work_dir": settings.work_dir, "records_dir": str(settings.records_dir)}
            recipes = from_recipe("distill", DistillSettings, settings.config).seed
            if settings.seed != recipes:  # another one was given, as far from it as the others are to be from theirs
                flags["seed"] = str(load_recipe(settings.config).get("seed", 0) + settings.seed - recipes)
            walk(settings.config, flags, "distill")
        accelerator.wait_for_everyone()
    stage = transfer_stage(settings)
    if stage.is_done(settings.overwrite):
        return
    shards, tokenizer = stage.inputs["shards_dir"], stage.inputs["tokenizer"]
    training, heldout = Shards(shards, "train"), Shards(shards, "heldout")
    teacher = load_teacher(stage.inputs["teacher"])
    model = TransferModel(make_student(settings, teacher))
    check_fits(model.model, training.index, tokenizer, max(settings.max_seq_length, settings.eval_seq_length or 0))
    batch = batch_function(training, settings, accelerator.num_processes)
    if accelerator.is_main_process:
        stage.begin(resume=settings.resume_from_checkpoint != "none", overwrite=settings.overwrite)
    accelerator.wait_for_everyone()

    first = {key: torch.from_numpy(value) for key, value in batch(0).items()}
    copy_from_teacher(model.model, teacher, first)
    guide = PretrainingModel(teacher.to(accelerator.device).requires_grad_(False))
    student = PretrainingModel(model.model)
    measured = {
        "teacher": evaluate_pretraining(guide, heldout, settings, accelerator.device),
        "before": evaluate_pretraining(student, heldout, settings, accelerator.device),
    }
    # The student stays in evaluation mode: with dropout its attention maps would be no distributions.
    states = train(accelerator, settings, guide, model.eval(), batch, stage.folder)
    measured["after"] = evaluate_pretraining(student, heldout, settings, accelerator.device)
    if accelerator.is_main_process:
        steps = sum(state.step for state in states.values())
        seconds = sum(state.seconds for state in states.values())
        rows = settings.per_device_train_batch_size * settings.gradient_accumulation_steps * accelerator.num_processes
        tokens = steps * rows * settings.max_seq_length
        model.model.set_attn_implementation("sdpa")
        save_model(model.model.cpu(), tokenizer, stage.folder, settings.save_dtype, settings.max_shard_size)
        for name in states:
            Checkpoints(stage.folder / name, accelerator).remove()
            (stage.folder / name).rmdir()
        stage.finish(
            {
                "steps": steps,
                "tokens_seen": tokens,
                "train_seconds": round(seconds, 1),
                "tokens_per_second": round(tokens / seconds, 1),
                "strategy": settings.strategy,
                "precision": accelerator.mixed_precision,
                **parameter_counts(model.model),
                **measured,
                "history": [{"part": name, **point} for name, state in states.items() for point in state.history],
            }
        )
        print(
            f"{stage.output_dir}: {tokens:,} tokens in {seconds:.0f} s; held-out MLM loss "
            f"{measured['before']['mlm_loss']:.3f} -> "
            f"{measured['after']['mlm_loss']:.3f} (teacher {measured['teacher']['mlm_loss']:.3f})"
        )
    accelerator.wait_for_everyone()
    accelerator.end_training()


def going_on(accelerator: Accelerator, settings: DistillSettings, folder: Path, last_step: int) -> DistillSettings:
    """The settings for one part of a run: `previous` is said of the one that is at work, not of one that has ended."""
    ended = settings.resume_from_checkpoint == "previous" and Checkpoints(folder, accelerator).has_ended(last_step)
    return replace(settings, resume_from_checkpoint="latest") if ended else settings


def train(
    accelerator: Accelerator,
    settings: DistillSettings,
    guide: PretrainingModel,
    model: TransferModel,
    batch: BatchFunction,
    folder: Path,
) -> dict[str, TrainState]:
    """Layer transfer, then predictions; one run of both together for "akt"."""
    together = settings.strategy == "akt"
    transfer_steps = settings.transfer_steps + (settings.max_steps if together else 0)
    phases = ProgressivePhases(
        settings.strategy, guide.model.config.num_hidden_layers, transfer_steps, settings.lower_layer_rate
    )
    now = {"step": 0}

    def begin_step(step: int, optimizers: list[torch.optim.Optimizer]) -> None:
        now["step"] = step
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["rate"] = phases.rate(step, group["layer"]) if "layer" in group else 1.0

    loss = partial(transfer_loss_function, guide, settings, autocast=accelerator.autocast)
    backbone = model.model.mobilebert
    outside = [backbone.embeddings, model.model.cls]
    for module in outside:
        module.requires_grad_(together)
    states = {}
    if transfer_steps:
        optimizers = (
            make_optimizers(model, settings, settings.optimizer)
            if together
            else transfer_optimizers(model.model, settings)
        )
        states["transfer"] = run_training(
            accelerator,
            model,
            optimizers,
            batch,
            loss(layers_now=lambda: phases.layers(now["step"]), layer_transfer=True, prediction=together),
            going_on(accelerator, settings, folder / "transfer", transfer_steps),
            max_steps=transfer_steps,
            folder=folder / "transfer",
            describe=f"transfer ({settings.strategy})",
            schedule=lambda step, _progress: phases.factor(step),
            before_step=begin_step,
        )
    for module in outside:
        module.requires_grad_(True)
    if settings.max_steps and not together:
        states["prediction"] = run_training(
            accelerator,
            model,
            make_optimizers(model, settings, settings.optimizer),
            batch,
            loss(layers_now=list, layer_transfer=False, prediction=True),
            going_on(accelerator, settings, folder / "prediction", settings.max_steps),
            max_steps=settings.max_steps,
            warmup_steps=settings.warmup_steps,
            max_train_seconds=settings.max_train_seconds,
            folder=folder / "prediction",
            describe="distill predictions",
        )
    return states


if __name__ == "__main__":
    main()
