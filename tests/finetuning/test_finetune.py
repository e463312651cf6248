"""finetune.py from end to end on small generated data: it learns, it goes on after a kill, it refuses bad input."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

import finetune
from helpers.files.task_data import write_livedoor, write_ner, write_student, write_tokenizer
from helpers.paths import ROOT
from helpers.running.processes import wait_until
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import read_json, sha256_of, write_json
from mobilebert_ja.common.records import fingerprint
from mobilebert_ja.finetuning import rescore as rescoring
from mobilebert_ja.finetuning.modelling.forms import Reader, training_rows
from mobilebert_ja.finetuning.modelling.heads import make_model, model_config
from mobilebert_ja.finetuning.predictor import LogitsOf, Predictor
from mobilebert_ja.finetuning.run import Job, usual_batch_size, warn_of_losses
from mobilebert_ja.inference.decoding import bio_labels, spans_of_tags
from mobilebert_ja.inference.kinds import Kind
from mobilebert_ja.plans import finetuning_stage, settings_in_play, usual_rate
from mobilebert_ja.settings import FinetuneSettings, parse_settings
from mobilebert_ja.settings.reading.stages import section_of
from mobilebert_ja.tasks import Example, Task, load_task
from mobilebert_ja.tokenization.encoder import FastEncoder

SCRIPT = Path(finetune.__file__)


@pytest.fixture(scope="module", autouse=True)
def one_core():
    """What this process starts computes with as many threads as it does itself, and so the same to the last bit;
    accelerate's launcher gives its processes one for each core that it sees."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    yield
    os.sched_setaffinity(0, cores)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """data/ with both tasks, and a tiny student."""
    folder = tmp_path_factory.mktemp("work")
    write_livedoor(folder / "data", {"sports-watch": 40, "movie-enter": 40, "smax": 35})
    write_ner(folder / "data", 80)
    write_student(folder / "student", write_tokenizer(folder / "tokenizer"))
    return folder


def flags(work: Path, **more: object) -> list[str]:
    values = {
        "work_dir": work,
        "data_dir": work / "data",
        "task": "livedoor",
        "num_train_epochs": 8,
        "learning_rate": 3e-3,
        "per_device_train_batch_size": 8,
        "max_seq_length": 32,
        "num_seeds": 2,
        "logging_steps": 10,
        "seed": 5,
    } | more
    return [part for name, value in values.items() for part in (f"--{name}", str(value))]


