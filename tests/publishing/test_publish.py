"""publish.py with huggingface_hub's own client against a Hub on loopback: what goes there, what not, reading back."""

import contextlib
import dataclasses
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from huggingface_hub import constants
from safetensors.torch import load_file

import compress
import publish as entry
from helpers.files.task_data import write_student, write_tokenizer
from helpers.models.fast_models import tiny_model, write_data, write_finetuned
from helpers.paths import ROOT, SCRIPTS
from helpers.running.hub_server import TOKEN, running_hub
from helpers.running.processes import call_entry, one_sentence
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.model.checkpoint import export_checkpoint, load_pretrained
from mobilebert_ja.publishing import upload_folder
from mobilebert_ja.publishing.derived_card import EXAMPLE, render_derived_card
from mobilebert_ja.publishing.upload_folder import (
    _SECRETS,
    ATTRIBUTES,
    require_no_secrets,
    tracked_files,
    write_fill_mask_onnx,
    write_safetensors,
)
from mobilebert_ja.runtime import load

REPO = "someone/small-ja"


def git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Someone", "-c", "user.email=someone@example.com"]
    subprocess.run(["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A checkout with a tiny checkpoint in its root, and beside it what must never be published."""
    folder = tmp_path_factory.mktemp("made")
    student = write_student(folder / "student", write_tokenizer(folder / "tokenizer"))
    root = folder / "root"
    (root / "scripts").mkdir(parents=True)
    export_checkpoint(student, root)
    (root / "README.md").write_text("---\nlanguage: ja\n---\n\n# 小さなモデル\n", encoding="utf-8")
    (root / "scripts" / "train.py").write_text("print('学習')\n", encoding="utf-8")
    (root / "old.txt").write_text("古い\n", encoding="utf-8")
    (root / ".ci").mkdir()
    (root / ".ci" / "run").write_text("make test\n")
    (root / ".gitignore").write_text("/work/\n")
    (root / ".gitattributes").write_text("*.bin binary\n")
    git(folder, "init", "-q", str(root))
    git(root, "add", "-A")
    git(root, "commit", "-qm", "A checkpoint")
    (root / "work").mkdir()
    (root / "work" / "shards.npy").write_bytes(b"data")
    (root / "notes.txt").write_text(f"my token is {'hf_' + 'x' * 34}\n")
    (root / ".env").write_text("PASSWORD=secret\n")
    return root


@pytest.fixture
def root(original, tmp_path):
    shutil.copytree(original, tmp_path / "root")
    return tmp_path / "root"


@pytest.fixture
def hub():
    with running_hub() as server:
        yield server


def environment(hub, tmp_path: Path, token: str = TOKEN) -> dict[str, str]:
    return os.environ | {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": token,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(SCRIPTS),
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture(scope="module")
def exported(original, tmp_path_factory):
    """The ONNX models of the tiny checkpoint, which take longer to make than all the rest of an upload."""
    folder = tmp_path_factory.mktemp("exported")
    write_fill_mask_onnx(original, folder)
    return folder


@pytest.fixture
def publish(exported, hub, monkeypatch):
    """publish.py's main() in this process, as if it stood in `root`, with the ONNX models made beforehand."""

    def copy_onnx(root: Path, folder: Path) -> None:
        assert (root / "pytorch_model.bin").is_file()
        shutil.copytree(exported / "onnx", folder / "onnx")

    monkeypatch.setattr(upload_folder, "write_fill_mask_onnx", copy_onnx)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)

    def run(root: Path, *flags: str, repo: str = REPO, token: str = TOKEN):
        monkeypatch.setenv("HF_TOKEN", token)
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(entry, "ROOT", root)
        return call_entry(entry, "--repo_id", repo, *flags)

    return run


def publish_in_a_process(root: Path, hub, tmp_path: Path, *flags: str):
    """publish.py as a user starts it, as if it stood in `root`; it makes the ONNX models itself."""
    code = f"import publish; from pathlib import Path; publish.ROOT = Path({str(root)!r}); publish.main()"
    command = [sys.executable, "-c", code, "--repo_id", REPO, *flags]
    return subprocess.run(command, capture_output=True, text=True, env=environment(hub, tmp_path))


def run_snippet(code: str, hub, tmp_path: Path) -> str:
    """What the code of someone prints who has the Hub and nothing else of ours."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(hub, tmp_path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return done.stdout


def said_here(code: str) -> str:
    """What code prints in this process."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(code, {"__name__": "__main__"})
    return out.getvalue()


@pytest.mark.slow
def test_published_and_read_back(root, exported, hub, publish, tmp_path):
    dry = publish(root, "--dry_run", "true")
    assert dry.returncode == 0, dry.stderr
    assert "new " in dry.stdout and "a new repository" in dry.stdout and "nothing was uploaded" in dry.stdout
    assert not hub.repos and not hub.objects

    done = publish_in_a_process(root, hub, tmp_path)
    assert done.returncode == 0, done.stderr
    repo = hub.repos[REPO]
    assert set(repo.files) == {
        "README.md",
        "config.json",
        "tokenizer_config.json",
        "vocab.txt",
        "pytorch_model.bin",
        "model.safetensors",
        "onnx/model.onnx",
        "onnx/model_quantized.onnx",
        ".gitattributes",
        ".gitignore",
        "scripts/train.py",
        "old.txt",
    }
    assert len(repo.commits) == 1 and f"{hub.url}/{REPO}/commit/" in done.stdout
    assert repo.files[".gitattributes"].decode() == ATTRIBUTES
    assert not any(b"x" * 34 in content or b"secret" in content for content in repo.files.values())

    # Whoever makes the ONNX models makes the same bytes: what is there already is not sent again.
    for name in ("onnx/model.onnx", "onnx/model_quantized.onnx"):
        assert repo.files[name] == (exported / name).read_bytes()

    # Whoever reads it has the model of the root; and it is the safetensors file that is read.
    code = (
        "import torch; from transformers import AutoTokenizer, MobileBertForMaskedLM\n"
        f"name = {REPO!r}\n"
        "model = MobileBertForMaskedLM.from_pretrained(name).eval()\n"
        "inputs = AutoTokenizer.from_pretrained(name)('野球の試合', return_tensors='pt')\n"
        "with torch.inference_mode(): print(model(**inputs).logits.sum().item())\n"
    )
    read = run_snippet(code, hub, tmp_path)
    assert float(read) == pytest.approx(float(said_here(code.replace(repr(REPO), repr(str(root))))), abs=1e-3)
    asked = [each for each in hub.requests if f"GET /{REPO}/resolve/" in each]
    assert any(each.endswith("/model.safetensors") for each in asked)
    assert not any(each.endswith("/pytorch_model.bin") for each in asked)
    for name, tolerance in (("onnx/model.onnx", 1e-3), ("onnx/model_quantized.onnx", 0.5)):
        session = onnxruntime.InferenceSession(repo.files[name], providers=["CPUExecutionProvider"])
        ids = np.array([[2, 30, 31, 4, 3]], np.int64)
        logits = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
        with torch.inference_mode():
            wanted = load_pretrained(root).eval()(torch.from_numpy(ids)).prediction_logits.numpy()
        assert np.abs(logits - wanted).max() < tolerance * max(1.0, np.abs(wanted).max())


@pytest.mark.slow
def test_only_what_changed_goes_there_again(root, hub, publish):
    assert publish(root).returncode == 0
    puts = hub.puts()
    again = publish(root)
    assert "nothing to do" in again.stdout and len(hub.repos[REPO].commits) == 1

    (root / "README.md").write_text("---\nlanguage: ja\n---\n\n# 新しいカード\n", encoding="utf-8")
    assert "README.md; commit" in one_sentence(publish(root))
    git(root, "rm", "-q", "old.txt")
    git(root, "commit", "-qam", "A new card")
    done = publish(root, "--create_pr", "true", "--commit_message", "Ein neuer Kartentext")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["changed", "README.md"] in [[line[0], line[-1]] for line in lines if line]
    assert ["deleted", "old.txt"] in [[line[0], line[-1]] for line in lines if line]
    assert f"{hub.url}/{REPO}/discussions/1" in done.stdout
    (proposed,) = hub.repos[REPO].pull_requests
    assert "old.txt" not in proposed and "新しいカード" in proposed["README.md"].decode()
    assert "old.txt" in hub.repos[REPO].files  # main is as it was
    assert hub.puts() == puts


@pytest.mark.slow
def test_a_commit_that_came_in_between_is_not_overwritten(root, hub, publish, monkeypatch):
    assert publish(root).returncode == 0
    repo = hub.repos[REPO]
    before, make_plan = dict(repo.files), entry.make_plan

    def plan_and_be_overtaken(*arguments):
        plan = make_plan(*arguments)
        repo.commits.append({"summary": "By someone else"})
        return plan

    monkeypatch.setattr(entry, "make_plan", plan_and_be_overtaken)
    (root / "README.md").write_text("---\nlanguage: ja\n---\n\n# 新しいカード\n", encoding="utf-8")
    git(root, "commit", "-qam", "A new card")
    assert f"{REPO} has changed since the plan was made; start again" in one_sentence(publish(root))
    assert repo.files == before and len(repo.commits) == 2


@pytest.mark.slow
def test_interrupted_and_started_again(root, hub, publish):
    hub.refuse_puts_after = 2
    said = one_sentence(publish(root))
    assert "could not be used" in said and not hub.repos[REPO].files
    assert hub.puts() == 2
    hub.refuse_puts_after = None
    assert publish(root).returncode == 0
    assert hub.puts() == 4  # weights twice, ONNX twice: each large file was sent once
    assert len(hub.repos[REPO].commits) == 1


@pytest.mark.slow
def test_secrets_stop_it(root, hub, publish):
    git(root, "add", "notes.txt")
    git(root, "commit", "-qm", "By mistake")
    assert "notes.txt holds what looks like a Hub token" in one_sentence(publish(root))
    assert not hub.repos


# Each in two parts, for these lines are published too.
SECRETS = [
    ("a Hub token", "hf_", "a" * 34),
    ("a private key", "-----BEGIN RSA ", "PRIVATE KEY-----"),
    ("a private key", "-----BEGIN ", "PRIVATE KEY-----"),
    ("an AWS key", "AKIA", "ABCDEFGH12345678"),
    *[("a GitHub token", f"gh{kind}_", "a" * 36) for kind in "pousr"],
    ("a GitHub token", "github_pat_", "a1_" * 20),
    ("an API key", "sk-", "a1-_" * 8),
]


@pytest.mark.parametrize(("words", "beginning", "rest"), SECRETS)
def test_kinds_of_secrets(tmp_path, words, beginning, rest):
    (tmp_path / "a.py").write_text(f"given = '{beginning + rest}'\n")
    with pytest.raises(UserError, match=f"a.py holds what looks like {words};"):
        require_no_secrets(tmp_path)


def test_every_kind_of_secret_is_tried():
    assert {words for words, *_ in SECRETS} == set(_SECRETS)


@pytest.mark.parametrize(
    "name",
    [".env", "conf/.env", ".env.local", ".netrc", "id_rsa", "keys/id_ed25519", "server.pem", "a.p12", "a.key", "token"]
    + ["conf/credentials"],
)
def test_names_of_secrets(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("A=1")
    with pytest.raises(UserError, match=f"{name} looks like a file of secrets"):
        require_no_secrets(tmp_path)


def test_this_repository_can_be_published(tmp_path):
    """What git tracks here holds nothing that looks like a secret, these tests included, and no heap of data."""
    for name in subprocess.check_output(["git", "-C", str(ROOT), "ls-files", "-z"], text=True).split("\0")[:-1]:
        if (ROOT / name).is_file() and not name.endswith(".bin"):
            assert (ROOT / name).stat().st_size < 1 << 20, f"{name} is large for what is written by hand"
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / name)
    require_no_secrets(tmp_path)


@pytest.mark.slow
def test_refusals_are_one_sentence(root, hub, publish, tmp_path):
    assert "does not know the token" in one_sentence(publish(root, token="hf_wrong"))
    assert "--repo_id must be NAME/MODEL" in one_sentence(publish(root, repo="no name"))
    assert not hub.repos
    hub.read_only = True
    said = one_sentence(publish(root))
    assert f"the token may not write to {REPO}" in said and not hub.repos and not hub.objects
    hub.url = "http://127.0.0.1:9"  # nothing listens there
    assert "could not be used" in one_sentence(publish(root))
    dry = publish(root, "--dry_run", "true")
    assert dry.returncode == 0 and "not compared with the Hub" in dry.stdout and "could not be used" in dry.stderr
    plain = tmp_path / "plain"
    shutil.copytree(root, plain, ignore=shutil.ignore_patterns(".git"))
    assert "is no git checkout" in one_sentence(publish(plain))


def test_safetensors_of_the_root_are_its_weights(tmp_path):
    write_safetensors(ROOT / "pytorch_model.bin", tmp_path / "model.safetensors")
    ours = load_file(tmp_path / "model.safetensors")
    theirs = torch.load(ROOT / "pytorch_model.bin", map_location="cpu", weights_only=True)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], tensor) and ours[name].dtype == tensor.dtype for name, tensor in theirs.items())


