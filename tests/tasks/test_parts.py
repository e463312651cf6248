"""What stands in both parts of a task, and what one of them lacks."""

import unicodedata
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.files.own_files import item, table
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.tasks import task_source
from mobilebert_ja.tasks.base import Example, Task
from mobilebert_ja.tasks.parts import held_out_of_training, keep_equal_together, what_is_read

SETTINGS = {"text_column": "text", "label_column": "label", "test_share": 0.2}


def load(folder, name, content, test=None, **changed):
    task = "entities" if "span" in content or name.endswith("conll") else "classification"
    (folder / name).write_text(content, encoding="utf-8")
    settings = {"task": task, "train_file": str(folder / name), **SETTINGS, **changed}
    if test is not None:
        (folder / f"test-{name}").write_text(test, encoding="utf-8")
        settings["test_file"] = str(folder / f"test-{name}")
    return task_source(settings, lambda: pytest.fail("public data were asked for")).load(0)


def texts_of(part):
    return {what_is_read(example) for example in part}


def test_a_rare_class_that_the_test_part_lacks_is_named(tmp_path, capsys):
    rows = [(f"良い{number}", "本") for number in range(200)] + [("悪い", "映画"), ("嫌い", "映画")]
    task = load(tmp_path, "my.csv", table(rows))
    assert Counter(example.target for example in task.test) == {"本": 41}  # the split is as it always was
    said = capsys.readouterr().err
    assert said.startswith("warning: 映画: no example in the test part, so the score says nothing about it; a larger")
    assert said.count("\n") == 1


def test_a_class_that_the_test_file_lacks_is_named(tmp_path, capsys):
    load(tmp_path, "my.csv", table([("一", "本"), ("二", "映画")]), table([("三", "本")]))
    said = capsys.readouterr().err
    assert "warning: 映画: no example in the test part" in said
    assert "rows of it in the --test_file would help" in said and "--split_seed" not in said  # which splits nothing
    load(tmp_path, "my.jsonl", item("田中は京都へ", (0, 2, "人名"), (3, 5, "地名")), item("鈴木", (0, 2, "人名")))
    assert "warning: 地名: no example in the test part" in capsys.readouterr().err


def test_a_class_that_train_share_leaves_out_is_named(tmp_path, capsys):
    rows = [(f"{label}{number}", label) for label in "あいう" for number in range(2)]
    load(tmp_path, "my.csv", table(rows), table([("四", "あ"), ("五", "い"), ("六", "う")]), train_share=0.5)
    said = capsys.readouterr().err
    assert "warning: あ: in the held-out part only" in said and "or a larger --train_share, would help" in said


def test_what_is_held_out_of_the_training_part():
    """For choices made before the test part is looked at: each class in proportion, equal texts together."""
    examples = [Example(f"感想{number // 2}", "本") for number in range(60)]  # each text twice
    examples += [Example(f"作品{number}", "映画") for number in range(20)] + [Example("映画館", "劇場")]
    task = Task("mine", Kind.CLASSES, ["劇場", "映画", "本"], examples, [Example("試験", "本")], {"x": []})
    part = held_out_of_training(task, 0.25, seed=3)
    counted = Counter(example.target for example in part.test)
    assert abs(counted["本"] - 15) <= 1 and counted["映画"] == 5 and not counted["劇場"]
    assert sorted(map(str, part.train + part.test)) == sorted(map(str, examples))  # nothing of the test part
    assert not texts_of(part.train) & texts_of(part.test) and part.variants == {}
    assert (part.train, part.test) == (lambda again: (again.train, again.test))(held_out_of_training(task, 0.25, 3))
    spans = [Example(f"田中{number}", [(0, 2, "人名")]) for number in range(10)]
    entities = held_out_of_training(Task("mine", Kind.ENTITIES, ["O"], spans, []), 0.31, seed=0)
    assert (len(entities.train), len(entities.test)) == (6, 4)
    order = np.random.default_rng(0).permutation(10)  # a released model's decoding was chosen by this very draw
    assert [entities.test, entities.train] == [[spans[index] for index in part] for part in (order[:4], order[4:])]
    assert held_out_of_training(Task("mine", Kind.ENTITIES, ["O"], spans[:1], []), 0.5, seed=0).test == []


def test_equal_texts_stand_in_one_part(tmp_path, capsys):
    rows = [(f"感想{number % 20}", "本" if number % 2 else "映画") for number in range(40)]
    task = load(tmp_path, "my.csv", table(rows))
    assert not texts_of(task.train) & texts_of(task.test)
    assert len(task.train) + len(task.test) == 40 and 6 <= len(task.test) <= 10
    said = capsys.readouterr().err
    assert (
        "warning: 20 texts stand in" in said and "my.csv more than once, 40 rows in all; equal texts are kept" in said
    )
    lines = "".join(item(f"田中{number % 20}", (0, 2, "人名")) for number in range(40))
    task = load(tmp_path, "my.jsonl", lines)
    assert not texts_of(task.train) & texts_of(task.test) and 6 <= len(task.test) <= 10


def test_texts_that_look_alike_to_a_model_are_equal(tmp_path):
    rows = [("ABC 1", "本"), ("\uff21BC\u3000 １\n", "本")] * 3 + [(f"感想{number}", "映画") for number in range(9)]
    task = load(tmp_path, "my.csv", table(rows))
    assert len({example.target for example in task.test}) == 1 and not texts_of(task.train) & texts_of(task.test)


