"""Hard masking: whole words among those offered, the hard ones sooner, by a memory that a checkpoint keeps."""

import math
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from transformers import MobileBertForPreTraining

import pretrain
from helpers.files.random_shards import write_random_shards
from helpers.running.processes import call_entry
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.model.mobilebert import mobilebert_config
from mobilebert_ja.pretraining.masked_lm import PretrainingModel, batch_function
from mobilebert_ja.pretraining.masking.hard import HardMasking, candidates
from mobilebert_ja.pretraining.masking.whole_words import IGNORED, whole_word_mask
from mobilebert_ja.pretraining.run import run_pretraining
from mobilebert_ja.pretraining.shards import Shards
from mobilebert_ja.settings import PretrainSettings

INDEX = {
    "vocab_size": 200,
    "special_ids": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4},
    "continuing_ids": list(range(100, 200)),
}
MASK = 4


def rows(count: int = 64, length: int = 48, largest: int = 200) -> np.ndarray:
    ids = np.random.default_rng(0).integers(5, largest, (count, length))
    ids[:, 0], ids[:, -1], ids[:, length // 2] = 2, 3, 3
    return ids


def offered(ids: np.ndarray, probability: float = 0.25, replacement: str = "mask", seed: int = 0):
    masked = candidates(ids, INDEX, probability, replacement, np.random.default_rng(seed))
    content = {"input_ids": ids, "token_type_ids": np.zeros_like(ids)} | masked
    return {key: torch.from_numpy(value) for key, value in content.items()}


def words_of(row: np.ndarray) -> list[tuple[int, ...]]:
    """The positions of each word of a row."""
    words: list[list[int]] = []
    for position, token in enumerate(row):
        if token < 5:
            continue
        if token >= 100 and row[position - 1] >= 5:
            words[-1].append(position)
        else:
            words.append([position])
    return [tuple(each) for each in words]


def test_candidates_are_numbered_by_word():
    ids = rows()
    batch = offered(ids)
    assert batch["positions"].shape == (64, 24)
    for row, positions, targets, words in zip(
        ids, *(batch[key].numpy() for key in ("positions", "targets", "words")), strict=True
    ):
        used = targets != IGNORED
        found = [tuple(positions[used & (words == number)]) for number in np.unique(words[used])]
        assert len(found) > 3 and set(found) <= set(words_of(row))


@pytest.mark.parametrize(("length", "probability", "slots"), [(48, 0.25, 12), (31, 0.5, 16), (8, 0.05, 1)])
def test_whole_words_fill_the_slots_and_the_others_are_shown_again(length, probability, slots):
    ids = rows(length=length)
    torch.manual_seed(0)
    chosen = HardMasking(200, 1.0).choose(offered(ids, probability))
    assert sorted(chosen) == ["input_ids", "positions", "targets", "token_type_ids"]
    positions, targets, hidden = (chosen[key].numpy() for key in ("positions", "targets", "input_ids"))
    assert positions.shape == targets.shape == (64, slots)
    used = targets != IGNORED
    assert used.any() and (np.take_along_axis(ids, positions, axis=1)[used] == targets[used]).all()
    assert ((hidden == MASK).sum(1) == used.sum(1)).all()
    assert (hidden[hidden != MASK] == ids[hidden != MASK]).all()
    for row, there in zip(ids, hidden == MASK, strict=True):
        assert all(len(set(there[list(word)])) == 1 for word in words_of(row))


def test_all_slots_are_used_where_every_word_is_one_token():
    chosen = HardMasking(200, 1.0).choose(offered(rows(largest=100)))
    assert (chosen["targets"] != IGNORED).all()


def test_bert_replacement_stays_80_10_10_among_the_chosen():
    ids = rows(2048)
    torch.manual_seed(0)
    chosen = HardMasking(200, 1.0).choose(offered(ids, replacement="bert"))
    positions, targets, hidden = (chosen[key].numpy() for key in ("positions", "targets", "input_ids"))
    used = targets != IGNORED
    now = np.take_along_axis(hidden, positions, axis=1)
    assert (now[used] == MASK).mean() == pytest.approx(0.8, abs=0.02)
    assert (now[used] == targets[used]).mean() == pytest.approx(0.1, abs=0.02)
    np.put_along_axis(hidden, positions, np.take_along_axis(ids, positions, axis=1), axis=1)
    assert (hidden == ids).all()  # nothing else is another token


def test_equal_hardness_chooses_as_without_it():
    """How often each word of a row is hidden, and in how many slots, against `whole_word_mask` itself."""
    draws = 4000
    ids = np.repeat(rows(1, length=24), draws, axis=0)
    torch.manual_seed(1)
    chosen = HardMasking(200, 3.0).choose(offered(ids, seed=1))
    plain = whole_word_mask(ids, INDEX, 0.25, "mask", np.random.default_rng(2))
    ours, theirs = (np.asarray(each["input_ids"]) == MASK for each in (chosen, plain))
    assert np.allclose(ours.mean(0), theirs.mean(0), atol=0.04)  # five standard deviations
    counts = [np.bincount(each.sum(1), minlength=7) / draws for each in (ours, theirs)]
    assert np.allclose(*counts, atol=0.04) and np.count_nonzero(counts[0]) > 1


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_hard_words_are_chosen_sooner(strength):
    """One of two candidates, the one three times as hard as the other: three times of four."""
    ids = np.full((4000, 4), 10)
    ids[:, 0], ids[:, 1], ids[:, -1] = 2, 20, 3
    masking = HardMasking(200, strength)
    masking.hardness[10], masking.hardness[20] = 1.0, 3.0
    torch.manual_seed(0)
    chosen = masking.choose(offered(ids))["targets"]
    assert chosen.shape == (4000, 1)
    assert (chosen == 20).float().mean().item() == pytest.approx(0.75 if strength else 0.5, abs=0.04)


def test_a_words_hardness_is_the_mean_of_its_tokens():
    ids = np.array([[2, 20, 120, 50, 51, 3]]).repeat(4000, axis=0)
    masking = HardMasking(200, 1.0)
    for token, hardness in ((20, 1.0), (120, 5.0), (50, 3.0), (51, 3.0)):
        masking.hardness[token] = hardness
    torch.manual_seed(0)
    # Two slots of four, and the word that does not fit ends the choice: it is first in one case of three.
    masked = masking.choose(offered(ids, probability=1 / 3))["input_ids"] == MASK
    assert masked[:, 1].float().mean().item() == pytest.approx(1 / 3, abs=0.04)
    assert (masked[:, 1] == masked[:, 2]).all()


def test_what_is_predicted_well_grows_easier():
    masking = HardMasking(50, 1.0)
    start = masking.hardness.clone()
    assert torch.allclose(start, torch.full((50,), math.log(50)))
    targets = torch.tensor([[7, 7, 8, IGNORED]])
    logits = torch.zeros(1, 4, 50)
    logits[0, :2, 7] = 20.0  # known
    logits[0, 2, 9] = 20.0  # taken for another one
    masking.update(logits, targets)
    assert masking.hardness[7].item() == pytest.approx(0.9**2 * math.log(50), rel=1e-4)
    assert masking.hardness[8].item() == pytest.approx(0.9 * math.log(50) + 0.1 * 20, rel=1e-4)
    others = [token for token in range(50) if token not in (7, 8)]
    assert torch.equal(masking.hardness[others], start[others])


def test_processes_learn_from_each_other(monkeypatch):
    torch.manual_seed(0)
    logits, targets = torch.randn(4, 6, 50), torch.randint(0, 50, (4, 6))
    alone, shared = HardMasking(50, 1.0), HardMasking(50, 1.0)
    handed = []
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda sums: handed.append(sums.clone()))
    alone.update(logits[:2], targets[:2])
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda sums: sums.add_(handed[0]))
    shared.update(logits[2:], targets[2:])  # with what the other process has handed over
    monkeypatch.undo()
    together = HardMasking(50, 1.0)
    together.update(logits, targets)
    assert torch.equal(shared.hardness, together.hardness)
    assert not torch.equal(shared.hardness, alone.hardness)


