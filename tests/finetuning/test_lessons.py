"""Labelled rows and silver answers in the same batches: what counts, how much, and what is passed over."""

import itertools
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers.files.task_data import LABELS, write_tokenizer
from mobilebert_ja.finetuning.lessons import (
    members_in_turn,
    mixed_lessons,
    silver_rows,
    soft_class_loss,
    weighted_crf_loss,
    weighted_tag_loss,
)
from mobilebert_ja.finetuning.modelling.crf import LinearChainCRF, crf_loss
from mobilebert_ja.finetuning.modelling.forms import Reader, class_loss, training_rows
from mobilebert_ja.finetuning.modelling.rows import IGNORED, collate
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.settings import FinetuneSettings
from mobilebert_ja.tasks import Example, Task
from mobilebert_ja.tasks.silver import SilverClass, SilverSpans
from mobilebert_ja.tokenization.encoder import FastEncoder

TITLES = Task("t", Kind.CLASSES, ["a", "b"], [Example("野球の試合", "a"), Example("映画の公開", "b")], [])
PEOPLE = Task(
    "p", Kind.ENTITIES, LABELS["ner"], [Example("田中太郎は京都市に住む。", [(0, 4, "人名"), (5, 8, "地名")])], []
)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return Reader(FastEncoder(write_tokenizer(tmp_path_factory.mktemp("tokenizer"))), 32)


class Fixed(torch.nn.Module):
    """A model that answers with given logits, and keeps what it was given."""

    def __init__(self, logits, crf=None):
        super().__init__()
        self.logits, self.crf = logits, crf

    def forward(self, **given):
        self.given = set(given)
        return SimpleNamespace(logits=self.logits)


def tensors(batch):
    return {name: torch.as_tensor(value) for name, value in batch.items()}


def lessons_of(task, answers, reader, crf=False, **settings):
    settings = FinetuneSettings(per_device_train_batch_size=4, num_train_epochs=2, **settings)
    return mixed_lessons(training_rows(task, reader), answers, task, reader, settings, 0, collate, crf)


def test_soft_classes_count_by_their_weight(reader):
    answers = [SilverClass("相撲の力士", (0.7, 0.3))]
    lessons = lessons_of(TITLES, answers, reader, silver_epochs=2.0, silver_weight=0.5)
    batch = tensors(lessons.batch(0))
    weights, labels = batch["weights"].tolist(), [tuple(each) for each in batch["labels"].tolist()]
    assert sorted(zip(weights, labels, strict=True)) == [
        (0.5, (pytest.approx(0.7), pytest.approx(0.3))),
        (1.0, (0.0, 1.0)),
        (1.0, (1.0, 0.0)),
    ]
    model = Fixed(torch.tensor([[2.0, 0.0]] * 3))
    right, wrong = -torch.log_softmax(model.logits[0], -1)
    wanted = (0.5 * (0.7 * right + 0.3 * wrong) + right + wrong) / 3
    loss, _ = lessons.loss(model, batch)
    assert lessons.loss is soft_class_loss and loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert model.given == {"input_ids", "attention_mask", "token_type_ids"}


def test_labels_alone_cost_what_they_cost_without_silver(reader):
    torch.manual_seed(0)
    crf = LinearChainCRF(PEOPLE.labels, 100.0)
    torch.nn.init.normal_(crf.transitions, std=0.01)
    plain = tensors(collate(training_rows(PEOPLE, reader), 0))
    weighted = tensors(lessons_of(PEOPLE, [], reader).batch(0))
    model = Fixed(torch.randn(*plain["labels"].shape, len(PEOPLE.labels)), crf)
    assert weighted_tag_loss(model, weighted)[0].item() == pytest.approx(class_loss(model, plain)[0].item(), rel=1e-5)
    assert weighted_crf_loss(model, weighted)[0].item() == pytest.approx(crf_loss(model, plain)[0].item(), rel=1e-4)


