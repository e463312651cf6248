"""A user's own files: what is read from them, how they are split, and the one sentence for each mistake in them."""

import json
from collections import Counter

import pytest

from helpers.files.own_files import item, table
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.tasks import own_data_settings_left_out, task_source

DEFAULTS = {"test_file": None, "text_column": "text", "label_column": "label", "test_share": 0.2}
ROWS = [
    (f"{thing}の感想{number}、とても良い", label)
    for label, thing in (("本", "小説"), ("映画", "俳優"))
    for number in range(10)
]


def as_bytes(content):
    return content if isinstance(content, bytes) else content.encode()


def load(folder, task, name, content, test=None, **changed):
    """The task made of a file with this content, and of a test file if there is one."""
    (folder / name).write_bytes(as_bytes(content))
    settings = {"task": task, "train_file": str(folder / name), **DEFAULTS, **changed}
    if test is not None:
        (folder / f"test-{name}").write_bytes(as_bytes(test))
        settings["test_file"] = str(folder / f"test-{name}")
    return task_source(settings, lambda: pytest.fail("public data were asked for")).load(0)


def pairs(examples):
    return [(example.text, example.target) for example in examples]


# --- classes


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("my.csv", table(ROWS)),
        ("my.CSV", b"\xef\xbb\xbf" + table(ROWS).replace("\n", "\r\n").encode()),
        ("my.tsv", table(ROWS, delimiter="\t") + "\n"),
        ("my.jsonl", "\n\n".join(json.dumps({"text": text, "label": label}) for text, label in ROWS)),
    ],
)
def test_the_same_from_every_format(tmp_path, name, content):
    task = load(tmp_path, "classification", name, content)
    assert (task.name, task.metric, task.labels) == ("classification", "accuracy", ["映画", "本"])
    assert sorted(pairs(task.train + task.test)) == sorted(ROWS)
    assert Counter(example.target for example in task.test) == {"映画": 2, "本": 2}


def test_quotes_breaks_columns_and_numbers(tmp_path):
    rows = [("1", "良い,とても", " 2 "), ("2", "一行目\n二行目", "1"), ("3", 'と""言う""', "1"), ("4", "普通", "2")]
    content = table(rows, header=("id", "review", "stars"))
    task = load(tmp_path, "classification", "my.csv", content, text_column="review", label_column="stars")
    assert task.labels == ["1", "2"]
    found = dict(pairs(task.train + task.test))
    assert found == {"良い,とても": "2", "一行目\n二行目": "1", 'と"言う"': "1", "普通": "2"}
    lines = "".join(json.dumps({"text": text, "label": int(label)}) + "\n" for text, label in found.items())
    assert load(tmp_path, "classification", "my.jsonl", lines).labels == ["1", "2"]


def test_split_depends_on_its_seed_alone(tmp_path):
    load(tmp_path, "classification", "my.csv", table(ROWS))
    settings = {"task": "classification", "train_file": str(tmp_path / "my.csv"), **DEFAULTS}
    first, again, other = (task_source(settings, dict).load(seed) for seed in (0, 0, 1))
    assert pairs(first.test) == pairs(again.test) != pairs(other.test)
    assert pairs(first.train) == pairs(again.train)


@pytest.mark.parametrize(("share", "held_out"), [(0.01, 1), (0.2, 7), (0.5, 18), (0.999, 33)])
def test_share_that_is_held_out(tmp_path, share, held_out):
    rows = [(f"題{number}", f"類{number % 2}") for number in range(35)]
    task = load(tmp_path, "classification", "my.csv", table(rows), test_share=share)
    assert len(task.test) == held_out  # rounded up (0.2 * 35 is 7.000000000000001), but each class keeps an example
    assert {example.target for example in task.train} == {"類0", "類1"}
    lines = "".join(item(text, (0, 1, "題")) for text, _ in rows)
    assert len(load(tmp_path, "entities", "my.jsonl", lines, test_share=share).test) == {33: 34}.get(
        held_out, held_out
    )


