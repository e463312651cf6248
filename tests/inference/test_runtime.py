"""Answers without torch: the same as with it, from any text, on any number of threads; and what is refused."""

import dataclasses
import json
import os
import pickle
import shutil
import subprocess
import sys
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given

import predict as predict_script
from helpers.files.any_text import ANY_TEXT
from helpers.files.task_data import LABELS, TEXTS, write_tokenizer
from helpers.models.fast_models import tiny_model
from helpers.paths import SCRIPTS
from helpers.running.processes import WITHOUT_TORCH, call_entry, one_sentence, run, with_package
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.compression.cutting.recovery import Source
from mobilebert_ja.compression.onnx.export import as_task_answer, export
from mobilebert_ja.compression.torchscript import compress, load_compressed, save_compressed
from mobilebert_ja.compression.treatments import make
from mobilebert_ja.finetuning.folder import load_finetuned
from mobilebert_ja.finetuning.predictor import LogitsOf, Predictor
from mobilebert_ja.model.checkpoint import save_model
from mobilebert_ja.runtime import ClassAnswer, EntityAnswer, load
from mobilebert_ja.settings import CompressSettings
from mobilebert_ja.tasks import TASK_KINDS, Task
from mobilebert_ja.tokenization.encoder import FastEncoder

MAX_LENGTH = 24


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """task -> (its folder for onnxruntime, its fine-tuned model ready to answer, the same as a module of torch)"""
    folder = tmp_path_factory.mktemp("runtime")
    tokenizer = write_tokenizer(folder / "tokenizer")
    size = len((tokenizer / "vocab.txt").read_text(encoding="utf-8").splitlines())
    result = {}
    encoder = FastEncoder(tokenizer)
    for task, labels in LABELS.items():
        model = tiny_model(task, labels, size)
        predictor = Predictor(LogitsOf(model), encoder, TASK_KINDS[task], labels, MAX_LENGTH)
        rows = [predictor.logits([predictor.rows(text)[0]])[0].reshape(-1, len(labels)).mean(0) for text in TEXTS]
        with torch.no_grad():  # so that no class wins everywhere
            model.classifier.bias -= torch.stack(rows).mean(0)
        save_model(model, tokenizer, folder / "finetuned" / task)
        model, ready = load_finetuned(folder / "finetuned" / task, task, MAX_LENGTH)
        export(model, ready, folder / task / "onnx", "onnx", {})
        result[task] = (folder / task / "onnx", ready, model)
    return result


@pytest.fixture(scope="module")
def answerers(made):
    return {task: load(folder) for task, (folder, *_) in made.items()}


def clear_answers(ready, task):
    """Texts of which torch's answer is no near tie, which rounding to int8 may decide otherwise; with the answers."""
    predictor = ready.predictor()
    result = {}
    for text in TEXTS:
        logits = predictor.logits([predictor.rows(text)[0]])[0]
        best = logits.topk(2, -1).values
        if (best[..., 0] - best[..., 1]).min() > 0.05 * logits.std():
            result[text] = predictor.predict_one(text)
    return result


@pytest.mark.slow
@pytest.mark.parametrize("task", list(LABELS))
def test_the_same_answers_without_torch(made, task):
    folder, ready, _ = made[task]
    wanted = clear_answers(ready, task)
    assert len(wanted) > 8 and len({str(answer) for answer in wanted.values()}) > 1
    program = WITHOUT_TORCH + (
        "import json, dataclasses\n"
        "from mobilebert_ja.runtime import load\n"
        "texts = json.load(sys.stdin)\n"
        f"answers = load({str(folder)!r}).predict(texts)\n"
        "assert not {'torch', 'transformers', 'onnx'} & set(sys.modules)\n"
        "own = {name.split('.')[1] for name in sys.modules if name.startswith('mobilebert_ja.')}\n"
        "assert own == {'runtime', 'common', 'tokenization', 'inference'}, own\n"
        "print(json.dumps([dataclasses.asdict(answer) for answer in answers]))\n"
    )
    done = run([sys.executable, "-c", program], input=json.dumps(list(wanted)), env=with_package())
    assert done.returncode == 0, done.stderr
    for (text, expected), answer in zip(wanted.items(), json.loads(done.stdout), strict=True):
        if task == "ner":
            assert [(each["start"], each["end"], each["type"]) for each in answer["entities"]] == expected
            assert all(text[each["start"] : each["end"]] == each["text"] for each in answer["entities"])
        else:
            assert answer["label"] == expected


