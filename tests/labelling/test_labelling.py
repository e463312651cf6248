"""finetune.py with teachers: who is asked, what is left out, what is kept, and what is refused."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import baseline
import finetune
from helpers.files.own_files import table
from helpers.files.task_data import SUBJECTS, article, sentence, write_student, write_tokenizer
from helpers.models.fast_models import run_here, write_data, write_finetuned
from helpers.paths import SCRIPTS
from helpers.running.processes import wait_until
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json, write_json
from mobilebert_ja.common.records import fingerprint
from mobilebert_ja.finetuning.folder import load_finetuned
from mobilebert_ja.labelling import silver as labelling
from mobilebert_ja.labelling import teachers
from mobilebert_ja.labelling.origin import classical_settings, labelling_stage
from mobilebert_ja.labelling.teachers import ModelTeacher, open_teachers, require_same_parts, tell_of_start
from mobilebert_ja.plans import finetuning_stage
from mobilebert_ja.settings import FinetuneSettings, parse_settings
from mobilebert_ja.tasks import Example, load_task
from mobilebert_ja.tasks.parts import what_is_read

LEARNED = [article(category, number).split("\n")[2] for category in SUBJECTS for number in range(20)]
NEW_TITLES = [article(category, number).split("\n")[2] for category in SUBJECTS for number in range(100, 112)]
NEW_SENTENCES = sorted(
    {sentence(number)["text"] for number in range(200, 400)} - {sentence(n)["text"] for n in range(40)}
)
QUICK = (
    "--num_train_epochs",
    "1",
    "--num_seeds",
    "1",
    "--max_seq_length",
    "24",
    "--per_device_train_batch_size",
    "16",
)


REFUSED = ("--output_dir", "refused")
MANY = 120  # so many times the titles are chunks enough for a kill to come in the middle


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Data of both tasks, a student, teachers with random weights, and texts that nobody labelled."""
    folder = tmp_path_factory.mktemp("silver")
    write_data(folder / "data")
    write_student(folder / "student", write_tokenizer(folder / "tokenizer"))
    write_finetuned(folder, folder / "data", "livedoor", [0, 1])
    write_finetuned(folder, folder / "data", "ner", [0])
    # White space and width are no difference to a model.
    (folder / "titles.txt").write_text(
        "\n\n".join([*LEARNED, *NEW_TITLES, f" {NEW_TITLES[0]}\u3000"]), encoding="utf-8"
    )
    (folder / "sentences.txt").write_text("\n".join(NEW_SENTENCES), encoding="utf-8")
    return folder


@pytest.fixture
def run(work, monkeypatch, capsys):
    """finetune.py in this process, as a user starts it in the folder of his work; (status, what it said)."""
    monkeypatch.chdir(work)
    torch.set_num_threads(1)
    return lambda *flags: run_here(monkeypatch, capsys, finetune, ".", "data", *QUICK, *flags)


def answers_of(said):
    """The lines of the one file of answers that a run names."""
    (name,) = {word.rstrip(":,") for word in said.split() if word.rstrip(":,").endswith("answers.jsonl")}
    with open(name, encoding="utf-8") as stream:
        return name, [json.loads(line) for line in stream]


