"""The classical models as teachers: trained on the training part, and calibrated on folds of it that they did not see.

Which class an SVM or a CRF prefers says little of how often it is right; only what is held out tells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.progress import progress_bar
from mobilebert_ja.finetuning.classical import CrfSettings, crf_tagger, features_of, require_library, svm_pipeline
from mobilebert_ja.labelling.opinions import TagOpinion
from mobilebert_ja.settings import BaselineSettings
from mobilebert_ja.tasks.base import Example, Task
from mobilebert_ja.tasks.public.ner import bio_tags
from mobilebert_ja.tokenization.encoder import words_with_offsets

FOLDS = {"svm": 5, "crf": 3}  # a CRF takes minutes each
_TEMPERATURES = (0.2, 5.0)
# Of the SVM's. With scikit-learn's 1, few rows make a teacher that is sure of nothing though it is often right:
# held-out loss on titles of the training part, with 1, 10 and 30: of 100 rows 1.70, 1.31, 1.24, of 300 rows 1.06,
# 0.86, 0.85, of 1,000 rows 0.62, 0.58, 0.58, of 4,500 rows 0.38 each. With 30, made-up texts of few words are
# believed too much.
_CALIBRATION_C = 10.0

Opinions = Callable[[Sequence[str]], list[Any]]


def svm_teacher(task: Task, settings: BaselineSettings) -> Opinions:
    """Texts -> probabilities [labels] each, by a logistic regression on the SVM's scores of all classes.

    On the titles (nine classes, five folds of the training part) its log loss is 0.42, that of one logistic function
    per class (Platt) 0.47, and that of a temperature 0.47, with an accuracy one point lower.

    Raises `UserError` if a class has one example only, of which no fold can be held out.
    """
    linear = require_library("sklearn.linear_model", "scikit-learn")
    selection = require_library("sklearn.model_selection", "scikit-learn")
    texts, targets = [example.text for example in task.train], [example.target for example in task.train]
    rarest, count = Counter(targets).most_common()[-1]
    if count < 2:
        raise UserError(
            "The teacher svm is calibrated on held-out folds, for which each class needs two examples in the training "
            f"part; '{rarest}' has one."
        )
    _say("svm", min(FOLDS["svm"], count), task)
    folds = selection.StratifiedKFold(min(FOLDS["svm"], count), shuffle=True, random_state=settings.seed)
    svm = svm_pipeline(settings.svm_words, settings.svm_c, settings.seed)
    held = selection.cross_val_predict(svm, texts, targets, cv=folds, method="decision_function")
    calibration = linear.LogisticRegression(C=_CALIBRATION_C, max_iter=1000).fit(_columns(held), targets)
    svm.fit(texts, targets)
    columns = [task.labels.index(name) for name in calibration.classes_]

    def opinions(texts: Sequence[str]) -> list[np.ndarray]:
        shares = np.zeros((len(texts), len(task.labels)))
        shares[:, columns] = calibration.predict_proba(_columns(svm.decision_function(list(texts))))
        return list(shares)

    return opinions


def _columns(scores: np.ndarray) -> np.ndarray:
    """Scores [texts, classes]; of two classes there is one column."""
    return scores.reshape(len(scores), -1)


def _say(name: str, folds: int, task: Task) -> None:
    print(
        f"teacher {name}: trained on {len(task.train)} examples, and calibrated on {folds} folds of them", flush=True
    )


def crf_teacher(task: Task, settings: BaselineSettings) -> Opinions:
    """Texts -> probabilities of tags, the CRF's marginals at the temperature that fits held-out folds best.

    Raises `UserError` for less than two training sentences.
    """
    selection = require_library("sklearn.model_selection", "scikit-learn")
    optimize = require_library("scipy.optimize", "scipy")
    crf = CrfSettings(settings.crf_l1, settings.crf_l2, settings.crf_iterations)
    if len(task.train) < 2:
        raise UserError(
            "The teacher crf is calibrated on held-out folds, for which two training sentences are needed."
        )
    _say("crf", min(FOLDS["crf"], len(task.train)), task)
    folds = selection.KFold(min(FOLDS["crf"], len(task.train)), shuffle=True, random_state=settings.seed)
    held: list[tuple[np.ndarray, np.ndarray]] = []
    for learned, left in progress_bar(list(folds.split(task.train)), desc="folds of the teacher crf", unit="fold"):
        tagger = crf_tagger([task.train[index] for index in learned], crf)
        held += [_held_out(tagger, task.train[index], task.labels) for index in left]
    shares, right = (np.concatenate(each) for each in zip(*held, strict=True))
    temperature = float(
        optimize.minimize_scalar(
            lambda value: -np.log(_at(shares, value)[np.arange(len(right)), right] + 1e-12).mean(),
            bounds=_TEMPERATURES,
            method="bounded",
        ).x
    )
    tagger = crf_tagger(task.train, crf)

    def opinions(texts: Sequence[str]) -> list[TagOpinion]:
        made = []
        for text in texts:
            words = words_with_offsets(text)
            made.append(
                TagOpinion([word.offset for word in words], _at(_marginals(tagger, words, task.labels), temperature))
            )
        return made

    return opinions


def _held_out(tagger: Any, example: Example, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Marginals [words, labels] of a sentence and the indices [words] of its right tags."""
    words = words_with_offsets(example.text)
    tags = bio_tags([word.offset for word in words], example.target)
    return _marginals(tagger, words, labels), np.array([labels.index(tag) for tag in tags], np.int64)


def _marginals(tagger: Any, words: Sequence[Any], labels: Sequence[str]) -> np.ndarray:
    shares = np.zeros((len(words), len(labels)))
    if not words:
        return shares
    tagger.set(features_of(words))
    for name in tagger.labels():  # those that it has seen
        column = labels.index(name)
        shares[:, column] = [tagger.marginal(name, index) for index in range(len(words))]
    return shares


def _at(shares: np.ndarray, temperature: float) -> np.ndarray:
    """The probabilities of logits divided by the temperature: above 1 less sure."""
    powers = np.power(np.maximum(shares, 1e-12), 1 / temperature)
    return powers / powers.sum(-1, keepdims=True)


CLASSICAL_TEACHERS: dict[str, Callable[[Task, BaselineSettings], Opinions]] = {"svm": svm_teacher, "crf": crf_teacher}
