"""Timings of processors with VNNI and without: two columns of ratios, and each table by its processor."""

import copy
import json
from pathlib import Path

import pytest

from helpers.files.made_up_records import made_up_records, pages
from helpers.paths import ROOT
from mobilebert_ja.card import figures, processors
from mobilebert_ja.card import render as card
from mobilebert_ja.card.tables import speed, summary
from mobilebert_ja.common.processor import by_processor
from mobilebert_ja.common.records import recorded_fingerprint

VNNI = {"processor": "One", "cores": 2, "memory_gib": 7.5, "instructions": ["avx2", "avx512_vnni"]}
AVX2 = VNNI | {"processor": "Two", "instructions": ["avx2"]}
TIMED = ("speed_livedoor", "speed_ner", "profile", "onnx_variants_ner", "service_load", "service_mixture", "bulk")


@pytest.fixture
def records() -> dict:
    """Both tasks timed on a processor with VNNI, sped up too; and all else that depends on it."""
    made = made_up_records()
    for task in ("livedoor", "ner"):
        made[task] |= {"files": {"model.safetensors": task}}
        made[f"compressed_{task}_onnx"] = {"metrics": {"mean": 0.5, "std": None, "bytes": 27_000_000, "runs": []}}
        timed = made[f"speed_{task}"]
        metrics = timed["metrics"]
        timed["inputs"] = {"mobilebert": recorded_fingerprint(made[task]), "data_dir": "0" * 16}
        metrics["task"] = task
        metrics["contenders"]["onnx"] = copy.deepcopy(metrics["contenders"]["card"]) | {"bytes": 27_100_000}
        metrics["speedup"]["onnx"] = {"median": 13.13}
        for name, facts in metrics["contenders"].items():
            facts |= {"p10_ms": 1.0, "parameters": len(name)}
    profile = {"task": "ner", "treatment": "fast", "items": 7, "mean_tokens": 9.0, "groups": {"attention": 1.25}}
    variant = {"int8": {"median_ms": 3.31, "bytes": 27_000_000, "agreement": 0.97}}
    alone = {"clients": 3, "requests": 4321, "median_ms": 7.3, "p99_ms": 14.8, "wrong_or_lost": 0}
    way = {"num_workers": 5, "batch_size": 7, "texts_per_second": [303.0], "times_as_fast": 1.83, "agreement": 0.9973}
    made |= {
        "profile": {"metrics": profile},
        "onnx_variants_ner": {"metrics": {"task": "ner", "kept": "int8", "variants": variant}},
        "service_mixture": {
            "metrics": {"task": "ner", "treatment": "fast", "rounds": [alone]},
            "settings": {"seconds": 71.0},
        },
        "bulk": {"metrics": {"task": "ner", "treatment": "fast", "texts": 4567, "ways": [way]}},
    }
    for name in TIMED:
        made[name]["hardware"] = dict(VNNI)
    return made


def loaded(records: dict, folder) -> dict:
    for name, record in records.items():
        (folder / f"{name}.json").write_text(json.dumps(record), encoding="utf-8")
    return card.load_records(folder)


def add_avx2(records: dict) -> dict:
    """The same measured without VNNI, with other times and ratios; returns the records."""
    for name in TIMED:
        records[f"{name}_avx2"] = copy.deepcopy(records[name]) | {"hardware": dict(AVX2)}
    for task in ("livedoor", "ner"):
        metrics = records[f"speed_{task}_avx2"]["metrics"]
        for name, ratio in (("onnx", 5.47), ("card", 4.21), ("mobilebert", 3.03)):
            metrics["speedup"][name] = {"median": ratio}
            metrics["contenders"][name]["median_ms"] *= 2.7
    records["profile_avx2"]["metrics"]["groups"]["attention"] = 4.75
    records["onnx_variants_ner_avx2"]["metrics"]["variants"]["int8"]["median_ms"] = 8.83
    records["bulk_avx2"]["metrics"]["ways"][0]["texts_per_second"] = [111.0]
    for name in ("service_load_avx2", "service_mixture_avx2"):
        for each in records[name]["metrics"]["rounds"]:
            each["p99_ms"] = 191.9
    return records


def test_without_such_records_no_page_tells_kinds_apart(records, tmp_path):
    text = pages(loaded(records, tmp_path))
    assert "速さ(VNNI" not in text and "| ファイル | 速さ |" in text and "VNNI なし" not in text and "AVX2" not in text


