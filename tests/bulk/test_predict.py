"""predict.py with many texts: files, processes that share them, output that is gone on with after any end."""

import contextlib
import gzip
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import predict as predict_script
from helpers.files.task_data import TEXTS
from helpers.models.fast_models import write_sped_up
from helpers.paths import SCRIPTS
from helpers.running.processes import call_entry, one_sentence, wait_until
from mobilebert_ja.bulk import answers as parts
from mobilebert_ja.bulk.answers import Answering, load_for_lines
from mobilebert_ja.bulk.output import ResumableFile
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import sha256_of, write_json
from mobilebert_ja.inference.folder import FACTS_NAME
from mobilebert_ja.runtime import load

MANY = TEXTS * 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_sped_up(tmp_path_factory.mktemp("fast"), "livedoor")


@pytest.fixture(scope="module")
def wanted(folder):
    return parts.as_lines(load(folder), 1, MANY)


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(MANY) + "\n", encoding="utf-8")
    return path


class Collected:
    """An output that keeps what it is given."""

    texts_done = 0

    def __init__(self):
        self.lines = b""

    def write(self, texts, lines):
        assert lines.count(b"\n") == len(texts)
        self.lines += lines


def answered(folder, num_workers, batch_size=1, texts=MANY):
    output = Collected()
    make_answer = parts.functools.partial(load_for_lines, folder, 1, batch_size)
    Answering(make_answer, num_workers, batch_size, patience=0).run(iter(texts), str, output)
    return output.lines


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 8])
def test_the_same_answers_from_any_number_of_processes(folder, wanted, batch_size):
    alone = answered(folder, 1, batch_size)
    assert alone == answered(folder, 2, batch_size)
    labels = [[json.loads(line)["label"] for line in lines.splitlines()] for lines in (alone, wanted)]
    same = sum(a == b for a, b in zip(*labels, strict=True))
    assert alone == wanted if batch_size == 1 else same > 0.7 * len(MANY)  # int8 ranges are those of the batch


def test_files_in_answers_out(folder, texts, wanted, tmp_path):
    (tmp_path / "more.txt").write_bytes("電池がすぐ切れる\r\n画面".encode("cp932"))
    alone = ("--num_workers", 1)  # a machine that is slow would start others
    done = call_entry(predict_script, folder, "--input_file", texts, "--output_file", tmp_path / "out", *alone)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_bytes() == wanted and done.stdout == "" and "264/264" in done.stderr
    flags = ("--input_file", tmp_path / "more.txt", tmp_path / "more.txt", "--encoding", "shift_jis")
    done = call_entry(predict_script, folder, *flags, "--output_file", tmp_path / "two", *alone)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "two").read_bytes() == parts.as_lines(load(folder), 1, ["電池がすぐ切れる", "画面"] * 2)


def test_other_texts_than_were_begun_with_are_answered_if_that_is_asked_for(folder, tmp_path, monkeypatch):
    """The texts have been read by the time that they are known to be others, which standard input cannot be again."""
    model = sha256_of(folder / FACTS_NAME)
    run = ResumableFile(tmp_path / "out", {"model": model, "batch_size": 1}, iter(()), overwrite=False)
    run.write(["前の文"], b"{}\n")
    run._sync()
    write_json(run._note, run._state(3))
    run._stream.close()
    (tmp_path / "texts").write_text("画面\n電池\n", encoding="utf-8")
    flags = (folder, "--output_file", "out", "--num_workers", 1)
    files = ("--input_file", "texts")
    for refused in (files, ("--overwrite",)):
        with open(tmp_path / "texts") as stdin, monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", stdin)
            done = call_entry(predict_script, *flags, *refused, cwd=tmp_path)
        assert "holds answers to other texts than the first 1 of these" in one_sentence(done)
        assert (tmp_path / "out.partial").read_bytes() == b"{}\n"
    done = call_entry(predict_script, *flags, *files, "--overwrite", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_bytes() == parts.as_lines(load(folder), 1, ["画面", "電池"])
    assert {each.name for each in tmp_path.iterdir()} == {"out", "texts"}


def test_rows_are_answered_as_lines_and_that_is_told(folder, tmp_path):
    for name, warned in (("a.csv", True), ("b.CSV.gz", True), ("c.jsonl", True), ("d.csv.txt", False)):
        content = "text,label\n画面,良い\n".encode()
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        done = call_entry(predict_script, folder, "--input_file", name, "--output_file", f"{name}.out", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert (f"warning: {name} is read as plain text: each of its lines is answered" in done.stderr) == warned
        assert (tmp_path / f"{name}.out").read_bytes().count(b"\n") == 2


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--input_file", "none.txt"), "error: none.txt does not exist."),
        (("--input_file", "texts.txt", "--output_file", "texts.txt"), "texts.txt is both --input_file and --output_"),
        (("--input_file", "texts.txt", "--output_file", "there"), "error: there exists; --overwrite replaces it."),
        (("--input_file", "broken.txt", "--output_file", "out"), "error: broken.txt, line 1001 is not UTF-8 (byte 1"),
        (("--input_file", "texts.txt", "broken.txt"), "error: broken.txt, line 1001 is not UTF-8 (byte 1"),
        (("--encoding", "klingon"), "error: --encoding knows no 'klingon'"),
        (("--num_workers", "0"), "error: num_workers must be at least 1, not 0."),
        (("--num_threads", "0"), "error: num_threads must be at least 1, not 0."),
        (("--batch_size", "-1"), "error: batch_size must be at least 1, not -1."),
        (("--overwrite", "maybe"), "error: Argument --overwrite: invalid choice: 'maybe'"),
    ],
)
def test_mistakes_are_told_before_any_answer(folder, texts, tmp_path, flags, words):
    (tmp_path / "there").write_text("mine")
    (tmp_path / "broken.txt").write_bytes(b"a\n" * 1000 + b"\xff\n")
    before = set(os.listdir(tmp_path))
    done = call_entry(predict_script, folder, *flags, cwd=tmp_path)
    assert words in one_sentence(done)
    assert set(os.listdir(tmp_path)) == before and (tmp_path / "there").read_text() == "mine" and done.stdout == ""


