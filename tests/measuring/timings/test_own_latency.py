"""`measure.py latency`: folders of models of any make, timed on a user's own texts; and what it refuses."""

import shutil
from pathlib import Path

import pytest
from transformers import AutoModelForSequenceClassification

from helpers.files.task_data import LABELS
from helpers.models.families import make_family
from helpers.models.fast_models import write_sped_up
from helpers.running.measurements import Said, run_measurement
from mobilebert_ja.common.files import read_json
from mobilebert_ja.common.records import fingerprint
from mobilebert_ja.compression.torchscript import compress, save_compressed
from mobilebert_ja.finetuning.folder import load_finetuned

TEXTS = [f"今日の試合は{number}対0で終わった。" for number in range(12)]
SOON = ("--repetitions", 2, "--turn", 5)


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """Folders with models of classes: fine-tuned, in int8, traced, and of another family; and one of entities."""
    folder = tmp_path_factory.mktemp("latency")
    write_sped_up(folder, "livedoor")
    write_sped_up(folder, "ner")
    shutil.copytree(folder / "livedoor", folder / "compressed" / "onnx")
    model, ready = load_finetuned(folder / "livedoor-finetuned", "livedoor", 24)
    save_compressed(compress(model, 0.2)[0], ready, folder / "card", {})
    large = make_family("xlm-roberta", folder / "large")
    names = {"id2label": dict(enumerate(LABELS["livedoor"])), "label2id": {}}
    AutoModelForSequenceClassification.from_pretrained(large, **names).save_pretrained(large)
    (folder / "titles.txt").write_text("\n".join([*TEXTS, "", "  "]), encoding="utf-8")
    return folder


def records_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "records" in path.parts}


@pytest.fixture
def latency(work, capsys, monkeypatch):
    """Runs the measurement in `work`."""
    monkeypatch.chdir(work)

    def run(*flags: object) -> Said:
        return run_measurement(capsys, "latency", *flags)

    return run


@pytest.mark.slow
def test_any_folders_are_timed_in_turns_on_own_texts(work, latency):
    folders = ["livedoor-finetuned", "compressed", "card", "large"]
    done = latency(*folders, "--text_file", "titles.txt", *SOON, "--record", "latency_titles")
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == f"12 texts of {sum(map(len, TEXTS)) / 12:.0f} characters on average, 2 times, in turns"
    assert [line.split()[0] for line in lines[1:]] == ["model", *folders]
    assert lines[2].split()[-3] == "-" and lines[2].split()[-1] == "100.0%"
    record = read_json(work / "work" / "records" / "latency_titles.json")
    models = record["metrics"]["models"]
    assert record["metrics"]["texts"] == 12 and list(models) == folders
    assert record["settings"]["repetitions"] == 2 and "hardware" in record
    assert record["inputs"] == {name: fingerprint(work / name) for name in [*folders, "titles.txt"]}
    assert [each["runs_with"] for each in models.values()] == ["eager", "onnx", "torchscript", "eager"]
    for name, each in models.items():
        assert len(each["seconds"]) == 2 and each["p10_ms"] <= each["median_ms"] <= each["p90_ms"]
        assert 0 <= each["agreement"] <= 1 and each["bytes"] > 0
        assert (each["times_as_fast"] is None) is (name == folders[0])
    base, other = models["livedoor-finetuned"], models["compressed"]
    ratios = [one / two for one, two in zip(base["seconds"], other["seconds"], strict=True)]
    assert other["times_as_fast"]["runs"] == pytest.approx(ratios, abs=2e-3)
    # Random weights: int8 answers as float32 does, another model otherwise.
    assert other["agreement"] > 0.8 > models["large"]["agreement"]


@pytest.mark.slow
def test_entities_are_timed_too_and_some_of_many_texts(latency, work):
    (work / "excel.txt").write_bytes("\r\n".join(TEXTS).encode("cp932"))
    flags = ("--text_file", "excel.txt", "excel.txt", "--encoding", "cp932", "--max_items", 5, *SOON)
    before = records_in(work)
    done = latency("ner-finetuned", "ner", *flags)
    assert done.status == 0, done.err
    # A record only where one is asked for.
    assert (
        done.out.startswith("5 texts of") and {path for path in work.rglob("*") if "records" in path.parts} == before
    )


@pytest.mark.slow
def test_a_further_seed_is_read_as_far_as_its_run_was_told(work, latency):
    runs = work / "runs"
    shutil.copytree(work / "livedoor-finetuned", runs)
    shutil.copytree(work / "livedoor-finetuned", runs / "seed-1")
    (runs / "record.json").write_text('{"settings": {"task": "livedoor", "max_seq_length": 48}}', encoding="utf-8")
    done = latency(
        "runs", "runs/seed-1", "livedoor-finetuned", "--text_file", "titles.txt", *SOON, "--record", "seeds"
    )
    assert done.status == 0, done.err
    record = read_json(work / "work" / "records" / "seeds.json")
    assert [each["max_seq_length"] for each in record["metrics"]["models"].values()] == [48, 48, 128]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["livedoor", "nowhere"], "nowhere does not exist"),
        (["livedoor", "ner"], "livedoor answers with classes, ner with entities"),
        (["livedoor", "livedoor"], "A folder is named twice."),
        (["."], ". is no sped-up model"),
        (["livedoor", "--repetitions", "0"], "--repetitions must be at least 1."),
        (["livedoor", "--record", "a/b"], "--record is a name of letters"),
        (["livedoor", "--text_file", "blank.txt"], "blank.txt holds no text."),
        (["livedoor", "--text_file", "none.txt"], "none.txt does not exist"),
        (["livedoor", "--encoding", "klingon"], "klingon"),
        (["livedoor", "--record", "taken", "--records_dir", "others"], "was not made by measure.py latency"),
        (["number"], "number answers more than a single text (number)"),
        (["bare"], "bare"),
    ],
)
def test_what_it_refuses(work, latency, flags, words):
    (work / "blank.txt").write_text("\n \n", encoding="utf-8")
    (work / "others").mkdir(exist_ok=True)
    (work / "others" / "taken.json").write_text('{"command": "scripts/finetune.py --task ner"}', encoding="utf-8")
    for name, config in (("number", '{"problem_type": "regression"}'), ("bare", "{}")):
        (work / name).mkdir(exist_ok=True)
        (work / name / "config.json").write_text(config, encoding="utf-8")
    given = flags if "--text_file" in flags else [*flags, "--text_file", "titles.txt"]
    assert words in latency(*given).error
