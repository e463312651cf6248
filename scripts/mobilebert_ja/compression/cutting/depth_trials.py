"""The parts of a search for the number of blocks: the uncut model anew, what its blocks are worth, each depth's trial.

Each leaves its outcome in a file of the search's folder, last, and is passed over if that is there.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from mobilebert_ja.common.files import read_json, write_json
from mobilebert_ja.compression.cutting.blocks import block_choices, costs_of_leaving_out, finite
from mobilebert_ja.compression.cutting.recovery import Source, answer_loss, labelled_batches, recovered
from mobilebert_ja.compression.cutting.shrink import NeuronWeights, shrink
from mobilebert_ja.finetuning.answers import Answered, write_answers
from mobilebert_ja.finetuning.folder import load_finetuned
from mobilebert_ja.finetuning.modelling.heads import model_config
from mobilebert_ja.finetuning.predictor import LogitsOf, Predictor, Read
from mobilebert_ja.finetuning.run import Job, taken_decoder, train
from mobilebert_ja.inference.kinds import KINDS
from mobilebert_ja.model.checkpoint import save_model
from mobilebert_ja.settings import CompressSettings, FinetuneSettings
from mobilebert_ja.tasks import Task
from mobilebert_ja.tokenization.encoders import make_encoder
from mobilebert_ja.tokenization.folders import load_tokenizer

BATCH_SIZE = 32  # texts that are answered at a time; none is trained on
WEIGHED_TEXTS = 256  # on which blocks are weighed, at least, if as many are held out


@dataclass(frozen=True)
class DepthSearch:
    """A search that can be carried out: what could be wrong with it has been checked.

    Attributes:
        source: the first seed's fine-tuned model. Its task is the training part alone, split in two.
        depths: numbers of blocks to try, fewest first.
        made: how the uncut model is fine-tuned anew.
    """

    settings: CompressSettings
    source: Source
    depths: list[int]
    made: FinetuneSettings

    @property
    def task(self) -> Task:
        return self.source.task

    @property
    def blocks(self) -> int:
        """Of the uncut model."""
        return int(self.source.model.config.num_hidden_layers)

    @property
    def texts(self) -> list[str]:
        """Of the held-out part."""
        return [example.text for example in self.task.test]


def fine_tune_anew(search: DepthSearch, accelerator: Accelerator, folder: Path) -> Source:
    """The uncut model fine-tuned without the held-out part; its answers to that are in folder/uncut.json."""
    place, answers, task, ready = folder / "uncut", folder / "uncut.json", search.task, search.source.ready
    finished = answers.is_file()
    if not finished:
        tokenizer = load_tokenizer(ready.folder)
        encoder = make_encoder(tokenizer)
        config = model_config(search.made, encoder.entries)
        job = Job(accelerator, search.made, task, config, tokenizer, encoder)
        decoding = ready.decoder.method if ready.decoder else "plain"
        with _accumulating(accelerator, search.made.gradient_accumulation_steps):
            model, _ = train(job, place, f"{task.name}, uncut, for the number of blocks", decoding == "crf")
        decoder = taken_decoder(model, decoding, task.labels)
        save_model(model.cpu(), tokenizer, place)
        if decoder is not None:
            decoder.save(place, task.labels)
    model, anew = load_finetuned(place, task.name, ready.max_seq_length, task.kind)
    uncut = dataclasses.replace(search.source, model=model, ready=anew)
    if not finished:
        seen = scored(search, search.source)[0]
        score, given = scored(search, uncut)
        write_answers(answers, {"score": score, "score_of_one_that_has_seen_them": seen}, task, Answered(given))
    return uncut


@contextmanager
def _accumulating(accelerator: Accelerator, steps: int) -> Iterator[None]:
    """Micro-steps per step as the fine-tuning had them, which may differ from those of the recovery."""
    before = accelerator.gradient_accumulation_steps
    accelerator.gradient_accumulation_steps = steps
    try:
        yield
    finally:
        accelerator.gradient_accumulation_steps = before


def _predictor(source: Source, model: Any = None) -> Predictor:
    """Of the source's model, or of one that was cut from it."""
    ready = source.ready if model is None else dataclasses.replace(source.ready, model=LogitsOf(model))
    return ready.predictor()


