"""What the card says first: the opening table, the head, the recipes' cost, and whether a difference may be chance."""

import re

import pytest
import yaml
from huggingface_hub import ModelCardData

from helpers.files.made_up_records import made_up_records, pages
from helpers.paths import ROOT
from mobilebert_ja.card import render as card
from mobilebert_ja.card.names import TASKS
from mobilebert_ja.card.tables import scores, summary


@pytest.fixture
def records() -> dict:
    return made_up_records() | {"published_card": card.load_records(ROOT / "records")["published_card"]}


def rendered(records: dict) -> str:
    return pages(records)


def opening(text: str) -> str:
    return text.split("# mobilebert-ja: 日本語 MobileBERT\n")[1].split("\n## ")[0]


def speed_up(records: dict, task: str, name: str, score: float, milliseconds: float) -> None:
    metrics = records[f"speed_{task}"]["metrics"]
    metrics["contenders"][name] = {
        "median_ms": milliseconds,
        "p10_ms": 1.0,
        "p90_ms": 9.0,
        "bytes": 27_300_000,
        "seconds": [1.0],
        "trained": True,
    }
    for each in metrics["contenders"].values():
        each.setdefault("p10_ms", 1.0)
    metrics["speedup"][name] = {"median": 71.37 / milliseconds}
    metrics["contenders"]["bert_onnx"] = metrics["contenders"]["bert"]
    metrics["speedup"]["bert_onnx"] = {"median": 1.0}
    metrics["speedup_over"] = {"bert_onnx": {each: {"median": 1.0} for each in metrics["contenders"]}}
    records[f"compressed_{task}_{name}"] = {"metrics": {"mean": score, "std": 0.01, "runs": []}}


def test_the_opening_is_two_sentences_and_a_table_of_what_matters(records):
    speed_up(records, "livedoor", "onnx", 0.7719, 4.73)
    text = opening(rendered(records))
    words, table = text.split("\n| ", 1)
    assert words.split("\n*In English:*")[0].count("。") == 2
    rows = [line.strip("| ").split(" | ") for line in ("| " + table).splitlines() if line.startswith("| ")][1:]
    assert rows == [
        ["題名の分類(livedoor)の正解率", "77.3 %(int8 では 77.2 %)", "TF-IDF と線形 SVM 83.7 %"],
        ["固有表現抽出(Wikipedia)のF値(完全一致)", "51.2 %", "線形連鎖 CRF 42.2 %"],
        ["穴埋めの正解率(学習に使っていない文章)", "31.2 %", "学習前 0.0 %"],
        [
            "題名1件の時間(int8、CPU 1スレッド、中央値)",
            "4.7 ms",
            "高速化していない BERT 71.4 ms。487件の合計では 15.1 倍の速さ、int8 の ONNX にした BERT の 1.0 倍",
        ],
        ["ファイル(int8)", "27.3 MB", "高速化していない BERT 442.6 MB"],
    ]
    speed_up(records, "livedoor", "fast", 0.7611, 2.31)  # leads as soon as it is there
    text = opening(rendered(records))
    assert (
        "層を減らして int8 では 76.1 %" in text
        and "| 題名1件の時間(層を減らして int8、CPU 1スレッド、中央値) | 2.3 ms |" in text
    )


def test_what_was_not_measured_has_no_row(records):
    for name in ("ner", "pretraining"):
        del records[name]
    assert [row[0] for row in summary.summary_rows(records)] == ["題名の分類(livedoor)の正解率"]
    assert "| |" not in opening(rendered({"corpus": records["corpus"], "published_card": records["published_card"]}))


def head_of(records: dict) -> dict:
    return yaml.safe_load(rendered(records).split("---\n")[1])


def test_the_head(records):
    head = head_of(records)
    assert head["language"] == "ja" and head["license"] == "cc-by-sa-3.0" and head["pipeline_tag"] == "fill-mask"
    assert head["library_name"] == "transformers" and "mobilebert" in head["tags"]
    assert head["metrics"] == ["accuracy", "f1"]
    evaluation = ["llm-book/livedoor-news-corpus", "stockmark/ner-wikipedia-dataset"]
    assert head["datasets"] == ["wikipedia", *evaluation]
    records["corpus"]["metrics"]["sources"]["wikipedia_jaquad"] = {}
    assert head_of(records)["datasets"] == ["wikipedia", "SkelterLabsInc/JaQuAD", *evaluation]
    assert head["widget"] == [
        {"text": "[MASK]です。", "example_title": "＿＿です。", "output": [{"label": "都", "score": 0.417}]}
    ]


