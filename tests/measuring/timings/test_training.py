"""`measure.py training` on a tiny model: both contenders in every round, the recipe's settings that both heed."""

import json

import pytest

from helpers.files.random_shards import write_random_shards
from helpers.running.measurements import run_measurement
from mobilebert_ja.common.files import read_json

SECTION = {
    "num_hidden_layers": 1,
    "hidden_size": 64,
    "intra_bottleneck_size": 32,
    "intermediate_size": 32,
    "embedding_size": 32,
    "max_seq_length": 32,
    "per_device_train_batch_size": 4,
    "optimizer": "muon",  # measured with AdamW all the same
    "next_sentence_prediction": True,
    "gradient_accumulation_steps": 8,
    "max_train_seconds": 3600.0,
}


@pytest.mark.slow
def test_this_loop_and_the_trainer_take_turns(tmp_path, capsys):
    write_random_shards(tmp_path)
    (tmp_path / "recipe.yaml").write_text(json.dumps({"pretrain_student": SECTION}), encoding="utf-8")
    flags = ["--config", "recipe.yaml", "--steps", 2, "--repetitions", 2]
    done = run_measurement(capsys, "training", *flags, work=tmp_path)
    assert done.status == 0, done.err
    record = read_json(tmp_path / "records" / "training_speed.json")
    assert record["settings"]["hidden_size"] == 64
    assert not record["settings"].keys() & {"optimizer", "next_sentence_prediction", "max_train_seconds", "max_steps"}
    metrics = record["metrics"]
    rates = metrics["tokens_per_second"]
    assert list(rates) == ["this_loop", "trainer"] and all(len(each) == 2 and min(each) > 0 for each in rates.values())
    ratios = sorted(one / other for one, other in zip(*rates.values(), strict=True))
    assert ratios[0] - 1e-3 <= metrics["times_as_fast"] <= ratios[1] + 1e-3
    spent = metrics["step_ms_by_group"]
    assert {"products", "optimizer", "casts and copies", "outside of operators"} <= spent.keys()
    assert list(spent.values()) == sorted(spent.values(), reverse=True) and min(spent.values()) >= 0
    assert "optimizer" in done.out and "share" in done.out
    order = [line.split(", ")[1].split(":")[0] for line in done.out.splitlines() if line.startswith("round ")]
    assert order == ["this_loop", "trainer", "trainer", "this_loop"]
    assert not (tmp_path / "training_speed" / "work").exists()


def test_a_flag_that_only_pretrain_reads_is_refused(tmp_path, capsys):
    done = run_measurement(capsys, "training", "--max_steps", 3, work=tmp_path)
    assert "--max_steps is no flag of measure.py training. Did you mean --steps?" in done.error
