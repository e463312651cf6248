"""Reading and splitting both tasks, spans to tags and back, batches, and the predictor."""

import json
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.files.task_data import SUBJECTS, write_livedoor, write_ner, write_tokenizer
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.finetuning.modelling.forms import Reader, training_rows
from mobilebert_ja.finetuning.modelling.rows import IGNORED, Row, batch_function, collate, epoch_plan, make_row
from mobilebert_ja.finetuning.predictor import Predictor
from mobilebert_ja.inference.decoding import bio_labels, spans_of_tags
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.tasks import load_task, task_source
from mobilebert_ja.tasks.base import share_rounded_up
from mobilebert_ja.tasks.public.livedoor import stratified_test_sizes, without_markers
from mobilebert_ja.tasks.public.ner import bio_tags
from mobilebert_ja.tokenization.encoder import FastEncoder

COUNTS = {"sports-watch": 33, "movie-enter": 24, "smax": 20}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_livedoor(folder, COUNTS)
    write_ner(folder, 53)
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return FastEncoder(write_tokenizer(tmp_path_factory.mktemp("tokenizer")))


def keys(examples):
    return [(example.text, str(example.target)) for example in examples]


# --- splits


def test_a_share_of_the_training_part_lies_within_a_larger_one(data):
    whole = load_task("ner", data, 3)
    half, third = (whole.with_train_share(share, 3) for share in (0.5, 1 / 3))
    place_of = {id(each): place for place, each in enumerate(whole.train)}  # texts may occur twice
    places = [[place_of[id(each)] for each in task.train] for task in (third, half)]
    assert len(third.train) < len(half.train) == -(-len(whole.train) // 2)
    assert set(places[0]) < set(places[1]) and all(each == sorted(each) for each in places)
    assert half.test == whole.test and half.labels == whole.labels
    assert whole.with_train_share(1.0, 3) == whole
    titles = load_task("livedoor", data, 3)
    with pytest.raises(UserError, match=r"--train_share 0.001 leaves 1 of 61 training examples, all of one class"):
        titles.with_train_share(0.001, 3)
    for share in (0.0, 1.5, -1.0):
        with pytest.raises(UserError, match="--train_share must be more than 0 and at most 1"):
            whole.with_train_share(share, 3)


def test_sources_give_the_share_that_settings_ask_for(data):
    settings = {"task": "livedoor", "train_share": 0.25}
    task = task_source(settings, lambda: data).load(0)
    assert len(task.train) == -(-len(task_source({"task": "livedoor"}, lambda: data).load(0).train) // 4)


def test_sizes_of_the_real_data():
    assert share_rounded_up(7367, 20) == 1474
    assert share_rounded_up(5343, 40) == 2138
    assert share_rounded_up(35, 20) == 7
    real = {"dokujo-tsushin": 870, "it-life-hack": 870, "kaden-channel": 864, "livedoor-homme": 511}
    real |= {"movie-enter": 870, "peachy": 842, "smax": 870, "sports-watch": 900, "topic-news": 770}
    sizes = stratified_test_sizes(real, 1474)
    assert sum(sizes.values()) == 1474
    assert all(abs(sizes[name] - 1474 * count / 7367) < 1 for name, count in real.items())


def test_livedoor_split(data):
    task = load_task("livedoor", data, 0)
    assert task.labels == sorted(COUNTS) and task.metric == "accuracy"
    assert (len(task.train), len(task.test)) == (61, 16)
    # 16 of 77: shares 6.86, 4.99 and 4.16; the two largest remainders are rounded up.
    assert Counter(example.target for example in task.test) == {"sports-watch": 7, "movie-enter": 5, "smax": 4}
    everything = Counter(keys(task.train + task.test))
    assert everything.total() == 77 and max(everything.values()) == 1  # titles are distinct here: parts are disjoint
    assert all("本文" not in text and "http" not in text for text, _ in everything)


@pytest.mark.parametrize("name", ["livedoor", "ner"])
def test_split_depends_on_its_seed_alone(data, name):
    first, again, other = load_task(name, data, 3), load_task(name, data, 3), load_task(name, data, 4)
    assert keys(first.train) == keys(again.train) and keys(first.test) == keys(again.test)
    assert keys(first.test) != keys(other.test)
    assert sorted(keys(first.train + first.test)) == sorted(keys(other.train + other.test))


def test_ner_split(data):
    task = load_task("ner", data, 0)
    assert (len(task.train), len(task.test), task.metric) == (31, 22, "f1")
    assert task.labels == ["O", "B-人名", "I-人名", "B-地名", "I-地名"]
    for example in task.train + task.test:
        assert all(example.text[start:end] for start, end, _ in example.target)


def test_score_of_right_and_wrong_answers(data):
    task = load_task("livedoor", data, 0)
    right = [example.target for example in task.test]
    assert task.score(right)["accuracy"] == task.score(right)["macro_f1"] == 1.0
    assert task.score(["smax"] * 16)["accuracy"] == 4 / 16
    ner = load_task("ner", data, 0)
    assert ner.score([example.target for example in ner.test])["f1"] == 1.0
    assert ner.score([[] for _ in ner.test])["f1"] == 0.0


def test_variant_without_markers(data):
    assert without_markers("【Sports Watch】独女のゴルフ【速報】") == "のゴルフ"
    assert without_markers("ただの題") == "ただの題"
    assert without_markers("【恋愛】勝ち組になる！週間ランキング（0326-0401）") == "勝ち組になる！ （0326-0401）"
    assert without_markers("今週の人気ランキング") == "今週の人気ランキング"  # that one says nothing
    assert without_markers("女の絆　Presented by ゆるっとCafe") == without_markers("女の絆 ゆるっとcafe") == "女の絆"
    assert without_markers("「医学」〜Presented byゆるっとcafe〜") == "「医学」〜 〜"
    assert without_markers("Presented by 編集部") == "Presented by 編集部"
    for only_markers in ("【今週のオススメ】", "【週間】 独女", "週間ランキング"):  # never empty
        assert without_markers(only_markers) == only_markers
    task = load_task("livedoor", data, 0)
    variant = task.variants["without_markers"]
    assert [example.target for example in variant] == [example.target for example in task.test]
    assert not any("【" in example.text for example in variant)
    assert any("【" in example.text for example in task.test)


# --- files that are not what they should be


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"text/smax/smax-0.txt": b"http://x\n2012\n"}, "smax-0.txt has no title"),
        ({"text/smax/smax-0.txt": "題".encode("shift_jis") * 9}, "smax-0.txt is not UTF-8"),
        ({"text/extra/extra-0.txt": "a\nb\n題\n".encode()}, r"extra \(1\)"),
    ],
)
def test_malformed_livedoor(tmp_path, changed, words):
    write_livedoor(tmp_path, {"smax": 5, "movie-enter": 5}, changed)
    with pytest.raises(UserError, match=words) as caught:
        load_task("livedoor", tmp_path, 0)
    assert "ldcc-20140209.tar.gz" in str(caught.value)


