"""The card and the report: every number stands in a record, a missing one is said to be missing."""

import copy
import json
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import yaml
from matplotlib import font_manager

from helpers.files.made_up_records import made_up_records, pages
from helpers.paths import ROOT
from mobilebert_ja.card import figures, processors
from mobilebert_ja.card import render as card
from mobilebert_ja.card.tables import cuts, scores, speed
from mobilebert_ja.card.values import MISSING
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.records import recorded_fingerprint


@pytest.fixture
def folder(tmp_path) -> Path:
    for name, record in made_up_records().items():
        (tmp_path / f"{name}.json").write_text(json.dumps(record), encoding="utf-8")
    return tmp_path


def rendered(folder: Path) -> str:
    return pages(card.load_records(folder), time="figures/time.png")


@pytest.mark.parametrize(
    ("name", "path", "value", "shown"),
    [
        ("livedoor", ("metrics", "mean"), 0.654, "65.4 ± 1.2 %"),
        ("speed_livedoor", ("metrics", "contenders", "card", "median_ms"), 5.43, "5.43 ms"),
        ("pretraining", ("metrics", "after", "mlm_loss"), 3.21, "→ 3.21"),
        ("speed_ner", ("metrics", "speedup", "card", "median"), 9.876, "9.88 倍"),
    ],
)
def test_a_changed_record_changes_the_card(folder, name, path, value, shown):
    assert shown not in rendered(folder)
    record = json.loads((folder / f"{name}.json").read_text())
    place = record
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (folder / f"{name}.json").write_text(json.dumps(record))
    assert shown in rendered(folder)


def test_the_table(folder):
    rows = speed.table_rows(card.load_records(folder), "livedoor")
    assert rows[0] == ["BERT(重みは乱数、時間だけ測定)", "—", "—", "35.61 秒", "71.37 ms", "442.6 MB", "1.00 倍"]
    assert rows[1] == ["MobileBERT", "77.3 ± 1.2 %", "391 秒", "12.07 秒", "24.19 ms", "99.5 MB", "2.95 倍"]
    assert rows[2] == [
        "MobileBERT(元のカードの高速化)",
        "76.2 ± 0.7 %",
        "—",
        "3.04 秒",
        "6.02 ms",
        "41.9 MB",
        "11.71 倍",
    ]
    assert rows[3:] == [["TF-IDF と線形 SVM", "83.7 %", "4 秒", "—", "—", "—", "—"]]
    plain = speed.plain_table(card.load_records(folder))
    assert re.search(r"MobileBERT +77\.3 ± 1\.2 % +391 s +12\.07 s +24\.19 ms +99\.5 MB +2\.95 x\n", plain)


def test_the_table_has_the_score_of_a_bert_whose_times_are_those_of_random_weights(folder):
    record = json.loads((folder / "livedoor.json").read_text())
    record["metrics"] |= {"mean": 0.612, "std": None, "train_seconds": 1234.0, "pretrained": False}
    (folder / "livedoor-bert.json").write_text(json.dumps(record))
    records = card.load_records(folder)
    row = speed.table_rows(records, "livedoor")[0]
    assert row[:5] == ["BERT(事前学習なし、時間は微調整前に測定)", "61.2 %", "1,234 秒", "35.61 秒", "71.37 ms"]
    assert "BERT(事前学習なし)" in scores.run_rows(records)[0]
    assert re.search(r"BERT, not pretrained +61\.2 % +1,234 s", speed.plain_table(records))


def test_the_corpus_by_groups_of_sources(folder):
    record = json.loads((folder / "corpus.json").read_text())
    source = {"documents": 1234, "sentences": 1, "characters": 5_678_900}
    record["metrics"]["sources"] |= {"aozora": source, "wikipedia_a": source, "wikipedia_b": source, "letters": source}
    (folder / "corpus.json").write_text(json.dumps(record))
    text = rendered(folder).split("## 学習\n\n")[1].split("\n\n")[0]
    assert text.splitlines()[2:] == [
        "| 百科事典(Wikipedia 日本語版) | 2,468 | 1,136 万 | CC BY-SA 3.0、CC BY-SA 4.0 |",
        "| ニュース(ウィキニュース) | 3,669 | 230 万 | CC BY 2.5 |",
        "| 小説(青空文庫) | 1,234 | 568 万 | 著作権の保護期間が満了 |",
        "| `letters` | 1,234 | 568 万 | — |",
    ]


def test_corpus_and_vocabulary(folder):
    text = rendered(folder)
    assert "| 短すぎる文 | 2,917 |" in text and "| `" not in text.split("| 除いた文 | 数 |")[1].split("\n\n")[0]
    assert "| 百科事典 | このモデル | 0.042 % | 1.137 | 0.618 |" in text
    assert "100,003 文のうち" in text and "9.4 倍の速さ" in text


