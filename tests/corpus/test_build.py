"""The corpus pipeline: what each rule removes, the same bytes however it is run, and bad input."""

import json
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from datatrove.pipeline.base import PipelineStep

import build_corpus
from helpers.files.task_data import write_livedoor, write_ner
from helpers.paths import SCRIPTS
from helpers.running.processes import call_entry, one_sentence, run, run_at_work_in, wait_until
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.corpus.build import CorpusBuild, excluded_texts
from mobilebert_ja.corpus.executors import RunNotEnded, make_executor, no_other_run, run_phase
from mobilebert_ja.data.sources import Part
from mobilebert_ja.measuring.timings.corpus import write_copies

KANA = "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめも"


def made_up(seed: object) -> str:
    return "".join(random.Random(str(seed)).choices(KANA, k=20)) + "。"


TEXT = "\n".join(f"{made_up(number)}{made_up(-number - 1)}\n" for number in range(60))


def build(folder: Path, *flags: str) -> subprocess.CompletedProcess:
    return call_entry(build_corpus, "--work_dir", folder / "work", "--heldout_every", 5, *flags, cwd=folder)


def sentences_of(folder: Path) -> dict[str, list[list[str]]]:
    """Split -> documents of sentences."""
    return {
        split: [
            block.split("\n")
            for file in sorted((folder / split).glob("*.txt"))
            for block in file.read_text(encoding="utf-8").split("\n\n")
            if block
        ]
        for split in ("train", "heldout")
    }


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != "record.json"
    }


def made(folder: Path, texts: dict[str, str], **options) -> dict:
    """Build a corpus in this process and return its metrics."""
    parts = []
    for name, text in sorted(texts.items()):
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
        parts.append(Part(name, "text", str(folder / f"{name}.txt")))
    (folder / "corpus").mkdir()
    options = {"excluded": {}, "workers": 1, "heldout_every": 10**9, **options}
    return CorpusBuild(parts, folder=folder / "corpus", **options).run()


@pytest.mark.slow
def test_duplicates_and_evaluation_sentences_are_dropped(tmp_path):
    (tmp_path / "ner.json").write_text(json.dumps([{"text": "試験に使うための文である。"}]), encoding="utf-8")
    texts = {
        "a": "春の川辺には菜の花が咲く。\n試験に使うための文である。\n春の川辺には菜の花が咲く。\n\n短い。\n",
        "b": "春の川辺には菜の花が咲く。駅から港まで市電が通っている。\n\n" + "山の上に古い天文台がある。\n\n" * 2,
    }
    metrics = made(tmp_path, texts, excluded=excluded_texts([tmp_path / "ner.json"]))
    assert sentences_of(tmp_path / "corpus")["train"] == [
        ["春の川辺には菜の花が咲く。"],
        ["駅から港まで市電が通っている。"],
        ["山の上に古い天文台がある。"],
    ]
    assert metrics["rules"] == {
        "repeated_sentence": 2,
        "evaluation_sentence": 1,
        "too_short": 1,
        "duplicate_document": 1,
    }
    assert metrics["removed_sentences"] == metrics["rules"] and metrics["looked_for"] == {"evaluation_sentence": 1}
    assert metrics["read"]["documents"] == 5
    assert metrics["train"] == {"documents": 3, "sentences": 3, "characters": 41}
    assert metrics["sources"]["b"]["sentences"] == 2
    assert metrics["sentence_lengths"] == {10: 3}
    shown = {entry["rule"]: entry for entry in json.loads((tmp_path / "corpus" / "removed.json").read_text())}
    assert shown["too_short"]["examples"] == [{"text": "短い。"}]


@pytest.mark.slow
def test_titles_are_kept_out_too_and_counted_apart(tmp_path):
    """By default both evaluation files; where no title stands in the text, the corpus is that without them."""
    data = tmp_path / "data"
    write_ner(data, 3)  # 田中太郎は京都市に住む。 and the like
    titles = write_livedoor(data, {"smax": 8, "movie-enter": 8})
    wide = "ＡＮＤＲＯＩＤの更新を詳しく紹介"
    with_one = {"text/smax/smax-0.txt": f"http://example/\n2012-01-01\n　{wide} \n本文。\n".encode()}
    (data / "corpus").mkdir()
    sentence = json.loads((data / "ner" / "ner.json").read_text())[1]["text"]
    ordinary = TEXT + f"{sentence}{made_up('a')}\n"
    (data / "corpus" / "a.txt").write_text(ordinary, encoding="utf-8")
    for name, flags in {"default": [], "sentences": ["--exclude", "data/ner/ner.json"]}.items():
        done = build(tmp_path, "--data_dir", "data", "--output_dir", name, *flags)
        assert done.returncode == 0, done.stderr
    assert bytes_of(tmp_path / "default") == bytes_of(tmp_path / "sentences")
    record = json.loads((tmp_path / "default" / "record.json").read_text())
    assert record["inputs"].keys() >= {"exclude_ner.json", f"exclude_{titles.name}"}
    assert record["metrics"]["looked_for"] == {"evaluation_sentence": 3, "evaluation_title": 16}
    # One that does stand there, in the form that cleaning gives both, a whole sentence and a part of another.
    write_livedoor(data, {"smax": 8, "movie-enter": 8}, with_one)
    (data / "corpus" / "a.txt").write_text(ordinary + f"\nANDROIDの更新を詳しく紹介\n{wide}した。\n", encoding="utf-8")
    done = build(tmp_path, "--data_dir", "data", "--output_dir", "titles")
    assert done.returncode == 0, done.stderr
    rules = json.loads((tmp_path / "titles" / "record.json").read_text())["metrics"]["rules"]
    assert rules["evaluation_sentence"] == rules["evaluation_title"] == 1
    kept = {each for split in sentences_of(tmp_path / "titles").values() for document in split for each in document}
    assert (
        "ANDROIDの更新を詳しく紹介した。" in kept and "ANDROIDの更新を詳しく紹介" not in kept and sentence not in kept
    )