def test_a_test_file_is_the_test_part(tmp_path):
    task = load(tmp_path, "classification", "my.csv", table(ROWS), table([("新しい本", "本")]))
    assert pairs(task.train) == ROWS and pairs(task.test) == [("新しい本", "本")]


# --- entities


SENTENCES = [
    ("田中は京都にいる", [(0, 2, "人名"), (3, 5, "地名")]),
    ("今日は雨", []),
    ("京都大阪", [(0, 2, "地名"), (2, 4, "地名")]),
]
CONLL = (
    "田中\tB-人名\nは\tO\n京\tB-地名\n都\tI-地名\nに\tO\nいる\tO\n\n\n今日 O\nは O\n雨 O\n\n"
    "京都 B-地名\r\n大 B-地名\r\n阪 I-地名"
)


@pytest.mark.parametrize(
    ("name", "content"),
    [("my.jsonl", "".join(item(text, *spans) for text, spans in SENTENCES)), ("my.conll", CONLL), ("my.txt", CONLL)],
)
def test_the_same_spans_from_every_format(tmp_path, name, content):
    task = load(tmp_path, "entities", name, content, content)
    assert (task.name, task.metric) == ("entities", "f1")
    assert task.labels == ["O", "B-人名", "I-人名", "B-地名", "I-地名"]
    assert pairs(task.train) == pairs(task.test) == SENTENCES
    split = load(tmp_path, "entities", name, content)
    assert (len(split.train), len(split.test)) == (2, 1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("my.jsonl", item("田中京都", (0, 2, " 人名"), (2, 4, "人名　"))),
        ("my.conll", "田\tB-人名\n中\tI-人名 \n京都\tB- 人名\n"),
    ],
)
def test_white_space_around_a_type_is_left_out(tmp_path, name, content):
    task = load(tmp_path, "entities", name, content, content)
    assert task.labels == ["O", "B-人名", "I-人名"]
    assert pairs(task.train) == [("田中京都", [(0, 2, "人名"), (2, 4, "人名")])]


def test_an_ideographic_space_is_a_token(tmp_path):
    task = load(tmp_path, "entities", "my.conll", "田中 B-人名\n　 O\n　\tO\n", "田中 B-人名\n")
    assert pairs(task.train) == [("田中　　", [(0, 2, "人名")])]


def test_a_type_that_falls_to_the_test_part_is_told(tmp_path, capsys):
    load(tmp_path, "entities", "my.jsonl", item("田中", (0, 2, "人名")) + item("京都", (0, 2, "地名")))
    assert "in the held-out part only" in capsys.readouterr().err


def test_white_space_at_the_ends_of_an_entity_is_left_out(tmp_path, capsys):
    lines = item("田中　は 京都 へ", (0, 3, "人名"), (4, 8, "地名")) + item("鈴木", (0, 2, "人名"))
    task = load(tmp_path, "entities", "my.jsonl", lines, lines)
    assert task.train[0].target == [(0, 2, "人名"), (5, 7, "地名")]
    assert "my.jsonl: 2 entities begin or end with white space, which is left out" in capsys.readouterr().err
    conll = "田中 B-人名\n　 I-人名\nは O\n"
    assert load(tmp_path, "entities", "my.conll", conll, conll).train[0].target == [(0, 2, "人名")]


def test_positions_that_may_be_of_utf_16_are_told(tmp_path, capsys):
    named = item("𠮷野家の田中", (0, 3, "店名"), (4, 6, "人名"))
    load(tmp_path, "entities", "my.jsonl", named, named)
    assert "JavaScript" not in capsys.readouterr().err
    bare = json.loads(named)
    for entity in bare["entities"]:
        del entity["name"]
    load(tmp_path, "entities", "my.jsonl", json.dumps(bare), item("田中", (0, 2, "人名")))
    assert 'my.jsonl: 2 entities without a "name" stand behind a character' in capsys.readouterr().err