def start(folder, *flags, **pipes):
    return subprocess.Popen([sys.executable, SCRIPTS / "predict.py", folder, *map(str, flags)], **pipes)


def children_of(process):
    """The processes that answer for it, not those that look after its memory."""
    found = []
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = each.read_text().rpartition(")")[2].split()[1]
            if int(parent) == process.pid and b"spawn_main" in (each.parent / "cmdline").read_bytes():
                found.append(int(each.parent.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


class Feeding:
    """A file's worth of texts without an end, written to a process as fast as it takes them."""

    def __init__(self, process):
        self.process, self.sent, self.enough = process, 0, threading.Event()
        self.thread = threading.Thread(target=self._feed)
        self.thread.start()

    def _feed(self):
        with contextlib.suppress(BrokenPipeError), self.process.stdin as stream:
            for text in itertools.cycle(TEXTS):
                if self.enough.is_set():
                    return
                stream.write(text.encode() + b"\n")
                self.sent += 1

    def stop(self):
        self.enough.set()
        self.thread.join()


def expected_lines(folder, count):
    """The answers to as many texts of those that are fed."""
    lines = parts.as_lines(load(folder), 1, TEXTS).splitlines(keepends=True)
    return list(itertools.islice(itertools.cycle(lines), count))


@pytest.mark.slow
def test_killed_at_any_moment_and_started_again(folder, tmp_path):
    """To the end, then, and with the bytes of a run that was left alone."""
    path, partial, note = (tmp_path / name for name in ("out", "out.partial", "out.partial.json"))
    flags = ("--output_file", path, "--num_workers", 2)
    process = start(folder, *flags, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    feeding = Feeding(process)
    wait_until(lambda: bool(children_of(process)), process)
    size = partial.stat().st_size
    wait_until(lambda: partial.stat().st_size > size, process)  # by then the processes have begun
    process.kill()
    process.wait()
    feeding.stop()
    begun = json.loads(note.read_text())["texts"]
    assert begun > 0 and not path.exists()
    (tmp_path / "texts").write_text("".join(f"{text}\n" for text in [*TEXTS] * (begun // len(TEXTS) + 9)))
    with open(tmp_path / "texts", "rb") as texts:
        process = start(folder, *flags, stdin=texts, stderr=subprocess.PIPE)
    said = process.communicate()[1].decode()
    assert process.returncode == 0, said
    assert f"texts: {begun}text [" in said  # where the bar begins
    count = (begun // len(TEXTS) + 9) * len(TEXTS)
    assert path.read_bytes() == b"".join(expected_lines(folder, count))
    assert {each.name for each in tmp_path.iterdir()} == {"out", "texts"}


@pytest.mark.slow
def test_a_process_that_is_killed_loses_nothing_and_reading_is_not_far_ahead(folder):
    process = start(folder, "--num_workers", 2, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    feeding = Feeding(process)
    lines = []
    while not (children := children_of(process)):
        lines += [process.stdout.readline() for _ in range(100)]
    lines += [process.stdout.readline() for _ in range(1000)]  # more than the pipe holds: they are at work
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    lines += [process.stdout.readline() for _ in range(1000)]
    buffered = (2 << 16) // 30  # bytes in both pipes and in buffers, of which a text has 30 or more
    assert feeding.sent - len(lines) < 64 * 16 + 2 * buffered
    feeding.stop()
    lines += process.stdout.readlines()
    assert process.wait() == 0
    assert lines == expected_lines(folder, feeding.sent)


@pytest.mark.slow
def test_a_reader_that_has_enough_ends_all_of_it_quietly(folder):
    process = start(folder, "--num_workers", 2, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    feeding = Feeding(process)
    while not (children := children_of(process)):
        for _ in range(100):
            process.stdout.readline()
    process.stdout.close()
    assert process.wait() == 0
    feeding.stop()
    assert process.stderr.read() == b""
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    process.stderr.close()


@pytest.mark.parametrize("stream", ["input", "output"])
def test_a_standard_stream_that_is_closed(folder, texts, tmp_path, monkeypatch, stream):
    """As `<&-` and `>&-` do it, and some that start daemons."""
    monkeypatch.setattr(sys, f"std{stream[:-3]}", None)
    given = predict_script.parser().parse_args([str(folder)])
    with pytest.raises(UserError, match=f"Standard {stream} is closed; --{stream}_file names a file"):
        predict_script.checked(given)
    flags = ["--input_file", str(texts), "--output_file", str(tmp_path / "out"), "--num_workers", "1"]
    predict_script.answer_lines(
        folder, predict_script.checked(predict_script.parser().parse_args([str(folder), *flags]))
    )
    assert len((tmp_path / "out").read_text(encoding="utf-8").splitlines()) == len(MANY)