@pytest.mark.slow
def test_classes_by_several_teachers(work, run):
    status, said = run("--task", "livedoor", "--teacher", "finetuned/livedoor,svm", "--unlabelled_file", "titles.txt")
    assert status == 0
    name, lines = answers_of(said)
    assert name.startswith("silver/livedoor-")
    assert [each["text"] for each in lines] == list(dict.fromkeys([*LEARNED, *NEW_TITLES]))
    record = read_json(work / "finetuned" / "livedoor-silver" / "record.json")
    facts, task = record["metrics"]["silver"], load_task("livedoor", work / "data", 0)
    tested, trained = ({what_is_read(each) for each in part} for part in (task.test, task.train))
    keys = [what_is_read(Example(each["text"], None)) for each in lines]
    tested |= {what_is_read(each) for each in task.variants["without_markers"]}
    assert facts["in_test_part"] == sum(key in tested for key in keys)
    assert facts["in_training_part"] == sum(key in trained - tested for key in keys)
    assert facts["in_test_part"] > 3 and facts["in_training_part"] > 10
    assert facts["in_test_part"] + facts["in_training_part"] + facts["repeated"] + facts["unsure"] == (
        facts["given"] - facts["learned"]
    )
    assert f"{facts['in_test_part']} texts of the test part" in said
    # Two seeds and the SVM, each a third: what the two say can be computed from their folders.
    shares = []
    for folder in ("finetuned/livedoor", "finetuned/livedoor/seed-1"):
        ready = load_finetuned(work / folder, "livedoor", 24)[1]
        ((_, logits),) = ready.predictor().read([lines[-1]["text"]], 1)
        shares.append(dict(zip(ready.labels, torch.softmax(logits[0], -1).tolist(), strict=True)))
    svm = {
        label: 3 * lines[-1]["probabilities"].get(label, 0) - sum(each[label] for each in shares)
        for label in shares[0]
    }
    assert max(svm.values()) > 0.6 and all(-0.01 < each < 1.01 for each in svm.values())  # it has learned them
    assert sum(svm.values()) == pytest.approx(1, abs=0.01)


