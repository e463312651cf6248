"""What a run learns from, batch by batch: the labelled examples alone, or with them what teachers say (silver).

A silver answer counts by its weight. Of classes every probability is learned (a soft cross entropy); of entities the
tags of which the teacher is sure enough, and nothing of what it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate.utils import extract_model_from_parallel
from torch.nn import functional

from mobilebert_ja.finetuning.modelling.crf import LinearChainCRF
from mobilebert_ja.finetuning.modelling.forms import FORMS, Loss, Reader
from mobilebert_ja.finetuning.modelling.rows import IGNORED, MakeArrays, Row, batches_per_epoch, epoch_plan
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.settings import CompressSettings, FinetuneSettings
from mobilebert_ja.tasks.base import Task
from mobilebert_ja.tasks.silver import Silver, SilverClass, SilverSpans


@dataclass(frozen=True)
class Lessons:
    """What `run_training` goes through.

    Attributes:
        batch: micro-batch number -> arrays.
        per_epoch: batches of one pass over the training part.
        loss: of a model and a batch.
    """

    batch: Callable[[int], dict[str, Any]]
    per_epoch: int
    loss: Callable[[Any, dict[str, Any]], Loss]


@dataclass
class WeightedRow:
    """A row that counts `weight` in the loss.

    Attributes:
        shares: of classes the probability of each [labels], float32.
        inside: of entities where the text's own tokens stand in the row, from and to.
    """

    row: Row
    weight: float = 1.0
    shares: np.ndarray | None = None
    inside: tuple[int, int] = (0, 0)

    @property
    def ids(self) -> list[int]:
        return self.row.ids


def collate_weighted(rows: Sequence[WeightedRow], pad_id: int, make_arrays: MakeArrays) -> dict[str, np.ndarray]:
    """As `make_arrays` of the rows themselves, with weights [rows]; for classes with labels [rows, labels] as
    probabilities, for entities with inside [rows, tokens], true for the text's own tokens."""
    batch = make_arrays([each.row for each in rows], pad_id)
    if rows[0].shares is not None:
        batch["labels"] = np.stack([each.shares for each in rows if each.shares is not None])
    else:
        places = np.arange(batch["labels"].shape[1])
        batch["inside"] = np.stack([(each.inside[0] <= places) & (places < each.inside[1]) for each in rows])
    batch["weights"] = np.array([each.weight for each in rows], np.float32)
    return batch


