"""`measure.py profile`: where the time of a call goes, by onnxruntime's profiler."""

import shutil

import pytest

from helpers.models.fast_models import write_data, write_sped_up
from helpers.running.measurements import run_measurement
from helpers.running.processors import WITH_VNNI, WITHOUT_VNNI, pretend
from mobilebert_ja.common.files import read_json
from mobilebert_ja.common.processor import by_processor
from mobilebert_ja.measuring.timings.profile import REST, group_of, microseconds_by_operator


def test_kernels_alone_are_counted():
    node = {"cat": "Node", "args": {"op_name": "Add"}}
    events = [
        {**node, "name": "a_kernel_time", "dur": 3},
        {**node, "name": "b_kernel_time", "dur": 4},
        {**node, "name": "a_fence_before", "dur": 50},
        {"cat": "Session", "name": "model_run", "dur": 70, "args": {}},
        {"cat": "Node", "name": "c_kernel_time", "dur": 5, "args": {"op_name": "Relu"}},
    ]
    assert microseconds_by_operator(events) == {"Add": 7, "Relu": 5}
    assert group_of("DynamicQuantizeMatMul") == "int8 products" and group_of("Gather") == REST


@pytest.mark.parametrize("task", ["livedoor", "ner"])
def test_a_call_is_taken_apart(tmp_path, capsys, task):
    data = write_data(tmp_path / "data")
    folder = write_sped_up(tmp_path, task)
    flags = ("--model_folder", folder, "--max_items", "7")
    done = run_measurement(capsys, "profile", *flags, work=tmp_path, data=data)
    assert done.status == 0, done.err
    metrics = read_json(tmp_path / "records" / f"{by_processor('profile')}.json")["metrics"]
    assert metrics["items"] == 7 and metrics["mean_ms"] > 0
    groups, operators = metrics["groups"], metrics["operators"]
    assert {"int8 products", "attention", "outside of nodes"} <= set(groups)
    assert operators["DynamicQuantizeMatMul"] == pytest.approx(groups["int8 products"], abs=1e-4)
    inside = sum(each for name, each in groups.items() if name != "outside of nodes")
    assert inside == pytest.approx(sum(operators.values()), abs=1e-3)
    assert "int8 products" in done.out and not list(tmp_path.glob("onnxruntime_profile*"))


def test_neither_kind_of_processor_takes_the_place_of_the_other(tmp_path, capsys, monkeypatch):
    data = write_data(tmp_path / "data")
    flags = ("--model_folder", write_sped_up(tmp_path, "ner"), "--max_items", "2")
    finished = {}

    def measured(*more: object):
        return run_measurement(capsys, "profile", *flags, *more, work=tmp_path, data=data)

    for kind, folder, record in ((WITH_VNNI, "profile", "profile"), (WITHOUT_VNNI, "profile-avx2", "profile_avx2")):
        pretend(monkeypatch, tmp_path, kind)
        assert measured().status == 0 and "nothing to do" in measured().out
        finished[folder] = read_json(tmp_path / "records" / f"{record}.json")
        assert read_json(tmp_path / folder / "record.json") == finished[folder] and finished[folder]["stage"] == record
    assert read_json(tmp_path / "profile" / "record.json") == finished["profile"]  # as it was
    said = measured("--output_dir", tmp_path / "profile").error
    assert "profile was measured on a processor with VNNI instructions, unlike this one; name another" in said
    assert measured("--output_dir", tmp_path / "profile-avx2").status == 0

    # What the other kind left under the plain name, when there was but one, is finished work still.
    shutil.rmtree(tmp_path / "profile")
    (tmp_path / "profile-avx2").rename(tmp_path / "profile")
    (tmp_path / "records" / "profile_avx2.json").unlink()
    assert "nothing to do" in measured().out and not (tmp_path / "profile-avx2").exists()
    assert read_json(tmp_path / "records" / "profile_avx2.json") == finished["profile-avx2"]
    pretend(monkeypatch, tmp_path, WITH_VNNI)
    assert "profile was measured on a processor without VNNI instructions" in measured().error
    assert measured("--overwrite", "true").status == 0
    assert read_json(tmp_path / "profile" / "record.json")["stage"] == "profile"
