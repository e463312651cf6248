"""Other people's encoders under the same tasks: each family of tokenizers and architectures, made on the spot."""

import shutil

import pytest
import torch
from tokenizers import processors
from transformers import AutoConfig, AutoTokenizer, ByT5Tokenizer, T5Config, pipeline

import compress
import finetune
from helpers.files.task_data import write_livedoor, write_ner
from helpers.models.families import FAMILIES, make_family, name_tokenizer_class
from helpers.running.processes import call_entry, one_sentence
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json, write_json
from mobilebert_ja.finetuning.folder import load_finetuned, read_runs, require_fitting
from mobilebert_ja.finetuning.modelling.architecture import longest_input, tells_segments
from mobilebert_ja.finetuning.modelling.forms import FORMS, Reader, training_rows
from mobilebert_ja.finetuning.modelling.heads import check_tokenizer, make_model, model_config
from mobilebert_ja.finetuning.modelling.rows import without_segments
from mobilebert_ja.finetuning.predictor import LogitsOf, Predictor
from mobilebert_ja.inference.decoding import bio_labels, spans_of_tags
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.labelling.teachers import ModelTeacher
from mobilebert_ja.model.checkpoint import save_model
from mobilebert_ja.runtime import load
from mobilebert_ja.settings import FinetuneSettings
from mobilebert_ja.tasks import Example, Task
from mobilebert_ja.tasks.public.ner import bio_tags
from mobilebert_ja.tokenization.encoders import make_encoder, read_encoder
from mobilebert_ja.tokenization.folders import load_tokenizer

PERSON, PLACE = "人名", "地名"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """family -> its folder, each made once."""
    root = tmp_path_factory.mktemp("families")
    return {family: make_family(family, root / family) for family in FAMILIES}