def run_here(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    """main() in this process: the libraries take seconds to import."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
    finetune.main()


@pytest.fixture(scope="module")
def undisturbed(work):
    """A run of two seeds from beginning to end."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        run_here(monkeypatch, flags(work, output_dir=work / "plain" / "livedoor", records_dir=work / "records"))
    return work / "plain" / "livedoor"


def answers(folder: Path, seed: int) -> dict:
    return read_json(folder / f"predictions-seed-{seed}.json")


@pytest.mark.slow
def test_learns_and_says_so(work, undisturbed):
    record = read_json(work / "records" / "livedoor.json")
    metrics = record["metrics"]
    assert metrics["mean"] > 0.8  # a third by chance
    assert (metrics["task"], metrics["metric"], metrics["num_labels"]) == ("livedoor", "accuracy", 3)
    assert (metrics["train_size"], metrics["test_size"], metrics["pretrained"]) == (92, 23, True)
    assert [run["seed"] for run in metrics["runs"]] == [5, 6]
    first, second = (run["score"] for run in metrics["runs"])
    assert metrics["mean"] == pytest.approx((first + second) / 2)
    assert metrics["std"] == pytest.approx(abs(first - second) / 2**0.5)
    assert metrics["bytes"] == (undisturbed / "model.safetensors").stat().st_size
    assert metrics["bytes"] > 4 * metrics["parameters"]  # float32
    for run in metrics["runs"]:
        assert run["steps"] == 8 * 12  # 92 examples are 12 batches an epoch
        assert run["history"][0]["loss"] > run["history"][-1]["loss"]
        assert 0 <= run["details"]["without_markers"]["accuracy"] <= 1
        test = answers(undisturbed, run["seed"])["test"]
        right = [each["target"] == each["prediction"] for each in test]
        assert run["score"] == pytest.approx(sum(right) / 23)
        # The score without markers too can be computed from what is kept.
        unmarked = [each.get("prediction_without_markers", each["prediction"]) == each["target"] for each in test]
        assert run["details"]["without_markers"]["accuracy"] == pytest.approx(sum(unmarked) / 23)
        changed = [each for each in test if "prediction_without_markers" in each]
        assert len(changed) == run["details"]["without_markers"]["changed"] > 0
        assert all("【" in each["text"] and "【" not in each["text_without_markers"] for each in changed)
    assert not list(undisturbed.rglob("checkpoints"))


@pytest.mark.slow
def test_output_is_an_ordinary_model(undisturbed):
    test = answers(undisturbed, 5)["test"]
    classify = pipeline("text-classification", model=str(undisturbed), device="cpu")
    assert [classify(each["text"])[0]["label"] for each in test] == [each["prediction"] for each in test]
    model = AutoModelForSequenceClassification.from_pretrained(str(undisturbed))
    other = AutoModelForSequenceClassification.from_pretrained(str(undisturbed / "seed-6"))
    assert model.config.id2label == {0: "movie-enter", 1: "smax", 2: "sports-watch"}
    assert model.dtype == torch.float32
    assert not torch.equal(model.classifier.weight, other.classifier.weight)
    assert AutoTokenizer.from_pretrained(str(undisturbed))("監督")["input_ids"]


@pytest.mark.slow
def test_one_by_one_as_in_batches(undisturbed):
    test = answers(undisturbed, 5)["test"]
    model = AutoModelForSequenceClassification.from_pretrained(str(undisturbed))
    labels = [model.config.id2label[number] for number in range(3)]
    predictor = Predictor(LogitsOf(model), FastEncoder(undisturbed), Kind.CLASSES, labels, 32)
    assert [predictor.predict_one(each["text"]) for each in test] == [each["prediction"] for each in test]


@pytest.mark.slow
def test_killed_in_the_second_seed_and_run_again(work, undisturbed, monkeypatch, capfd):
    output = work / "killed" / "livedoor"
    partial = output.with_name("livedoor.partial")
    arguments = flags(work, output_dir=output, save_seconds=0, records_dir=work / "killed" / "records")
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", str(SCRIPT), *arguments]
    process = subprocess.Popen(launch, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL)
    try:
        wait_until((partial / "seed-6" / "checkpoints" / "latest.json").is_file, process)
    finally:  # a failed test must not leave it running
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert (partial / "predictions-seed-5.json").is_file() and not output.exists()
    before = (partial / "model.safetensors").stat().st_mtime_ns

    capfd.readouterr()
    run_here(monkeypatch, arguments)
    said = capfd.readouterr().out
    assert "seed 5 is there already" in said and "seed 6: goes on from step" in said
    assert (output / "model.safetensors").stat().st_mtime_ns == before  # not trained again
    for seed in (5, 6):
        assert answers(output, seed)["test"] == answers(undisturbed, seed)["test"]
    for name in ("model.safetensors", "seed-6/model.safetensors"):
        assert (output / name).read_bytes() == (undisturbed / name).read_bytes()
    run_here(monkeypatch, arguments)
    assert "nothing to do" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("asked", "rate"),
    [
        ({"model_name_or_path": str(ROOT)}, 5e-4),
        ({"model_name_or_path": "ysakuramoto/mobilebert-ja"}, 5e-4),
        ({"model_name_or_path": "cl-tohoku/bert-base-japanese-v3"}, 1e-4),
        ({"model_name_or_path": "folder"}, 1e-4),
        ({"random_weights": "mobilebert", "tokenizer": "folder"}, 5e-4),
        ({"random_weights": "bert", "model_name_or_path": str(ROOT)}, 1e-4),
    ],
)
def test_a_rate_that_nobody_named_suits_the_structure(asked, rate, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "folder" / "config.json", {"model_type": "xlm-roberta"})
    assert usual_rate(FinetuneSettings(**asked)) == rate


def test_few_rows_with_a_class_each_are_learned_in_small_batches():
    assert [usual_batch_size(Kind.CLASSES, rows) for rows in (1, 999, 1000, 6000)] == [8, 8, 32, 32]
    assert [usual_batch_size(Kind.ENTITIES, rows) for rows in (1, 6000)] == [32, 32]


