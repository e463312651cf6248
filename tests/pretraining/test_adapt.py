"""adapt.py as a user meets it: from files of text to a model that fills masks and is fine-tuned, and bad input."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from transformers import BertConfig, BertForMaskedLM, MobileBertForSequenceClassification, pipeline

import adapt
import finetune
from helpers.files.own_files import table
from helpers.files.task_data import SUBJECTS, article, write_student, write_tokenizer
from helpers.paths import SCRIPTS
from helpers.running.processes import call_entry, one_sentence, run_at_work_in
from helpers.running.processes import run as run_program
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import list_files, read_json, sha256_of
from mobilebert_ja.common.text.normalization import nfkc
from mobilebert_ja.corpus.executors import RunNotEnded
from mobilebert_ja.corpus.own import build_own_corpus
from mobilebert_ja.data.sources import text_documents
from mobilebert_ja.model.checkpoint import load_pretrained
from mobilebert_ja.pretraining import masked_lm

TITLES = [nfkc(article(category, number).split("\n")[2]) + "。" for category in SUBJECTS for number in range(100)]
PARAGRAPHS = ["".join(TITLES[number::60]) for number in range(60)]  # of five sentences each
FLAGS = ("--max_seq_length", 32, "--per_device_train_batch_size", 8, "--learning_rate", "3e-3", "--num_workers", 1)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    return write_student(folder / "student", write_tokenizer(folder / "tokenizer"))


@pytest.fixture
def texts(tmp_path) -> list[Path]:
    """One text in three files of different formats and encodings."""
    plain, rows, objects = (tmp_path / name for name in ("a.txt", "a.csv", "a.jsonl"))
    plain.write_text("\n\n".join(PARAGRAPHS[:20]), encoding="cp932")
    rows.write_text(table([(text, number) for number, text in enumerate(PARAGRAPHS[20:40])]), encoding="utf-8")
    objects.write_text("".join(json.dumps({"text": text}) + "\n" for text in PARAGRAPHS[40:]))
    return [plain, rows, objects]


def run(folder: Path, model: Path, texts: list[Path], *more: object):
    files = ("--text_file", *texts, "--encoding", "cp932")
    return call_entry(adapt, *files, "--model_name_or_path", model, *FLAGS, *more, cwd=folder)


@pytest.mark.slow
def test_from_files_of_text_to_a_model_that_goes_on(tmp_path, model, texts):
    done = run(tmp_path, model, texts, "--num_train_epochs", 10)
    assert done.returncode == 0, done.stderr
    adapted = tmp_path / "work" / "adapted"
    names = {"config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json", "removed.json", "record.json"}
    assert {each.name for each in adapted.iterdir()} == names
    assert {each.name for each in adapted.parent.iterdir()} == {"adapted", "records"}
    metrics = read_json(adapted / "record.json")["metrics"]
    assert metrics["before"]["mlm_loss"] - metrics["after"]["mlm_loss"] > 1 and metrics["epochs"] >= 10
    assert (
        f"held-out MLM loss {metrics['before']['mlm_loss']:.3f} -> {metrics['after']['mlm_loss']:.3f}" in done.stdout
    )
    assert metrics["text"]["read"]["documents"] == 60
    assert "tokens are little to learn from" in done.stderr and "[UNK]" not in done.stderr

    assert sha256_of(adapted / "vocab.txt") == sha256_of(model / "vocab.txt")
    mask = {"inputs": "映画の[MASK]が話題になる。", "targets": ["公開"]}
    (untaught,), (taught,) = (pipeline("fill-mask", str(each))(**mask) for each in (model, adapted))
    assert taught["score"] > untaught["score"]
    assert "nothing to do" in run(tmp_path, model, texts, "--num_train_epochs", 10).stdout

    (tmp_path / "rows.csv").write_text(table([(title, "ab"[n % 2]) for n, title in enumerate(TITLES[:20])]))
    data = ("--task", "classification", "--train_file", "rows.csv", "--num_seeds", 1, "--num_train_epochs", 1)
    further = call_entry(finetune, *data, "--model_name_or_path", "work/adapted", cwd=tmp_path)
    assert further.returncode == 0, further.stderr


@pytest.mark.slow
def test_interrupted_at_any_time_it_is_the_undisturbed_run(tmp_path, model, texts, monkeypatch):
    def weights(folder: Path, *ends: int) -> str:
        folder.mkdir(exist_ok=True)
        done = run(folder, model, texts, "--num_train_epochs", 3)
        assert done.returncode in ends, done.stderr
        return sha256_of(folder / "work" / "adapted" / "model.safetensors") if ends == (0,) else done.stderr

    undisturbed = weights(tmp_path / "whole", 0)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mobilebert_ja.pretraining.packing.write_index", stopped)
        weights(tmp_path / "stopped", 130)
    with monkeypatch.context() as patch:
        make = masked_lm.batch_function

        def stopping(*arguments: object):
            batch = make(*arguments)

            def stop_at_the_ninth(number: int):
                if number == 9:
                    os.kill(os.getpid(), signal.SIGTERM)
                return batch(number)

            return stop_at_the_ninth

        patch.setattr(masked_lm, "batch_function", stopping)
        # What has been prepared is not prepared again.
        patch.setattr("mobilebert_ja.corpus.own.CorpusBuild", stopped)
        assert "run the same command again to go on" in weights(tmp_path / "stopped", 130)
    (left,) = (tmp_path / "stopped" / "work" / "adapted.partial" / "checkpoints").glob("step-*")
    assert left.name in ("step-9", "step-10")
    with monkeypatch.context() as patch:

        def remove_half(folder: Path) -> None:
            shutil.rmtree(folder / "cleaned")
            raise KeyboardInterrupt

        patch.setattr(adapt, "shutil", SimpleNamespace(copy2=shutil.copy2, rmtree=remove_half))
        weights(tmp_path / "stopped", 130)
    assert weights(tmp_path / "stopped", 0) == undisturbed


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path, model, texts):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", 2, SCRIPTS / "adapt.py"]
    flags = ("--encoding", "cp932", "--model_name_or_path", model, *FLAGS, "--num_train_epochs", 1)
    environment = os.environ | {"ACCELERATE_USE_CPU": "true"}
    done = run_program([*command, "--text_file", *texts, *flags, "--output_dir", "two"], tmp_path, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    alone = run(tmp_path, model, texts, "--num_train_epochs", 1, "--gradient_accumulation_steps", 2)
    assert alone.returncode == 0, alone.stderr
    two, one = (read_json(tmp_path / each / "record.json")["metrics"] for each in ("two", "work/adapted"))
    assert (two["num_processes"], two["steps"]) == (2, one["steps"])
    assert two["after"]["mlm_loss"] == pytest.approx(one["after"]["mlm_loss"], rel=1e-3)


@pytest.mark.slow
def test_sentences_of_a_test_part_are_left_out_and_counted(tmp_path, model, texts, monkeypatch):
    (tmp_path / "test.csv").write_text(table([(TITLES[0], "x"), (TITLES[7], "y"), ("別の文である。", "y")]))
    kept = SimpleNamespace(copy2=shutil.copy2, rmtree=lambda _: None)  # the text stays to be looked at
    monkeypatch.setattr(adapt, "shutil", kept)
    done = run(tmp_path, model, texts, "--exclude_file", "test.csv", "--num_train_epochs", 1)
    assert done.returncode == 0 and "2 sentences of the text stand in --exclude_file and were left out" in done.stdout
    learned = "".join(each.read_text(encoding="utf-8") for each in list_files(tmp_path / "work/adapted/corpus/train"))
    assert TITLES[0] not in learned and TITLES[7] not in learned and TITLES[1] in learned


def refused(tmp_path: Path, model: Path, *flags: object) -> str:
    return one_sentence(call_entry(adapt, "--model_name_or_path", model, *FLAGS, *flags, cwd=tmp_path))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), "--text_file names the texts to learn from"),
        (("--text_file", "none.txt"), "none.txt does not exist."),
        (("--text_file", "."), ". is a folder, a file was expected."),
        (("--text_file", "empty.txt"), "empty.txt is empty."),
        (("--text_file", "image.txt"), "image.txt, line 1 is not UTF-8"),
        (("--text_file", "short.txt", "--encoding", "elf"), "--encoding knows no 'elf'"),
        (("--text_file", "short.txt", "--exclude_file", "none.csv"), "none.csv does not exist."),
        (
            ("--text_file", "short.txt", "--heldout_share", "0.6"),
            "--heldout_share must be more than 0 and at most 0.5",
        ),
        pytest.param(
            ("--text_file", "short.txt"),
            "training and the held-out part need two rows of 32 tokens each. Give more",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("--text_file", "bits.txt"),
            "No sentence of 10 to 200 characters is left of the text (removed: 2 too_short)",
            marks=pytest.mark.slow,
        ),
        (("--text_file", "short.txt", "--max_seq_length", 1024), "--max_seq_length 1024 exceeds the model's 512"),
        (("--text_file", "short.txt", "--output_dir", "mine"), "mine exists and was not made by this stage"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path, model, flags, words):
    (tmp_path / "empty.txt").touch()
    (tmp_path / "image.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (tmp_path / "short.txt").write_text("これはとても短い文章である。\n", encoding="utf-8")
    (tmp_path / "bits.txt").write_text("短い。\n\nこれも。\n", encoding="utf-8")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    assert words in refused(tmp_path, model, *flags)
    assert (tmp_path / "mine" / "notes.txt").exists() and not list(tmp_path.glob("work/*"))


def test_what_another_run_is_at_stays(tmp_path, model, monkeypatch):
    """The folder is the other run's, or holds the logs that the sentence names."""
    (tmp_path / "short.txt").write_text("これはとても短い文章である。\n", encoding="utf-8")

    def stopped(_settings, _tokenizer, folder):
        (folder / "made so far").touch()
        raise RunNotEnded("Another run is working in it.")

    monkeypatch.setattr(adapt, "prepare", stopped)
    assert "Another run is working" in refused(tmp_path, model, "--text_file", "short.txt")
    assert (tmp_path / "work" / "adapted.partial" / "made so far").exists()


