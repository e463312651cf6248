"""Go on pretraining a MobileBERT on your own raw text, with its own vocabulary, before it is fine-tuned.

    accelerate launch scripts/adapt.py --text_file texts/*.txt
    accelerate launch scripts/adapt.py --text_file reviews.csv --text_column review --exclude_file test.csv
    accelerate launch scripts/adapt.py --text_file mails.jsonl --model_name_or_path work/student --max_train_seconds 60

Cleans the text as build_corpus.py does, packs it, masks it, and trains for --num_train_epochs or --max_train_seconds,
whichever ends first; says what loss and accuracy are on a part of the text that is held out, before and after. Writes
WORK_DIR/adapted, an ordinary model folder: `finetune.py --model_name_or_path work/adapted` goes on with it, and
`pipeline("fill-mask", "work/adapted")` answers from it. removed.json in it says what of the text was removed, and why.
Interrupted, it goes on from where it was when the same command is run again.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import shutil
from pathlib import Path
from typing import Any

import mobilebert_ja.training.waiting  # noqa: F401

from mobilebert_ja.common.errors import UserError, exit_on_user_error, warn
from mobilebert_ja.common.records import Stage
from mobilebert_ja.common.text.encodings import encoding_of_name
from mobilebert_ja.plans import adaptation_files, adaptation_stage, model_to_adapt
from mobilebert_ja.settings import AdaptSettings, PretrainSettings, parse_settings
from mobilebert_ja.tokenization.encoder import locate_tokenizer

# torch and what needs it are imported where they are used: the processes that clean text import this file too.

LITTLE_TOKENS = 50_000  # a dozen steps of 32 rows of 128: a model hardly moves, or learns by heart
MANY_UNKNOWN = 0.1  # with a tenth, most masked words stand beside one
CHARACTERS_PER_TOKEN = 4  # at most, of text that is not all katakana or Latin
PARTS = ("corpus", "shards")


def prepare(settings: AdaptSettings, tokenizer: Path, folder: Path) -> dict[str, Any]:
    """Clean and pack the text into folder/shards; an interrupted run goes on. Returns facts for the record.

    Raises `UserError` for texts that cannot be read and for too few of them.
    """
    from mobilebert_ja.corpus.own import build_own_corpus
    from mobilebert_ja.pretraining.packing import pack_corpus, totals
    from mobilebert_ja.pretraining.shards import INDEX_NAME
    from mobilebert_ja.tasks.own.texts import own_documents, sentences_to_leave_out

    texts, excluded = adaptation_files(settings)
    encoding = encoding_of_name(settings.encoding)
    corpus, shards = (folder / name for name in PARTS)
    cleaned = build_own_corpus(
        itertools.chain.from_iterable(own_documents(path, settings.text_column, encoding) for path in texts),
        sentences_to_leave_out(excluded, settings.text_column, encoding),
        corpus,
        settings.heldout_share,
        # Two windows, because a source gives one fewer than it has; see `Rows`.
        2 * settings.max_seq_length * CHARACTERS_PER_TOKEN,
        min_chars=settings.min_chars,
        max_chars=settings.max_chars,
        near_duplicates=settings.near_duplicates,
        workers=settings.num_workers,
    )
    shards.mkdir(exist_ok=True)
    packed = totals(shards) if (shards / INDEX_NAME).is_file() else None
    packed = packed or pack_corpus(corpus, tokenizer, shards, settings.num_workers)
    shutil.copy2(corpus / "cleaned" / "removed.json", folder / "removed.json")
    return {"text": cleaned, "tokens": packed}


def remove_text(folder: Path) -> None:
    """Remove what `prepare` made; the signs that it is whole go first, so that half of it is never taken for it."""
    from mobilebert_ja.corpus.own import METRICS_NAME
    from mobilebert_ja.pretraining.shards import INDEX_NAME

    for part, sign in zip(PARTS, (METRICS_NAME, INDEX_NAME), strict=True):
        (folder / part / sign).unlink()
    for part in PARTS:
        shutil.rmtree(folder / part)


def check_amount(tokens: dict[str, dict[str, int]], max_seq_length: int) -> None:
    """Warn of a text that is too little or too strange to help. Raises `UserError` if it fills no row."""
    window = max_seq_length - 2
    train, heldout = tokens["train"]["tokens"], tokens["heldout"]["tokens"]
    if min(train, heldout) < 2 * window:
        raise UserError(
            f"The cleaned text has {train + heldout:,} tokens; training and the held-out part need two rows of "
            f"{max_seq_length} tokens each. Give more text, or a smaller --max_seq_length."
        )
    if train < LITTLE_TOKENS:
        warn(
            f"{train:,} tokens are little to learn from: with fewer than {LITTLE_TOKENS:,} a model hardly "
            "changes, or learns them by heart"
        )
    unknown = sum(split["unknown"] for split in tokens.values()) / (train + heldout)
    if unknown > MANY_UNKNOWN:
        warn(f"{unknown:.0%} of the tokens are not in the model's vocabulary ([UNK]); is this Japanese text?")


def pretrain_settings(settings: AdaptSettings, rows: int, num_processes: int) -> PretrainSettings:
    """The settings of pretraining for `num_train_epochs` over so many rows."""
    known = {field.name for field in dataclasses.fields(PretrainSettings)}
    shared = {name: value for name, value in vars(settings).items() if name in known}
    per_step = settings.per_device_train_batch_size * settings.gradient_accumulation_steps * num_processes
    steps = math.ceil(settings.num_train_epochs * rows / per_step)
    shared["warmup_steps"] = min(settings.warmup_steps, math.ceil(steps / 10))
    # The NSP head is taken over as it is: a user's texts are too short to learn it from, and nobody needs it.
    return PretrainSettings(**shared, max_steps=steps, next_sentence_prediction=False)


def train(stage: Stage, settings: AdaptSettings, model: Any, tokenizer: Path, accelerator: Any) -> dict[str, Any]:
    """Train on folder/shards and save the model; the main process gets the record's metrics."""
    from mobilebert_ja.pretraining.masked_lm import PretrainingModel, batch_function
    from mobilebert_ja.pretraining.run import run_pretraining, save_pretraining
    from mobilebert_ja.pretraining.shards import Rows, Shards

    training, heldout = (Shards(stage.folder / "shards", split) for split in ("train", "heldout"))
    rows = Rows(training, settings.max_seq_length, settings.seed).rows_per_epoch
    pretraining = pretrain_settings(settings, rows, accelerator.num_processes)
    batch = batch_function(training, pretraining, accelerator.num_processes)
    wrapped = PretrainingModel(model)
    outcome = run_pretraining(accelerator, wrapped, batch, heldout, pretraining, stage.folder, "adapt")
    if not accelerator.is_main_process:
        return {}
    metrics = save_pretraining(accelerator, wrapped, outcome, pretraining, tokenizer, stage.folder)
    return {"rows": rows, "epochs": round(metrics["tokens_seen"] / settings.max_seq_length / rows, 3), **metrics}


