"""Parts of speech: found in the packed corpus, numbered, kept beside it, and learned."""

import dataclasses
import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import MobileBertForPreTraining

import pretrain
import tag_corpus
from helpers.files.random_shards import write_sources
from helpers.running.processes import call_entry, one_sentence
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.model.mobilebert import mobilebert_config
from mobilebert_ja.pretraining.masked_lm import PretrainingModel, batch_function, pretraining_loss
from mobilebert_ja.pretraining.shards import Shards
from mobilebert_ja.pretraining.vectors import tags as making
from mobilebert_ja.pretraining.vectors.answers import GuideHead, TagHead, Tags
from mobilebert_ja.pretraining.vectors.tags import MOST_CLASSES, frequent_classes, write_tags
from mobilebert_ja.settings import PretrainSettings, TagSettings
from mobilebert_ja.tokenization.encoder import SPECIAL_TOKENS, save_tokenizer

WORDS = [
    "東京",
    "田中",
    "フランス",
    "は",
    "が",
    "に",
    "大き",
    "##な",
    "学",
    "##校",
    "行く",
    "行っ",
    "た",
    "。",
    "New",
    "York",
]
WORDS += ["##er", "京都", "都", "##に", "走る", "犬"]
VOCABULARY = {token: index for index, token in enumerate([*SPECIAL_TOKENS, *WORDS])}
ENTRIES = list(VOCABULARY)
SETTINGS = TagSettings(min_count=1, num_workers=1)


def ids(text: str) -> list[int]:
    return [VOCABULARY[word] for word in text.split()]


NEWS = [
    [ids("田中 が 東京 に 行っ た 。"), ids("フランス は 学 ##校 に 行く 。")],
    [ids("New York ##er が 走る 。"), ids("東京 都 に [UNK] が 走る 。")],
]
WIKI = [[ids("犬 が 走る 。"), ids("東京 に 行く 。")]]


def make_shards(folder, **sources):
    write_sources(folder, VOCABULARY, **sources)
    return Shards(folder, "train")


def tags_of(folder, shards, settings=SETTINGS) -> Tags:
    folder.mkdir()
    write_tags(folder, shards, ENTRIES, settings)
    return Tags(folder, shards)


def named(tags: Tags, name: str) -> list[str]:
    """The class of each token of a source, "" for none."""
    return [["", *tags.classes][number] for number in tags.arrays[name]]


def test_words_have_the_classes_that_mecab_gives_them(tmp_path):
    tags = tags_of(tmp_path / "tags", make_shards(tmp_path / "s", news=NEWS))
    place, particle, end = "名詞-固有名詞-地名-一般", "助詞-格助詞", "補助記号-句点"
    assert named(tags, "news") == [
        *("名詞-固有名詞-人名-姓", particle, place, particle, "動詞-非自立可能", "助動詞", end),
        *("名詞-固有名詞-地名-国", "助詞-係助詞", "名詞-普通名詞-一般", "", particle, "動詞-非自立可能", end),
        *("名詞-普通名詞-一般", "名詞-普通名詞-一般", "", particle, "動詞-一般", end),  # with a space between them
        *(place, "名詞-普通名詞-一般", particle, "", particle, "動詞-一般", end),  # an unknown word has no text
    ]
    assert tags.arrays["news"].dtype == np.uint8 and tags.classes[0] == particle  # the most frequent one


def test_a_word_that_mecab_cuts_elsewhere_has_no_class(tmp_path):
    """It reads 東京|都|に|行く, the shards have 東京|都に|行く; what both cut alike keeps its class."""
    documents = [[ids("東京 都 ##に 行く"), ids("大き ##な 犬 が 走る")], [ids("京都 に 行く")]]
    tags = tags_of(tmp_path / "tags", make_shards(tmp_path / "s", news=documents))
    verb, place = "動詞-非自立可能", "名詞-固有名詞-地名-一般"
    assert named(tags, "news") == [
        *(place, "", "", verb),
        *("連体詞", "", "名詞-普通名詞-一般", "助詞-格助詞", "動詞-一般"),
        *(place, "助詞-格助詞", verb),
    ]