def test_the_scores_of_each_task_stand_in_the_index(records):
    plain = ModelCardData(**head_of(records))
    for task, score in (("livedoor", 0.7719), ("ner", 0.5087)):
        speed_up(records, task, "onnx", score, 4.73)
        speed_up(records, task, "fast", score - 0.01, 2.31)
    again = ModelCardData(**head_of(records))
    results = {(each.task_type, each.dataset_type, each.metric_name): each.metric_value for each in again.eval_results}
    titles = ("text-classification", "llm-book/livedoor-news-corpus")
    names = ("token-classification", "stockmark/ner-wikipedia-dataset")
    assert results == {
        (*titles, "accuracy"): 77.33,
        (*titles, "accuracy, fewer blocks, int8, ONNX"): 76.19,
        (*names, "f1"): 51.2,
        (*names, "f1, fewer blocks, int8, ONNX"): 49.87,
    }
    assert {each.metric_type for each in again.eval_results} == {"accuracy", "f1"}
    assert len(plain.eval_results) == len(results) - 2  # what has no record is left out


def compare(records: dict, difference: float, low: float, high: float, p: float, answers: str = "a" * 64) -> None:
    """Add a comparison of this model's answers with the CRF's, which are those of the record unless told otherwise."""
    records["ner"]["files"] = {"predictions-seed-0.json": "b" * 64}
    records["ner-crf"]["files"] = {"predictions-seed-0.json": "a" * 64}
    records["comparison_ner"] = {
        "inputs": {"first": answers[:16], "second": "b" * 16},
        "metrics": {
            "metric": "f1",
            "items": 2137,
            "scores": {"first": 0.5, "second": 0.5 + difference},
            "difference": difference,
            "interval": [low, high],
            "test": "paired bootstrap",
            "p": p,
            "first": "some/where.json",
            "second": "else/where.json",
        },
    }


def test_a_difference_within_chance_is_called_so(records):
    compare(records, 0.0047, -0.0093, 0.0182, 0.5134)
    text = rendered(records)
    assert text.count(
        "同じ 2,137件への答えを1件ずつ比べると、このモデル(乱数シード 0)は線形連鎖 CRF を **0.5 ポイント上回りますが、"
        "偶然の範囲です**(差の 95 % 信頼区間 -0.9 から +1.8、p = 0.51)。"
    ) == len(["the card", "the report"])
    records["ner"]["metrics"]["runs"] = records["ner"]["metrics"]["runs"][:1]
    assert "このモデルは線形連鎖 CRF を **0.5 ポイント" in rendered(records)  # of one run the table has no other score
    assert "it is 0.5 points ahead of a linear-chain CRF (95 % interval -0.9 to +1.8, p = 0.51, within chance)" in text


def test_a_difference_beyond_chance_is_called_so(records):
    compare(records, -0.0247, -0.0391, -0.0102, 0.00021)
    text = rendered(records)
    assert "CRF に **2.5 ポイント及ばず、偶然の範囲を超える差です**(差の 95 % 信頼区間 -3.9 から -1.0" in text
    assert "it is 2.5 points behind a linear-chain CRF (95 % interval -3.9 to -1.0, p = 0.00021)" in text


def test_a_comparison_of_other_answers_is_not_shown(records):
    compare(records, -0.0247, -0.0391, -0.0102, 0.00021, answers="c" * 64)
    assert "2.5 ポイント" not in rendered(records)


