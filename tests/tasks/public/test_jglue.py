"""JGLUE in its own files: reading, scores, pairs and windows as rows, and every task from end to end."""

import itertools
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset
from scipy import stats
from transformers import (
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

import finetune
from helpers.files.task_data import PEOPLE, PLACES, write_student, write_tokenizer
from helpers.paths import SCRIPTS
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json
from mobilebert_ja.finetuning.modelling.forms import (
    Reader,
    best_answer,
    choice_rows,
    collate_choices,
    windows_of,
    with_answer,
)
from mobilebert_ja.finetuning.modelling.rows import collate, make_row
from mobilebert_ja.tasks import task_source
from mobilebert_ja.tasks.intervals import Answers, compare, read_answers
from mobilebert_ja.tasks.metrics import answer_scores, character_f1, exact_match, pearson, similarity_scores, spearman
from mobilebert_ja.tasks.public import jglue
from mobilebert_ja.tokenization.encoder import FastEncoder

ANIMALS, VERBS = ["監督", "選手", "俳優", "力士"], ["話題になる", "注目が集まる"]


def similar(number: int) -> dict:
    """Sentences with one ending are alike, those with different ones are not."""
    generator = random.Random(number)
    first, second = generator.choices(ANIMALS, k=2)
    item = {
        "sentence1": f"{first}が{VERBS[0]}",
        "sentence2": f"{second}{'が' if number % 2 else 'に'}{VERBS[number % 2]}",
    }
    return {"sentence_pair_id": str(number), **item, "label": 0.5 if number % 2 else 4.5}


def inferred(number: int) -> dict:
    item = similar(number)
    return item | {"label": "entailment" if item["label"] == 4.5 else "contradiction"}


def asked(number: int) -> dict:
    choices = random.Random(number).sample([*ANIMALS, "野球", "映画", "料金"], 5)
    return {"q_id": number, "question": f"{choices[number % 5]}はどれ", "label": number % 5} | {
        f"choice{place}": choice for place, choice in enumerate(choices)
    }


def squad(count: int, offset: int = 0) -> dict:
    paragraphs = []
    for number in range(offset, offset + count):
        generator = random.Random(number)
        person, place = generator.choice(PEOPLE), generator.choice(PLACES)
        context = f"題 [SEP] {'昨日は雨が降った。' * (number % 3)}{person}は　{place}に住む。"
        qas = [
            {"id": f"{what}{number}", "question": what, "answers": [{"text": it, "answer_start": context.index(it)}]}
            for what, it in (("どこに住む", place), ("だれが", person))
        ]
        paragraphs.append({"context": context, "qas": qas})
    return {"version": "1.1", "data": [{"title": "題", "paragraphs": paragraphs}]}


def write_jglue(folder):
    for name, make in (("jsts", similar), ("jnli", inferred), ("jcommonsenseqa", asked)):
        (folder / name).mkdir(parents=True)
        for part, numbers in (("train", range(80)), ("valid", range(80, 110))):
            lines = [json.dumps(make(number), ensure_ascii=False) for number in numbers]
            (folder / name / f"{part}-v1.1.json").write_text("\n".join(lines), encoding="utf-8")
    (folder / "jsquad-v1.3").mkdir()
    for part, (count, offset) in {"train": (60, 0), "valid": (12, 60)}.items():
        text = json.dumps(squad(count, offset), ensure_ascii=False)
        (folder / "jsquad-v1.3" / f"{part}-v1.3.json").write_text(text, encoding="utf-8")
    return folder


def source(task, data_dir):
    def no_sample():
        raise AssertionError("the embedded sample has no JGLUE")

    return task_source({"task": task, "data_dir": str(data_dir)}, no_sample)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    write_jglue(folder / "data")
    write_student(folder / "student", write_tokenizer(folder / "tokenizer"))
    return folder


@pytest.fixture(scope="module")
def encoder(work):
    return FastEncoder(work / "tokenizer")


# --- scores


def test_correlations_as_scipy():
    generator = np.random.default_rng(0)
    mine = generator.integers(0, 6, 200).tolist()  # many ties
    theirs = (np.array(mine) + generator.normal(size=200)).round(1).tolist()
    assert pearson(mine, theirs) == pytest.approx(stats.pearsonr(mine, theirs).statistic)
    assert spearman(mine, theirs) == pytest.approx(stats.spearmanr(mine, theirs).statistic)
    assert similarity_scores([1.0, 1.0], [2.0, 3.0]) == {"pearson": 0.0, "spearman": 0.0}
    assert spearman([1, 2, 3], [1, 20, 300]) == pytest.approx(1.0) and spearman([1, 2, 3], [3, 2, 1]) == -1.0


def test_answers_by_hand():
    assert exact_match(" 京都市", ["大阪", "京都市"]) == 1.0 and exact_match("京都", ["京都市"]) == 0.0
    assert character_f1("京都", ["京都市"]) == pytest.approx(2 * 2 / 5)
    assert character_f1("東京都", ["京都市", "東京"]) == pytest.approx(2 * 2 / 5)
    assert character_f1("東東", ["東京"]) == pytest.approx(2 * 1 / 4) and character_f1("", ["東京"]) == 0.0
    assert answer_scores(["京都市", "京都"], [["京都市"]] * 2) == pytest.approx({"exact_match": 0.5, "answer_f1": 0.9})


def test_models_are_compared_by_these_scores_too():
    generator = np.random.default_rng(1)
    gold = generator.uniform(0, 5, 150)
    good, poor = ((gold + generator.normal(size=150) * noise).tolist() for noise in (0.5, 5))
    texts = [str(number) for number in range(150)]
    one, other = (Answers(Path("x"), "spearman", texts, gold.tolist(), answers) for answers in (poor, good))
    result = compare(one, other, resamples=300)
    assert result["scores"]["second"] == pytest.approx(spearman(good, gold.tolist()))
    assert result["interval"][0] > 0 and result["p"] < 0.02
    wanted, answers = [["京都市"]] * 40, (["京都"] * 40, ["京都市"] * 30 + ["京都"] * 10)
    one, other = (Answers(Path("x"), "answer_f1", texts[:40], wanted, each) for each in answers)
    assert compare(one, other, resamples=300)["scores"] == pytest.approx({"first": 0.8, "second": 0.95})


# --- rows


def test_pairs_as_the_tokenizer_makes_them(work, encoder):
    tokenizer = AutoTokenizer.from_pretrained(str(work / "tokenizer"))
    pair = ("監督が話題になる", "ｶﾞﾘﾚｵの　映画")
    row, wanted = make_row(pair, encoder, 64), tokenizer(*pair)
    assert row.ids == wanted["input_ids"] and row.types == wanted["token_type_ids"] and not row.truncated
    batch = collate([row, make_row("監督", encoder, 64)], 0)
    assert batch["token_type_ids"][0].tolist() == wanted["token_type_ids"] and not batch["token_type_ids"][1].any()
    assert set(row.types) == {0, 1}


@pytest.mark.parametrize(("first", "second"), [(1, 30), (30, 1), (30, 30), (8, 9)])
def test_the_longer_of_a_pair_is_truncated_first(encoder, first, second):
    row = make_row(("監督" * first, "選手" * second), encoder, 20)
    kept = [row.types.count(0) - 2, row.types.count(1) - 1]
    whole = [len(encoder.ids("監督" * first)), len(encoder.ids("選手" * second))]
    assert len(row.ids) == min(20, sum(whole) + 3) and row.truncated == (sum(whole) > 17)
    for mine, all_of_it, other in zip(kept, whole, kept[::-1], strict=True):
        assert mine == all_of_it or mine >= other - 1


def test_choices_share_a_batch(encoder):
    rows = [choice_rows(("どれ", ("監督", "選手が話題", "力士")), Reader(encoder, 32))[0] for _ in range(2)]
    rows[0].labels, rows[1].labels = 1, 2
    batch = collate_choices(rows, 0)
    assert batch["input_ids"].shape == (2, 3, len(rows[0].ids)) and batch["labels"].tolist() == [1, 2]
    assert batch["input_ids"][0, 1].tolist() == make_row(("どれ", "選手が話題"), encoder, 32).ids


def test_windows_cover_the_context_and_know_the_answer(encoder):
    context = "昨日は雨が降った。" * 6 + "田中太郎は　京都市に住む。"
    start = context.index("京都市")
    windows = windows_of(("どこに住む", context), Reader(encoder, 32, 8))
    assert len(windows) > 2 and all(len(window.ids) <= 32 for window in windows)
    offsets = encoder.encode(context).offsets
    assert sorted({offset for window in windows for offset in window.offsets}) == offsets
    for before, after in itertools.pairwise(windows):
        assert len(set(before.offsets) & set(after.offsets)) >= 8
    found = [with_answer(window, start, start + 3) for window in windows]
    assert found[0].labels == (0, 0) and found[-1].labels != (0, 0)
    first, last = (index - found[-1].first for index in found[-1].labels)
    assert context[found[-1].offsets[first][0] : found[-1].offsets[last][1]] == "京都市"
    scores = np.zeros((2, len(found[-1].ids)))
    scores[0, found[-1].labels[0]] = scores[1, found[-1].labels[1]] = 5.0
    scores[1, found[-1].first] = 7.0  # an end before the beginning does not count
    assert best_answer(found[-1], *scores) == (10.0, (start, start + 3))
    assert windows_of(("どこ" * 40, "雨"), Reader(encoder, 32, 8))[0].truncated


# --- files that are not what they should be


@pytest.mark.parametrize(
    ("task", "content", "words"),
    [
        ("jnli", '{"sentence1": "a", "sentence2": "b", "label": "maybe"}', "line 1 must have 'label', one of"),
        ("jnli", '{"sentence1": "a", "label": "neutral"}', "line 1 must have 'sentence2', a string"),
        ("jsts", '{"sentence1": "a", "sentence2": "b", "label": 6}', "'label', a number from 0 to 5"),
        ("jcommonsenseqa", json.dumps(asked(1) | {"label": 5}), "'label', a whole number from 0 to 4"),
        ("jcommonsenseqa", '{"question": "a", "label": 0}', "must have 'choice0'"),
        ("jsts", "", "is empty"),
        ("jsquad", "[]", "is not in SQuAD's form"),
        ("jnli", '{"sentence1": " ", "sentence2": "b", "label": "neutral"}', "the sentence1 is empty"),
        ("jsquad", "{", "is not valid JSON"),
        ("jsquad", json.dumps(squad(1)).replace('"answer_start": ', '"answer_start": 1'), "does not stand at"),
        ("jsquad", json.dumps(squad(1)).replace('"answer_start": ', '"answer_start": -'), "does not stand at"),
        ("jsquad", "[" * 100_000, "is not valid JSON: maximum recursion depth"),
        ("jsquad", '{"data": ' + "9" * 5000 + "}", "is not in SQuAD's form"),
    ],
)
def test_malformed_files(tmp_path, task, content, words):
    (tmp_path / task).mkdir()
    for part in ("train", "valid"):
        (tmp_path / task / f"{part}-v1.1.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=words.replace("(", r"\(")) as caught:
        source(task, tmp_path).load(0)
    assert "train-v1.1.json" in str(caught.value)


@pytest.mark.parametrize("task", ["jnli", "jsquad"])
def test_another_encoding_is_told_without_a_flag_that_these_tasks_do_not_have(tmp_path, task):
    (tmp_path / task).mkdir()
    for part in ("train", "valid"):
        (tmp_path / task / f"{part}-v1.1.json").write_text('{"question": "これは何ですか"}\n', encoding="cp932")
    with pytest.raises(UserError, match=r"It looks like CP932: iconv -f CP932 -t UTF-8 converts it\.$"):
        source(task, tmp_path).load(0)


def test_missing_and_ambiguous_files(tmp_path):
    with pytest.raises(UserError, match="holds no folder jnli"):
        source("jnli", tmp_path)
    (tmp_path / "jnli").mkdir()
    with pytest.raises(UserError, match=r"lacks train-v1\.1\.json"):
        source("jnli", tmp_path)
    for version in ("1.1", "1.3"):
        (tmp_path / "jnli" / f"train-v{version}.json").write_text("")
    with pytest.raises(UserError, match="several versions"):
        source("jnli", tmp_path)
    with pytest.raises(UserError, match="--train_file goes with"):
        task_source({"task": "jnli", "train_file": "a.csv"}, lambda: tmp_path)


# --- the Hub


def write_hub_cache(home, task, part, rows, names=None):
    """The Hub's Parquet file in a cache, as the real client keeps it."""
    table = Dataset.from_list(rows)
    if names:
        table = table.cast_column("label", ClassLabel(names=names))
    folder = home / "hub" / "datasets--shunk031--JGLUE"
    commit = "0" * 40
    place = folder / "snapshots" / commit / jglue._HUB_FOLDERS[task] / part / "0000.parquet"
    place.parent.mkdir(parents=True)
    table.to_parquet(str(place))
    (folder / "refs" / "refs" / "convert").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "refs" / "convert" / "parquet").write_text(commit)


@pytest.mark.slow
def test_the_hubs_copy_reads_as_jglues_own_files(tmp_path, work):
    """In another process, because the client reads its environment when it is imported."""
    names = ["entailment", "contradiction", "neutral"]
    for task, make in (("jsts", similar), ("jnli", inferred), ("jcommonsenseqa", asked)):
        for part, numbers in (("train", range(80)), ("validation", range(80, 110))):
            rows = [make(number) for number in numbers]
            if task == "jnli":
                rows = [row | {"label": names.index(row["label"])} for row in rows]
            write_hub_cache(tmp_path, task, part, rows, names if task == "jnli" else None)
    for part, (count, offset) in {"train": (60, 0), "validation": (12, 60)}.items():
        rows = [
            {
                "id": item["id"],
                "title": "題",
                "context": paragraph["context"],
                "question": item["question"],
                "answers": {
                    "text": [answer["text"] for answer in item["answers"]],
                    "answer_start": [answer["answer_start"] for answer in item["answers"]],
                },
                "is_impossible": False,
            }
            for paragraph in squad(count, offset)["data"][0]["paragraphs"]
            for item in paragraph["qas"]
        ]
        write_hub_cache(tmp_path, "jsquad", part, rows)
    code = (
        "import sys; from pathlib import Path; from mobilebert_ja.tasks import JGLUE, task_source\n"
        "for task in JGLUE:\n"
        "    hub, own = (task_source({'task': task, 'data_dir': at}, None).load(0) for at in (None, sys.argv[1]))\n"
        "    assert hub == own and len(own.test), task\n"
    )
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(SCRIPTS)}
    command = [sys.executable, "-c", code, str(work / "data")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_no_hub_says_what_to_do(tmp_path):
    environment = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "finetune.py"), "--task", "jnli", "--work_dir", str(tmp_path / "work")],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "The Hub data set shunk031/JGLUE cannot be read" in done.stderr and "--data_dir names" in done.stderr


# --- from end to end


def alike(first, second) -> bool:
    """Equal but for rounding: answers of `jsts` are numbers, of which the last digits differ by where their batch lay
    in memory, and with them the order of answers that are nearly the same."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(alike(first[name], second[name]) for name in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(alike, first, second))
    return abs(first - second) < 1e-3 if isinstance(first, float) else first == second


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "auto", "least"),
    [
        ("jsts", AutoModelForSequenceClassification, 0.5),
        ("jnli", AutoModelForSequenceClassification, 0.8),
        ("jcommonsenseqa", AutoModelForMultipleChoice, 0.1),
        ("jsquad", AutoModelForQuestionAnswering, 0.5),
    ],
)
def test_every_task(work, monkeypatch, task, auto, least):
    flags = ["--work_dir", work, "--data_dir", work / "data", "--task", task, "--num_train_epochs", 6]
    flags += ["--num_seeds", 1, "--learning_rate", 3e-3, "--per_device_train_batch_size", 8]
    flags += ["--max_seq_length", 32, "--doc_stride", 8]
    monkeypatch.setattr(sys, "argv", ["finetune.py", *map(str, flags)])
    threads = torch.get_num_threads()
    finetune.main()
    torch.set_num_threads(threads)
    metrics = read_json(work / "records" / f"{task}.json")["metrics"]
    history = metrics["runs"][0]["history"]
    assert history[-1]["loss"] < history[0]["loss"] and metrics["mean"] > least
    folder = work / "finetuned" / task
    kept = read_answers(folder / "predictions-seed-0.json")
    examples = source(task, work / "data").load(0).test
    assert kept.metric == metrics["metric"] and kept.targets == [example.gold for example in examples]
    low, high = metrics["runs"][0]["intervals"][kept.metric]
    assert low <= metrics["mean"] <= high
    model, report = auto.from_pretrained(str(folder), output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    if task == "jnli":  # the library itself, fed with the tokenizer's own pairs, answers alike
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
        inputs = tokenizer(
            [each.text for each in examples], [each.second for each in examples], padding=True, return_tensors="pt"
        )
        with torch.inference_mode():
            best = model.eval()(**inputs).logits.argmax(-1).tolist()
        assert [model.config.id2label[number] for number in best] == kept.predictions
    if task == "jcommonsenseqa":  # as little as its model learns here, these are the answers that it gives
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
        labels = source(task, work / "data").load(0).labels
        for example, kept_answer in zip(examples, kept.predictions, strict=True):
            rows = tokenizer([example.text] * 5, list(example.second), padding=True, return_tensors="pt")
            with torch.inference_mode():
                scores = model.eval()(**{name: each[None] for name, each in rows.items()}).logits[0]
            assert scores[labels.index(kept_answer)] > scores.max() - 1e-4  # of two as good as each other, either
    monkeypatch.setattr(sys, "argv", ["finetune.py", *map(str, flags), "--rescore", "true"])
    finetune.main()
    assert alike(read_json(work / "records" / f"{task}.json")["metrics"], metrics)
    assert alike(vars(read_answers(folder / "predictions-seed-0.json")), vars(kept))
    if task == "jsquad":
        assert all(answer in example.second for answer, example in zip(kept.predictions, examples, strict=True))
        assert metrics["runs"][0]["details"]["exact_match"] > 0.3
