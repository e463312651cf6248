"""Ablations: variants on equal terms, a divergence kept as a result, a restart that keeps what is finished."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import pretrain
from helpers.files.random_shards import write_random_shards
from helpers.paths import ROOT
from helpers.running.measurements import Said, run_measurement
from helpers.running.processes import call_entry
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.records import fingerprint
from mobilebert_ja.measuring.ablation_runs import load_ablation

SMALL = {
    "num_hidden_layers": 1,
    "hidden_size": 64,
    "intra_bottleneck_size": 32,
    "intermediate_size": 32,
    "embedding_size": 32,
    "max_steps": 3,
    "max_seq_length": 32,
    "eval_rows": 8,
    "per_device_train_batch_size": 4,
    "next_sentence_prediction": False,
}


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """A folder with shards and a tokenizer of a hundred words."""
    folder = tmp_path_factory.mktemp("ablation")
    write_random_shards(folder)
    return folder


@pytest.fixture
def ablate(work, capsys):
    """Runs the file `name`.yaml with this content."""

    def run(name: str, content: dict, *flags: str) -> Said:
        (work / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        return run_measurement(capsys, "ablation", "--ablation", f"{name}.yaml", *flags, work=work)

    return run


@pytest.mark.slow
def test_variants_are_run_and_a_divergence_is_a_result(work, ablate):
    diverging = {"learning_rate": 1e9, "max_grad_norm": 0.0, "embedding_gain": 1e4, "logging_steps": 1}
    content = {"question": "Which?", "common": SMALL, "variants": {"plain": {}, "far too fast": diverging}}
    done = ablate("small", content)
    assert done.status == 0, done.err
    metrics = json.loads((work / "records" / "ablation_small.json").read_text())["metrics"]
    plain, diverged = metrics["runs"]["plain"], metrics["runs"]["far too fast"]
    assert metrics["question"] == "Which?" and plain["finished"] and not diverged["finished"]
    assert plain["tokens_seen"] == 3 * 4 * 32 and plain["mlm_loss"] == pytest.approx(np.log(100), rel=0.2)
    assert diverged["diverged_at_step"] <= 3 and plain["cpu_seconds"] > 0
    assert "the loss is not finite at step" in done.out
    assert "nothing to do" in ablate("small", content).out
    # A variant taken away, another one added: what is there is not run again.
    first = (work / "ablations" / "small.runs" / "plain.json").stat().st_mtime_ns
    content["variants"] = {"plain": {}, "slow": {"learning_rate": 1e-6}}
    assert "was made otherwise" in ablate("small", content).err
    assert ablate("small", content, "--overwrite", "true").status == 0
    assert (work / "ablations" / "small.runs" / "plain.json").stat().st_mtime_ns == first
    metrics = json.loads((work / "records" / "ablation_small.json").read_text())["metrics"]
    assert list(metrics["runs"]) == ["plain", "slow"]


@pytest.mark.slow
def test_equal_time_equal_evaluation_and_shared_work(work, ablate):
    """Variants of another length and another batch, ended by the clock, are measured on the same held-out rows; each
    can be run by a process of its own, and the record is gathered from what they left."""
    given = {"max_train_seconds": 0.2, "max_steps": 10**6, "eval_seq_length": 32, "learning_rate": 1e-30}
    variants = {
        "length 16": {"max_seq_length": 16, "word_embeddings": None},
        "batch 2": {"per_device_train_batch_size": 2},
    }
    content = {"question": "Which?", "common": SMALL | given, "variants": variants}
    runs = work / "ablations" / "timed.runs"
    done = ablate("timed", content, "--only", "length")
    assert done.status == 0, done.err
    assert {path.stem for path in runs.glob("*.json")} == {"length-16"}
    assert not (work / "records" / "ablation_timed.json").exists()
    left = {path: path.stat().st_mtime_ns for path in runs.glob("*.json")}
    assert ablate("timed", content).status == 0
    assert all(path.stat().st_mtime_ns == when for path, when in left.items())
    metrics = json.loads((work / "records" / "ablation_timed.json").read_text())["metrics"]["runs"]
    assert set(metrics) == set(variants)
    # At this rate nothing is learned: what differs could only be the rows of the evaluation.
    assert len({facts["mlm_loss"] for facts in metrics.values()}) == 1
    assert all(facts["tokens_seen"] > 0 and facts["train_seconds"] >= 0.2 for facts in metrics.values())
    nobody = ablate("timed", content, "--only", "seven", "--overwrite", "true")
    assert "no variant begins with 'seven'; there are batch 2, length 16" in nobody.error


@pytest.mark.slow
def test_what_a_variant_reads_besides_is_part_of_its_result(work, ablate):
    """A model to start from, word vectors, a guide: another one under the same name, and the run is made anew."""
    structure = {name: SMALL[name] for name in [*SMALL][: [*SMALL].index("max_steps")]}
    common = {name: value for name, value in SMALL.items() if name not in structure}
    content = {"common": common, "variants": {"plain": structure, "warm": {"model_name_or_path": "start"}}}
    places = ("--work_dir", ".", "--output_dir", "start", "--overwrite", "true")
    for seed in (1, 2):
        given = [part for name, value in SMALL.items() for part in (f"--{name}", value)]
        done = call_entry(pretrain, *given, *places, "--seed", seed, cwd=work)
        assert done.returncode == 0, done.stderr
        assert ablate("warm", content, *(["--overwrite", "true"] if seed == 2 else [])).status == 0
        record = json.loads((work / "records" / "ablation_warm.json").read_text())
        assert record["inputs"]["model_name_or_path"] == fingerprint(work / "start")
        assert set(record["inputs"]) == {"shards_dir", "tokenizer", "model_name_or_path"}
        when = {name: (work / "ablations/warm.runs" / f"{name}.json").stat().st_mtime_ns for name in ("plain", "warm")}
        if seed == 1:
            first = when
    assert when["plain"] == first["plain"] and when["warm"] != first["warm"]
    # A result of before such inputs were known, of a run that reads no more than shards and tokenizer, is as good.
    kept = work / "ablations" / "warm.runs" / "plain.json"
    result = json.loads(kept.read_text())
    result["inputs"]["shards"] = result["inputs"].pop("shards_dir")
    kept.write_text(json.dumps(result))
    when = kept.stat().st_mtime_ns
    content["variants"]["slow"] = structure | {"learning_rate": 1e-6}
    assert ablate("warm", content, "--overwrite", "true").status == 0 and kept.stat().st_mtime_ns == when
    missing = ablate("cold", {"common": SMALL, "variants": {"warm": {"model_name_or_path": "nowhere"}}})
    assert missing.status == 1 and "nowhere" in missing.error and not (work / "ablations" / "cold.runs").exists()
    # Who runs one variant needs what that one reads.
    content = {"common": common, "variants": {"plain": structure, "warm": {"model_name_or_path": "nowhere"}}}
    assert ablate("shared_out", content, "--only", "plain").status == 0
    assert "nowhere" in ablate("shared_out", content).error


@pytest.mark.slow
def test_a_clones_root_to_start_from_is_told_by_its_weights(work, ablate):
    """What is written into it meanwhile, `work` for example, changes nothing of the model."""
    shutil.copytree(work / "start", root := work / "root")
    for name in ("record.json", "heldout_history.json"):
        (root / name).unlink(missing_ok=True)
    content = {"common": {name: SMALL[name] for name in [*SMALL][[*SMALL].index("max_steps") :]}}
    content |= {"variants": {"on": {"model_name_or_path": "root"}}}
    assert ablate("rooted", content).status == 0
    (root / "notes.txt").write_text("written since", encoding="utf-8")
    assert "nothing to do" in ablate("rooted", content).out
    record = json.loads((work / "records" / "ablation_rooted.json").read_text())
    assert record["inputs"]["model_name_or_path"] == fingerprint(root / "model.safetensors")


@pytest.mark.slow
def test_a_process_waits_for_another_one_at_the_same_variant(work):
    content = {"common": SMALL, "variants": {"only one": {}}}
    (work / "shared.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    command = [sys.executable, str(ROOT / "scripts" / "measure.py"), "ablation", "--ablation", "shared.yaml"]
    command += ["--only", "only"]
    both = [subprocess.Popen([*command, "--work_dir", "."], cwd=work, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [each.wait() for each in both] == [0, 0]
    log = (work / "ablations" / "shared.runs" / "only-one.log").read_text()
    assert log.count("held-out MLM loss") == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("variants: [", "not valid YAML"),
        ("common: {}", "must hold 'variants'"),
        ("variants: {a: {learning_rat: 1}}", "variant 'a': unknown key 'learning_rat'. Did you mean 'learning_rate'"),
        ("variants: {a: {}}\nseed: 1", "unknown key 'seed'"),
        ("variants: {a: {script: finetune}}", "script must be one of pretrain, distill"),
    ],
)
def test_files_that_cannot_be(tmp_path, content, words):
    (tmp_path / "wrong.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=words.replace("(", r"\(")):
        load_ablation(tmp_path / "wrong.yaml")


@pytest.mark.parametrize("path", sorted((ROOT / "recipes" / "ablations").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_files_of_the_repository(path):
    ablation = load_ablation(path)
    assert ablation.question.endswith(".") and len(ablation.variants) > 1
