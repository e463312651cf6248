"""Precision and threads: what the user has set wins, then what the processor and the container are said to be."""

import os

import pytest
import torch
from accelerate.state import AcceleratorState

from mobilebert_ja.common import processor as of_process
from mobilebert_ja.training import accelerator as parts

FLAGS = "processor\t: 0\nflags\t\t: fpu avx2 avx512f {}\n"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """(flags of the processor, cpu.max of the container, cores) -> a machine like that; the user has set nothing."""
    for name in ("ACCELERATE_MIXED_PRECISION", "OMP_NUM_THREADS", "LOCAL_WORLD_SIZE", *parts._LAUNCHED):
        monkeypatch.delenv(name, raising=False)

    def make(flags="", quota="max 100000", cores=8):
        (tmp_path / "cpuinfo").write_text(FLAGS.format(flags))
        (tmp_path / "own").write_text("0::/outer/inner\n")
        (tmp_path / "cgroup" / "outer" / "inner").mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / "outer" / "cpu.max").write_text(quota + "\n")
        (tmp_path / "cgroup" / "outer" / "inner" / "cpu.max").write_text("max 100000\n")
        monkeypatch.setattr(of_process, "_CPU_INFO", tmp_path / "cpuinfo")
        monkeypatch.setattr(of_process, "_OWN_CGROUP", tmp_path / "own")
        monkeypatch.setattr(of_process, "_CGROUPS", tmp_path / "cgroup")
        monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(cores)))

    return make


@pytest.mark.parametrize(
    ("flags", "precision"), [("avx512_bf16", "bf16"), ("amx_bf16", "bf16"), ("avx512_vnni", "no"), ("", "no")]
)
def test_precision_that_nobody_set_is_what_the_processor_multiplies_in(machine, flags, precision):
    machine(flags)
    assert parts.choose_precision(on_cpu=True)[0] == precision
    assert parts.choose_precision(on_cpu=False)[0] is None  # accelerate's own default elsewhere


@pytest.mark.parametrize("flags", ["avx512_bf16", ""])
@pytest.mark.parametrize("setting", ["no", "bf16"])
def test_accelerates_setting_wins(machine, monkeypatch, flags, setting):
    machine(flags)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", setting)
    assert parts.choose_precision(on_cpu=True)[0] is None


@pytest.mark.parametrize(
    ("flags", "setting", "used", "said", "warned"),
    [
        ("avx512_bf16", None, "bf16", "precision: bf16 (this processor multiplies in it)", False),
        ("", None, "no", "precision: fp32 (this processor does not multiply in bf16)", False),
        ("", "bf16", "bf16", "precision: bf16 (as accelerate is set)", True),
        ("amx_bf16", "bf16", "bf16", "precision: bf16 (as accelerate is set)", False),
        ("amx_bf16", "no", "no", "precision: fp32 (as accelerate is set)", False),
    ],
)
def test_it_says_what_is_used(machine, monkeypatch, capsys, flags, setting, used, said, warned):
    machine(flags, cores=1)
    if setting:
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", setting)
    AcceleratorState._reset_state(reset_partial_state=True)
    threads = torch.get_num_threads()
    try:
        assert parts.make_accelerator().mixed_precision == used
    finally:
        torch.set_num_threads(threads)
        AcceleratorState._reset_state(reset_partial_state=True)
    told = capsys.readouterr().err
    assert said in told and ("emulates it" in told) == warned


@pytest.mark.parametrize(
    ("quota", "cores", "processes", "threads"),
    [
        ("max 100000", 8, 1, 8),
        ("max 100000", 8, 4, 2),
        ("250000 100000", 8, 1, 2),
        ("50000 100000", 8, 1, 1),
        ("900000 100000", 8, 1, 8),
        ("400000 100000", 2, 4, 1),
    ],
)
def test_threads_follow_quota_and_affinity(machine, quota, cores, processes, threads):
    machine("", quota, cores)
    assert parts.choose_threads(processes) == threads


@pytest.mark.parametrize(("outer", "inner"), [(600000, 200000), (200000, 600000)])
def test_the_smaller_quota_of_two_groups_holds(machine, tmp_path, outer, inner):
    machine("", f"{outer} 100000", 8)
    (tmp_path / "cgroup" / "outer" / "inner" / "cpu.max").write_text(f"{inner} 100000\n")
    assert parts.choose_threads(1) == 2


def test_threads_that_the_user_set_are_left(machine, monkeypatch):
    machine()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert parts.choose_threads(1) is None
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "NO")  # `accelerate launch` exports 1 by itself
    assert parts.choose_threads(1) == 8
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert parts.choose_threads(1) is None
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")  # OpenMP's for teams within teams
    assert parts.choose_threads(1) is None


@pytest.mark.parametrize("setting", ["", "0", "-1", "abc", "1.5", ","])
def test_what_is_no_number_of_threads_lifts_no_quota(machine, monkeypatch, setting):
    """OpenMP ignores it, and would take every core there is."""
    machine("", "250000 100000", 8)
    monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert parts.choose_threads(1) == 2


@pytest.mark.parametrize("own", ["/docker/abc", "/"])
@pytest.mark.parametrize(("quota", "threads"), [(250000, 2), (50000, 1), (-1, 8)])
def test_threads_follow_the_quota_of_older_control_groups(machine, tmp_path, own, quota, threads):
    machine()
    (tmp_path / "own").write_text(f"9:name=systemd:/\n4:memory:/other\n2:cpu,cpuacct:{own}\n0::/\n")
    folder = tmp_path / "cgroup" / "cpu,cpuacct"
    folder.mkdir()
    (folder / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    assert parts.choose_threads(1) == threads
