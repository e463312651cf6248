"""Contenders in turn: who is called when, and the ratio within each round."""

import pytest

from mobilebert_ja.measuring.turns import median_ratio, round_ratios, take_turns


def orders(rounds, **options):
    """The order of each round, and what was given back."""
    calls = []

    def named(name):
        return lambda index: calls.append(name) or (name, index)

    given = take_turns({name: named(name) for name in "abc"}, rounds, **options)
    return ["".join(calls[start : start + 3]) for start in range(0, len(calls), 3)], given


def test_forwards_and_backwards():
    order, given = orders(3)
    assert order == ["abc", "cba", "abc"]
    assert given == {name: [(name, index) for index in range(3)] for name in "abc"}


def test_a_seed_draws_the_orders():
    order, _ = orders(20, seed=1)
    assert len(set(order)) > 3 and all(sorted(each) == list("abc") for each in order)
    assert order == orders(20, seed=1)[0] != orders(20, seed=2)[0]


def test_what_is_told_meanwhile():
    noted, ended = [], []
    orders(2, note=lambda *what: noted.append(what), after_round=lambda index: ended.append((index, len(noted))))
    assert noted[:2] == [(0, "a", ("a", 0)), (0, "b", ("b", 0))] and ended == [(0, 3), (1, 6)]


def test_ratios_are_taken_within_rounds():
    ours, theirs = [10.0, 30.0, 8.0], [5.0, 10.0, 8.0]
    assert round_ratios(ours, theirs) == [2.0, 3.0, 1.0] and median_ratio(ours, theirs) == 2.0
    with pytest.raises(ValueError):
        median_ratio(ours, theirs[:2])