@pytest.mark.slow
def test_scored_anew(work, undisturbed, tmp_path, monkeypatch, capfd):
    """Whatever was damaged in answers and scores is mended from the models; what the training left stays."""
    output = tmp_path / "livedoor"
    shutil.copytree(undisturbed, output)
    again = [
        "--task",
        "livedoor",
        "--data_dir",
        str(work / "data"),
        "--output_dir",
        str(output),
        "--records_dir",
        str(tmp_path / "records"),
        "--rescore",
        "true",
    ]
    wanted, known, weights = read_json(output / "record.json"), fingerprint(output), sha256_of(output / "vocab.txt")
    run_here(monkeypatch, again)
    record = read_json(output / "record.json")
    assert record["rescored"]["finished"] >= wanted["finished"] and "--rescore true" in record["rescored"]["command"]
    assert {name: record[name] for name in wanted if name != "files"} == {
        name: each for name, each in wanted.items() if name != "files"
    }
    for seed in (5, 6):
        assert answers(output, seed) == answers(undisturbed, seed)

    damaged = answers(output, 6)
    damaged["test"][0]["prediction"], damaged["test"][1]["prediction_without_markers"] = "smax", "smax"
    write_json(output / "predictions-seed-6.json", damaged)
    (output / "predictions-seed-5.json").write_text("{", encoding="utf-8")
    for run in record["metrics"]["runs"]:
        run["score"], run["details"], run["intervals"] = 0.0, {}, {}
    beside = {"classical": {"method": "svm", "score": 0.0}}  # as a record of a user's own classes has it
    write_json(output / "record.json", record | {"metrics": record["metrics"] | {"mean": 0.0, "std": None} | beside})
    capfd.readouterr()
    run_here(monkeypatch, again)
    record = read_json(output / "record.json")
    assert f"accuracy 0.00% -> {wanted['metrics']['mean']:.2%}" in capfd.readouterr().out
    assert record == read_json(tmp_path / "records" / "livedoor.json")
    assert record["metrics"].pop("classical")["score"] > 0 and record["metrics"] == wanted["metrics"]
    for seed in (5, 6):
        assert answers(output, seed) == answers(undisturbed, seed)
        assert record["files"][f"predictions-seed-{seed}.json"] == sha256_of(output / f"predictions-seed-{seed}.json")
    assert fingerprint(output) == known  # what compress.py made from it still is
    assert weights == sha256_of(output / "vocab.txt") and sorted(os.listdir(tmp_path)) == ["livedoor", "records"]
    run_here(monkeypatch, flags(work, output_dir=output, records_dir=tmp_path / "records"))
    assert "nothing to do" in capfd.readouterr().out

    before = {path: path.read_bytes() for path in output.rglob("*.json")}
    with monkeypatch.context() as broken:
        broken.setattr(rescoring, "mean_and_std", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run_here(broken, again)
    assert before == {path: path.read_bytes() for path in output.rglob("*.json")}
    assert sorted(os.listdir(tmp_path)) == ["livedoor", "records"]


@pytest.mark.slow
def test_what_cannot_be_scored_anew(work, undisturbed, tmp_path, monkeypatch, capfd):
    output = tmp_path / "livedoor"
    given = {"rescore": "true", "output_dir": output, "records_dir": tmp_path / "records"}
    assert "--rescore needs a finished folder" in refused(monkeypatch, capfd, flags(work, **given))
    shutil.copytree(undisturbed, output)
    said = refused(monkeypatch, capfd, flags(work, task="ner", **given))
    assert "livedoor/record.json is no record of finetune.py --task ner" in said
    write_livedoor(tmp_path / "other", {"sports-watch": 40, "movie-enter": 40, "smax": 34})
    said = refused(monkeypatch, capfd, flags(work, data_dir=tmp_path / "other", **given))
    assert "was made from another" in said and "ldcc-20140209.tar.gz than is there now" in said
    shutil.copyfile(output / "model.safetensors", output / "seed-6" / "model.safetensors")
    said = refused(monkeypatch, capfd, flags(work, **given))
    assert "seed-6/model.safetensors is not the file that the training left there" in said
    write_json(output / "record.json", {"stage": "corpus"})
    assert "is no record of finetune.py" in refused(monkeypatch, capfd, flags(work, **given))


@pytest.mark.slow
def test_entities_with_a_random_bert(work, monkeypatch, capfd):
    sizes = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2}
    run_here(
        monkeypatch,
        flags(work, task="ner", random_weights="bert", num_train_epochs=12, num_seeds=1, max_seq_length=10, **sizes),
    )
    said = capfd.readouterr()
    assert "are truncated" not in said.err  # longer sentences are read in windows
    metrics = read_json(work / "records" / "ner-bert.json")["metrics"]
    assert metrics["mean"] > 0.5 and metrics["std"] is None and metrics["pretrained"] is False
    assert set(metrics["runs"][0]["details"]["per_type"]) == {"人名", "地名"}
    output = work / "finetuned" / "ner-bert"
    config = json.loads((output / "config.json").read_text(encoding="utf-8"))
    assert (config["model_type"], config["num_hidden_layers"]) == ("bert", 2)
    assert list(config["id2label"].values()) == ["O", "B-人名", "I-人名", "B-地名", "I-地名"]
    for each in answers(output, 5)["test"]:
        for start, end, _ in each["prediction"]:
            assert 0 <= start < end <= len(each["text"])
    assert f"ner-bert: f1 {metrics['mean']:.2%} over 1 seed" in said.out


