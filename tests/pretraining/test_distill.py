"""Transfer as distill.py runs it: interrupted in the middle of a phase and of a step, it is the undisturbed run."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from transformers import MobileBertForPreTraining

import distill
from distill import train
from helpers.paths import ROOT
from helpers.running.processes import call_entry
from mobilebert_ja.model.ib_bert import IBBertForPreTraining
from mobilebert_ja.model.mobilebert import mobilebert_config
from mobilebert_ja.pretraining.masked_lm import PretrainingModel, batch_function
from mobilebert_ja.pretraining.shards import Shards, write_index, write_source
from mobilebert_ja.pretraining.transfer import TransferModel
from mobilebert_ja.settings import DistillSettings
from mobilebert_ja.tokenization.encoder import SPECIAL_TOKENS

SIZES = {"num_hidden_layers": 2, "hidden_size": 64, "embedding_size": 32, "attn_implementation": "eager"}


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Shards:
    folder = tmp_path_factory.mktemp("shards")
    rng = np.random.default_rng(0)
    documents = [[rng.integers(5, 100, rng.integers(4, 12)).tolist() for _ in range(8)] for _ in range(20)]
    counts = {"train-made": write_source(folder, "train", "made", documents)}
    vocabulary = {
        token: number for number, token in enumerate(SPECIAL_TOKENS + [f"w{number}" for number in range(95)])
    }
    write_index(folder, vocabulary, counts)
    return Shards(folder, "train")


def run(folder: Path, shards: Shards, stop_at: int | None = None, **changed) -> dict[str, torch.Tensor]:
    """Two phases of four steps of two micro-batches, then predictions; asked to stop when batch `stop_at` is made."""
    settings = DistillSettings(
        transfer_steps=8,
        max_steps=3,
        max_seq_length=32,
        per_device_train_batch_size=2,
        learning_rate=1e-3,
        gradient_accumulation_steps=2,
        optimizer="muon",
        save_seconds=1e9,
        **changed,
    )
    torch.manual_seed(0)
    teacher = IBBertForPreTraining(
        mobilebert_config(100, "ib-bert-large", intra_bottleneck_size=64, intermediate_size=64, **SIZES)
    ).eval()
    student = MobileBertForPreTraining(
        mobilebert_config(100, intra_bottleneck_size=32, intermediate_size=32, **SIZES)
    ).eval()
    make = batch_function(shards, settings)

    def batch(number: int) -> dict[str, np.ndarray]:
        if number == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return make(number)

    accelerator = Accelerator(gradient_accumulation_steps=2)
    train(accelerator, settings, PretrainingModel(teacher), TransferModel(student), batch, folder)
    return student.state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["pkt", "akt"])
def test_interrupted_it_is_the_undisturbed_run(tmp_path, shards, strategy):
    undisturbed = run(tmp_path / "whole", shards, strategy=strategy)
    # Batch 5 is the second half of step 2, in the middle of the first phase.
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", shards, stop_at=5, strategy=strategy)
    stopped = sorted((tmp_path / "stopped" / "transfer" / "checkpoints").glob("step-*"))
    assert len(stopped) == 1 and stopped[0].name in ("step-2", "step-3")
    resumed = run(tmp_path / "stopped", shards, strategy=strategy)
    assert all(torch.equal(undisturbed[name], resumed[name]) for name in undisturbed)
    # Of a part that has ended the last checkpoint is taken, the only one here, whichever the others go on from.
    again = run(tmp_path / "stopped", shards, strategy=strategy, resume_from_checkpoint="previous")
    assert all(torch.equal(undisturbed[name], again[name]) for name in undisturbed)


@pytest.mark.slow
def test_a_seed_that_is_given_is_the_one_of_the_stages_before_too(tmp_path, monkeypatch):
    handed = []
    monkeypatch.setattr(distill, "walk", lambda _recipe, flags, _before: handed.append(flags))
    for seed in ([], ["--seed", "0"], ["--seed", "5"]):
        done = call_entry(distill, "--config", ROOT / "recipes" / "tiny.yaml", "--work_dir", tmp_path, *seed)
        assert done.returncode == 1 and "pack_corpus.py" in done.stderr  # nothing was walked
    assert [flags.get("seed") for flags in handed] == [None, None, "5"]
