"""Folding and the ONNX graphs: the same logits as the model in float32, and as close as 8 bits allow in int8."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, MobileBertForMaskedLM, MobileBertForMultipleChoice

from helpers.models.fast_models import SIZES, tiny_model
from mobilebert_ja.common.errors import UserError
from mobilebert_ja.compression.onnx.folding import fold
from mobilebert_ja.compression.onnx.graph import Graph, quantize_matrix, quantize_rows
from mobilebert_ja.compression.onnx.models import to_onnx
from mobilebert_ja.model.mobilebert import mobilebert_config

VOCAB_SIZE = 300
LABELS = ["O", "B-人名", "I-人名"]
LENGTHS = (1, 2, 3, 16, 128, 512)


def scattered(task, bert=False, low=0.3, high=1.7, gain=5.0):
    """A model whose norms scale every channel differently and shift it too, as those of a trained MobileBERT do."""
    model = tiny_model(task, LABELS, VOCAB_SIZE, bert=bert)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "LayerNorm.weight" in name and "embeddings" not in name:
                parameter.uniform_(low, high, generator=generator)
            elif "bias" in name:
                parameter.normal_(0, 0.3, generator=generator)
            elif "encoder" in name:
                parameter.mul_(gain)  # so that every product weighs
        model.classifier.weight.mul_(0.05)  # logits of the usual size
    return model


def session_of(graph):
    onnx.checker.check_model(graph)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda ids, mask: session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})[0]


def inputs_of(length, rows=3):
    """Rows of which the second and third are padded."""
    ids = torch.randint(0, VOCAB_SIZE, (rows, length), generator=torch.Generator().manual_seed(length))
    mask = torch.ones_like(ids)
    mask[1, max(1, length // 2) :] = 0
    mask[2, max(1, length - 1) :] = 0
    return ids, mask


def logits_of(model, ids, mask):
    with torch.inference_mode():
        return model(input_ids=ids, attention_mask=mask, token_type_ids=torch.zeros_like(ids)).logits.numpy()


@pytest.mark.parametrize("task", ["livedoor", "ner"])
@pytest.mark.parametrize(("low", "high"), [(0.3, 1.7), (0.9, 1.1)])
def test_folded_gives_the_models_logits(task, low, high):
    """At every length and with padding; with scales that are kept on the streams, and with scales left out of them."""
    model = scattered(task, low=low, high=high)
    factors = [each.factor is not None for block in fold(model).blocks for each in block.feed_forwards]
    assert any(factors) if low == 0.3 else not all(factors)
    run = session_of(to_onnx(model))
    for length in LENGTHS:
        ids, mask = inputs_of(length)
        wanted = logits_of(model, ids, mask)
        assert np.abs(run(ids, mask) - wanted).max() < 1e-4 < np.ptp(wanted), length


def test_scales_of_both_signs_and_zero_are_folded():
    model = scattered("livedoor", low=-1.0, high=1.0)
    with torch.no_grad():
        model.mobilebert.encoder.layer[0].ffn[1].output.LayerNorm.weight[3] = 0
    ids, mask = inputs_of(16)
    assert np.abs(session_of(to_onnx(model))(ids, mask) - logits_of(model, ids, mask)).max() < 1e-4


def test_the_pooler_of_a_sequence_classifier_is_kept():
    torch.manual_seed(0)
    changes = {"intra_bottleneck_size": 32, "embedding_size": 32, **SIZES}
    config = mobilebert_config(VOCAB_SIZE, **changes)
    config.classifier_activation, config.num_labels = True, 3
    from transformers import MobileBertForSequenceClassification

    model = MobileBertForSequenceClassification(config).eval()
    torch.nn.init.normal_(model.mobilebert.pooler.dense.weight)
    torch.nn.init.normal_(model.classifier.weight)
    ids, mask = inputs_of(16)
    wanted = logits_of(model, ids, mask)
    assert np.abs(session_of(to_onnx(model))(ids, mask) - wanted).max() < 1e-4 < np.ptp(wanted)


@pytest.mark.parametrize("task", ["livedoor", "ner"])
def test_bert_is_exported_too(task):
    model = scattered(task, bert=True)
    run = session_of(to_onnx(model))
    for length in LENGTHS:
        ids, mask = inputs_of(length)
        wanted = logits_of(model, ids, mask)
        assert np.abs(run(ids, mask) - wanted).max() < 1e-4 < np.ptp(wanted), length


def int8(model, **how):
    """As it is shipped, with weights of seven bits: products of eight saturate on processors without VNNI."""
    return to_onnx(model, "int8", reduce_range=True, **how)


def relative_error(model, ids, mask, **how):
    """Distance of int8 logits of real tokens from the model's, relative to their own spread."""
    wanted, given = logits_of(model, ids, mask), session_of(int8(model, **how))(ids, mask)
    if wanted.ndim == 3:
        wanted, given = wanted[mask.numpy() == 1], given[mask.numpy() == 1]
    return float(np.linalg.norm(given - wanted) / np.linalg.norm(wanted - wanted.mean(0)))


@pytest.mark.parametrize("task", ["livedoor", "ner"])
@pytest.mark.parametrize("bert", [False, True])
def test_int8_is_close(task, bert):
    model = scattered(task, bert, low=0.8, high=1.2, gain=1.5)
    ids, mask = inputs_of(40, rows=8)
    assert 0 < relative_error(model, ids, mask) < 0.1


