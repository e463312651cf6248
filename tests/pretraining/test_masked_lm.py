"""Pretraining's parts: heads at masked positions only, batches that depend on their number, an exact evaluation."""

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from transformers import MobileBertForPreTraining

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.model.mobilebert import mobilebert_config
from mobilebert_ja.pretraining.masked_lm import (
    PretrainingModel,
    batch_function,
    evaluate_pretraining,
    heldout_batches,
    mask_rate,
    pretraining_loss,
)
from mobilebert_ja.pretraining.masking.whole_words import IGNORED
from mobilebert_ja.pretraining.run import run_pretraining
from mobilebert_ja.pretraining.shards import Shards, write_index, write_source
from mobilebert_ja.settings import PretrainSettings
from mobilebert_ja.tokenization.encoder import SPECIAL_TOKENS

VOCABULARY = {token: number for number, token in enumerate(SPECIAL_TOKENS + [f"w{n}" for n in range(45)])}
VOCABULARY |= {f"##{n}": 50 + n for n in range(50)}
SETTINGS = PretrainSettings(max_seq_length=32, per_device_train_batch_size=4, eval_rows=8)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    rng = np.random.default_rng(0)
    counts = {}
    for split in ("train", "heldout"):
        documents = [[rng.integers(5, 100, rng.integers(4, 12)).tolist() for _ in range(8)] for _ in range(20)]
        counts[f"{split}-made"] = write_source(folder, split, "made", documents)
    write_index(folder, VOCABULARY, counts)
    return folder


def model(**changed) -> PretrainingModel:
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": 2, "hidden_size": 64, "embedding_size": 32}
    return PretrainingModel(MobileBertForPreTraining(mobilebert_config(100, **sizes, **changed))).eval()


def most_frequent(targets: np.ndarray) -> tuple[int, float]:
    """The word that is asked for most often, and its share of what is asked for."""
    counts = np.bincount(targets[targets != IGNORED])
    return int(counts.argmax()), counts.max() / counts.sum()


def certain_of(word: int) -> PretrainingModel:
    """A model whose biases make one word certain at every position, and every pair one that does not follow."""
    certain = model()
    with torch.no_grad():
        certain.model.cls.predictions.decoder.bias[word] = 1e4
        certain.model.cls.seq_relationship.bias[1] = 1e4
    return certain


def tensors(batch):
    return {key: torch.from_numpy(value) for key, value in batch.items()}


def test_same_as_the_librarys_forward(shards):
    batch = tensors(batch_function(Shards(shards, "train"), SETTINGS)(3))
    pretraining = model()
    with torch.no_grad():
        logits, next_sentence, _ = pretraining(batch["input_ids"], batch["token_type_ids"], batch["positions"])
        theirs = pretraining.model(batch["input_ids"], token_type_ids=batch["token_type_ids"])
    rows = torch.arange(4).unsqueeze(1)
    assert torch.allclose(logits, theirs.prediction_logits[rows, batch["positions"]], atol=1e-5)
    assert torch.allclose(next_sentence, theirs.seq_relationship_logits, atol=1e-5)
    # Its loss is the library's, which wants labels at every position.
    labels = torch.full_like(batch["input_ids"], -100)
    labels.scatter_(1, batch["positions"], batch["targets"])
    expected = pretraining.model(
        batch["input_ids"],
        token_type_ids=batch["token_type_ids"],
        labels=labels,
        next_sentence_label=batch["next_sentence_label"],
    ).loss
    assert pretraining_loss(pretraining, batch)[0].item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_batch_depends_on_its_number_alone(shards):
    first, second = (batch_function(Shards(shards, "train"), SETTINGS) for _ in range(2))
    for number in (0, 5, 2):
        second(number + 1)
        assert all((first(number)[key] == second(number)[key]).all() for key in first(number))
    assert (first(0)["input_ids"] != first(1)["input_ids"]).any()


