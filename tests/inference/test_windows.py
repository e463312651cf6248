"""Long texts in overlapping windows: every token is read, and entities are found wherever they stand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.files.task_data import write_tokenizer
from mobilebert_ja.finetuning.modelling.forms import Reader, training_rows
from mobilebert_ja.finetuning.modelling.rows import window_rows
from mobilebert_ja.finetuning.predictor import Predictor
from mobilebert_ja.inference.decoding import bio_labels, spans_of_tags
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.inference.windows import stitch, window_starts
from mobilebert_ja.tasks.base import Example, Task
from mobilebert_ja.tokenization.encoder import FastEncoder

LABELS = bio_labels(["地名"])
TEXT = "昨日は雨が降った。" * 12 + "田中太郎は　京都市に住む。" + "昨日は雨が降った。" * 12


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return FastEncoder(write_tokenizer(tmp_path_factory.mktemp("tokenizer")))


@given(st.integers(0, 400), st.integers(1, 60))
def test_windows_cover_everything_and_overlap(tokens, room):
    starts = window_starts(tokens, room)
    assert starts[0] == 0 and starts == sorted(set(starts))
    ends = [min(start + room, tokens) for start in starts]
    assert ends[-1] == tokens
    for end, following in zip(ends, starts[1:], strict=False):
        assert end - following >= (-(-room // 4) if room > 1 else 0)
    scores = np.random.default_rng(0).normal(size=(tokens, 3))
    pieces = [scores[start:end] for start, end in zip(starts, ends, strict=True)]
    assert np.array_equal(stitch(pieces, starts), scores)


def test_each_token_comes_from_where_it_has_most_around_it():
    starts = window_starts(14, 8)
    assert starts == [0, 6]
    whole = stitch([np.full((8, 1), 1.0), np.full((8, 1), 2.0)], starts)[:, 0].tolist()
    assert whole == [1.0] * 7 + [2.0] * 7


def test_training_rows_of_a_long_text_hold_its_entities(encoder):
    start = TEXT.index("京都市")
    spans = [(start, start + 3, "地名")]
    rows = training_rows(Task("ner", Kind.ENTITIES, LABELS, [Example(TEXT, spans)], []), Reader(encoder, 32))
    assert len(rows) > 3 and all(len(row.ids) == len(row.labels) <= 32 for row in rows)
    found = set()
    for row in rows:
        found |= set(spans_of_tags(row.offsets, [LABELS[number] for number in row.labels[1:-1]]))
    assert set(spans) <= found


def test_entities_of_a_long_text_are_found_where_they_stand(encoder):
    """A model that knows the tokens of 京都市 finds them, though they stand far beyond what it reads at a time."""
    kyoto = encoder.ids("京都市")
    start = TEXT.index("京都市")

    def model(input_ids, attention_mask, token_type_ids):
        logits = torch.zeros(*input_ids.shape, 3)
        logits[..., 0] = 1.0
        for row, ids in enumerate(input_ids.tolist()):
            for index in range(len(ids)):
                if ids[index : index + len(kyoto)] == kyoto:
                    logits[row, index, 1] = 5.0
                    logits[row, index + 1 : index + len(kyoto), 2] = 5.0
        return logits

    predictor = Predictor(model, encoder, Kind.ENTITIES, LABELS, 32)
    windows = window_rows(TEXT, encoder, 32)
    assert len(windows) > 3 and all(len(row.ids) <= 32 for row in windows)
    assert predictor.predict_one(TEXT) == [(start, start + 3, "地名")]
    assert predictor.predict([TEXT, "京都市", TEXT], 4) == [[(start, start + 3, "地名")], [(0, 3, "地名")]] + [
        [(start, start + 3, "地名")]
    ]
