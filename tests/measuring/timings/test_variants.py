"""`measure.py variants` on a tiny model: every variant runs and is compared with float32."""

import numpy as np
import pytest

from helpers.models.fast_models import tiny_model, write_data, write_finetuned
from helpers.running.measurements import run_measurement
from mobilebert_ja.common.files import read_json
from mobilebert_ja.common.processor import by_processor
from mobilebert_ja.compression.onnx.export import logits_of
from mobilebert_ja.compression.onnx.models import to_onnx
from mobilebert_ja.compression.torchscript import example_inputs
from mobilebert_ja.measuring.models.onnx_variants import KEPT, BlockwiseGraph, UnsignedGraph, make_variants


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    data = write_data(folder / "data")
    for task in ("livedoor", "ner"):
        write_finetuned(folder, data, task, [0])
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("task", ["livedoor", "ner"])
def test_every_variant_is_measured(work, capsys, task):
    flags = ("--task", task, "--max_items", "8", "--repetitions", "2")
    done = run_measurement(capsys, "variants", *flags, work=work, data=work / "data")
    assert done.status == 0, done.err
    metrics = read_json(work / "records" / f"{by_processor(f'onnx_variants_{task}')}.json")["metrics"]
    assert next(iter(metrics["variants"])) == metrics["kept"] == KEPT and metrics["items"] <= 8
    assert len(metrics["variants"]) >= 10
    for name, facts in metrics["variants"].items():
        assert facts["median_ms"] > 0 and len(facts["seconds"]) == 2 and 0 <= facts["agreement"] <= 1
        assert (facts["bytes"] > metrics["variants"][KEPT]["bytes"]) or name != "float32"
    assert metrics["variants"]["float32"]["agreement"] == 1
    assert metrics["variants"]["int8, last block for all tokens"]["agreement"] >= 0.5


@pytest.mark.parametrize("bert", [False, True])
def test_the_last_block_of_all_tokens_says_the_same(bert):
    model = tiny_model("livedoor", ["a", "b", "c"], 100, bert=bert)
    ids, mask, _ = example_inputs(2, 9, 100, seed=1)
    whole, first = (logits_of(to_onnx(model, first_only=only), (ids, mask)) for only in (False, True))
    assert np.abs(whole - first).max() < 1e-4


@pytest.mark.parametrize("graph", [BlockwiseGraph, UnsignedGraph])
def test_other_products_are_near_those_in_float32(graph):
    model = tiny_model("livedoor", ["a", "b", "c"], 100)
    ids, mask, _ = example_inputs(1, 9, 100, seed=1)
    wanted = logits_of(to_onnx(model), (ids, mask))
    found = logits_of(to_onnx(model, graph=graph("int8")), (ids, mask))
    assert 0 < np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()


def test_variants_use_the_threads_that_there_are(tmp_path):
    assert "int8, 3 threads" in make_variants(tiny_model("livedoor", ["a", "b", "c"], 100), tmp_path, 3)