def test_a_grown_student_tells_both_of_its_lives(folder, tmp_path):
    alone = rendered(folder)
    record = json.loads((folder / "pretraining.json").read_text())
    record["settings"]["num_hidden_layers"] = 7
    record["metrics"] |= {"tokens_seen": 6_160_384, "train_seconds": 1505.0, "tokens_per_second": 4093.3}
    record["metrics"]["before"] = {"mlm_loss": 11.73, "mlm_accuracy": 0.0, "nsp_accuracy": 0.5}
    (folder / "shallow_pretraining.json").write_text(json.dumps(record))
    grown = rendered(folder)
    assert "7層のモデルを 25 分、616 万トークン" in grown and "損失 11.73 → 4.93" in grown and "11.73" not in alone
    assert "24層に増やして 60 分、505 万トークン" in grown and "合わせて 1,121 万トークンです。" in grown
    assert "合わせて" not in alone and "- **学習量**: 60 分、505 万トークン(1,234ステップ)。" in alone
    assert figures.pretraining_curve(card.load_records(folder), tmp_path / "curve.png").stat().st_size > 10_000


def test_a_run_of_three_parts_tells_of_each(folder, tmp_path, monkeypatch):
    last = json.loads((folder / "pretraining.json").read_text())
    for name, blocks, length, rate, minutes in (("shallow", 6, 64, 0.0012, 31), ("short", 24, 64, 0.0009, 43)):
        part = copy.deepcopy(last)
        part["settings"] |= {"num_hidden_layers": blocks, "max_seq_length": length, "learning_rate": rate}
        part["metrics"] |= {"train_seconds": 60.0 * minutes, "parameters": blocks * 1000}
        (folder / f"{name}_pretraining.json").write_text(json.dumps(part))
    last["metrics"]["parameters"] = 24_000
    (folder / "pretraining.json").write_text(json.dumps(last))
    text = rendered(folder)
    assert "6層のモデルを系列長 64 で 31 分、" in text and "24層に増やして系列長 64 で 43 分、" in text
    assert "さらに系列長 128 で 60 分、505 万トークン(1,234ステップ)。合わせて 1,516 万トークンです。" in text
    assert "学習率 0.0012、0.0009、0.001(段階ごとに)" in text
    assert "事前学習の時間は 2.2 時間" in text and "15.2 M tokens" in text
    drawn = []
    monkeypatch.setattr(figures, "_save", lambda figure, _path: drawn.append(figure))
    figures.pretraining_curve(card.load_records(folder), tmp_path / "curve.png")
    lines = drawn[0].axes[0].lines
    assert [line.get_label() for line in lines if not line.get_label().startswith("_")] == [
        figures.said("training, fewer blocks"),
        figures.said("training"),
        figures.said("held-out text"),
    ]
    assert list(lines[-1].get_xdata()) == pytest.approx([0.0, 5.054464, 2 * 5.054464, 3 * 5.054464])


def test_the_curve_shows_held_out_points_where_they_were_measured(folder, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "_save", lambda figure, _path: drawn.append(figure))
    record = json.loads((folder / "pretraining.json").read_text())
    record["metrics"]["heldout_history"] = [{"step": 3, "tokens": 2_500_000, "seconds": 9.1, "mlm_loss": 7.25}]
    (folder / "shallow_pretraining.json").write_text(json.dumps(record))
    before = card.load_records(folder)
    figures.pretraining_curve(before, tmp_path / "curve.png")
    (folder / "pretraining.json").write_text(json.dumps(record))
    figures.pretraining_curve(card.load_records(folder), tmp_path / "curve.png")
    seen = record["metrics"]["tokens_seen"] / 1e6
    points = [list(zip(*figure.axes[0].lines[-1].get_data(), strict=True)) for figure in drawn]
    assert points == [[(2.5, 7.25)], [(2.5, 7.25), (pytest.approx(seen + 2.5), 7.25)]]


@pytest.mark.parametrize(("setting", "value"), [("validate_on", 0.2), ("train_share", 0.5)])
def test_scores_that_settings_are_chosen_by_are_on_no_page(folder, capsys, setting, value):
    path = folder / "livedoor.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["settings"][setting] = value
    path.write_text(json.dumps(record), encoding="utf-8")
    assert "livedoor" not in card.load_records(folder)
    assert f"livedoor.json is left out: it was made with --{setting} {value}" in capsys.readouterr().err


def test_missing_records_are_said_to_be_missing(folder):
    for path in folder.glob("*.json"):
        if path.stem != "corpus":
            path.unlink()
    text = pages(card.load_records(folder))
    assert text.count(MISSING) > 20 and "None" not in text
    (folder / "corpus.json").unlink()
    with pytest.raises(UserError, match="holds no records"):
        card.load_records(folder)


def test_practice_run_says_so(folder):
    assert "練習用" not in rendered(folder)
    record = json.loads((folder / "corpus.json").read_text())
    record["settings"]["data_dir"] = None
    (folder / "corpus.json").write_text(json.dumps(record))
    assert "練習用の実行から作られたカード" in rendered(folder)


