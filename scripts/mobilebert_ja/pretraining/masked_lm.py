"""Pretraining as the loop sees it: the model with its heads at the masked positions, the batches, the evaluation."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import MobileBertForPreTraining

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.pretraining.losses import masked_lm_loss, next_sentence_loss
from mobilebert_ja.pretraining.masking.hard import HardMasking, candidates
from mobilebert_ja.pretraining.masking.whole_words import EVALUATION_PROBABILITY, IGNORED, whole_word_mask
from mobilebert_ja.pretraining.shards import Rows, Shards
from mobilebert_ja.pretraining.vectors.answers import GuideHead, GuideVectors, TagHead, Tags
from mobilebert_ja.settings import MaskedLMSettings
from mobilebert_ja.settings.base import check_bounds
from mobilebert_ja.tokenization.encoder import read_vocabulary

EVALUATION_BATCH = 32


class PretrainingModel(nn.Module):
    """A MobileBERT or IB-BERT run on packed rows, its MLM head on the masked positions only.

    The head over all positions would cost 81 % more; rows are full, so there is no padding to mask.

    Args:
        guide_head: what turns the last hidden states into a guide's answers; trained along, no part of `model`.
        tag_head: the same for the classes of words.
        replaced_head: what tells from them which tokens were replaced (`ReplacedTokenHead`); likewise.
        hard_masking: what `pretraining_loss` is given, if anything; here so that checkpoints keep what it knows.
    """

    def __init__(
        self,
        model: MobileBertForPreTraining,
        guide_head: GuideHead | None = None,
        tag_head: TagHead | None = None,
        replaced_head: nn.Module | None = None,
        hard_masking: HardMasking | None = None,
    ):
        super().__init__()
        self.model = model
        self.guide_head = guide_head
        self.tag_head = tag_head
        self.replaced_head = replaced_head
        self.hard_masking = hard_masking

    def features(
        self, input_ids: Tensor, token_type_ids: Tensor, layers: int | None = None, maps_of: Container[int] = ()
    ) -> tuple[list[Tensor], dict[int, Tensor]]:
        """Run the first `layers` blocks (all if None).

        Returns:
            The feature map after each block, a list of [B, L, H]; and the attention probabilities [B, heads, L, L] of
            the blocks whose indices (from 0) are in `maps_of`, which needs the model's eager attention.
        """
        backbone: Any = self.model.mobilebert
        hidden = backbone.embeddings(input_ids=input_ids, token_type_ids=token_type_ids)
        features: list[Tensor] = []
        attentions: dict[int, Tensor] = {}
        for index, block in enumerate(backbone.encoder.layer[:layers]):
            hook = None
            if index in maps_of:  # the maps of the others are not kept
                hook = block.attention.self.register_forward_hook(
                    lambda _module, _input, output, index=index: attentions.update({index: output[1]})
                )
            try:
                hidden = block(hidden, None)
            finally:
                if hook is not None:
                    hook.remove()
            features.append(hidden)
        return features, attentions

    def heads(self, hidden: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """MLM logits [B, K, V] at `positions` [B, K], and NSP logits [B, 2]."""
        chosen = torch.gather(hidden, 1, positions.unsqueeze(-1).expand(-1, -1, hidden.shape[-1]))
        backbone: Any = self.model.mobilebert
        return word_logits(self.model.cls.predictions, chosen), self.model.cls.seq_relationship(
            backbone.pooler(hidden)
        )

    def next_sentence_parts(self) -> nn.ModuleList:
        """What serves the NSP logits alone."""
        backbone: Any = self.model.mobilebert
        return nn.ModuleList([backbone.pooler, self.model.cls.seq_relationship])

    def forward(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor,
        positions: Tensor,
        guide: Tensor | None = None,
        tags: Tensor | None = None,
        replaced: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """MLM logits [B, K, V] at `positions` [B, K], NSP logits [B, 2], and what further heads return: `GuideHead`
        for a guide's answers [B, L, D] (without them a loss of 0), `TagHead` for tags [B, L] and `ReplacedTokenHead`
        for labels [B, L]."""
        features, _ = self.features(input_ids, token_type_ids)
        beside = {} if self.guide_head is None else self.guide_head(features[-1], guide)
        if tags is not None and self.tag_head is not None:
            beside |= self.tag_head(features[-1], tags)
        if replaced is not None and self.replaced_head is not None:
            beside |= self.replaced_head(features[-1], replaced)
        return *self.heads(features[-1], positions), beside


def word_logits(head: Any, hidden: Tensor) -> Tensor:
    """What transformers' MLM head gives, [B, K, V] of hidden states [B, K, H].

    It puts the word embeddings [V, E], turned, and its own matrix [H - E, V] together for one product, which moves 16
    million numbers and as many of their gradient in every step. Two products, one added to the other, do without.
    """
    transformed = head.transform(hidden).flatten(0, 1)
    by_embeddings, by_rest = transformed.split([head.decoder.in_features, len(head.dense.weight)], dim=-1)
    logits = functional.linear(by_embeddings, head.decoder.weight, head.decoder.bias)
    return torch.addmm(logits, by_rest, head.dense.weight).view(*hidden.shape[:-1], -1)


def check_fits(model: nn.Module, index: dict[str, Any] | None, tokenizer: Path, max_seq_length: int) -> None:
    """Raise `UserError` unless vocabulary, shards (by their index; None: not packed yet) and model belong together."""
    config: Any = model.config
    vocabulary = len(read_vocabulary(tokenizer / "vocab.txt"))
    packed_with = vocabulary if index is None else index["vocab_size"]
    if not config.vocab_size == packed_with == vocabulary:
        shards = "" if index is None else f" the shards were packed with {packed_with},"
        raise UserError(
            f"The vocabulary does not fit the model: {tokenizer} has {vocabulary} entries,{shards} the model has "
            f"{config.vocab_size}."
        )
    if max_seq_length > config.max_position_embeddings:
        raise UserError(f"--max_seq_length {max_seq_length} exceeds the model's {config.max_position_embeddings}.")


def mask_rate(settings: MaskedLMSettings, step: int) -> float:
    """The share of tokens to predict in a step: constant, or linear over `mlm_probability_steps`, then constant."""
    if not settings.final_mlm_probability or not settings.mlm_probability_steps:
        return settings.mlm_probability
    done = min(1.0, step / settings.mlm_probability_steps)
    return settings.mlm_probability + done * (settings.final_mlm_probability - settings.mlm_probability)


def batch_function(
    shards: Shards,
    settings: MaskedLMSettings,
    num_processes: int = 1,
    guide: GuideVectors | None = None,
    tags: Tags | None = None,
    hard_masking: bool = False,
) -> Callable[[int], dict[str, np.ndarray]]:
    """Micro-batch index -> masked rows: input_ids, token_type_ids, positions, targets, next_sentence_label, guide,
    tags; the last three where there are such. For hard masking twice as many positions, and words."""
    check_bounds(settings)  # it may not come from a command line
    if settings.final_mlm_probability and settings.mlm_probability_steps < 1:
        raise UserError("--final_mlm_probability needs --mlm_probability_steps, over which it is reached.")
    if hard_masking and max(settings.mlm_probability, settings.final_mlm_probability) > 0.5:
        raise UserError("--hard_masking chooses among twice as many words; it needs an --mlm_probability up to 0.5.")
    pairs = settings.next_sentence_prediction
    answers, classes = None if guide is None else guide.row, None if tags is None else tags.row
    rows = Rows(shards, settings.max_seq_length, settings.seed, settings.mixture, pairs, answers, classes)
    size = settings.per_device_train_batch_size
    batches_per_step = settings.gradient_accumulation_steps * num_processes

    def batch(index: int) -> dict[str, np.ndarray]:
        content = rows.batch(index * size, size)
        rng = np.random.default_rng([settings.seed, 2, index])
        masked = (candidates if hard_masking else whole_word_mask)(
            content["input_ids"],
            shards.index,
            mask_rate(settings, index // batches_per_step),
            settings.mask_replacement,
            rng,
        )
        return content | masked

    return batch


def pretraining_loss(
    model: nn.Module,
    batch: dict[str, Any],
    guide_weight: float = 1.0,
    guide_row_weight: float | None = None,
    tag_weight: float = 1.0,
    replaced_token_weight: float = 1.0,
    hard_masking: HardMasking | None = None,
) -> tuple[Tensor, dict[str, Any]]:
    """MLM loss, plus the NSP loss where the batch has pairs and those of the guide, of tags and of replaced tokens
    where it has them, these times their weights; and each of them, with the accuracies, for the curve. `hard_masking`
    chooses among the batch's words and learns from how they were predicted."""
    if hard_masking is not None:
        batch = hard_masking.choose(batch)
    logits, next_sentence, beside = model(
        batch["input_ids"],
        batch["token_type_ids"],
        batch["positions"],
        batch.get("guide"),
        batch.get("tags"),
        batch.get("replaced"),
    )
    if hard_masking is not None:
        hard_masking.update(logits, batch["targets"])
    loss = masked_lm_loss(logits, batch["targets"])
    used = batch["targets"] != IGNORED
    hits = (logits.detach().argmax(-1) == batch["targets"]) & used
    values: dict[str, Any] = {"mlm_loss": loss, "mlm_accuracy": hits.sum() / used.sum().clamp(min=1)}
    if "next_sentence_label" in batch:
        second = next_sentence_loss(next_sentence, batch["next_sentence_label"])
        loss = loss + second
        values["nsp_loss"] = second
    weights = {
        "guide_loss": guide_weight,
        "guide_row_loss": guide_row_weight or 0.0,
        "tag_loss": tag_weight,
        "replaced_token_loss": replaced_token_weight,
    }
    for name, weight in weights.items():  # in this order, which the last bit of the sum depends on
        if name in beside:
            loss = loss + weight * beside[name]
    if "guide" not in batch:
        beside.pop("guide_loss", None)  # 0, for the gradient's sake
    return loss, values | beside