@pytest.mark.slow
def test_a_finetuned_model_goes_to_its_own_repository(original, hub, publish, tmp_path):
    folder = tmp_path / "titles"
    size = len((original / "vocab.txt").read_text(encoding="utf-8").splitlines())
    model = tiny_model("classification", ["良い", "悪い"], size)
    model.save_pretrained(str(folder))
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copyfile(original / name, folder / name)
    (folder / "seed-1").mkdir()
    (folder / "predictions-seed-0.json").write_text("[]")
    record = {
        "settings": {
            "num_train_epochs": 3,
            "learning_rate": 1e-4,
            "max_seq_length": 64,
            "model_name_or_path": "work/adapted",
        },
        "inputs": {"model_name_or_path": "0123456789abcdef"},
        "metrics": {"task": "reviews", "metric": "accuracy", "test_size": 41, "runs": [{"seed": 0, "score": 0.8049}]},
    }
    (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")
    flags = ("--model_folder", str(folder))
    assert "a repository of its own" in one_sentence(publish(original, *flags, repo="ysakuramoto/mobilebert-ja"))
    done = publish(original, *flags, "--private", "true", repo="someone/reviews")
    assert done.returncode == 0, done.stderr
    repo = hub.repos["someone/reviews"]
    assert repo.private
    assert set(repo.files) == {
        "README.md",
        ".gitattributes",
        "config.json",
        "model.safetensors",
        "vocab.txt",
        "tokenizer_config.json",
    }
    text = repo.files["README.md"].decode()
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["base_model"] == "ysakuramoto/mobilebert-ja" and head["base_model_relation"] == "finetune"
    assert head["license"] == "cc-by-sa-3.0" and "元のモデルと同じ CC BY-SA 3.0 です" in text
    assert head["pipeline_tag"] == "text-classification" and head["model-index"][0]["results"]
    assert (
        "良い、悪い" in text
        and "| 0 | 80.5 % |" in text
        and "最大 64 トークン" in text
        and "`num_train_epochs`: 3" in text
    )


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """A work folder with a tiny model of names, fine-tuned and sped up."""
    work = tmp_path_factory.mktemp("work")
    data = write_data(work / "data")
    write_finetuned(work, data, "ner", [0])
    done = call_entry(compress, "--work_dir", work, "--data_dir", data, "--task", "ner")
    assert done.returncode == 0, done.stderr
    return work


def head_and_text(card: bytes) -> tuple[dict, str]:
    text = card.decode()
    return yaml.safe_load(text.split("---\n")[1]), text


def as_printed(text: str, language: str) -> str:
    (block,) = re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)
    return block