def test_damaged_and_missing_livedoor(tmp_path):
    with pytest.raises(UserError, match=r"ldcc-20140209\.tar\.gz does not exist"):
        load_task("livedoor", tmp_path, 0)
    path = write_livedoor(tmp_path, COUNTS)
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(UserError, match="not a complete tar archive"):
        load_task("livedoor", tmp_path, 0)
    path.write_bytes(b"no archive at all")
    with pytest.raises(UserError, match="not a complete tar archive"):
        load_task("livedoor", tmp_path, 0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not valid JSON"),
        ("{}", "must hold a list of sentences"),
        ("[]", "at least two sentences"),
        ([{"text": "田中", "entities": []}, {"entities": []}], "sentence 1 .* must be"),
        ([{"text": "田中", "entities": [{"span": [0, 2]}]}], "sentence 0 .* must have"),
        ([{"text": "田中", "entities": [{"span": [0, 3], "type": "人名"}]}], "outside its 2 characters"),
        ([{"text": "田", "entities": [{"span": [False, True], "type": "人名"}]}], r"must have .span.: \[start, end\]"),
        (f"[{'1' * 5000}]", "a number of too many digits"),
        ("[" * 100_000, "not valid JSON"),
        ([{"text": "田中", "entities": [{"span": [0, 1], "type": "人名", "name": "中"}]}], 'not "中"'),
        (
            [{"text": "田中", "entities": [{"span": [0, 2], "type": "人名"}, {"span": [1, 2], "type": "人名"}]}],
            r"sentence 0 .* the entities \[0, 2\] and \[1, 2\] overlap",
        ),
    ],
)
def test_malformed_ner(tmp_path, content, words):
    path = write_ner(tmp_path, 1)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match=words) as caught:
        load_task("ner", tmp_path, 0)
    assert "ner.json" in str(caught.value)


# --- spans and tags


def test_tags_of_tokens_that_straddle_a_border():
    spans = [(2, 4, "人名")]
    assert bio_tags([(0, 2), (2, 3), (3, 4), (4, 6)], spans) == ["O", "B-人名", "I-人名", "O"]
    assert bio_tags([(0, 3), (3, 5)], spans) == ["O", "B-人名"]  # a third is not enough, a half is
    assert bio_tags([(1, 3), (3, 4)], spans) == ["B-人名", "I-人名"]
    assert bio_tags([(0, 9)], spans) == ["O"]
    assert bio_tags([(0, 2), (2, 4)], [(0, 2, "人名"), (2, 4, "人名")]) == ["B-人名", "B-人名"]
    assert bio_tags([(1, 3)], [(0, 2, "人名"), (2, 4, "地名")]) == ["B-人名"]


