"""From a user's own file to a fine-tuned and a sped-up folder that answer in the user's words."""

import os
import shutil
import sys

import pytest
from transformers import pipeline

import compress
import finetune
from helpers.files.own_files import item, table
from helpers.files.task_data import sentence, write_ner, write_student, write_tokenizer
from helpers.paths import ROOT
from mobilebert_ja.common.files import read_json

LIKED, DISLIKED = "好き", "嫌い"
REVIEWS = [
    (f"{word}試合{number}", label)
    for label, word in ((LIKED, "話題になる"), (DISLIKED, "雨が降った"))
    for number in range(20)
]
FAST = ("--output_dir", "fast", "--overwrite", "true")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A tiny student and a file of each kind."""
    folder = tmp_path_factory.mktemp("own")
    write_student(folder / "student", write_tokenizer(folder / "tokenizer"))
    (folder / "reviews.csv").write_text(table(REVIEWS), encoding="utf-8")
    sentences = [sentence(number) for number in range(40)]
    spans = [[(*entity["span"], entity["type"]) for entity in each["entities"]] for each in sentences]
    spans[0] = [(1, 2, "地名")]  # the second half of a word
    lines = [item(each["text"], *own) for each, own in zip(sentences, spans, strict=True)]
    (folder / "people.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def run(script, monkeypatch, work, *flags):
    """main() of an entry script in this process, with paths as a user has them: relative to where he stands."""
    monkeypatch.chdir(work)
    monkeypatch.setattr(sys, "argv", [script.__file__, "--work_dir", ".", *flags])
    script.main()


def finetune_own(monkeypatch, work, *flags):
    sizes = ["--num_train_epochs", "20", "--learning_rate", "3e-3", "--max_seq_length", "32", "--num_seeds", "1"]
    if "classification" not in flags:  # of which a batch is as large by itself
        sizes += ["--per_device_train_batch_size", "8"]
    run(finetune, monkeypatch, work, *sizes, *flags)


def sped_up(work):
    """What compress.py keeps beside its model, whatever the kind of that, and the metrics of its record."""
    return read_json(work / "fast" / "compressed.json"), read_json(work / "fast" / "record.json")["metrics"]


def refused(monkeypatch, capfd, script, work, *flags):
    """The one line that a refused command prints."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as stop:
        run(script, monkeypatch, work, *flags)
    assert stop.value.code == 1
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    return errors[0]


@pytest.mark.slow
def test_classes(work, monkeypatch, capfd):
    finetune_own(monkeypatch, work, "--task", "classification", "--train_file", "reviews.csv", "--test_share", "0.25")
    folder = work / "finetuned" / "classification"
    record = read_json(folder / "record.json")
    assert record["metrics"]["mean"] > 0.8  # a half by chance
    assert (record["metrics"]["train_size"], record["metrics"]["test_size"]) == (30, 10)
    # So few rows are taken eight at a time, unless one says otherwise.
    assert (record["metrics"]["batch_size"], record["metrics"]["runs"][0]["steps"]) == (8, 4 * 20)
    assert (record["settings"]["train_file"], record["inputs"].keys() >= {"train_file"}) == ("reviews.csv", True)
    test = read_json(folder / "predictions-seed-0.json")["test"]
    classify = pipeline("text-classification", model=str(folder), device="cpu")
    assert [classify(each["text"])[0]["label"] for each in test] == [each["prediction"] for each in test]
    run_of_record = record["metrics"]["runs"][0]
    low, high = run_of_record["intervals"]["accuracy"]
    assert low <= run_of_record["score"] <= high and set(run_of_record["details"]["confusion"]) == {LIKED, DISLIKED}
    assert set(classify.model.config.id2label.values()) == {LIKED, DISLIKED}

    run(compress, monkeypatch, work, "--task", "classification", "--model_name_or_path", str(folder), *FAST)
    fast, metrics = sped_up(work)
    assert (fast["task"], fast["labels"]) == ("classification", sorted([LIKED, DISLIKED]))
    assert metrics["mean_before"] == record["metrics"]["mean"] and metrics["test_size"] == 10
    assert metrics["mean"] > 0.8

    # Other data would have another test part, of which the model may have seen something.
    with (work / "reviews.csv").open("a", encoding="utf-8") as stream:
        stream.write(f'"もう一つ","{LIKED}"\n')
    said = refused(monkeypatch, capfd, compress, work, "--task", "classification", *FAST)
    assert "classification was made from another reviews.csv than is there now" in said