def test_two_columns_of_ratios_and_all_else_of_the_first(records, tmp_path):
    text = pages(loaded(add_avx2(records), tmp_path))
    assert text.count("| ファイル | 速さ(VNNI あり) | 速さ(VNNI なし) |\n") == 4 and "| ファイル | 速さ |" not in text
    assert "| 71.37 ms | 442.6 MB | 1.00 倍 | 1.00 倍 |" in text
    assert "| 3.04 秒 | 6.02 ms | 27.1 MB | 13.13 倍 | 5.47 倍 |" in text
    one, other = (f"{name}(2コア、メモリー 7.5 GiB、VNNI {has})" for name, has in (("One", "あり"), ("Two", "なし")))
    assert f"測りました({one}、VNNI のない計算機は {other})。「速さ」は全件の合計時間の BERT との比で、" in text
    assert "1台ですべてのモデルを測りました。" in text
    assert "BERT 71.4 ms。487件の合計では 13.1 倍の速さ(int8 の命令 VNNI のない CPU では 5.5 倍) |" in text
    titles = "13.1 times as fast as BERT-base in PyTorch on news titles, 5.5 without VNNI"
    told = f"{titles}; 13.1 times on named entities, 5.5 without VNNI"
    assert f"onnxruntime alone (`--treatment onnx`: {told});" in text
    assert "without VNNI" in speed.plain_table(card.load_records(tmp_path))


def test_the_figure_of_times_has_a_row_for_each_kind(records, tmp_path, monkeypatch):
    del add_avx2(records)["speed_ner_avx2"]
    records["speed_livedoor_avx2"]["metrics"]["contenders"]["bert"]["median_ms"] = 321.0
    (titles, entities), (titles_avx2, nothing) = time_panels(loaded(records, tmp_path), monkeypatch)
    assert titles.get_title().endswith("\nOne" + figures.said(" (VNNI)")) and nothing.axison is False
    assert titles_avx2.get_title().endswith("\nTwo" + figures.said(" (without VNNI)"))
    assert (
        [each.get_width() for each in titles.patches][-1]
        == 6.02
        == [each.get_width() for each in entities.patches][-1]
    )
    assert [each.get_width() for each in titles_avx2.patches][-1] == pytest.approx(2.7 * 6.02)
    assert titles.get_xlim() == entities.get_xlim() != titles_avx2.get_xlim()


def time_panels(records, monkeypatch):
    """The panels of the figure of times, rows of them, drawn and not saved."""
    kept = []
    monkeypatch.setattr(figures, "_save", lambda figure, path: kept.append(figure))
    figures.time_bars(records, Path())
    axes = kept[0].axes
    return [axes[:2], axes[2:]]


def test_the_report_has_each_table_by_its_processor(records, tmp_path):
    text = pages(loaded(add_avx2(records), tmp_path))
    for words, first, second in (
        ("### 高速化したモデルのすべて: 固有表現抽出", "| 6.0 ms |", "| 16.3 ms |"),
        ("#### onnxruntime で試したこと: 固有表現抽出", "3.31 ms", "8.83 ms"),
        ("### 1回の呼び出しの内訳", "1.25 ms", "4.75 ms"),
        ("### HTTP で答えさせたとき", "60.0 ms", "191.9 ms"),
        ("### たくさんのテキストに答えさせたとき", "| 303 |", "| 111 |"),
    ):
        section = text.split(words)[1].split("\n#")[0]
        of_one, of_other = section.split("**One(2コア")[1].split("**Two(2コア")
        assert first in of_one and second not in of_one and second in of_other
    assert text.split("### HTTP で答えさせたとき")[1].split("\n#")[0].count("| 191.9 ms |") == 2  # the mixture too


def test_alone_it_stands_where_the_other_would_and_every_table_says_so(records, tmp_path):
    add_avx2(records)
    for name in TIMED:
        del records[name]
    found = loaded(records, tmp_path)
    assert not [name for name in found if name.endswith("_avx2")]
    text = pages(found)
    assert "| ファイル | 速さ(VNNI なし) |\n" in text and "VNNI あり" not in text and "**One(" not in text
    assert "採用したものです。" in text and "\n**Two(2コア、メモリー 7.5 GiB、VNNI なし)**\n\n| 方法 |" in text
    assert "| 16.25 ms | 27.1 MB | 5.47 倍 |" in text
    assert (
        "| 題名1件の時間(int8、CPU 1スレッド、VNNI なし、中央値) | 16.3 ms | 高速化していない BERT 71.4 ms。" in text
    )
    assert "件の合計では 5.5 倍の速さ |" in text
    titles = "5.5 times as fast as BERT-base in PyTorch on news titles without VNNI"
    assert f"(`--treatment onnx`: {titles}; 5.5 times on named entities without VNNI)" in text


