"""Classical models for the same tasks: what a pretrained model has to beat. Their libraries are imported when needed.

- svm: TF-IDF of character 1-4-grams (and, if asked for, of MeCab words and their pairs), one linear SVM per class.
- crf: a linear chain over MeCab words, from features of the word and of its neighbours to BIO tags.

After a fine-tuning the svm is trained on the same split, for comparison: on short texts it may be better.
"""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilebert_ja.common.errors import UserError, first_line
from mobilebert_ja.common.text.normalization import nfkc
from mobilebert_ja.inference.decoding import Span, spans_of_tags
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.settings import BaselineSettings
from mobilebert_ja.tasks import TASK_KINDS, Example, Task
from mobilebert_ja.tasks.public.ner import bio_tags
from mobilebert_ja.tokenization.encoder import Word, words_with_offsets
from mobilebert_ja.tokenization.mecab import words_of

METHODS = {"svm": Kind.CLASSES, "crf": Kind.ENTITIES}
WINDOW = 3  # words on either side that the CRF looks at
AFFIX = 3  # longest beginning and ending of a word that is a feature (characters)
_MOST_CHARACTERS = 5_000_000  # of the training part: half a minute; a user should not wait longer for a comparison


def suitable_method(method: str, task: str) -> str:
    """`method`, or the one for a task of this name if it is "". Raises `UserError` if it is for another kind."""
    suitable = next(name for name, kind in METHODS.items() if kind is TASK_KINDS[task])
    if method and method != suitable:
        raise UserError(f"--method {method} is not for --task {task}; --method {suitable} is.")
    return suitable


def require_library(name: str, package: str) -> Any:
    """Import a library that only a baseline needs. Raises `UserError` naming the package if it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(f"This baseline needs {package}, which is not installed: pip install {package}.") from None


def normalized_words(text: str) -> list[str]:
    """MeCab words of a text after NFKC."""
    return words_of(nfkc(text))


@dataclass(frozen=True)
class Trained:
    """A trained model: `answer` gives the answers for texts, in their order; `parameters` counts its weights."""

    answer: Callable[[Sequence[str]], list[Any]]
    parameters: int


def train_svm(task: Task, word_features: bool, regularization: float, seed: int) -> Trained:
    """Train on the training part; an answer is a class name. For the arguments see `svm_pipeline`."""
    model = svm_pipeline(word_features, regularization, seed)
    model.fit([example.text for example in task.train], [example.target for example in task.train])
    weights = model[-1].coef_.size + model[-1].intercept_.size
    return Trained(
        lambda texts: [str(name) for name in model.predict(list(texts))] if len(texts) else [], int(weights)
    )


def svm_pipeline(word_features: bool, regularization: float, seed: int) -> Any:
    """TF-IDF and a linear SVM, not trained yet, as a pipeline of scikit-learn from texts to class names.

    Args:
        word_features: 1- and 2-grams of MeCab words beside those of characters.
        regularization: C of the SVM; smaller is simpler.
    """
    features = require_library("sklearn.feature_extraction.text", "scikit-learn")
    pipeline = require_library("sklearn.pipeline", "scikit-learn")
    svm = require_library("sklearn.svm", "scikit-learn")
    parts = [("characters", features.TfidfVectorizer(analyzer="char", ngram_range=(1, 4), sublinear_tf=True))]
    if word_features:
        words = features.TfidfVectorizer(
            tokenizer=normalized_words, token_pattern=None, lowercase=False, ngram_range=(1, 2), sublinear_tf=True
        )
        parts.append(("words", words))
    return pipeline.make_pipeline(pipeline.FeatureUnion(parts), svm.LinearSVC(C=regularization, random_state=seed))


def character_type(character: str) -> str:
    """A letter for the script of a character: what kind of word it may be part of."""
    if "\u3041" <= character <= "\u309f":
        return "h"  # hiragana
    if "\u30a0" <= character <= "\u30ff":
        return "k"  # katakana
    if "\u4e00" <= character <= "\u9fff" or character in "々〆":
        return "c"  # kanji
    if character.isdigit():
        return "d"
    return "a" if character.isalpha() else "o"


def shape(surface: str) -> str:
    """The scripts of a word in order, runs as one: カレー粉 -> "kc"."""
    types = [character_type(character) for character in surface]
    return "".join(each for index, each in enumerate(types) if index == 0 or types[index - 1] != each)


def features_of(words: Sequence[Word]) -> list[list[str]]:
    """For each word of a sentence the names of its features."""
    own = [
        {
            "w": word.surface,
            "p": word.part_of_speech.split(",")[0],
            "q": ",".join(word.part_of_speech.split(",")[:3]),
            "t": shape(word.surface),
        }
        for word in words
    ]
    rows = []
    for index, word in enumerate(words):
        row = ["bias"]
        for offset in range(-WINDOW, WINDOW + 1):
            if 0 <= index + offset < len(words):
                row += [f"{name}{offset}={value}" for name, value in own[index + offset].items()]
            else:
                row.append(f"edge{offset}")
        for offset in (-2, -1, 0, 1):  # pairs of neighbours
            if index + offset >= 0 and index + offset + 1 < len(words):
                left, right = own[index + offset], own[index + offset + 1]
                row += [f"{name}{name}{offset}={left[name]}|{right[name]}" for name in "wqt"]
        for length in range(1, min(AFFIX, len(word.surface)) + 1):
            row += [f"pre={word.surface[:length]}", f"suf={word.surface[-length:]}"]
        rows.append(row)
    return rows


@dataclass(frozen=True)
class CrfSettings:
    """c1, c2: weights of the L1 and L2 penalty; iterations: of L-BFGS, at most."""

    c1: float
    c2: float
    iterations: int


def train_crf(task: Task, settings: CrfSettings) -> Trained:
    """Train on the training part; an answer is a list of spans (start, end, type) in characters."""
    tagger = crf_tagger(task.train, settings)

    def answer(text: str) -> list[Span]:
        words = words_with_offsets(text)
        tags = tagger.tag(features_of(words)) if words else []
        return spans_of_tags([word.offset for word in words], tags)

    facts = tagger.info()
    return Trained(lambda texts: [answer(text) for text in texts], len(facts.state_features) + len(facts.transitions))


def crf_tagger(examples: Sequence[Example], settings: CrfSettings) -> Any:
    """A tagger of python-crfsuite, trained on examples: from the features of a text's words to their BIO tags."""
    crfsuite = require_library("pycrfsuite", "python-crfsuite")
    trainer = crfsuite.Trainer(algorithm="lbfgs", verbose=False)
    for example in examples:
        words = words_with_offsets(example.text)
        if words:
            trainer.append(features_of(words), bio_tags([word.offset for word in words], example.target))
    trainer.set_params({"c1": settings.c1, "c2": settings.c2, "max_iterations": settings.iterations})
    with tempfile.TemporaryDirectory() as folder:  # the library trains into files only
        path = str(Path(folder) / "model.crfsuite")
        trainer.train(path)
        tagger = crfsuite.Tagger()
        tagger.open(path)  # reads it whole; from memory it would not own what it reads
    return tagger