@pytest.mark.parametrize(
    ("own", "japanese", "english"),
    [
        (None, "線形連鎖 CRF を **9.0 ポイント上回ります**。", "9.0 points ahead of a linear-chain CRF;"),
        ([0.49, 0.53], "線形連鎖 CRF を **9.0 ポイント上回ります**。", "9.0 points ahead of a linear-chain CRF;"),
        (
            [0.44, 0.53],
            "上回りますが、2つの 95 % 信頼区間は重なっています**。",
            "CRF, their 95 % intervals overlapping",
        ),
    ],
)
def test_without_a_comparison_overlapping_intervals_are_named(records, own, japanese, english):
    if own:
        records["ner"]["metrics"]["runs"][0]["intervals"] = {"f1": own}
    text = rendered(records)
    assert japanese in text and english in text.replace(". Text is", ";")
    assert "このモデルは TF-IDF と線形 SVM に **6.3 ポイント及びません**。" in text
    del records["ner-crf"]
    assert scores.verdict_in_japanese(records, "ner") == "" and scores.verdict_in_english(records, "ner") == ""


def test_recipes_with_time_and_cost(records):
    assert "| `recipes/tiny.yaml` | 見本の文章で、全工程を小さく動かす | 2コアで数分 | — |" in rendered(records)
    records["cost"] = {
        "metrics": {
            "recipes": {
                "gpu": {
                    "seconds": {"one_h100": 1740.0, "eight_h100": 240.0},
                    "dollars": {"one_h100": 1.3, "eight_h100": 2.4},
                },
                "paper": {
                    "seconds": {"one_h100": 1_123_200.0, "eight_h100": 148_000.0},
                    "dollars": {"one_h100": 936.2, "eight_h100": 987.4},
                },
            },
            "assumed": {
                "dollars_per_gpu_hour": 3.1,
                "dollars_per_cpu_hour": 0.2,
                "teacher_utilisation": 0.43,
                "student_utilisation": 0.17,
            },
        }
    }
    for name, wall in (("pretraining", 1000.0), ("livedoor", 3000.0), ("corpus", 3200.0), ("corpus_scaling", 9999.0)):
        records.setdefault(name, {"metrics": {}})
        records[name] |= {"command": "scripts/x.py --config recipes/cpu.yaml", "wall_seconds": wall}
    text = rendered(records)
    rows = [line for line in text.splitlines() if line.startswith("| `recipes/")]
    # An interrupted run's record has the wall time of its last part only: 3,601 s of training, not 1,000.
    assert [row.split(" | ")[2:] for row in rows] == [
        ["2コアで数分", "— |"],
        ["6コアで 2.7 時間(実測、全工程)", "$0.54 |"],
        ["H100 1基で 29 分(見積もり、学習のみ)", "$1 |"],
        ["H100 1基で 13 日、8基で 41 時間(見積もり、学習のみ)", "$936、$987 |"],
    ]
    assert "1時間 $3.10" in text and "教師モデルで 43.0 %、生徒モデルで 17.0 %" in text
    records["pretraining"]["command"] = "scripts/pretrain.py --config recipes/gpu.yaml"
    records["pretraining"]["hardware"]["accelerator"] = "A GPU"
    assert "| A GPU で 60 分(実測、学習のみ) | $3.10 |" in rendered(records)


def test_fine_tuning_in_minutes(records):
    # 5,893 titles ten times over at 98 a second.
    assert "元のモデルと同じ 10エポックを、題名 5,893件で学習すると、この速さで 10 分です(6コア)。" in rendered(
        records
    )
    records["finetuning_speed_livedoor"]["metrics"]["examples_per_second"] = {"this_loop": [47.0, 49.0]}
    assert "この速さで 20 分です" in rendered(records)


def test_the_share_that_was_masked_is_the_records(records):
    assert "語の 15.0 % を隠して測定" in rendered(records)  # of before records told of it
    records["pretraining"]["metrics"]["after"]["mlm_probability"] = 0.173
    text = rendered(records)
    assert len(re.findall(r"17\.3 % を隠し", text)) == 3 and "15.0 % を隠" not in text


def test_a_learning_curve_from_another_checkpoint_is_told():
    ours = {"inputs": {"model_name_or_path": "1" * 16}}
    assert not scores.learned_before({"ner": ours})
    assert not scores.learned_before({"ner": ours, "learning_curve_ner": ours})
    other = {"inputs": {"model_name_or_path": "2" * 16}}
    assert scores.learned_before({"ner": ours, "learning_curve_ner": other}) == [TASKS["ner"].short]
    records = {"ner": ours, "learning_curve_ner": other, "livedoor": ours, "learning_curve_livedoor": ours}
    assert scores.learned_before(records) == [TASKS["ner"].short]