@pytest.mark.slow
def test_a_run_that_cleans_text_is_not_overwritten(tmp_path, model):
    (tmp_path / "short.txt").write_text("これはとても短い文章である。\n", encoding="utf-8")
    unfinished = tmp_path / "work" / "adapted.partial"
    (unfinished / "corpus" / "cleaned" / "passes").mkdir(parents=True)
    (unfinished / "identity.json").write_text('{"settings": {"seed": 7}, "inputs": {}}')
    with run_at_work_in(unfinished / "corpus" / "cleaned" / "passes"):
        said = refused(tmp_path, model, "--text_file", "short.txt", "--overwrite", "true")
        assert "Another run is working in" in said and (unfinished / "corpus" / "cleaned" / "passes").exists()


def test_a_folder_that_cannot_go_on_is_refused_with_the_reason(tmp_path, model):
    text = tmp_path / "short.txt"
    text.write_text("これはとても短い文章である。\n", encoding="utf-8")
    bert, tuned, cut = (tmp_path / name for name in ("bert", "tuned", "cut"))
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertForMaskedLM(BertConfig(vocab_size=400, **sizes)).save_pretrained(bert)
    MobileBertForSequenceClassification.from_pretrained(model).save_pretrained(tuned)
    kept = {name: weight for name, weight in load_pretrained(model).state_dict().items() if ".layer.1." not in name}
    load_pretrained(model).save_pretrained(cut, state_dict=kept)
    for folder in (bert, tuned, cut):
        for name in ("vocab.txt", "tokenizer_config.json"):
            (folder / name).write_bytes((model / name).read_bytes())
    assert "bert is no MobileBERT, it is of the type 'bert'." in refused(tmp_path, bert, "--text_file", text)
    said = refused(tmp_path, tuned, "--text_file", text)
    assert "(MobileBertForSequenceClassification) has no MLM head" in said and "that it was made from" in said
    assert "lacks weights of a MobileBERT: mobilebert.encoder.layer.1." in refused(tmp_path, cut, "--text_file", text)
    (tmp_path / "no_model").mkdir()
    assert "config.json does not exist" in refused(tmp_path, tmp_path / "no_model", "--text_file", text)
    (tuned / "vocab.txt").unlink()
    assert "A tokenizer folder holds vocab.txt" in refused(tmp_path, tuned, "--text_file", text)