def test_probabilities(made):
    folder, ready, _ = made["livedoor"]
    answer = load(folder).predict_one(TEXTS[0])
    predictor = ready.predictor()
    wanted = predictor.logits([predictor.rows(TEXTS[0])[0]])[0].softmax(-1).numpy()
    assert isinstance(answer, ClassAnswer) and list(answer.probabilities) == LABELS["livedoor"]
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert answer.probability == max(answer.probabilities.values()) == answer.probabilities[answer.label]
    assert np.abs(np.array(list(answer.probabilities.values())) - wanted).max() < 0.05


@pytest.mark.parametrize("task", list(LABELS))
def test_batches_keep_the_order(made, task):
    answerer = load(made[task][0])
    alone = answerer.predict(TEXTS)
    assert alone == [answerer.predict_one(text) for text in TEXTS]
    together = answerer.predict(TEXTS, batch_size=7)
    same = sum(as_task_answer(a) == as_task_answer(b) for a, b in zip(alone, together, strict=True))
    assert same > 0.7 * len(TEXTS)  # int8 ranges are those of the batch
    assert answerer.predict([]) == []
    with pytest.raises(TypeError, match="list of texts"):
        answerer.predict("一つの文")
    with pytest.raises(ValueError, match="batch_size"):
        answerer.predict(TEXTS, batch_size=0)


@pytest.mark.parametrize("task", list(LABELS))
def test_several_threads_give_what_one_gives(made, task):
    answerers = [load(made[task][0]), load(made[task][0], num_threads=2)]
    texts = TEXTS * 10
    wanted = [answerers[0].predict(TEXTS) * 10, answerers[1].predict(TEXTS) * 10]
    with ThreadPoolExecutor(8) as pool:
        pending = [[pool.submit(each.predict_one, text) for text in texts] for each in answerers]
        assert [[one.result() for one in each] for each in pending] == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\u3000\n\t",
        "\0",
        "\x01\x1b[0m\x7f\x9f",
        "\ud800",
        "田中\udfff太郎",
        "あ" * 100_000,
        "東京。" * 33_333,
        "\u0301" * 1000,
        "a" * 5000,
        "\U0010ffff\U0001f468\u200d\U0001f469",
        "[MASK][SEP][PAD]",
    ],
)
@pytest.mark.parametrize("task", list(LABELS))
def test_any_text_has_an_answer(made, task, text):
    answer = load(made[task][0]).predict_one(text)
    if task == "ner":
        assert isinstance(answer, EntityAnswer)
        assert all(0 <= each.start < each.end <= len(text) for each in answer.entities)
        assert [each.text for each in answer.entities] == [text[each.start : each.end] for each in answer.entities]
    else:
        assert answer.label in LABELS[task] and np.isfinite(answer.probability)
        assert answer.cut == (len(text) >= 1000)


@given(ANY_TEXT)
def test_whatever_a_text_holds_names_are_within_it(answerers, text):
    (answer,) = answerers["ner"].predict([text])
    borders = [border for each in answer.entities for border in (each.start, each.end)]
    assert borders == sorted(borders) and all(0 <= each.start < each.end <= len(text) for each in answer.entities)
    assert [each.text for each in answer.entities] == [text[each.start : each.end] for each in answer.entities]


@given(ANY_TEXT)
def test_whatever_a_text_holds_it_has_a_class(answerers, text):
    (answer,) = answerers["livedoor"].predict([text])
    assert list(answer.probabilities) == LABELS["livedoor"] and sum(answer.probabilities.values()) == pytest.approx(1)
    assert answer == answerers["livedoor"].predict_one(unicodedata.normalize("NFKC", text))


@pytest.mark.parametrize("task", list(LABELS))
def test_another_process_may_be_given_a_model(made, task, monkeypatch, tmp_path):
    monkeypatch.chdir(made[task][0].parent)
    pickled = pickle.dumps(load(made[task][0].name, num_threads=2))
    monkeypatch.chdir(tmp_path)
    assert pickle.loads(pickled).predict(TEXTS[:3]) == load(made[task][0], num_threads=2).predict(TEXTS[:3])