def add_sped_up(folder: Path) -> dict:
    """Time what is sped up otherwise, for named entities alone; returns that record."""
    record = json.loads((folder / "speed_ner.json").read_text())
    metrics = record["metrics"]
    times = {"bert": 77.71, "bert_onnx": 19.13, "mobilebert": 24.19, "onnx": 5.97}
    for name, each in times.items():
        metrics["contenders"].setdefault(name, {"bytes": 28_100_000, "trained": True})
        metrics["contenders"][name] |= {
            "median_ms": each,
            "p10_ms": each - 1.07,
            "p90_ms": each + 2.03,
            "seconds": [1.0],
            "start_seconds": [0.47, 0.43, 0.61],
            "start_peak_mib": [143.0, 141.3, 147.9],
        }
    metrics["contenders"]["card"] |= {"p10_ms": 5.51}
    metrics["speedup"] |= {"bert_onnx": {"median": 4.062}, "onnx": {"median": 13.017}}
    metrics["speedup_over"] = {
        "bert_onnx": {
            name: {"median": ratio}
            for name, ratio in (("bert", 0.246), ("mobilebert", 0.791), ("onnx", 3.204), ("card", 3.178))
        }
    }
    metrics["by_threads"] = {
        threads: {"contenders": {name: {"median_ms": each / (1 + more)} for name, each in times.items()}}
        for threads, more in (("1", 0), ("2", 0.37))
    }
    (folder / "speed_ner.json").write_text(json.dumps(record))
    compressed = {"mean": 0.5087, "mean_before": 0.512, "std": 0.004, "runs": []}
    (folder / "compressed_ner_onnx.json").write_text(json.dumps({"metrics": compressed}))
    return record


def test_each_task_tells_the_processor_that_it_was_timed_on(folder):
    machine = {"cores": 2, "memory_gib": 7.5, "instructions": ["avx2", "avx512_vnni"]}
    for task, others in (("livedoor", {"processor": "One"}), ("ner", {"processor": "Two", "instructions": ["avx2"]})):
        record = json.loads((folder / f"speed_{task}.json").read_text())
        (folder / f"speed_{task}.json").write_text(json.dumps(record | {"hardware": machine | others}))
    records = card.load_records(folder)
    one, other = "One(2コア、メモリー 7.5 GiB、VNNI あり)", "Two(2コア、メモリー 7.5 GiB、VNNI なし)"
    told = f"題名の分類(livedoor)は {one}、固有表現抽出(Wikipedia)は {other}"
    assert processors.machines(records) == told and f"測定環境: {told}、torch" in rendered(folder)
    records["speed_ner"]["hardware"] = records["speed_livedoor"]["hardware"]
    assert processors.machines(records) == one


def test_what_one_could_pick_instead_stands_beside_it(folder):
    record = add_sped_up(folder)
    assert "ModernBERT" not in rendered(folder)
    metrics = record["metrics"]
    for name, time in (("modernbert-ja-30m", 9.3), ("modernbert-ja-30m-onnx", 5.9)):
        metrics["contenders"][name] = {**metrics["contenders"]["bert_onnx"], "median_ms": time, "trained": False}
        metrics["speedup"][name] = metrics["speedup_over"]["bert_onnx"][name] = {"median": 77.71 / time}
    ratios = {"onnx": 0.988, "bert": 0.076, "bert_onnx": 0.308, "mobilebert": 0.24, "card": 0.98}
    metrics["speedup_over"]["modernbert-ja-30m-onnx"] = {
        name: {"median": ratio} for name, ratio in (*ratios.items(), ("modernbert-ja-30m", 0.634))
    }
    (folder / "speed_ner.json").write_text(json.dumps(record))
    text = rendered(folder)
    assert "| 1件 | 範囲 | BERT 比 | BERT(int8)比 | ModernBERT(int8)比 | ファイル |" in text
    assert (
        "| modernbert-ja-30m の形(int8、ONNX) | — | — | 5.9 ms | 18.1〜21.2 ms | 13.2 倍 | 13.2 倍 | 1.0 倍 |" in text
    )
    assert "| MobileBERT(int8、ONNX) | 50.9 % | -0.3 | 6.0 ms | 4.9〜8.0 ms | 13.0 倍 | 3.2 倍 | 1.0 倍 |" in text
    assert "乱数の重みで測ったもので、精度は測っていません" in text


def test_everything_sped_up_stands_beside_bert_in_int8(folder):
    assert "高速化したモデルのすべて" not in rendered(folder)  # of the published card's three there is a table already
    add_sped_up(folder)
    text = rendered(folder)
    assert "| MobileBERT(int8、ONNX) | 50.9 % | -0.3 | 6.0 ms | 4.9〜8.0 ms | 13.0 倍 | 3.2 倍 | 28.1 MB |" in text
    assert "28.1 MB | 0.5 秒 | 143 MiB |" in text
    assert "| BERT(int8、ONNX) | — | — | 19.1 ms | 18.1〜21.2 ms | 4.1 倍 | 1.0 倍 |" in text
    assert "| モデル | 1スレッド | 2スレッド |\n|---|---|---|\n" in text
    assert "| MobileBERT(int8、ONNX) | 6.0 ms | 4.4 ms |" in text
    assert "モデルの直後" not in text and "1件ずつ、1件ごとに順番を入れ替えながら測りました" in text


def test_times_in_turns_and_right_after_another_model(folder):
    record = add_sped_up(folder)
    metrics = record["metrics"] | {"turn": 17, "cold_items": 73}
    for place, facts in enumerate(metrics["contenders"].values()):
        facts["cold_median_ms"] = 31.3 + place
    (folder / "speed_ner.json").write_text(json.dumps({**record, "metrics": metrics}))
    text = rendered(folder)
    assert "1件ずつ、1つのモデルが続けて 17件に答えるたびに交代し、順番を入れ替えながら測りました" in text
    assert "| モデル | 1スレッド | 2スレッド | 1スレッド、ほかのモデルの直後 |\n|---|---|---|---|\n" in text
    assert "| MobileBERT(int8、ONNX) | 6.0 ms | 4.4 ms | 35.3 ms |" in text and "測った値です(73件)" in text


