"""One tokenizer in two forms: transformers' own and the fast one, identical in ids; and a deterministic training."""

import itertools
import json
import random
import shutil
import sys
import time
import types
import unicodedata
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest
import unidic_lite
from hypothesis import assume, given
from hypothesis import strategies as st

from helpers.files.any_text import ANY_TEXT, SPACE
from helpers.paths import ROOT
from helpers.running.processes import run_code
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.text import normalization
from mobilebert_ja.data.sample_text import HAND_WRITTEN, encyclopedia, essays
from mobilebert_ja.tokenization import encoder as parts
from mobilebert_ja.tokenization import mecab
from mobilebert_ja.tokenization import vocabulary as vocabulary_parts

AWKWARD = [
    "",
    " ",
    "ＡＢＣ１２３",
    "ｶﾞｷﾞｸﾞ ﾊﾟﾋﾟ",
    "か\u3099き\u3099",
    "e\u0301te\u0301",
    "①②③ ㈱㌔㍿",
    "😀と👩‍👩‍👧‍👦の家族",
    "https://example.com/a?b=c&d=日本語",
    "あ" * 150,
    "スーパーカリフラジリスティック",
    "　全角の　空白　",
    "𠮷野家で𩸽を食べた。",
    "ﷺ",
    "½は0.5",
    "\u200b幅なし\u200b",
    "改行\nと\tタブ",
    "ヷヸヹヺ",
    "は゛と゜",
    "Ⅳ章〜終",
]


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    documents = encyclopedia(random.Random(0), 120) + essays(random.Random(1), 60)
    return [sentence for document in documents for sentence in document] + HAND_WRITTEN


