"""Titles in nine classes and sentences with entities of eight types for the embedded sample; all of it invented."""

from __future__ import annotations

import random
import re
from typing import Any

from mobilebert_ja.data.sample_text import FOODS, GOODS, MACHINES, SEASONS, Names

# Category -> what its titles are about, and how they are worded.
TITLES: dict[str, tuple[list[str], list[str]]] = {
    "dokujo-tsushin": (
        [
            "恋の悩み",
            "結婚式の二次会",
            "同窓会",
            "女友だちとの旅行",
            "職場の恋",
            "一人の休日",
            "婚活の疲れ",
            "元彼からの連絡",
        ],
        [
            "「{x}」に疲れたときの過ごし方",
            "働く女性に聞いた{x}の本音",
            "なぜか{x}がうまくいかない理由",
            "三十代からの{x}",
            "{x}で後悔しないために",
        ],
    ),
    "it-life-hack": (
        [
            "表計算ソフト",
            "無料のアプリ",
            "メールの整理",
            "仕事用ノートパソコン",
            "オンラインの保存場所",
            "写真の加工",
            "パスワードの管理",
            "検索のこつ",
        ],
        [
            "{x}をもっと便利に使う小技",
            "知って得する{x}の活用術",
            "仕事が速くなる{x}の設定",
            "{x}を{n}倍楽しむ方法",
            "初心者にも分かる{x}入門",
        ],
    ),
    "kaden-channel": (
        ["薄型テレビ", "新型の掃除機", "冷蔵庫", "電子レンジ", "省エネの扇風機", "加湿器", "録画機", "洗濯機"],
        [
            "{x}の売れ行きに異変か",
            "【話題】{x}が品切れ続出",
            "{x}を分解してみた結果",
            "店員に聞く{x}の選び方",
            "今年の{x}はここが違う",
        ],
    ),
    "livedoor-homme": (
        [
            "紳士靴",
            "機械式の腕時計",
            "上質なスーツ",
            "転職と年収",
            "男の料理",
            "革のかばん",
            "週末のゴルフ",
            "大人の車選び",
        ],
        [
            "一生ものの{x}を手に入れる",
            "デキる男の{x}",
            "{x}にこだわる{n}の理由",
            "いま注目の{x}特集",
            "男を上げる{x}の極意",
        ],
    ),
    "movie-enter": (
        ["新作映画", "主演俳優", "名監督の最新作", "時代劇", "恋愛映画", "試写会", "アニメ映画", "ホラー映画"],
        [
            "{x}の予告編が公開",
            "{x}に観客が涙",
            "公開直前、{x}の見どころ",
            "{x}の舞台あいさつに{n}人",
            "『{p}の{s}』、{x}として登場",
        ],
    ),
    "peachy": (
        [
            "保湿ケア",
            "春色のメイク",
            "ダイエット",
            "ネイル",
            "手作りスイーツ",
            "女子会",
            "小顔マッサージ",
            "かわいい雑貨",
        ],
        [
            "{x}で毎日をもっと楽しく",
            "簡単にできる{x}{n}選",
            "モデルに学ぶ{x}の秘密",
            "この{s}試したい{x}",
            "お肌が喜ぶ{x}の新習慣",
        ],
    ),
    "smax": (
        [
            "スマートフォン",
            "新型タブレット",
            "基本ソフトの更新",
            "防水の携帯電話",
            "待受アプリ",
            "高速通信",
            "端末の画面",
            "外付け電池",
        ],
        [
            "{x}の発売日が決定",
            "{x}を写真でチェックする【レポート】",
            "{x}に不具合、修正版を配信",
            "{x}の新機能を試してみた",
            "{n}グラムの軽さ、{x}を発表",
        ],
    ),
    "sports-watch": (
        ["プロ野球", "代表戦", "大相撲", "監督の采配", "移籍の噂", "オリンピック", "柔道", "駅伝"],
        [
            "【Sports Watch】{x}に厳しい声",
            "{x}をめぐる舞台裏",
            "{p}選手が語る{x}",
            "{x}で{n}年ぶりの快挙",
            "敗戦の{x}、会見で怒り",
        ],
    ),
    "topic-news": (
        [
            "ネット掲示板",
            "芸能人のブログ",
            "テレビ番組の発言",
            "政治家の一言",
            "隣国の報道",
            "大学の不祥事",
            "生放送",
            "炎上騒ぎ",
        ],
        [
            "{x}に批判が殺到",
            "{x}に「ひどすぎる」の声",
            "あの{x}が物議",
            "{x}について本人が謝罪",
            "{x}をめぐり掲示板で議論",
        ],
    ),
}