def add_cuts(folder: Path) -> None:
    facts = {
        "uncut": (0.5121, 5.97, 4.1, 9.3, 28_100_000, 0.9917),
        "18x0.8": (0.5077, 4.53, 3.2, 7.1, 23_100_000, 0.9541),
        "14x0.8": (0.5083, 3.71, 2.5, 6.2, 19_700_000, 0.9433),
        "6x0.5": (0.4719, 1.83, 1.2, 3.3, 12_300_000, 0.8131),
    }
    keys = ("score", "median_ms", "p10_ms", "p90_ms", "bytes", "agreement")
    models = {name: dict(zip(keys, each, strict=True)) for name, each in facts.items()}
    (folder / "cuts_ner.json").write_text(json.dumps({"metrics": {"items": 200, "models": models}}))


def test_a_sweep_over_another_model_says_so(folder):
    add_sped_up(folder)
    add_cuts(folder)
    words = "以前のチェックポイントから微調整したモデルで測った値です"
    assert words not in rendered(folder)
    cuts, tuned = (json.loads((folder / f"{name}.json").read_text()) for name in ("cuts_ner", "ner"))
    tuned["files"] = {"config.json": "0" * 64}
    (folder / "ner.json").write_text(json.dumps(tuned))
    for made_from, said in ((recorded_fingerprint(tuned), False), ("1" * 16, True)):
        (folder / "cuts_ner.json").write_text(json.dumps(cuts | {"inputs": {"finetuned": made_from}}))
        assert (words in rendered(folder)) is said
    start = {"inputs": {"model_name_or_path": "2" * 16}}
    again = tuned | start | {"files": {"config.json": "1" * 64}}
    again["metrics"] = tuned["metrics"] | {"mean": 0.5217, "std": 0.0031}
    (folder / "ner.json").write_text(json.dumps(tuned | start))
    (folder / "ner-again.json").write_text(json.dumps(again))
    made_from = {"inputs": {"finetuned": recorded_fingerprint(again)}}
    (folder / "cuts_ner.json").write_text(json.dumps(cuts | made_from))
    report = rendered(folder)
    told = "もう一度微調整したモデル(52.2 ± 0.3 %)の、最初の乱数シードのもので測った値です。"
    assert told in report and words not in report


def test_the_card_treatment_has_a_table(folder):
    add_sped_up(folder)
    assert "元のカードの高速化を変えてみたとき" not in rendered(folder)
    facts = {"score": 0.5037, "median_ms": 7.13, "bytes": 39_300_000, "agreement": 0.9271, "sparsity": 0.2}
    models = {"pruned-per_tensor": facts, "retrained-per_channel": facts | {"score": 0.5117, "agreement": 0.9719}}
    record = {"settings": {"prune_epochs": 4}, "metrics": {"items": 200, "models": models}}
    (folder / "card_treatment_ner.json").write_text(json.dumps(record))
    text = rendered(folder)
    assert "| 枝刈りのみ、行列ごとのスケール(カードの方法) | 50.4 % | 7.13 ms | 39.3 MB | 92.7 % |" in text
    assert "| 枝刈りの後に再学習、出力ごとのスケール | 51.2 % | 7.13 ms | 39.3 MB | 97.2 % |" in text
    assert "(4エポック)" in text


def test_the_choice_of_depth_has_a_table(folder):
    add_sped_up(folder)
    assert "残す層の数の選び方" not in rendered(folder)
    depths = [
        {"layers": 4, "choice": "evenly spread", "score": 0.43, "difference": -0.02, "interval": [-0.04, 0.001]},
        {
            "layers": 6,
            "choice": "costliest to leave out",
            "score": 0.449,
            "difference": -0.001,
            "interval": [-0.02, 0.02],
        },
    ]
    choice = {"chosen": 6, "within_margin": True, "margin": 0.5, "train_size": 257, "validation_size": 64}
    choice |= {"uncut": {"score": 0.45}, "depths": depths, "cost_of_leaving_out": [0.1] * 24}
    (folder / "compressed_ner_fast.json").write_text(json.dumps({"metrics": {"mean": 0.5, "choice": choice}}))
    block = rendered(folder).split("#### 残す層の数の選び方: ")[1].split("\n##")[0]
    assert "64件を取り分け、残りの 257件で" in block and "0.5 ポイント以内" in block
    assert block.strip().splitlines()[-3:] == [
        "| 24 | — | 45.0 % | — |",
        "| **6** | 除くと損失の大きい層 | 44.9 % | -0.1(-2.0 から +2.0) |",
        "| 4 | 等間隔 | 43.0 % | -2.0(-4.0 から +0.1) |",
    ]


def test_pretraining_that_went_on_with_own_text_is_told(folder):
    assert "手元の文章で続ける" not in rendered(folder)
    text = {"train": {"documents": 71}, "heldout": {"documents": 13}}
    metrics = {"text": text, "tokens": {"train": {"tokens": 3_210_000}}, "tokens_seen": 98_304, "epochs": 0.193}
    metrics |= {"train_seconds": 61.7, "before": {"mlm_loss": 3.56, "mlm_accuracy": 0.408}}
    metrics |= {"after": {"mlm_loss": 3.32, "mlm_accuracy": 0.426}}
    (folder / "adapted_livedoor.json").write_text(json.dumps({"metrics": metrics, "hardware": {"cores": 2}}))
    text = rendered(folder)
    assert "71件、321 万トークン" in text and "0.19 周" in text
    assert "損失は 3.56 から 3.32 に、正解率は 40.8 % から 42.6 % に" in text.replace("\N{NO-BREAK SPACE}", " ")


