"""Silver answers: what may stand in their file, what is refused with its line, and which of them are drawn."""

import json

import pytest

from helpers.files.task_data import write_livedoor, write_ner
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.tasks import task_source
from mobilebert_ja.tasks.parts import what_is_read
from mobilebert_ja.tasks.silver import SilverClass, SilverSpans, draw, read_silver, silver_line

CLASSES = ["中立", "悪い", "良い"]
TAGS = ["O", "B-人名", "I-人名", "B-地名", "I-地名"]


def written(tmp_path, *items):
    path = tmp_path / "answers.jsonl"
    lines = [item if isinstance(item, str) else json.dumps(item, ensure_ascii=False) for item in items]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_classes_in_every_form(tmp_path):
    path = written(
        tmp_path,
        {"text": "満足", "probabilities": {"良い": 0.9, "悪い": 0.1}},
        {"text": "不満", "label": "悪い"},
        {"text": "まあまあ", "label": "中立", "confidence": 0.5},
        {"text": "合計が少し違う", "probabilities": {"良い": 0.66, "悪い": 0.33}},
    )
    given = read_silver(path, Kind.CLASSES, CLASSES)
    assert [each.text for each in given] == ["満足", "不満", "まあまあ", "合計が少し違う"]
    assert [each.probabilities for each in given] == [
        (0.0, 0.1, 0.9),
        (0.0, 1.0, 0.0),
        (0.5, 0.25, 0.25),
        (0.0, pytest.approx(1 / 3), pytest.approx(2 / 3)),
    ]
    assert [each.is_sure(0.9) for each in given] == [True, True, False, False]


def test_entities_with_and_without_a_confidence(tmp_path):
    text = "田中は京都と奈良へ"
    entities = [{"span": [0, 2], "type": "人名"}, {"span": [3, 5], "type": "地名", "confidence": 0.4}]
    item = {"text": text, "entities": entities, "outside": [{"span": [6, 8], "confidence": 0.3}]}
    (given,) = read_silver(written(tmp_path, item), Kind.ENTITIES, TAGS)
    assert given == SilverSpans(text, (((0, 2, "人名"), 1.0), ((3, 5, "地名"), 0.4)), (((6, 8), 0.3),))
    assert given.unsure(0.3) == [] and given.unsure(0.35) == [(6, 8)] and given.unsure(0.5) == [(3, 5), (6, 8)]
    assert given.is_sure(1.0) and not SilverSpans("京都", (((0, 2, "地名"), 0.4),)).is_sure(0.5)


def test_what_is_written_is_read_again(tmp_path):
    classes = SilverClass("満足", (0.0, 0.25, 0.75))
    spans = SilverSpans("田中 は京都へ", (((0, 2, "人名"), 0.5),), (((4, 6), 0.25),))
    assert list(json.loads(silver_line(classes, CLASSES))["probabilities"].items()) == [("良い", 0.75), ("悪い", 0.25)]
    assert read_silver(written(tmp_path, silver_line(classes, CLASSES)), Kind.CLASSES, CLASSES) == [classes]
    for number in (200, 650, 30_000):  # rounded to four digits, their sum would be as little as none
        many = SilverClass("満足", (1 / number,) * number)
        labels = [f"{index:05}" for index in range(number)]
        (again,) = read_silver(written(tmp_path, silver_line(many, labels)), Kind.CLASSES, labels)
        assert again.probabilities == pytest.approx(many.probabilities)
    assert json.loads(silver_line(spans, TAGS))["entities"][0]["name"] == "田中"
    assert read_silver(written(tmp_path, silver_line(spans, TAGS)), Kind.ENTITIES, TAGS) == [spans]


