"""A guide for a part of the training: the same run until then, and afterwards as if there were none."""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import MobileBertForPreTraining

import pretrain
from helpers.files.random_shards import write_random_shards
from helpers.paths import SCRIPTS
from helpers.running.processes import call_entry, run
from mobilebert_ja.common.files import sha256_of, write_json
from mobilebert_ja.model.mobilebert import mobilebert_config
from mobilebert_ja.pretraining.masked_lm import PretrainingModel, batch_function
from mobilebert_ja.pretraining.run import PretrainingLoss
from mobilebert_ja.pretraining.shards import Shards
from mobilebert_ja.pretraining.vectors.answers import GuideHead, GuideVectors
from mobilebert_ja.pretraining.vectors.guide import INDEX_NAME
from mobilebert_ja.settings import PretrainSettings

SIZES = {"num_hidden_layers": 1, "hidden_size": 64, "intra_bottleneck_size": 32, "intermediate_size": 32}
SIZES |= {"embedding_size": 8}


@pytest.fixture
def work(tmp_path) -> Path:
    """Shards of random words, and a guide that says random things of them."""
    write_random_shards(tmp_path)
    (source,) = Shards(tmp_path / "shards", "train").sources
    file = tmp_path / "guide" / f"{source.name}.npy"
    file.parent.mkdir()
    np.save(file, np.random.default_rng(0).integers(-100, 100, (len(source.tokens), 4)).astype(np.int8))
    sums = {source.name: sha256_of(file)}
    write_json(file.with_name(INDEX_NAME), {"dimensions": 4, "scale": [0.01] * 4, "sha256": sums})
    return tmp_path


def flags(**changed: object) -> list[str]:
    settings = SIZES | {
        "guide": "guide",
        "next_sentence_prediction": "false",
        "max_seq_length": 32,
        "per_device_train_batch_size": 2,
        "max_steps": 6,
        "eval_rows": 2,
        "logging_steps": 1,
    }
    return [str(part) for key, value in (settings | changed).items() for part in (f"--{key}", value)]


def curve(folder: Path) -> list[dict[str, float]]:
    history = json.loads((folder / "record.json").read_text())["metrics"]["history"]
    return [{key: value for key, value in point.items() if key != "seconds"} for point in history]


def test_it_needs_a_guide(tmp_path):
    write_random_shards(tmp_path)
    done = call_entry(pretrain, "--work_dir", tmp_path, "--guide_until", "0.5")
    assert done.returncode == 1 and "--guide_until needs a --guide" in done.stderr
    for share in ("0", "1"):
        done = call_entry(pretrain, "--work_dir", tmp_path, "--guide_until", share)
        assert (
            done.returncode == 1 and f"--guide_until must be more than 0 and less than 1, not {share}" in done.stderr
        )


def test_after_its_share_the_loss_is_that_of_masked_words(work):
    settings = PretrainSettings(
        max_seq_length=32,
        per_device_train_batch_size=2,
        next_sentence_prediction=False,
        guide_row_weight=1.0,
        guide_until=0.3,
    )
    shards = Shards(work / "shards", "train")
    guide = GuideVectors(work / "guide", shards)
    torch.manual_seed(0)
    bare = MobileBertForPreTraining(mobilebert_config(100, **SIZES))
    model = PretrainingModel(bare, GuideHead(64, guide, whole_rows=True)).eval()
    content = batch_function(shards, settings, guide=guide)(0)
    batch = {key: torch.from_numpy(value) for key, value in content.items()}
    loss_function = PretrainingLoss(model, settings)
    projected = []
    for each in (model.guide_head.project, model.guide_head.project_row):
        each.register_forward_hook(lambda *_: projected.append(1))
    loss_function.on_progress(0.29)
    loss, values = loss_function(model, batch)
    assert {"guide_loss", "guide_row_loss"} <= values.keys() and loss > values["mlm_loss"] + 0.5
    assert len(projected) == 2
    loss_function.on_progress(0.3)
    loss, values = loss_function(model, batch)
    assert len(projected) == 2  # no more of them
    assert not [name for name in values if "guide" in name] and torch.equal(loss, values["mlm_loss"])
    loss.backward()
    # Several processes wait for a gradient of each parameter that may have one.
    gradients = [each.grad for each in model.guide_head.parameters()]
    assert len(gradients) == 4 and all(each is not None and not each.any() for each in gradients)


@pytest.mark.slow
def test_until_then_it_is_the_same_run(work):
    whole, part = work / "whole", work / "part"
    done = call_entry(pretrain, "--work_dir", work, *flags(output_dir=whole))
    assert done.returncode == 0, done.stderr
    until = {"output_dir": part, "guide_until": 0.5}
    done = call_entry(pretrain, "--work_dir", work, *flags(**until))
    assert done.returncode == 0, done.stderr
    whole_curve, part_curve = curve(whole), curve(part)
    assert part_curve[:3] == whole_curve[:3]
    assert ["guide_loss" in point for point in part_curve] == [True] * 3 + [False] * 3
    assert part_curve[4]["loss"] == part_curve[4]["mlm_loss"] != whole_curve[4]["mlm_loss"]
    # A point of the curve across the end has the mean of where there was one.
    done = call_entry(pretrain, "--work_dir", work, *flags(**until, logging_steps=2, overwrite="true"))
    assert done.returncode == 0, done.stderr
    paired = curve(part)
    assert ["guide_loss" in point for point in paired] == [True, True, False]
    assert paired[1]["guide_loss"] == part_curve[2]["guide_loss"]


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [2, 4])
def test_interrupted_before_or_after_it_is_the_undisturbed_run(work, monkeypatch, stop_at):
    def stopping(*given):
        make = batch_function(*given)

        def batch(number: int) -> dict[str, np.ndarray]:
            if number == stop_at:
                os.kill(os.getpid(), signal.SIGTERM)
            return make(number)

        return batch

    given = {"guide_until": 0.5, "guide_row_weight": 1}
    done = call_entry(pretrain, "--work_dir", work, *flags(output_dir=work / "whole", **given))
    assert done.returncode == 0, done.stderr
    again = ("--work_dir", work, *flags(output_dir=work / "stopped", **given))
    with monkeypatch.context() as patch:
        patch.setattr(pretrain, "batch_function", stopping)
        assert call_entry(pretrain, *again).returncode != 0
    assert not (work / "stopped").exists()
    done = call_entry(pretrain, *again)
    assert done.returncode == 0 and "goes on from step" in done.stdout, done.stderr
    assert curve(work / "stopped") == curve(work / "whole")
    weights = [(work / each / "model.safetensors").read_bytes() for each in ("whole", "stopped")]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_two_processes_go_on_without_it(work):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", 2, SCRIPTS / "pretrain.py"]
    # With a strength of 0 it makes no difference in which order the micro-batches of a step tell what is hard.
    shared = {"guide_until": 0.5, "hard_masking": 0}
    environment = os.environ | {"ACCELERATE_USE_CPU": "true"}
    done = run([*command, "--work_dir", work, *flags(output_dir=work / "two", **shared)], env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    alone = flags(output_dir=work / "one", gradient_accumulation_steps=2, **shared)
    done = call_entry(pretrain, "--work_dir", work, *alone)
    assert done.returncode == 0, done.stderr
    two, one = curve(work / "two"), curve(work / "one")
    assert ["guide_loss" in point for point in two] == [True] * 3 + [False] * 3
    for first, second in zip(two, one, strict=True):
        assert first == pytest.approx(second, rel=1e-3)