def test_decoding_as_conlleval():
    offsets = [(place, place + 1) for place in range(6)]
    assert spans_of_tags(offsets, ["O", "I-a", "I-a", "I-b", "B-b", "O"]) == [(1, 3, "a"), (3, 4, "b"), (4, 5, "b")]
    assert spans_of_tags(offsets, ["B-a", "O", "I-a", "B-a", "I-a", "I-a"]) == [(0, 1, "a"), (2, 3, "a"), (3, 6, "a")]
    assert spans_of_tags([(0, 2), (4, 6)], ["B-a", "I-a"]) == [(0, 6, "a")]  # a space within
    assert spans_of_tags([(3, 3)], ["B-a"]) == []
    of_one_character = [(0, 1), (0, 1), (0, 1), (1, 2)]  # ㈱社
    assert spans_of_tags(of_one_character, ["B-a", "B-b", "I-b", "I-a"]) == [(0, 2, "a")]
    assert spans_of_tags(of_one_character, ["B-a", "O", "I-a", "I-b"]) == [(0, 1, "a"), (1, 2, "b")]
    assert spans_of_tags(of_one_character, ["O", "B-a", "B-a", "B-a"]) == [(0, 1, "a"), (1, 2, "a")]
    assert spans_of_tags([(0, 2), (1, 3)], ["B-a", "B-b"]) == [(0, 2, "a")]
    assert bio_labels(["a", "b"]) == ["O", "B-a", "I-a", "B-b", "I-b"]


# ㍿ is one character that NFKC makes four, ｶﾞ two that it makes one; 　 it makes a space, which MeCab drops.
NAMES = ["田中太郎", "㍿日本", "ｶﾞﾘﾚｵ", "ＡＢＣ社", "東京都", "①番館", "か゛き", "Ⅷ世"]
FILLERS = ["は", "　", "と", "、", "㌔の", "ﾊﾟﾝを食べた。", " ", "が…", "ＸＹＺを"]


@given(st.lists(st.tuples(st.sampled_from(FILLERS), st.sampled_from(NAMES)), min_size=1, max_size=6))
def test_spans_survive_the_way_through_tags(encoder, parts):
    text, spans = "", []
    for filler, name in parts:
        text += filler
        spans.append((len(text), len(text) + len(name), "人名"))
        text += name
    text += "。"
    offsets = encoder.encode(text).offsets
    borders = {border for offset in offsets for border in offset}
    back = spans_of_tags(offsets, bio_tags(offsets, spans))
    # Where tokens begin and end at a span's borders, it comes back exactly; MeCab may join a name and its neighbour.
    whole = [
        span
        for span in spans
        if {span[0], span[1]} <= borders and not any(s < b < e for s, e in offsets for b in span[:2])
    ]
    assert set(whole) <= set(back)


def test_most_generated_spans_survive_exactly(encoder, data):
    task = load_task("ner", data, 0)
    lost = 0
    for example in task.train + task.test:
        offsets = encoder.encode(example.text).offsets
        lost += spans_of_tags(offsets, bio_tags(offsets, example.target)) != example.target
    assert lost == 0


# --- batches


def test_rows_are_framed_truncated_and_labelled(encoder, data):
    task = load_task("ner", data, 0)
    row, example = training_rows(task, Reader(encoder, 128))[0], task.train[0]
    assert row.ids[0] == encoder.vocab["[CLS]"] and row.ids[-1] == encoder.vocab["[SEP]"]
    assert len(row.labels) == len(row.ids) == len(row.offsets) + 2
    assert row.labels[0] == row.labels[-1] == IGNORED
    tags = [task.labels[number] for number in row.labels[1:-1]]
    assert spans_of_tags(row.offsets, tags) == example.target
    short = make_row(example.text, encoder, 5)
    assert len(short.ids) == 5 and short.truncated and short.ids[1:4] == row.ids[1:4] and not row.truncated
    assert make_row("", encoder, 5).ids == [encoder.vocab["[CLS]"], encoder.vocab["[SEP]"]]