def test_a_null_character_does_not_end_the_text(made):
    answerer = load(made["livedoor"][0])
    assert answerer.tokens("野球\0の試合") == answerer.tokens("野球 の試合") > answerer.tokens("野球")


def damaged(folder):
    path = folder / "model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def change(**values):
    def changed(folder):
        facts = json.loads((folder / "compressed.json").read_text(encoding="utf-8"))
        facts = {key: value for key, value in {**facts, **values}.items() if value is not None}
        (folder / "compressed.json").write_text(json.dumps(facts), encoding="utf-8")

    return changed


def not_a_graph(folder):
    from mobilebert_ja.common.files import sha256_of

    (folder / "model.onnx").write_bytes(b"no graph")
    change(sha256=sha256_of(folder / "model.onnx"))(folder)


def other_vocabulary(folder):
    lines = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    lines[10], lines[11] = lines[11], lines[10]
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (damaged, "model.onnx is damaged"),
        (not_a_graph, "cannot run .*model.onnx"),
        (other_vocabulary, "vocab.txt is not the vocabulary"),
        (change(format=2), "format 2, these scripts know format 1"),
        (change(labels=None), "lacks labels"),
        (change(labels=[]), r"labels must be a list of different names, not \[\]"),
        (change(labels="O"), "labels must be a list of different names, not 'O'"),
        (change(labels=["O", "B-人名", "B-人名", "I-人名", "B-地名"]), "labels must be a list of different names"),
        (change(labels=LABELS["ner"][:-1]), "compressed.json: 4 labels, but the model beside it tells 5"),
        (change(labels=[*LABELS["ner"], "B-法人名"]), "compressed.json: 6 labels, but the model beside it tells 5"),
        (change(max_seq_length="24"), "max_seq_length must be a whole number of at least 3, not '24'"),
        (change(max_seq_length=24.5), "max_seq_length must be a whole number of at least 3, not 24.5"),
        (change(max_seq_length=2), "max_seq_length must be a whole number of at least 3, not 2"),
        (change(max_seq_length=513), "max_seq_length 513 is more than the model's 512 positions"),
        (change(kind="tokens"), "kind must be sequence or token, not 'tokens'"),
        (change(kind="sequence"), "kind must be token, as the model beside it is"),
        (change(runs_with="abacus"), "for abacus, not for onnx"),
        (lambda folder: (folder / "model.onnx").unlink(), "model.onnx does not exist"),
        (lambda folder: (folder / "vocab.txt").unlink(), "vocab.txt does not exist"),
        (lambda folder: (folder / "compressed.json").unlink(), "is no sped-up model"),
        (lambda folder: (folder / "compressed.json").write_text("{"), "not valid JSON"),
        (lambda folder: (folder / "compressed.json").write_text("[]"), "must hold keys"),
        (shutil.rmtree, "does not exist"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(made, tmp_path, harm, words):
    folder = tmp_path / "onnx"
    shutil.copytree(made["ner"][0], folder)
    harm(folder)
    with pytest.raises(UserError, match=words) as caught:
        load(folder)
    assert len(str(caught.value).splitlines()) == 1


def test_a_class_model_is_not_taken_for_one_of_names(made, tmp_path):
    shutil.copytree(made["livedoor"][0], tmp_path / "onnx")
    change(kind="token")(tmp_path / "onnx")
    with pytest.raises(UserError, match="kind must be sequence, as the model beside it is"):
        load(tmp_path / "onnx")


@pytest.mark.slow
def test_the_folder_above_stands_for_the_default_treatment(made, tmp_path):
    folder = made["ner"][0]
    assert load(folder.parent).predict(TEXTS[:3]) == load(folder).predict(TEXTS[:3])
    assert load(folder.parent).folder == folder
    done = predict(folder.parent, TEXTS[0].encode())
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1), done.stderr
    shutil.copytree(folder, tmp_path / "ner" / "fast")
    with pytest.raises(UserError, match=f"it holds {tmp_path}/ner/fast"):
        load(tmp_path / "ner")
    with pytest.raises(UserError, match="num_threads must be at least 1"):
        load(folder, num_threads=0)


