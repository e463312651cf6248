"""What a larger encoder thinks of every token of the packed corpus, asked once and kept beside the shards.

Masked words give a signal on 15 % of the tokens. A frozen encoder that has read far more gives one on all of them:
the student's last hidden states are projected to the encoder's (feature distillation, as in TinyBERT, arXiv
1909.10351, and data2vec, arXiv 2202.03555). The two need not share a tokenizer: both are compared per character. The
encoder is asked once for each stretch of text, however often training reads it; its states are reduced to their
principal components and stored in 8 bits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import sha256_of, write_atomically, write_json
from mobilebert_ja.common.progress import progress_bar
from mobilebert_ja.pretraining.shards import Shards, Source
from mobilebert_ja.pretraining.vectors.encoder import load_encoder
from mobilebert_ja.pretraining.vectors.stretches import Stretch, Stretches
from mobilebert_ja.settings import GuideSettings

INDEX_NAME = "guide.json"
_STEPS = 127  # of a signed byte on either side of zero
_CLIPPED = 4.0  # standard deviations; what lies beyond is rare and clipped


@dataclass(frozen=True)
class Question:
    """A batch of stretches as an encoder is asked about it.

    Attributes:
        inputs: the encoder's own, [stretches, its tokens].
        owner, holder: for each character that both know, the number of the token that it belongs to, counted through
            the batch, and the number of the encoder's token that holds it, counted through [stretches, its tokens].
        tokens: how many tokens the batch has.
    """

    inputs: dict[str, Tensor]
    owner: Tensor
    holder: Tensor
    tokens: int


class Guide:
    """A frozen encoder that is asked for the states of tokens that are not its own.

    Args:
        name_or_path: any encoder with a fast tokenizer, a folder or a Hub name.
        layer: the hidden layer that is read, 0 for the embeddings.
        prefix: what the encoder wants before a text, for example "query: ".

    Raises `UserError` if there is no such encoder or layer, or if its tokenizer gives no offsets.
    """

    def __init__(self, name_or_path: str, layer: int, prefix: str, device: torch.device, precision: str):
        self.tokenizer, self.model = load_encoder(name_or_path)
        layers = int(self.model.config.num_hidden_layers)
        if not 0 <= layer <= layers:
            raise UserError(f"--guide_layer must lie between 0 and the encoder's {layers} layers, not {layer}.")
        self.model.to(device)
        if (
            layer
            and hasattr(self.model, "encoder")
            and isinstance(getattr(self.model.encoder, "layer", None), nn.ModuleList)
        ):
            self.model.encoder.layer = self.model.encoder.layer[:layer]  # what lies above is not needed
        self.layer, self.prefix, self.device, self.bf16 = layer, prefix, device, precision == "bf16"
        self.width = int(self.model.config.hidden_size)

    def question(self, batch: list[Stretch]) -> Question:
        """What `states` is to be asked, made without the model."""
        texts = [self.prefix + each.text for each in batch]
        asked = self.tokenizer(texts, padding=True, truncation=True, return_tensors="np", return_offsets_mapping=True)
        offsets = asked.pop("offset_mapping")
        width = offsets.shape[1]
        owners, holders, first = [], [], 0
        for index, stretch in enumerate(batch):
            begins, ends = offsets[index, :, 0], offsets[index, :, 1]
            held = np.repeat(np.arange(width), ends - begins)
            holder = np.full(len(texts[index]) + 1, -1)
            holder[_ranges(begins, ends)] = held
            lengths = stretch.spans[:, 1] - stretch.spans[:, 0]
            characters = _ranges(stretch.spans[:, 0], stretch.spans[:, 1]) + len(self.prefix)
            owner = np.repeat(np.arange(len(lengths)), lengths)
            known = holder[characters] >= 0
            owners.append(owner[known] + first)
            holders.append(holder[characters][known] + index * width)
            first += len(lengths)
        inputs = {name: torch.from_numpy(value) for name, value in asked.items()}
        return Question(
            inputs, torch.from_numpy(np.concatenate(owners)), torch.from_numpy(np.concatenate(holders)), first
        )

    @torch.inference_mode()
    def states(self, question: Question) -> Tensor:
        """float32 [tokens, width] on the model's device: the mean over a token's characters of the states of the
        encoder's tokens that hold them; zero for a token without text, or beyond what the encoder reads."""
        asked = {name: value.to(self.device) for name, value in question.inputs.items()}
        owner, holder = question.owner.to(self.device), question.holder.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            states = self.model(**asked, output_hidden_states=True).hidden_states[self.layer]
        states = states.float().flatten(0, 1)
        sums = states.new_zeros(question.tokens, self.width).index_add_(0, owner, states[holder])
        counts = torch.bincount(owner, minlength=question.tokens).clamp(min=1)
        return sums / counts[:, None]

    def ask(
        self, source: Stretches, chosen: np.ndarray, batch_size: int, num_workers: int = 0
    ) -> Iterator[tuple[list[int], Tensor]]:
        """The chosen stretches in batches of like length: their indices, and the states of all their tokens."""
        lengths = source.places[chosen, 2] - source.places[chosen, 1]
        order = np.asarray(chosen)[np.argsort(lengths, kind="stable")].tolist()
        batches = [order[first : first + batch_size] for first in range(0, len(order), batch_size)]
        loader = DataLoader(
            _Questions(self, source, batches),
            batch_size=None,
            collate_fn=lambda each: each,
            num_workers=num_workers,
            multiprocessing_context="fork" if num_workers else None,
        )
        for batch, question in zip(batches, loader, strict=True):
            yield batch, self.states(question)


