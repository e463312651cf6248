"""The classical models as teachers: probabilities that are right as often as they say."""

import random

import numpy as np
import pytest

from helpers.files.task_data import sentence
from mobilebert_ja.inference.decoding import bio_labels
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.labelling.classical_teacher import crf_teacher, svm_teacher
from mobilebert_ja.labelling.opinions import mean_spans
from mobilebert_ja.settings import BaselineSettings
from mobilebert_ja.tasks import Example, Task


def guesses(count: int, seed: int) -> list[Example]:
    """Texts whose word tells the class in three of four cases."""
    chance = random.Random(seed)
    words = {"良い": "満足な", "悪い": "退屈な", "普通": "並の"}
    rows = []
    for _ in range(count):
        label = chance.choice([*words])
        said = label if chance.random() < 0.6 else chance.choice([*words])
        rows.append(Example(f"{words[said]}本{chance.randrange(1000)}", label))
    return rows


@pytest.mark.parametrize("labels", [["悪い", "普通", "良い"], ["悪い", "良い"]])
def test_an_svm_says_how_sure_it_is(labels):
    train, test = ([each for each in guesses(600, seed) if each.target in labels] for seed in (0, 1))
    task = Task("t", Kind.CLASSES, labels, train, test)
    shares = np.array(svm_teacher(task, BaselineSettings(method="svm"))([each.text for each in test]))
    assert np.allclose(shares.sum(1), 1) and shares.shape == (len(test), len(labels))
    right = np.array([labels.index(each.target) for each in test]) == shares.argmax(1)
    assert right.mean() > 0.65  # of three classes a third by chance
    assert shares.max(1).mean() == pytest.approx(right.mean(), abs=0.08)


def of_eight_classes(count: int, seed: int) -> list[Example]:
    """Three words each, of which three in five are their class's own."""
    chance = random.Random(seed)
    rows = []
    for _ in range(count):
        label = chance.randrange(8)
        kinds = (label if chance.random() < 0.6 else chance.randrange(8) for _ in range(3))
        rows.append(
            Example("、".join(f"{'語句文字音声記号'[kind]}{chance.randrange(12)}" for kind in kinds), str(label))
        )
    return rows


def test_few_rows_make_an_svm_neither_shy_nor_bold():
    labels = [str(number) for number in range(8)]
    train, test = of_eight_classes(80, 0), of_eight_classes(600, 1)
    task = Task("t", Kind.CLASSES, labels, train, test)
    shares = np.array(svm_teacher(task, BaselineSettings(method="svm"))([each.text for each in test]))
    right = np.array([labels.index(each.target) for each in test]) == shares.argmax(1)
    assert right.mean() > 0.55  # by chance one in eight
    assert shares.max(1).mean() == pytest.approx(right.mean(), abs=0.1)


def test_a_crf_gives_entities_with_their_confidence():
    items = [sentence(number) for number in range(60)]
    examples = [
        Example(each["text"], [(*entity["span"], entity["type"]) for entity in each["entities"]]) for each in items
    ]
    task = Task("t", Kind.ENTITIES, bio_labels(["人名", "地名"]), examples[:40], examples[40:])
    opinions = crf_teacher(task, BaselineSettings(method="crf", crf_iterations=30))
    for example, opinion in zip(task.test, opinions([each.text for each in task.test]), strict=True):
        assert np.allclose(opinion.probabilities.sum(1), 1)
        found = mean_spans(example.text, [opinion], task.labels)
        assert [span for span, _ in found.entities] == example.target
        assert all(confidence > 0.5 for _, confidence in found.entities)
    assert opinions(["\u3000"])[0].probabilities.shape == (0, 5)