@pytest.fixture(scope="module")
def folder(sentences, tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer")
    words = vocabulary_parts.count_words(sentences)
    parts.save_tokenizer(vocabulary_parts.train_vocabulary(words, 1500, 1000, 2), path)
    return path


@pytest.fixture(scope="module")
def both(folder):
    return parts.load_tokenizer(folder), parts.FastEncoder(folder)


@pytest.fixture(scope="module")
def of_the_root():
    return parts.load_tokenizer(ROOT), parts.FastEncoder(ROOT)


def test_training_is_deterministic(sentences):
    words = vocabulary_parts.count_words(sentences)
    shuffled = list(words.items())
    random.Random(3).shuffle(shuffled)
    first = vocabulary_parts.train_vocabulary(words, 1500, 1000, 2)
    assert first == vocabulary_parts.train_vocabulary(Counter(dict(shuffled)), 1500, 1000, 2)
    assert first[:15] == parts.SPECIAL_TOKENS + parts.UNUSED_TOKENS
    assert len(first) == len(set(first)) == 1500


def test_alphabet_is_limited_to_the_most_frequent_characters(sentences):
    words = vocabulary_parts.count_words(sentences)
    vocabulary = vocabulary_parts.train_vocabulary(words, 600, 200, 2)
    single = [token for token in vocabulary[15:] if len(token) == 1]
    counts = Counter(char for word, count in words.items() for char in word * count)
    assert len(single) == 200
    assert min(counts[char] for char in single) >= sorted(counts.values())[-200]


def test_vocabulary_too_small(sentences):
    with pytest.raises(UserError, match="--vocab_size 100 is too small"):
        vocabulary_parts.train_vocabulary(vocabulary_parts.count_words(sentences), 100, 1000, 2)
    with pytest.raises(UserError, match="no words"):
        vocabulary_parts.train_vocabulary(Counter(), 100, 1000, 2)


def test_fast_encoder_gives_the_librarys_ids(both, sentences):
    theirs, ours = both
    for text in sentences + AWKWARD:
        assert ours.ids(text) == theirs.encode(text, add_special_tokens=False), text
        assert ours.encode(text).ids == ours.ids(text), text


@pytest.mark.parametrize("space", SPACE, ids=ascii)
def test_white_space_gives_the_librarys_ids(of_the_root, space):
    theirs, ours = of_the_root
    for text in (f"東京{space}大阪", f"東京\r{space}大阪a{space}b", space, f"{space}東京。{space}"):
        assert ours.encode(text).ids == ours.ids(text) == theirs.encode(text, add_special_tokens=False)
    encoding = ours.encode(f"東京{space}大阪")
    assert encoding.offsets == [(0, 2), (3, 5)]


@given(ANY_TEXT)
def test_any_text_gives_the_librarys_ids(of_the_root, text):
    theirs, ours = of_the_root
    assume(not any(token in text for token in parts.SPECIAL_TOKENS))  # the one difference that is meant, see below
    handed = normalization.without_surrogates(text)  # the library refuses lone surrogates
    assert ours.ids(text) == ours.encode(text).ids == theirs.encode(handed, add_special_tokens=False)


def test_special_tokens_written_in_a_text_are_ordinary_text(both):
    # transformers would take them for the real ones; text from outside must not be able to put a mask into a row.
    encoder = both[1]
    special = {encoder.vocab[token] for token in parts.SPECIAL_TOKENS} - {encoder.unk_id}
    assert not special & set(encoder.ids("[MASK]と[CLS]と[SEP]と[PAD]"))


def test_words_beyond_what_is_remembered(both, folder, sentences, monkeypatch):
    monkeypatch.setattr(parts, "_REMEMBERED_WORDS", 5)
    forgetful, encoder = parts.FastEncoder(folder), both[1]
    for text in sentences[:50] + AWKWARD:
        assert forgetful.encode(text) == encoder.encode(text)
        assert len(forgetful._pieces) <= 5 and len(forgetful._pieces.lengths) <= 6


def test_offsets_point_into_the_original(both, sentences):
    _, encoder = both
    names = {number: token for token, number in encoder.vocab.items()}
    for text in sentences[::7] + AWKWARD:
        encoding = encoder.encode(text)
        last = 0
        for number, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            assert 0 <= start <= end <= len(text) and start >= last - 1
            last = end
            surface = names[number].removeprefix("##")
            if number != encoder.unk_id:
                # A stretch may normalize to several tokens (㈱ is three); then each token is a part of it.
                assert surface in unicodedata.normalize("NFKC", text[start:end]), (text, surface, start, end)


def stretches_by_definition(text):
    """`normalize_with_offsets`, from its definition: slow, each stretch normalized anew for every character."""
    if unicodedata.normalize("NFKC", text) == text:
        return text, list(range(len(text) + 1))
    normalized, origin, begin = "", [], 0
    while begin < len(text):
        end, piece = begin + 1, unicodedata.normalize("NFKC", text[begin])
        while end < len(text):
            alone = unicodedata.normalize("NFKC", text[end])
            together = unicodedata.normalize("NFKC", text[begin : end + 1])
            if together == piece + alone and not unicodedata.combining(alone[0]):
                break
            piece, end = together, end + 1
        normalized, origin, begin = normalized + piece, origin + [begin] * len(piece), end
    return normalized, [*origin, len(text)]


COMPOSING = "か\u3099\u309aｶﾞe\u0301\u0327\u0323\u1dce\u1100\u1161\u11a8가\u0dd9\u0dcf\u0dca\u09c7\u09be\ufdfa㈱a。"


@given(st.text(alphabet=COMPOSING, max_size=25) | st.text(max_size=25))
def test_stretches_are_those_of_the_definition(text):
    assert parts.normalize_with_offsets(text) == stretches_by_definition(text)


def test_work_grows_in_proportion_to_the_marks(both, monkeypatch):
    def normalized_characters(marks):
        counted = []
        normalize = unicodedata.normalize
        with monkeypatch.context() as patch:
            patch.setattr(
                unicodedata, "normalize", lambda form, text: counted.append(len(text)) or normalize(form, text)
            )
            both[1].encode("か" + "\u0301\u0327\u0323\u1dce" * marks + "が")
        return sum(counted)

    assert normalized_characters(400) < 5 * normalized_characters(100)


MARKS = [
    char
    for char in map(chr, [*range(0xD800), *range(0xE000, 0x110000)])
    if unicodedata.combining(unicodedata.normalize("NFKD", char)[0])
]
RUNS = st.lists(st.tuples(st.sampled_from("かｶeǭ가ﷺ\u1100\u0dd9。 ") | st.characters(), st.text(MARKS, max_size=150)))


@given(RUNS)
def test_however_many_marks_are_normalized_as_by_python(of_the_root, runs):
    text = normalization.without_surrogates("".join(char + marks for char, marks in runs))
    assert normalization.nfkc(text) == unicodedata.normalize("NFKC", text)
    assert parts.normalize_with_offsets(text)[0] == unicodedata.normalize("NFKC", text)
    theirs, ours = of_the_root
    assert ours.ids(text) == ours.encode(text).ids == theirs.encode(text, add_special_tokens=False)


@given(ANY_TEXT | RUNS.map(lambda runs: "".join(char + marks for char, marks in runs)), st.integers(1, 4))
def test_normalizing_looks_at_each_character_a_few_times(text, times):
    """A bound per character, counted: what is handed to Python's own normalization, which takes its time in that."""
    handed, normalize = [], unicodedata.normalize
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unicodedata, "normalize", lambda form, part: handed.append(len(part)) or normalize(form, part))
        normalization.normalize_with_offsets(text * times)
    assert sum(handed) <= 12 * len(text) * times