def test_a_folder_of_the_cards_treatment_is_refused(made, tmp_path):
    _, ready, model = made["livedoor"]
    traced, _ = compress(model, 0.2)
    save_compressed(traced, ready, tmp_path / "card", {})
    with pytest.raises(UserError, match=r"holds a model for torchscript, not for onnx; .*--treatment onnx"):
        load(tmp_path / "card")
    assert load_compressed(tmp_path / "card").labels == LABELS["livedoor"]
    change(max_seq_length=513)(tmp_path / "card")
    with pytest.raises(UserError, match="max_seq_length 513 is more than the model's 512 positions"):
        load_compressed(tmp_path / "card")


def predict(folder, content, *flags):
    program = WITHOUT_TORCH + f"import runpy\nrunpy.run_path({str(SCRIPTS / 'predict.py')!r}, run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-c", program, str(folder), *flags], input=content, capture_output=True, env=with_package()
    )


@pytest.mark.slow
def test_lines_in_lines_out(made):
    folder = made["ner"][0]
    done = predict(folder, ("\n".join([*TEXTS, ""]) + "\r\n最後の行").encode())
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.decode().splitlines()]
    wanted = [dataclasses.asdict(answer) for answer in load(folder).predict([*TEXTS, "", "最後の行"])]
    assert answers == wanted


@pytest.mark.slow
def test_every_line_is_answered_before_the_next_is_read(made):
    command = [sys.executable, str(SCRIPTS / "predict.py"), str(made["livedoor"][0])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for text in TEXTS[:3]:
            process.stdin.write(text.encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["label"] in LABELS["livedoor"]
        process.stdin.close()
        assert process.stdout.read() == b"" and process.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "content", "words"),
    [
        (
            None,
            "東京\n京都の\n".encode() + "大阪の\n".encode("cp932"),
            "error: standard input, line 3 is not UTF-8 (byte 1 of it is 0x91). It looks like CP932: "
            "--encoding cp932 reads it.",
        ),
        ("nowhere", b"", "error: nowhere does not exist. compress.py makes it."),
    ],
)
def test_mistakes_are_one_sentence(made, folder, content, words):
    done = predict(folder or made["livedoor"][0], content)
    assert (done.returncode, done.stderr.decode().strip()) == (1, words)
    assert len(done.stdout.splitlines()) == (2 if folder is None else 0)


@pytest.mark.slow
def test_a_reader_that_has_enough_is_no_error(made):
    command = f"{sys.executable} {SCRIPTS / 'predict.py'} {made['livedoor'][0]} | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], input=b"\n" * 5000, capture_output=True)
    assert done.returncode in (0, 141) and done.stderr == b"" and len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("treatment", ["onnx", "card"])
def test_what_does_not_fit_is_refused(made, tmp_path, treatment):
    _, ready, model = made["ner"]
    task = Task("ner", TASK_KINDS["ner"], LABELS["ner"], [], [])

    def speed_up(model, ready):
        make(CompressSettings(treatment=treatment), Source(model, ready, task, 0), tmp_path, None)

    with pytest.raises(UserError, match="max_seq_length 600 is more than the model's 512 positions"):
        speed_up(model, dataclasses.replace(ready, max_seq_length=600))
    smaller = tiny_model("ner", LABELS["ner"], 50)
    with pytest.raises(UserError, match=r"vocabulary does not fit: .*vocab.txt has \d+ entries, the model embeds 50"):
        speed_up(smaller, ready)
    assert not list(tmp_path.iterdir())


def test_export_refuses_weights_that_are_not_finite(made, tmp_path):
    import copy

    _, ready, model = made["ner"]
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.classifier.weight[0, 0] = float("nan")
    with pytest.raises(UserError, match="not finite"):
        export(broken, ready, tmp_path, "onnx", {})
    assert not list(tmp_path.iterdir())


def test_predict_without_a_folder_is_one_sentence():
    assert "arguments are required: folder" in one_sentence(call_entry(predict_script))


def test_a_model_in_a_folder_whose_name_is_not_utf8(made, tmp_path):
    folder = tmp_path / os.fsdecode("模型".encode("cp932"))
    shutil.copytree(made["ner"][0], folder)
    with pytest.raises(UserError, match=r"whose path is not UTF-8; rename its folder\.$"):
        load(folder)