@pytest.mark.slow
def test_a_model_of_names_is_published_and_answers_as_its_card_prints(original, names, hub, publish, tmp_path):
    folder = names / "finetuned" / "ner"
    done = publish(original, "--model_folder", str(folder), repo="someone/names")
    assert done.returncode == 0, done.stderr
    files = hub.repos["someone/names"].files
    assert {"config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"} <= set(files)
    head, text = head_and_text(files["README.md"])
    assert head["pipeline_tag"] == "token-classification" and head["base_model_relation"] == "finetune"
    assert (
        head["library_name"] == "transformers" and head["model-index"][0]["results"][0]["metrics"][0]["type"] == "f1"
    )
    assert "固有表現抽出に微調整した" in text and "F値(完全一致)" in text and "人名、地名" in text and "B-" not in text
    code = as_printed(text, "python")
    wanted = said_here(code.replace("someone/names", str(folder)))
    assert run_snippet(code, hub, tmp_path) == wanted != ""


@pytest.mark.slow
def test_a_sped_up_model_is_published_and_answers_as_its_card_prints(original, names, hub, publish, tmp_path):
    folder = names / "compressed" / "ner" / "onnx"
    done = publish(original, "--model_folder", str(folder), repo="someone/fast-names")
    assert done.returncode == 0, done.stderr
    files = hub.repos["someone/fast-names"].files
    assert set(files) == {
        "README.md",
        ".gitattributes",
        "model.onnx",
        "compressed.json",
        "vocab.txt",
        "tokenizer_config.json",
    }
    head, text = head_and_text(files["README.md"])
    assert head["base_model"] == "ysakuramoto/mobilebert-ja" and head["base_model_relation"] == "quantized"
    assert head["pipeline_tag"] == "token-classification" and "library_name" not in head
    assert "CPU で速く動くように変換した" in text
    assert "## 変換\n\n- `treatment`: onnx\n\n最大" in text  # nothing of a training that never was
    (tmp_path / "scripts").symlink_to(SCRIPTS)
    beside = str(Path(sys.executable).parent)
    variables = environment(hub, tmp_path) | {"PATH": f"{beside}{os.pathsep}{os.environ['PATH']}"}
    commands = ["bash", "-ec", as_printed(text, "bash")]
    read = subprocess.run(commands, capture_output=True, text=True, env=variables, cwd=tmp_path)
    assert read.returncode == 0, read.stderr
    answer = load(folder).predict_one(EXAMPLE)
    assert answer.entities  # the untrained model says something
    assert json.loads(read.stdout.splitlines()[-1]) == dataclasses.asdict(answer)
    snippet = [sys.executable, "-c", as_printed(text, "python")]
    said = subprocess.run(snippet, capture_output=True, text=True, env=variables, cwd=tmp_path)
    assert said.stdout.strip() == str(answer), said.stderr


