"""Scores against numbers worked out by hand, against seqeval, and through `evaluate`."""

import inspect
import os
import random
import subprocess
import sys

import pytest
from seqeval.metrics import classification_report, f1_score, precision_score, recall_score
from seqeval.scheme import IOB2

from helpers.paths import ROOT, SCRIPTS
from mobilebert_ja.evaluate_metrics.accuracy import class_scores
from mobilebert_ja.evaluate_metrics.entity_f1 import span_scores
from mobilebert_ja.inference.decoding import spans_of_tags
from mobilebert_ja.tasks.metrics import (
    accuracy,
    classification_scores,
    confusion_counts,
    entity_scores,
    load_metric,
    macro_f1,
    mean_and_std,
    per_class_scores,
)

REFERENCES = ["a", "a", "a", "b", "b", "c"]
PREDICTIONS = ["a", "a", "b", "b", "d", "b"]


def test_accuracy_by_hand():
    assert accuracy(PREDICTIONS, REFERENCES) == pytest.approx(3 / 6)


def test_per_class_by_hand():
    scores = per_class_scores(PREDICTIONS, REFERENCES)
    assert scores["a"] == pytest.approx({"precision": 1.0, "recall": 2 / 3, "f1": 0.8, "support": 3})
    assert scores["b"] == pytest.approx({"precision": 1 / 3, "recall": 1 / 2, "f1": 0.4, "support": 2})
    assert scores["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}
    assert scores["d"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    assert macro_f1(PREDICTIONS, REFERENCES) == pytest.approx((0.8 + 0.4) / 4)


def test_confusion_by_hand():
    assert confusion_counts(PREDICTIONS, REFERENCES) == {"a": {"a": 2, "b": 1}, "b": {"b": 1, "d": 1}, "c": {"b": 1}}
    assert classification_scores(PREDICTIONS, REFERENCES)["confusion"]["a"] == {"a": 2, "b": 1}


def test_entities_by_hand():
    references = [[(0, 2, "人名"), (5, 8, "地名")], [(1, 3, "地名")], []]
    predictions = [
        [(0, 2, "人名"), (5, 7, "地名")],  # one right, one with the wrong end
        [(1, 3, "人名"), (1, 3, "人名")],  # wrong type, and said twice
        [(4, 5, "地名")],  # not there
    ]
    scores = entity_scores(predictions, references)
    assert scores["precision"] == pytest.approx(1 / 4)
    assert scores["recall"] == pytest.approx(1 / 3)
    assert scores["f1"] == pytest.approx(2 / 7)
    assert scores["per_type"]["人名"] == pytest.approx({"precision": 1 / 2, "recall": 1.0, "f1": 2 / 3, "support": 1})
    assert scores["per_type"]["地名"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 2}


def test_nothing_wanted_and_nothing_found():
    assert entity_scores([[], []], [[], []])["f1"] == 0.0
    with pytest.raises(ValueError, match="nothing"):
        accuracy([], [])
    with pytest.raises(ValueError, match="2 predictions for 1"):
        entity_scores([[], []], [[]])


@pytest.mark.filterwarnings("ignore")
def test_same_as_seqeval():
    generator = random.Random(0)
    tags = ["O", "O", "B-人名", "I-人名", "B-地名", "I-地名", "B-製品名", "I-製品名"]
    references = [[generator.choice(tags) for _ in range(generator.randint(1, 12))] for _ in range(300)]
    predictions = [
        [tag if generator.random() < 0.7 else generator.choice(tags) for tag in sentence] for sentence in references
    ]

    def spans(sentence):
        return spans_of_tags([(index, index + 1) for index in range(len(sentence))], sentence)

    mine = entity_scores([spans(each) for each in predictions], [spans(each) for each in references])
    assert mine["f1"] == pytest.approx(f1_score(references, predictions))
    assert mine["precision"] == pytest.approx(precision_score(references, predictions))
    assert mine["recall"] == pytest.approx(recall_score(references, predictions))
    theirs = classification_report(references, predictions, output_dict=True)
    for kind in ("人名", "地名", "製品名"):
        assert mine["per_type"][kind]["f1"] == pytest.approx(theirs[kind]["f1-score"])
        assert mine["per_type"][kind]["support"] == theirs[kind]["support"]
    assert 0.3 < mine["f1"] < 0.9  # the comparison is about something


@pytest.mark.filterwarnings("ignore")
def test_same_as_seqeval_in_strict_iob2():
    generator = random.Random(1)
    kinds = ["人名", "地名"]

    def sentence(length):
        """Tags of random spans, each B- and then I-, some of them side by side."""
        tags = []
        while len(tags) < length:
            kind = generator.choice(kinds)
            tags += ["O"] if generator.random() < 0.5 else [f"B-{kind}", *[f"I-{kind}"] * generator.randint(0, 2)]
        return tags[:length]

    def spans(tags):
        return spans_of_tags([(index, index + 1) for index in range(len(tags))], tags)

    references = [sentence(generator.randint(1, 12)) for _ in range(300)]
    predictions = [tags if generator.random() < 0.6 else sentence(len(tags)) for tags in references]
    mine = entity_scores([spans(each) for each in predictions], [spans(each) for each in references])
    theirs = classification_report(references, predictions, output_dict=True, mode="strict", scheme=IOB2)
    assert mine["f1"] == pytest.approx(theirs["micro avg"]["f1-score"]) and 0.3 < mine["f1"] < 0.9
    for kind in kinds:
        for name, theirs_name in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert mine["per_type"][kind][name] == pytest.approx(theirs[kind][theirs_name])


def test_mean_and_std():
    assert mean_and_std([0.8]) == (0.8, None)
    mean, std = mean_and_std([1.0, 2.0, 4.0])
    assert mean == pytest.approx(7 / 3)
    assert std == pytest.approx((7 / 3) ** 0.5)  # ((4/3)^2 + (1/3)^2 + (5/3)^2) / 2


def test_evaluate_accuracy_gives_the_same():
    metric = load_metric("accuracy")
    metric.add_batch(predictions=PREDICTIONS[:2], references=REFERENCES[:2])
    metric.add_batch(predictions=PREDICTIONS[2:], references=REFERENCES[2:])
    assert metric.compute() == classification_scores(PREDICTIONS, REFERENCES)


def test_evaluate_entity_f1_gives_the_same():
    references = [[(0, 2, "人名"), (5, 8, "地名")], []]
    predictions = [[(0, 2, "人名")], [(1, 2, "地名")]]

    def dictionaries(sentences):
        return [[dict(zip(("start", "end", "type"), span, strict=True)) for span in each] for each in sentences]

    computed = load_metric("entity_f1").compute(
        predictions=dictionaries(predictions), references=dictionaries(references)
    )
    assert computed == entity_scores(predictions, references)


LOADED_BY_PATH = """
import evaluate
accuracy = evaluate.load("scripts/mobilebert_ja/evaluate_metrics/accuracy")
entities = evaluate.load("scripts/mobilebert_ja/evaluate_metrics/entity_f1")
span = {"start": 0, "end": 2, "type": "人名"}
print(accuracy.compute(predictions=["a", "b"], references=["a", "a"])["accuracy"],
      entities.compute(predictions=[[span], []], references=[[span], [span]])["f1"])
"""


@pytest.mark.slow
def test_evaluate_loads_them_from_the_root_without_this_package(tmp_path):
    """In a fresh process, with nothing of this repository on the import path and no network."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", LOADED_BY_PATH], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0.5", str(2 / 3)]


def test_both_metrics_count_alike():
    """What each has a copy of, because evaluate copies nothing that both could share."""
    for name in ("require_same_length", "precision_recall_f1"):
        assert inspect.getsource(getattr(class_scores, name)) == inspect.getsource(getattr(span_scores, name))


WITHOUT_A_HOME = """
import sys
from pathlib import Path
import pyarrow
from pyarrow import parquet
from mobilebert_ja.data.sources import hub_documents
from mobilebert_ja.tasks.public.jglue import _rows
from mobilebert_ja.tasks.metrics import load_metric
folder = Path(sys.argv[1])
span = {"start": 0, "end": 2, "type": "人名"}
parquet.write_table(pyarrow.table({"label": [1, 2]}), folder / "rows.parquet")
print(load_metric("accuracy").compute(predictions=["a", "b"], references=["a", "a"])["accuracy"],
      load_metric("entity_f1").compute(predictions=[[span], []], references=[[span], [span]])["f1"],
      [row["label"] for _, row in _rows(folder / "rows.parquet")], len(list(hub_documents(str(folder / "set")))))
"""


@pytest.mark.slow
def test_nothing_that_is_local_needs_a_writable_home(tmp_path):
    (tmp_path / "file").touch()  # nobody, not even root, can make a folder below it
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text('{"text": "水は冷たい。"}\n', encoding="utf-8")
    home = str(tmp_path / "file" / "home")
    environment = os.environ | {"HOME": home, "HF_HOME": home, "PYTHONPATH": str(SCRIPTS), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", WITHOUT_A_HOME, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout.split("\n")[-2:] == [f"0.5 {2 / 3} [1, 2] 1", ""], done.stderr
