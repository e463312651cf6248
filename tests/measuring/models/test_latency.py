"""Timing in turns: who is faster, whether every text counts, and that nothing is left changed behind."""

import gc
from types import SimpleNamespace

import pytest
import torch

from mobilebert_ja.measuring import latency
from mobilebert_ja.measuring.latency import Timing, time_one_by_one

TEXTS = [f"文{number}" for number in range(6)]


@pytest.fixture
def pass_time(monkeypatch):
    """Called with milliseconds, it moves the clock on, which otherwise stands still."""
    now = [0]

    def move(milliseconds):
        now[0] += milliseconds * 1_000_000

    monkeypatch.setattr(latency, "time", SimpleNamespace(perf_counter_ns=lambda: now[0]))
    return move


def test_each_contender_has_the_time_that_it_took(pass_time):
    takes = {"middle": 4, "slow": 8, "fast": 0}
    contenders = {name: lambda text, each=each: pass_time(each) for name, each in takes.items()}
    timings = time_one_by_one(contenders, TEXTS, 3, 1, warmup=0)
    assert {name: timing.milliseconds for name, timing in timings.items()} == {
        name: [[each] * len(TEXTS)] * 3 for name, each in takes.items()
    }


def test_every_text_is_counted_in_every_repetition():
    calls = []
    contenders = {name: lambda text, name=name: calls.append((name, text)) for name in "abc"}
    timings = time_one_by_one(contenders, TEXTS, 4, 1, warmup=0)
    for name, timing in timings.items():
        assert [len(repetition) for repetition in timing.milliseconds] == [len(TEXTS)] * 4
        assert [text for caller, text in calls if caller == name] == TEXTS * 4
        assert len(timing.seconds) == 4


def test_contenders_take_turns_in_changing_order():
    def orders(seed):
        calls = []
        contenders = {name: lambda text, name=name: calls.append(name) for name in "abc"}
        time_one_by_one(contenders, TEXTS, 5, 1, warmup=0, seed=seed)
        return [tuple(calls[start : start + 3]) for start in range(0, len(calls), 3)]

    assert all(sorted(order) == list("abc") for order in orders(0))
    assert len(set(orders(0))) > 3
    assert orders(0) == orders(0) != orders(1)


def test_a_turn_of_several_texts():
    """Six texts in turns of four: four from each, then the remaining two from each, every text at its own place."""
    calls, done = [], []
    contenders = {name: lambda text, name=name: calls.append((name, text)) for name in "ab"}
    timings = time_one_by_one(contenders, TEXTS, 1, 1, warmup=0, turn=4, after_item=lambda: done.append(len(calls)))
    first, second = calls[:8], calls[8:]
    for part, texts in ((first, TEXTS[:4]), (second, TEXTS[4:])):
        half = len(texts)
        assert {name for name, _ in part[:half]} != {name for name, _ in part[half:]}
        assert [text for _, text in part] == [*texts, *texts]
    assert done == [8] * 4 + [12] * 2
    assert [len(timing.milliseconds[0]) for timing in timings.values()] == [6, 6]
    with pytest.raises(ValueError, match="one text per turn"):
        time_one_by_one(contenders, TEXTS, 1, 1, turn=0)


def test_warm_up_is_not_timed_and_spreads_over_the_texts():
    calls = []
    timings = time_one_by_one({"a": calls.append}, TEXTS, 1, 1, warmup=3)
    assert calls == ["文0", "文2", "文4", *TEXTS]
    assert len(timings["a"].milliseconds[0]) == len(TEXTS)


def test_what_follows_a_text_is_not_timed(pass_time):
    done = []

    def pause():
        done.append(1)
        pass_time(10)

    timings = time_one_by_one({"a": len}, TEXTS, 2, 1, after_item=pause)
    assert len(done) == 2 * len(TEXTS)
    assert timings["a"].milliseconds == [[0] * len(TEXTS)] * 2


@pytest.mark.parametrize("fails", [False, True])
def test_threads_and_garbage_collection_are_as_before(fails):
    seen = []

    def answer(text):
        seen.append((torch.get_num_threads(), gc.isenabled()))
        if fails:
            raise KeyError(text)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        if fails:
            with pytest.raises(KeyError):
                time_one_by_one({"a": answer}, TEXTS, 1, 1)
        else:
            time_one_by_one({"a": answer}, TEXTS, 1, 1)
        assert set(seen) == {(1, False)}
        assert (torch.get_num_threads(), gc.isenabled()) == (2, True)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("contenders", "texts", "repetitions"), [({}, TEXTS, 1), ({"a": len}, [], 1), ({"a": len}, TEXTS, 0)]
)
def test_nothing_to_time(contenders, texts, repetitions):
    with pytest.raises(ValueError, match="at least one"):
        time_one_by_one(contenders, texts, repetitions, 1)


def test_summaries():
    timing = Timing([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], [9.0, 10.0, 11.0, 60.0]])
    assert timing.seconds == pytest.approx([0.010, 0.026, 0.090])
    assert timing.median_seconds == pytest.approx(0.026)
    assert timing.median_ms == pytest.approx(6.5)
    assert timing.p10_ms == pytest.approx(2.1)
    assert timing.p90_ms == pytest.approx(10.9)
