"""Texts on their way to who answers them: what is there is taken at once, and reading is never far ahead."""

import threading

import pytest

from mobilebert_ja.bulk.texts import CHUNK_CHARS, CHUNK_TEXTS, Handover, Texts
from mobilebert_ja.common.errors import UserError


def everything(source):
    chunks = []
    while (chunk := source.take()) is not None:
        chunks.append(chunk)
    return chunks


def test_nothing_is_lost_and_the_order_is_kept():
    texts = [str(number) for number in range(1000)]
    chunks = everything(Handover(iter(texts), first=7))
    assert [text for chunk in chunks for text in chunk.texts] == texts
    assert [chunk.first for chunk in chunks] == [7 + int(chunk.texts[0]) for chunk in chunks]
    assert max(len(chunk.texts) for chunk in chunks) <= CHUNK_TEXTS
    assert everything(Handover(iter([]))) == []


def test_whole_chunks_are_always_the_same():
    texts = [str(number) for number in range(100)]
    chunks = everything(Handover(iter(texts), chunk_texts=24, whole=True))
    assert [len(chunk.texts) for chunk in chunks] == [24, 24, 24, 24, 4]


def test_a_text_that_comes_by_itself_is_taken_by_itself():
    may_come = [threading.Semaphore(0) for _ in range(3)]

    def slow():
        for number, gate in enumerate(may_come):
            gate.acquire()
            yield str(number)

    source = Handover(slow())
    for number, gate in enumerate(may_come):
        gate.release()
        assert source.take().texts == [str(number)]
    assert source.take() is None


@pytest.mark.parametrize(("text", "most"), [("短", CHUNK_TEXTS), ("長" * CHUNK_CHARS, 1)])
def test_reading_waits_for_who_takes(text, most):
    read = []

    def endless():
        while True:
            read.append(None)
            yield text

    source = Handover(endless())
    for taken in range(1, 5):
        with source._changed:
            source._changed.wait_for(source.full)
        assert len(source.take().texts) == most and len(read) <= (taken + 1) * most + 1
    source.close()
    assert source.take() is None


def test_what_goes_wrong_comes_after_what_was_read():
    def broken():
        yield "a"
        raise UserError("line 2 is not UTF-8.")

    source = Handover(broken())
    assert source.take().texts == ["a"]
    with pytest.raises(UserError, match="line 2"):
        source.take()


def test_a_line_is_named_by_its_file(tmp_path):
    for name, content in {"a.txt": "一\n二\n", "empty.txt": "", "b.txt": "三\r\n四"}.items():
        (tmp_path / name).write_bytes(content.encode("cp932"))
    files = [tmp_path / name for name in ("a.txt", "empty.txt", "b.txt")]
    texts = Texts(files, "cp932")
    assert texts.count() == 4 and list(texts) == ["一", "二", "三", "四"]
    assert [texts.where(index) for index in range(4)] == [
        f"{tmp_path}/{place}" for place in ("a.txt, line 1", "a.txt, line 2", "b.txt, line 1", "b.txt, line 2")
    ]
    with pytest.raises(UserError, match=r"a\.txt, line 1 is not UTF-8"):
        Texts(files).count()