MANY_MARKS = {
    "of different classes": "\u0301\u0327\u0323\u1dce",
    "two in one": "\u0f73",
    "half-width": "ﾞ\u0301",
    "all there are": "".join(MARKS),
}


@pytest.mark.parametrize("marks", MANY_MARKS.values(), ids=MANY_MARKS)
def test_time_grows_in_proportion_to_the_marks(marks):
    def seconds(count):
        text = "か" + (marks * count)[:count]
        took = []
        for _ in range(3):
            begun = time.process_time()
            normalization.normalize_with_offsets(text)
            took.append(time.process_time() - begun)
        return min(took)

    assert seconds(40_000) < 10 * seconds(10_000)  # as their square: 16 times


class OneAtATime:
    """A tagger that fails where two calls overlap, of the same or of different ones."""

    inside: ClassVar[list[str]] = []

    def __init__(self, tagger):
        self._tagger = tagger

    def _alone(self, call, text):
        self.inside.append(text)
        time.sleep(0.002)  # long enough for another thread to come in, if it may
        assert self.inside == [text], "two threads split texts at a time"
        self.inside.clear()
        return call(text)

    def parse(self, text):
        return self._alone(self._tagger.parse, text)

    def __call__(self, text):
        return self._alone(self._tagger, text)


def test_threads_take_turns_with_mecab(of_the_root, folder, sentences, monkeypatch):
    """One tagger serves the whole process, and must not be used by two threads at a time."""
    real = mecab.tagger
    encoders = [of_the_root[1], parts.FastEncoder(folder)]
    texts = [*AWKWARD, *sentences[:20]]
    wanted = [encoder.encode(text) for text in texts for encoder in encoders]
    monkeypatch.setattr(mecab, "tagger", lambda *which: OneAtATime(real(*which)))
    monkeypatch.setattr(parts, "_REMEMBERED_WORDS", 5)  # they forget each other's words all the time
    with ThreadPoolExecutor(6) as pool:
        pending = [pool.submit(encoder.encode, text) for text in texts for encoder in encoders]
        assert [one.result() for one in pending] == wanted


@given(st.text(alphabet="aAあアｱﾞ漢㈱①Ａ 　。が\u3099e\u0301", max_size=20))
def test_normalize_with_offsets(text):
    normalized, origin = parts.normalize_with_offsets(text)
    assert normalized == unicodedata.normalize("NFKC", text)
    assert len(origin) == len(normalized) + 1 and origin[-1] == len(text)
    assert all(first <= second for first, second in itertools.pairwise(origin))


def test_plain_characters_are_what_they_are_taken_for():
    everything = [chr(code) for code in range(0x110000)]
    plain = {char for char in everything if not parts.OTHER_THAN_PLAIN.search(char)}
    assert {"a", "。", "ん", "ー", "漢"} < plain
    for char in plain:
        assert unicodedata.normalize("NFKC", char) == char and not unicodedata.combining(char), char
        assert unicodedata.category(char)[0] not in "ZC", char
    # None of them composes with a character before it.
    pairs = [unicodedata.decomposition(char).split() for char in everything]
    assert not plain & {chr(int(pair[1], 16)) for pair in pairs if len(pair) == 2 and not pair[0].startswith("<")}


