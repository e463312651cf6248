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

from pathlib import Path

import mobilebert_ja.training.waiting  # noqa: F401

import numpy as np
import torch
from transformers import MobileBertForPreTraining

from mobilebert_ja.common.errors import exit_on_user_error
from mobilebert_ja.model.checkpoint import load_pretrained
from mobilebert_ja.model.ib_bert import IBBertForPreTraining, load_teacher
from mobilebert_ja.model.mobilebert import grow, initialise_student, mobilebert_config, set_word_embeddings
from mobilebert_ja.plans import generator_folder, pretraining_stage, starting_folder
from mobilebert_ja.pretraining.masked_lm import PretrainingModel, batch_function, check_fits
from mobilebert_ja.pretraining.masking.hard import HardMasking
from mobilebert_ja.pretraining.replaced_tokens import Generator, ReplacedTokenHead, with_replaced_words
from mobilebert_ja.pretraining.run import run_pretraining, save_pretraining, tell_of_pretraining
from mobilebert_ja.pretraining.shards import Shards
from mobilebert_ja.pretraining.vectors.answers import GuideHead, GuideVectors, TagHead, Tags
from mobilebert_ja.settings import PretrainSettings, parse_settings
from mobilebert_ja.training.accelerator import make_accelerator


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
    accelerator = make_accelerator(
        settings.gradient_accumulation_steps, settings.report_to, Path(settings.work_dir) / "logs"
    )
    if stage.is_done(settings.overwrite):
        return
    shards, tokenizer = stage.inputs["shards_dir"], stage.inputs["tokenizer"]
    start, vectors = starting_folder(settings), stage.inputs.get("word_embeddings")
    training, heldout = Shards(shards, "train"), Shards(shards, "heldout")
    bare_model = starting_model(settings, start, vectors, training.index["vocab_size"])
    guide = GuideVectors(stage.inputs["guide"], training) if settings.guide else None
    head = None
    if guide is not None:
        head = GuideHead(bare_model.config.hidden_size, guide, whole_rows=settings.guide_row_weight is not None)
    tags = Tags(stage.inputs["tags"], training) if settings.tags else None
    tag_head = None if tags is None else TagHead(bare_model.config.hidden_size, len(tags.classes))
    hard = None
    if settings.hard_masking is not None:
        hard = HardMasking(bare_model.config.vocab_size, settings.hard_masking)
    model = PretrainingModel(bare_model, head, tag_head, hard_masking=hard)
    check_fits(model.model, training.index, tokenizer, max(settings.max_seq_length, settings.eval_seq_length or 0))
    batch = batch_function(training, settings, accelerator.num_processes, guide, tags, hard is not None)
    generator = None
    replaces = generator_folder(settings)
    if replaces:
        generator = Generator(replaces, tokenizer, settings.max_seq_length, accelerator.device, accelerator.autocast)
        batch = with_replaced_words(batch, training.index, settings)
        model.replaced_head = ReplacedTokenHead(bare_model.config.hidden_size)
    if accelerator.is_main_process:
        stage.begin(resume=settings.resume_from_checkpoint != "none", overwrite=settings.overwrite)
    accelerator.wait_for_everyone()

    describe = f"pretrain {settings.model}"
    outcome = run_pretraining(accelerator, model, batch, heldout, settings, stage.folder, describe, generator)
    if accelerator.is_main_process:
        metrics = save_pretraining(accelerator, model, outcome, settings, tokenizer, stage.folder)
        stage.finish(metrics)
        tell_of_pretraining(str(stage.output_dir), metrics)
    accelerator.wait_for_everyone()
    accelerator.end_training()


if __name__ == "__main__":
    main()