@pytest.mark.slow
def test_entities(work, monkeypatch, capfd):
    write_ner(work / "data", 40)  # only the public task reads it
    shutil.copy(work / "people.jsonl", work / "more.jsonl")
    finetune_own(monkeypatch, work, "--task", "ner", "--train_file", "people.jsonl", "--test_file", "more.jsonl")
    assert "1 of 62 entities of the training part begin or end within a token" in capfd.readouterr().err
    folder = work / "finetuned" / "entities"
    assert not (work / "finetuned" / "ner").exists()
    record = read_json(work / "records" / "entities.json")
    assert (record["metrics"]["task"], record["metrics"]["metric"], record["metrics"]["test_size"]) == (
        "entities",
        "f1",
        40,
    )
    assert set(record["inputs"]) >= {"train_file", "test_file"} and record["metrics"]["mean"] > 0.5
    tag = pipeline("token-classification", model=str(folder), device="cpu")
    assert {each["entity"] for each in tag("田中太郎は京都市に住む。")} <= {"B-人名", "I-人名", "B-地名", "I-地名"}
    assert list(tag.model.config.id2label.values()) == ["O", "B-人名", "I-人名", "B-地名", "I-地名"]

    run(compress, monkeypatch, work, "--task", "entities", *FAST)
    fast, metrics = sped_up(work)
    assert (fast["task"], fast["labels"]) == ("entities", list(tag.model.config.id2label.values()))
    assert metrics["mean_before"] == record["metrics"]["mean"] and metrics["mean"] > 0.5
    said = refused(
        monkeypatch, capfd, compress, work, "--task", "ner", "--data_dir", "data", "--model_name_or_path", str(folder)
    )
    assert "was made for entities, not for ner" in said

    (work / "more.jsonl").write_text(item("田中", (0, 2, "人名")), encoding="utf-8")
    said = refused(monkeypatch, capfd, compress, work, "--task", "entities", *FAST)
    assert "entities was made from another more.jsonl than is there now" in said


def test_refused_before_anything_is_made(work, tmp_path, monkeypatch, capfd):
    (tmp_path / "bad.csv").write_text("本文,分類\n良い,本\n", encoding="utf-8")
    flags = ["--model_name_or_path", str(work / "student"), "--task", "classification"]
    said = refused(monkeypatch, capfd, finetune, tmp_path, *flags, "--train_file", "bad.csv")
    assert "bad.csv has no column 'text'; it has '本文', '分類'" in said
    said = refused(monkeypatch, capfd, finetune, tmp_path, *flags)
    assert "--train_file names its file" in said
    said = refused(
        monkeypatch, capfd, compress, tmp_path, "--task", "entities", "--model_name_or_path", str(work / "student")
    )
    assert "record.json does not exist. finetune.py --task entities --train_file FILE makes one" in said
    assert os.listdir(tmp_path) == ["bad.csv"]


@pytest.mark.parametrize("more", [[], ["--tokenizer", str(ROOT)], ["--random_weights", "bert"]])
def test_without_a_student_it_says_which_model_there_is(work, tmp_path, monkeypatch, capfd, more):
    shutil.copy(work / "reviews.csv", tmp_path)
    flags = ["--task", "classification", "--train_file", "reviews.csv", *more]
    said = refused(monkeypatch, capfd, finetune, tmp_path, *flags)
    assert "student does not exist. pretrain.py makes it; --model_name_or_path . takes" in said
    assert os.listdir(tmp_path) == ["reviews.csv"]