@pytest.mark.slow
def test_asked_once_and_corrected(work, run):
    asked = ("--task", "ner", "--teacher", "finetuned/ner,crf", "--unlabelled_file", "sentences.txt")
    asked += ("--decoding", "crf", "--min_confidence", "0.3", "--silver_share", "0.5")
    status, said = run(*asked)
    assert status == 0
    name, lines = answers_of(said)
    assert [each["text"] for each in lines] == NEW_SENTENCES
    assert all(0 <= span["confidence"] <= 1 for each in lines for span in each["entities"])
    found = {span["name"] for each in lines for span in each["entities"]}
    assert found & {"京都市", "大阪府", "田中太郎", "鈴木花子"}  # the CRF knows them
    facts = read_json(work / "finetuned" / "ner-silver" / "record.json")["metrics"]["silver"]
    assert facts["learned"] == -(-(facts["given"] - facts["unsure"]) // 2)

    assert "nothing to do" in run(*asked)[1]
    status, said = run(*asked, "--seed", "1", "--output_dir", "other")
    assert status == 0 and "answered already" in said
    corrected = [each | {"entities": []} if number == 0 else each for number, each in enumerate(lines)]
    with open(name, "w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(each, ensure_ascii=False) + "\n" for each in corrected)
    assert "was made otherwise (answers was None, is now" in run(*asked)[1]
    whole = Path(name).read_text(encoding="utf-8")
    Path(name).write_bytes(whole.encode("cp932", "ignore"))  # as an editor of Windows may keep it
    said = run(*asked, "--overwrite", "true")[1]
    assert "It looks like CP932: iconv -f CP932 -t UTF-8 converts it." in said  # --encoding would ask anew
    Path(name).write_text(whole, encoding="utf-8")
    with open(name, "a", encoding="utf-8") as stream:
        stream.write('{"text": "題"}\n')
    said = run(*asked, "--overwrite", "true")[1]
    assert f'answers.jsonl, line {len(lines) + 1}: "entities" must be a list' in said


def whole_lines(path) -> int:
    return path.read_bytes().count(b"\n") if path.is_file() else 0


@pytest.mark.slow
def test_a_killed_labelling_goes_on_and_ends_with_the_same_bytes(work, run, monkeypatch):
    """SIGKILL in the middle of the answers of a process as users start it; then the same command again."""
    texts = [f"{title}、その{number}" for number in range(MANY) for title in NEW_TITLES]
    (work / "many.txt").write_text("\n".join(texts), encoding="utf-8")
    asked = ("--task", "livedoor", "--teacher", "finetuned/livedoor/seed-1,svm", "--unlabelled_file", "many.txt")
    asked += ("--output_dir", "killed", "--min_confidence", "0", "--silver_share", "0.005")
    command = [sys.executable, SCRIPTS / "finetune.py", "--work_dir", ".", "--data_dir", "data", *QUICK, *asked]

    def partial() -> Path:
        return next((work / "silver").glob("livedoor-*.partial/answers.jsonl"), work / "nowhere")

    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [str(part) for part in command], cwd=work, env=environment, stdout=subprocess.DEVNULL
    ) as process:
        wait_until(lambda: whole_lines(partial()) >= labelling.CHUNK, process)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    kept = whole_lines(partial()) // labelling.CHUNK * labelling.CHUNK
    assert labelling.CHUNK <= kept < len(texts)
    before = b"".join(partial().read_bytes().splitlines(keepends=True)[:kept])
    with open(partial(), "a", encoding="utf-8") as stream:
        stream.write('{"text": "野球の')  # half a line, wherever the kill came
    calls = []

    def counting(*given):
        teachers = open_teachers(*given)
        own = teachers[0].opinions
        teachers[0].opinions = lambda texts: (calls.append(len(texts)), own(texts))[1]
        return teachers

    with monkeypatch.context() as patch:
        patch.setattr(labelling, "open_teachers", counting)
        status, said = run(*asked)
    assert status == 0
    name, lines = answers_of(said)
    assert [each["text"] for each in lines] == texts and sum(calls) == len(texts) - kept
    resumed = (work / name).read_bytes()
    assert resumed.startswith(before)
    shutil.rmtree((work / name).parent)
    assert run(*asked, "--overwrite", "true")[0] == 0
    assert (work / name).read_bytes() == resumed


@pytest.mark.slow
def test_what_only_the_teacher_knows_is_learned(work, run):
    """A word that no labelled row shows tells the class in the test file, and in the teacher's answers."""
    rows = [("話題になる試合" + str(n), "好き") for n in range(8)] + [
        ("雨が降った日" + str(n), "嫌い") for n in range(8)
    ]
    unseen = [("携帯電話の料金", "嫌い"), ("映画の公開", "好き")]
    (work / "rows.csv").write_text(table(rows), encoding="utf-8")
    (work / "test.csv").write_text(
        table([(text + str(n), label) for text, label in unseen for n in range(10)]), "utf-8"
    )
    given = [{"text": f"{text}{n}年", "label": label} for text, label in unseen for n in range(20)]
    given += [{"text": "携帯電話の料金3", "label": "好き"}, {"text": rows[0][0], "label": "嫌い"}]  # of both parts
    lines = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in given)
    (work / "given.jsonl").write_text(lines, encoding="utf-8")
    own = ("--task", "classification", "--train_file", "rows.csv", "--test_file", "test.csv")
    own += ("--num_train_epochs", "12", "--learning_rate", "3e-3", "--per_device_train_batch_size", "8")
    status, said = run(*own, "--teacher_file", "given.jsonl")
    assert status == 0 and "40 silver answers from given.jsonl beside 16 labelled examples" in said
    assert "left out: 1 texts of the test part, 1 of the training part, 0 repeated, 0 below" in said
    metrics = read_json(work / "finetuned" / "classification-silver" / "record.json")["metrics"]
    assert metrics["mean"] > 0.9
    assert metrics["classical"]["score"] < 0.7  # it has the labelled rows alone
    assert "the classical model (linear SVM) on the same split: accuracy" in said and "behind" in said


@pytest.mark.slow
def test_a_part_of_the_training_data_to_choose_settings_by(work, run):
    (work / "few.jsonl").write_text(json.dumps({"text": "相撲の話", "label": "sports-watch"}), encoding="utf-8")
    chosen = ("--task", "livedoor", "--teacher_file", "few.jsonl", "--output_dir", "chosen", "--validate_on", "0.25")
    assert run(*chosen)[0] == 0
    record, task = read_json(work / "chosen" / "record.json"), load_task("livedoor", work / "data", 0)
    scored = {each["text"] for each in read_json(work / "chosen" / "predictions-seed-0.json")["test"]}
    assert scored <= {each.text for each in task.train} and record["settings"]["validate_on"] == 0.25
    assert record["metrics"]["train_size"] + record["metrics"]["test_size"] == len(task.train)
    # Teachers that saw this part would give it away.
    asked = ("--teacher", "finetuned/livedoor", "--unlabelled_file", "titles.txt", "--validate_on", "0.25")
    said = run(*REFUSED, "--task", "livedoor", *asked)
    assert "may have learned what this student is scored on: validate_on was None there, and is 0.25 here" in said[1]