@given(st.text(alphabet="東京都ですaB1 ,。\u3000\t\n\u2028\x00ｱé\u3099", max_size=30))
def test_words_are_those_of_mecabs_nodes(text):
    normalized = unicodedata.normalize("NFKC", text)
    assert mecab.words_of(normalized) == [node.surface for node in mecab.tagger()(normalized)]


@given(ANY_TEXT)
def test_no_text_breaks_the_encoder(both, anything):
    encoding = both[1].encode(anything)
    assert len(encoding.ids) == len(encoding.offsets)
    words = mecab.words_of(unicodedata.normalize("NFKC", normalization.without_surrogates(anything)))
    assert encoding.words == [part for word in words for part in word.split()]
    assert encoding.ids == both[1].ids(anything)
    assert all(0 <= start <= end <= len(anything) for start, end in encoding.offsets)
    assert all(first[0] <= second[0] for first, second in itertools.pairwise(encoding.offsets))


def test_pairs_have_segments(both):
    pair = both[0]("水は冷たい。", "空は青い。")
    assert set(pair["token_type_ids"]) == {0, 1}


@pytest.mark.parametrize(
    ("lines", "words"),
    [(["[PAD]", "あ", "あ"], "twice"), (["[PAD]", "あ"], r"lacks \[UNK\]"), (None, "does not exist")],
)
def test_damaged_vocabulary(tmp_path, lines, words):
    if lines is not None:
        (tmp_path / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=words):
        parts.FastEncoder(tmp_path)


def test_a_vocabulary_that_an_editor_saved_with_a_mark_is_told(tmp_path):
    parts.save_tokenizer([*parts.SPECIAL_TOKENS, "あ"], tmp_path)
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    for read in (parts.FastEncoder, parts.load_tokenizer):
        with pytest.raises(UserError, match=r"vocab\.txt begins with a byte order mark; save it as UTF-8 without one"):
            read(tmp_path)


def test_a_vocabulary_that_is_not_utf8_is_told(tmp_path):
    parts.save_tokenizer([*parts.SPECIAL_TOKENS, "あ"], tmp_path)
    path = tmp_path / "vocab.txt"
    path.write_bytes(path.read_text(encoding="utf-8").encode("cp932"))
    with pytest.raises(UserError, match=r"vocab\.txt is not UTF-8; save it so"):
        parts.FastEncoder(tmp_path)
    with pytest.raises(UserError, match="No tokenizer at"):  # as transformers says it
        parts.load_tokenizer(tmp_path)


@pytest.mark.parametrize("odd", ["東\u2028京", "東\x0c京", "\x0c", "東\x85京"], ids=ascii)
def test_a_token_may_hold_what_splitlines_takes_for_a_line_end(tmp_path, odd):
    tokens = [*parts.SPECIAL_TOKENS, "あ", odd, "い"]
    parts.save_tokenizer(tokens, tmp_path / "first")
    parts.copy_tokenizer(tmp_path / "first", tmp_path / "second")
    for folder in (tmp_path / "first", tmp_path / "second"):
        assert list(parts.read_vocabulary(folder / "vocab.txt")) == tokens
        assert parts.FastEncoder(folder).vocab == parts.load_tokenizer(folder).get_vocab()


# --- dictionaries of MeCab; ipadic need not be installed here


@pytest.fixture
def of(folder, tmp_path):
    """mecab_kwargs -> a folder with a tokenizer that has them. What is asked once per process is asked anew."""
    mecab.dictionary_folder.cache_clear()
    mecab._warn_once.cache_clear()

    def make(options):
        made = tmp_path / "theirs"
        shutil.copytree(folder, made)
        config = parts.TOKENIZER_CONFIG | {"mecab_kwargs": options}
        (made / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
        return made

    yield make
    mecab.dictionary_folder.cache_clear()


def kept_config(folder):
    return json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))


def test_the_tokenizers_own_dictionary_is_used_and_kept(of, tmp_path, monkeypatch):
    theirs = of({"mecab_dic": "ipadic"})
    monkeypatch.setitem(sys.modules, "ipadic", types.SimpleNamespace(DICDIR=unidic_lite.DICDIR))
    loaded, asked, real = parts.load_tokenizer(theirs), set(), mecab.tagger

    def tagger(options="", dictionary=mecab.DEFAULT_DICTIONARY):
        asked.add(dictionary)
        return real(options, dictionary)

    monkeypatch.setattr(mecab, "tagger", tagger)
    for source in (theirs, loaded):
        encoder = parts.FastEncoder(source)
        encoder.ids("京都 に住む。"), encoder.encode("京都に住む。"), encoder.encode("㍿に住む。")
        assert (encoder.dictionary, asked) == ("ipadic", {"ipadic"})
        parts.copy_tokenizer(source, tmp_path / "copy")
        assert kept_config(tmp_path / "copy") == kept_config(theirs)
    assert parts.FastEncoder(theirs, "unidic_lite").dictionary == "unidic_lite"
    assert parts.locate_tokenizer(theirs) == theirs