def test_unsure_entities_are_masked(reader):
    text = "田中太郎は京都市に住む。"
    answer = SilverSpans(text, (((0, 4, "人名"), 0.9), ((5, 8, "地名"), 0.4)), (((11, 12), 0.3),))
    (row,) = silver_rows([answer], PEOPLE, reader, FinetuneSettings(min_confidence=0.5, silver_weight=0.25))
    assert row.weight == 0.25 and row.row.labels[0] == row.row.labels[-1] == IGNORED
    for (start, end), tag in zip(row.row.offsets, row.row.labels[1:-1], strict=True):
        unsure = (start < 8 and end > 5) or end > 11
        assert (tag == IGNORED) == unsure, (start, end)
        assert unsure or (PEOPLE.labels[tag][2:] == "人名") == (end <= 4)
    everything = SilverSpans("京都市", (((0, 3, "地名"), 0.4),))
    assert silver_rows([everything], PEOPLE, reader, FinetuneSettings(min_confidence=0.5)) == []
    assert len(silver_rows([everything], PEOPLE, reader, FinetuneSettings(min_confidence=0.3))) == 1


def test_long_silver_texts_are_read_in_windows(reader):
    short = Reader(reader.encoder, 8)
    text = "田中太郎は京都市に住む。" * 3
    rows = silver_rows([SilverSpans(text, (((0, 4, "人名"), 1.0),))], PEOPLE, short, FinetuneSettings())
    assert len(rows) > 3 and max(len(row.ids) for row in rows) == 8


def test_a_tag_that_is_not_known_may_be_any():
    """By brute force over all paths."""
    torch.manual_seed(1)
    crf = LinearChainCRF(LABELS["ner"], 1.0)
    for each in (crf.start, crf.transitions, crf.end):
        torch.nn.init.normal_(each)
    logits = torch.randn(2, 6, 5)
    labels = torch.tensor([[IGNORED, 1, IGNORED, IGNORED, 0, IGNORED], [IGNORED, IGNORED, IGNORED, *[IGNORED] * 3]])
    inside = torch.tensor([[False, True, True, True, True, False], [False, True, True, False, False, False]])
    start, transitions, end = (table.detach().numpy() for table in crf.tables())

    def score(row, path):
        own = sum(logits[row, index + 1, tag].item() for index, tag in enumerate(path))
        return own + start[path[0]] + sum(transitions[pair] for pair in itertools.pairwise(path)) + end[path[-1]]

    every = list(itertools.product(range(5), repeat=4))
    agreeing = [path for path in every if path[0] == 1 and path[3] == 0]
    logs = [np.logaddexp.reduce([score(0, path) for path in paths]) for paths in (every, agreeing)]
    losses = crf.partial(logits, labels, inside)
    assert losses[0].item() == pytest.approx(logs[0] - logs[1], rel=1e-4) and losses[0] > 0
    assert losses[1].item() == pytest.approx(0, abs=1e-5)  # nothing is known of it
    losses.sum().backward()
    assert torch.isfinite(crf.transitions.grad).all()


def test_every_answer_has_its_turn():
    seen = Counter(member for epoch in range(6) for member in members_in_turn(10, 5, 7, epoch))
    assert seen == dict.fromkeys(range(10), 3)
    assert members_in_turn(10, 5, 7, 2) != members_in_turn(10, 5, 7, 0)  # another order


def test_an_epoch_of_more_turns_than_members_begins_anew():
    epochs = [members_in_turn(3, 7, 0, epoch) for epoch in range(3)]
    assert [len(turns) for turns in epochs] == [7, 7, 7]
    had = Counter({member: 0 for member in range(3)})
    for member in itertools.chain(*epochs):
        had[member] += 1
        assert max(had.values()) - min(had.values()) <= 1
    assert set(had.values()) == {7}


def test_batches_depend_on_their_number_alone(reader):
    answers = [SilverClass(f"野球の試合{number}", (0.5, 0.5)) for number in range(10)]
    first, second = (lessons_of(TITLES, answers, reader, silver_epochs=1.0) for _ in range(2))
    assert first.per_epoch == 2  # 2 labelled and 5 of 10 silver rows, in batches of 4
    numbers = range(2 * first.per_epoch)
    batches = [first.batch(number) for number in numbers]
    for number in reversed(numbers):
        assert all(np.array_equal(second.batch(number)[name], value) for name, value in batches[number].items())
    counts = [sum((batch["weights"] == 1).sum() for batch in batches[begin : begin + 2]) for begin in (0, 2)]
    assert counts == [7, 7] and sum(len(batch["labels"]) for batch in batches) == 14
