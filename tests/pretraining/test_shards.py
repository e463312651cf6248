"""Packed shards: rows of one exact length that follow from their number alone; damage is noticed."""

import os
import subprocess
import sys

import numpy as np
import pytest

from helpers.paths import SCRIPTS
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.pretraining.packing import pack_corpus
from mobilebert_ja.pretraining.shards import Rows, Shards, check_vocabulary, parse_mixture, write_index, write_source
from mobilebert_ja.tokenization.encoder import SPECIAL_TOKENS, save_tokenizer

VOCABULARY = {token: number for number, token in enumerate([*SPECIAL_TOKENS, "あ", "い", "##う", "##え"])}


def documents(count: int, start: int = 5) -> list[list[list[int]]]:
    """Documents whose tokens count upward, so that a window shows where it was cut."""
    tokens = iter(range(start, 60_000))
    return [[[next(tokens) for _ in range(7)] for _ in range(5)] for _ in range(count)]


@pytest.fixture
def folder(tmp_path):
    counts = {
        "train-news": write_source(tmp_path, "train", "news", documents(40)),
        "train-books": write_source(tmp_path, "train", "books", documents(80, start=20_000)),
        "heldout-news": write_source(tmp_path, "heldout", "news", documents(10)),
    }
    write_index(tmp_path, VOCABULARY, counts)
    return tmp_path


def test_index(folder):
    shards = Shards(folder, "train")
    assert shards.index["vocab_size"] == 9 and shards.index["continuing_ids"] == [7, 8]
    assert [source.name for source in shards.sources] == ["books", "news"]
    assert shards.total_tokens == 120 * 35
    assert list(shards.sources[1].documents[:3]) == [0, 35, 70]


@pytest.mark.parametrize("pairs", [False, True])
def test_rows_have_one_length_and_follow_from_their_number(folder, pairs):
    one, two = (Rows(Shards(folder, "train"), 32, 0, pairs=pairs) for _ in range(2))
    numbers = list(range(0, 3 * one.rows_per_epoch, 7))
    straight = {number: one.row(number) for number in numbers}
    for number in reversed(numbers):
        row = two.row(number)
        assert row["input_ids"].shape == row["token_type_ids"].shape == (32,)
        assert (row["input_ids"] == straight[number]["input_ids"]).all()
        assert row["input_ids"][0] == 2 and row["input_ids"][-1] == 3


def test_a_single_row_is_a_window_of_the_text(folder):
    rows = Rows(Shards(folder, "train"), 32, 0)
    for number in range(rows.rows_per_epoch):
        middle = rows.row(number)["input_ids"][1:-1]
        assert (np.diff(middle) == 1).all()


def test_an_epoch_takes_every_window_once_and_the_next_cuts_elsewhere(folder):
    rows = Rows(Shards(folder, "train"), 32, 0)
    epochs = [
        [rows.row(e * rows.rows_per_epoch + n)["input_ids"][1] for n in range(rows.rows_per_epoch)] for e in (0, 1)
    ]
    assert all(len(set(firsts)) == rows.rows_per_epoch for firsts in epochs)
    assert set(epochs[0]) != set(epochs[1])


def test_pairs(folder):
    rows = Rows(Shards(folder, "train"), 32, 0, pairs=True)
    labels, exchanged = [], []
    for number in range(2 * rows.rows_per_epoch):
        row = rows.row(number)
        cut = int(np.flatnonzero(row["input_ids"] == 3)[0])
        first, second = row["input_ids"][1:cut], row["input_ids"][cut + 1 : -1]
        assert (row["token_type_ids"] == np.r_[np.zeros(cut + 1), np.ones(31 - cut)]).all()
        assert 7 <= len(first) <= 22
        follows = second[0] == first[-1] + 1
        assert follows or row["next_sentence_label"] == 1
        if row["next_sentence_label"] == 0:
            assert follows
        else:
            exchanged.append(not follows)
        labels.append(row["next_sentence_label"])
    assert 0.35 < np.mean(labels) < 0.65
    assert np.mean(exchanged) > 0.95  # by chance one may follow all the same


