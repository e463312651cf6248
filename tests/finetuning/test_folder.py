"""Fine-tuned folders that are no such folders, or no longer what they were: each refused in one sentence."""

import shutil

import pytest

import compress
from helpers.files.task_data import write_student, write_tokenizer
from helpers.models.fast_models import run_here, write_data, write_finetuned
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.finetuning.folder import load_finetuned


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    write_finetuned(folder, write_data(folder / "data"), "livedoor", [0, 4])
    return folder


@pytest.fixture
def folder(work, tmp_path):
    shutil.copytree(work / "finetuned" / "livedoor", tmp_path / "livedoor")
    return tmp_path / "livedoor"


def refusal(folder):
    with pytest.raises(UserError) as caught:
        load_finetuned(folder, "livedoor", 24)
    (sentence,) = str(caught.value).splitlines()
    return sentence


def test_a_folder_without_weights(folder):
    (folder / "model.safetensors").unlink()
    assert refusal(folder) == f"{folder} holds no weights (model.safetensors or pytorch_model.bin)."


def test_a_folder_without_a_configuration(folder):
    (folder / "config.json").unlink()
    assert refusal(folder) == f"{folder}/config.json does not exist. finetune.py --task livedoor makes one."


@pytest.mark.parametrize("share", [0, 0.1, 0.9])
def test_weights_that_are_cut_off(folder, share):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: int(share * len(content))])
    assert refusal(folder).startswith(f"{folder} holds no model that can be loaded: ")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the weights are damaged"),
        (b"no weights at all", "the weights are damaged"),
        (b"PK\x03\x04, no more", ""),
    ],
)
def test_damaged_weights_in_the_older_form(folder, content, reason):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(content)
    assert refusal(folder).startswith(f"{folder} holds no model that can be loaded: {reason}")


def test_a_pretrained_model_that_nobody_fine_tuned(tmp_path):
    folder = write_student(tmp_path / "student", write_tokenizer(tmp_path / "tokenizer"))
    sentence = refusal(folder)
    assert sentence.startswith(f"{folder} is not a model fine-tuned for livedoor: it lacks classifier.")
    assert sentence.endswith("finetune.py --task livedoor makes one.")


@pytest.mark.parametrize("place", ["", "seed-4"])
def test_a_vocabulary_in_another_order_is_refused(work, folder, place, monkeypatch, capsys):
    vocabulary = folder / place / "vocab.txt"
    lines = vocabulary.read_text(encoding="utf-8").splitlines()
    lines[10], lines[11] = lines[11], lines[10]
    vocabulary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    flags = ["--model_name_or_path", str(folder), "--output_dir", str(folder.parent / "onnx")]
    status, said = run_here(monkeypatch, capsys, compress, work, work / "data", *flags)
    assert (status, said) == (
        1,
        f"error: {vocabulary} is not the vocabulary that the model was made with; "
        "finetune.py --task livedoor --overwrite mends it.\n",
    )
    assert not list(folder.parent.glob("onnx*"))
