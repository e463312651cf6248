"""The snippets of both pages, of scripts/README.md and of the service that need models of a task, run as printed.

Tiny models stand where the printed paths point, in a folder that is laid out as a clone in which the road was walked.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import compress
from helpers.files.made_up_records import pages
from helpers.models.fast_models import write_data, write_finetuned
from helpers.paths import ROOT
from helpers.running.own_server import free_port, serving
from helpers.running.processes import call_entry
from mobilebert_ja.card import render as card
from mobilebert_ja.common.files import read_json
from mobilebert_ja.compression.treatments import EXAMPLES
from mobilebert_ja.runtime import load

TASKS = ("livedoor", "ner")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clone")
    for name in ("scripts", "examples"):
        (folder / name).symlink_to(ROOT / name)
    data = write_data(folder / "data")
    for task in TASKS:
        write_finetuned(folder / "work", data, task, [0])
        done = call_entry(compress, "--work_dir", folder / "work", "--data_dir", data, "--task", task)
        assert done.returncode == 0, done.stderr
    return folder


def rendered() -> str:
    """Both pages as the records render them: the repository's are compared with that elsewhere."""
    return pages(card.load_records(ROOT / "records"))


def python_blocks(text: str, words: str) -> list[str]:
    return [each for each in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL) if words in each]


def run(snippet: str, folder: Path, *python_path: str) -> list[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(python_path), "OMP_NUM_THREADS": "1"}
    environment |= {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", snippet], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_every_snippet_of_the_pages_is_run_by_a_test():
    blocks = python_blocks(rendered(), "")
    hub = [each for each in blocks if "ysakuramoto/mobilebert-ja" in each]  # tests/model/test_root_checkpoint.py
    own = [each for each in blocks if "work/" in each]  # here
    assert len(blocks) == len(hub) + len(own) and len(hub) == len(own) == 2


@pytest.mark.slow
def test_the_fine_tuned_models_answer(clone):
    (snippet,) = python_blocks(rendered(), "work/finetuned")
    first, *tags = run(snippet, clone)
    assert re.match(r"\[\{'label': '(sports-watch|movie-enter|smax)', 'score': 0\.\d+", first)
    assert tags and all(len(each.split()) == 2 for each in tags)
    labels = read_json(clone / "work/finetuned/ner/config.json")["label2id"]
    assert {each.split()[1] for each in tags} <= labels.keys()


@pytest.mark.slow
def test_the_sped_up_models_answer(clone):
    text = rendered()
    (snippet,) = python_blocks(text, "work/compressed")
    assert all(example in snippet for example in EXAMPLES.values())
    assert "`PYTHONPATH=scripts` を付けて" in text
    first, *entities = run(snippet, clone, "scripts")
    answer = load(clone / "work/compressed/livedoor/onnx").predict_one(EXAMPLES["livedoor"])
    assert first == f"{answer.label} {round(answer.probability, 3)}"
    found = load(clone / "work/compressed/ner/onnx").predict_one(EXAMPLES["ner"]).entities
    assert found  # the untrained model says something
    assert entities == [f"{each.start} {each.end} {each.type} {each.text}" for each in found]
    assert all(EXAMPLES["ner"][each.start : each.end] == each.text for each in found)


@pytest.mark.slow
def test_the_pages_print_what_the_records_say_was_answered(clone):
    records = card.load_records(ROOT / "records")
    (snippet,) = python_blocks(rendered(), "work/compressed")
    for task in TASKS:
        name = f"compressed_{task}_onnx"
        records[name] = read_json(clone / "work" / "records" / f"{name}.json")
        assert records[name]["metrics"]["example"]["text"] == EXAMPLES[task]
    output = "\n".join(run(snippet, clone, "scripts"))
    assert f"{snippet}```\n\n出力:\n\n```text\n{output}\n```\n" in pages(records)


@pytest.mark.slow
def test_the_runtime_snippet_of_the_scripts(clone):
    text = (ROOT / "scripts" / "README.md").read_text(encoding="utf-8")
    (snippet,) = python_blocks(text, "mobilebert_ja.runtime")
    assert "`PYTHONPATH`" in text
    lines = run(snippet + "\nprint(names.predict_one('田中太郎は京都市に住む。').entities)", clone, "scripts")
    assert lines and lines[-1].startswith("[Entity(start=")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None and not os.environ.get("CI"), reason="no curl here")
def test_the_service_answers_its_own_curl_line(clone):
    text = (ROOT / "examples" / "service.py").read_text(encoding="utf-8")
    start, ask = re.findall(r"^(MODEL=.+|curl .+)$", text, flags=re.MULTILINE)
    model = re.match(r"MODEL=(\S+)", start)
    assert model is not None and "localhost:8000" in ask
    if not (clone / model[1]).exists():  # the printed folder is of a treatment that trains
        (clone / model[1]).symlink_to(clone / "work/compressed/livedoor/onnx")
    port = free_port()
    # As printed, but on a port that is free.
    command = f"exec env {start.replace('uvicorn', f'{sys.executable} -m uvicorn --port {port}')}"
    with serving(port, ["bash", "-c", command], dict(os.environ), clone):
        asked = ask.replace("localhost:8000", f"127.0.0.1:{port}").replace("curl", "curl -s", 1)
        done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)
    assert answer["label"] in answer["probabilities"]
