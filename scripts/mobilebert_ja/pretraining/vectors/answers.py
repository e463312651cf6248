"""A guide's answers beside the shards, as training reads and learns them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json, sha256_of
from mobilebert_ja.pretraining.shards import Shards, Source
from mobilebert_ja.pretraining.vectors.guide import INDEX_NAME


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
        self.arrays: dict[str, np.ndarray] = {}
        for source in shards.sources:
            expected = index["sha256"].get(source.name)
            if expected is None:
                continue
            file = self.folder / f"{source.name}.npy"
            if not file.is_file() or sha256_of(file) != expected:
                raise UserError(f"{file} is missing or damaged (its checksum differs); ask the guide anew.")
            self.arrays[source.name] = np.load(file, mmap_mode="r")
            if len(self.arrays[source.name]) != len(source.tokens):
                raise UserError(f"{file} was made from other shards than {shards.folder}; ask the guide anew.")
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

    Args:
        whole_rows: also project each row's first hidden state, which classes are told from, to the mean of the row's
            answers: what the guide makes of the whole text.
    """

    scale: Tensor

    def __init__(self, hidden_size: int, vectors: GuideVectors, whole_rows: bool = False):
        super().__init__()
        self.project = nn.Linear(hidden_size, vectors.dimensions)
        self.project_row = nn.Linear(hidden_size, vectors.dimensions) if whole_rows else None
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