def random_settings(work: Path, **more: object) -> FinetuneSettings:
    return FinetuneSettings(work_dir=str(work), model_name_or_path=str(work / "student"), **more)  # type: ignore


def test_heads_differ_by_seed_and_the_body_does_not(work):
    task = load_task("livedoor", work / "data", 0)
    first, again, other = (
        make_model(each, model_config(each, 100), task)
        for each in (random_settings(work, seed=seed) for seed in (0, 0, 1))
    )
    assert torch.equal(first.classifier.weight, again.classifier.weight)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    mine, theirs = first.mobilebert.state_dict(), other.mobilebert.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_random_mobilebert_starts_at_unit_scale(work):
    task = load_task("livedoor", work / "data", 0)
    settings = random_settings(work, random_weights="mobilebert", num_hidden_layers=2)
    model = make_model(settings, model_config(settings, 500), task).eval()
    assert model.config.intra_bottleneck_size == 128
    assert 0.5 < model.mobilebert(torch.randint(5, 500, (2, 20))).last_hidden_state.std() < 2.0


def test_weights_that_are_not_those_of_the_config(work, tmp_path):
    task = load_task("livedoor", work / "data", 0)
    shutil.copytree(work / "student", tmp_path / "student")
    config = json.loads((tmp_path / "student" / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "student" / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}), encoding="utf-8")
    settings = random_settings(tmp_path)
    with pytest.raises(UserError, match=r"lacks .* weights of its own structure"):
        make_model(settings, model_config(settings, 100), task)
    (tmp_path / "student" / "config.json").write_text(json.dumps(config | {"vocab_size": 999}), encoding="utf-8")
    with pytest.raises(UserError, match=r"are not those of its config\.json: mobilebert\..*, by the latter \[999, "):
        make_model(settings, model_config(settings, 100), task)
    (tmp_path / "student" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match="cannot be loaded"):
        make_model(settings, model_config(settings, 100), task)


def a_task(kind: Kind, *labels: str) -> Task:
    return Task("own", kind, list(labels), [], [])


@pytest.fixture
def for_two_classes(work, tmp_path):
    """A student that is fine-tuned, as far as its files tell, for the classes good and bad."""
    settings = random_settings(work)
    model = make_model(settings, model_config(settings, 100), a_task(Kind.CLASSES, "good", "bad"))
    model.save_pretrained(tmp_path / "two")
    return tmp_path / "two"


@pytest.mark.parametrize(
    "other",
    [
        a_task(Kind.CLASSES, "good", "bad", "so-so"),
        a_task(Kind.CLASSES, "sea", "sky"),
        a_task(Kind.ENTITIES, "O", "B-人名", "I-人名"),
        a_task(Kind.ENTITIES, "good", "bad"),
        a_task(Kind.NUMBER, "score"),
        a_task(Kind.CHOICES),
        a_task(Kind.ANSWERS),
    ],
    ids=lambda task: f"{task.kind}, {len(task.labels)} labels",
)
def test_a_model_that_is_fine_tuned_on_other_labels(work, for_two_classes, other):
    given = {"model_name_or_path": str(for_two_classes), "work_dir": str(work)}
    settings = FinetuneSettings(**given)  # type: ignore
    config = model_config(settings, 100)
    with pytest.raises(
        UserError, match=r"for 2 labels \(good, bad\) .*--ignore_mismatched_labels true gives it a new"
    ):
        make_model(settings, config, other)
    plain = make_model(random_settings(work), model_config(random_settings(work), 100), other)
    first, again, third = (
        make_model(FinetuneSettings(**given, ignore_mismatched_labels=True, seed=seed), config, other)  # type: ignore
        for seed in (0, 0, 1)
    )
    assert first.config.id2label == plain.config.id2label and first.config.problem_type == plain.config.problem_type
    (head,) = (name for name in dict(first.named_children()) if name in ("classifier", "qa_outputs"))
    mine, same, others = (getattr(model, head).weight for model in (first, again, third))
    assert mine.shape == getattr(plain, head).weight.shape
    assert torch.equal(mine, same) and not torch.equal(mine, others)
    known, body = AutoModelForSequenceClassification.from_pretrained(for_two_classes), first.mobilebert.state_dict()
    assert all(torch.equal(each, body[name]) for name, each in known.mobilebert.state_dict().items() if name in body)


