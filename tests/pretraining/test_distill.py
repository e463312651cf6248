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


def run(
    folder: Path,
    shards: Shards,
    stop_at: int | None = None,
    seen: list[dict[str, torch.Tensor]] | None = None,
    **changed,
) -> dict[str, torch.Tensor]:
    """Two phases of four steps of two micro-batches, then predictions; asked to stop when batch `stop_at` is made.
    The student's weights go into `seen` before each micro-batch."""
    given = {"max_steps": 3, "optimizer": "muon"} | changed
    settings = DistillSettings(
        transfer_steps=8,
        max_seq_length=32,
        per_device_train_batch_size=2,
        learning_rate=1e-3,
        gradient_accumulation_steps=2,
        save_seconds=1e9,
        **given,
    )
    torch.manual_seed(0)
    teacher = IBBertForPreTraining(
        mobilebert_config(100, "ib-bert-large", intra_bottleneck_size=64, intermediate_size=64, **SIZES)
    ).eval()
    student = MobileBertForPreTraining(
        mobilebert_config(100, intra_bottleneck_size=32, intermediate_size=32, **SIZES)
    ).eval()
    make = batch_function(shards, settings)
    model = TransferModel(student)
    if seen is not None:
        model.register_forward_pre_hook(lambda _module, _input: seen.append(weights_of(student)))

    def batch(number: int) -> dict[str, np.ndarray]:
        if number == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return make(number)

    accelerator = Accelerator(gradient_accumulation_steps=2)
    train(accelerator, settings, PretrainingModel(teacher), model, batch, folder)
    return weights_of(student)


def weights_of(student: MobileBertForPreTraining) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in student.state_dict().items()}


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> dict[str, float]:
    """How far the weights of each layer went, and those outside the encoder."""
    squares = {"0": 0.0, "1": 0.0, "outside": 0.0}
    for name, value in after.items():
        place = name.split("layer.")[1][0] if "encoder.layer." in name else "outside"
        squares[place] += (value - before[name]).square().sum().item()
    return {place: square**0.5 for place, square in squares.items()}


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
@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_layers_below_the_one_in_transfer_learn_at_their_rate(tmp_path, shards, rate):
    seen = []
    end = run(tmp_path, shards, seen=seen, strategy="pkt", lower_layer_rate=rate, optimizer="adamw", max_steps=0)
    first = moved(seen[0], seen[8])  # each phase is eight micro-batches
    assert len(seen) == 16 and first["0"] > 0 and first["1"] == first["outside"] == 0
    second = moved(seen[8], end)
    assert second["1"] > 0 and second["outside"] == 0
    assert 0.5 * rate * second["1"] <= second["0"] <= 2 * rate * second["1"]


@pytest.mark.slow
def test_predictions_are_learned_by_every_layer(tmp_path, shards):
    seen = []
    end = run(tmp_path, shards, seen=seen, strategy="pkt")
    assert min(moved(seen[16], end).values()) > 0


@pytest.mark.slow
def test_a_seed_that_is_given_is_the_one_of_the_stages_before_too(tmp_path, monkeypatch):
    handed = []
    monkeypatch.setattr(distill, "walk", lambda _recipe, flags, _before: handed.append(flags))
    for seed in ([], ["--seed", "0"], ["--seed", "5"]):
        done = call_entry(distill, "--config", ROOT / "recipes" / "tiny.yaml", "--work_dir", tmp_path, *seed)
        assert done.returncode == 1 and "pack_corpus.py" in done.stderr  # nothing was walked
    assert [flags.get("seed") for flags in handed] == [None, None, "5"]
