"""Whole words are hidden, never parts of them, at the asked rate, and reproducibly."""

import numpy as np
import pytest

from mobilebert_ja.pretraining.masking.whole_words import IGNORED, whole_word_mask

INDEX = {
    "vocab_size": 200,
    "special_ids": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4},
    "continuing_ids": list(range(100, 200)),
}


def rows(count: int = 64, length: int = 48, seed: int = 0) -> np.ndarray:
    ids = np.random.default_rng(seed).integers(5, 200, (count, length))
    ids[:, 0], ids[:, -1], ids[:, length // 2] = 2, 3, 3
    return ids


def mask(ids: np.ndarray, replacement: str = "mask", probability: float = 0.25, seed: int = 0):
    return whole_word_mask(ids, INDEX, probability, replacement, np.random.default_rng(seed))


def test_whole_words_only():
    ids = rows()
    hidden = mask(ids)["input_ids"] == 4
    for row, is_hidden in zip(ids, hidden, strict=True):
        for index in range(1, len(row)):
            if row[index] >= 100 and row[index - 1] not in (2, 3):  # continues the word before it
                assert is_hidden[index] == is_hidden[index - 1]


def test_targets_are_what_stood_there():
    ids = rows()
    out = mask(ids)
    used = out["targets"] != IGNORED
    there = np.take_along_axis(ids, out["positions"], axis=1)
    assert (out["targets"][used] == there[used]).all()
    changed = (out["input_ids"] != ids).sum(axis=1)
    assert (changed == used.sum(axis=1)).all()
    assert out["positions"].shape == (64, 12)  # round(0.25 x 48), the same for every row


def test_special_tokens_are_never_hidden():
    ids = rows()
    out = mask(ids, probability=0.9)
    assert (out["input_ids"][:, 0] == 2).all() and (out["input_ids"][:, -1] == 3).all()
    assert (out["input_ids"][:, 24] == 3).all()


def test_rate_is_close_to_the_asked_one():
    used = mask(rows(512), probability=0.15)["targets"] != IGNORED
    assert 0.12 < used.sum() / (512 * 48) <= 0.15


def test_every_word_is_as_likely():
    ids = rows(1)
    ids[0, 1:-1] = 50  # words of one token
    counts = np.zeros(48)
    for seed in range(2000):
        counts[mask(ids, seed=seed)["positions"][0]] += 1
    shares = counts[1:-1] / 2000
    assert shares.min() > 0.2 and shares.max() < 0.32  # 12 of 46


def test_bert_replacement_is_80_10_10():
    ids = rows(2048)
    out = mask(ids, "bert")
    used = out["targets"] != IGNORED
    now = np.take_along_axis(out["input_ids"], out["positions"], axis=1)[used]
    before = out["targets"][used]
    assert (now == 4).mean() == pytest.approx(0.8, abs=0.01)
    assert (now == before).mean() == pytest.approx(0.1, abs=0.01)
    assert ((now != before) & (now != 4)).mean() == pytest.approx(0.1, abs=0.01)
    assert now.min() >= 4


def test_same_generator_same_mask():
    ids = rows()
    first, again, other = mask(ids, seed=1), mask(ids, seed=1), mask(ids, seed=2)
    assert all((first[key] == again[key]).all() for key in first)
    assert (first["positions"] != other["positions"]).any()
