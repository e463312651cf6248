"""The whole road through the real `accelerate launch`, at the smallest size: every stage, resumes, and mistakes."""

import importlib
import json
import os
import signal
import subprocess
import sys

import pytest
import yaml
from safetensors.torch import load_file
from transformers import MobileBertForPreTraining

import measure
import pack_corpus
import pretrain
import reproduce
import train_tokenizer
from helpers.paths import ROOT, SCRIPTS
from helpers.running.processes import call_entry, one_sentence, run, run_stages_here, wait_until
from mobilebert_ja.common.processor import by_processor
from mobilebert_ja.model.mobilebert import mobilebert_config

LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1"]
pytestmark = pytest.mark.slow


def small_recipe() -> dict:
    """recipes/tiny.yaml with next to no steps: what runs is the same, what is learned does not matter here."""
    recipe = yaml.safe_load((ROOT / "recipes" / "tiny.yaml").read_text(encoding="utf-8"))
    for name, section in recipe.items():
        if not isinstance(section, dict):
            continue
        changes = {
            "max_steps": 6,
            "transfer_steps": 8,
            "eval_rows": 16,
            "num_train_epochs": 1,
            "max_items": 8,
            "repetitions": 2,
            "num_hidden_layers": 2,
            "keep_layers": 2,
            "starts": 0,
        }
        recipe[name] = section | {key: value for key, value in changes.items() if key in section}
    return recipe


@pytest.fixture(scope="module")
def road(tmp_path_factory) -> dict:
    """A folder where first distill.py was run with nothing there, then the rest of the road.

    Both start processes; where a script is started a second time by the second, its main() is called here.
    """
    folder = tmp_path_factory.mktemp("road")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(small_recipe()), encoding="utf-8")
    flags = ["--config", "recipe.yaml", "--work_dir", "work"]
    distill = run([*LAUNCH, SCRIPTS / "distill.py", *flags], folder)
    assert distill.returncode == 0, distill.stdout[-3000:] + distill.stderr[-3000:]
    with pytest.MonkeyPatch.context() as patch:
        run_stages_here(patch, first_in_a_process=True)
        rest = call_entry(reproduce, *flags, cwd=folder)
    assert rest.returncode == 0, rest.stdout[-3000:] + rest.stderr[-3000:]
    return {"folder": folder, "work": folder / "work", "distill": distill.stdout, "rest": rest.stdout, "flags": flags}


def record(road: dict, name: str) -> dict:
    return json.loads((road["work"] / "records" / f"{name}.json").read_text(encoding="utf-8"))


def test_distill_runs_what_it_needs_first(road):
    for section in ("build_corpus", "train_tokenizer", "pack_corpus", "pretrain_teacher"):
        assert section in road["distill"]
    assert (road["work"] / "distilled" / "model.safetensors").is_file()
    assert "nothing to do" in road["rest"]  # the walk passes over what distill.py has made


def test_every_stage_leaves_a_record(road):
    names = {path.stem for path in (road["work"] / "records").glob("*.json")}
    assert names >= {
        "corpus",
        "tokenizer",
        "shards",
        "teacher",
        "distilled",
        "pretraining",
        "checkpoint",
        "livedoor",
        "livedoor-bert",
        "ner",
        "ner-bert",
        "compressed_livedoor_card",
        "compressed_ner_card",
        by_processor("speed_livedoor"),
        by_processor("speed_ner"),
        "compressed_livedoor_onnx",
        "compressed_livedoor_fast",
        "compressed_ner_onnx",
    }
    for name in names - {"checkpoint"}:
        assert {"command", "settings", "metrics", "versions", "hardware", "wall_seconds"} <= record(road, name).keys()
    assert not list(road["work"].glob("**/*.partial"))


def test_a_finished_road_is_walked_again_without_a_process(road):
    again = run([sys.executable, SCRIPTS / "reproduce.py", *road["flags"]], road["folder"])
    assert again.returncode == 0 and "Everything was there already." in again.stdout, again.stdout[-3000:]


