"""The kind of a task is what its folder says, whatever its labels look like and however it is named."""

import csv
import json

import numpy as np
import pytest
import yaml

from helpers.files.task_data import write_tokenizer
from helpers.models.fast_models import tiny_model
from mobilebert_ja.compression import load_compressed
from mobilebert_ja.compression.onnx.export import export
from mobilebert_ja.compression.torchscript import compress, save_compressed
from mobilebert_ja.finetuning.folder import load_finetuned
from mobilebert_ja.finetuning.modelling.forms import FORMS
from mobilebert_ja.inference.decoding import bio_labels, constrained_decoder, entity_types, spans_of_tags
from mobilebert_ja.inference.kinds import KINDS, Kind, kind_of_config, kind_of_facts
from mobilebert_ja.model.checkpoint import save_model
from mobilebert_ja.publishing.derived_card import render_derived_card
from mobilebert_ja.runtime import ClassAnswer, EntityAnswer, load
from mobilebert_ja.tasks import JGLUE, TASK_KINDS, TASKS, task_source
from mobilebert_ja.tasks.metrics import METRICS
from mobilebert_ja.tasks.public.ner import bio_tags

CLASSES = ["B-1", "B-級/グルメ 東京"]
TYPES = ["B-x", "I-94", "O", "人-名"]
TEXTS = ["田中太郎は京都市に住む。", "監督の新作が話題になる", "昨日は雨が降った。" * 9]


def finetuned(folder, task, labels):
    tokenizer = write_tokenizer(folder / "tokenizer")
    size = len((tokenizer / "vocab.txt").read_text(encoding="utf-8").splitlines())
    model = tiny_model("ner" if TASK_KINDS[task] is Kind.ENTITIES else task, labels, size)
    save_model(model, tokenizer, folder / task)
    return load_finetuned(folder / task, task, 24)


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """A user's classes that all begin as tags do: (fine-tuned folder, sped-up folder, the model ready to answer)"""
    folder = tmp_path_factory.mktemp("classes")
    rows = [("text", "label"), *((f"{text}{n}", CLASSES[n % 2]) for n in range(8) for text in "雨監")]
    with open(folder / "my.csv", "w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)
    own = {"task": "classification", "train_file": folder / "my.csv", "text_column": "text", "label_column": "label"}
    task = task_source({**own, "test_share": 0.2}, lambda: folder).load(0)
    assert (task.kind, task.metric, task.labels) == (Kind.CLASSES, "accuracy", CLASSES)
    model, ready = finetuned(folder, task.name, task.labels)
    export(model, ready, folder / "onnx", "onnx", {})
    save_compressed(compress(model, 0.2)[0], ready, folder / "card", {})
    return folder / "classification", folder / "onnx", folder / "card", ready


@pytest.fixture(scope="module")
def entities(tmp_path_factory):
    """The same of a user's entities whose types look like tags."""
    folder = tmp_path_factory.mktemp("entities")
    model, ready = finetuned(folder, "entities", bio_labels(TYPES))
    export(model, ready, folder / "onnx", "onnx", {})
    save_compressed(compress(model, 0.2)[0], ready, folder / "card", {})
    return folder / "entities", folder / "onnx", folder / "card", ready


def published(folder):
    card = render_derived_card(folder, "somebody/model", "somebody/base")
    return yaml.safe_load(card.split("---")[1])["pipeline_tag"], card.split("## ラベル\n")[1].split("\n")[1]


def test_classes_that_begin_as_tags_do_are_classes(classes):
    plain, fast, traced, ready = classes
    for folder in (plain, fast):
        assert published(folder) == ("text-classification", "B-1、B-級/グルメ 東京")
    for answer in load(fast).predict(TEXTS):
        assert isinstance(answer, ClassAnswer) and set(answer.probabilities) == set(CLASSES)
        assert answer.label in CLASSES
    for predictor in (ready.predictor(), load_compressed(traced).predictor()):
        assert set(predictor.predict(TEXTS, 2)) <= set(CLASSES)


def test_types_that_look_like_tags_come_through(entities):
    plain, fast, traced, ready = entities
    for folder in (plain, fast):
        assert published(folder) == ("token-classification", "B-x、I-94、O、人-名")
    answers = load(fast).predict(TEXTS)
    assert all(isinstance(answer, EntityAnswer) for answer in answers)
    found = {entity.type for answer in answers for entity in answer.entities}
    assert found and found <= set(TYPES)
    for predictor in (ready.predictor(), load_compressed(traced).predictor()):
        found = {of_type for spans in predictor.predict(TEXTS, 2) for _, _, of_type in spans}
        assert found and found <= set(TYPES)


def test_tags_of_such_types_give_the_spans_back():
    labels = bio_labels(TYPES)
    assert entity_types(labels) == TYPES and entity_types(["O", "B-O", "I-O"]) == ["O"]
    text = "".join(TYPES)
    offsets = [(start, start + 1) for start in range(len(text))]
    ends = np.cumsum([len(each) for each in TYPES]).tolist()
    spans = [(end - len(each), end, each) for each, end in zip(TYPES, ends, strict=True)]
    tags = bio_tags(offsets, spans)
    assert spans_of_tags(offsets, tags) == spans
    wanted = [labels.index(tag) for tag in tags]
    assert constrained_decoder(labels).best(np.eye(len(labels))[wanted]) == wanted


def test_folders_from_before_the_kind_was_stored(classes, entities, tmp_path):
    for kind, (_, fast, _, _), task in ((Kind.CLASSES, classes, "livedoor"), (Kind.ENTITIES, entities, "ner")):
        facts = json.loads((fast / "compressed.json").read_text(encoding="utf-8"))
        assert (kind_of_facts(facts), facts["kind"]) == (kind, KINDS[kind].stored_as)
        del facts["kind"]
        assert kind_of_facts(facts | {"task": task}) is kind


def test_every_task_and_every_kind_is_in_the_tables():
    assert set(TASK_KINDS) == {*TASKS, *JGLUE}
    assert set(KINDS) == set(FORMS) == set(Kind)
    assert {facts.metric for facts in KINDS.values()} == set(METRICS)
    for kind, form in FORMS.items():  # the head that is trained is the one that a folder is known by
        named = {"architectures": ["MobileBert" + KINDS[kind].head], "problem_type": form.problem_type}
        assert form.auto.__name__ == "AutoModel" + KINDS[kind].head and kind_of_config(named) is kind