def test_what_goes_with_what(work, run):
    assert "give both" in run("--task", "ner", "--teacher", "crf")[1]
    assert "give both" in run("--task", "ner", "--unlabelled_file", "sentences.txt")[1]
    assert "not for --task jnli" in run("--task", "jnli", "--teacher_file", "answers.jsonl")[1]
    said = run("--task", "ner", "--teacher", "svm", "--unlabelled_file", "sentences.txt")[1]
    assert "--teacher svm gives no entities as --task ner asks for; crf does" in said
    said = run("--task", "ner", "--teacher", "crf", "--unlabelled_file", "nowhere.txt")[1]
    assert "nowhere.txt does not exist" in said
    asked = ("--task", "ner", "--teacher", "finetuned/ner", "--unlabelled_file", "sentences.txt", *REFUSED)
    assert "--encoding knows no 'sjiss'" in run(*asked, "--encoding", "sjiss")[1]
    own = ("--teacher", "finetuned/ner", "--unlabelled_file", "sentences.txt", "--output_dir", "finetuned/ner")
    assert "finetuned/ner is the teacher's own folder" in run("--task", "ner", *own)[1]


def test_teachers_that_do_not_fit(work, run, monkeypatch):
    asked = (*REFUSED, "--task", "ner", "--unlabelled_file", "sentences.txt", "--teacher")
    said = run(*asked, "finetuned/livedoor")[1]
    assert "The teacher finetuned/livedoor was made for livedoor, not for ner." in said
    said = run(*asked, "finetuned/ner", "--split_seed", "1")[1]
    assert "may have learned what this student is scored on: split_seed was 0 there, and is 1 here" in said
    shutil.copytree(work / "finetuned" / "livedoor" / "seed-1", work / "bare" / "classes")
    assert "The teacher bare/classes gives classes; the task ner asks for entities." in run(*asked, "bare/classes")[1]
    shutil.copytree(work / "finetuned" / "ner", work / "bare" / "other")
    (work / "bare" / "other" / "record.json").unlink()
    config = read_json(work / "bare" / "other" / "config.json")
    names = {number: name.replace("地名", "駅名") for number, name in config["id2label"].items()}
    inverse = {name: int(number) for number, name in names.items()}
    write_json(work / "bare" / "other" / "config.json", config | {"id2label": names, "label2id": inverse})
    said = run(*asked, "bare/other")[1]
    assert "bare/other has other labels than the task ner: B-地名, B-駅名, I-地名, I-駅名." in said
    assert "gives classes; the task ner" in run(*asked, "student")[1]
    said = run(*REFUSED, "--task", "livedoor", "--unlabelled_file", "titles.txt", "--teacher", "student")[1]
    assert "student is not a model fine-tuned for livedoor: it lacks" in said
    assert "tokenizer/config.json does not exist" in run(*asked, "tokenizer")[1]
    monkeypatch.setattr(teachers, "CLASSICAL_TEACHERS", {})  # whose training would take minutes
    assert "tokenizer/config.json does not exist" in run(*asked, "crf,tokenizer")[1]