def scored(search: DepthSearch, source: Source, model: Any = None) -> tuple[float, list[Any]]:
    """Score and answers for the held-out part of the source's model, or of one that was cut from it."""
    answers = _predictor(source, model).predict(search.texts, BATCH_SIZE)
    return search.task.score(answers)[search.task.metric], answers


def weigh_blocks(search: DepthSearch, uncut: Source, accelerator: Accelerator, file: Path) -> list[float]:
    """What leaving out each block costs on the held-out part (see `costs_of_leaving_out`); kept in `file`."""
    if not file.is_file():
        held_out = dataclasses.replace(uncut, task=dataclasses.replace(search.task, train=search.task.test))
        batches = labelled_batches(*held_out.rows(), BATCH_SIZE, WEIGHED_TEXTS)
        with accelerator.autocast():
            write_json(file, costs_of_leaving_out(uncut.model, batches))
    return read_json(file)


@dataclass(frozen=True)
class Trials:
    """What the trials of all depths share.

    Attributes:
        weights: of the uncut model's neurons.
        costs: of leaving out each of its blocks.
        folder: what is found out is kept there, of each depth in DEPTH.json.
    """

    search: DepthSearch
    uncut: Source
    weights: NeuronWeights
    costs: Sequence[float]
    accelerator: Accelerator
    folder: Path

    @cached_property
    def _wanted(self) -> torch.Tensor:
        """What the uncut model says of the held-out part."""
        with self.accelerator.autocast():
            return self._logits(self._read(_predictor(self.uncut)))

    def choose_blocks(self, depth: int) -> dict[str, Any]:
        """Which blocks stay at a depth: of several choices the one with the highest score before any training.

        Of equal scores the lower loss wins.

        Returns:
            {"blocks": the best, "choice": its name, "untrained": of each choice its blocks, score and loss}, kept in
            folder/DEPTH-blocks.json.
        """
        file = self.folder / f"{depth}-blocks.json"
        if not file.is_file():
            tried = {name: self._untrained(blocks) for name, blocks in block_choices(self.costs, depth).items()}
            best = max(tried, key=lambda name: (tried[name]["score"], -tried[name]["loss"]))
            write_json(file, {"blocks": tried[best]["blocks"], "choice": best, "untrained": tried})
        return read_json(file)

    def _untrained(self, blocks: list[int]) -> dict[str, Any]:
        search, predictor = self.search, _predictor(self.uncut, self._cut(blocks))
        with self.accelerator.autocast():
            read = self._read(predictor)
        score = search.task.score(predictor.answers(search.texts, read))[search.task.metric]
        given = self._logits(read)
        loss = answer_loss(given, self._wanted, torch.ones(given.shape[:-1], dtype=torch.bool))
        return {"blocks": blocks, "score": score, "loss": finite(loss)}

    def _cut(self, blocks: Sequence[int]) -> Any:
        return shrink(self.uncut.model, blocks, self.search.settings.keep_ffn, self.weights)

    def _read(self, predictor: Predictor) -> list[Read]:
        return predictor.read(self.search.texts, BATCH_SIZE)

    def _logits(self, read: Sequence[Read]) -> torch.Tensor:
        """[texts, labels], of entities [tokens, labels] without special tokens and padding."""
        per_row = [pair for rows, logits in read for pair in zip(rows, logits, strict=True)]
        if KINDS[self.search.task.kind].per_token:
            return torch.cat([logits[row.first : row.first + len(row.offsets)] for row, logits in per_row])
        return torch.stack([logits for _, logits in per_row])

    def try_depth(self, depth: int) -> None:
        """Cut the uncut model, train what is left, and keep its answers to the held-out part in folder/DEPTH.json."""
        search = self.search
        answers, place = self.folder / f"{depth}.json", self.folder / str(depth)
        if answers.is_file():
            return
        self.uncut.model.cpu()  # where the training of another depth has not left it
        choice = self.choose_blocks(depth)
        small = self._cut(choice["blocks"])
        own = search.settings.for_epochs(search.settings.search_epochs)
        describe = f"{search.task.name}, {depth} blocks, for their number"
        trained = recovered(own, self.uncut, small, choice["blocks"], place, self.accelerator, describe)
        score, given = scored(search, self.uncut, small)
        facts = {"layers": depth, "score": score, "steps": trained["steps"], "seconds": trained["recovery_seconds"]}
        write_answers(answers, facts | choice, search.task, Answered(given))
        shutil.rmtree(place, ignore_errors=True)
