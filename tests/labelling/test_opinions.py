"""What several teachers think together, whatever tokens they cut a text into."""

import numpy as np
import pytest

from mobilebert_ja.inference.decoding import constrained_decoder, spans_of_tags
from mobilebert_ja.labelling.opinions import TagOpinion, mean_class, mean_spans, softmax

LABELS = ["O", "B-人名", "I-人名", "B-地名", "I-地名"]
OUTSIDE, BEGIN, GO_ON = 0, 1, 2


def opinion(offsets, *tags):
    """Of each token the tag and its probability; what is left goes to the first other tag."""
    shares = np.zeros((len(offsets), len(LABELS)))
    for row, (tag, share) in zip(shares, tags, strict=True):
        row[0 if tag else 1] = 1 - share
        row[tag] += share
    return TagOpinion(offsets, shares)


def test_classes_are_averaged():
    together = mean_class("題", [np.array([0.2, 0.8]), np.array([0.6, 0.4])], ["a", "b"])
    assert together.probabilities == pytest.approx((0.4, 0.6))


def test_one_teacher_answers_as_it_decodes():
    """Random scores, so that the best tags by themselves are often no IOB2."""
    generator, decoder, kinds = np.random.default_rng(0), constrained_decoder(LABELS), set()
    for _ in range(50):
        scores = generator.normal(size=(6, 5)) * 2
        offsets = [(0, 2), (2, 3), (4, 6), (6, 7), (7, 7), (7, 9)]  # white space at 3, a token of no width
        visible = [0, 1, 2, 3, 5]
        best = decoder.best(np.log(softmax(scores))[visible])
        wanted = spans_of_tags([offsets[index] for index in visible], [LABELS[index] for index in best])
        together = mean_spans("田中 は京都府へ", [TagOpinion(offsets, softmax(scores))], LABELS)
        assert [span for span, _ in together.entities] == wanted
        assert all(0 < confidence < 1 for _, confidence in together.entities)
        kinds |= {end - start for start, end, _ in wanted}
    assert len(kinds) > 3


def test_confidence_is_that_of_the_weakest_step():
    text, offsets = "山田太郎は", [(0, 2), (2, 4), (4, 5)]
    sure = mean_spans(text, [opinion(offsets, (BEGIN, 0.9), (GO_ON, 0.8), (OUTSIDE, 1))], LABELS)
    assert sure.entities == (((0, 4, "人名"), pytest.approx(0.8)),) and sure.outside == ()
    shares = np.array([[0.1, 0.9, 0, 0, 0], [0, 0, 1.0, 0, 0], [0.6, 0, 0.4, 0, 0]])
    open_end = mean_spans(text, [TagOpinion(offsets, shares)], LABELS)
    assert open_end.entities == (((0, 4, "人名"), pytest.approx(0.6)),)  # it may go on
    assert open_end.outside == (((4, 5), pytest.approx(0.6)),)


def test_doubts_outside_are_written_down_together():
    offsets = [(0, 1), (1, 2), (2, 3), (3, 4)]
    together = mean_spans(
        "あいうえ", [opinion(offsets, (OUTSIDE, 0.6), (OUTSIDE, 0.7), (OUTSIDE, 1), (OUTSIDE, 0.8))], LABELS
    )
    assert together.entities == ()
    assert together.outside == (((0, 2), pytest.approx(0.6)), ((3, 4), pytest.approx(0.8)))


def test_teachers_of_different_tokens():
    text = "東京都庁へ"
    words = opinion([(0, 4), (4, 5)], (3, 0.9), (OUTSIDE, 1.0))
    letters = opinion([(n, n + 1) for n in range(5)], (3, 0.8), (4, 0.8), (4, 0.8), (4, 0.8), (OUTSIDE, 1.0))
    together = mean_spans(text, [words, letters], LABELS)
    assert together.entities == (((0, 4, "地名"), pytest.approx(0.85)),)
    # The one that sees no more than three characters of it is outvoted where it stops, and that costs confidence.
    shorter = opinion([(n, n + 1) for n in range(5)], (3, 0.8), (4, 0.8), (4, 0.8), (OUTSIDE, 0.7), (OUTSIDE, 1.0))
    together = mean_spans(text, [words, shorter], LABELS)
    assert together.entities == (((0, 4, "地名"), pytest.approx(0.45)),)


def test_white_space_belongs_to_what_goes_on():
    """One teacher has the space as a token, the other has no token there."""
    text = "山田 太郎"
    with_space = opinion([(0, 2), (2, 3), (3, 5)], (BEGIN, 0.9), (GO_ON, 0.9), (GO_ON, 0.9))
    without = opinion([(0, 2), (3, 5)], (BEGIN, 0.9), (GO_ON, 0.9))
    assert mean_spans(text, [with_space, without], LABELS).entities == (((0, 5, "人名"), pytest.approx(0.9)),)


def test_a_text_without_a_token():
    assert mean_spans("\u3000", [TagOpinion([], np.zeros((0, 5)))], LABELS).entities == ()