class _Questions(Dataset[Question]):
    """Batches of stretches as questions to a guide; the texts are made and split into its tokens by whoever asks."""

    def __init__(self, guide: Guide, source: Stretches, batches: list[list[int]]):
        self._guide, self._source, self._batches = guide, source, batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Question:
        return self._guide.question([self._source[each] for each in self._batches[index]])


def _ranges(begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """begins[0], ..., ends[0] - 1, begins[1], ..."""
    lengths = ends - begins
    return np.arange(lengths.sum()) + np.repeat(begins - (np.cumsum(lengths) - lengths), lengths)


@dataclass(frozen=True)
class Reduction:
    """How states become bytes: centred, turned to their principal components, scaled to a byte each.

    Attributes:
        mean: [width]. components: [width, dimensions]. scale: [dimensions], the size of one step.
        unexplained: the share of the sample's variance that the bytes leave out.
    """

    mean: np.ndarray
    components: np.ndarray
    scale: np.ndarray
    unexplained: float = 0.0

    @classmethod
    def fitted(cls, states: np.ndarray, dimensions: int) -> Reduction:
        """From a sample [tokens, width]. Raises `UserError` if there are fewer tokens or numbers than dimensions."""
        if dimensions > min(states.shape):
            raise UserError(
                f"--guide_dimensions {dimensions} is more than the encoder's or the sample's {states.shape}."
            )
        mean = states.mean(axis=0, dtype=np.float64)
        centred = states - mean
        values, directions = np.linalg.eigh(centred.T @ centred / len(centred))
        chosen = directions[:, ::-1][:, :dimensions]
        spread = np.sqrt(np.maximum(values[::-1][:dimensions], 1e-12))
        scale = spread * _CLIPPED / _STEPS
        made = cls(mean.astype(np.float32), chosen.astype(np.float32), scale.astype(np.float32))
        left_out = np.square(made.from_bytes(made.to_bytes(torch.from_numpy(states))) - states).sum()
        return dataclasses.replace(made, unexplained=float(left_out / max(np.square(centred).sum(), 1e-12)))

    def to_bytes(self, states: Tensor) -> np.ndarray:
        """int8 [tokens, dimensions] of float [tokens, width], computed where the states are."""
        mean, components, scale = (
            torch.from_numpy(each).to(states) for each in (self.mean, self.components, self.scale)
        )
        steps = ((states - mean) @ components / scale).round().clamp(-_STEPS, _STEPS)
        return steps.to(torch.int8).cpu().numpy()

    def from_bytes(self, answers: np.ndarray) -> np.ndarray:
        """float32 [tokens, width], as near to the states as the bytes [tokens, dimensions] know."""
        return (answers * self.scale) @ self.components.T + self.mean


def write_guide(
    folder: Path, shards: Shards, vocabulary: list[str], guide: Guide, settings: GuideSettings
) -> dict[str, Any]:
    """Ask the guide about every token of the sources and write its answers, a file per source; those that are there
    already are kept, so that an interrupted run goes on.

    Returns the counts for the record. Raises `UserError` if no source matches.
    """
    chosen = shards.matching(settings.sources)
    reduction = _reduction(folder, chosen, vocabulary, guide, settings)
    tokens = 0
    bar = progress_bar(total=sum(len(each.tokens) for each in chosen), desc="asking the guide", unit="token")
    for source in chosen:
        target = folder / f"{source.name}.npy"
        tokens += len(source.tokens)
        if not target.is_file():
            answers = np.zeros((len(source.tokens), settings.guide_dimensions), np.int8)
            found = Stretches([source], vocabulary, settings.max_tokens)
            everything = np.arange(len(found))
            for batch, states in guide.ask(found, everything, settings.batch_size, settings.dataloader_num_workers):
                here = _ranges(found.places[batch, 1], found.places[batch, 2])
                known = states.any(dim=1).cpu().numpy()
                answers[here[known]] = reduction.to_bytes(states)[known]
                bar.update(len(here))
            with write_atomically(target, "wb") as stream:
                np.save(stream, answers)
        else:
            bar.update(len(source.tokens))
    bar.close()
    files = {each.name: sha256_of(folder / f"{each.name}.npy") for each in chosen}
    write_json(
        folder / INDEX_NAME,
        {"format": 1, "dimensions": settings.guide_dimensions, "scale": reduction.scale.tolist(), "sha256": files},
    )
    return {
        "tokens": tokens,
        "sources": len(chosen),
        "dimensions": settings.guide_dimensions,
        "unexplained": reduction.unexplained,
    }


def _reduction(
    folder: Path, chosen: list[Source], vocabulary: list[str], guide: Guide, settings: GuideSettings
) -> Reduction:
    """The reduction of a folder: read if an interrupted run has fitted it, else fitted on a sample of stretches."""
    path = folder / "reduction.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as stored:
            return Reduction(stored["mean"], stored["components"], stored["scale"], float(stored["unexplained"]))
    pool = Stretches(chosen, vocabulary, settings.max_tokens)
    tokens = int((pool.places[:, 2] - pool.places[:, 1]).sum())
    wanted = max(1, round(len(pool) * min(1.0, settings.sample_tokens / max(1, tokens))))
    sample = np.random.default_rng(settings.seed).permutation(len(pool))[:wanted]
    asked = guide.ask(pool, sample, settings.batch_size, settings.dataloader_num_workers)
    states = np.concatenate([states[states.any(dim=1)].cpu().numpy() for _, states in asked])
    fitted = Reduction.fitted(states, settings.guide_dimensions)
    with write_atomically(path, "wb") as stream:
        np.savez(stream, **vars(fitted))
    return fitted