def test_what_mecab_drops_leaves_a_sentence_without_classes(tmp_path, monkeypatch):
    monkeypatch.setattr(making, "words_with_features", lambda text: [("東京", "名詞,固有名詞,地名,一般")])
    shards = make_shards(tmp_path / "s", news=[[ids("東京"), ids("犬 東京")]])
    assert named(tags_of(tmp_path / "tags", shards), "news") == ["名詞-固有名詞-地名-一般", "", ""]


def test_rare_classes_count_as_their_part_of_speech_or_as_none():
    counts = Counter(
        {"名詞-数詞": 10, "名詞-固有": 3, "名詞-普通": 3, "助詞-格": 4, "助詞-副": 1, "助詞": 5, "副詞": 4}
    )
    assert frequent_classes(counts, 5) == {"名詞-数詞": 10, "助詞": 10, "名詞": 6}
    assert frequent_classes(counts, 6) == {"助詞": 10, "名詞-数詞": 10, "名詞": 6}
    assert frequent_classes(counts, 11) == {"名詞": 16}
    assert frequent_classes(counts, 17) == {}
    many = Counter({f"名詞-{number}": 1000 - number for number in range(300)})
    assert list(frequent_classes(many, 1)) == [f"名詞-{number}" for number in range(MOST_CLASSES)]


def test_words_of_rare_classes_are_tagged_with_what_is_kept(tmp_path):
    shards = make_shards(tmp_path / "s", news=NEWS)
    (tmp_path / "tags").mkdir()
    counts = write_tags(tmp_path / "tags", shards, ENTRIES, dataclasses.replace(SETTINGS, min_count=4))
    nouns = {"名詞-普通名詞-一般": 4, "名詞": 4}  # 田中, フランス and twice 東京
    assert counts["classes"] == {"助詞-格助詞": 6, "動詞": 4, "補助記号-句点": 4} | nouns
    assert (counts["tokens"], counts["words"], counts["tagged"], counts["sources"]) == (27, 25, 22, 1)
    tagged = named(Tags(tmp_path / "tags", shards), "news")
    assert tagged[:6] == ["名詞", "助詞-格助詞", "名詞", "助詞-格助詞", "動詞", ""]  # the only 助動詞 has no class
    assert Counter(filter(None, tagged)) == counts["classes"]


def test_a_run_that_was_cut_off_goes_on(tmp_path, monkeypatch):
    shards = make_shards(tmp_path / "s", news=NEWS, wiki=WIKI)
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    whole.mkdir(), resumed.mkdir()
    counts = write_tags(whole, shards, ENTRIES, SETTINGS)
    real, asked = making.words_with_features, []

    def stops(text):
        if len(asked) == 5:  # in the midst of the second source
            raise KeyboardInterrupt
        asked.append(text)
        return real(text)

    monkeypatch.setattr(making, "words_with_features", stops)
    with pytest.raises(KeyboardInterrupt):
        write_tags(resumed, shards, ENTRIES, SETTINGS)
    asked.clear()
    assert write_tags(resumed, shards, ENTRIES, SETTINGS) == counts
    assert asked == ["犬が走る。", "東京に行く。"]  # of the source that was not finished alone
    assert {path.name: path.read_bytes() for path in whole.iterdir()} == {
        path.name: path.read_bytes() for path in resumed.iterdir()
    }
    assert sorted(path.name for path in whole.iterdir()) == ["news.npy", "tags.json", "wiki.npy"]


@pytest.mark.slow
def test_processes_find_the_same(tmp_path):
    shards = make_shards(tmp_path / "s", news=NEWS, wiki=WIKI)
    one, two = (
        tags_of(tmp_path / str(workers), shards, dataclasses.replace(SETTINGS, num_workers=workers))
        for workers in (1, 2)
    )
    assert one.classes == two.classes and all((one.arrays[name] == two.arrays[name]).all() for name in one.arrays)