def classical_score(task: Task) -> dict[str, Any] | None:
    """{"method", "score", "train_seconds"} of the linear SVM that baseline.py would train, with its defaults.

    {"method", "reason"} if it cannot be trained on these data; None for a task without classes.
    """
    if task.kind is not Kind.CLASSES:
        return None
    if sum(len(example.text) for example in task.train) > _MOST_CHARACTERS:
        return {
            "method": "svm",
            "reason": f"more than {_MOST_CHARACTERS:,} characters to train on; baseline.py does it",
        }
    defaults = BaselineSettings()
    begun = time.perf_counter()
    try:
        model = train_svm(task, defaults.svm_words, defaults.svm_c, defaults.seed)
    except (UserError, ValueError) as error:  # scikit-learn's own word for data that do not suffice
        return {"method": "svm", "reason": first_line(error).rstrip(".")}
    seconds = round(time.perf_counter() - begun, 2)
    score = task.score(model.answer([example.text for example in task.test]))[task.metric]
    return {"method": "svm", "score": score, "train_seconds": seconds}


def comparison(classical: dict[str, Any], metric: str, mean: float) -> str:
    """One line for whoever reads the log. `mean`: the score of the fine-tuned model."""
    if "reason" in classical:
        return f"the classical model (linear SVM) on the same split: not trained ({classical['reason']})"
    points = 100 * (classical["score"] - mean)
    verdict = f"it is {abs(points):.2f} points {'ahead' if points > 0 else 'behind'}" if points else "it is as good"
    return (
        f"the classical model (linear SVM) on the same split: {metric} {classical['score']:.2%} after "
        f"{classical['train_seconds']:.1f} s; {verdict}"
    )