def _logits(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    own = ("labels", "weights", "inside")
    return model(**{name: value for name, value in batch.items() if name not in own}).logits.float()


def soft_class_loss(model: Any, batch: dict[str, Any]) -> Loss:
    """Mean over the rows of weight times cross entropy with the given probabilities."""
    losses = functional.cross_entropy(_logits(model, batch), batch["labels"], reduction="none")
    return (losses * batch["weights"]).mean(), {}


def weighted_tag_loss(model: Any, batch: dict[str, Any]) -> Loss:
    """Mean over the tokens that have a tag of the row's weight times cross entropy."""
    labels = batch["labels"]
    logits = _logits(model, batch)
    losses = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none")
    total = (losses.view(labels.shape).sum(1) * batch["weights"]).sum()
    return total / (labels != IGNORED).sum().clamp(min=1), {}


def weighted_crf_loss(model: Any, batch: dict[str, Any]) -> Loss:
    """The same of a model that has a `LinearChainCRF` as its attribute `crf`; tokens without a tag may have any."""
    logits = _logits(model, batch)
    crf: LinearChainCRF = extract_model_from_parallel(model).crf
    with torch.autocast(logits.device.type, enabled=False):  # sums of hundreds of terms
        losses = crf.partial(logits, batch["labels"], batch["inside"])
    return (losses * batch["weights"]).sum() / (batch["labels"] != IGNORED).sum().clamp(min=1), {}


# Of one kind of task: its labelled rows, and the rows of a silver answer.


def _labelled_classes(row: Row, labels: Sequence[str]) -> WeightedRow:
    assert isinstance(row.labels, int)
    shares = np.zeros(len(labels), np.float32)
    shares[row.labels] = 1
    row.labels = None
    return WeightedRow(row, shares=shares)


def _silver_classes(answer: SilverClass, rows: list[Row], task: Task, settings: FinetuneSettings) -> list[WeightedRow]:
    return [WeightedRow(rows[0], settings.silver_weight, np.array(answer.probabilities, np.float32))]


def _labelled_entities(row: Row, _labels: Sequence[str]) -> WeightedRow:
    assert isinstance(row.labels, list)
    tagged = [index for index, tag in enumerate(row.labels) if tag != IGNORED]
    return WeightedRow(row, inside=(tagged[0], tagged[-1] + 1) if tagged else (0, 0))


def _silver_entities(
    answer: SilverSpans, rows: list[Row], task: Task, settings: FinetuneSettings
) -> list[WeightedRow]:
    index_of = {label: index for index, label in enumerate(task.labels)}
    FORMS[task.kind].label(rows, [span for span, _ in answer.entities], index_of)
    unsure = answer.unsure(settings.min_confidence or 0.0)
    made = []
    for row in rows:
        weighted = _labelled_entities(row, task.labels)
        weighted.weight = settings.silver_weight
        assert isinstance(row.labels, list)
        for index, (start, end) in enumerate(row.offsets, start=weighted.inside[0]):
            if any(start < right and end > left for left, right in unsure):
                row.labels[index] = IGNORED
        if any(tag != IGNORED for tag in row.labels):
            made.append(weighted)
    return made


@dataclass(frozen=True)
class SilverForm:
    """How silver answers of one kind of task are learned.

    Attributes:
        labelled: a labelled row -> the same as one of a mixed batch.
        silver: an answer and the rows of its text -> those of them from which there is something to learn.
        loss, crf_loss: of a model and a batch, without and with a CRF.
    """

    labelled: Callable[[Row, Sequence[str]], WeightedRow]
    silver: Callable[[Any, list[Row], Task, FinetuneSettings], list[WeightedRow]]
    loss: Callable[[Any, dict[str, Any]], Loss]
    crf_loss: Callable[[Any, dict[str, Any]], Loss] | None = None


SILVER_FORMS = {
    Kind.CLASSES: SilverForm(_labelled_classes, _silver_classes, soft_class_loss),
    Kind.ENTITIES: SilverForm(_labelled_entities, _silver_entities, weighted_tag_loss, weighted_crf_loss),
}


def silver_rows(
    answers: Sequence[Silver], task: Task, reader: Reader, settings: FinetuneSettings
) -> list[WeightedRow]:
    """The rows of silver answers, in their order."""
    form = FORMS[task.kind]
    return [
        row
        for answer in answers
        for row in SILVER_FORMS[task.kind].silver(answer, form.rows(answer.text, reader), task, settings)
    ]


def mixed_lessons(
    labelled: Sequence[Row],
    answers: Sequence[Silver],
    task: Task,
    reader: Reader,
    settings: FinetuneSettings,
    pad_id: int,
    make_arrays: MakeArrays,
    crf: bool,
) -> Lessons:
    """Labelled rows and silver answers in the same batches.

    An epoch has every labelled row once, and as many silver rows in turn as make `silver_epochs` passes over them in
    all. A batch depends on its number and `settings.seed` alone.
    """
    form = SILVER_FORMS[task.kind]
    gold = [form.labelled(row, task.labels) for row in labelled]
    silver = silver_rows(answers, task, reader, settings)
    batch, per_epoch = mixed_batches(gold, silver, settings, lambda rows: collate_weighted(rows, pad_id, make_arrays))
    return Lessons(batch, per_epoch, form.crf_loss if crf and form.crf_loss else form.loss)


def mixed_batches(
    gold: Sequence[Any],
    silver: Sequence[Any],
    settings: FinetuneSettings | CompressSettings,
    make_batch: Callable[[list[Any]], dict[str, Any]],
) -> tuple[Callable[[int], dict[str, Any]], int]:
    """(micro-batch number -> arrays, batches per epoch) of rows of both sorts, as `mixed_lessons` has them."""
    batch_size, seed = settings.per_device_train_batch_size, settings.seed
    share = max(1, round(len(silver) * settings.silver_epochs / settings.num_train_epochs)) if silver else 0
    per_epoch = batches_per_epoch(len(gold) + share, batch_size)
    latest: tuple[int, list[Any], list[list[int]]] = (-1, [], [])  # numbers come in order

    def batch(number: int) -> dict[str, Any]:
        nonlocal latest
        epoch, index = divmod(number, per_epoch)
        if latest[0] != epoch:
            rows = [*gold, *(silver[member] for member in members_in_turn(len(silver), share, seed, epoch))]
            latest = (epoch, rows, epoch_plan([len(row.ids) for row in rows], batch_size, seed, epoch))
        _, rows, plan = latest
        return make_batch([rows[member] for member in plan[index]])

    return batch, per_epoch


def members_in_turn(size: int, share: int, seed: int, epoch: int) -> list[int]:
    """Which `share` of `size` members an epoch has: each pass over all of them is in an order of its own."""
    places = range(epoch * share, (epoch + 1) * share)
    orders = {
        turn: np.random.default_rng([seed, 1, turn]).permutation(size)
        for turn in sorted({place // size for place in places})
    }
    return [int(orders[place // size][place % size]) for place in places]
