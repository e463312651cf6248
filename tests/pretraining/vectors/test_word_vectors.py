"""Word vectors by counting: neighbours counted by hand, words of like company found, a model that starts from them."""

import json

import numpy as np
import pytest
import torch
from scipy import sparse
from transformers import MobileBertForPreTraining

import embed_words
import pretrain
from helpers.files.word_company import (
    CAT,
    DOG,
    GO,
    LIVE,
    OSAKA,
    RARE,
    RUN,
    SLEEP,
    TOKYO,
    VOCABULARY,
    company,
    write_shards,
)
from helpers.running.processes import call_entry
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.model.mobilebert import mobilebert_config, set_word_embeddings
from mobilebert_ja.pretraining.shards import Shards
from mobilebert_ja.pretraining.vectors.pmi import (
    cooccurrence_counts,
    nearest,
    positive_mutual_information,
    word_vectors,
)
from mobilebert_ja.tokenization.encoder import SPECIAL_TOKENS, save_tokenizer


def test_neighbours_counted_by_hand(tmp_path):
    shards = Shards(write_shards(tmp_path / "s", news=[[[DOG, RUN, CAT], [RUN]], [[CAT, CAT]]]), "train")
    counts, frequencies = cooccurrence_counts(shards, window=2)
    wanted = np.zeros(counts.shape)
    wanted[DOG, RUN] = wanted[RUN, DOG] = wanted[RUN, CAT] = wanted[CAT, RUN] = 1.0
    wanted[DOG, CAT] = wanted[CAT, DOG] = 0.5  # two tokens away
    wanted[CAT, CAT] = 2.0  # each is the other's neighbour
    assert np.allclose(counts.toarray(), wanted)
    assert frequencies[CAT] == 3 and frequencies[RUN] == 2 and frequencies[RARE] == 0


def test_mixture_weighs_counts(tmp_path):
    folder = write_shards(tmp_path / "s", news=[[[DOG, RUN]]], books=[[[CAT, RUN]]])
    counts, frequencies = cooccurrence_counts(Shards(folder, "train"), window=5, mixture="books=0.25")
    assert counts[DOG, RUN] == 1.0 and counts[CAT, RUN] == 0.25 and frequencies[RUN] == 1.25
    with pytest.raises(UserError, match="no source matches 'book'; there are books, news"):
        cooccurrence_counts(Shards(folder, "train"), window=5, mixture="book=0.25")


def test_mutual_information_by_hand():
    counts = sparse.csr_matrix(np.array([[0.0, 3.0], [3.0, 2.0]], np.float32))
    context = np.array([3.0, 5.0]) ** 0.75
    context /= context.sum()
    found = positive_mutual_information(counts).toarray()
    assert found[0, 1] == pytest.approx(np.log(1.0 / context[1]))  # p(1 | 0) = 1
    assert found[1, 0] == pytest.approx(np.log(0.6 / context[0]))
    assert found[1, 1] == 0.0  # 0.4 is less than chance


def test_words_of_like_company_are_near_each_other(tmp_path):
    counts, _ = cooccurrence_counts(Shards(write_shards(tmp_path / "s", news=company(0)), "train"), window=5)
    vectors = word_vectors(counts, 3, seed=0)
    assert vectors.shape == (len(VOCABULARY), 3) and vectors.dtype == np.float32
    assert nearest(vectors, DOG, 3)[-1] in (CAT, RUN, SLEEP)
    assert set(nearest(vectors, TOKYO, 3)) == {OSAKA, GO, LIVE}
    assert not vectors[RARE].any() and not vectors[: len(SPECIAL_TOKENS)].any()
    assert (vectors == word_vectors(counts, 3, seed=0)).all()


def test_too_little_text(tmp_path):
    with pytest.raises(UserError, match="too little"):
        word_vectors(sparse.csr_matrix((9, 9), dtype=np.float32), 3, seed=0)
    with pytest.raises(UserError, match="--embedding_size 10"):
        word_vectors(sparse.eye(9, format="csr", dtype=np.float32), 10, seed=0)


def test_a_model_starts_from_them():
    config = mobilebert_config(6, num_hidden_layers=1, embedding_size=4, hidden_size=64, intra_bottleneck_size=32)
    torch.manual_seed(0)
    model = MobileBertForPreTraining(config)
    before = model.mobilebert.embeddings.word_embeddings.weight.detach().clone()
    vectors = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32) * 7
    vectors[[0, 3]] = 0
    set_word_embeddings(model, vectors, 0.1)
    after = model.mobilebert.embeddings.word_embeddings.weight.detach()
    assert torch.equal(after[[0, 3]], before[[0, 3]])
    seen = [1, 2, 4, 5]
    assert after[seen].square().mean().sqrt().item() == pytest.approx(0.1)
    directions = torch.nn.functional.cosine_similarity(after[seen], torch.from_numpy(vectors[seen]))
    assert directions.min() > 0.9999
    assert model.cls.predictions.decoder.weight is model.mobilebert.embeddings.word_embeddings.weight
    with pytest.raises(UserError, match=r"6 x 3.*6 x 4"):
        set_word_embeddings(model, vectors[:, :3], 0.1)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    write_shards(folder / "shards", news=company(1))
    (folder / "tokenizer").mkdir()
    save_tokenizer(list(VOCABULARY), folder / "tokenizer")
    done = call_entry(embed_words, "--work_dir", str(folder), "--embedding_size", "4")
    assert done.returncode == 0, done.stderr
    return folder


SIZES = (
    "--num_hidden_layers",
    "1",
    "--hidden_size",
    "64",
    "--intra_bottleneck_size",
    "32",
    "--intermediate_size",
    "32",
    "--max_seq_length",
    "16",
    "--per_device_train_batch_size",
    "4",
    "--eval_rows",
    "8",
    "--max_steps",
    "2",
)


@pytest.mark.slow
def test_from_shards_to_a_model(work):
    vectors = np.load(work / "embeddings" / "word_embeddings.npy")
    assert vectors.shape == (len(VOCABULARY), 4)
    record = json.loads((work / "embeddings" / "record.json").read_text())
    assert record["metrics"]["tokens_with_vector"] == 8
    done = call_entry(
        pretrain,
        "--work_dir",
        str(work),
        "--embedding_size",
        "4",
        "--word_embeddings",
        "embeddings",
        "--learning_rate",
        "1e-9",
        "--warmup_steps",
        "1000",
        *SIZES,
    )
    assert done.returncode == 0, done.stderr
    weight = MobileBertForPreTraining.from_pretrained(work / "student").mobilebert.embeddings.word_embeddings.weight
    seen = vectors.any(axis=1)
    scale = 0.1 / np.sqrt((vectors[seen] ** 2).mean())
    assert np.allclose(weight.detach().numpy()[seen], vectors[seen] * scale, atol=1e-5)
    assert "word_embeddings" in json.loads((work / "student" / "record.json").read_text())["inputs"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--word_embeddings", "embeddings", "--embedding_size", "8"], "The word vectors are 14 x 4"),
        (["--word_embeddings", "nowhere"], "embed_words.py makes it"),
        (["--word_embeddings", "embeddings", "--model_name_or_path", "."], "has its own"),
    ],
)
def test_what_does_not_go_together(work, arguments, message):
    done = call_entry(pretrain, "--work_dir", str(work), "--output_dir", str(work / "other"), *arguments, *SIZES)
    assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr
    assert not (work / "other").exists()