@pytest.mark.parametrize("written", ["ラヘ\u3099ル", " ラベル ", "ﾗﾍﾞﾙ"], ids=ascii)
def test_a_column_is_found_however_its_name_is_composed(tmp_path, written):
    content = table(ROWS, ("text", written))
    assert load(tmp_path, "classification", "my.csv", content + content, label_column="ラベル").labels == [
        "映画",
        "本",
    ]
    lines = "".join(json.dumps({"text": text, written: label}) + "\n" for text, label in ROWS)
    assert load(tmp_path, "classification", "my.jsonl", lines, label_column="ラベル").labels == ["映画", "本"]
    two = table([("一", "本", "映画")], ("text", written, "ラヘ\u3099ル "))
    with pytest.raises(UserError, match="has no column 'ラベル'"):
        load(tmp_path, "classification", "my.csv", two, label_column="ラベル")


# --- mistakes, each in one sentence that names the file


GOOD = table(ROWS)
CLASS_MISTAKES = [
    ("my.csv", "", {}, "is empty"),
    ("my.csv", "\n \n", {}, "is empty"),
    ("my.csv", "text,label\n", {}, "a header and no rows"),
    ("my.csv", table(ROWS, ("本文", "分類")), {}, "has no column 'text'; it has '本文', '分類'. --text_column"),
    ("my.csv", GOOD, {"label_column": "stars"}, "has no column 'stars'; it has 'text', 'label'"),
    ("my.csv", table([("a", "b", "c")], ("text", "label", "text")), {}, "2 columns named 'text'"),
    ("my.csv", table(ROWS[:10]), {}, "one class only ('本')"),
    ("my.csv", table([*ROWS, ("珍しい", "他")]), {}, "one example only of '他'"),
    ("my.csv", GOOD + "良い,とても,本\n", {}, "line 22 has 3 fields, the header has 2"),
    ("my.csv", GOOD + '"閉じない,本\n', {}, "line 22 is malformed: unexpected end of data"),
    ("my.csv", GOOD + '"良い"とても,本\n', {}, "line 22 is malformed"),
    ("my.csv", GOOD + '" 　",本\n', {}, "line 22: the text is empty"),
    ("my.csv", GOOD + "良い, \n", {}, "line 22: the label is empty"),
    ("my.csv", GOOD + "良い\0,本\n", {}, "line 22 holds a NUL byte"),
    ("my.csv", GOOD.encode() + "良い,本\n".encode("cp932"), {}, "line 22 is not UTF-8 (byte 1 of it is 0x97)"),
    ("my.csv", GOOD.encode("utf-16"), {}, "line 1 is not UTF-8"),
    ("my.xlsx", b"PK", {}, "must end in .csv, .tsv, .txt, .jsonl"),
    ("my.csv", GOOD, {"test_share": 0.0}, "--test_share must be more than 0 and less than 1"),
    ("my.csv", GOOD, {"test_share": 1.0}, "--test_share must be more than 0 and less than 1"),
    ("my.jsonl", '{"text": "良い", "label": "本"}\n{"text": \n', {}, "line 2 is not valid JSON"),
    ("my.jsonl", "[1]\n", {}, "line 1 must be a JSON object, not a list"),
    (
        "my.jsonl",
        '[{"text": "良い"},\n{"text": "悪い"}]\n',
        {},
        "column 17 (char 16). JSON Lines has one object per line",
    ),
    ("my.jsonl", '{"text": "良い", "label": "本", "text": "悪い"}\n', {}, "line 1 has 'text' twice in one object"),
    ("my.jsonl", '{"body": "良い", "label": "本"}\n', {}, "line 1 has no 'text'; it has 'body', 'label'"),
    ("my.jsonl", '{"text": 3, "label": "本"}\n', {}, "line 1: 'text' must be a text, not a int"),
    (
        "my.jsonl",
        '{"text": "良い", "label": null}\n',
        {},
        "line 1: 'label' must be a name or a whole number, not null",
    ),
    (
        "my.jsonl",
        '{"text": "良い", "label": 1.0}\n',
        {},
        "line 1: 'label' must be a name or a whole number, not a float",
    ),
    (
        "my.jsonl",
        '{"text": "良い", "label": true}\n',
        {},
        "line 1: 'label' must be a name or a whole number, not a bool",
    ),
    ("my.jsonl", '{"text": "良\\u0000い", "label": "本"}\n', {}, "line 1: the text holds a NUL character"),
    ("my.jsonl", '{"text": "良い", "label": "\\ud83d"}\n', {}, "line 1: the label holds half of a surrogate pair"),
    ("my.jsonl", f'{{"text": "良い", "label": {"1" * 5000}}}\n', {}, "line 1 holds a number of too many digits"),
]
ENTITY_MISTAKES = [
    ("my.jsonl", item("今日は雨"), "has no entity in it"),
    ("my.jsonl", item("田中", (0, 2, "人名")), "holds one sentence"),
    ("my.jsonl", item("田 中", (1, 2, "人名")), "line 1: the entity [1, 2] holds white space alone"),
    ("my.conll", "田中 O\n　 B-人名\n", "sentence before line 3: the entity [2, 3] holds white space alone"),
    ("my.jsonl", item("田中", (0, 2, "人名")).replace("}]", ', "type": "地名"}]'), "line 1 has 'type' twice in one"),
    ("my.jsonl", item("雨") + item("田中", (0, 3, "人名")), "line 2 is malformed: the span [0, 3] is outside its 2"),
    (
        "my.jsonl",
        item("雨") + item("田中京都", (0, 3, "人名"), (2, 4, "地名")),
        "my.jsonl, line 2 is malformed: the entities [0, 3] and [2, 4] overlap",
    ),
    ("my.jsonl", item("田中京都", (0, 2, "人名")).replace("[0, 2]", "[1, 3]"), '[1, 3] holds "中京", not "田中"'),
    ("my.jsonl", item("田中", (0, 2, "人名")).replace("[0, 2]", "[2, 0]"), "the span [2, 0] is outside"),
    ("my.jsonl", item("田中", (0, 2, "人名")).replace("[0, 2]", '"0-2"'), 'must have "span": [start, end]'),
    ("my.jsonl", item("田", (0, 1, "人名")).replace("[0, 1]", "[false, true]"), 'must have "span": [start, end] in'),
    ("my.jsonl", item("田中", (0, 2, " \u3000")), '"span": [start, end] in characters and a "type" in words'),
    ("my.jsonl", item("雨") + f'{{"text": {"9" * 5000}}}\n', "line 2 holds a number of too many digits"),
    ("my.jsonl", '{"text": "田中"}\n', '"entities" must be a list'),
    ("my.jsonl", '{"text": "田中", "entities": [\n', "line 1 is not valid JSON"),
    ("my.jsonl", item("  "), "line 1: the text is empty"),
    ("my.jsonl", item("田中", (0, 2, "\0")), "line 1: the type of an entity"),
    ("my.conll", "", "is empty"),
    ("my.conll", "-DOCSTART- O\n\nEOS\n", "my.conll holds no sentence."),
    ("my.jsonl", item("-DOCSTART-"), "my.jsonl holds no sentence."),
    ("my.conll", "田中 B-人名\n京都 地名\n", "line 2: the tag must be O, B-TYPE or I-TYPE (IOB2), not '地名'"),
    ("my.conll", "田中 B-\n", "line 1: the tag must be O"),
    ("my.conll", "田中 E-人名\n", "line 1: the tag must be O"),
    ("my.conll", "田中\n", "line 1 must be a token, a space or tab, and a tag; it is '田中'"),
    ("my.conll", "田中 名詞 B-人名\n", "line 1 must be a token"),
    ("my.conll", " O\n", "line 1 must be a token"),
    ("my.conll", "田中 B-人名\n京都 I-地名\n", "line 2: I-地名 continues no 地名"),
    ("my.conll", "田中 B-人名\n\n太郎 I-人名\n", "line 3: I-人名 continues no 人名"),
    ("my.conll", "田中 B-人名\n太\0郎 O\n", "line 2 holds a NUL byte"),
    ("my.conll", "田中 B-人名\n".encode() + "太郎 O\n".encode("cp932"), "line 2 is not UTF-8"),
    ("my.json", "[]", "must end in .jsonl, .conll, .txt"),
]