def test_the_service_beside_hostile_clients_tells_whose_texts_it_answered(folder):
    assert "壊れたもの" not in rendered(folder)
    alone = {"clients": 3, "requests": 4321, "median_ms": 7.3, "p99_ms": 14.8, "wrong_or_lost": 0}
    others = {"statuses": {"200": 65, "422": 75}, "wrong_or_lost": 2, "requests": 140}
    beside = alone | {"requests": 212, "p99_ms": 377.7, "hostile_clients": 5, "hostile": others}
    record = {
        "metrics": {"task": "ner", "treatment": "fast", "rounds": [alone, beside]},
        "settings": {"seconds": 71.0},
    }
    (folder / "service_mixture.json").write_text(json.dumps(record))
    text = rendered(folder).replace("\N{NO-BREAK SPACE}", " ")
    assert "固有表現抽出(Wikipedia)のモデル(`fast`)に、3つのクライアントがふつうの文を" in text
    assert "(71 秒ずつ。" in text
    assert "| 0 | 4,321 | 7.3 ms | 14.8 ms | 0 | — |" in text
    assert "| 5 | 212 | 7.3 ms | 377.7 ms | 0 | 200 が 65件、422 が 75件、誤り・失敗 2件 |" in text


def test_bars_name_the_processor_of_each_task_if_they_differ(folder, monkeypatch):
    panels = panels_of(figures.time_bars, card.load_records(folder), monkeypatch)
    assert not any("\n" in axes.get_title() for axes in panels)
    record = json.loads((folder / "speed_ner.json").read_text())
    (folder / "speed_ner.json").write_text(json.dumps(record | {"hardware": {"processor": "Another One"}}))
    panels = panels_of(figures.time_bars, card.load_records(folder), monkeypatch)
    assert panels[1].get_title().endswith("\nAnother One")


def test_the_parts_of_a_call_have_a_table(folder):
    assert "呼び出しの内訳" not in rendered(folder)
    groups = {"int8 products": 1.2, "attention": 0.45, "outside of nodes": 0.35}
    metrics = {"task": "ner", "treatment": "fast", "items": 71, "mean_tokens": 43.21, "mean_ms": 2.0, "groups": groups}
    hardware = {"processor": "A Processor", "instructions": ["avx2"]}
    (folder / "profile.json").write_text(json.dumps({"metrics": metrics, "hardware": hardware}))
    block = rendered(folder).split("### 1回の呼び出しの内訳")[1].split("\n##")[0]
    assert "71件の平均、1スレッド、平均 43.2 トークン。A Processor、VNNI なし" in block
    assert "| 注意機構 | 0.45 ms | 22.5 % |" in block.replace("\N{NO-BREAK SPACE}", " ")


def test_the_parts_of_a_step_have_a_table(folder):
    told = "1回の更新(A made-up processor、24行 × 96トークン、bf16、6 スレッド、AdamW)の内訳です"
    _, block = rendered(folder).split(told)
    block = block.split("\n##")[0]
    assert "| 最適化 | 100 ms | 25.0 % |" in block.replace("\N{NO-BREAK SPACE}", " ")


def test_cuts_have_a_table(folder):
    add_sped_up(folder)
    assert "層を減らしたとき" not in rendered(folder)
    add_cuts(folder)
    records = card.load_records(folder)
    assert cuts.cut_rows(records, "livedoor") == []
    assert cuts.cut_rows(records, "ner")[::2] == [
        ["減らさない", "51.2 %", "5.97 ms", "28.1 MB", "99.2 %"],
        ["14層、FFN 0.8", "50.8 %", "3.71 ms", "19.7 MB", "94.3 %"],
    ]
    text = pages(records, cuts="figures/cuts.png")
    block = text.split("#### 層を減らしたとき: ")[1].split("\n##")[0]
    assert "| 6層、FFN 0.5 | 47.2 % | 1.83 ms | 12.3 MB | 81.3 % |" in block
    assert "figures/cuts.png" in block and "figures/cuts-dark.png" in block
    assert "残す層の数をこの表から選ぶことはしません" in block


def test_ways_of_cutting_have_a_table(folder):
    add_sped_up(folder)
    cut = {"mean": 0.481, "std": None, "mean_before": 0.512, "runs": [{"kept_blocks": [0, 4, 9]}]}
    (folder / "compressed_ner_fast-labels.json").write_text(json.dumps({"metrics": cut}))
    assert "層の減らし方の比較" not in rendered(folder)  # there is nothing to compare it with
    depth = {"layers": 2, "choice": "costliest to leave out", "score": 0.4, "difference": 0.0, "interval": [0.0, 0.0]}
    choice = {"chosen": 2, "depths": [depth, depth | {"layers": 5, "choice": "first and last"}], "margin": 0.5}
    choice |= {"cost_of_leaving_out": [0.1] * 7, "uncut": {"score": 0.4}, "validation_size": 71, "train_size": 284}
    choice |= {"within_margin": True}
    runs = [{"kept_blocks": [0, 4]}] * 3
    more = {"mean": 0.503, "std": 0.0042, "runs": runs, "unlabelled": {"learned": 4321}, "choice": choice}
    (folder / "compressed_ner_fast.json").write_text(json.dumps({"metrics": cut | more}))
    block = rendered(folder).split("#### 層の減らし方の比較: ")[1].split("\n##")[0].replace("\N{NO-BREAK SPACE}", " ")
    assert [line for line in block.splitlines() if line.startswith("| ")][1:] == [
        "| **訓練データ、ラベルのない 4,321件** | 2 | 除くと損失の大きい層 | 3 | 50.3 ± 0.4 % | 51.2 % | -0.9 |",
        "| 訓練データだけ | 3 | 等間隔 | 1 | 48.1 % | 51.2 % | -3.1 |",
    ]


