"""What records name in a word or in English, and its titles in the pages. An unknown key is its own title."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskNames:
    """What a task and what belongs to it are called.

    Attributes:
        title: in a heading.
        short: in a row or a figure; `english` likewise in English.
        item: what one of its texts is.
        metric: the record's name of the score; `metric_title` in Japanese.
        groups: what its labels are.
        details: the key of the scores by label in a run's details.
        task_type, dataset, dataset_title: the task and its data on the Hub.
    """

    title: str
    short: str
    english: str
    item: str
    metric: str
    metric_title: str
    groups: str
    details: str
    task_type: str
    dataset: str
    dataset_title: str


TASKS = {
    "livedoor": TaskNames(
        title="ニュース記事の題名の分類(livedoor、9分類)",
        short="題名の分類(livedoor)",
        english="news titles",
        item="題名",
        metric="accuracy",
        metric_title="正解率",
        groups="カテゴリー",
        details="per_class",
        task_type="text-classification",
        dataset="llm-book/livedoor-news-corpus",
        dataset_title="livedoor news corpus (titles)",
    ),
    "ner": TaskNames(
        title="固有表現抽出(Wikipedia、8種類)",
        short="固有表現抽出(Wikipedia)",
        english="named entities",
        item="文",
        metric="f1",
        metric_title="F値(完全一致)",
        groups="種類",
        details="per_type",
        task_type="token-classification",
        dataset="stockmark/ner-wikipedia-dataset",
        dataset_title="Wikipedia NER (ja)",
    ),
}
# Every model that is timed; and the record of those that have one of their own.
MODELS = {
    "bert": "BERT(transformers)",
    "bert_card": "BERT(枝刈り、int8、jit)",
    "bert_onnx": "BERT(int8、ONNX)",
    "mobilebert": "MobileBERT(transformers)",
    "card": "MobileBERT(枝刈り、int8、jit)",
    "onnx": "MobileBERT(int8、ONNX)",
    "fast": "MobileBERT(層を減らして int8、ONNX)",
}
# What one could pick instead, timed in its shape with random weights.
ALTERNATIVES = {
    "modernbert-ja-30m": "modernbert-ja-30m の形(transformers)",
    "modernbert-ja-30m-onnx": "modernbert-ja-30m の形(int8、ONNX)",
    "line-distilbert": "LINE DistilBERT の形(transformers)",
    "line-distilbert-onnx": "LINE DistilBERT の形(int8、ONNX)",
    "multilingual-e5-small": "multilingual-e5-small の形(transformers)",
    "multilingual-e5-small-onnx": "multilingual-e5-small の形(int8、ONNX)",
}
RIVAL = "modernbert-ja-30m-onnx"  # the small encoder that one would pick today, as it is fastest
RECORDS = {
    "bert": "{task}-bert",
    "mobilebert": "{task}",
    "card": "compressed_{task}_card",
    "onnx": "compressed_{task}_onnx",
    "fast": "compressed_{task}_fast",
}
# The contenders of the published card, in its words; and in a terminal's.
CONTENDERS = {"bert": "BERT", "mobilebert": "MobileBERT", "card": "MobileBERT(元のカードの高速化)"}
IN_ENGLISH = {
    "bert": "BERT",
    "mobilebert": "MobileBERT",
    "card": "MobileBERT, pruned + int8 + traced",
    "onnx": "MobileBERT, int8, ONNX",
    "fast": "MobileBERT, fewer blocks, int8, ONNX",
    "-random": "MobileBERT without pretraining",
    "-bert": "BERT without pretraining",
    "-svm": "TF-IDF and a linear SVM",
    "-crf": "a linear-chain CRF",
    "-silver": "MobileBERT, with unlabelled text",
    "-e5": "multilingual-e5-small",
}
# The forms that a page may lead with, the best first.
SPED_UP = {"fast": "層を減らして int8", "onnx": "int8"}
# Every method whose scores are compared, by the ending of its record's name.
OWN = "このモデル"
ONCE_MORE = "同じ設定でもう一度"  # a fine-tuning made anew
METHODS = {
    "": OWN,
    "-random": "MobileBERT(事前学習なし)",
    "-bert": "BERT(事前学習なし)",
    "-svm": "TF-IDF と線形 SVM",
    "-crf": "線形連鎖 CRF",
}
CLASSICAL = ("-svm", "-crf")
# What learned from more than the labelled examples, or is larger. Shown beside the methods, and no rival of theirs.
ADAPTED, SILVER, LARGER = "-adapted", "-silver", "-e5"
WITH_MORE = {
    ADAPTED: "このモデル(ラベルなしテキストで事前学習を続けた場合)",
    SILVER: "このモデル(ラベルなしテキストも使った場合)",
    LARGER: "multilingual-e5-small",
}
# The groups of nodes of `measure.py profile`.
NODE_GROUPS = {
    "int8 products": "int8 の行列積(入力の丸めを含む)",
    "float products": "float32 の行列積",
    "quantizing": "丸め",
    "attention": "注意機構",
    "norms and activations": "正規化と活性化関数",
    "sums and scales": "足し算と掛け算",
    "moving and looking up": "値の移動と埋め込みの参照",
    "outside of nodes": "呼び出しと測定のオーバーヘッド",
}
# The groups of operators of `measure.py training`.
STEP_GROUPS = {
    "products": "行列積",
    "casts and copies": "型の変換とコピー",
    "sums over rows": "行についての和(バイアスなどの勾配)",
    "element by element": "要素ごとの計算",
    "softmax and losses": "softmax と損失",
    "looking up": "埋め込みの参照とその勾配",
    "optimizer": "最適化",
    "the rest": "その他",
    "outside of operators": "Python と測定のオーバーヘッド",
}
# Which blocks stay, as `compression.cutting.blocks` names the choices.
BLOCK_CHOICES = {
    "evenly spread": "等間隔",
    "first and last": "最初と最後",
    "costliest to leave out": "除くと損失の大きい層",
}
ABLATIONS = {
    "embeddings": "単語ベクトルから始める",
    "initialisation": "初期値と学習率",
    "optimizer": "最適化の方法",
    "masking": "隠し方と次文予測",
    "schedule": "同じ時間の使い方",
    "guide": "手本(guide)から学ぶ",
    "guided_rows": "手本(guide)から文ごとにも学ぶ",
    "signals": "手本(guide)のほかに学ぶもの",
    "transfer": "教師モデルからの転移(小さなモデルと、内蔵の練習用の文章)",
}
TRIALS = {
    "few_rows": "少ない訓練データの学習率、エポック数、バッチ",
    "few_rows_entities": "固有表現の少ない訓練データのバッチ(F値)",
    "few_rows_silver": "少ない訓練データと、ラベルなしテキストへの教師の答え",
    "guided_rows": "文ごとにも手本(guide)から学んだモデルの、少ない訓練データからの微調整",
    "signals": "手本(guide)のほかにも学んだモデルの、少ない訓練データからの微調整",
    "signals_entities": "手本(guide)のほかにも学んだモデルの、少ない訓練データからの固有表現の微調整(F値)",
}
# What has to be said of one of them beside its title.
TRIAL_NOTES = {
    "few_rows_silver": (
        "ラベルのないテキストには、比べた題名の記事の文も含まれるので、どの値も高めです"
        "(比べる題名の記事を含まないテキストでの値は「訓練データの量と精度」にあります)。"
    )
}
# What stands in files of texts without labels, by their fingerprints in records.
TEXTS_WITHOUT_LABELS = {
    "8815a4124d533e15": "訓練データの題名が付いた記事の本文から取った文(テストデータの記事の文は含まない)"
}
DECODING = {"plain": "トークンごとに最良のタグ", "constrained": "並びの正しいタグ", "crf": "CRF"}
REMOVED = {
    "too_short": "短すぎる文",
    "too_long": "長すぎる文",
    "formula": "数式",
    "repeated_sentence": "2度目以降の同じ文",
    "duplicate_document": "2度目以降の同じ文書の文",
    "near_duplicate_document": "ほかとほぼ同じ文書の文(MinHash)",
    "evaluation_sentence": "評価データにある文",
    "evaluation_title": "評価データにある見出し",
}
# Where the sources of the root's corpus are from, by the start of their names, and their licences.
ORIGINS = {
    "aozora": ("[青空文庫](https://www.aozora.gr.jp/)(新字新仮名の作品の一部)", "著作権の保護期間が満了"),
    "ict_whitepaper": ("総務省の[情報通信白書](https://www.soumu.go.jp/johotsusintokei/whitepaper/)", "CC BY 4.0"),
    "japan_law": ("法令の一部", "著作権の対象外"),
    "msdocs": ("Microsoft の製品の文書", "CC BY 4.0"),
    "programming_docs": (
        "[Ruby のリファレンスマニュアル](https://github.com/rurema/doctree)、[ja.react.dev](https://ja.react.dev/)、"
        "[JavaScript Primer](https://jsprimer.net/)",
        "CC BY 3.0、CC BY 4.0",
    ),
    "wikinews": ("[ウィキニュース](https://ja.wikinews.org/)", "CC BY 2.5"),
    "wikipedia_articles50": (
        "[ja-wikipedia-corpus-soso](https://github.com/yamitzky/ja-wikipedia-corpus-soso) の見本",
        "CC BY-SA 3.0",
    ),
    "wikipedia_countries": ("[言語処理100本ノック](https://nlp100.github.io/)の国の記事", "CC BY-SA 3.0"),
    "wikipedia_jaquad": ("[JaQuAD](https://huggingface.co/datasets/SkelterLabsInc/JaQuAD) の文章", "CC BY-SA 3.0"),
    "wikipedia_kyoto": (
        "NICT の [Wikipedia 日英京都関連文書対訳コーパス](https://alaginrc.nict.go.jp/WikiCorpus/)の日本語",
        "CC BY-SA 3.0",
    ),
    "wikipedia_wac": (
        "[Wikipedia Annotated Corpus](https://github.com/ku-nlp/WikipediaAnnotatedCorpus) の文章",
        "CC BY-SA 4.0",
    ),
}
TEXT_KINDS = {"encyclopedia": "百科事典", "titles": "ニュースの題名", "novels": "小説"}
VOCABULARIES = {"limited": "このモデル", "unlimited": "文字種の制限なし"}
PRUNED = {
    "pruned-per_tensor": "枝刈りのみ、行列ごとのスケール(カードの方法)",
    "pruned-per_channel": "枝刈りのみ、出力ごとのスケール",
    "retrained-per_tensor": "枝刈りの後に再学習、行列ごとのスケール",
    "retrained-per_channel": "枝刈りの後に再学習、出力ごとのスケール",
}

# The variants of recipes/ablations, those tried with onnxruntime, the BERT that is timed, the words of the figures.
TITLES = {
    "without a guide": "手本なし",
    "guided, weight 3": "手本あり、重み 3",
    "1e-4, 10 epochs": "学習率 1e-4、10エポック",
    "5e-4, 10 epochs": "学習率 5e-4、10エポック",
    "5e-4, 20 epochs": "学習率 5e-4、20エポック",
    "5e-4, 10 epochs, batch 16": "学習率 5e-4、10エポック、バッチ 16",
    "5e-4, 10 epochs, batch 8": "学習率 5e-4、10エポック、バッチ 8",
    "batch 32": "バッチ 32",
    "batch 8": "バッチ 8",
    "answers of at least 0.5": "確率が 0.5 以上の答え",
    "all answers": "すべての答え",
    "guided per token": "手本あり(トークンごと)",
    "guided per row too": "手本あり(トークンごとと、文ごと)",
    "guided": "手本あり",
    "guided for the first half": "手本は前半だけ",
    "guided, rows too": "手本あり(文ごとにも)",
    "guided, parts of speech": "手本あり、品詞も",
    "guided, replaced words": "手本あり、置き換えられた語の検出も",
    "guided, hard words masked": "手本あり、難しい語ほど隠す",
    "random, 1e-3": "乱数の単語ベクトル、1e-3",
    "random, 2e-3": "乱数の単語ベクトル、2e-3",
    "counted, spread 0.02, 1e-3": "数えた単語ベクトル(大きさ 0.02)、1e-3",
    "counted, spread 0.02, 2e-3": "数えた単語ベクトル(大きさ 0.02)、2e-3",
    "counted, spread 0.05, 2e-3": "数えた単語ベクトル(大きさ 0.05)、2e-3",
    "counted, spread 0.1, 2e-3": "数えた単語ベクトル(大きさ 0.1)、2e-3",
    "NoNorm as in transformers, 5e-4": "NoNorm は transformers のまま、5e-4",
    "NoNorm as in transformers, 1e-3": "NoNorm は transformers のまま、1e-3",
    "gain 33, 5e-4": "NoNorm の係数 33、5e-4",
    "gain 33, 1e-3": "NoNorm の係数 33、1e-3",
    "gain 33, 2e-3": "NoNorm の係数 33、2e-3",
    "gain 33, 4e-3": "NoNorm の係数 33、4e-3",
    "gain 33, depth-scaled outputs, 1e-3": "NoNorm の係数 33、出力を層の数の平方根で割る、1e-3",
    "gain 33, depth-scaled outputs, 2e-3": "NoNorm の係数 33、出力を層の数の平方根で割る、2e-3",
    "LayerNorm, 1e-3": "LayerNorm、1e-3",
    "LayerNorm, 2e-3": "LayerNorm、2e-3",
    "Muon, 1e-3": "Muon、1e-3",
    "Muon, 2e-3": "Muon、2e-3",
    "Muon, NoNorm as in transformers, 1e-3": "Muon、NoNorm は transformers のまま、1e-3",
    "AdamW, 1e-3": "AdamW、1e-3",
    "AdamW, 5e-4": "AdamW、5e-4",
    "from 30 % to 15 %": "30 % から 15 % へ",
    "15 %, 80/10/10": "15 %、80/10/10",
    "15 %, next-sentence prediction": "15 %、次文予測も学習",
    "base: 6 blocks, counted vectors, 1.2e-3, batch 32, length 128": (
        "基準: 6層、数えた単語ベクトル、1.2e-3、バッチ 32、系列長 128"
    ),
    "batch 16": "バッチ 16",
    "batch 64": "バッチ 64",
    "length 64": "系列長 64",
    "rate 6e-4": "学習率 6e-4",
    "rate 2.4e-3": "学習率 2.4e-3",
    "rate 4.8e-3": "学習率 4.8e-3",
    "12 blocks": "12層",
    "24 blocks": "24層",
    "random word vectors": "乱数の単語ベクトル",
    "no gain": "NoNorm は transformers のまま",
    "25 % masked": "25 % を隠す",
    "AdamW, 2.4e-3": "AdamW、2.4e-3",
    "AdamW, 1.2e-3": "AdamW、1.2e-3",
    "AdamW, 4e-4": "AdamW、4e-4",
    "alone": "教師モデルなし",
    "PKT, then PD": "PKT、次に予測の蒸留",
    "JKT, then PD": "JKT、次に予測の蒸留",
    "int8, weights of 8 bits": "int8、重みを 8ビットに",
    "int8, a scale for each output": "int8、出力ごとのスケール",
    "int8, last block for all tokens": "int8、最後の層もすべてのトークンで計算",
    "int8 by onnxruntime's quantization": "onnxruntime 自身の量子化による int8",
    "int8, weights without a sign": "int8、重みを符号なし 8ビットに",
    "int8, OpenVINO": "int8、OpenVINO で",
    "float32, OpenVINO": "float32、OpenVINO で",
    "int8 in blocks (MatMulNBits)": "区画ごとの int8(MatMulNBits)",
    "int8, graph not rewritten": "int8、グラフを書き換えない",
    "int8, no memory arena": "int8、メモリーをまとめて確保しない",
    "int8, denormals as zero": "int8、非正規化数をゼロとみなす",
    "int8, 2 threads": "int8、2スレッド",
    "int8, 2 threads that spin": "int8、2スレッド(待つあいだも回り続ける)",
    "BertForSequenceClassification, 12 layers of width 768": "12層、幅 768 の `BertForSequenceClassification`",
    "BertForTokenClassification, 12 layers of width 768": "12層、幅 768 の `BertForTokenClassification`",
    # Figures.
    "news titles": "題名の分類",
    "named entities": "固有表現抽出",
    "BERT, int8 jit": "BERT、int8 jit",
    "BERT, int8 ONNX": "BERT、int8 ONNX",
    "MobileBERT, int8 jit": "MobileBERT、int8 jit",
    "MobileBERT, int8 ONNX": "MobileBERT、int8 ONNX",
    "MobileBERT, fewer blocks": "層を減らした MobileBERT",
    ", not pretrained": "(事前学習なし)",
    "accuracy (%)": "正解率(%)",
    "f1 (%)": "F値(%)",
    "training, fewer blocks": "学習中(層が少ないとき)",
    "training": "学習中",
    "held-out text": "学習に使っていない文章",
    "tokens seen (millions)": "学習したトークン(百万)",
    "masked-word loss": "隠した語の損失",
    "ms per item (whisker: 90th percentile)": "1件の時間(ミリ秒、ひげは 90 パーセンタイル)",
    "ms per item (whiskers: 10th and 90th percentile)": "1件の時間(ミリ秒、ひげは 10 と 90 パーセンタイル)",
    " (VNNI)": "(VNNI あり)",
    " (without VNNI)": "(VNNI なし)",
    "ms per item": "1件の時間(ミリ秒)",
    "characters in a sentence": "文の長さ(文字)",
    "sentences (thousands)": "文の数(千)",
    "unknown tokens (%)": "未知語(%)",
    "tokens per word": "1単語あたりのトークン",
    "tokens per character": "1文字あたりのトークン",
    "encyclopedia": "百科事典",
    "titles": "題名",
    "novels": "小説",
    "the vocabulary": "このモデルの語彙",
    "without a limit on the alphabet": "文字種の制限なし",
    "answer": "答え",
    "category": "カテゴリー",
    "percent of the category's titles, by answer": "カテゴリーごとの答えの割合(%)",
    "training items": "訓練データの件数",
    "MobileBERT, with teachers": "MobileBERT(ラベルなしテキストも)",
    "SVM": "TF-IDF と線形 SVM",
    "CRF": "線形連鎖 CRF",
    "uncut": "減らさない",
    "{} blocks, FFN {}": "{}層、FFN {}",
    "raw text": "生の文章",
    "sentences\nbuild_corpus": "文\nbuild_corpus",
    "vocabulary\ntrain_tokenizer": "語彙\ntrain_tokenizer",
    "packed shards\npack_corpus": "トークン列\npack_corpus",
    "word vectors\nembed_words": "単語ベクトル\nembed_words",
    "teacher\npretrain": "教師モデル\npretrain",
    "transfer\ndistill": "転移と蒸留\ndistill",
    "shallow student\npretrain": "浅い生徒モデル\npretrain",
    "student\npretrain": "生徒モデル\npretrain",
    "checkpoint\n(this repository)": "チェックポイント\n(このリポジトリ)",
    "your data": "手元のデータ",
    "fine-tuned\nfinetune": "微調整\nfinetune",
    "sped up\ncompress": "高速化\ncompress",
    "fast model\nwithout torch": "速いモデル\n(torch は不要)",
    "measured\nmeasure": "測定\nmeasure",
    "with accelerators": "アクセラレーターがあるとき",
    "input\n{} wide": "入力\n{}次元",
    "bottleneck\n{} → {}": "ボトルネック\n{} → {}",
    "shared bottleneck\n{} → {}": "共有ボトルネック\n{} → {}",
    "attention\n{} heads, {}": "注意機構\nヘッド {}、{}次元",
    "{} ×\nfeed-forward\n{} → {} → {}": "FFN {}段\n{} → {} → {}",
    "residual, {} wide": "残差、{}次元",
    "After every sum comes NoNorm: x · scale + shift, with no mean or variance to compute.": (
        "足し算のあとには必ず NoNorm があります: x · 係数 + ずれ。平均も分散も計算しません。"
    ),
}


def in_japanese(name: str) -> str:
    """The title of what records or figures name in English; the name itself if it has none."""
    return TITLES.get(name, name)


def spaced(name: str) -> str:
    """A name within a Japanese sentence, a space where it begins or ends in Latin letters."""
    return f"{' ' if name[0].isascii() else ''}{name}{' ' if name[-1].isascii() else ''}"