def test_one_task_may_be_timed_on_both_and_the_other_on_one(records, tmp_path):
    del add_avx2(records)["speed_ner_avx2"], records["speed_livedoor"]
    found = loaded(records, tmp_path)
    assert (
        speed.table_heads(found, "livedoor")[-1] == "速さ(VNNI なし)" and speed.table_heads(found, "ner")[-1] == "速さ"
    )
    assert "固有表現抽出(Wikipedia)は One(" in processors.machines(found)


@pytest.mark.parametrize("hardware", [None, {"machine": "aarch64", "processor": "Arm", "cores": 2, "memory_gib": 7.5}])
def test_of_a_processor_that_nobody_knows_no_kind_is_told(records, tmp_path, hardware):
    add_avx2(records)
    for name in TIMED:
        del records[name]["hardware"]
        records[name] |= {"hardware": hardware} if hardware else {}
    for name in ("profile", "bulk", "service_load") if hardware is None else ():  # they name their processor
        del records[name], records[f"{name}_avx2"]
    text = pages(loaded(records, tmp_path))
    assert "VNNI" not in text and "| ファイル | 速さ |" in text and "13.13 倍" in text and "5.47 倍" not in text
    assert hardware is None or "(Arm(2コア、メモリー 7.5 GiB))" in text


def test_times_of_another_machine_than_the_tables_above_name_theirs(records, tmp_path):
    assert "での値です" not in pages(loaded(records, tmp_path))
    records["onnx_variants_ner"]["hardware"] = records["onnx_variants_ner"]["hardware"] | {"processor": "Three"}
    records["service_mixture"]["hardware"] = records["service_mixture"]["hardware"] | {"processor": "Four"}
    text = pages(loaded(records, tmp_path))
    assert text.count("時間は Three(2コア、メモリー 7.5 GiB、VNNI あり)での値です") == 1
    assert text.split("### HTTP で答えさせたとき")[1].split("\n#")[0].count("**Four(2コア") == 1


def test_a_table_that_one_kind_alone_fills_is_left_out_of_the_other(records, tmp_path):
    del add_avx2(records)["speed_ner_avx2"]["metrics"]["contenders"]["onnx"]
    section = pages(loaded(records, tmp_path)).split("### 高速化したモデルのすべて: 固有表現抽出")[1].split("\n#")[0]
    assert "**One(" in section and "**Two(" not in section


def test_a_record_of_before_there_were_two_names_is_told_by_its_processor(records):
    add_avx2(records)
    former, todays = records["speed_ner"], records["speed_ner_avx2"]
    found = processors.told_apart(records | {"speed_ner": former | {"hardware": AVX2}})
    assert found["speed_ner"] is todays and "speed_ner_avx2" not in found
    assert processors.told_apart(records) == records


def test_other_weights_are_told_and_another_structure_has_no_ratio(records, tmp_path):
    timed = add_avx2(records)["speed_ner_avx2"]
    assert "時間を測ったのは" not in pages(loaded(records, tmp_path))
    timed["inputs"]["mobilebert"] = "f" * 16
    text = pages(loaded(records, tmp_path))
    same = "時間を測ったのは、精度を示したモデルと同じ構造で、重みだけが違うモデルです(時間は重みによりません)。"
    assert f"\nVNNI のない計算機で{same}\n" in text and f"VNNI なし)**: {same}" in text and text.count(same) == 3
    timed["metrics"]["contenders"]["mobilebert"] |= {"bytes": 61_000_000, "parameters": 1}
    records = loaded(records, tmp_path)
    text = pages(records)
    assert same not in text and "VNNI のない計算機で時間を測ったのは、精度を示したモデルとは別のモデルです。" in text
    assert speed.measured(records, "ner", "mobilebert").speedup_avx2 is None
    assert speed.measured(records, "ner", "onnx").speedup_avx2 == 5.47
    assert "| 2.95 倍 | 未測定 |" in text


def test_a_walk_costs_what_one_kind_took(records):
    for name in ("speed_ner", "speed_ner_avx2"):
        records[name] = {"command": "scripts/measure.py models --config recipes/cpu.yaml", "wall_seconds": 60.0}
    assert summary.seconds_of(records, "cpu", summary.ROAD) == 60.0


def test_the_repositorys_own_timings_are_of_the_processor_that_their_name_tells():
    names = [path.stem for path in (ROOT / "records").glob("*.json")]
    for name in names:
        plain = name.removesuffix("_avx2")
        if plain in TIMED or plain == "onnx_variants_livedoor":
            hardware = json.loads((ROOT / "records" / f"{name}.json").read_text())["hardware"]
            assert by_processor(plain, hardware) == name