def test_the_service_and_fine_tuning(folder):
    text = rendered(folder)
    assert "| 3 | 83 | 35.7 ms | 60.0 ms | 1 / 818 |" in text
    assert "毎秒 98 件で、`Trainer` の 1.57 倍(長さでまとめる設定の `Trainer` の 1.23 倍)" in text


def test_kinds_of_text_and_lengths(folder):
    text = rendered(folder)
    rows = [line for line in text.split("| 文章 | 損失 |")[1].splitlines()[2:5]]
    assert rows == [
        "| 百科事典(`wikipedia_x`) | 4.37 | 33.9 % | 6.2 % |",
        "| letters | 5.55 | 29.4 % | 5.3 % |",
        "| 小説(`aozora`) | 6.31 | 21.7 % | 4.8 % |",
    ]
    assert text.index("| 64 | 4.99 | 30.7 % |") < text.index("| 512 | 7.07 | 11.2 % |")


def test_cost_of_training(folder):
    # One hour and a second on six cores of 10 W: 0.06 kWh, of 438 g each.
    assert "事前学習の時間は 60 分(A Processor, 6 cores)" in rendered(folder) and "0.06 kWh" in rendered(folder)
    head = yaml.safe_load(rendered(folder).split("---\n")[1])
    assert head["co2_eq_emissions"]["emissions"] == 26.3
    assert head["co2_eq_emissions"]["hardware_used"] == "A Processor, 6 cores"
    record = json.loads((folder / "pretraining.json").read_text())
    record["hardware"]["accelerator"] = "A GPU"
    (folder / "pretraining.json").write_text(json.dumps(record))
    assert "事前学習の時間は 60 分(1 x A GPU)" in rendered(folder) and "0.70 kWh" in rendered(folder)


def test_figures_are_drawn_and_the_same_every_time(folder, tmp_path):
    records = card.load_records(folder)
    first, second = (figures.draw_figures(records, tmp_path / name) for name in ("a", "b"))
    assert first.keys() == {
        "pretraining",
        "time",
        "score",
        "sentences",
        "tokens",
        "confusion",
        "learning",
        "road",
        "block",
    }
    for name, path in first.items():
        assert path.read_bytes()[:4] == b"\x89PNG" and path.read_bytes() == second[name].read_bytes()
    assert figures.draw_figures({}, tmp_path / "c") == {}
    light, dark = (plt.imread(tmp_path / "a" / f"time{ending}.png")[0, 0, :3].mean() for ending in ("", "-dark"))
    assert light > 0.9 and dark < 0.2
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        f"{name}{ending}.png" for name in first for ending in ("", "-dark")
    }


@pytest.mark.filterwarnings("error:Glyph")
@pytest.mark.parametrize("installed", [True, False])
def test_figures_speak_the_language_that_a_font_is_there_for(folder, tmp_path, monkeypatch, installed):
    if not installed:
        monkeypatch.setattr(figures, "japanese_font", lambda: None)
    elif figures.japanese_font() is None:
        pytest.skip("no Japanese font here (Debian: fonts-ipafont-gothic)")
    words = figures.said("tokens per word"), figures.said("{} blocks, FFN {}", 3, 0.5)
    assert words == (
        ("1単語あたりのトークン", "3層、FFN 0.5") if installed else ("tokens per word", "3 blocks, FFN 0.5")
    )
    records = card.load_records(folder)
    drawn = []
    monkeypatch.setattr(figures, "_save", lambda figure, _path: drawn.append(figure))
    with plt.rc_context(figures.style(dark=False)):
        made = [draw(records, tmp_path) for draw in figures.FIGURES.values()]
    assert len(drawn) == 9 and len(made) > 9  # the others say that their records are missing
    for figure in drawn:
        figure.draw_without_rendering()  # a missing glyph is an error here
        plt.close(figure)


def test_any_font_with_kana_will_do_and_the_best_comes_first(monkeypatch):
    installed = font_manager.findSystemFonts()
    latin = [path for path in installed if "DejaVu" in path]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: latin)
    assert figures.japanese_font.__wrapped__() is None
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: installed)
    if (found := figures.japanese_font.__wrapped__()) is None:
        pytest.skip("no Japanese font here (Debian: fonts-ipafont-gothic)")
    monkeypatch.setattr(figures, "FONTS", ())
    assert figures.japanese_font.__wrapped__()  # of those that are there, whatever it is called
    assert found == "IPAPGothic" or not any(path.endswith("ipagp.ttf") for path in installed)


