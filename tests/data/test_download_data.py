"""download_data.py against a real HTTP server: fetched, checked, continued, and never another file under the name."""

import sys
import tarfile
from pathlib import Path

import pytest

import download_data
from helpers.files.served import RangedHandler, served_by
from helpers.files.task_data import write_livedoor, write_ner
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.common.files import sha256_of
from mobilebert_ja.data.livedoor_archive import articles_digest
from mobilebert_ja.tasks import load_task

COUNTS = {"sports-watch": 12, "movie-enter": 10, "smax": 8}


class Handler(RangedHandler):
    folder: Path

    def content(self) -> bytes:
        return (self.folder / self.path.lstrip("/")).read_bytes()


@pytest.fixture
def made(tmp_path, monkeypatch):
    """What the makers serve, below tmp_path/theirs; its address; and the digests that are wanted."""
    theirs = tmp_path / "theirs"
    archive, sentences = write_livedoor(theirs, COUNTS), write_ner(theirs, 20)
    monkeypatch.setattr(download_data, "LIVEDOOR_DIGEST", articles_digest(archive))
    monkeypatch.setattr(download_data, "NER_DIGEST", sha256_of(sentences))
    Handler.break_after, Handler.folder, Handler.ranges = None, theirs, []
    with served_by(Handler) as address:
        yield theirs, address


def run(monkeypatch, capsys, tmp_path, url, **more):
    """(status, what was said) of the command with both addresses on this server."""
    flags = {"data_dir": tmp_path / "data", "url_livedoor": f"{url}/livedoor/ldcc-20140209.tar.gz"}
    flags |= {"url_ner": f"{url}/ner/ner.json", **more}
    arguments = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
    monkeypatch.setattr(sys, "argv", ["download_data.py", *arguments])
    try:
        download_data.main()
        status = 0
    except SystemExit as end:
        status = end.code
    said = capsys.readouterr()
    return status, said.out if status == 0 else next(line for line in said.err.splitlines() if "error" in line)


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


BOTH = ["livedoor/ldcc-20140209.tar.gz", "ner/ner.json"]


def test_fetched_checked_and_not_fetched_again(made, tmp_path, monkeypatch, capsys):
    theirs, url = made
    status, said = run(monkeypatch, capsys, tmp_path, url)
    assert status == 0 and said.count(": what it should be") == 2
    assert files_below(tmp_path / "data") == BOTH
    assert all((tmp_path / "data" / name).read_bytes() == (theirs / name).read_bytes() for name in BOTH)
    assert len(load_task("livedoor", tmp_path / "data", 0).train) == 24
    status, said = run(monkeypatch, capsys, tmp_path, "http://127.0.0.1:9")
    assert status == 0 and said.count("is already there") == 2


def test_an_archive_that_was_packed_otherwise(made, tmp_path, monkeypatch, capsys):
    """Its own digest is another, that of its articles is not."""
    theirs, url = made
    with tarfile.open(theirs / BOTH[0]) as archive:
        archive.extractall(tmp_path / "tree", filter="data")
    (tmp_path / "tree" / "text" / "smax" / "LICENSE.txt").unlink()
    with tarfile.open(theirs / "again.tar.xz", "w:xz") as archive:
        for path in sorted((tmp_path / "tree" / "text").rglob("*.txt"), reverse=True):
            archive.add(path, path.relative_to(tmp_path / "tree"))
    assert run(monkeypatch, capsys, tmp_path, url, url_livedoor=f"{url}/again.tar.xz", url_ner="")[0] == 0
    assert files_below(tmp_path / "data") == BOTH[:1]
    assert len(load_task("livedoor", tmp_path / "data", 0).test) == 6


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"text/smax/smax-0.txt": "http://x\n2012\n別の題\n".encode()}, "its content has SHA-256 "),
        ({"text/smax/smax-8.txt": "http://x\n2012\n余分\n".encode()}, "its content has SHA-256 "),
        (None, "it is damaged or of another kind"),
    ],
)
def test_another_archive_is_not_kept(made, tmp_path, monkeypatch, capsys, changed, words):
    theirs, url = made
    path = write_livedoor(theirs, COUNTS, changed)
    if changed is None:
        path.write_text("<html>moved</html>")
    status, said = run(monkeypatch, capsys, tmp_path, url)
    assert status == 1 and words in said and "it was not kept. --url_livedoor names another address." in said
    assert files_below(tmp_path / "data") == []


