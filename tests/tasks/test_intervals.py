"""Intervals and tests against numbers worked out by hand and against known distributions; files that do not match."""

import random

import numpy as np
import pytest

from helpers.files.answer_files import write_answers
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.tasks.intervals import (
    bootstrap,
    bootstrap_p,
    compare,
    mcnemar_p,
    percentile_interval,
    read_answers,
    score_intervals,
)
from mobilebert_ja.tasks.metrics import accuracy, accuracy_of, entity_f1_of, entity_scores, macro_f1, macro_f1_of


def classes(seed, items=200, right=0.7):
    generator = random.Random(seed)
    references = [generator.choice("abc") for _ in range(items)]
    return [each if generator.random() < right else generator.choice("abcd") for each in references], references


def spans(seed, sentences=100):
    generator = random.Random(seed)

    def some():
        return [(start, start + 2, generator.choice("xy")) for start in range(0, 12, 3) if generator.random() < 0.4]

    references = [some() for _ in range(sentences)]
    return [each if generator.random() < 0.6 else some() for each in references], references


def test_scores_of_drawn_items_are_those_of_the_metrics():
    drawn = np.random.default_rng(0).integers(50, size=200)  # few of many: some classes are not drawn every time
    for numbers in (np.arange(200), drawn, drawn[:3]):
        predictions, references = classes(0)
        taken = [[each[number] for number in numbers] for each in (predictions, references)]
        assert accuracy_of(predictions, references)(numbers) == pytest.approx(accuracy(*taken))
        assert macro_f1_of(predictions, references)(numbers) == pytest.approx(macro_f1(*taken))
    predictions, references = spans(0)
    taken = [[each[number] for number in drawn[:90]] for each in (predictions, references)]
    assert entity_f1_of(predictions, references)(drawn[:90]) == pytest.approx(entity_scores(*taken)["f1"])
    assert entity_f1_of([[]], [[]])(np.array([0])) == 0.0


def test_interval_of_an_accuracy_is_that_of_a_binomial():
    predictions, references = classes(1, items=1000)
    low, high = percentile_interval(bootstrap(accuracy_of(predictions, references), 1000, 4000))
    score = accuracy(predictions, references)
    half = 1.96 * (score * (1 - score) / 1000) ** 0.5
    assert (low, high) == pytest.approx((score - half, score + half), abs=0.15 * half)


def test_intervals_for_a_record():
    found = score_intervals("accuracy", *classes(2))
    assert found == score_intervals("accuracy", *classes(2))  # seeded
    assert (found["level"], found["resamples"]) == (0.95, 1000)
    assert found["accuracy"][0] < accuracy(*classes(2)) < found["accuracy"][1]
    assert found["macro_f1"][0] < macro_f1(*classes(2)) < found["macro_f1"][1]
    low, high = score_intervals("f1", *spans(2))["f1"]
    assert low < entity_scores(*spans(2))["f1"] < high
    assert score_intervals("accuracy", ["a", "b"], ["a", "b"])["accuracy"] == [1.0, 1.0]


def test_mcnemar_by_hand():
    assert mcnemar_p(0, 0) == mcnemar_p(3, 3) == 1.0
    assert mcnemar_p(0, 5) == mcnemar_p(5, 0) == 2 / 2**5
    assert mcnemar_p(2, 8) == pytest.approx(2 * (1 + 10 + 45) / 2**10)
    assert mcnemar_p(9000, 11000) == pytest.approx(2.1e-45, rel=0.1)  # 14.1 standard deviations: no overflow


def test_bootstrap_p():
    assert bootstrap_p(np.array([1.0] * 99)) == pytest.approx(2 / 100)  # never 0
    assert bootstrap_p(np.array([1.0] * 9 + [-1.0] * 90)) == pytest.approx(2 * 10 / 100)
    assert bootstrap_p(np.zeros(10)) == 1.0


def test_compare_classes(tmp_path):
    references = ["a"] * 50 + ["b"] * 50
    worse = ["b"] * 20 + ["a"] * 30 + ["b"] * 48 + ["a"] * 2  # 78 right
    better = ["a"] * 50 + ["b"] * 40 + ["a"] * 10  # 90 right; 20 that the other has not, and 8 the other way round
    first = read_answers(write_answers(tmp_path / "a.json", worse, references))
    second = read_answers(write_answers(tmp_path / "b.json", better, references))
    found = compare(first, second)
    assert found["scores"] == {"first": pytest.approx(0.78), "second": pytest.approx(0.9)}
    assert (found["only_first"], found["only_second"]) == (8, 20)
    assert found["p"] == mcnemar_p(8, 20) and found["difference"] == pytest.approx(0.12)
    spread = 1.96 * ((0.28 - 0.12**2) / 100) ** 0.5  # of the mean of 20 times 1, 8 times -1 and 72 times 0
    assert found["interval"] == pytest.approx([0.12 - spread, 0.12 + spread], abs=0.02)
    back = compare(second, first)
    assert back["difference"] == -found["difference"] and back["p"] == found["p"]
    assert compare(first, first)["interval"] == [0.0, 0.0]


def test_compare_entities(tmp_path):
    predictions, references = spans(3, sentences=200)
    first = read_answers(write_answers(tmp_path / "a.json", [[] for _ in references], references))
    second = read_answers(write_answers(tmp_path / "b.json", predictions, references))
    found = compare(first, second)
    assert (found["metric"], found["test"]) == ("f1", "paired bootstrap")
    assert found["scores"]["second"] == pytest.approx(entity_scores(predictions, references)["f1"])
    assert found["p"] == pytest.approx(2 / 1001) and found["interval"][0] > 0.3
    assert compare(second, second)["p"] == 1.0


@pytest.mark.parametrize(
    ("predictions", "references", "texts", "words"),
    [
        (["a", "b"], ["a", "a"], ["題0", "題9"], "over different texts: item 1 (counted from 0) is '題1' and '題9'"),
        (["a", "b"], ["a", "b"], None, "over different targets: item 1"),
        (["a"], ["a"], None, "over different texts: 2 and 1 of them"),
        ([[], []], [[], []], None, "of different tasks"),
        ([], [], None, "holds no predictions"),
        (["a", 3], ["a", "b"], None, "holds no predictions"),
        ([[], [[0, 1]]], [[], []], None, "holds no predictions"),
    ],
)
def test_files_that_cannot_be_compared(tmp_path, predictions, references, texts, words):
    first = read_answers(write_answers(tmp_path / "a.json", ["a", "b"], ["a", "a"]))
    with pytest.raises(UserError) as caught:
        compare(first, read_answers(write_answers(tmp_path / "b.json", predictions, references, texts)))
    assert words in str(caught.value) and "b.json" in str(caught.value)