@pytest.mark.slow
@pytest.mark.parametrize(
    "documents",
    [[PARAGRAPHS], [[each] for each in PARAGRAPHS], [["".join(PARAGRAPHS)]], [PARAGRAPHS[:59], PARAGRAPHS[59:]]],
    ids=["one document", "one a line", "one line", "a long and a short one"],
)
def test_however_a_text_is_divided_its_share_is_held_out(tmp_path, documents):
    cleaning = {"min_chars": 10, "max_chars": 200, "near_duplicates": True, "workers": 1}
    counts = build_own_corpus(iter(documents), {}, tmp_path, 0.1, 100, **cleaning)
    whole = counts["train"]["characters"] + counts["heldout"]["characters"]
    assert 0.1 * whole <= counts["heldout"]["characters"] < 0.25 * whole
    held, learned = (
        {sentence for file in list_files(tmp_path / split) for each in text_documents(file) for sentence in each}
        for split in ("heldout", "train")
    )
    assert held | learned == set(TITLES) and not held & learned
    assert build_own_corpus(iter(()), {}, tmp_path, 0.1, 100, **cleaning) == counts  # it stands there


def test_too_little_text_and_unknown_tokens_are_told(capsys):
    def tokens(count: int, unknown: int) -> dict[str, dict[str, int]]:
        return {"train": {"tokens": count, "unknown": unknown}, "heldout": {"tokens": 300, "unknown": 0}}

    adapt.check_amount(tokens(60_000, 600), 128)
    assert capsys.readouterr().err == ""
    adapt.check_amount(tokens(60_000, 30_000), 128)
    assert "50% of the tokens are not in the model's vocabulary ([UNK])" in capsys.readouterr().err
    adapt.check_amount(tokens(300, 0), 128)
    assert "300 tokens are little to learn from" in capsys.readouterr().err
    with pytest.raises(UserError, match="The cleaned text has 551 tokens"):
        adapt.check_amount(tokens(251, 0), 128)


