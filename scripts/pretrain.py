"""Pretrain the teacher (IB-BERT_LARGE) or the student (MobileBERT) with masked words and next sentences.

`--model shallow` pretrains a student with fewer blocks (--num_hidden_layers), which takes a fraction of the time
per step; `--model student --model_name_or_path shallow` grows it to the full depth and goes on. `--model short` is a
student's first part, for example on short rows; `--model student --model_name_or_path short` goes on with it.

    accelerate launch scripts/pretrain.py --config recipes/tiny.yaml --model teacher
    accelerate launch scripts/pretrain.py --config recipes/tiny.yaml --model student

Reads WORK_DIR/shards and WORK_DIR/tokenizer, writes WORK_DIR/teacher or WORK_DIR/student, a `save_pretrained` folder.
Interrupted, it goes on from its last checkpoint when the same command is run again.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import mobilebert_ja.training.waiting  # noqa: F401

import numpy as np
import torch
from transformers import MobileBertForPreTraining

from mobilebert_ja.common.errors import exit_on_user_error
from mobilebert_ja.model.checkpoint import load_pretrained, save_model
from mobilebert_ja.model.flops import utilisation
from mobilebert_ja.model.ib_bert import IBBertForPreTraining, load_teacher
from mobilebert_ja.model.mobilebert import (
    grow,
    initialise_student,
    mobilebert_config,
    parameter_counts,
    set_word_embeddings,
)
from mobilebert_ja.plans import pretraining_stage
from mobilebert_ja.pretraining.guide import GuideHead, GuideVectors
from mobilebert_ja.pretraining.masked_lm import (
    PretrainingModel,
    batch_function,
    check_fits,
    evaluate_pretraining,
    pretraining_loss,
)
from mobilebert_ja.pretraining.shards import Shards
from mobilebert_ja.settings import PretrainSettings, parse_settings
from mobilebert_ja.training.accelerator import make_accelerator
from mobilebert_ja.training.checkpoints import Checkpoints
from mobilebert_ja.training.loop import run_training
from mobilebert_ja.training.optimizers import make_optimizers
from mobilebert_ja.training.pace import SCHEDULES


def starting_model(
    settings: PretrainSettings, start: Path | None, vectors: Path | None, vocab_size: int
) -> MobileBertForPreTraining:
    """The weights that training starts from: a folder's, or random ones of the preset with the recipe's sizes.

    Args:
        vectors: the file with the word vectors of a model of random weights, if any.
    """
    teacher = settings.model == "teacher"
    if start is not None and teacher:
        return load_teacher(start)
    if start is not None:
        model = load_pretrained(start)
        depth = settings.num_hidden_layers or model.config.num_hidden_layers
        return model if depth == model.config.num_hidden_layers else grow(model, depth)
    config = mobilebert_config(
        vocab_size,
        "ib-bert-large" if teacher else settings.preset,
        num_hidden_layers=settings.num_hidden_layers,
        hidden_size=settings.hidden_size,
        intra_bottleneck_size=settings.intra_bottleneck_size,
        intermediate_size=settings.intermediate_size,
        embedding_size=settings.embedding_size,
        normalization_type=settings.normalization_type,
    )
    torch.manual_seed(settings.seed)
    model = IBBertForPreTraining(config) if teacher else MobileBertForPreTraining(config)
    if vectors is not None:
        set_word_embeddings(model, np.load(vectors, allow_pickle=False), settings.word_embedding_std)
    if not teacher:
        initialise_student(model, settings.embedding_gain, settings.depth_scaled_outputs)
    return model


@exit_on_user_error
def main() -> None:
    settings = parse_settings(PretrainSettings, __doc__)
    stage = pretraining_stage(settings)
    schedule = partial(SCHEDULES[settings.lr_scheduler_type], warmup_steps=settings.warmup_steps)
    accelerator = make_accelerator(
        settings.gradient_accumulation_steps, settings.report_to, Path(settings.work_dir) / "logs"
    )
    if stage.is_done(settings.overwrite):
        return
    shards, tokenizer = stage.inputs["shards_dir"], stage.inputs["tokenizer"]
    start, vectors = stage.inputs.get("model_name_or_path"), stage.inputs.get("word_embeddings")
    training, heldout = Shards(shards, "train"), Shards(shards, "heldout")
    bare_model = starting_model(settings, start, vectors, training.index["vocab_size"])
    guide = GuideVectors(stage.inputs["guide"], training) if settings.guide else None
    model = PretrainingModel(bare_model, None if guide is None else GuideHead(bare_model.config.hidden_size, guide))
    check_fits(model.model, training.index, tokenizer, max(settings.max_seq_length, settings.eval_seq_length or 0))
    batch = batch_function(training, settings, accelerator.num_processes, guide)
    if accelerator.is_main_process:
        stage.begin(resume=settings.resume_from_checkpoint != "none", overwrite=settings.overwrite)
    accelerator.wait_for_everyone()

    before = evaluate_pretraining(model, heldout, settings, accelerator.device)
    model.train(settings.dropout)
    state = run_training(
        accelerator,
        model,
        make_optimizers(model, settings, settings.optimizer),
        batch,
        partial(pretraining_loss, guide_weight=settings.guide_weight),
        settings,
        max_steps=settings.max_steps,
        schedule=lambda step, progress: schedule(step, progress=progress),
        max_train_seconds=settings.max_train_seconds,
        folder=stage.folder,
        describe=f"pretrain {settings.model}",
        evaluate=lambda: evaluate_pretraining(model, heldout, settings, accelerator.device),
        eval_seconds=settings.eval_seconds,
    )
    after = evaluate_pretraining(model, heldout, settings, accelerator.device)
    if accelerator.is_main_process:
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
        bare = model.model.cpu().eval()
        save_model(bare, tokenizer, stage.folder, settings.save_dtype, settings.max_shard_size)
        Checkpoints(stage.folder, accelerator).remove()
        stage.finish(
            {
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
                "before": before,
                "after": after,
                "history": state.history,
                "heldout_history": [
                    {"tokens": each["step"] * rows * settings.max_seq_length, **each} for each in state.heldout_history
                ],
            }
        )
        print(
            f"{stage.output_dir}: {tokens:,} tokens in {state.seconds:.0f} s ({rate:,.0f} tokens/s, "
            f"{used['flop_utilisation']:.0%} of the device's operations, "
            f"{state.data_wait_seconds / state.seconds:.1%} of the time waiting for data)"
        )
        print(
            f"held-out MLM loss {before['mlm_loss']:.3f} -> "
            f"{after['mlm_loss']:.3f}, accuracy {before['mlm_accuracy']:.1%} -> {after['mlm_accuracy']:.1%}"
        )
    accelerator.wait_for_everyone()
    accelerator.end_training()


if __name__ == "__main__":
    main()
