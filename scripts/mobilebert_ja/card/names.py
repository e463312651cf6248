"""Names of what was compared, which records keep in English, in the words of the card."""

from __future__ import annotations

import re

# The longer ones first: a part of them may stand in the list by itself.
_PHRASES = {
    r"^rate ": "学習率 ",
    r"(?P<name>\w+), (?P<layers>\d+) layers of width (?P<width>\d+)": "{layers}層、幅 {width} のモデル(`{name}`)",
    r"base: ": "基準: ",
    r"depth-scaled outputs": "出力を層の数の平方根で割る",
    r"NoNorm as in transformers|no gain": "NoNorm は transformers のまま",
    r"gain (\d+)": "NoNorm の係数 {}",
    r"counted, spread ([\d.]+)": "数えた単語ベクトル(大きさ {})",
    r"counted vectors": "数えた単語ベクトル",
    r"random word vectors|^random": "乱数の単語ベクトル",
    r"(\d+) blocks": "{}層",
    r"batch (\d+)": "バッチ {}",
    r"length (\d+)": "系列長 {}",
    r"(\d+ %) masked": "{} を隠す",
    r"from (\d+ %) to (\d+ %)": "{} から {} へ",
    r"next-sentence prediction": "次文予測も学習",
    r"alone": "教師モデルなし",
    r"then PD": "次に予測の蒸留",
    r"(\d+) threads that spin": "{}スレッド(待つあいだも回り続ける)",
    r"(\d+) threads": "{}スレッド",
    r"denormals as zero": "非正規化数をゼロとみなす",
    r"no memory arena": "メモリーをまとめて確保しない",
    r"graph not rewritten": "グラフを書き換えない",
    r"weights of (\d+) bits": "重みを {}ビットに",
    r"last block for all tokens": "最後の層もすべてのトークンで計算",
    r"(\w+) by onnxruntime's quantization": "onnxruntime 自身の量子化による {}",
    r"a scale for each output": "出力ごとの尺度",
    r"(\w+) in blocks": "区画ごとの {}",
}


def in_japanese(name: str) -> str:
    """A variant's name for a reader of Japanese; what is the same in both languages, or unknown, stays."""
    for phrase, words in _PHRASES.items():
        if found := re.search(phrase, name):
            said = words.format(*found.groups(), **found.groupdict())
            name = name[: found.start()] + said + name[found.end() :]
    return name.replace(" (", "(").replace(", ", "、")