def test_mistakes_are_told_in_one_sentence(tmp_path):
    shards = make_shards(tmp_path / "s", news=NEWS, wiki=WIKI)
    folder = tmp_path / "tags"
    with pytest.raises(UserError, match=r"--sources book\*: no source matches; there are news, wiki"):
        write_tags(tmp_path, shards, ENTRIES, dataclasses.replace(SETTINGS, sources="book*"))
    with pytest.raises(UserError, match="--min_count 99: no class has as many words; the largest has 8"):
        write_tags(tmp_path, shards, ENTRIES, dataclasses.replace(SETTINGS, min_count=99))
    with pytest.raises(UserError, match=r"tag_corpus\.py makes it"):
        Tags(folder, shards)
    tags_of(folder, shards, dataclasses.replace(SETTINGS, sources="wik*"))
    with pytest.raises(UserError, match=r"tags holds no tag of .*others; tag these shards"):
        Tags(folder, make_shards(tmp_path / "others", news=NEWS))
    with pytest.raises(UserError, match=r"wiki\.npy was made from other shards than .*longer; tag the corpus anew"):
        Tags(folder, make_shards(tmp_path / "longer", wiki=NEWS))
    (folder / "wiki.npy").write_bytes(b"else")
    with pytest.raises(UserError, match=r"wiki\.npy is missing or damaged .*tag the corpus anew"):
        Tags(folder, shards)
    (folder / "tags.json").write_text("{}")
    with pytest.raises(UserError, match=r"tags\.json is not what tag_corpus\.py writes"):
        Tags(folder, shards)


TRAINING = PretrainSettings(max_seq_length=8, per_device_train_batch_size=4, next_sentence_prediction=False)


def test_rows_of_tags_and_the_same_rows_without(tmp_path):
    shards = make_shards(tmp_path / "s", news=NEWS, wiki=WIKI * 3)
    tags = tags_of(tmp_path / "tags", shards, dataclasses.replace(SETTINGS, sources="news"))
    news, wiki = shards.sources
    row = tags.row(news, 3, 6)
    assert row.shape == (8,) and row.dtype == np.uint8
    assert not row[[0, -1]].any() and (row[1:-1] == np.load(tmp_path / "tags" / "news.npy")[3:9]).all()
    assert not tags.row(wiki, 3, 6).any()  # not tagged
    plain, tagged = batch_function(shards, TRAINING), batch_function(shards, TRAINING, tags=tags)
    of_token = {token: number for token, number in zip(news.tokens, tags.arrays["news"], strict=True) if number}
    masked = 0
    for number in range(5):
        without, beside = plain(number), tagged(number)
        assert list(without) == ["input_ids", "token_type_ids", "positions", "targets"]
        found = beside.pop("tags")
        assert list(beside) == list(without)
        for name, array in without.items():
            assert array.dtype == beside[name].dtype and array.tobytes() == beside[name].tobytes()
        assert found.shape == (4, 8)
        for places, targets, row in zip(beside["positions"], beside["targets"], found, strict=True):
            for place, target in zip(places, targets, strict=True):
                if row[place] and target in of_token:
                    assert row[place] == of_token[target]  # a masked word keeps its tag
                    masked += 1
    assert masked
    with pytest.raises(UserError, match="--tags goes with --next_sentence_prediction false"):
        batch_function(shards, dataclasses.replace(TRAINING, next_sentence_prediction=True), tags=tags)


def test_the_heads_loss_by_hand():
    head = TagHead(3, 3)
    torch.nn.init.zeros_(head.classify.weight), torch.nn.init.zeros_(head.classify.bias)
    hidden = torch.eye(3)[[0, 1, 2, 0]][None]
    tags = torch.tensor([[1, 2, 0, 3]], dtype=torch.uint8)
    assert head(hidden, tags)["tag_loss"].item() == pytest.approx(np.log(3))
    head.classify.weight.data = 50 * torch.eye(3)
    said = head(hidden, tags)  # right of the first and the second, not asked of the third, wrong of the fourth
    assert said["tag_loss"].item() == pytest.approx(50 / 3)
    assert said["tag_accuracy"].item() == pytest.approx(2 / 3)
    nothing = head(hidden.requires_grad_(), torch.zeros_like(tags))
    assert nothing["tag_loss"].item() == 0 and nothing["tag_accuracy"].item() == 0
    nothing["tag_loss"].backward()
    assert not hidden.grad.any()


