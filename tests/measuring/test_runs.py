"""Variants that are run and tabulated: order, cores, a failure that ends it, cells that are missing."""

import os
import time

import pytest

from mobilebert_ja.common.errors import UserError
from mobilebert_ja.measuring.runs import run_variants, tabulate


@pytest.mark.parametrize("num_workers", [1, 2])
def test_facts_come_in_the_order_of_the_variants(num_workers):
    naps = {"slow": 0.05, "fast": 0.0, "middle": 0.01}
    seen = []

    def run(name, nap, cores):
        time.sleep(nap)
        seen.append(cores)
        return {"nap": nap, "name": name}

    facts = run_variants(naps, run, "naps", num_workers)
    assert list(facts.items()) == [(name, {"nap": nap, "name": name}) for name, nap in naps.items()]
    cores = os.sched_getaffinity(0)
    assert all(each <= cores and len(each) == max(1, len(cores) // num_workers) for each in seen)


def test_nothing_is_begun_after_a_failure():
    begun = []

    def run(name, fails, _cores):
        begun.append(name)
        if fails:
            raise UserError(f"{name} failed")
        return {}

    with pytest.raises(UserError, match="b failed"):
        run_variants({"a": False, "b": True, "c": False, "d": False}, run, "some")
    assert begun == ["a", "b"]


def test_table():
    rows = {"uncut": {"score": 0.5, "ms": 12.345}, "14x0.8": {"score": 0.25, "ms": None}, "lost": {}}
    assert tabulate(rows, {"score": "{score:.1%}", "ms": "{ms:.2f}"}, "model").splitlines() == [
        "model   score     ms",
        "uncut   50.0%  12.35",
        "14x0.8  25.0%      -",
        "lost        -      -",
    ]