def test_a_scale_a_channel_is_closer_where_channels_differ():
    model = scattered("ner", low=0.8, high=1.2)
    with torch.no_grad():
        for layer in model.mobilebert.encoder.layer:
            layer.intermediate.dense.weight[::2] *= 30
            layer.output.dense.weight[:, ::2] /= 30
    ids, mask = inputs_of(40, rows=8)
    by_channel = relative_error(model, ids, mask, per_channel=True)
    assert by_channel < 0.7 * relative_error(model, ids, mask, per_channel=False)


def test_scales_left_out_are_bounded():
    model = scattered("ner", low=0.1, high=1.9)
    assert all(each.factor is not None for block in fold(model).blocks for each in block.feed_forwards)
    assert all(each.factor is None for block in fold(model, 1e9).blocks for each in block.feed_forwards)


def test_in_int8_only_the_head_and_the_positions_are_float_tables():
    model = scattered("ner")
    matrices = [each for each in to_onnx(model, "int8").graph.initializer if len(each.dims) == 2]
    positions, head = (512, SIZES["hidden_size"]), (SIZES["hidden_size"], len(LABELS))
    floats = [tuple(each.dims) for each in matrices if each.data_type == onnx.TensorProto.FLOAT and each.dims[1] > 1]
    assert sorted(floats) == sorted([positions, head])
    int8 = sum(np.prod(each.dims) for each in matrices if each.data_type == onnx.TensorProto.INT8)
    table = model.mobilebert.embeddings.word_embeddings.weight
    assert int8 > table.numel() + 2 * 8 * 32 * 64


def test_quantized_values_are_the_nearest():
    table = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32) * np.logspace(-3, 3, 20)[:, None]
    table[4] = 0
    table = table.astype(np.float32)
    values, scales = quantize_rows(table)
    assert values.dtype == np.int8 and np.abs(values.astype(int)).max(1).tolist() == [127] * 4 + [0] + [127] * 15
    assert (np.abs(values * scales - table) <= scales / 2 * 1.001).all()
    whole, scale = quantize_matrix(table, per_channel=False)
    assert np.ndim(scale) == 0 and np.abs(whole * scale - table).max() <= scale / 2 * 1.001
    columns, scale = quantize_matrix(table, per_channel=True)
    assert scale.shape == (30,) and (np.abs(columns * scale - table) <= scale / 2 * 1.001).all()


def test_reduced_weights_cannot_overflow_16_bits():
    model = scattered("livedoor")
    for reduce_range, limit in ((True, 64), (False, 127)):
        graph = to_onnx(model, "int8", reduce_range=reduce_range).graph
        arrays = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
        weights = [arrays[node.input[1]] for node in graph.node if node.op_type == "DynamicQuantizeMatMul"]
        largest = max(np.abs(each.astype(int)).max() for each in weights)
        assert len(weights) > 20 and largest == limit
        # What a processor without VNNI adds up in 16 bits: two products of an activation's 255 and a weight.
        assert (2 * 255 * largest < 2**15) == reduce_range


def test_scales_by_channel_where_one_would_cost_a_bit():
    weight = np.random.default_rng(0).uniform(-1, 1, (64, 32)).astype(np.float32)
    assert np.ndim(quantize_matrix(weight)[1]) == 0
    weight[:, 3] *= 6  # one channel takes the range of the others
    assert quantize_matrix(weight)[1].shape == (32,)
    assert np.ndim(quantize_matrix(weight, per_channel=False)[1]) == 0


@pytest.mark.parametrize(
    ("change", "value"), [("normalization_type", "layer_norm"), ("hidden_act", "gelu"), ("trigram_input", False)]
)
def test_other_structures_are_refused(change, value):
    model = scattered("ner")
    setattr(model.config, change, value)
    with pytest.raises(UserError, match=f"{change} .* cannot be folded"):
        to_onnx(model)


def test_other_models_are_refused():
    sizes = {"intra_bottleneck_size": 32, "embedding_size": 32, **SIZES}
    with pytest.raises(UserError, match="MobileBertForMultipleChoice cannot be exported"):
        to_onnx(MobileBertForMultipleChoice(mobilebert_config(VOCAB_SIZE, **sizes)))
    config = BertConfig(vocab_size=VOCAB_SIZE, num_attention_heads=2, hidden_act="relu", **SIZES)
    with pytest.raises(UserError, match="hidden_act 'relu'"):
        to_onnx(BertForSequenceClassification(config))
    with pytest.raises(ValueError, match="products"):
        Graph("int4")


def test_a_model_that_fills_masks():
    torch.manual_seed(3)
    sizes = {"intra_bottleneck_size": 32, "embedding_size": 32, **SIZES}
    model = MobileBertForMaskedLM(mobilebert_config(VOCAB_SIZE, **sizes)).eval()
    torch.nn.init.normal_(model.cls.predictions.bias)
    torch.nn.init.normal_(model.cls.predictions.transform.LayerNorm.weight, 1.0, 0.3)
    exact, rounded = session_of(to_onnx(model)), session_of(int8(model))
    for length in LENGTHS:
        ids, mask = inputs_of(length)
        wanted = logits_of(model, ids, mask)
        assert wanted.shape == (3, length, VOCAB_SIZE)
        there = mask.numpy().astype(bool)
        assert np.abs(exact(ids, mask) - wanted)[there].max() < 1e-4 * max(1.0, np.abs(wanted).max())
        assert np.abs(rounded(ids, mask) - wanted)[there].mean() < 0.1 * np.abs(wanted).mean()


def test_the_same_model_gives_the_same_file():
    model = scattered("livedoor")
    assert to_onnx(model, "int8").SerializeToString() == to_onnx(model, "int8").SerializeToString()
