"""Small generated data of both tasks, and a tokenizer and a tiny pretrained model that go with it."""

import io
import json
import random
import tarfile
from pathlib import Path

import torch
from transformers import MobileBertForPreTraining

from mobilebert_ja.model.checkpoint import save_model
from mobilebert_ja.model.mobilebert import initialise_student, mobilebert_config
from mobilebert_ja.tokenization.encoder import save_tokenizer
from mobilebert_ja.tokenization.vocabulary import count_words, train_vocabulary

SUBJECTS = {
    "sports-watch": ["野球の試合", "サッカーの監督", "相撲の力士", "マラソンの選手"],
    "movie-enter": ["映画の公開", "俳優の演技", "監督の新作", "劇場の予告編"],
    "smax": ["スマートフォンの発売", "ＡＮＤＲＯＩＤの更新", "携帯電話の料金", "㌔バイトの通信"],
}
ENDINGS = ["が話題になる", "を詳しく紹介", "について聞いた", "に注目が集まる", "の理由とは？", "を振り返る"]
MARKERS = {"sports-watch": "【Sports Watch】", "movie-enter": "", "smax": "【レポート】"}
PEOPLE = ["田中太郎", "鈴木花子", "ｶﾞﾘﾚｵ", "佐藤一郎"]
PLACES = ["京都市", "東京都千代田区", "大阪府", "㍿の里"]
LABELS = {"livedoor": list(SUBJECTS), "ner": ["O", "B-人名", "I-人名", "B-地名", "I-地名"]}


def article(category: str, number: int) -> str:
    generator = random.Random(f"{category} {number}")
    marker = MARKERS[category] if number % 3 == 0 else ""
    title = f"{marker}{generator.choice(SUBJECTS[category])}{generator.choice(ENDINGS)}{number}"
    return f"http://news.livedoor.com/article/detail/{number}/\n2012-01-01T00:00:00+0900\n{title}\n本文。\n"


def write_livedoor(folder: Path, counts: dict[str, int], changed: dict[str, bytes] | None = None) -> Path:
    """An archive with `counts` articles a category; `changed` gives files other bytes."""
    path = folder / "livedoor" / "ldcc-20140209.tar.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    files = {"text/README.txt": b"readme", "text/CHANGES.txt": b"changes"}
    for category, count in counts.items():
        files[f"text/{category}/LICENSE.txt"] = b"licence"
        for number in range(count):
            files[f"text/{category}/{category}-{number}.txt"] = article(category, number).encode()
    files |= changed or {}
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def sentence(number: int) -> dict:
    """A sentence of the dataset's form, with two entities, one, or none."""
    generator = random.Random(number)
    parts = [(generator.choice(PEOPLE), "人名"), ("は", None), (generator.choice(PLACES), "地名"), ("に住む。", None)]
    if number % 4 == 0:
        parts = [("昨日は", None), (generator.choice(PLACES), "地名"), ("で雨が降った。", None)]
    if number % 10 == 9:
        parts = [("今日も天気が良い。", None)]
    text, entities = "", []
    for part, kind in parts:
        if kind:
            entities.append({"name": part, "span": [len(text), len(text) + len(part)], "type": kind})
        text += part
    return {"curid": str(number), "text": text, "entities": entities}


TEXTS = [sentence(number)["text"] for number in range(30)] + ["ＡＮＤＲＯＩＤの㌔バイト", "か\u3099 き", "１\u20612"]


def write_ner(folder: Path, count: int) -> Path:
    path = folder / "ner" / "ner.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([sentence(number) for number in range(count)], ensure_ascii=False), encoding="utf-8")
    return path


def write_tokenizer(folder: Path) -> Path:
    """A tokenizer that knows the words of the generated data."""
    texts = [article(category, number).split("\n")[2] for category in SUBJECTS for number in range(60)]
    texts += [sentence(number)["text"] for number in range(60)]
    folder.mkdir(parents=True, exist_ok=True)
    save_tokenizer(train_vocabulary(count_words(texts), 400, 300, 2), folder)
    return folder


def write_student(folder: Path, tokenizer: Path, blocks: int = 2) -> Path:
    """A tiny pretraining checkpoint with random weights."""
    torch.manual_seed(0)
    size = len((tokenizer / "vocab.txt").read_text(encoding="utf-8").splitlines())
    config = mobilebert_config(
        size,
        num_hidden_layers=blocks,
        hidden_size=64,
        intra_bottleneck_size=32,
        intermediate_size=64,
        embedding_size=32,
    )
    model = MobileBertForPreTraining(config)
    initialise_student(model, 33.0)
    save_model(model, tokenizer, folder)
    return folder