def panels_of(draw, records, monkeypatch) -> list:
    """The panels of a figure that is drawn and not saved, after a look at its words: none may leave the page."""
    kept = []
    monkeypatch.setattr(figures, "_save", lambda figure, path: kept.append(figure))
    with plt.rc_context(figures.style(dark=False)):
        draw(records, Path())
        figure = kept[0]
        figure.canvas.draw()
    words = [each for legend in figure.legends for each in legend.get_texts()]
    for axes in figure.axes:
        low, high = sorted(axes.get_ylim())
        words += [
            axes.title,
            *axes.texts,
            *(each for each in axes.get_yticklabels() if low <= each.get_position()[1] <= high),
        ]
    for text in words:
        place = text.get_window_extent()
        assert place.x0 >= 0 and place.y0 >= 0 and place.x1 <= figure.bbox.x1 and place.y1 <= figure.bbox.y1, text
    plt.close(figure)
    return figure.axes


def test_figures_show_every_model_that_was_timed(folder, monkeypatch):
    add_sped_up(folder)
    records = card.load_records(folder)
    timed = ["bert", "bert_onnx", "mobilebert", "card", "onnx"]
    titles, entities = panels_of(figures.time_bars, records, monkeypatch)
    labels = [figures.said(figures.NAMES[name]) for name in timed]
    assert [each.get_text() for each in titles.get_yticklabels()] == labels
    assert [each.get_width() for each in entities.patches] == [77.71, 19.13, 24.19, 6.02, 5.97]
    assert [each.get_width() for each in titles.patches] == [71.37, 24.19, 6.02]
    titles, entities = panels_of(figures.score_by_time, records, monkeypatch)
    drawn = {each.get_label(): tuple(each[0].get_xydata()[0]) for each in entities.containers}
    exported = figures.said("MobileBERT, int8 ONNX")
    assert drawn == {"MobileBERT": (24.19, pytest.approx(51.2)), exported: (5.97, pytest.approx(50.87))}
    legend = [each.get_text() for each in titles.figure.legends[0].get_texts()]
    assert set(legend) == {"MobileBERT", figures.said("MobileBERT, int8 jit"), exported}


def test_figure_of_cuts(folder, monkeypatch):
    assert figures.cuts(card.load_records(folder), folder) is None
    add_cuts(folder)
    (entities,) = panels_of(figures.cuts, card.load_records(folder), monkeypatch)
    marks = [each.lines for each in entities.containers]  # the point, the ends of its whiskers, the whiskers
    assert [each.get_text() for each in entities.texts] == [
        *(figures.said("{} blocks, FFN {}", *cut) for cut in ((6, 0.5), (14, 0.8), (18, 0.8))),
        figures.said("uncut"),
    ]
    point, ends, _ = marks[1]
    assert tuple(point.get_xydata()[0]) == (3.71, pytest.approx(50.83))
    assert [float(each.get_xdata()[0]) for each in ends] == [pytest.approx(2.5), pytest.approx(6.2)]