@pytest.mark.slow
def test_near_duplicates_are_dropped_and_can_be_kept(tmp_path):
    one = [f"この町の{n}番目の通りには、{n * 7}軒の古い家が並んでいる。" for n in range(60)]
    almost = [*one[:-1], "この町の最後の通りには、新しい家が並んでいる。"]
    half = [*one[:30], *(f"港の{n}番目の船は、{n * 3}年前に作られたものである。" for n in range(30))]
    text = "\n\n".join("\n".join(document) for document in (one, almost, half)) + "\n"
    for kept, folder in ((False, tmp_path / "dropped"), (True, tmp_path / "kept")):
        folder.mkdir()
        metrics = made(folder, {"a": text}, near_duplicates=not kept)
        assert metrics["rules"].get("near_duplicate_document", 0) == (0 if kept else 1)
        assert metrics["train"]["documents"] == (3 if kept else 2)


@pytest.mark.slow
def test_counts_do_not_depend_on_how_the_work_is_shared_out(tmp_path):
    repeated = TEXT + TEXT[: len(TEXT) // 2] + "\n短い。" * 20
    counted = []
    for chars in (300, 10**6):
        folder = tmp_path / str(chars)
        folder.mkdir()
        metrics = made(folder, {"a": repeated}, piece_chars=chars, near_duplicates=False)
        counted.append({key: value for key, value in metrics.items() if key in ("read", "train", "rules", "sources")})
    assert counted[0] == counted[1] and counted[0]["rules"]["too_short"] == 20


@pytest.mark.slow
def test_stage_is_the_same_with_one_and_two_workers(tmp_path):
    (tmp_path / "made.txt").write_text(TEXT, encoding="utf-8")
    written = []
    for workers in ("1", "2"):
        done = build(
            tmp_path,
            "--input",
            "made.txt",
            "--num_workers",
            workers,
            "--output_dir",
            f"out{workers}",
            "--piece_chars",
            "500",
        )
        assert done.returncode == 0, done.stderr
        assert "INFO" not in done.stderr
        written.append(bytes_of(tmp_path / f"out{workers}"))
    assert written[0] == written[1] and len(written[0]) > 6
    metrics = json.loads((tmp_path / "out1" / "record.json").read_text())["metrics"]
    assert metrics["train"]["sentences"] + metrics["heldout"]["sentences"] == 120
    assert metrics["train"]["documents"] + metrics["heldout"]["documents"] == 60
    assert 0 < metrics["heldout"]["documents"] < 30


KILLED_AT = (40, 300, 550)  # files written, of about 700


@pytest.mark.slow
def test_killed_anywhere_and_started_again_it_ends_with_the_same_bytes(tmp_path):
    lines = "\n".join(f"{n}番目の文書には、{n * n}という数がただ一つ書いてある。\n" for n in range(1000))
    (tmp_path / "made.txt").write_text(lines, encoding="utf-8")
    flags = ["--work_dir", "work", "--heldout_every", "5", "--input", "made.txt", "--piece_chars", "3000"]
    done = build(tmp_path, *flags, "--output_dir", "undisturbed")
    assert done.returncode == 0, done.stderr
    command = [sys.executable, str(SCRIPTS / "build_corpus.py"), *flags, "--output_dir", "killed"]
    for files in KILLED_AT:
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_until(lambda files=files: sum(1 for _ in (tmp_path / "killed.partial").rglob("*")) >= files, process)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    done = build(tmp_path, *flags, "--output_dir", "killed")
    assert done.returncode == 0, done.stderr
    assert bytes_of(tmp_path / "killed") == bytes_of(tmp_path / "undisturbed")


class Fails(PipelineStep):
    def run(self, data=None, rank=0, world_size=1):
        raise UserError(f"task {rank} met bad input")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_task_that_fails_ends_the_pass(tmp_path, workers):
    def executor(logs: Path):
        return make_executor("local", None, [Fails()], 3, workers, logs)

    with pytest.raises(UserError, match=r"task [012] met bad input"):
        run_phase("failing", executor, tmp_path, 3)


@pytest.mark.slow
def test_two_runs_in_one_folder(tmp_path):
    with run_at_work_in(tmp_path), pytest.raises(RunNotEnded, match="Another run is working"), no_other_run(tmp_path):
        pass
    with no_other_run(tmp_path):
        pass


@pytest.mark.slow
def test_a_run_at_work_is_not_overwritten(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT, encoding="utf-8")
    unfinished = tmp_path / "work" / "corpus.partial"
    (unfinished / "passes").mkdir(parents=True)
    (unfinished / "identity.json").write_text('{"settings": {"min_chars": 3}, "inputs": {}}')
    flags = ("--input", "a.txt", "--overwrite", "true")
    with run_at_work_in(unfinished / "passes"):
        assert "Another run is working in" in one_sentence(build(tmp_path, *flags))
        assert (unfinished / "passes" / "run.lock").exists()
    done = build(tmp_path, *flags)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("local", "{", "does not fit the local executor"),
        ("slurm", {"time": "1:00"}, "partition"),
        ("local", "[]", "JSON"),
        ("slurm", {"time": "1:00", "partition": "cpu"}, "needs Slurm's command sbatch"),
        ("ray", {}, "needs the package ray"),
    ],
)
def test_executor_options(tmp_path, monkeypatch, kind, options, words):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=words):
        make_executor(kind, options, [], 1, 1, tmp_path)