@pytest.mark.parametrize(
    ("head", "more", "task", "metric", "words"),
    [
        ("ForSequenceClassification", {"id2label": {"0": "含意"}}, "jnli", "accuracy", "文の組の分類"),
        ("ForSequenceClassification", {"problem_type": "regression"}, "jsts", "spearman", "2文の類似度の推定"),
        ("ForMultipleChoice", {}, "jcommonsenseqa", "accuracy", "選択肢からの選択"),
        ("ForQuestionAnswering", {}, "jsquad", "answer_f1", "文章からの答えの抜き出し"),
    ],
)
def test_a_card_for_every_kind_of_task(tmp_path, head, more, task, metric, words):
    config = {"architectures": [f"MobileBert{head}"], "id2label": {"0": "LABEL_0"}, "max_position_embeddings": 512}
    (tmp_path / "config.json").write_text(json.dumps(config | more))
    metrics = {"task": task, "metric": metric, "test_size": 10, "runs": [{"seed": 0, "score": 0.5}], "batch_size": 8}
    settings = {"per_device_train_batch_size": 0}  # left to the number of rows
    (tmp_path / "record.json").write_text(json.dumps({"metrics": metrics, "settings": settings}))
    card = render_derived_card(tmp_path, "a/b", "c/d")
    assert words in card and f'AutoModel{head}.from_pretrained("a/b")' in card
    assert "LABEL_0" not in card and "pipeline(" not in card and "|  |" not in card
    assert ("## ラベル\n\n含意" in card) == (task == "jnli")
    assert "c/d の" not in card and "ysakuramoto/mobilebert-ja の `scripts/" in card  # where there are scripts
    assert "| 0 | 50.0 % |" in card and "`per_device_train_batch_size`: 8" in card