@pytest.mark.slow
def test_the_pages_and_the_guides_table_are_what_the_records_render(tmp_path):
    guide = (ROOT / "scripts" / "README.md").read_text(encoding="utf-8")
    table = guide.split(card.GUIDE_START)[1].split(card.GUIDE_END)[0]
    (tmp_path / "guide.md").write_text(guide.replace(table, "an old one\n"), encoding="utf-8")
    command = [
        sys.executable,
        ROOT / "scripts" / "render_card.py",
        "--records_dir",
        "records",
        "--output_dir",
        tmp_path,
        "--figures_dir",
        tmp_path / "records" / "figures",
        "--report_file",
        tmp_path / "records" / "README.md",
        "--guide_file",
        tmp_path / "guide.md",
    ]
    done = subprocess.run([str(each) for each in command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in ("README.md", "records/README.md"):
        assert (tmp_path / name).read_text(encoding="utf-8") == (ROOT / name).read_text(encoding="utf-8")
    assert (tmp_path / "guide.md").read_text(encoding="utf-8") == guide


def test_a_cell_does_not_break_before_a_unit():
    spaced = card.table(["model", "all items"], [["BERT", "85.7 ± 0.4 %"], ["12 layers", "1,207 秒"]])
    shown = "| model | all items |\n|---|---|\n| BERT | 85.7_±_0.4_% |\n| 12 layers | 1,207_秒 |"
    assert spaced.replace(card.NO_BREAK, "_") == shown


def test_the_card_is_read_in_five_minutes():
    _, head, body = (ROOT / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert len(head.splitlines()) + 2 <= 70 and len(body.splitlines()) <= 200
    sections = ["使い方", "速さと精度", "仕組み", "学習", "再現", "限界", "ライセンス", "免責", "引用"]
    assert re.findall(r"^## (.+)$", body, flags=re.MULTILINE) == sections


def test_the_report_has_a_table_of_contents():
    text = (ROOT / "records" / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^ *- \[(.+)\]\(#.+\)$", text.split("## 目次")[1].split("\n## ")[0], flags=re.MULTILINE)
    headings = re.findall(r"^###? (.+)$", text, flags=re.MULTILINE)
    assert listed == [each for each in headings if each != "目次"] and len(set(listed)) == len(listed) > 15


def test_ablations_stand_side_by_side(folder):
    text = rendered(folder)
    assert "| 19 % | 6.117 / 6.229 | 4.7 % / 4.6 % |" in text
    assert "| 37 % | 発散(43ステップ) | — |" in text


def test_trials_are_shown_with_what_each_has_over_the_first(folder):
    facts = {"metric": "accuracy", "train_size": 307, "test_size": 1511, "train_seconds": 271.4}
    seed = {"difference": 0.052, "interval": [0.031, 0.0729], "p": 1.3e-6}
    variants = {
        "1e-4, 10 epochs": facts | {"scores": {"0": 0.6083}},
        "5e-4, 10 epochs": facts
        | {"scores": {"0": 0.6603}, "over_first": {"mean": 0.052, "seeds": {"0": seed}}, "silver": {"learned": 1234}},
        "5e-4, 20 epochs": facts
        | {"scores": {"0": 0.661, "1": 0.65}, "over_first": {"mean": 0.047, "seeds": {"0": seed, "1": seed}}},
    }
    record = {"metrics": {"question": "?", "first": "1e-4, 10 epochs", "variants": variants}}
    (folder / "trials_few_rows.json").write_text(json.dumps(record), encoding="utf-8")
    text = rendered(folder)
    assert "学習 307件、比べたもの 1,511件:" in text
    assert "| 学習率 1e-4、10エポック | 60.8 % | — | — | 271 秒 |" in text
    assert "| 学習率 5e-4、10エポック | 66.0 % | +5.2(+3.1 から +7.3、p = 1.3e-06) | 1,234件 | 271 秒 |" in text
    assert "| 学習率 5e-4、20エポック | 66.1 %、65.0 % | +4.7 | — | 271 秒 |" in text


def test_the_card_says_what_the_model_cannot_do(folder):
    limits = rendered(folder).split("## 限界")[1].split("\n## ")[0]
    length = json.loads((folder / "pretraining.json").read_text())["settings"]["max_seq_length"]
    assert f"系列長 {length} で学習しています。それより後ろの位置は学習されておらず" in limits
    for word in ("旧仮名遣い", "方言", "話し言葉", "プログラムのコード", "偏り"):
        assert word in limits


def test_titles_kept_out_of_pretraining_are_told(folder):
    record = json.loads((folder / "corpus.json").read_text())
    assert "評価に使う NER の文は、完全に一致する" in rendered(folder)
    record["metrics"]["looked_for"] = {"evaluation_sentence": 5343, "evaluation_title": 7356}
    record["metrics"]["removed_sentences"]["evaluation_title"] = 3
    (folder / "corpus.json").write_text(json.dumps(record))
    text = rendered(folder)
    assert (
        "評価に使う NER の文とニュースの見出しは、完全に一致する" in text and "| 評価データにある見出し | 3 |" in text
    )


def test_an_ablation_of_equal_time_says_so_and_shows_the_tokens(folder):
    timed = {"finished": True, "mlm_loss": 6.311, "mlm_accuracy": 0.0479, "settings": {"max_train_seconds": 37.0}}
    runs = {
        "rows of 61": timed | {"tokens_seen": 412_301},
        "rows of 59": timed | {"tokens_seen": 398_507},
        "far too fast": {"finished": False, "diverged_at_step": 43, "settings": {"max_train_seconds": 37.0}},
    }
    (folder / "ablation_schedule.json").write_text(json.dumps({"metrics": {"runs": runs}}), encoding="utf-8")
    text = rendered(folder)
    assert "同じ時間(37 秒):\n\n| 設定 | 損失 | 正解率 | トークン |\n|---|---|---|---|\n" in text
    assert "| rows of 61 | 6.311 | 4.8 % | 412,301 |\n| rows of 59 | 6.311 | 4.8 % | 398,507 |" in text
    assert "| far too fast | 発散(43ステップ) | — | — |" in text


def test_every_model_stands_in_the_order_of_its_score(folder):
    record = json.loads((folder / "livedoor.json").read_text())
    record["metrics"] |= {"mean": 0.701, "pretrained": False}
    (folder / "livedoor-random.json").write_text(json.dumps(record))
    text = rendered(folder)
    rows = text.split("### すべての手法: ")[1].split("\n\n")[1].splitlines()[2:]
    assert rows[:3] == [
        "| TF-IDF と線形 SVM | 83.7 % | 81.2 から 85.7 | 75.1 % | 1 | 4 秒 |",
        "| **このモデル** | 77.3 % ± 1.2 | — | 75.1 % | 3 | 391 秒 |",
        "| MobileBERT(事前学習なし) | 70.1 % ± 1.2 | — | 75.1 % | 3 | 391 秒 |",
    ]
    assert "正解率は 74.4 % です" in text


def test_classes_and_types_have_a_table_of_their_own(folder):
    text = rendered(folder)
    assert "| topic-news | 59.2 % | 55.3 % | 57.2 % | 151 |" in text
    assert "| 人名 | 61.4 % | 58.7 % | 60.0 % | 1177 |" in text
    record = json.loads((folder / "ner.json").read_text())
    record["metrics"] |= {
        "decoding": "crf",
        "choice": {"validation_size": 321, "f1": {"plain": 0.4417, "crf": 0.5029}},
    }
    (folder / "ner.json").write_text(json.dumps(record))
    expected = "CRF(訓練データから取り分けた 321文での F値: トークンごとに最良のタグ 44.2 %、CRF 50.3 %)"
    assert expected in rendered(folder)