def test_a_pair_is_cut_where_a_sentence_ends(folder):
    rows = Rows(Shards(folder, "heldout"), 32, 0, pairs=True)
    for number in range(rows.rows_per_epoch):
        ids = rows.row(number)["input_ids"]
        last = ids[int(np.flatnonzero(ids == 3)[0]) - 1]
        assert (last - 5 + 1) % 7 == 0


def test_mixture(folder):
    plain = Rows(Shards(folder, "train"), 32, 0)
    mixed = Rows(Shards(folder, "train"), 32, 0, mixture="books=0.25,*=2")
    assert mixed.counts == [round(plain.counts[0] * 0.25), plain.counts[1] * 2]
    first = [mixed.row(number)["input_ids"][1] for number in range(mixed.rows_per_epoch)]
    assert sum(token >= 20_000 for token in first) == mixed.counts[0]
    assert parse_mixture("a=1, b*=0.5") == [("a", 1.0), ("b*", 0.5)]
    with pytest.raises(UserError, match="PATTERN=WEIGHT"):
        parse_mixture("a:1")
    for weight in ("nan", "inf", "-0.5"):
        with pytest.raises(UserError, match=f"a weight must be a number of at least 0, not '{weight}'"):
            parse_mixture(f"a={weight}")
    with pytest.raises(UserError, match=r"no source matches 'wiki\*'; there are books, news"):
        Rows(Shards(folder, "train"), 32, 0, mixture="wiki*=1")
    Rows(Shards(folder, "heldout"), 32, 0, mixture="books=0.25")  # too small a source to have text that is held out
    with pytest.raises(UserError, match=r"no source matches 'wiki\*'; there are books, news"):
        Rows(Shards(folder, "heldout"), 32, 0, mixture="wiki*=1")


def test_damage_is_noticed(folder):
    path = folder / "train-news.tokens.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"train-news\.tokens\.npy is missing or damaged"):
        Shards(folder, "train")


def test_what_is_not_there(folder, tmp_path):
    with pytest.raises(UserError, match=r"pack_corpus\.py makes"):
        Shards(tmp_path / "nowhere", "train")
    with pytest.raises(UserError, match="holds no 'test' text"):
        Shards(folder, "test")
    with pytest.raises(UserError, match="too small for rows of 5000"):
        Rows(Shards(folder, "train"), 5000, 0)


def test_two_files_of_a_corpus_that_would_be_one_source(tmp_path):
    save_tokenizer(list(VOCABULARY), tmp_path / "tokenizer")
    for name in ("train/x/a.txt", "train/y/a.txt", "heldout/a.txt"):
        (tmp_path / "corpus" / name).parent.mkdir(parents=True)
        (tmp_path / "corpus" / name).write_text("あい\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"x/a\.txt and .*y/a\.txt would both be the source a; .* distinct names"):
        pack_corpus(tmp_path / "corpus", tmp_path / "tokenizer", tmp_path / "shards", 1)


def test_a_vocabulary_beyond_16_bits_is_refused():
    check_vocabulary(65_536)
    with pytest.raises(UserError, match="65,537 entries"):
        check_vocabulary(65_537)


@pytest.mark.slow
def test_numpy_alone_reads_them(folder):
    """A machine that only trains has no MeCab, no datasets, no tokenizers."""
    code = """
import sys
for name in "torch transformers fugashi unidic_lite tokenizers datasets datatrove backports.zstd".split():
    sys.modules[name] = None
from mobilebert_ja.pretraining.masking.whole_words import whole_word_mask
from mobilebert_ja.pretraining.shards import Rows, Shards
import numpy
shards = Shards(sys.argv[1], "train")
rows = Rows(shards, 16, 0, "", True).batch(0, 2)
print(whole_word_mask(rows["input_ids"], shards.index, 0.5, "mask", numpy.random.default_rng(0))["input_ids"].shape)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "(2, 16)\n", done.stderr