def test_losses_add_up_with_a_guide_and_without(tmp_path):
    shards = make_shards(tmp_path / "s", news=NEWS)
    tags = tags_of(tmp_path / "tags", shards)
    guide = SimpleNamespace(dimensions=2, scale=np.ones(2, np.float32), row=lambda *_: np.ones((8, 2), np.int8))
    content = batch_function(shards, TRAINING, guide=guide, tags=tags)(0)
    batch = {name: torch.from_numpy(each) for name, each in content.items()}
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": 1, "hidden_size": 64, "intra_bottleneck_size": 32, "embedding_size": 8}
    bare = MobileBertForPreTraining(mobilebert_config(len(VOCABULARY), **sizes)).eval()
    model = PretrainingModel(bare, GuideHead(64, guide), TagHead(64, len(tags.classes))).eval()
    loss, values = pretraining_loss(model, batch, guide_weight=2.0, tag_weight=3.0)
    weighted = values["mlm_loss"] + 2 * values["guide_loss"] + 3 * values["tag_loss"]
    assert loss.item() == pytest.approx(weighted.item()) and values["guide_loss"] > 0 and values["tag_loss"] > 0
    assert set(values) == {"mlm_loss", "mlm_accuracy", "guide_loss", "tag_loss", "tag_accuracy"}
    del batch["guide"]
    loss, values = pretraining_loss(model, batch, tag_weight=3.0)
    assert loss.item() == pytest.approx((values["mlm_loss"] + 3 * values["tag_loss"]).item())
    assert set(values) == {"mlm_loss", "mlm_accuracy", "tag_loss", "tag_accuracy"}
    del batch["tags"]
    assert pretraining_loss(model, batch)[0].item() == pytest.approx(values["mlm_loss"].item())


@pytest.mark.slow
def test_from_shards_to_a_model_that_tells_parts_of_speech(tmp_path):
    make_shards(tmp_path / "shards", news=NEWS * 2, wiki=WIKI)
    (tmp_path / "tokenizer").mkdir()
    save_tokenizer(ENTRIES, tmp_path / "tokenizer")
    place = ("--work_dir", str(tmp_path))
    assert "--sources law: no source matches" in one_sentence(call_entry(tag_corpus, *place, "--sources", "law"))
    assert "--min_count 100: no class has" in one_sentence(call_entry(tag_corpus, *place))
    done = call_entry(tag_corpus, *place, "--min_count", "2", "--overwrite")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "tags" / "record.json").read_text())
    assert record["metrics"]["tokens"] == 62 and set(record["inputs"]) == {"shards_dir", "tokenizer"}
    assert "nothing to do" in call_entry(tag_corpus, *place, "--min_count", "2").stdout

    sizes = ("--num_hidden_layers", "1", "--hidden_size", "64", "--intra_bottleneck_size", "32", "--eval_rows", "2")
    sizes += ("--intermediate_size", "32", "--embedding_size", "8", "--max_seq_length", "8", "--logging_steps", "1")
    sizes += ("--per_device_train_batch_size", "4", "--max_steps", "60", "--learning_rate", "3e-3")
    sizes += ("--tags", "tags", "--dropout", "false")
    assert "--next_sentence_prediction false" in one_sentence(call_entry(pretrain, *place, *sizes))
    done = call_entry(pretrain, *place, *sizes, "--next_sentence_prediction", "false")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "student" / "record.json").read_text())
    losses = [each["tag_loss"] for each in record["metrics"]["history"]]
    right = [each["tag_accuracy"] for each in record["metrics"]["history"]]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5]) and np.mean(right[-5:]) > np.mean(right[:5]) + 0.3
    assert not [name for name in record["metrics"]["after"] if "tag" in name]
    assert "tags" in record["inputs"] and record["settings"]["tag_weight"] == 1.0
    weights = load_file(tmp_path / "student" / "model.safetensors")
    assert not [name for name in weights if "tag" in name or "classify" in name]  # an ordinary model, without the head

    settings = PretrainSettings(work_dir=str(tmp_path), shards_dir=str(tmp_path / "shards"))
    settings.tokenizer, settings.tags = str(tmp_path / "tokenizer"), None
    assert not {"tags", "tag_weight"} & set(pretrain.pretraining_stage(settings).settings)  # as records have them