@pytest.mark.parametrize(("name", "content", "changed", "words"), CLASS_MISTAKES)
def test_mistakes_in_classes(tmp_path, name, content, changed, words):
    with pytest.raises(UserError) as caught:
        load(tmp_path, "classification", name, content, **changed)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert "--test_share" in words or str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize(("name", "content", "words"), ENTITY_MISTAKES)
def test_mistakes_in_entities(tmp_path, name, content, words):
    with pytest.raises(UserError) as caught:
        load(tmp_path, "entities", name, content)
    assert words in str(caught.value) and str(tmp_path / name) in str(caught.value)


def test_labels_that_training_never_saw(tmp_path):
    with pytest.raises(UserError, match=r"test-my\.csv has a label that .*/my\.csv never shows: '音楽' \(2 times\)"):
        load(tmp_path, "classification", "my.csv", GOOD, table([("歌", "音楽"), ("曲", "音楽"), ("小説", "本")]))
    with pytest.raises(
        UserError, match=r"test-my\.jsonl has a type of entity that .* never shows: '組織名' \(1 times"
    ):
        load(tmp_path, "entities", "my.jsonl", item("田中", (0, 2, "人名")), item("日銀", (0, 2, "組織名")))


def test_files_that_do_not_go_with_the_task(tmp_path):
    with pytest.raises(UserError, match="--task classification is for your own data: --train_file names"):
        task_source({"task": "classification", "train_file": None, **DEFAULTS}, dict)
    with pytest.raises(UserError, match="--task livedoor has data of its own"):
        task_source({"task": "livedoor", "train_file": "my.csv", **DEFAULTS}, dict)
    with pytest.raises(UserError, match=r"none\.csv does not exist"):
        task_source({"task": "classification", "train_file": str(tmp_path / "none.csv"), **DEFAULTS}, dict)
    with pytest.raises(UserError, match=r"none\.csv does not exist"):
        load(tmp_path, "classification", "my.csv", GOOD, test_file=str(tmp_path / "none.csv"))


