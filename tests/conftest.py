"""Tests run in several processes, each on a core of its own: two threads that share a core wait for each other."""

import os


def pytest_configure(config):
    os.environ.setdefault("ACCELERATE_MIXED_PRECISION", "no")  # results are to be the same on any processor
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker.startswith("gw"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})
        os.environ["OMP_NUM_THREADS"] = "1"