TEXTS = {
    "plain": "田中太郎は京都市に住む。",
    "spaces within": "田中 太郎は 京都市に　住む。",
    "half-width": "ｶﾞﾘﾚｵは㍿の里に住む。",
    "decomposed": "か\u3099りれおは京都市に住む。",
    "unknown": "鬱鬱は京都市に住む。",
    "white space alone": " \t　",
    "empty": "",
    "control": "田中太郎\u200bは\r\n京都市に\ud800住む。",
    "special tokens": "</s>[SEP]<s>田中[CLS]<pad>[PAD]",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_ids_are_the_tokenizers_own_and_offsets_point_into_the_text(made, family, text):
    tokenizer, encoder = load_tokenizer(made[family]), read_encoder(made[family])
    encoding = encoder.encode(text)
    assert encoding.ids == encoder.ids(text) and len(encoding.offsets) == len(encoding.ids)
    if "special" not in next(name for name, each in TEXTS.items() if each == text) and "\ud800" not in text:
        assert encoder.frame.single(encoding.ids) == tokenizer(text)["input_ids"]
    else:  # what is spelled out is ordinary text
        assert not set(encoding.ids) & (set(tokenizer.all_special_ids) - {tokenizer.unk_token_id})
    starts = [start for start, _ in encoding.offsets]
    assert starts == sorted(starts) and all(0 <= start <= end <= len(text) for start, end in encoding.offsets)
    for start, end in encoding.offsets:
        covered = text[start:end]
        assert covered == covered.strip() or not covered.strip()  # no word with the space before it
    # All that is no space is covered.
    seen = {index for start, end in encoding.offsets for index in range(start, end)}
    left = {char for index, char in enumerate(text) if index not in seen and char.strip()}
    assert left <= {"\u200b", "\ud800"}


@pytest.mark.parametrize("family", FAMILIES)
def test_pairs_are_framed_as_by_the_tokenizer(made, family):
    tokenizer, encoder = load_tokenizer(made[family]), read_encoder(made[family])
    first, second = "田中太郎は京都市に住む。", "野球の試合が話題になる"
    wanted = tokenizer(first, second, return_token_type_ids=True)
    mine = encoder.frame.pair(encoder.ids(first), encoder.ids(second))
    assert mine == wanted["input_ids"]
    types = encoder.frame.types_of_pair(len(encoder.ids(first)), len(encoder.ids(second)))
    assert types == wanted["token_type_ids"]
    assert encoder.frame.between == (2, 2) or family not in ("xlm-roberta", "e5")


NAMES = [
    ("田中太郎は京都市に住む。", [(0, 4, PERSON), (5, 8, PLACE)]),
    ("ｶﾞﾘﾚｵは㍿の里に", [(0, 5, PERSON), (6, 9, PLACE)]),
    ("ああか\u3099、京か\u3099", [(0, 4, PERSON), (5, 8, PLACE)]),
    ("は 田中 太郎 は", [(2, 7, PERSON)]),
    ("Tanaka Taro lives in 京都市", [(0, 11, PERSON), (21, 24, PLACE)]),
    ("鬱、京都市", [(0, 1, PERSON), (2, 5, PLACE)]),
]
# Names that a piece of SentencePiece holds together with what stands beside them.
IN_LARGER_PIECES = {"田中太郎は京都市に住む。": [PERSON], "ｶﾞﾘﾚｵは㍿の里に": [PERSON], "鬱、京都市": [PERSON]}


@pytest.mark.parametrize(("text", "spans"), NAMES, ids=[text for text, _ in NAMES])
@pytest.mark.parametrize("family", ["deberta", "modernbert", "characters"])
def test_entities_come_back_from_the_tags_of_their_tokens(made, family, text, spans):
    offsets = read_encoder(made[family]).encode(text).offsets
    lost = IN_LARGER_PIECES.get(text, []) if family == "deberta" else []
    whole = [span for span in spans if span[2] not in lost]
    borders = {border for offset in offsets for border in offset}
    assert [span for span in spans if {*span[:2]} <= borders] == whole
    assert set(whole) <= set(spans_of_tags(offsets, bio_tags(offsets, spans)))


def test_a_space_that_a_rebuilt_tokenizer_puts_before_each_word_breaks_no_entity(tmp_path):
    """transformers builds the classes that folders of the Hub name anew: a "▁" then covers the character behind it."""
    folder = make_family("xlm-roberta", tmp_path / "model")
    name_tokenizer_class(folder, "XLMRobertaTokenizer")
    encoder = read_encoder(folder)
    text, spans = "は 田中 京都市 は", [(2, 8, PERSON)]
    offsets = encoder.encode(text).offsets
    assert spans_of_tags(offsets, bio_tags(offsets, spans)) == spans
    assert encoder.frame.single(encoder.ids(text)) == load_tokenizer(folder)(text)["input_ids"]


def examples_of(kind: Kind) -> Task:
    """A task of each kind, with a text of which no token is left and one longer than the model reads."""
    long = "田中太郎は京都市に住む。" * 8
    given = {
        Kind.CLASSES: (["a", "b"], [(long, "a"), ("", "b"), ("雨が", "a")]),
        Kind.ENTITIES: (bio_labels([PERSON, PLACE]), [(long, [(0, 4, PERSON)]), ("", []), NAMES[3]]),
        Kind.NUMBER: (["score"], [((long, "雨"), 1.5), (("", ""), 0.0), (("雨", long), 3.0)]),
        Kind.CHOICES: (["0", "1"], [(("雨は", [long, ""]), "0"), (("", ["雨", "晴れ"]), "1")]),
        Kind.ANSWERS: ([], [(("誰が", long), [(0, "田中太郎")]), (("", "京都市は"), [(0, "京都市")])]),
    }
    labels, items = given[kind]
    examples = []
    for asked, target in items:
        text, second = asked if isinstance(asked, tuple) else (asked, None)
        examples.append(Example(text, target, second))
    return Task("own", kind, labels, examples, examples)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("family", ["xlm-roberta", "e5", "deberta", "modernbert"])
def test_every_kind_of_task_has_a_loss_and_an_answer(made, family, kind, tmp_path):
    task, encoder = examples_of(kind), read_encoder(made[family])
    settings = FinetuneSettings(model_name_or_path=str(made[family]), max_seq_length=24)
    model = make_model(settings, model_config(settings, encoder.entries), task)
    form, rows = FORMS[kind], training_rows(task, Reader(encoder, 24, 4))
    assert max(len(row.ids) for row in rows) == 24
    make_arrays = form.collate if tells_segments(model) else without_segments(form.collate)
    batch = {name: torch.from_numpy(each) for name, each in make_arrays(rows, encoder.frame.pad_id).items()}
    loss, _ = form.loss(model.train(), batch)
    loss.backward()
    assert torch.isfinite(loss) and any(each.grad is not None for each in model.parameters())
    predictor = Predictor(LogitsOf(model, form.ends), encoder, kind, task.labels, 24, None, 4)
    inputs = [example.input for example in task.train]
    assert len(predictor.predict(inputs, 2)) == len(inputs)


def test_positions_that_are_counted_from_padding_on(made):
    limits = {family: longest_input(AutoConfig.from_pretrained(made[family])) for family in FAMILIES}
    assert limits == {
        "xlm-roberta": 128, "e5": 128, "deberta": 128, "modernbert": 256, "roberta": 256, "characters": 256
    }  # fmt: skip
    settings = FinetuneSettings(model_name_or_path=str(made["roberta"]), max_seq_length=257)
    with pytest.raises(UserError, match="--max_seq_length 257 is more than the model's 256 positions"):
        model_config(settings, 10)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_a_teacher(made, family, tmp_path):
    """Fine-tuned by finetune.py it is asked for its opinion, up to its longest input and no further."""
    task = examples_of(Kind.ENTITIES)
    encoder = read_encoder(made[family])
    settings = FinetuneSettings(model_name_or_path=str(made[family]))
    model = make_model(settings, model_config(settings, encoder.entries), task)
    save_model(model, load_tokenizer(made[family]), tmp_path)
    longest = longest_input(model.config)
    text = "ｶﾞﾘﾚｵは 京都市に住む。" * 30
    (opinion,) = ModelTeacher(tmp_path, task, longest, 8, torch.device("cpu")).opinions([text])
    assert opinion.offsets == encoder.encode(text).offsets and len(opinion.offsets) > longest
    assert opinion.probabilities.shape == (len(opinion.offsets), len(task.labels))
    assert opinion.probabilities.sum(1) == pytest.approx(1)
    told = refusal(ModelTeacher, tmp_path, task, longest + 1, 8, torch.device("cpu"))
    assert told == f"max_seq_length {longest + 1} is more than the model's {longest} positions."
    ready = load_finetuned(tmp_path, task.name, longest, task.kind)[1]
    model.config.vocab_size = encoder.entries - 1
    assert f"has {encoder.entries} entries, the model embeds" in refusal(require_fitting, model.config, ready)


def refusal(call, *given):
    with pytest.raises(UserError) as caught:
        call(*given)
    (sentence,) = str(caught.value).splitlines()
    return sentence


def test_tokenizers_that_cannot_be_used(made, tmp_path):
    said = refusal(make_encoder, ByT5Tokenizer())
    assert "(ByT5Tokenizer) does not tell where its tokens stand in a text" in said
    lower = tmp_path / "lower"
    shutil.copytree(made["characters"], lower)
    config = read_json(lower / "tokenizer_config.json")
    write_json(lower / "tokenizer_config.json", config | {"word_tokenizer_type": "basic", "do_lower_case": True})
    assert "lower has basic, character, lower case; of the BertJapaneseTokenizers" in refusal(
        make_encoder, load_tokenizer(lower)
    )
    tokenizer = load_tokenizer(made["modernbert"])
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel()
    assert "puts no special tokens around a text; it is no encoder's" in refusal(make_encoder, tokenizer)
    (tmp_path / "none").mkdir()
    assert refusal(load_tokenizer, tmp_path / "none").endswith(
        "vocab.txt does not exist. The folder holds no tokenizer."
    )


def test_a_model_without_a_head_for_the_task(tmp_path, made):
    """transformers has no multiple choice for T5."""
    T5Config(vocab_size=300, d_model=8, num_layers=1).save_pretrained(tmp_path)
    settings = FinetuneSettings(model_name_or_path=str(tmp_path), max_seq_length=24)
    config = model_config(settings, 10)
    assert refusal(make_model, settings, config, examples_of(Kind.CHOICES)) == (
        f"{tmp_path} is a t5; transformers has no model ForMultipleChoice of that kind, which the task needs."
    )


def test_another_tokenizers_ids_are_not_taken_for_the_models_own(made):
    tokenizer, encoder = load_tokenizer(made["deberta"]), read_encoder(made["modernbert"])
    assert "does not split text as its configuration says" in refusal(check_tokenizer, tokenizer, encoder, ["田中"])
    check_tokenizer(tokenizer, read_encoder(made["deberta"]), [*TEXTS.values()][:6])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_ner(folder, 80)
    write_livedoor(folder, {"sports-watch": 20, "movie-enter": 20, "smax": 20})
    return folder


def fine_tune(work, data, model, **more):
    settings = {"work_dir": work, "data_dir": data, "model_name_or_path": model, "max_seq_length": 40, "num_seeds": 1}
    settings |= {"learning_rate": 3e-3, "per_device_train_batch_size": 8, "num_train_epochs": 6} | more
    return call_entry(finetune, *(part for name, value in settings.items() for part in (f"--{name}", value)))


@pytest.mark.slow
@pytest.mark.parametrize("family", ["e5", "modernbert", "characters"])
def test_entities_from_training_to_answers(made, data, family, tmp_path):
    """Fine-tuned with a CRF, read again by --rescore and by the predictor, with characters of the given text."""
    done = fine_tune(tmp_path, data, made[family], task="ner")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "finetuned" / "ner"
    record = read_json(folder / "record.json")
    assert record["metrics"]["mean"] > 0.3 and record["metrics"]["decoding"] == "crf"
    answers = read_json(folder / "predictions-seed-0.json")
    _, ready = load_finetuned(folder, "ner", 40)
    assert ready.decoder is not None and ready.positions == longest_input(AutoConfig.from_pretrained(made[family]))
    again = ready.predictor().predict([each["text"] for each in answers["test"]], 16)
    wanted = [[tuple(span) for span in each["prediction"]] for each in answers["test"]]
    same = sum(mine == theirs for mine, theirs in zip(again, wanted, strict=True))
    assert same >= 0.9 * len(wanted)  # but for rounding in batches
    done = fine_tune(tmp_path, data, made[family], task="ner", rescore="true")
    assert done.returncode == 0, done.stderr
    assert read_json(folder / "record.json")["metrics"]["mean"] == pytest.approx(record["metrics"]["mean"], abs=0.02)
    same = AutoTokenizer.from_pretrained(folder)
    assert same(NAMES[0][0])["input_ids"] == load_tokenizer(made[family])(NAMES[0][0])["input_ids"]

    sped_up = call_entry(compress, "--task", "ner", "--work_dir", tmp_path, "--data_dir", data)
    if family == "characters":  # its structure and its tokenizer are of the kind that the recipes know
        assert sped_up.returncode == 0, sped_up.stderr
        text = "ｶﾞﾘﾚｵは京都市に住む。"
        assert all(each.text == text[each.start : each.end] for each in load(tmp_path / "compressed" / "ner")
                   .predict_one(text).entities)  # fmt: skip
    else:
        assert "a BertJapaneseTokenizer can be sped up" in one_sentence(sped_up)
        assert not (tmp_path / "compressed").exists()


@pytest.mark.slow
def test_classes_with_the_pipeline_and_a_changed_tokenizer(made, data, tmp_path):
    """Fine-tuned with its own files in transformers' pipeline, trained further, refused with another tokenizer."""
    done = fine_tune(tmp_path, data, made["xlm-roberta"], task="livedoor")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "finetuned" / "livedoor"
    test = read_json(folder / "predictions-seed-0.json")["test"]
    classify = pipeline("text-classification", model=str(folder), device="cpu")
    answers = [classify(each["text"], truncation=True, max_length=40)[0]["label"] for each in test]
    assert sum(mine == each["prediction"] for mine, each in zip(answers, test, strict=True)) >= 0.9 * len(test)
    again = fine_tune(tmp_path / "more", data, folder, task="livedoor", num_train_epochs=1)
    assert again.returncode == 0, again.stderr
    stored = read_json(folder / "tokenizer.json")
    write_json(folder / "tokenizer.json", stored | {"added_tokens": stored["added_tokens"][:3]})
    with pytest.raises(UserError, match=r"tokenizer\.json is not the vocabulary that the model was made with"):
        read_runs(folder, "livedoor", data / "livedoor" / "ldcc-20140209.tar.gz", "finetune.py")


@pytest.mark.parametrize("family", ["deberta", "roberta"])
def test_a_folder_is_read_again_with_the_attention_that_its_structure_has(made, family, tmp_path):
    """DeBERTa has no fused one."""
    task, settings = examples_of(Kind.ENTITIES), FinetuneSettings(model_name_or_path=str(made[family]))
    model = make_model(settings, model_config(settings, 10), task)
    save_model(model, load_tokenizer(made[family]), tmp_path)
    again, ready = load_finetuned(tmp_path, "own", 24, Kind.ENTITIES)
    assert again.config._attn_implementation == ("eager" if family == "deberta" else "sdpa")
    assert ready.predictor().predict_one("") == [] and ready.labels == task.labels
    assert ready.predictor().encoder.frame == read_encoder(made[family]).frame
