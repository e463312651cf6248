"""Memory that torch frees: kept by the process, so that a step like the one before asks for hardly any page."""

import sys

import pytest

from helpers.paths import SCRIPTS
from helpers.running.processes import run

STEPS = """
import resource, sys
import torch
from mobilebert_ja.training.memory import keep_freed_memory

torch.set_num_threads(1)
kept = sys.argv[1] == "kept" and keep_freed_memory()

def step():
    # 40 MiB each: above 32, glibc maps every block anew (DEFAULT_MMAP_THRESHOLD_MAX), whatever was freed before.
    sum([torch.ones(10 << 20) for _ in range(4)])

for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> tuple[bool, int]:
    done = run([sys.executable, "-c", STEPS, how], env={"PYTHONPATH": str(SCRIPTS)})
    kept, count = done.stdout.split()
    return kept == "True", int(count)


@pytest.mark.slow
def test_a_step_like_the_one_before_asks_for_hardly_any_page():
    kept, few = faults("kept")
    if not kept:
        pytest.skip("another C library than glibc")
    _, many = faults("as it was")
    # Where the blocks lie is chance, and now and then the heap grows by one more of them in the ten steps: 10,240
    # pages of 4 KiB (20 of 2 MiB) beside 400,000 (800).
    assert many > 10 * few, (few, many)
