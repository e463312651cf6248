"""Word vectors read off a larger encoder: which tokens are averaged, what is left out, both kinds put together."""

import json

import numpy as np
import pytest
import torch
from transformers import BertModel

import embed_words
from helpers.files.word_company import VOCABULARY, company, write_shards
from helpers.models.encoders import PIECES, make_encoder
from helpers.running.processes import call_entry
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.pretraining.vectors.encoder import encoder_word_vectors, joined
from mobilebert_ja.tokenization.encoder import SPECIAL_TOKENS, save_tokenizer


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return make_encoder(tmp_path_factory.mktemp("encoder"))


def test_mean_of_the_entrys_own_tokens(encoder):
    words = ["[MASK]", "<unused0>", "東京", "##京", "犬"]
    vectors = encoder_word_vectors(encoder, words, layer=1, prefix="query: ")
    assert vectors.shape == (5, 16) and vectors.dtype == np.float32
    assert not vectors[:2].any()  # special and unused entries are not asked
    model = BertModel.from_pretrained(encoder, add_pooling_layer=False).eval()
    ids = [PIECES.index(piece) for piece in ("<s>", "▁query:", "▁", "東", "京", "</s>")]
    with torch.inference_mode():
        states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[1][0]
    # The piece "▁" stands for the space of the prefix alone, so it is not the entry's.
    assert np.allclose(vectors[2], states[3:5].mean(0).numpy(), atol=1e-6)
    assert not np.allclose(vectors[3], vectors[2], atol=1e-3)  # asked as 京, without its ##


def test_an_entry_does_not_depend_on_its_batch(encoder):
    alone = encoder_word_vectors(encoder, ["犬"], layer=2)
    among = encoder_word_vectors(encoder, ["東京大阪", "犬", "走る"], layer=2)
    assert np.allclose(alone[0], among[1], atol=1e-5)


@pytest.mark.parametrize(
    "layer, folder, message",
    [(3, None, "between 0 and the encoder's 2 layers, not 3"), (1, "nowhere", "No encoder at")],
)
def test_what_cannot_be_asked(encoder, tmp_path, layer, folder, message):
    with pytest.raises(UserError, match=message):
        encoder_word_vectors(tmp_path / folder if folder else encoder, ["犬"], layer)


def test_a_tokenizer_without_offsets_is_refused(encoder, tmp_path):
    save_tokenizer(list(VOCABULARY), tmp_path)
    BertModel.from_pretrained(encoder, add_pooling_layer=False).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="does not tell where its tokens stand"):
        encoder_word_vectors(tmp_path, ["犬"], 1)


def test_both_kinds_weigh_the_same_whatever_their_size():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(200, 6)).astype(np.float32), rng.normal(size=(200, 9)).astype(np.float32)
    first[0] = second[0] = second[1] = 0
    once, again = joined(first, second, 10), joined(first * 50, second / 7, 10)
    assert once.shape == (200, 10) and np.allclose(once, again, atol=1e-5)
    assert not once[0].any() and once[1].any()  # the second entry is known to one kind
    variances = once.var(axis=0)
    assert (np.diff(variances) < 1e-6).all()  # principal components, the strongest first


def test_more_numbers_than_there_are():
    with pytest.raises(UserError, match="--embedding_size 5"):
        joined(np.ones((9, 2), np.float32), np.ones((9, 2), np.float32), 5)


def test_embed_words_joins_them(encoder, tmp_path):
    write_shards(tmp_path / "shards", news=company(1))
    (tmp_path / "tokenizer").mkdir()
    save_tokenizer(list(VOCABULARY), tmp_path / "tokenizer")
    arguments = ("--work_dir", str(tmp_path), "--embedding_size", "4", "--encoder_layer", "1")
    done = call_entry(embed_words, *arguments, "--encoder_name_or_path", str(encoder))
    assert done.returncode == 0, done.stderr
    vectors = np.load(tmp_path / "embeddings" / "word_embeddings.npy")
    seen_by_encoder_alone = VOCABULARY["珍"]
    assert vectors.shape == (len(VOCABULARY), 4) and vectors[seen_by_encoder_alone].any()
    assert not vectors[: len(SPECIAL_TOKENS)].any()
    record = json.loads((tmp_path / "embeddings" / "record.json").read_text())
    assert "encoder_name_or_path" in record["inputs"]