def test_transfer_has_both_parts_and_its_losses(road):
    metrics = record(road, "distilled")["metrics"]
    assert {point["part"] for point in metrics["history"]} == {"transfer", "prediction"}
    assert {"feature_map_loss", "attention_loss", "mean_loss", "variance_loss"} <= metrics["history"][0].keys()
    assert metrics["steps"] == 14


def test_the_walk_ends_with_the_table_and_a_card(road):
    card = (road["work"] / "card" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\n") and "pipeline_tag: fill-mask" in card
    assert list((road["work"] / "card").glob("**/*.png"))
    end = road["rest"][road["rest"].index("render_card") :]
    assert "MobileBERT" in end and "BERT" in end


def test_student_started_from_the_distilled_one(road):
    assert record(road, "pretraining")["inputs"].keys() >= {"model_name_or_path"}
    student = json.loads((road["work"] / "student" / "config.json").read_text())
    assert student["normalization_type"] == "no_norm" and student["num_feedforward_networks"] == 4


def test_finished_stage_is_passed_over_and_other_settings_are_refused(road):
    again = call_entry(pack_corpus, *road["flags"], cwd=road["folder"])
    assert again.returncode == 0 and "nothing to do" in again.stdout
    other = call_entry(train_tokenizer, *road["flags"], "--vocab_size", 3000, cwd=road["folder"])
    assert other.returncode == 1 and "vocab_size was 4000, is now 3000" in other.stderr


def test_the_vocabulary_is_measured(road):
    arguments = [
        "tokenizer",
        *road["flags"],
        "--sentences",
        "300",
        "--timed_sentences",
        "10",
        "--repetitions",
        "2",
        "--records_dir",
        "quality-records",
    ]
    done = call_entry(measure, *arguments, cwd=road["folder"])
    assert done.returncode == 0, done.stderr[-2000:]
    metrics = json.loads((road["folder"] / "quality-records" / "tokenizer_quality.json").read_text())["metrics"]
    assert metrics["compared_sentences"] == 300 and metrics["different_sentences"] == 0
    assert set(metrics["quality"]["limited"]) == {"encyclopedia", "titles", "novels"}
    assert all(1 <= facts["tokens_per_word"] < 4 for kinds in metrics["quality"].values() for facts in kinds.values())
    assert all(len(facts["sentences_per_second"]) == 2 for facts in metrics["speed"].values())


def test_an_existing_tokenizer_is_taken(road):
    places = ("--output_dir", "taken", "--records_dir", "taken-records")
    done = call_entry(train_tokenizer, *road["flags"], "--tokenizer", "work/tokenizer", *places, cwd=road["folder"])
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (folder / "vocab.txt" for folder in (road["work"] / "tokenizer", road["folder"] / "taken"))
    assert first.read_bytes() == second.read_bytes()


def flags_of(road: dict, output: str, *extra: object) -> list:
    """Flags of pretrain.py for a student in the road's folder, trained for 40 steps."""
    sizes = ["--max_steps", "40", "--per_device_train_batch_size", "8", "--logging_steps", "1"]
    places = ["--output_dir", output, "--records_dir", output + "-records"]
    return [*road["flags"], "--model", "student", *sizes, *places, *extra]


def pretrained(road: dict, output: str, *extra: object) -> subprocess.CompletedProcess[str]:
    """pretrain.py with these flags, in this process."""
    return call_entry(pretrain, *flags_of(road, output, *extra), cwd=road["folder"])


def test_killed_and_started_again_it_is_the_undisturbed_run(road):
    folder = road["folder"]
    whole = pretrained(road, "whole")
    assert whole.returncode == 0, whole.stderr[-2000:]
    flags = flags_of(road, "killed", "--save_seconds", "0.2")
    command = [str(part) for part in (sys.executable, SCRIPTS / "pretrain.py", *flags)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    latest = folder / "killed.partial" / "checkpoints" / "latest.json"
    wait_until(latest.exists, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "killed").exists(), "it finished before it could be killed"
    resumed = call_entry(pretrain, *flags, cwd=folder)
    assert resumed.returncode == 0 and "goes on from step" in resumed.stdout, resumed.stderr[-2000:]
    first, second = (load_file(folder / name / "model.safetensors") for name in ("whole", "killed"))
    assert first.keys() == second.keys() and all(first[key].equal(second[key]) for key in first)


def test_a_shallow_student_is_grown_and_trained_on(road):
    folder, work = road["folder"], road["work"]
    begun = ("--model", "shallow", "--num_hidden_layers", "2", "--model_name_or_path", "")
    done = pretrained(road, "shallow", *begun, "--output_dir", work / "shallow", "--lr_scheduler_type", "constant")
    assert done.returncode == 0, done.stderr[-2000:]
    grow = ("--model_name_or_path", "shallow", "--num_hidden_layers")
    done = pretrained(road, "grown", *grow, "6", "--learning_rate", "1e-4", "--max_steps", "4")
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads((folder / "grown" / "config.json").read_text())["num_hidden_layers"] == 6
    first = json.loads((work / "shallow" / "record.json").read_text())
    second = json.loads((folder / "grown" / "record.json").read_text())["metrics"]
    assert first["stage"] == "shallow_pretraining"
    assert first["metrics"]["history"][-1]["learning_rate"] == first["settings"]["learning_rate"]
    start, end = (first["metrics"][when]["mlm_loss"] for when in ("before", "after"))
    assert second["before"]["mlm_loss"] < (start + end) / 2  # what was learned is not lost
    refused = pretrained(road, "odd", *grow, "3")
    assert refused.returncode == 1 and "grows to a multiple of 2" in refused.stderr


def test_bf16_through_accelerates_own_flag(road):
    """Training wraps forward() in autocast; afterwards the model must be usable, and in float32 again."""
    command = [
        *LAUNCH,
        "--mixed_precision",
        "bf16",
        SCRIPTS / "finetune.py",
        *road["flags"],
        "--task",
        "livedoor",
        "--num_seeds",
        "1",
        "--output_dir",
        "bf16",
        "--records_dir",
        "bf16-records",
    ]
    done = run(command, road["folder"])
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((road["folder"] / "bf16" / "record.json").read_text())["metrics"]["precision"] == "bf16"


def test_compiled_blocks_and_a_tracker_through_accelerate(road):
    """Every block compiled once, by accelerate's own setting, and the curve in TensorBoard: the same losses."""
    changes = ("--max_steps", "4", "--mlm_probability", "0.3", "--final_mlm_probability", "0.15")
    changes += ("--mlm_probability_steps", "4")  # the head's input changes its shape, the blocks' does not
    eager = pretrained(road, "eager", *changes)
    assert eager.returncode == 0, eager.stderr[-2000:]
    compiled = run(
        [sys.executable, SCRIPTS / "pretrain.py", *flags_of(road, "compiled", *changes, "--report_to", "tensorboard")],
        road["folder"],
        env={
            **os.environ,
            "ACCELERATE_DYNAMO_BACKEND": "aot_eager",
            "ACCELERATE_DYNAMO_USE_REGIONAL_COMPILATION": "true",
            "ACCELERATE_DYNAMO_USE_DYNAMIC": "false",
        },
    )
    assert compiled.returncode == 0, compiled.stderr[-3000:]
    first, second = (
        json.loads((road["folder"] / name / "record.json").read_text())["metrics"] for name in ("eager", "compiled")
    )
    assert [point["loss"] for point in second["history"]] == pytest.approx(
        [point["loss"] for point in first["history"]], rel=1e-4
    )
    assert 0 <= second["data_wait_share"] < 1 and 0 < first["flop_utilisation"] < 1
    assert list((road["work"] / "logs").glob("**/events.out.tfevents*"))
    unknown = pretrained(road, "untracked", "--report_to", "no_such_tracker")
    assert unknown.returncode == 1 and "accelerate knows no such tracker" in unknown.stderr


def test_the_same_student_goes_on_with_longer_rows(road):
    """128 tokens first, 512 later; here 64 and 128."""
    folder, work = road["folder"], road["work"]
    sizes = ("--num_hidden_layers", "2", "--max_seq_length", "64")  # the recipe has no section for this part
    begun = ("--model", "short", "--model_name_or_path", "", *sizes)
    short = pretrained(road, "short", *begun, "--output_dir", work / "short")
    assert short.returncode == 0, short.stderr[-2000:]
    going_on = ("--model_name_or_path", "short", "--max_seq_length", "128", "--max_steps", "4")
    longer = pretrained(road, "longer", *going_on)
    assert longer.returncode == 0, longer.stderr[-2000:]
    first = json.loads((work / "short" / "record.json").read_text())
    second = json.loads((folder / "longer" / "record.json").read_text())
    assert first["stage"] == "short_pretraining" and first["settings"]["max_seq_length"] == 64
    assert second["settings"]["max_seq_length"] == 128
    assert second["metrics"]["before"]["mlm_loss"] < first["metrics"]["before"]["mlm_loss"]


def test_two_processes(road):
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node",
        "2",
        SCRIPTS / "pretrain.py",
        *flags_of(road, "two", "--max_steps", "4"),
    ]
    done = run(command, road["folder"], env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    metrics = json.loads((road["folder"] / "two" / "record.json").read_text())["metrics"]
    assert metrics["num_processes"] == 2 and metrics["tokens_seen"] == 4 * 2 * 8 * 64
    # One process that takes the same rows in two micro-batches a step sees the same losses.
    one = pretrained(road, "one", "--max_steps", "4", "--gradient_accumulation_steps", "2")
    assert one.returncode == 0, one.stderr[-2000:]
    alone = json.loads((road["folder"] / "one" / "record.json").read_text())["metrics"]
    for first, second in zip(metrics["history"], alone["history"], strict=True):
        assert first["loss"] == pytest.approx(second["loss"], rel=1e-4)
        assert first["grad_norm"] == pytest.approx(second["grad_norm"], rel=1e-3)
    assert metrics["after"]["mlm_loss"] == pytest.approx(alone["after"]["mlm_loss"], rel=1e-4)


MISTAKES = {
    "unknown key in the recipe": ("pretrain.py", ["--config", "typo.yaml"], "learning_rate"),
    "missing recipe": ("distill.py", ["--config", "nowhere.yaml"], "nowhere.yaml does not exist"),
    "no shards": ("pretrain.py", ["--work_dir", "empty"], "pack_corpus.py"),
    "no teacher": ("distill.py", ["--work_dir", "empty"], "pack_corpus.py"),
    "vocabulary does not fit": (
        "pretrain.py",
        ["--work_dir", "work", "--model_name_or_path", "other", "--output_dir", "x"],
        "The vocabulary does not fit the model",
    ),
    "wrong model": (
        "pretrain.py",
        ["--work_dir", "work", "--model", "studnt"],
        "--model must be one of 'teacher', 'shallow', 'short', 'student'",
    ),
    "held-out loss as it goes, in transfer": (
        "distill.py",
        ["--eval_seconds", "5"],
        "--eval_seconds is no flag of distill.py",
    ),
    "data folder missing": ("build_corpus.py", ["--data_dir", "nowhere", "--work_dir", "w"], "nowhere does not exist"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_in_one_sentence(road, name):
    folder = road["folder"]
    (folder / "typo.yaml").write_text("pretrain_student:\n  lerning_rate: 0.1\n")
    if not (folder / "other").exists():
        config = mobilebert_config(77, num_hidden_layers=1, hidden_size=64, embedding_size=32)
        MobileBertForPreTraining(config).save_pretrained(folder / "other")
    script, flags, words = MISTAKES[name]
    done = call_entry(importlib.import_module(script.removesuffix(".py")), *flags, cwd=folder)
    assert words in one_sentence(done)
