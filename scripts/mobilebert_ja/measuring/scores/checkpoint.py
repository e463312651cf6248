"""How well a checkpoint fills masked words: by kind of text and by length of row, beside the most frequent token.

    python scripts/measure.py checkpoint --config recipes/cpu.yaml

Reads WORK_DIR/student (or --model_name_or_path) and the held-out split of WORK_DIR/shards, writes
WORK_DIR/checkpoint_quality. Words are masked as in pretrain.py's own evaluation: 15 % of the tokens, whole words.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mobilebert_ja.common.progress import progress_bar
from mobilebert_ja.measuring.runs import tabulate
from mobilebert_ja.model.checkpoint import load_pretrained
from mobilebert_ja.plans import checkpoint_quality_stage
from mobilebert_ja.pretraining.masked_lm import PretrainingModel, check_fits, evaluate_pretraining, heldout_batches
from mobilebert_ja.pretraining.masking.whole_words import IGNORED
from mobilebert_ja.pretraining.shards import Shards
from mobilebert_ja.settings import CheckpointEvaluationSettings, PretrainSettings, parse_settings, whole_numbers
from mobilebert_ja.tokenization.encoder import read_vocabulary

UNIT = 128  # eval_rows counts rows of this many tokens: every length is measured on equally many


def parts_with_rows(shards: Shards, length: int) -> list[str]:
    """The kinds of text of which there is at least one row of `length` tokens."""
    rows: dict[str, int] = {}
    for source in shards.sources:
        rows[source.part] = rows.get(source.part, 0) + max(0, len(source.tokens) // (length - 2) - 1)
    return sorted(part for part, count in rows.items() if count)


def most_frequent_token(shards: Shards) -> int:
    """The token that the training text holds most often."""
    counts = np.zeros(shards.index["vocab_size"], np.int64)
    for source in shards.sources:
        counts += np.bincount(source.tokens, minlength=len(counts))
    return int(counts.argmax())


def measured(model: PretrainingModel, heldout: Shards, settings: PretrainSettings, guess: int) -> dict[str, Any]:
    """Loss and accuracy of the model, the accuracy of always saying `guess`, and on how many masked tokens."""
    targets = np.concatenate([batch["targets"].ravel() for batch in heldout_batches(heldout, settings)])
    targets = targets[targets != IGNORED]
    return {
        **evaluate_pretraining(model, heldout, settings, torch.device("cpu")),
        "most_frequent_accuracy": float((targets == guess).mean()),
        "masked_tokens": len(targets),
    }


def main() -> None:
    settings = parse_settings(CheckpointEvaluationSettings, __doc__)
    lengths = sorted(set(whole_numbers("lengths", settings.lengths, minimum=8)))
    stage = checkpoint_quality_stage(settings)
    folder, shards_dir = Path(str(settings.model_name_or_path)), stage.inputs["shards_dir"]
    if stage.is_done(settings.overwrite):
        return
    heldout, guess = Shards(shards_dir, "heldout"), most_frequent_token(Shards(shards_dir, "train"))
    model = PretrainingModel(load_pretrained(folder))
    check_fits(model.model, heldout.index, folder, max(lengths[-1], settings.max_seq_length))
    stage.begin()

    def evaluate(length: int, rows: int, mixture: str) -> dict[str, Any]:
        asked = PretrainSettings(
            max_seq_length=length, eval_rows=rows, mixture=mixture, next_sentence_prediction=False
        )
        return measured(model, heldout, asked, guess)

    parts = parts_with_rows(heldout, settings.max_seq_length)
    kinds = {
        part: evaluate(settings.max_seq_length, settings.eval_rows, f"{part}=1,*=0")
        for part in progress_bar(parts, desc="kinds of text", unit="kind")
    }
    by_length = {
        str(length): evaluate(length, max(1, settings.eval_rows * UNIT // length), settings.mixture)
        for length in progress_bar(lengths, desc="lengths", unit="length")
    }
    vocabulary = list(read_vocabulary(folder / "vocab.txt"))
    stage.finish({"kinds": kinds, "lengths": by_length, "most_frequent_token": vocabulary[guess]})
    guessed = f"always '{vocabulary[guess]}'"
    columns = {"loss": "{mlm_loss:.3f}", "accuracy": "{mlm_accuracy:.1%}"}
    columns |= {guessed: "{most_frequent_accuracy:.1%}", "masked tokens": "{masked_tokens:,}"}
    rows = kinds | {f"{length} tokens per row": facts for length, facts in by_length.items()}
    print(tabulate(rows, columns, "text"))