def test_an_upload_dir_that_is_no_new_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    for name, words in (("file", "is a file, or"), ("file/in", "would stand in one"), (".", "is not empty")):
        done = call_entry(entry, "--dry_run", "true", "--upload_dir", tmp_path / name)
        assert words in one_sentence(done)
    assert [each.name for each in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "mine"


def test_without_git_that_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="uploads what git tracks, and git is not installed"):
        tracked_files(tmp_path)


def write_plain(folder: Path, structure: str, settings: dict, inputs: dict | None = None, **more) -> Path:
    """What a card looks at of a fine-tuned folder."""
    folder.mkdir()
    config = {"architectures": ["ModelForSequenceClassification"], "id2label": {"0": "良い"}, "model_type": structure}
    (folder / "config.json").write_text(json.dumps(config))
    metrics = {"task": "reviews", "metric": "accuracy", "test_size": 10, "runs": [{"seed": 0, "score": 0.5}]}
    record = {"metrics": metrics | more, "settings": settings, "inputs": inputs or {}}
    (folder / "record.json").write_text(json.dumps(record))
    return folder


E5 = {"model_name_or_path": "intfloat/multilingual-e5-small"}


@pytest.mark.parametrize(
    ("structure", "settings", "base", "words"),
    [
        ("bert", E5, None, r"--base_model names .* from \(intfloat/multilingual-e5-small, by its record\)\."),
        ("bert", E5, "ysakuramoto/mobilebert-ja", "was not made from ysakuramoto/mobilebert-ja"),
        ("bert", {}, None, r"--base_model names the model on the Hub that it was made from\."),
        (
            "mobilebert",
            {"model_name_or_path": "google/mobilebert-uncased"},
            None,
            r"\(google/mobilebert-uncased, by its",
        ),
    ],
)
def test_a_model_from_elsewhere_is_not_said_to_be_from_here(tmp_path, structure, settings, base, words):
    folder = write_plain(tmp_path / "model", structure, settings)
    with pytest.raises(UserError, match=words):
        render_derived_card(folder, "a/b", base)