def test_collate_pads_to_the_longest_only():
    rows = [Row([2, 7, 3], [(0, 1)], [IGNORED, 4, IGNORED]), Row([2, 7, 8, 3], [], [IGNORED, 1, 2, IGNORED])]
    batch = collate(rows, 0)
    assert batch["input_ids"].tolist() == [[2, 7, 3, 0], [2, 7, 8, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert batch["labels"].tolist() == [[IGNORED, 4, IGNORED, IGNORED], [IGNORED, 1, 2, IGNORED]]
    assert not batch["token_type_ids"].any() and batch["token_type_ids"].shape == (2, 4)
    assert collate([Row([2, 3], [], 5)], 0)["labels"].tolist() == [5]
    assert "labels" not in collate([Row([2, 3], [])], 0)


@given(
    lengths=st.lists(st.integers(2, 60), min_size=1, max_size=300),
    batch_size=st.integers(1, 9),
    seed=st.integers(0, 9),
    epoch=st.integers(0, 3),
)
def test_an_epoch_holds_every_row_once(lengths, batch_size, seed, epoch):
    plan = epoch_plan(lengths, batch_size, seed, epoch)
    assert sorted(member for batch in plan for member in batch) == list(range(len(lengths)))
    assert len(plan) == -(-len(lengths) // batch_size)
    assert all(len(batch) <= batch_size for batch in plan)
    assert plan == epoch_plan(lengths, batch_size, seed, epoch)


def test_batches_are_a_function_of_their_number():
    rows = [Row([2, *[9] * number, 3], [], number) for number in range(37)]
    batch, again = batch_function(rows, 4, 0, 0), batch_function(rows, 4, 0, 0)
    forwards = [batch(number) for number in range(30)]
    backwards = [again(number) for number in reversed(range(30))][::-1]
    for mine, theirs in zip(forwards, backwards, strict=True):
        assert all(np.array_equal(mine[key], theirs[key]) for key in mine)
    epochs = [[label for each in forwards[start : start + 10] for label in each["labels"]] for start in (0, 10, 20)]
    assert all(sorted(epoch) == list(range(37)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    other = batch_function(rows, 4, 1, 0)
    assert any(not np.array_equal(forwards[number]["labels"], other(number)["labels"]) for number in range(10))


def test_batches_hold_rows_of_like_length():
    lengths = np.random.default_rng(0).integers(2, 100, 2000).tolist()
    plan = epoch_plan(lengths, 16, 0, 0)
    padded = sum(len(batch) * max(lengths[member] for member in batch) for batch in plan)
    assert padded < 1.05 * sum(lengths)  # at random it would be 1.85
    first = [lengths[batch[0]] for batch in plan[:50]]
    assert first != sorted(first)


# --- the predictor, with models that are plain functions


def seen(encoder, function):
    """A model that remembers what it was shown."""
    shown = []

    def model(input_ids, attention_mask, token_type_ids):
        shown.append((input_ids, attention_mask, token_type_ids))
        return function(input_ids)

    return model, shown


def test_predictor_of_classes(encoder):
    labels = sorted(SUBJECTS)

    def by_length(input_ids):  # the class says whether the input has a third token that is not padding
        return torch.nn.functional.one_hot((input_ids[:, 2] == encoder.vocab["[SEP]"]).long(), 3).float()

    model, shown = seen(encoder, by_length)
    predictor = Predictor(model, encoder, Kind.CLASSES, labels, 16)
    texts = ["監督の新作が話題になる", "が", "映画の公開", "を"]
    answers = predictor.predict(texts, 2)
    assert answers == [predictor.predict_one(text) for text in texts] == [labels[0], labels[1], labels[0], labels[1]]
    assert [tuple(ids.shape) for ids, _, _ in shown[:2]] == [(2, 3), (2, len(make_row(texts[0], encoder, 16).ids))]
    for ids, mask, _ in shown[2:]:
        assert ids.shape[0] == 1 and mask.all()  # one by one there is nothing to pad


def test_predictor_of_entities(encoder):
    """A model that tags the tokens of 京都市 finds it at its characters, whatever stands around it."""
    labels = ["O", "B-地名", "I-地名"]
    kyoto = encoder.encode("京都市").ids

    def tag(input_ids, attention_mask, token_type_ids):
        logits = torch.zeros(*input_ids.shape, 3)
        logits[..., 0] = 1
        for row, ids in enumerate(input_ids.tolist()):
            for start in range(len(ids)):
                if ids[start : start + len(kyoto)] == kyoto:
                    logits[row, start, 1] = 2
                    logits[row, start + 1 : start + len(kyoto), 2] = 2
        logits[..., 0, 1] = 9  # what it says of [CLS] and [SEP] must not matter
        logits[input_ids == encoder.vocab["[SEP]"], 2] = 9
        return logits

    predictor = Predictor(tag, encoder, Kind.ENTITIES, labels, 64)
    texts = ["㍿は　京都市に住む。", "京都市", "昨日は雨。", "㌔の　京都市、京都市"]
    wanted = [[(3, 6, "地名")], [(0, 3, "地名")], [], [(3, 6, "地名"), (7, 10, "地名")]]
    assert predictor.predict(texts, 3) == wanted
    assert [predictor.predict_one(text) for text in texts] == wanted
    for text, spans in zip(texts, wanted, strict=True):
        assert all(text[start:end] == "京都市" for start, end, _ in spans)
