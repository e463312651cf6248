"""The classical models learn, answer in the same shape as finetune.py, and say what they need."""

import sys

import numpy as np
import pytest

import baseline
from helpers.files.task_data import write_livedoor, write_ner
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json
from mobilebert_ja.finetuning.classical import classical_score, comparison, features_of, shape, suitable_method
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.tasks import Example, Task, load_task
from mobilebert_ja.tasks.intervals import read_answers
from mobilebert_ja.tokenization.encoder import words_with_offsets


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("baselines")
    write_livedoor(folder / "data", {"sports-watch": 40, "movie-enter": 40, "smax": 35})
    write_ner(folder / "data", 80)
    return folder


def run(monkeypatch, work, *flags):
    arguments = ["baseline.py", "--work_dir", str(work), "--data_dir", str(work / "data"), *flags]
    monkeypatch.setattr(sys, "argv", arguments)
    baseline.main()


@pytest.mark.parametrize(("task", "method", "least"), [("livedoor", "svm", 0.9), ("ner", "crf", 0.8)])
def test_learns_and_answers_as_finetune_does(work, monkeypatch, capsys, task, method, least):
    run(monkeypatch, work, "--task", task, "--split_seed", "3")
    record = read_json(work / "records" / f"{task}-{method}.json")
    metrics = record["metrics"]
    assert metrics["mean"] > least and metrics["mean"] == metrics["runs"][0]["score"]
    assert metrics["parameters"] > 100 and "train_file" not in record["settings"]
    low, high = metrics["runs"][0]["intervals"][metrics["metric"]]
    assert low <= metrics["mean"] <= high
    answers = read_answers(work / "finetuned" / f"{task}-{method}" / "predictions-seed-0.json")
    wanted = load_task(task, work / "data", 3)  # the same test part as finetune.py has
    assert answers.texts == [example.text for example in wanted.test]
    assert wanted.score(answers.predictions)[wanted.metric] == pytest.approx(metrics["mean"])
    if task == "livedoor":
        details = metrics["runs"][0]["details"]["without_markers"]
        test = read_json(work / "finetuned" / "livedoor-svm" / "predictions-seed-0.json")["test"]
        right = [each.get("prediction_without_markers", each["prediction"]) == each["target"] for each in test]
        assert sum("text_without_markers" in each for each in test) == details["changed"] > 0
        assert details["accuracy"] == pytest.approx(sum(right) / len(test))
    capsys.readouterr()
    run(monkeypatch, work, "--task", task, "--split_seed", "3")
    assert "nothing to do" in capsys.readouterr().out


def test_own_data_and_word_features(work, monkeypatch):
    rows = [
        f'{{"text": "{word}本{number}", "label": {label}}}\n'
        for label, word in enumerate(("良い", "悪い"))
        for number in range(20)
    ]
    (work / "my.jsonl").write_text("".join(rows), encoding="utf-8")
    flags = ["--task", "classification", "--train_file", str(work / "my.jsonl")]
    run(monkeypatch, work, *flags)
    run(monkeypatch, work, *flags, "--svm_words", "true", "--output_dir", str(work / "words"))
    plain, words = (
        read_json(work / "records" / f"{name}.json")["metrics"] for name in ("classification-svm", "words")
    )
    assert plain["mean"] == words["mean"] == 1.0 and words["parameters"] > plain["parameters"]


def refused(monkeypatch, capsys, work, *flags):
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, work, *flags)
    assert stop.value.code == 1
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("task", "module", "package"), [("livedoor", "sklearn", "scikit-learn"), ("ner", "pycrfsuite", "python-crfsuite")]
)
def test_a_missing_library_is_named_first(work, monkeypatch, capsys, task, module, package):
    monkeypatch.setitem(sys.modules, module, None)  # what import makes of it is ImportError
    said = refused(monkeypatch, capsys, work, "--task", task, "--output_dir", str(work / "none"))
    assert said == f"error: This baseline needs {package}, which is not installed: pip install {package}.\n"
    assert not list(work.glob("none*"))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--task", "ner", "--method", "svm"], "--method svm is not for --task ner; --method crf is."),
        (["--method", "forest"], "--method must be one of"),
        (["--svm_c", "0"], "--svm_c must be more than 0"),
        (["--task", "ner", "--crf_iterations", "0"], "--crf_iterations must be at least 1"),
        (["--task", "classification"], "--train_file names its file"),
        (
            ["--train_share", "0.01", "--output_dir", "share"],
            "--train_share 0.01 leaves 1 of 92 training examples, all of one class",
        ),
    ],
)
def test_mistakes(work, monkeypatch, capsys, flags, words):
    assert words in refused(monkeypatch, capsys, work, *flags)


def test_method_for_the_kind_of_task():
    assert [suitable_method("", task) for task in ("livedoor", "ner", "classification", "entities")] == [
        "svm",
        "crf",
        "svm",
        "crf",
    ]
    with pytest.raises(UserError):
        suitable_method("crf", "livedoor")


def test_words_stand_where_they_stood_before_normalization():
    text = "㍿日本は　ｶﾞﾘﾚｵに住む"
    words = words_with_offsets(text)
    assert [text[slice(*word.offset)] for word in words][-4:] == ["は", "ｶﾞﾘﾚｵ", "に", "住む"]
    assert words[-3].surface == "ガリレオ" and words[-3].part_of_speech.startswith("名詞")
    assert np.all(np.diff([word.offset[0] for word in words]) >= 0)
    assert words_with_offsets("") == words_with_offsets("　") == []


def test_features_of_a_word_and_its_neighbours():
    assert (shape("カレー粉"), shape("第2版ABC"), shape("食べる。")) == ("kc", "cdca", "cho")
    words = words_with_offsets("田中は京都に住む")
    rows = features_of(words)
    assert len(rows) == len(words)
    place = [word.surface for word in words].index("京都")
    assert {"w0=京都", "t0=c", "w-1=は", "ww-1=は|京都", "pre=京", "suf=都"} <= set(rows[place])
    assert "edge-1" in rows[0] and "edge1" in rows[-1] and "edge-1" not in rows[place]


def test_told_beside_a_fine_tuned_model():
    """On the same split, in one line; what cannot be trained is said and ends nothing."""
    train = [
        Example(f"{word}本{number}", label)
        for label, word in (("良い", "満足な"), ("悪い", "退屈な"))
        for number in range(9)
    ]
    rare = Example("普通の本", "普通")  # a class of one row is no hindrance
    task = Task(
        "classification", Kind.CLASSES, ["悪い", "普通", "良い"], [*train, rare], [Example("満足な品", "良い")]
    )
    found = classical_score(task)
    assert found["score"] == 1.0
    said = comparison(found | {"train_seconds": 3.14}, "accuracy", 0.9)
    assert "accuracy 100.00% after 3.1 s" in said and "10.00 points ahead" in said
    assert "as good" in comparison(found, "accuracy", 1.0)
    one = Task("classification", Kind.CLASSES, ["普通", "良い"], [rare], [Example("満足な品", "良い")])
    assert "not trained (" in comparison(classical_score(one), "accuracy", 1.0)
    long = Task("classification", Kind.CLASSES, ["良い", "悪い"], [Example("本" * 6_000_000, "良い")], [])
    assert "more than 5,000,000 characters" in comparison(classical_score(long), "accuracy", 1.0)
    assert classical_score(Task("entities", Kind.ENTITIES, ["O"], [], [])) is None