def test_a_model_that_is_fine_tuned_on_the_same_labels_goes_on_from_its_head(work, for_two_classes):
    for settings in (
        FinetuneSettings(work_dir=str(work), model_name_or_path=str(for_two_classes), ignore_mismatched_labels=ignored)
        for ignored in (False, True)
    ):
        model = make_model(settings, model_config(settings, 100), a_task(Kind.CLASSES, "good", "bad"))
        known = AutoModelForSequenceClassification.from_pretrained(for_two_classes)
        assert torch.equal(model.classifier.weight, known.classifier.weight)


def test_a_setting_that_came_later_does_not_void_what_is_there():
    assert "ignore_mismatched_labels" not in settings_in_play(FinetuneSettings())
    assert settings_in_play(FinetuneSettings(ignore_mismatched_labels=True))["ignore_mismatched_labels"]
    assert not {"teacher", "silver_share", "silver_weight"} & settings_in_play(FinetuneSettings()).keys()
    taught = settings_in_play(FinetuneSettings(teacher_file="a.jsonl"))
    assert (taught["teacher_file"], taught["silver_weight"]) == ("a.jsonl", 1.0)
    assert not {"text_column", "encoding"} & taught.keys()


def test_how_unlabelled_text_is_read_is_kept_beside_a_public_task_too():
    """Else the same command with another column would find its output there and have nothing to do."""
    read = {"text_column": "body", "encoding": "sjis"}
    asked = settings_in_play(FinetuneSettings(teacher="svm", unlabelled_file="a.csv", **read))
    assert (asked["text_column"], asked["encoding"]) == ("body", "shift_jis")
    answered = settings_in_play(FinetuneSettings(teacher_file="a.jsonl", **read))
    assert answered["encoding"] == "shift_jis" and "text_column" not in answered  # its key is always "text"
    assert not read.keys() & settings_in_play(FinetuneSettings(**read)).keys()


def test_back_to_the_usual_column_is_made_anew(work):
    """The usual one is left out of the record, and the output of another one must not pass for its."""
    texts = work / "texts.csv"
    texts.write_text("text,body\nあ,い\n", encoding="utf-8")
    made = {"task": "livedoor", "work_dir": str(work), "teacher": "svm", "unlabelled_file": str(texts)}
    made |= {"model_name_or_path": "nowhere", "output_dir": str(work / "by-column"), "records_dir": str(work / "of")}
    stage = finetuning_stage(FinetuneSettings(**made, text_column="body"))
    stage.begin()
    stage.finish({})
    with pytest.raises(UserError, match="text_column was 'body', is now 'text'"):
        finetuning_stage(FinetuneSettings(**made)).is_done()


def test_texts_of_more_than_512_tokens(work, capfd):
    """Of classes they are truncated and counted; entities are read in windows, all of them."""
    encoder = FastEncoder(work / "tokenizer")
    long = "昨日は雨が降った。" * 120 + "田中太郎は京都市に住む。"
    start, tokens = long.index("京都市"), encoder.encode(long)
    assert len(tokens.ids) > 512 + 64
    span = (start, start + 3, "地名")

    def job(task):
        return Job(None, random_settings(work, task=task.name, max_seq_length=512), task, None, None, encoder)  # type: ignore

    examples = [Example(long, "a"), Example("監督", "b"), Example(long + "。", "a")]
    warn_of_losses(job(Task("classification", Kind.CLASSES, ["a", "b"], examples, examples[:2])))
    assert capfd.readouterr().err.splitlines() == [
        f"warning: {count} inputs of the {part} part are longer than --max_seq_length 512 tokens and are truncated"
        for count, part in (("2 of 3", "training"), ("1 of 2", "test"))
    ]
    task = Task("ner", Kind.ENTITIES, bio_labels(["地名"]), [Example(long, [span])], [Example(long, [span])])
    warn_of_losses(job(task))
    assert capfd.readouterr().err == ""
    rows = training_rows(task, Reader(encoder, 512))
    assert len(rows) > 1 and max(len(row.ids) for row in rows) == 512
    assert {offset for row in rows for offset in row.offsets} == set(tokens.offsets)  # every token is in some window
    tags = [(row.offsets, [task.labels[number] for number in row.labels[1:-1]]) for row in rows]  # type: ignore
    assert {found for each in tags for found in spans_of_tags(*each)} == {span}