def test_without_it_batches_are_what_they_were(tmp_path):
    write_random_shards(tmp_path)
    shards = Shards(tmp_path / "shards", "train")
    settings = PretrainSettings(max_seq_length=32, per_device_train_batch_size=4)
    plain, hard = (batch_function(shards, settings, hard_masking=which)(3) for which in (False, True))
    assert "words" not in plain and plain["positions"].shape == (4, 5) and hard["positions"].shape == (4, 10)
    settings.final_mlm_probability, settings.mlm_probability_steps = 0.6, 10
    batch_function(shards, settings)
    with pytest.raises(UserError, match=r"--hard_masking .* needs an --mlm_probability up to 0\.5"):
        batch_function(shards, settings, hard_masking=True)


def train(
    folder: Path, work: Path, stop_at: int | None = None, strength: float | None = 1.0
) -> dict[str, torch.Tensor]:
    """Six steps of two micro-batches; asked to stop when batch `stop_at` is made."""
    settings = PretrainSettings(
        max_seq_length=32,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        learning_rate=1e-3,
        max_steps=6,
        eval_rows=2,
        save_seconds=1e9,
    )
    sizes = {"intra_bottleneck_size": 32, "intermediate_size": 32, "hidden_size": 64, "embedding_size": 32}
    torch.manual_seed(0)
    bare = MobileBertForPreTraining(mobilebert_config(100, num_hidden_layers=1, **sizes))
    hard = None if strength is None else HardMasking(100, strength)
    model = PretrainingModel(bare, hard_masking=hard)
    training, heldout = (Shards(work / "shards", split) for split in ("train", "heldout"))
    make = batch_function(training, settings, hard_masking=hard is not None)

    def batch(number: int) -> dict[str, np.ndarray]:
        if number == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return make(number)

    run_pretraining(Accelerator(gradient_accumulation_steps=2), model, batch, heldout, settings, folder, "training")
    return model.state_dict()