def heldout_batches(heldout: Shards, settings: MaskedLMSettings) -> Iterator[dict[str, np.ndarray]]:
    """Held-out rows as masked batches, the same ones every time: at most `settings.eval_rows` of the mixture.

    They depend on no setting of the training but these: runs of other batches, lengths and seeds can be compared.
    """
    length = settings.eval_seq_length or settings.max_seq_length
    rows = Rows(heldout, length, 0, settings.mixture, settings.next_sentence_prediction)
    count = min(settings.eval_rows, rows.rows_per_epoch)
    for first in range(0, count, EVALUATION_BATCH):
        content = rows.batch(first, min(EVALUATION_BATCH, count - first))
        rng = np.random.default_rng([0, first])
        yield content | whole_word_mask(content["input_ids"], heldout.index, EVALUATION_PROBABILITY, "mask", rng)


@torch.no_grad()
def evaluate_pretraining(
    model: PretrainingModel, heldout: Shards, settings: MaskedLMSettings, device: torch.device
) -> dict[str, float]:
    """MLM loss and accuracy per masked token, NSP loss and accuracy per pair, on the same held-out rows each time,
    and the share of tokens that was masked."""
    was_training = model.training
    model.eval().to(device)
    sums: dict[str, float] = {}
    tokens = pairs = 0
    for content in heldout_batches(heldout, settings):
        batch = {key: torch.from_numpy(value).to(device) for key, value in content.items()}
        logits, next_sentence, _ = model(batch["input_ids"], batch["token_type_ids"], batch["positions"])
        used = int((batch["targets"] != IGNORED).sum())
        results = {
            "mlm_loss": float(masked_lm_loss(logits, batch["targets"])) * used,
            "mlm_accuracy": float((logits.argmax(-1) == batch["targets"]).sum()),
        }
        if "next_sentence_label" in batch:
            labels = batch["next_sentence_label"]
            results["nsp_loss"] = float(next_sentence_loss(next_sentence, labels)) * len(labels)
            results["nsp_accuracy"] = float((next_sentence.argmax(-1) == labels).sum())
            pairs += len(labels)
        tokens += used
        sums = {key: sums.get(key, 0.0) + value for key, value in results.items()}
    model.train(was_training)
    means = {key: value / (tokens if key.startswith("mlm") else pairs) for key, value in sums.items()}
    return means | {"mlm_probability": EVALUATION_PROBABILITY}