def refused(monkeypatch, capfd, arguments: list[str]) -> str:
    """The one line that a refused command prints."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as stop:
        run_here(monkeypatch, arguments)
    assert stop.value.code == 1
    said = capfd.readouterr().err
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"task": "sentiment"}, "--task must be one of 'livedoor', 'ner'"),
        ({"num_seeds": 0}, "--num_seeds must be at least 1"),
        ({"validation_share": 1.0}, "--validation_share must be more than 0 and less than 1"),
        ({"max_seq_length": 4096}, "--max_seq_length 4096 is more than the model's 512 positions"),
        ({"hidden_size": 64}, "--hidden_size goes with --random_weights"),
        (
            {"random_weights": "bert", "hidden_size": 65, "num_attention_heads": 2},
            "--hidden_size 65 is no multiple of --num_attention_heads 2",
        ),
    ],
)
def test_settings_that_make_no_sense(work, tmp_path, monkeypatch, capfd, more, words):
    assert words in refused(monkeypatch, capfd, flags(work, output_dir=tmp_path / "out", **more))
    assert not list(tmp_path.iterdir())


def test_missing_model(work, tmp_path, monkeypatch, capfd):
    said = refused(monkeypatch, capfd, flags(work, model_name_or_path=tmp_path / "none", output_dir=tmp_path / "out"))
    assert str(tmp_path / "none") in said
    said = refused(monkeypatch, capfd, flags(work, work_dir=tmp_path, tokenizer=work / "tokenizer"))
    assert "student does not exist. pretrain.py" in said


def test_missing_and_malformed_data(work, tmp_path, monkeypatch, capfd):
    (tmp_path / "data" / "ner").mkdir(parents=True)
    (tmp_path / "data" / "ner" / "ner.json").write_text('[{"text": 1}]', encoding="utf-8")
    given = {"data_dir": tmp_path / "data", "output_dir": tmp_path / "out"}
    assert "ldcc-20140209.tar.gz does not exist" in refused(monkeypatch, capfd, flags(work, **given))
    said = refused(monkeypatch, capfd, flags(work, task="ner", **given))
    assert "ner.json: sentence 0" in said
    assert "none does not exist" in refused(monkeypatch, capfd, flags(work, data_dir=tmp_path / "none"))


def test_tokenizers_that_do_not_fit(work, tmp_path, monkeypatch, capfd):
    shutil.copytree(work / "tokenizer", tmp_path / "larger")
    with (tmp_path / "larger" / "vocab.txt").open("a", encoding="utf-8") as stream:
        stream.write("".join(f"余分{number}\n" for number in range(50)))
    given = {"output_dir": tmp_path / "out"}
    said = refused(monkeypatch, capfd, flags(work, tokenizer=tmp_path / "larger", **given))
    assert "vocabulary does not fit" in said

    shutil.copytree(work / "tokenizer", tmp_path / "other")
    config = json.loads((tmp_path / "other" / "tokenizer_config.json").read_text(encoding="utf-8"))
    config["word_tokenizer_type"] = "basic"
    (tmp_path / "other" / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    said = refused(monkeypatch, capfd, flags(work, tokenizer=tmp_path / "other", **given))
    assert "other has basic, wordpiece; of the BertJapaneseTokenizers those with mecab and wordpiece" in said
    config |= {"word_tokenizer_type": "mecab", "mecab_kwargs": {"mecab_dic": "ipadic"}}
    (tmp_path / "other" / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    monkeypatch.setitem(sys.modules, "ipadic", None)
    said = refused(monkeypatch, capfd, flags(work, tokenizer=tmp_path / "other", **given))
    assert said == "error: The MeCab dictionary ipadic is not installed: pip install ipadic."
    assert not (tmp_path / "out").exists()


def test_random_weights_have_sections_of_their_own():
    for given, section in (
        (["--task", "ner"], "finetune_ner"),
        (["--random_weights", "mobilebert"], "finetune_livedoor_random"),
        (["--task", "ner", "--random_weights=bert"], "finetune_ner_bert"),
        (["--task", "jnli", "--random_weights=bert"], ""),
    ):
        values = vars(parse_settings(FinetuneSettings, None, argv=given))
        assert section_of(FinetuneSettings, values) == section