def test_other_sentences_are_not_kept(made, tmp_path, monkeypatch, capsys):
    theirs, url = made
    write_ner(theirs, 21)
    status, said = run(monkeypatch, capsys, tmp_path, url)
    assert status == 1 and "ner.json gave another file than its makers'" in said and "--url_ner" in said
    assert files_below(tmp_path / "data") == BOTH[:1]


def test_a_file_of_ones_own_is_left_alone(made, tmp_path, monkeypatch, capsys):
    _, url = made
    own = write_ner(tmp_path / "data", 5)
    content = own.read_bytes()
    status, said = run(monkeypatch, capsys, tmp_path, url)
    assert status == 1 and f"{own} is not the file of its makers" in said and "move it away" in said
    assert own.read_bytes() == content


def test_an_interrupted_download_goes_on(made, tmp_path, monkeypatch, capsys):
    _, url = made
    monkeypatch.setattr(Handler, "break_after", 500)
    status, said = run(monkeypatch, capsys, tmp_path, url)
    assert status == 1 and "Run the same command again to go on with it" in said
    assert f"by hand and put it there as {tmp_path / 'data' / BOTH[0]}." in said
    assert not (tmp_path / "data" / BOTH[0]).exists()
    monkeypatch.setattr(Handler, "break_after", None)
    assert run(monkeypatch, capsys, tmp_path, url)[0] == 0
    assert Handler.ranges == ["", "bytes=500-", ""]  # the archive, the rest of it, the sentences
    assert files_below(tmp_path / "data") == BOTH


def test_what_a_download_did_not_bring_is_never_removed(made, tmp_path, monkeypatch, capsys):
    _, url = made
    own = tmp_path / "data" / "ner" / "ner.json.unchecked"
    own.mkdir(parents=True)
    for name in ("notes.txt", "ner.json"):
        (own / name).write_text("mine")
    status, said = run(monkeypatch, capsys, tmp_path, url)
    assert status == 1 and f"{own} exists and was not made by this stage; it is left alone. Move it away." in said
    assert files_below(own) == ["ner.json", "notes.txt"] and (own / "ner.json").read_text() == "mine"

    (own / "ner.json").unlink(), (own / "notes.txt").unlink(), own.rmdir()
    own.write_text("mine")
    status, said = run(monkeypatch, capsys, tmp_path, url)
    assert status == 1 and f"{own} is a file, a folder was expected. Move it away." in said
    assert own.read_text() == "mine"


@pytest.mark.parametrize("sentences", [20, 21], ids=["the wanted file", "another file"])
def test_what_is_put_beside_a_download_stays(made, tmp_path, monkeypatch, capsys, sentences):
    theirs, url = made
    write_ner(theirs, sentences)
    monkeypatch.setattr(Handler, "break_after", 500)
    assert run(monkeypatch, capsys, tmp_path, url, url_livedoor="")[0] == 1
    (tmp_path / "data" / "ner" / "ner.json.unchecked" / "notes.txt").write_text("mine")
    monkeypatch.setattr(Handler, "break_after", None)
    assert run(monkeypatch, capsys, tmp_path, url, url_livedoor="")[0] == (sentences != 20)
    kept = ["ner/ner.json"] if sentences == 20 else []
    assert files_below(tmp_path / "data") == [*kept, "ner/ner.json.unchecked/notes.txt"]


def test_missing_data_name_the_command(tmp_path):
    for task in ("livedoor", "ner"):
        with pytest.raises(UserError, match=r"does not exist\. python scripts/download_data\.py fetches"):
            load_task(task, tmp_path, 0)