def test_a_model_of_another_encoder_has_its_licence_and_no_tag_of_ours(tmp_path):
    folder = write_plain(tmp_path / "model", "bert", E5)
    head, text = head_and_text(render_derived_card(folder, "a/b", "intfloat/multilingual-e5-small").encode())
    assert head["base_model"] == "intfloat/multilingual-e5-small" and "license" not in head
    assert head["tags"] == ["japanese", "cpu"]
    assert "CC BY-SA" not in text and "ライセンスは元のモデルと同じものです。" in text


@pytest.mark.parametrize(
    ("named", "inputs"),
    [(None, {}), ("ysakuramoto/mobilebert-ja", {}), ("work/student", {"model_name_or_path": "0123456789abcdef"})],
)
def test_a_mobilebert_is_from_here(tmp_path, named, inputs):
    folder = write_plain(tmp_path / "model", "mobilebert", {"model_name_or_path": named}, inputs)
    head, _ = head_and_text(render_derived_card(folder, "a/b").encode())
    assert head["base_model"] == "ysakuramoto/mobilebert-ja" and head["license"] == "cc-by-sa-3.0"
    assert "mobilebert" in head["tags"]


@pytest.mark.parametrize(
    ("share", "settings", "metrics"),
    [(None, {"validate_on": None}, {}), (0.2, {"validate_on": 0.2}, {}), (0.2, {}, {"validate_on": 0.2})],
)
def test_scores_by_which_settings_are_chosen_are_no_results(tmp_path, share, settings, metrics):
    """finetune.py was told so; compress.py takes it from the folder that it speeds up."""
    folder = write_plain(tmp_path / "model", "mobilebert", settings, **metrics)
    head, text = head_and_text(render_derived_card(folder, "a/b").encode())
    assert ("model-index" in head) == (share is None)
    assert ("検証 10件" if share else "テスト 10件") in text and "| 0 | 50.0 % |" in text


@pytest.mark.parametrize("treatment", ["onnx", "fast"])
def test_of_the_treatments_only_fast_is_said_to_cut_and_to_train(tmp_path, treatment):
    settings = {"treatment": treatment, "num_train_epochs": 5, "learning_rate": 2e-4, "keep_ffn": 0.8}
    folder = write_plain(tmp_path / "model", "mobilebert", settings)
    told = re.findall(r"^- `(\w+)`", render_derived_card(folder, "a/b"), flags=re.MULTILINE)
    assert told == (
        ["treatment"] if treatment == "onnx" else ["num_train_epochs", "learning_rate", "treatment", "keep_ffn"]
    )


def test_no_card_for_what_is_no_model(tmp_path, original):
    with pytest.raises(UserError, match="names no labels"):
        render_derived_card(original, "a/b", "c/d")
    with pytest.raises(UserError, match=r"config.json does not exist"):
        render_derived_card(tmp_path, "a/b", "c/d")