def test_mask_rate_changes_over_its_steps(shards):
    settings = PretrainSettings(
        mlm_probability=0.5,
        final_mlm_probability=0.1,
        mlm_probability_steps=4,
        gradient_accumulation_steps=2,
        max_seq_length=20,
        per_device_train_batch_size=2,
    )
    assert [mask_rate(settings, step) for step in (0, 1, 2, 4, 9)] == pytest.approx([0.5, 0.4, 0.3, 0.1, 0.1])
    assert mask_rate(PretrainSettings(), 7) == 0.15
    batch = batch_function(Shards(shards, "train"), settings, num_processes=2)
    # Four micro-batches make a step: two on each of two processes.
    assert [batch(number)["positions"].shape[1] for number in (0, 3, 4, 8, 100)] == [10, 10, 8, 6, 2]


def test_evaluation_is_repeatable_and_a_random_model_guesses(shards):
    heldout, device = Shards(shards, "heldout"), torch.device("cpu")
    one, two = (evaluate_pretraining(model(), heldout, SETTINGS, device) for _ in range(2))
    assert one == two
    assert one["mlm_loss"] == pytest.approx(np.log(100), rel=0.1)
    assert one["mlm_accuracy"] < 0.2


def test_accuracies_by_hand(shards):
    """A model that is certain of one word is right exactly where that word stands, evaluated and in training."""
    heldout = Shards(shards, "heldout")
    batches = list(heldout_batches(heldout, SETTINGS))
    word, share = most_frequent(np.concatenate([batch["targets"].ravel() for batch in batches]))
    exchanged = np.mean(np.concatenate([batch["next_sentence_label"] for batch in batches]))
    measured = evaluate_pretraining(certain_of(word), heldout, SETTINGS, torch.device("cpu"))
    assert measured["mlm_accuracy"] == pytest.approx(share) and share > 0
    assert measured["nsp_accuracy"] == pytest.approx(exchanged) and 0 < exchanged < 1
    batch = batch_function(Shards(shards, "train"), SETTINGS)(0)
    word, share = most_frequent(batch["targets"])
    values = pretraining_loss(certain_of(word), tensors(batch))[1]
    assert values["mlm_accuracy"].item() == pytest.approx(share) and share > 0


def test_an_evaluation_is_without_dropout_and_leaves_the_mode_as_it_was(shards):
    dropping = model(hidden_dropout_prob=0.5)
    heldout, device = Shards(shards, "heldout"), torch.device("cpu")
    calm = evaluate_pretraining(dropping, heldout, SETTINGS, device)
    assert not dropping.training
    dropping.train()
    assert evaluate_pretraining(dropping, heldout, SETTINGS, device) == calm
    assert dropping.training and all(module.training for module in dropping.modules())


@pytest.mark.slow
def test_a_run_warms_up_and_then_slows_down(shards, tmp_path):
    settings = PretrainSettings(
        max_seq_length=32,
        per_device_train_batch_size=2,
        eval_rows=2,
        learning_rate=1e-3,
        warmup_steps=3,
        max_steps=6,
        logging_steps=1,
    )
    training, heldout = (Shards(shards, split) for split in ("train", "heldout"))
    batch = batch_function(training, settings)
    outcome = run_pretraining(Accelerator(), model(), batch, heldout, settings, tmp_path, "training")
    rates = [point["learning_rate"] for point in outcome.state.history]
    assert rates == pytest.approx([1e-3 * share for share in (1 / 3, 2 / 3, 1, 3 / 6, 2 / 6, 1 / 6)])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"mask_replacement": "span"}, "--mask_replacement"),
        ({"mlm_probability": 1.5}, "--mlm_probability"),
        ({"final_mlm_probability": -0.1}, "--final_mlm_probability must be at least 0"),
        ({"final_mlm_probability": 0.2}, "needs --mlm_probability_steps"),
        ({"mixture": "nothing=2"}, "no source matches 'nothing'"),
        ({"max_seq_length": 4000}, "too small"),
    ],
)
def test_settings_that_cannot_be(shards, changed, words):
    with pytest.raises(UserError, match=words):
        batch_function(Shards(shards, "train"), PretrainSettings(**changed))
