"""`BertJapaneseTokenizerFast` in transformers' own pipeline, and in the calls that its example scripts make."""

import json
import pickle

import numpy as np
import pytest
import torch
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForTokenClassification,
    BertTokenizer,
    DataCollatorForTokenClassification,
    pipeline,
)

from helpers.running.processes import run_code
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.tokenization import BertJapaneseTokenizerFast
from mobilebert_ja.tokenization.folders import save_tokenizer

ENTRIES = "田中 太郎 京都 市 ガリレオ 株式 会社 は に 住む 。 か が New York の ##レオ ガリ ##ork Y 誰 ##ew N 東 雨"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *ENTRIES.split()]
LABELS = ["O", "B-人名", "I-人名", "B-地名", "I-地名"]
TEXTS = {
    "plain": "田中太郎は京都市に住む。",
    "half-width": "ｶﾞﾘﾚｵは㍿に住む。",
    "decomposed": "か\u3099は京都市",
    "unknown": "鬱鬱は京都市の𠮷に",
    "spaces": "  田中　太郎 は\tNew York\r\nに",
    "a special token": "田中は[MASK]に[SEP]住む",
    "empty": "",
    "white space alone": "　 ",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(VOCABULARY, folder)
    return folder


@pytest.fixture(scope="module")
def both(folder):
    return BertJapaneseTokenizerFast.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_same_ids_and_where_they_stand(both, text):
    fast, plain = both
    found, wanted = fast(text, return_offsets_mapping=True, return_special_tokens_mask=True), plain(text)
    for name in wanted:
        assert found[name] == wanted[name]
    assert found.tokens() == plain.convert_ids_to_tokens(wanted["input_ids"])
    inner = range(1, len(found["input_ids"]) - 1)
    assert found["special_tokens_mask"] == [1, *[0] * len(inner), 1]
    assert found.word_ids()[0] is found.word_ids()[-1] is None and found.sequence_ids()[1:-1] == [0] * len(inner)
    for index in inner:
        start, end = found["offset_mapping"][index]
        assert text[start:end].strip() == text[start:end] != ""
        assert found.token_to_chars(index) == (start, end)
        assert found["offset_mapping"][found.char_to_token(start)][0] <= start
        assert found.word_to_chars(found.token_to_word(index)).start <= start
        assert found.char_to_word(start) is not None


def test_an_entitys_characters_as_the_reader_sees_them(both):
    text = "ｶﾞﾘﾚｵは㍿に"
    found = both[0](text, return_offsets_mapping=True)
    assert [text[start:end] for start, end in found["offset_mapping"][1:-1]] == ["ｶﾞﾘﾚｵ", "は", "㍿", "㍿", "に"]
    assert found.char_to_token(1) == found.char_to_token(4) == 1  # the mark and the last kana of one token


class Tagger(BertForTokenClassification):
    """Knows the tag of each entry of the vocabulary, as a well-trained model would."""

    tags: dict[int, int]

    def forward(self, input_ids, **_kwargs):
        scores = torch.zeros(*input_ids.shape, len(LABELS))
        for place in np.ndindex(*input_ids.shape):
            scores[(*place, self.tags.get(int(input_ids[place]), 0))] = 9.0
        return {"logits": scores}


@pytest.fixture(scope="module")
def tagger():
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    model = Tagger(config).eval()
    words = ["田中 ガリレオ ガリ が [UNK]", "太郎 ##レオ", "京都 株式 New", "市 会社 York Y ##ork"]
    model.tags = {VOCABULARY.index(word): tag for tag, each in enumerate(words, 1) for word in each.split()}
    return model


def the_pipeline(model, tokenizer, strategy, **more):
    """transformers' own."""
    given = {"model": model, "tokenizer": tokenizer, "aggregation_strategy": strategy, "device": "cpu"}
    return pipeline("token-classification", **given, **more)


@pytest.mark.parametrize(
    ("text", "entities"),
    [
        (TEXTS["plain"], [("人名", "田中太郎", "田中太郎"), ("地名", "京都市", "京都市")]),
        (TEXTS["half-width"], [("人名", "ｶﾞﾘﾚｵ", "ガリレオ"), ("地名", "㍿", "株式会社")]),
        (TEXTS["decomposed"], [("人名", "か\u3099", "が"), ("地名", "京都市", "京都市")]),
        ("  は New York に", [("地名", "New York", "New York")]),
        ("鬱は京都市", [("人名", "鬱", "鬱"), ("地名", "京都市", "京都市")]),
        ("は", []),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_entities_of_the_pipeline(both, tagger, text, entities):
    found = the_pipeline(tagger, both[0], "simple")(text)
    assert [(each["entity_group"], text[each["start"] : each["end"]], each["word"]) for each in found] == entities


@pytest.mark.parametrize("strategy", ["none", "first", "average", "max"])
def test_every_strategy_of_the_pipeline(both, tagger, strategy):
    found = [(each["start"], each["end"]) for each in the_pipeline(tagger, both[0], strategy)(TEXTS["plain"])]
    assert found == ([(0, 2), (2, 4), (5, 7), (7, 8)] if strategy == "none" else [(0, 4), (5, 8)])


def test_a_long_text_in_the_pipelines_windows(folder, tagger):
    tokenizer = BertJapaneseTokenizerFast.from_pretrained(folder, model_max_length=12)
    text = TEXTS["plain"] * 4
    found = [text[each["start"] : each["end"]] for each in the_pipeline(tagger, tokenizer, "simple", stride=5)(text)]
    assert found == ["田中太郎", "京都市"] * 4


def test_words_as_run_ner_gives_them(both):
    """examples/pytorch/token-classification: words with a label each, of which the first token has it."""
    fast, plain = both
    sentences = [["田中", "ｶﾞﾘﾚｵ京都市", "は"], ["", "㍿", "鬱"], ["住む"]]
    found = fast(sentences, padding="max_length", truncation=True, max_length=8, is_split_into_words=True)
    for index, words in enumerate(sentences):
        ids = found.word_ids(batch_index=index)
        alone = [plain(word, add_special_tokens=False)["input_ids"] for word in words]
        wanted = [None, *(number for number, tokens in enumerate(alone) for _ in tokens)][:7] + [None]
        assert ids == wanted + [None] * (8 - len(wanted))
        assert found["input_ids"][index] == plain(
            words, padding="max_length", truncation=True, max_length=8, is_split_into_words=True
        )["input_ids"]  # fmt: skip
    labels = [[-100 if word is None else word for word in found.word_ids(index)] for index in range(3)]
    features = [
        {name: found[name][index] for name in ("input_ids", "attention_mask")} | {"labels": labels[index]}
        for index in range(3)
    ]
    batch = DataCollatorForTokenClassification(fast)(features)
    assert batch["input_ids"].shape == batch["labels"].shape == (3, 8)


def test_two_words_in_a_tuple_are_one_text(both):
    fast, plain = both
    wanted = plain(["京都", "市"], is_split_into_words=True)
    assert fast(("京都", "市"), is_split_into_words=True) == fast(["京都", "市"], is_split_into_words=True) == wanted
    assert fast([("京都", "市"), ("雨",)], is_split_into_words=True)["input_ids"][0] == wanted["input_ids"]
    pair = fast(["京都", "市"], ("雨", "か"), is_split_into_words=True)
    assert pair.sequence_ids() == [None, 0, 0, None, 1, 1, None] and pair["token_type_ids"] == [0] * 4 + [1] * 3
    assert fast([(["京都", "市"], ("雨", "か"))], is_split_into_words=True)["input_ids"] == [pair["input_ids"]]


def test_windows_as_run_qa_asks_for_them(both):
    """examples/pytorch/question-answering: the context in windows, and the answer's characters in them."""
    fast = both[0]
    questions, contexts = ["誰が京都に住む", "雨か"], ["東は雨。" * 6 + "ｶﾞﾘﾚｵは京都市に住む。", "雨"]
    found = fast(
        questions,
        contexts,
        truncation="only_second",
        max_length=20,
        stride=6,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding="max_length",
    )
    samples = found["overflow_to_sample_mapping"]
    assert samples.count(0) > 2 and samples[-1] == 1 and {len(ids) for ids in found["input_ids"]} == {20}
    answer = (contexts[0].index("ｶﾞ"), contexts[0].index("は京都"))
    whole, covered = 0, set()
    for index, offsets in enumerate(found["offset_mapping"]):
        sequence = found.sequence_ids(index)
        context = [place for place, which in enumerate(sequence) if which == 1]
        assert all(contexts[samples[index]][slice(*offsets[place])].strip() for place in context)
        inside = [place for place in context if answer[0] <= offsets[place][0] and offsets[place][1] <= answer[1]]
        if samples[index] == 0 and inside:
            ends = offsets[inside[0]][0], offsets[inside[-1]][1]
            whole += ends == answer
            assert found.char_to_token(index, ends[0], 1) == inside[0]
        if samples[index] == 0:
            covered |= {at for place in context for at in range(*offsets[place])}
    assert whole >= 1 and covered == set(range(len(contexts[0])))


def test_batches_and_pairs_are_those_of_the_base_class(both):
    fast, plain = both
    texts, seconds = list(TEXTS.values()), list(reversed(TEXTS.values()))
    cut = {"padding": True, "truncation": True, "max_length": 6, "return_tensors": "pt"}
    for given, more in [((texts,), {}), ((texts,), cut), ((texts, seconds), {"padding": True})]:
        found, wanted = fast(*given, **more), plain(*given, **more)
        assert all(_same(found[name], wanted[name]) for name in wanted)
    found = fast("田中は", "京都市", return_offsets_mapping=True)
    assert found.sequence_ids() == [None, 0, 0, None, 1, 1, None] and found["offset_mapping"][4:6] == [(0, 2), (2, 3)]


def _same(mine, theirs):
    return torch.equal(mine, theirs) if isinstance(theirs, torch.Tensor) else mine == theirs


def test_windows_are_those_of_a_fast_tokenizer(folder):
    """On words with spaces between them transformers' own BERT tokenizer does the same."""
    theirs = BertTokenizer(str(folder / "vocab.txt"), do_lower_case=False)
    mine = BertJapaneseTokenizerFast.from_pretrained(folder)
    first, second = "New York New", "York New York New York New York"
    assert mine.tokenize(second) == theirs.tokenize(second)
    for side in ("only_second", "longest_first"):
        given = {"truncation": side, "max_length": 9, "stride": 2, "return_overflowing_tokens": True}
        given |= {"return_offsets_mapping": True, "padding": "max_length"}
        a, b = (each(first, second, **given) for each in (mine, theirs))
        for name in ("input_ids", "offset_mapping", "attention_mask"):
            assert a[name] == b[name]
        for index in range(len(a["input_ids"])):
            assert a.sequence_ids(index) == b.sequence_ids(index) and a.word_ids(index) == b.word_ids(index)


def test_what_is_saved_is_an_ordinary_tokenizer(both, tmp_path):
    both[0].save_pretrained(tmp_path)
    stored = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert stored["tokenizer_class"] == "BertJapaneseTokenizer"
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert type(again).__name__ == "BertJapaneseTokenizer" and again.get_vocab() == both[0].get_vocab()
    copy = pickle.loads(pickle.dumps(both[0]))  # what datasets.map(num_proc=...) does
    assert copy(TEXTS["plain"], return_offsets_mapping=True) == both[0](TEXTS["plain"], return_offsets_mapping=True)


def test_added_tokens_are_heeded(folder):
    fast, plain = (each.from_pretrained(folder) for each in (BertJapaneseTokenizerFast, AutoTokenizer))
    for each in (fast, plain):
        each("田中")
        each.add_tokens(["<名>"])
    text = "田中<名>は"
    assert fast(text)["input_ids"] == plain(text)["input_ids"]
    assert fast(text, return_offsets_mapping=True)["offset_mapping"][2] == (2, 5)


def test_a_tokenizer_without_mecab_is_refused(folder):
    tokenizer = BertJapaneseTokenizerFast(str(folder / "vocab.txt"), word_tokenizer_type="basic")
    with pytest.raises(UserError, match="has basic, wordpiece; of the BertJapaneseTokenizers those with mecab"):
        tokenizer("田中")


@pytest.mark.slow
def test_the_room_itself_imports_no_transformers():
    code = "import sys, mobilebert_ja.tokenization.encoder; assert 'transformers' not in sys.modules"
    done = run_code(code)
    assert done.returncode == 0, done.stderr