def test_another_name_of_an_encoding_is_the_same_encoding(tmp_path, model):
    (tmp_path / "a.txt").write_text("文。", encoding="utf-8")
    asked = {
        "text_file": [str(tmp_path / "a.txt")],
        "model_name_or_path": str(model),
        "output_dir": str(tmp_path / "x"),
    }
    first, second = (adapt.adaptation_stage(adapt.AdaptSettings(**asked, encoding=name)) for name in ("utf-8", "UTF8"))
    assert first.settings == second.settings


def test_a_recipe_may_name_a_single_file(tmp_path):
    (tmp_path / "a.txt").touch()
    settings = adapt.AdaptSettings(text_file=str(tmp_path / "a.txt"))
    assert adapt.adaptation_files(settings) == ([tmp_path / "a.txt"], [])


def test_steps_follow_from_epochs_rows_and_processes():
    settings = adapt.AdaptSettings(num_train_epochs=1.5, per_device_train_batch_size=4, gradient_accumulation_steps=2)
    made = adapt.pretrain_settings(settings, rows=1000, num_processes=2)
    assert (made.max_steps, made.warmup_steps, made.optimizer) == (94, 10, "muon")
    assert made.learning_rate == settings.learning_rate and not made.next_sentence_prediction
    assert adapt.pretrain_settings(settings, rows=10**6, num_processes=1).warmup_steps == settings.warmup_steps
