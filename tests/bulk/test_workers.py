"""Texts shared out to processes: in order, a bounded number under way, and a process that dies is replaced, once."""

import itertools
import multiprocessing
import os
import signal
import threading
import time

import pytest

from helpers.running import answering
from helpers.running.answering import DEADLY, DeadlyOnce, SlowAtFirst, StartsAtTheSecondTry
from mobilebert_ja.bulk.texts import Handover
from mobilebert_ja.bulk.workers import Workers
from mobilebert_ja.common.errors import UserError

pytestmark = pytest.mark.slow

# Texts that may be read and not yet written, with two processes. In chunks of 64: eight in line, the one that is
# waited for, one whose taker waits for room in the line, one that is read ahead, and one to spare.
MOST_AHEAD = 768


def where(index):
    return f"a.txt, line {index + 1}"


def workers(texts, make_answer=answering.make_answer, count=2, split=True, first=0):
    return Workers(Handover(iter(texts), first), make_answer, count, where, split)


def lines_of(run):
    return b"".join(lines for _, lines in run).decode().splitlines()


def test_answers_come_in_the_order_of_the_texts():
    texts = [f"text {number}" for number in range(1000)]
    assert lines_of(workers(texts, count=3).run()) == [text.upper() for text in texts]
    assert lines_of(workers([]).run()) == []
    assert multiprocessing.active_children() == []


def test_texts_without_an_end_are_read_only_as_fast_as_they_are_written():
    read = itertools.count()
    run = workers((f"text {next(read)}" for _ in itertools.repeat(None)), count=2).run()
    written = 0
    for chunk, _ in itertools.islice(run, 100):
        written += len(chunk.texts)
    ahead = next(read) - written
    assert ahead <= MOST_AHEAD
    run.close()
    assert multiprocessing.active_children() == []


def test_a_slow_text_holds_back_what_follows_and_no_more_is_read_meanwhile(tmp_path):
    read = []
    texts = ["slow", *("fast" for _ in range(5000))]
    shared_out = workers((read.append(text) or text for text in texts), SlowAtFirst(tmp_path / "mark"))
    got = []
    reader = threading.Thread(target=lambda: got.extend(lines_of(shared_out.run())))
    reader.start()
    try:
        # Until the line is full and who would take another chunk waits, or more has been read than may be.
        while len(read) <= MOST_AHEAD and not (shared_out._in_order.full() and shared_out._taking.locked()):
            time.sleep(0.01)
        assert got == [] and len(read) <= MOST_AHEAD
    finally:
        (tmp_path / "mark").touch()  # else neither the thread nor the processes would end after a failure
        reader.join()
    assert got == [text.upper() for text in texts]


@pytest.mark.parametrize("split", [True, False])
def test_the_texts_of_a_process_that_dies_are_done_by_another(tmp_path, split):
    texts = [DEADLY if number == 130 else f"text {number}" for number in range(400)]
    run = workers(texts, DeadlyOnce(tmp_path / "mark"), split=split).run()
    assert lines_of(run) == [text.upper() for text in texts]
    assert (tmp_path / "mark").exists()


def test_a_process_that_is_killed_is_replaced():
    texts = [f"text {number}" for number in range(3000)]
    run = workers(texts).run()
    lines = [next(run)[1]]
    victims = multiprocessing.active_children()
    assert len(victims) >= 1
    for victim in victims:
        os.kill(victim.pid, signal.SIGKILL)
    lines += [each for _, each in run]
    assert b"".join(lines).decode().splitlines() == [text.upper() for text in texts]


@pytest.mark.parametrize(
    ("split", "words"),
    [
        (True, r"a\.txt, line 1001: two worker processes died of this text, .* the second was killed by signal 9"),
        (False, r"a\.txt, line 9\d\d, or one of the \d+ behind it: two worker processes died"),
    ],
)
def test_a_text_of_which_two_processes_die_is_named_after_what_precedes_it(split, words):
    texts = [f"text {number}" for number in range(900)]
    texts[900:] = [*(f"text {number}" for number in range(900, 1000)), DEADLY, "behind it"]
    source = Handover(iter(texts), whole=True)  # chunks begin at multiples of 64: 960 is one
    run = Workers(source, answering.make_answer, 2, where, split).run()
    got = []
    with pytest.raises(UserError, match=words):
        for _, lines in run:
            got += lines.decode().splitlines()
    assert got == [text.upper() for text in texts[:960]]
    assert multiprocessing.active_children() == []


def test_a_process_that_dies_as_it_starts_is_started_once_more(tmp_path):
    assert lines_of(workers(["a"], StartsAtTheSecondTry(tmp_path / "mark"), count=1).run()) == ["A"]


def test_processes_that_cannot_start_are_told_of():
    with pytest.raises(UserError, match="A worker process ended with status 1 before its first text"):
        lines_of(workers(["a"], answering.fails).run())


def test_what_an_answer_raises_is_not_taken_for_a_death():
    with pytest.raises(RuntimeError, match="no answer to a"):
        lines_of(workers(["a"], answering.answers_badly).run())


def test_a_broken_line_is_told_after_what_precedes_it():
    def broken():
        yield from ("a", "b")
        raise UserError("a.txt, line 3 is not UTF-8.")

    run = Workers(Handover(broken()), answering.make_answer, 2, where, True).run()
    got = []
    with pytest.raises(UserError, match="line 3 is not UTF-8"):
        for _, lines in run:
            got += lines.decode().splitlines()
    assert got == ["A", "B"]
