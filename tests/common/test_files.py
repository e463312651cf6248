"""Reading in every compression, writing that is whole or absent, and mistakes as one sentence."""

import bz2
import gzip
import lzma
import os
import subprocess
import sys

import pytest

from helpers.paths import SCRIPTS
from helpers.running.processes import run_code
from mobilebert_ja.common import errors, files
from mobilebert_ja.common.errors import UserError


@pytest.mark.parametrize(
    ("suffix", "opener"), [("", open), (".gz", gzip.open), (".xz", lzma.open), (".bz2", bz2.open)]
)
def test_read_lines(tmp_path, suffix, opener):
    path = tmp_path / f"a.txt{suffix}"
    with opener(path, "wb") as stream:
        stream.write("\ufeff一\r\n二\n\n三".encode())
    assert list(files.read_lines(path)) == ["一", "二", "", "三"]


def test_not_utf8(tmp_path):
    (tmp_path / "a.txt").write_bytes("一\n".encode() + b"abc\xff\n")
    with pytest.raises(UserError, match=r"a\.txt, line 2 is not UTF-8 \(byte 4 of it is 0xff\)\. The rest of it is"):
        list(files.read_lines(tmp_path / "a.txt"))


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_damaged_compression(tmp_path, suffix, pack):
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(pack("文\n".encode() * 1000)[:-20])
    with pytest.raises(UserError, match="is damaged"):
        list(files.read_lines(path))


def test_write_atomically_leaves_the_old_file_when_it_fails(tmp_path):
    path = tmp_path / "sub" / "a.txt"
    with files.write_atomically(path) as stream:
        stream.write("old")
    with pytest.raises(RuntimeError), files.write_atomically(path) as stream:
        stream.write("new")
        raise RuntimeError
    assert path.read_text() == "old" and [each.name for each in path.parent.iterdir()] == ["a.txt"]


def test_json(tmp_path):
    files.write_json(tmp_path / "a.json", {"語": [1, None]})
    assert files.read_json(tmp_path / "a.json") == {"語": [1, None]}
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        files.read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match=r"does not exist\. Make it\."):
        files.read_json(tmp_path / "b.json", "Make it.")
    with pytest.raises(UserError, match="is a folder"):
        files.require_file(tmp_path)
    with pytest.raises(UserError, match="is a file"):
        files.require_folder(tmp_path / "a.json")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("raise UserError('Das geht nicht.')", 1, "error: Das geht nicht."),
        ("open('/dev/full', 'w').write('x' * 10**6)", 1, "error: No space left on device. Unfinished output"),
        ("open('長' * 100, 'w')", 1, "長). Choose another name."),
        ("raise PermissionError(13, 'Permission denied', 'a')", 1, "error: Permission denied (a). Whoever runs this"),
        ("raise KeyboardInterrupt", 130, "interrupted"),
    ],
)
def test_entry_points_end_in_one_sentence(body, code, message):
    script = f"from mobilebert_ja.common.errors import *\n@exit_on_user_error\ndef main():\n    {body}\nmain()"
    done = subprocess.run([sys.executable, "-c", script], cwd=SCRIPTS, capture_output=True, text=True)
    assert done.returncode == code and message in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_our_own_mistakes_keep_their_traceback():
    script = "from mobilebert_ja.common.errors import *\n@exit_on_user_error\ndef main():\n    {}['x']\nmain()"
    done = subprocess.run([sys.executable, "-c", script], cwd=SCRIPTS, capture_output=True, text=True)
    assert "Traceback" in done.stderr and "KeyError" in done.stderr


def test_first_line_of_an_error():
    assert errors.first_line(ValueError("\nwhat it is\nand more")) == "what it is"
    assert errors.first_line(KeyError()) == "KeyError"


def test_json_with_the_name_of_a_file_that_is_not_utf8(tmp_path):
    """As they are unpacked from a ZIP of Windows: CP932."""
    name = os.fsdecode("テスト.csv".encode("cp932"))
    files.write_json(tmp_path / "a.json", {"train_file": name, "類": "本\u2028"})
    assert files.read_json(tmp_path / "a.json") == {"train_file": name, "類": "本\u2028"}
    assert "類" in (tmp_path / "a.json").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_name_that_standard_output_cannot_say_ends_nothing(encoding):
    script = (
        "from mobilebert_ja.common.errors import *\n@exit_on_user_error\ndef main():\n    print('\\udc83語')\nmain()"
    )
    done = run_code(script, PYTHONIOENCODING=encoding)
    assert done.returncode == 0 and done.stdout.startswith("\\udc83"), done.stderr


def test_a_pipe_is_said_to_be_one(tmp_path):
    """As of `--train_file <(zcat reviews.csv.gz)`."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(
        UserError, match="pipe is a pipe or a device; a file was expected, which can be read more than"
    ):
        files.require_file(tmp_path / "pipe")
