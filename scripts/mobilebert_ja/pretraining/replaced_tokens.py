"""Replaced-token detection beside masked words (ELECTRA, arXiv 2003.10555): which tokens has a smaller model made up?

ELECTRA trains its generator along and has no masked words left for the model itself. Here the generator is a finished
model, and one forward pass serves both losses: some whole words of a row are hidden, others are replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import require_file
from mobilebert_ja.model.checkpoint import load_to_go_on
from mobilebert_ja.pretraining.masked_lm import PretrainingModel, word_logits
from mobilebert_ja.pretraining.masking.whole_words import IGNORED, whole_word_mask
from mobilebert_ja.settings import PretrainSettings
from mobilebert_ja.tokenization.encoder import SPECIAL_TOKENS, read_vocabulary
from mobilebert_ja.training.curve import Batch, BatchFunction

LossFunction = Callable[[nn.Module, Batch], tuple[Tensor, dict[str, Any]]]
_STREAM = 5  # of random numbers; those of the rows and of the masking must stay as they are
_FOR_THE_GENERATOR = ("generator_ids", "replaced_positions", "replaced_targets")


def with_replaced_words(batch: BatchFunction, index: dict[str, Any], settings: PretrainSettings) -> BatchFunction:
    """The batches of `batch`, and which of their words to replace: whole ones, none of them masked.

    Args:
        batch: micro-batch index -> masked rows, as `masked_lm.batch_function` makes them.
        index: the shards' index.json.

    Returns:
        A function that adds "generator_ids" [rows, length], the rows with the masked words and those to be replaced
        hidden; "replaced_positions" [rows, K] of the latter; and "replaced_targets" [rows, K], their ids, `IGNORED` in
        slots that no whole word fitted into.

    Raises `UserError` if nothing would be left of a row as it is.
    """
    _check_shares(settings)
    mask = index["special_ids"]["[MASK]"]

    def more(number: int) -> Batch:
        content = batch(number)
        hidden, positions = content["input_ids"].copy(), content["positions"]
        # Also where masking has put a random token or kept the word. [MASK] is special, and so not chosen again.
        there = np.take_along_axis(hidden, positions, axis=1)
        np.put_along_axis(hidden, positions, np.where(content["targets"] != IGNORED, mask, there), axis=1)
        rng = np.random.default_rng([settings.seed, _STREAM, number])
        second = whole_word_mask(hidden, index, settings.replaced_token_probability, "mask", rng)
        arrays = (second["input_ids"], second["positions"], second["targets"])
        return content | dict(zip(_FOR_THE_GENERATOR, arrays, strict=True))

    return more


def _check_shares(settings: PretrainSettings) -> None:
    length = settings.max_seq_length
    ordinary = length - (3 if settings.next_sentence_prediction else 2)
    name = "final_mlm_probability"
    if settings.final_mlm_probability < settings.mlm_probability:
        name = "mlm_probability"
    shares = (vars(settings)[name], settings.replaced_token_probability)
    if sum(max(1, round(share * length)) for share in shares) >= ordinary:
        raise UserError(
            f"--{name} {shares[0]} and --replaced_token_probability {shares[1]} leave no word of a row of {length} "
            "tokens as it is; lower one of them."
        )


class Generator:
    """A finished MobileBERT that replaces tokens by what it takes to be likely there. It is trained no further.

    It is no part of the model in training, so that neither an optimizer nor a checkpoint nor accelerate sees it.

    Args:
        autocast: accelerate's, which goes around the model in training only.

    Raises `UserError` if the folder holds no MobileBERT with an MLM head, or one of another vocabulary or of shorter
    rows.
    """

    def __init__(
        self,
        folder: Path,
        tokenizer: Path,
        max_seq_length: int,
        device: torch.device,
        autocast: Callable[[], AbstractContextManager[Any]],
    ):
        model = load_to_go_on(folder)
        own = read_vocabulary(require_file(folder / "vocab.txt", "It stands beside a generator's weights."))
        vocabulary = read_vocabulary(tokenizer / "vocab.txt")
        if own != vocabulary or model.config.vocab_size != len(vocabulary):
            raise UserError(f"--generator {folder} has another vocabulary than {tokenizer}; it must be the same.")
        if max_seq_length > model.config.max_position_embeddings:
            raise UserError(
                f"--max_seq_length {max_seq_length} exceeds the {model.config.max_position_embeddings} of --generator "
                f"{folder}."
            )
        self.model = PretrainingModel(model).requires_grad_(False).eval().to(device)
        special = [vocabulary[token] for token in SPECIAL_TOKENS]
        self.special_ids = torch.tensor(special, device=device)
        self.autocast = autocast

    @torch.no_grad()
    def replace(self, batch: Batch) -> Batch:
        """A batch of `with_replaced_words` with its words replaced, by samples from torch's global generator, which
        the training loop seeds per micro-batch.

        Returns:
            The batch with other "input_ids", without what the replacing alone needed, and with "replaced", int64
            [rows, length]: 1 for a token that is another one now, 0 for an original one (a sample may be the original
            too), `IGNORED` for special tokens and masked ones.
        """
        rest = {key: value for key, value in batch.items() if key not in _FOR_THE_GENERATOR}
        hidden_ids, positions, targets = (batch[key] for key in _FOR_THE_GENERATOR)
        with self.autocast():
            features, _ = self.model.features(hidden_ids, batch["token_type_ids"])
            states = torch.gather(features[-1], 1, positions.unsqueeze(-1).expand(-1, -1, features[-1].shape[-1]))
            logits = word_logits(self.model.model.cls.predictions, states)
        drawn = sample(logits.float().index_fill(-1, self.special_ids, -torch.inf))
        used = targets != IGNORED
        there = torch.gather(batch["input_ids"], 1, positions)
        input_ids = batch["input_ids"].scatter(1, positions, torch.where(used, drawn, there))
        replaced = torch.where(torch.isin(hidden_ids, self.special_ids), IGNORED, 0)
        labels = torch.where(used, (drawn != targets).long(), torch.gather(replaced, 1, positions))
        return rest | {"input_ids": input_ids, "replaced": replaced.scatter(1, positions, labels)}

    def before(self, loss_function: LossFunction) -> LossFunction:
        """The loss function on batches whose words this has replaced."""
        return lambda model, batch: loss_function(model, self.replace(batch))


def sample(logits: Tensor) -> Tensor:
    """One index per distribution: int64 [...] for logits [..., V] in float32; never one whose logit is -inf.

    It draws one number each and looks it up in the cumulative sum. `torch.multinomial` draws V of them, which took a
    processor eleven times as long, and has the CPU wait for a GPU.
    """
    cumulative = torch.softmax(logits, dim=-1).cumsum(dim=-1)
    total = cumulative[..., -1:]
    # The product may be rounded up to the total, beyond which there is nothing.
    wanted = torch.rand(total.shape, device=logits.device) * total
    wanted = torch.minimum(wanted, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, wanted, right=True).squeeze(-1)


class ReplacedTokenHead(nn.Module):
    """Tells from hidden states [B, L, H] which tokens were replaced; used in training only.

    It starts at zero: the loss is log 2 at first whatever the seed is, and the first gradients leave a model that is
    gone on with as it is.
    """

    def __init__(self, hidden_size: int):
        super().__init__()
        self.project = nn.Linear(hidden_size, 1)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, hidden: Tensor, replaced: Tensor) -> dict[str, Tensor]:
        """The binary cross-entropy per token, and, for the curve, the share of tokens that are told rightly and the
        share that was replaced (calling every token original is right for the others).

        Args:
            replaced: [B, L], 1 or 0; tokens with `IGNORED` are left out.
        """
        # Multiplied by 0 and not picked out: a GPU would have to be waited for to know how many there are.
        known = (replaced != IGNORED).float()
        count = known.sum().clamp(min=1)
        wanted = (replaced == 1).float()
        logits = self.project(hidden).squeeze(-1).float()
        each = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        hits = ((logits.detach() > 0) == (replaced == 1)) * known
        return {
            "replaced_token_loss": (each * known).sum() / count,
            "replaced_token_accuracy": hits.sum() / count,
            "replaced_token_share": wanted.sum() / count,
        }