@pytest.mark.parametrize(
    ("kind", "item", "message"),
    [
        (Kind.CLASSES, "{", "is not valid JSON"),
        (Kind.CLASSES, {"label": "良い"}, 'there must be a "text" in words'),
        (Kind.CLASSES, {"text": " ", "label": "良い"}, "the text is empty"),
        (Kind.CLASSES, {"text": "題"}, 'either "probabilities" or a "label"'),
        (Kind.CLASSES, {"text": "題", "label": "良い", "probabilities": {"良い": 1}}, 'either "probabilities" or a'),
        (Kind.CLASSES, {"text": "題", "label": "最高"}, "'最高' is no class of the task, which has 中立, 悪い, 良い"),
        (Kind.CLASSES, {"text": "題", "label": ["良い"]}, 'the "label" must be a name or a number'),
        (
            Kind.CLASSES,
            {"text": "題", "label": "良い", "confidence": 2},
            "the confidence must be a number from 0 to 1",
        ),
        (Kind.CLASSES, {"text": "題", "probabilities": {"最高": 1}}, "'最高' is no class"),
        (Kind.CLASSES, {"text": "題", "probabilities": [0, 1, 0]}, "must be an object"),
        (Kind.CLASSES, {"text": "題", "probabilities": {"良い": 0.5}}, "the probabilities add up to 0.500, not to 1"),
        (Kind.CLASSES, {"text": "題", "probabilities": {"良い": 1.5}}, "the probability of '良い' must be a number"),
        (Kind.CLASSES, '{"text": "題", "probabilities": {"良い": NaN}}', "the probability of '良い' must be a number"),
        (Kind.ENTITIES, {"text": "題", "label": "良い"}, '"entities" must be a list'),
        (Kind.ENTITIES, {"text": "題", "entities": [{"span": [0, 2], "type": "人名"}]}, "is outside its 1 characters"),
        (Kind.ENTITIES, {"text": "題", "entities": [{"span": [0, 1], "type": "駅"}]}, "'駅' is no type of entity"),
        (
            Kind.ENTITIES,
            {"text": "題", "entities": [{"span": [0, 1], "type": "人名", "confidence": "high"}]},
            r"the confidence of the span \[0, 1\] must be a number",
        ),
        (Kind.ENTITIES, {"text": "題", "entities": [], "outside": [{"span": [0]}]}, "an entity must have"),
        (Kind.ENTITIES, {"text": "題", "entities": [], "outside": {}}, '"outside" must be a list'),
    ],
)
def test_what_is_not_valid_is_refused_with_its_line(tmp_path, kind, item, message):
    good = {"text": "題名", "label": "良い"} if kind is Kind.CLASSES else {"text": "題名", "entities": []}
    with pytest.raises(UserError, match=f"answers.jsonl, line 2.*{message}"):
        read_silver(written(tmp_path, good, item), kind, CLASSES if kind is Kind.CLASSES else TAGS)


def test_a_smaller_share_is_part_of_a_larger_one():
    answers = [SilverClass(str(number), (1.0,)) for number in range(50)]
    small, large = draw(answers, 0.1, 3), draw(answers, 0.5, 3)
    assert (len(small), len(large)) == (5, 25) and set(small) < set(large) < set(answers)
    assert large == sorted(large, key=answers.index) and draw(answers, 1.0, 3) == answers
    assert draw(answers, 0.5, 4) != large


def test_a_part_to_validate_on_is_taken_from_training_alone(tmp_path):
    write_livedoor(tmp_path, {"sports-watch": 40, "movie-enter": 40, "smax": 35})
    given = {"task": "livedoor", "train_file": None, "test_file": None, "data_dir": None}
    whole = task_source(given, lambda: tmp_path).load(0)
    part = task_source(given | {"validate_on": 0.2}, lambda: tmp_path).load(0)
    texts = [
        {what_is_read(each) for each in examples} for examples in (part.train, part.test, whole.train, whole.test)
    ]
    assert texts[0] | texts[1] == texts[2] and not texts[0] & texts[1] and not texts[1] & texts[3]
    assert len(part.test) == pytest.approx(0.2 * len(whole.train), abs=6) and part.labels == whole.labels
    assert part.variants == {} and {what_is_read(each) for each in part.set_aside} >= texts[3]
    write_ner(tmp_path, 40)
    one_sentence = {**given, "task": "ner", "validate_on": 0.5, "train_share": 0.001}
    with pytest.raises(
        UserError, match=r"--validate_on 0\.5 of 1 training examples leaves one of the two parts empty"
    ):
        task_source(one_sentence, lambda: tmp_path).load(0)


def test_white_space_around_a_label_is_left_out_as_in_labelled_files(tmp_path):
    (given,) = read_silver(written(tmp_path, {"text": "満足", "label": " 良い\u3000"}), Kind.CLASSES, CLASSES)
    assert given.probabilities == (0.0, 0.0, 1.0)