def test_copies_for_measuring_the_corpus_are_as_long_and_all_different(tmp_path):
    (tmp_path / "a.txt").write_text("漢字と仮名の文。\n\n一龥。\n", encoding="utf-8")
    write_copies([tmp_path / "a.txt"], 3, tmp_path / "copies")
    texts = [file.read_text(encoding="utf-8") for file in sorted((tmp_path / "copies").iterdir())]
    assert texts[0] == (tmp_path / "a.txt").read_text(encoding="utf-8")
    assert len(set(texts)) == 3 and {len(text) for text in texts} == {len(texts[0])}
    assert [text.split("\n\n")[1] for text in texts] == ["一龥。\n", "丁一。\n", "丂丁。\n"]


@pytest.mark.slow
def test_missing_input(tmp_path):
    assert "nowhere.txt does not exist" in one_sentence(build(tmp_path, "--input", "nowhere.txt"))
    (tmp_path / "empty").mkdir()
    assert "holds no text" in one_sentence(build(tmp_path, "--input", "empty"))


@pytest.mark.slow
def test_empty_corpus(tmp_path):
    (tmp_path / "made.txt").write_text("短い。\n", encoding="utf-8")
    assert "no sentence of 10 to 200 characters" in one_sentence(build(tmp_path, "--input", "made.txt"))
    assert not (tmp_path / "work" / "corpus").exists()


@pytest.mark.slow
def test_one_document_makes_no_two_parts(tmp_path):
    """Which of the two it falls to, its text decides; what helps is said, and does."""
    sentences = [
        "東京は日本の首都で、世界でも大きな都市の一つである。\n",
        "昨日の夜に読んだ本は、海の生き物の話だった。\n",
    ]
    sentences += ["新しい機械を買ったので、説明書をよく読んだ。\n", "雨が降ると、庭の花がいっせいに咲き始めます。\n"]
    (tmp_path / "one.txt").write_text(sentences[0], encoding="utf-8")
    said = one_sentence(build(tmp_path, "--input", "one.txt"))
    assert "None of the documents (1) fell to the held-out part; lower --heldout_every, with --overwrite true" in said
    said = one_sentence(build(tmp_path, "--input", "one.txt", "--heldout_every", "2", "--overwrite", "true"))
    assert "None of the documents (1) fell to the training part; raise --heldout_every, with --overwrite true" in said
    (tmp_path / "one.txt").write_text("\n".join(sentences), encoding="utf-8")
    assert build(tmp_path, "--input", "one.txt", "--heldout_every", "2", "--overwrite", "true").returncode == 0


@pytest.mark.slow
def test_not_utf8_names_file_line_and_byte(tmp_path):
    good = "正しい行。\n".encode()
    (tmp_path / "sjis.txt").write_bytes(good + "日本語の文章です。".encode("shift_jis"))
    message = one_sentence(build(tmp_path, "--input", "sjis.txt"))
    assert "sjis.txt, line 2 is not UTF-8" in message and "(byte 1 of it is 0x93)" in message


@pytest.mark.slow
def test_data_folder_without_what_is_expected(tmp_path):
    (tmp_path / "data").mkdir()
    assert "corpus does not exist" in one_sentence(build(tmp_path, "--data_dir", "data"))
    (tmp_path / "data" / "corpus").mkdir()
    assert "ner.json does not exist" in one_sentence(build(tmp_path, "--data_dir", "data"))


@pytest.mark.slow
def test_full_disk_leaves_no_output_that_looks_finished(tmp_path):
    (tmp_path / "made.txt").write_text(
        TEXT * 20 + "\n".join(f"別の{n}番目の文がここにあるのだ。\n" for n in range(9000))
    )

    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    command = [sys.executable, SCRIPTS / "build_corpus.py", "--work_dir", "work", "--input", "made.txt"]
    message = one_sentence(run(command, tmp_path, preexec_fn=small_files_only))
    assert "File too large" in message and ".partial" in message
    assert not (tmp_path / "work" / "corpus").exists()