def test_records_of_public_tasks_stay_as_they_were():
    settings = {"train_file": None, **DEFAULTS, "seed": 1}
    assert own_data_settings_left_out({"task": "ner", **settings}) == {"task": "ner", "seed": 1}
    assert own_data_settings_left_out({"task": "entities", **settings}) == {"task": "entities", **settings}


def test_records_of_files_in_utf_8_stay_as_they_were():
    settings = {"task": "classification", "train_file": "my.csv", **DEFAULTS}
    for name in ("utf-8", "UTF8", "utf_8_sig"):
        assert own_data_settings_left_out({**settings, "encoding": name}) == settings
    assert own_data_settings_left_out({**settings, "encoding": "CP932"}) == {**settings, "encoding": "cp932"}
    for name in ("none", "base64", ""):
        with pytest.raises(UserError, match=f"--encoding knows no '{name}'; it takes utf-8, cp932"):
            own_data_settings_left_out({**settings, "encoding": name})


def test_both_files_are_read_by_their_encoding(tmp_path):
    test = table([("新しい本", "本"), ("新しい映画", "映画")])
    task = load(tmp_path, "classification", "my.csv", GOOD.encode("cp932"), test.encode("cp932"), encoding="cp932")
    assert pairs(task.train) == ROWS and len(task.test) == 2
    content = CONLL.encode("euc_jp")
    task = load(tmp_path, "entities", "my.conll", content, CONLL, encoding="EUC-JP")
    assert pairs(task.train) == pairs(task.test) == SENTENCES