@pytest.mark.parametrize(
    ("theirs", "ours", "said"),
    [
        ({}, {}, ""),
        ({"train_share": 0.5}, {}, ""),  # less of the same training part
        ({"validate_on": 0.2}, {"validate_on": 0.2}, ""),
        ({"validate_on": 0.2}, {}, ""),  # a part of the training part was held out from it
        ({}, {"validate_on": 0.2}, "validate_on was None there, and is 0.2 here"),
        ({"validate_on": 0.2}, {"validate_on": 0.2, "train_share": 0.5}, "train_share was 1.0 there, and is 0.5 here"),
        ({"label_column": "second"}, {}, "label_column was 'second' there, and is 'label' here"),
        ({"text_column": "body"}, {}, "text_column was 'body' there, and is 'text' here"),
        ({"task": "entities", "text_column": "body"}, {"task": "entities"}, ""),  # says nothing about entities
        ({"test_share": 0.1}, {}, "test_share was 0.1 there, and is 0.2 here"),
        ({"test_file": "test"}, {}, "test_file was '[0-9a-f]+' there, and is None here"),
        ({}, {"test_file": "test"}, "test_file was None there, and is '[0-9a-f]+' here"),
        ({"test_file": "test", "split_seed": 3}, {"test_file": "test", "label_column": "second"}, ""),
        ({"train_file": "test"}, {}, "train_file was '[0-9a-f]+' there, and is '[0-9a-f]+' here"),
    ],
)
def test_who_may_have_learned_the_test_part(tmp_path, capsys, theirs, ours, said):
    """As a teacher it is refused; of a model to start from it is told, since other rows may be new ones."""
    for name in ("train", "test"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    made, given = (
        FinetuneSettings(**{"task": "classification", "train_file": "train"} | each) for each in (theirs, ours)
    )
    its_files, files = (
        {name: tmp_path / getattr(each, name) for name in ("train_file", "test_file") if getattr(each, name)}
        for each in (made, given)
    )
    record = {"settings": vars(made), "inputs": {name: fingerprint(path) for name, path in its_files.items()}}
    write_json(tmp_path / "record.json", record)
    given.model_name_or_path = str(tmp_path)
    tell_of_start(given, files)
    told = capsys.readouterr().err
    if not said:
        require_same_parts(tmp_path, record, given, files)
        assert not told
        return
    with pytest.raises(UserError, match=said):
        require_same_parts(tmp_path, record, given, files)
    assert re.search(f"warning: {tmp_path} may have learned what this run is scored on: {said}", told)


def test_a_start_that_was_not_fine_tuned_for_this_task_says_nothing(tmp_path, capsys):
    given = FinetuneSettings(task="livedoor", model_name_or_path=str(tmp_path))
    for record in (None, {"settings": {}}, {"settings": {"task": "ner", "split_seed": 3}}):
        if record:
            write_json(tmp_path / "record.json", record)
        tell_of_start(given, {})
    assert not capsys.readouterr().err


@pytest.mark.slow
def test_answers_that_are_there_are_not_taken_from_who_saw_the_test_part(work, run):
    asked = ("--task", "ner", "--teacher", "finetuned/ner", "--unlabelled_file", "sentences.txt")
    asked += ("--min_confidence", "0")
    status, said = run(*asked, "--output_dir", "first")
    assert status == 0
    name, _ = answers_of(said)
    said = run(*REFUSED, *asked, "--split_seed", "1")[1]
    assert "may have learned what this student is scored on: split_seed was 0 there, and is 1 here" in said
    record = work / Path(name).parent / "record.json"
    known = read_json(record)
    metrics = known["metrics"] | {"labels": [each.replace("地名", "駅名") for each in known["metrics"]["labels"]]}
    write_json(record, known | {"metrics": metrics})
    said = run(*REFUSED, *asked)[1]
    assert "for other labels than the task ner has: B-地名, B-駅名, I-地名, I-駅名. Remove silver/ner-" in said


def test_unlabelled_text_that_is_none(work, run):
    task = load_task("ner", work / "data", 0)
    for name, content, message in (
        ("empty.txt", b"\n \n", "empty.txt is empty"),
        ("binary.txt", b"\x89PNG\x00\xff\xfe", "binary.txt, line 1 is not UTF-8"),
        ("nul.txt", b"a\0b\n", "nul.txt, line 1 holds a NUL byte"),
        ("sjis.txt", "京都へ行った。".encode("cp932"), "It looks like CP932"),
        ("table.csv", "本文\n京都へ行った。\n".encode(), "table.csv has no column 'text'; it has '本文'"),
        (
            "test.txt",
            "\n".join(example.text for example in task.test).encode(),
            f"test.txt holds nothing to learn from: {len(task.test)} texts of the test part, 0 of the training part",
        ),
    ):
        (work / name).write_bytes(content)
        status, said = run(*REFUSED, "--task", "ner", "--teacher", "finetuned/ner", "--unlabelled_file", name)
        assert status == 1 and message in said, said
    assert not (work / "refused.partial").exists()


def test_an_encoding_by_another_of_its_names_is_not_asked_anew(work, monkeypatch):
    monkeypatch.chdir(work)
    asked = {"task": "ner", "teacher": "finetuned/ner", "unlabelled_file": "sentences.txt", "work_dir": "."}
    folders = {
        name: labelling_stage(FinetuneSettings(**asked, encoding=name), {}).output_dir
        for name in ("utf-8", "UTF8", "cp932", "ms932", "euc_jp")
    }
    assert folders["utf-8"] == folders["UTF8"] != folders["cp932"] == folders["ms932"] != folders["euc_jp"]


def test_nothing_that_is_sure_enough(work, run):
    unsure = {"text": "京都", "entities": [{"span": [0, 2], "type": "地名", "confidence": 0.4}]}
    (work / "unsure.jsonl").write_text(json.dumps(unsure, ensure_ascii=False), encoding="utf-8")
    status, said = run(*REFUSED, "--task", "ner", "--teacher_file", "unsure.jsonl")
    assert status == 1 and "Of 1 answers of the teachers, none is as sure as --min_confidence 0.5" in said
    # Of classes everything is learned, unless a confidence is asked for.
    (work / "flat.jsonl").write_text('{"text": "本", "probabilities": {"smax": 0.12}}\n', encoding="utf-8")
    for own in ((), ("--min_confidence", "0.3")):
        settings = parse_settings(FinetuneSettings, None, argv=["--teacher_file", str(work / "flat.jsonl"), *own])
        finetuning_stage(settings)
        assert settings.min_confidence == (0.3 if own else 0.0)


def test_a_class_with_one_row_cannot_be_calibrated(work, run):
    rows = [("良い本" + str(n), "良い") for n in range(5)] + [("悪い本", "悪い")]
    (work / "rare.csv").write_text(table(rows), encoding="utf-8")
    (work / "rare_test.csv").write_text(table([("良い品", "良い")]), encoding="utf-8")
    own = ("--task", "classification", "--train_file", "rare.csv", "--test_file", "rare_test.csv")
    status, said = run(*REFUSED, *own, "--teacher", "svm", "--unlabelled_file", "titles.txt")
    assert status == 1 and "each class needs two examples in the training part; '悪い' has one" in said


def test_a_folder_of_baseline_is_a_teacher(work, run, monkeypatch, capsys):
    status, _ = run_here(monkeypatch, capsys, baseline, ".", "data", "--task", "livedoor", "--svm_c", "0.25")
    assert status == 0
    found = classical_settings("finetuned/livedoor-svm")
    assert found.method == "svm" and found.svm_c == 0.25
    assert classical_settings("finetuned/livedoor") is None and classical_settings("svm").svm_c == 0.5


def test_texts_longer_than_a_teacher_reads(work):
    """Of classes it is given the beginning, and they are counted; entities are found in windows to the end."""
    long = "サッカーの監督が話題になる" * 9
    titles, names = load_task("livedoor", work / "data", 0), load_task("ner", work / "data", 0)
    teacher = ModelTeacher(work / "finetuned" / "livedoor", titles, 24, 8, torch.device("cpu"))
    short, cut = teacher.opinions(["サッカーの監督", long])
    assert teacher.truncated == 1 and short.sum() == pytest.approx(1) and cut.sum() == pytest.approx(1)
    (opinion,) = ModelTeacher(work / "finetuned" / "ner", names, 24, 8, torch.device("cpu")).opinions([long])
    assert opinion.offsets[-1][1] == len(long) and len(opinion.offsets) > 24
    assert np.allclose(opinion.probabilities.sum(1), 1)
