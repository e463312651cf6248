"""What stands beside the shards, a guide's answers and the classes of words, as training reads and learns it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json, sha256_of
from mobilebert_ja.common.paths import TAG_INDEX_NAME
from mobilebert_ja.pretraining.shards import Shards, Source
from mobilebert_ja.pretraining.vectors.guide import INDEX_NAME


def _beside(folder: Path, digests: dict[str, str], shards: Shards, again: str) -> dict[str, np.ndarray]:
    """Source -> SOURCE.npy, mapped into memory, for those of `digests` that the shards have; `again`: what to do about
    a file that is not as it should be. Raises `UserError`."""
    arrays: dict[str, np.ndarray] = {}
    for source in shards.sources:
        expected = digests.get(source.name)
        if expected is None:
            continue
        file = folder / f"{source.name}.npy"
        if not file.is_file() or sha256_of(file) != expected:
            raise UserError(f"{file} is missing or damaged (its checksum differs); {again}.")
        arrays[source.name] = np.load(file, mmap_mode="r")
        if len(arrays[source.name]) != len(source.tokens):
            raise UserError(f"{file} was made from other shards than {shards.folder}; {again}.")
    return arrays


class GuideVectors:
    """A folder of `write_guide`, mapped into memory.

    Raises `UserError` if it is none, if it knows no source of the shards, or if a file is missing, damaged or of other
    shards.
    """

    def __init__(self, folder: str | Path, shards: Shards):
        self.folder = Path(folder)
        index = read_json(self.folder / INDEX_NAME, "guide_corpus.py makes it.")
        self.dimensions = int(index["dimensions"])
        self.scale = np.asarray(index["scale"], np.float32)
        self.arrays = _beside(self.folder, index["sha256"], shards, "ask the guide anew")
        if not self.arrays:  # its loss would be 0 throughout
            raise UserError(f"{self.folder} holds no answer about {shards.folder}; ask the guide about these shards.")

    def row(self, source: Source, start: int, window: int) -> np.ndarray:
        """int8 [window + 2, dimensions] for a row [CLS] window [SEP]; zero where the guide knows nothing."""
        row = np.zeros((window + 2, self.dimensions), np.int8)
        if source.name in self.arrays:
            row[1:-1] = self.arrays[source.name][start : start + window]
        return row


class GuideHead(nn.Module):
    """Projections of hidden states [B, L, H] to the guide's answers [B, L, dimensions]; used in training only.

    They start at zero, so that each loss is 1 at first, however large the hidden states are. From random ones it is
    many times that, and clipping leaves next to nothing of the masked words' gradient.

    Args:
        whole_rows: also project each row's first hidden state, which classes are told from, to the mean of the row's
            answers: what the guide makes of the whole text.
    """

    scale: Tensor

    def __init__(self, hidden_size: int, vectors: GuideVectors, whole_rows: bool = False):
        super().__init__()
        self.project = nn.Linear(hidden_size, vectors.dimensions)
        self.project_row = nn.Linear(hidden_size, vectors.dimensions) if whole_rows else None
        for each in self.parameters():
            nn.init.zeros_(each)
        self.register_buffer("scale", torch.from_numpy(vectors.scale), persistent=False)

    def forward(self, hidden: Tensor, answers: Tensor | None) -> dict[str, Tensor]:
        """The share of the guide's variance that a projection leaves unexplained: 1 for a projection to its mean, 0
        for a perfect one.

        Args:
            answers: int8 [B, L, dimensions]; a token whose answer is all zeros is left out. None: there is nothing to
                learn, and nothing is projected.

        Returns:
            `guide_loss`, of the tokens, and with `whole_rows` also `guide_row_loss`, of the means of rows.
        """
        if answers is None:
            # Several processes would wait for ever for the gradient of a parameter that has none. 0 is one, and moves
            # nothing but this head, which is thrown away.
            return {"guide_loss": 0.0 * torch.stack([each.sum() for each in self.parameters()]).sum()}
        # Multiplied by 0 and not picked out: a GPU would have to be waited for to know how many there are.
        known = (answers != 0).any(dim=-1, keepdim=True)
        wanted = answers.float() * self.scale
        losses = {"guide_loss": _unexplained(self.project(hidden).float() * known, wanted)}
        if self.project_row is not None:
            count = known.sum(dim=1)
            mean = wanted.sum(dim=1) / count.clamp(min=1)
            losses["guide_row_loss"] = _unexplained(self.project_row(hidden[:, 0]).float() * (count > 0), mean)
        return losses


def _unexplained(said: Tensor, wanted: Tensor) -> Tensor:
    return (said - wanted).square().sum() / wanted.square().sum().clamp(min=1e-6)


class Tags:
    """A folder of `write_tags`, mapped into memory.

    Raises `UserError` if it is none, if it knows no source of the shards, or if a file is missing, damaged or of other
    shards.

    Attributes:
        classes: their names; the first has number 1.
    """

    def __init__(self, folder: str | Path, shards: Shards):
        self.folder = Path(folder)
        index = read_json(self.folder / TAG_INDEX_NAME, "tag_corpus.py makes it.")
        if not (isinstance(index, dict) and index.get("classes") and "sha256" in index):
            raise UserError(f"{self.folder / TAG_INDEX_NAME} is not what tag_corpus.py writes; tag the corpus anew.")
        self.classes: list[str] = index["classes"]
        self.arrays = _beside(self.folder, index["sha256"], shards, "tag the corpus anew")
        if not self.arrays:  # the loss would be 0 throughout
            raise UserError(f"{self.folder} holds no tag of {shards.folder}; tag these shards.")

    def row(self, source: Source, start: int, window: int) -> np.ndarray:
        """uint8 [window + 2] for a row [CLS] window [SEP]; 0 where nothing is known."""
        row = np.zeros(window + 2, np.uint8)
        if source.name in self.arrays:
            row[1:-1] = self.arrays[source.name][start : start + window]
        return row


class TagHead(nn.Module):
    """The classes of words, told from hidden states [B, L, H]; used in training only.

    A masked word's class is asked for too, and must be told from its context alone.
    """

    def __init__(self, hidden_size: int, classes: int):
        super().__init__()
        self.classify = nn.Linear(hidden_size, classes)

    def forward(self, hidden: Tensor, tags: Tensor) -> dict[str, Tensor]:
        """Cross entropy in nats, and the share of right ones, of the tokens that have a class.

        Args:
            tags: uint8 [B, L], numbers of classes from 1; a token with 0 is left out.

        Returns:
            `tag_loss` and `tag_accuracy`; both 0 where no token has a class.
        """
        targets = tags.long().flatten() - 1
        logits = self.classify(hidden).float().flatten(0, 1)
        # Divided here: a mean over nothing would not be a number, and a GPU would have to be waited for to know.
        count = (targets >= 0).sum().clamp(min=1)
        loss = functional.cross_entropy(logits, targets, ignore_index=-1, reduction="sum") / count
        return {"tag_loss": loss, "tag_accuracy": (logits.detach().argmax(-1) == targets).sum() / count}
