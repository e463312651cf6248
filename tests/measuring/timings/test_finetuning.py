"""`measure.py learning_curve` and `finetuning` on small generated data: what they write, and that they go on."""

import json

import pytest

from helpers.files.task_data import write_livedoor, write_ner, write_student, write_tokenizer
from helpers.running.measurements import run_measurement
from helpers.running.processes import run_stages_here
from mobilebert_ja.common.files import read_json

PEOPLE = (("山田", "京都"), ("鈴木", "大阪"))


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    write_livedoor(folder / "data", {"sports-watch": 40, "movie-enter": 40, "smax": 35})
    write_ner(folder / "data", 80)
    write_student(folder / "student", write_tokenizer(folder / "tokenizer"))
    sections = {"num_train_epochs": 12, "learning_rate": 3e-3, "per_device_train_batch_size": 8, "max_seq_length": 32}
    recipe = {f"finetune_{task}": sections | {"num_seeds": 2} for task in ("livedoor", "ner")}
    (folder / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    return folder


@pytest.fixture
def measured(work, capfd):
    """Runs a measurement with the recipe."""

    def run(name: str, *flags: str):
        return run_measurement(capfd, name, "--config", "recipe.yaml", *flags, work=work, data=work / "data")

    return run


@pytest.mark.slow
def test_learning_curve(work, measured, monkeypatch):
    run_stages_here(monkeypatch)
    done = measured("learning_curve", "--task", "ner", "--shares", "1,0.25")
    assert done.status == 0, done.err
    record = read_json(work / "records" / "learning_curve_ner.json")
    first, last = record["metrics"]["points"]
    assert [first["share"], last["share"]] == [0.25, 1.0]
    assert [first["model"]["train_size"], last["baseline"]["train_size"]] == [12, 48]
    assert len(first["model"]["scores"]) == 1 and len(last["model"]["scores"]) == 2  # the whole: the road's own runs
    assert last["model"]["scores"][0] > first["model"]["scores"][0]
    assert last["model"]["interval"][0] <= last["model"]["scores"][0] <= last["model"]["interval"][1]
    rows = [line.split() for line in done.out.splitlines()[-2:]]
    assert [row[:2] for row in rows] == [["0.25", "12"], ["1", "48"]]
    assert rows[0][2] == f"{first['model']['scores'][0]:.2%}"
    # Runs that are there are taken as they are; those of shares do not stand among the road's records.
    stamp = (work / "finetuned" / "ner" / "record.json").stat().st_mtime_ns
    again = measured("learning_curve", "--task", "ner", "--shares", "0.25,1", "--overwrite", "true")
    assert again.status == 0 and again.out.count("nothing to do") == 4
    assert (work / "finetuned" / "ner" / "record.json").stat().st_mtime_ns == stamp
    assert {path.stem for path in (work / "records").glob("*ner*")} == {"ner", "ner-crf", "learning_curve_ner"}


@pytest.mark.slow
def test_a_curve_with_teachers(work, measured, monkeypatch):
    run_stages_here(monkeypatch)
    sentences = [
        text for number in range(40) for text in (f"山田{number}は京都へ行く。", f"{number}日に鈴木が大阪へ来た。")
    ]
    (work / "sentences.txt").write_text("\n".join(sentences), encoding="utf-8")
    output = work / "with_teachers"
    done = measured(
        *("learning_curve", "--task", "ner", "--shares", "0.5", "--output_dir", str(output)),
        *("--teacher", f"crf,{work / 'student'}", "--teacher_learning_rate", "0.002"),
        *("--unlabelled_file", str(work / "sentences.txt")),
    )
    assert done.status == 0, done.err
    (point,) = read_json(output / "record.json")["metrics"]["points"]
    sizes = {name: point[name]["train_size"] for name in ("model", "baseline", "silver")}
    assert sizes == {"model": 24, "baseline": 24, "silver": 24}
    assert done.out.splitlines()[-1].split()[-1] == f"{point['silver']['scores'][0]:.2%}"
    # Each of them, the teacher too, has seen this share's labels alone.
    runs = {path.name: read_json(path / "record.json") for path in (work / "ner.runs").glob("0.5*")}
    assert {name: record["metrics"]["train_size"] for name, record in runs.items()} == dict.fromkeys(
        ("0.5", "0.5-crf", "0.5-teacher-2", "0.5-silver"), 24
    )
    assert runs["0.5-teacher-2"]["settings"]["learning_rate"] == 0.002
    silver = runs["0.5-silver"]
    assert silver["settings"]["teacher"] == f"crf,{work / 'ner.runs' / '0.5-teacher-2'}"
    assert silver["metrics"]["silver"]["learned"] > 0


def test_a_model_that_has_seen_all_labels_has_no_learning_curve(work, measured, tmp_path):
    (tmp_path / "config.json").write_text('{"architectures": ["BertForTokenClassification"]}')
    (tmp_path / "texts.txt").write_text("文。", encoding="utf-8")
    teacher = ("--teacher", str(tmp_path), "--unlabelled_file", str(tmp_path / "texts.txt"))
    for flags in (teacher, ("--model_name_or_path", str(tmp_path))):
        assert "has been fine-tuned, and may know labels" in measured("learning_curve", "--task", "ner", *flags).error


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--teacher", "svm"), "--teacher answers the text in --unlabelled_file: give both"),
        (("--task", "ner", "--teacher", "svm", "--unlabelled_file", "recipe.yaml"), "--teacher svm gives no entities"),
        (("--teacher", "svm", "--unlabelled_file", "nothing.txt"), "nothing.txt"),
    ],
)
def test_teachers_that_cannot_be_asked(measured, flags, words):
    assert words in measured("learning_curve", *flags).error


@pytest.mark.parametrize(
    ("shares", "words"),
    [("a few", "takes numbers with commas between them, not 'a few'"), ("0.5,2", "at most 1, not '0.5,2'")],
)
def test_shares_that_are_none(measured, shares, words):
    assert words in measured("learning_curve", "--shares", shares).error


@pytest.mark.slow
@pytest.mark.parametrize("task", ["livedoor", "ner"])
def test_this_loop_and_the_trainer_take_turns(work, measured, task):
    done = measured("finetuning", "--task", task, "--examples", "24", "--repetitions", "2")
    assert done.status == 0, done.err
    record = read_json(work / "records" / f"finetuning_speed_{task}.json")
    assert record["command"].split()[1:3] == ["finetuning", "--work_dir"]
    # The recipe's section gives what all contenders heed; what only finetune.py heeds is no setting here.
    assert record["settings"]["max_seq_length"] == 32 and "num_seeds" not in record["settings"]
    metrics = record["metrics"]
    assert metrics["examples"] == 24
    assert {name: len(rates) for name, rates in metrics["examples_per_second"].items()} == {
        "this_loop": 2,
        "trainer": 2,
        "trainer_by_length": 2,
    }
    assert all(rate > 0 for rates in metrics["examples_per_second"].values() for rate in rates)
    ours, theirs = (metrics["examples_per_second"][name] for name in ("this_loop", "trainer"))
    ratios = sorted(one / other for one, other in zip(ours, theirs, strict=True))
    assert ratios[0] - 1e-3 <= metrics["times_as_fast"]["trainer"] <= ratios[-1] + 1e-3
