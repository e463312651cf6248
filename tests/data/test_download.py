"""Fetching a file from a real HTTP server: whole, continued, changed meanwhile, wrong, and not there."""

import hashlib

import pytest

from helpers.files.served import RangedHandler, served_by
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.data.download import download
from mobilebert_ja.data.sources import parts_of

CONTENT = bytes(range(256)) * 20_000


class Handler(RangedHandler):
    def content(self) -> bytes:
        return CONTENT


@pytest.fixture
def server():
    Handler.break_after, Handler.etag, Handler.ranges = None, '"first"', []
    with served_by(Handler) as address:
        yield f"{address}/dump.json.gz"


def test_whole_and_shown(server, tmp_path, capsys):
    assert download(server, tmp_path).read_bytes() == CONTENT
    assert f"{len(CONTENT):,} bytes, sha256 " in capsys.readouterr().out
    download(server, tmp_path)
    assert len(Handler.ranges) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["dump.json.gz"]


def test_a_file_of_another_address_is_another_file_though_its_name_is_the_same(server, tmp_path):
    other = server.replace("/dump", "/older/dump")
    (first,), (second,), (again,) = (parts_of("cirrussearch", [url], tmp_path) for url in (server, other, server))
    assert first == again != second and len(Handler.ranges) == 2
    with pytest.raises(UserError, match="Two input files are both called dump"):
        parts_of("cirrussearch", [server, other], tmp_path)


def test_an_interrupted_download_goes_on_where_it_stopped(server, tmp_path):
    Handler.break_after = 3_000_000
    with pytest.raises(UserError, match="Run the same command again"):
        download(server, tmp_path)
    Handler.break_after = None
    have = (tmp_path / "dump.json.gz.partial").stat().st_size
    assert 0 < have < len(CONTENT)
    assert download(server, tmp_path).read_bytes() == CONTENT
    assert Handler.ranges == ["", f"bytes={have}-"]


def test_a_file_that_changed_meanwhile_is_fetched_anew(server, tmp_path):
    Handler.break_after = 3_000_000
    with pytest.raises(UserError):
        download(server, tmp_path)
    Handler.break_after, Handler.etag = None, '"second"'
    assert download(server, tmp_path).read_bytes() == CONTENT


def test_checksum(server, tmp_path):
    digest = hashlib.sha1(CONTENT).hexdigest()
    for right in (f"sha1:{digest}", f"sha1:{digest.upper()}"):  # some publishers print capitals
        assert download(server, tmp_path, right) == tmp_path / "dump.json.gz"
    with pytest.raises(UserError, match=r"has sha1 .* expected 00"):
        download(server, tmp_path, "sha1:00")
    with pytest.raises(UserError, match="--checksum must be"):
        download(server, tmp_path, "crc:00")


def test_a_server_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"cannot be fetched .* by hand and give the file with --input"):
        download("http://127.0.0.1:9/dump.json.gz", tmp_path)