ENTITY_SENTENCES = [
    "<人名>は<地名>出身の俳優である。",
    "<法人名>は<製品名>を<地名>で発売した。",
    "<イベント名>は毎年<地名>の<施設名>で開かれる。",
    "<人名>は<政治的組織名>の委員長を務めた。",
    "<その他の組織名>は<人名>が結成した音楽グループである。",
    "<地名>にある<施設名>は<法人名>が運営している。",
    "<人名>は<法人名>に入社し、<製品名>の開発に携わった。",
    "<政治的組織名>は<地名>の再開発を認めた。",
    "<イベント名>に<その他の組織名>が初めて出場した。",
    "<施設名>の設計は<人名>による。",
    "のちに<法人名>は<法人名>と合併した。",
    "<製品名>は<人名>の代表作として知られる。",
    "彼は<地名>で生まれ、<地名>で育った。",
    "<その他の組織名>の本拠地は<地名>の<施設名>である。",
    "<政治的組織名>の<人名>が<イベント名>に出席した。",
    "この映画には<人名>と<人名>が出演している。",
    "事故のあと、駅はしばらく閉鎖された。",
    "その年の冬は、例年になく寒かった。",
    "<法人名>の社長である<人名>は、記者会見で謝罪した。",
    "<地名>から<地名>までは船で半日かかった。",
]
_SUFFIXES = {
    "法人名": ["電機", "製薬", "鉄道", "出版", "放送", "銀行"],
    "政治的組織名": ["国民党", "自治会議", "市議会", "運輸庁", "改革同盟"],
    "その他の組織名": ["楽団", "フットボールクラブ", "探検隊", "大学野球部", "合唱団"],
    "地名": ["市", "町", "県", "島", "半島"],
    "施設名": ["空港", "球場", "美術館", "大学病院", "城", "公会堂"],
    "イベント名": ["映画祭", "選手権大会", "博覧会", "の乱", "音楽祭"],
}
ENTITY_TYPES = ["人名", "法人名", "政治的組織名", "その他の組織名", "地名", "施設名", "製品名", "イベント名"]


def titles(random_state: random.Random, per_class: int) -> dict[str, list[str]]:
    """Category -> distinct titles. A third also names something from outside its class, so that words alone mislead."""
    made: dict[str, list[str]] = {}
    names = Names(random_state)
    for category, (subjects, wordings) in TITLES.items():
        found: dict[str, None] = {}
        while len(found) < per_class:
            title = random_state.choice(wordings).format(
                x=random_state.choice(subjects),
                n=random_state.randint(2, 30),
                p=names.person(),
                s=random_state.choice(SEASONS),
            )
            if random_state.random() < 1 / 3:
                title += f" 「{random_state.choice(MACHINES + GOODS + FOODS)}」の話も"
            found[title] = None
        made[category] = list(found)
    return made


def _entity(kind: str, names: Names) -> str:
    if kind == "人名":
        return names.person()
    if kind == "製品名":
        return f"「{names.place()}の{names.random.choice(SEASONS)}」"
    return names.place() + names.random.choice(_SUFFIXES[kind])


def entity_sentences(random_state: random.Random, count: int) -> list[dict[str, Any]]:
    """Sentences in the format of stockmark's ner-wikipedia-dataset: text, and entities with name, span and type."""
    names = Names(random_state)
    items = []
    for number in range(count):
        template = random_state.choice(ENTITY_SENTENCES)
        text = ""
        entities = []
        for piece in re.split(r"(<[^>]+>)", template):
            kind = piece.strip("<>")
            if piece.startswith("<"):
                name = _entity(kind, names)
                entities.append({"name": name, "span": [len(text), len(text) + len(name)], "type": kind})
                piece = name
            text += piece
        items.append({"curid": str(1000 + number), "text": text, "entities": entities})
    return items
