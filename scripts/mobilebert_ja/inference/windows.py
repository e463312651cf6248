"""Texts longer than the model reads: overlapping windows for entities, so that none is lost. numpy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def window_starts(tokens: int, room: int) -> list[int]:
    """First token of each window of at most `room` tokens; neighbours share at least a quarter of them."""
    if tokens <= room:
        return [0]
    step = max(1, room - -(-room // 4))
    return [*range(0, tokens - room, step), tokens - room]


def stitch(pieces: Sequence[np.ndarray], starts: Sequence[int]) -> np.ndarray:
    """Scores [tokens, labels] of a whole text from those of its windows.

    Each token's come from the window in which it stands farthest from a border, where it has most to go by.
    """
    if len(pieces) == 1:
        return pieces[0]
    total = starts[-1] + len(pieces[-1])
    whole = np.zeros((total, pieces[0].shape[1]), pieces[0].dtype)
    margins = np.full(total, -1)
    for piece, start in zip(pieces, starts, strict=True):
        indices = np.arange(len(piece))
        margin = np.minimum(indices, len(piece) - 1 - indices)
        if start == 0:  # the text's own border is none
            margin = len(piece) - 1 - indices
        if start + len(piece) == total:
            margin = indices
        better = margin > margins[start : start + len(piece)]
        margins[start : start + len(piece)][better] = margin[better]
        whole[start : start + len(piece)][better] = piece[better]
    return whole