def tell(stage: Stage, metrics: dict[str, Any]) -> None:
    from mobilebert_ja.pretraining.run import tell_of_pretraining

    removed = metrics["text"]["removed_sentences"]
    left_out = sum(count for rule, count in removed.items() if rule.startswith("evaluation_"))
    if metrics["text"]["looked_for"]:
        print(f"{left_out:,} sentences of the text stand in --exclude_file and were left out")
    tell_of_pretraining(str(stage.output_dir), metrics)
    if metrics["after"]["mlm_loss"] >= metrics["before"]["mlm_loss"]:
        warn("the held-out loss has not fallen; the model is better off without this text")


@exit_on_user_error
def main() -> None:
    settings = parse_settings(AdaptSettings, __doc__)
    stage = adaptation_stage(settings)
    if stage.is_done(settings.overwrite):
        return
    import torch

    from mobilebert_ja.corpus.executors import RunNotEnded, no_run_within
    from mobilebert_ja.model.checkpoint import load_to_go_on
    from mobilebert_ja.pretraining.masked_lm import check_fits
    from mobilebert_ja.training.accelerator import make_accelerator

    accelerator = make_accelerator(
        settings.gradient_accumulation_steps, settings.report_to, Path(settings.work_dir) / "logs"
    )
    torch.manual_seed(settings.seed)
    name = model_to_adapt(settings)
    model, tokenizer = load_to_go_on(name), locate_tokenizer(name)
    check_fits(model, None, tokenizer, settings.max_seq_length)
    facts: dict[str, Any] = {}
    if accelerator.is_main_process:
        with no_run_within(stage.folder / "corpus" / "cleaned"):
            stage.begin(resume=settings.resume_from_checkpoint != "none", overwrite=settings.overwrite)
        try:
            facts = prepare(settings, tokenizer, stage.folder)
            check_amount(facts["tokens"], settings.max_seq_length)
        except RunNotEnded:
            raise
        except UserError:
            shutil.rmtree(stage.folder)  # of a text that does not do, nothing is worth going on from
            raise
    accelerator.wait_for_everyone()
    metrics = facts | train(stage, settings, model, tokenizer, accelerator)
    if accelerator.is_main_process:
        remove_text(stage.folder)
        stage.finish(metrics)
        tell(stage, metrics)
    accelerator.wait_for_everyone()
    accelerator.end_training()


if __name__ == "__main__":
    main()