@pytest.mark.slow
def test_interrupted_it_is_the_undisturbed_run(tmp_path):
    write_random_shards(tmp_path)
    undisturbed = train(tmp_path / "whole", tmp_path)
    assert undisturbed["hard_masking.hardness"].unique().numel() > 20
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", tmp_path, stop_at=7)
    (checkpoint,) = (tmp_path / "stopped" / "checkpoints").glob("step-*")
    assert checkpoint.name in ("step-3", "step-4")
    (saved,) = (value for name, value in load_file(checkpoint / "model.safetensors").items() if "hardness" in name)
    assert saved.unique().numel() > 20
    resumed = train(tmp_path / "stopped", tmp_path)
    assert all(torch.equal(undisturbed[name], resumed[name]) for name in undisturbed)
    plain = train(tmp_path / "plain", tmp_path, strength=None)
    assert any(not torch.equal(plain[name], undisturbed[name]) for name in plain)


@pytest.mark.slow
def test_the_finished_model_is_an_ordinary_one(tmp_path):
    write_random_shards(tmp_path)
    sizes = ("--num_hidden_layers", "1", "--hidden_size", "64", "--intra_bottleneck_size", "32", "--eval_rows", "2")
    sizes += ("--intermediate_size", "32", "--embedding_size", "8", "--max_seq_length", "32", "--max_steps", "2")
    done = call_entry(pretrain, "--work_dir", tmp_path, *sizes, "--hard_masking", "0.5")
    assert done.returncode == 0, done.stderr
    weights = load_file(tmp_path / "student" / "model.safetensors")
    assert weights and not [name for name in weights if "hard" in name]
