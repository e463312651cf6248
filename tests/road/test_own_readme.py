"""The commands for own data in both READMEs, run as printed, in a folder that is laid out as a clone is."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch

from helpers.files.task_data import write_student, write_tokenizer
from helpers.paths import ROOT
from helpers.running.printed_commands import run_line
from mobilebert_ja.common.files import read_json

SECTION = "## Your own data: fine-tuning\n"


def printed_blocks():
    """The blocks of commands of the section, each a list of lines."""
    text = (ROOT / "scripts" / "README.md").read_text(encoding="utf-8")
    section = text.split(SECTION, 1)[1].split("\n## ", 1)[0]
    return [block.splitlines() for block in re.findall(r"```bash\n(.*?)```", section, re.DOTALL)]


def block_of_the_card():
    """The lines from a CSV file to an answer in README.md."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = [each for each in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) if "reviews.csv" in each]
    return block.splitlines()


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A tiny checkpoint in the root of an otherwise empty folder."""
    write_student(tmp_path, write_tokenizer(tmp_path / "tokenizer"))
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "task", "labels"),
    [(0, "classification", {"良い", "悪い"}), (1, "entities", {"O", "B-人名", "I-人名", "B-地名", "I-地名"})],
)
def test_commands_as_printed(clone, monkeypatch, capfd, place, task, labels):
    blocks = printed_blocks()
    assert len(blocks) == 2 and all(len(block) == 5 for block in blocks)
    for line in blocks[place]:
        run_line(line, monkeypatch)
    said = capfd.readouterr().out
    assert "B - A" in said and "of the answers unchanged" in said
    record = read_json(clone / "work" / "finetuned" / task / "record.json")
    assert record["metrics"]["test_size"] == 1 and record["metrics"]["pretrained"]
    made = [path.parent for path in (clone / "work" / "compressed" / task).glob("*/compressed.json")]
    assert len(made) == 1 and set(read_json(made[0] / "compressed.json")["labels"]) == labels
    run_line(blocks[place][1], monkeypatch)  # the root has new files in it, but the model is the same
    assert "nothing to do" in capfd.readouterr().out


@pytest.mark.slow
def test_the_cards_commands_as_printed(clone, monkeypatch, capfd):
    rows = [
        f"{thing}{words},{label}" for thing in "音色形" for words, label in (("が良い", "良い"), ("が悪い", "悪い"))
    ]
    (clone / "reviews.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    (clone / "scripts").symlink_to(ROOT / "scripts")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    lines = block_of_the_card()
    assert len(lines) == 5
    for line in lines:
        capfd.readouterr()
        run_line(line, monkeypatch)
    answer = json.loads(capfd.readouterr().out)
    assert answer["label"] in ("良い", "悪い") and set(answer["probabilities"]) == {"良い", "悪い"}