def test_a_dictionary_that_is_not_installed(of, tmp_path, monkeypatch):
    theirs = of({"mecab_dic": "ipadic"})
    monkeypatch.setitem(sys.modules, "ipadic", None)
    wanted = r"^The MeCab dictionary ipadic is not installed: pip install ipadic\.$"
    for load in (parts.FastEncoder, parts.load_tokenizer):
        with pytest.raises(UserError, match=wanted):
            load(theirs)
    parts.copy_tokenizer(theirs, tmp_path / "copy")  # needs none
    assert parts.locate_tokenizer(tmp_path / "copy") == tmp_path / "copy"
    monkeypatch.setitem(sys.modules, "unidic", types.SimpleNamespace(DICDIR=str(tmp_path / "none")))
    with pytest.raises(UserError, match="unidic is not there yet: python -m unidic download"):
        parts.FastEncoder(theirs, "unidic")


def test_a_tokenizer_that_names_no_dictionary(of, both, capsys):
    theirs = of({})
    loaded = parts.load_tokenizer(theirs)
    for source in (theirs, loaded, theirs):
        assert parts.FastEncoder(source).dictionary == "unidic_lite"
        assert loaded.encode("京都に住む。", add_special_tokens=False) == both[1].ids("京都に住む。")
    warned = capsys.readouterr().err.splitlines()
    assert warned == [  # once
        f"warning: the tokenizer {theirs} names no MeCab dictionary (mecab_dic); unidic_lite is assumed, as "
        "transformers does"
    ]


@pytest.mark.parametrize("name", ["jumandic", None])
def test_a_dictionary_that_nobody_knows(of, name):
    theirs = of({"mecab_dic": name})
    for load in (parts.FastEncoder, parts.locate_tokenizer):
        with pytest.raises(UserError, match=rf"must be unidic_lite, ipadic, unidic, not {name!r}"):
            load(theirs)


# --- texts longer than MeCab can be given


@pytest.mark.slow
@pytest.mark.parametrize(
    ("repeated", "times"),
    [("a b ", 100_000), ("a1", 100_000), ("a\u2028", 100_000), ("日本語の文章です。今日は良い天気。", 75_000)],
    ids=ascii,
)
def test_a_text_that_mecab_would_end_the_process_with(tmp_path, repeated, times):
    """ "Segmentation fault", exit status 139, from 170,000 words on."""
    parts.save_tokenizer([*parts.SPECIAL_TOKENS, "a", "1", "b"], tmp_path)
    program = (
        "import sys; from mobilebert_ja.tokenization.encoder import FastEncoder, words_with_offsets\n"
        "text = sys.argv[2] * int(sys.argv[3])\n"
        "encoding = FastEncoder(sys.argv[1]).encode(text)\n"
        "words = [text[start:end] for start, end in encoding.offsets]\n"
        "assert ''.join(words) == ''.join(text.split()) and len(words_with_offsets(text)) >= 170_000"
    )
    done = run_code(program, tmp_path, repeated, times)
    assert done.returncode == 0, done.stderr


def test_pieces_of_a_long_text_end_where_words_do():
    text = "日本語の文章です。" * 20_000
    pieces = mecab.pieces_of(text)
    assert "".join(pieces) == text and len(pieces) == 2 and all(piece.endswith("。") for piece in pieces)
    words = [
        word
        for piece in ("日本語の文章です。" * 11_111, "日本語の文章です。" * 8_889)
        for word in mecab.words_of(piece)
    ]
    assert mecab.words_of(text) == words
    assert [len(piece) for piece in mecab.pieces_of("あ" * 220_000)] == [100_000, 100_000, 20_000]
    assert mecab.pieces_of("") == [""]