def test_60_000_combining_characters_are_never_left_for_python_to_sort(monkeypatch):
    """It would take the square of their number: what it is handed at a time is short, or in its order already."""
    handed, normalize = [], unicodedata.normalize

    def watched(form, text):
        handed.append(text)
        return normalize(form, text)

    monkeypatch.setattr(unicodedata, "normalize", watched)
    what_is_read(Example("か" + "\u0301\u0327\u0323\u1dce" * 15_000, "本"))
    for text in handed:
        classes = list(map(unicodedata.combining, text)) if len(text) > 64 else []
        assert all(second == 0 or first <= second for first, second in pairwise(classes))
    assert max(map(len, handed)) > 60_000


def test_one_text_with_two_labels_is_told(tmp_path, capsys):
    rows = [(f"感想{number}", "本" if number % 2 else "映画") for number in range(20)]
    task = load(tmp_path, "my.csv", table([*rows, *[("感想0", "本"), ("感想1", "映画")]]))
    assert "warning: texts with more than one answer: 2; no model" in capsys.readouterr().err
    assert not texts_of(task.train) & texts_of(task.test)


def test_names_that_look_alike_are_told(tmp_path, capsys):
    names = ["ゲーム", "ケ\u3099ーム", "ｹﾞｰﾑ", "ゲーム\u200b", "❤", "❤\ufe0f", "本", "体"]
    load(tmp_path, "my.csv", table([(f"感想{number}", name) for number, name in enumerate(names * 2)]))
    said = [line for line in capsys.readouterr().err.splitlines() if "look alike" in line]
    assert [line.count("U+30FC") + line.count("U+2764") + line.count("U+FF79") for line in said] == [2, 4]
    assert said[0].endswith("as different ones: '❤' (U+2764) and '❤\ufe0f' (U+2764 U+FE0F)")
    lines = item("田中", (0, 2, "人名")) + item("鈴木", (0, 2, "人\u200b名"))
    load(tmp_path, "my.jsonl", lines, lines)
    assert "'人\u200b名' (U+4EBA U+200B U+540D) and '人名' (U+4EBA U+540D)" in capsys.readouterr().err


def test_texts_of_a_test_file_that_were_learned_are_counted(tmp_path, capsys):
    task = load(
        tmp_path, "my.csv", table([("一", "本"), ("二", "映画")]), table([("一", "本"), ("二", "本"), ("三", "映画")])
    )
    assert len(task.test) == 3
    said = capsys.readouterr().err
    assert (
        "warning: 2 of 3 texts of the test part stand in the training part too, 1 of them with another answer" in said
    )
    load(tmp_path, "my.jsonl", item("田中", (0, 2, "人名")), item("田中", (0, 1, "人名")))
    assert "1 of 1 texts of the test part stand in the training part too, 1 of them" in capsys.readouterr().err


def test_a_file_of_one_text_has_no_test_part(tmp_path):
    with pytest.raises(UserError, match=r"my\.csv has too few different texts to hold some out"):
        load(tmp_path, "my.csv", table([("一", "本"), ("二", "映画")] * 5))
    with pytest.raises(UserError, match=r"my\.jsonl has too few different texts"):
        load(tmp_path, "my.jsonl", item("田中", (0, 2, "人名")) * 5)


SMALL = st.tuples(st.integers(0, 9), st.integers(0, 2))


@given(st.lists(SMALL, min_size=2, max_size=40), st.data())
def test_a_split_keeps_every_row_and_every_label_for_training(rows, data):
    examples = [Example(str(text), label) for text, label in rows]
    test = [e for e in examples[1:] if data.draw(st.booleans())]
    train = [e for e in examples if not any(e is each for each in test)]
    learned, tested = keep_equal_together(train, test, lambda example: example.target)
    assert not texts_of(learned) & texts_of(tested)
    assert Counter(learned + tested) == Counter(examples)
    assert {e.target for e in learned} >= {e.target for e in train}
    if not texts_of(train) & texts_of(test):
        assert (learned, tested) == (train, test)


@pytest.mark.parametrize("labels", [50, 500])
def test_many_classes_are_not_gone_through_for_each_of_them(labels):
    """A thousand classes of products, each with a text that stands in both parts."""
    train = [Example(f"題{n}", n // 2) for n in range(2 * labels)]
    test = [Example(f"題{n}", n // 2) for n in range(0, 2 * labels, 2)]
    asked = []
    keep_equal_together(train, test, lambda example: asked.append(example) or example.target)
    assert len(asked) < 12 * len(train + test)


# --- marks of a format


CONLL = "田中 B-人名\nは O\n\n京都 B-地名\n"


@pytest.mark.parametrize(
    "content",
    [
        f"-DOCSTART- O\n\n{CONLL}",
        f"-DOCSTART-\tO\n{CONLL}",  # no blank line after it
        f"-DOCSTART- -X- O O\n\n{CONLL}\n-DOCSTART-\n",
        CONLL.replace("\n\n", "\n-DOCSTART- O\n"),
        CONLL.replace("\n\n", "\nEOS\n") + "EOS\n",  # as MeCab ends sentences
        "\ufeff" + CONLL.replace("\n\n", "\n\n\ufeff-DOCSTART- O\r\n"),
        CONLL.replace("\n", "\r"),
        CONLL.replace("\n", "\n\ufeff"),
    ],
)
def test_marks_of_conll_are_no_sentences(tmp_path, content):
    task = load(tmp_path, "my.conll", content, CONLL)
    assert [(e.text, e.target) for e in task.train] == [("田中は", [(0, 2, "人名")]), ("京都", [(0, 2, "地名")])]


def test_what_only_looks_like_a_mark_is_a_token(tmp_path):
    task = load(tmp_path, "my.conll", "EOS B-製品\n-DOCSTART O\n", "EOS B-製品\n")
    assert task.train[0].text == "EOS-DOCSTART"
    lines = item("-DOCSTART-") + item("田中", (0, 2, "人名"))
    assert len(load(tmp_path, "my.jsonl", lines, lines).train) == 1
