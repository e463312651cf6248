"""From tags of tokens to spans of characters. Needs nothing, so that answers can be given without torch."""

from __future__ import annotations

from collections.abc import Sequence

Span = tuple[int, int, str]  # start, end, type: characters text[start:end]


def spans_of_tags(offsets: Sequence[tuple[int, int]], tags: Sequence[str]) -> list[Span]:
    """Character spans of tagged tokens, in order.

    An I- that continues nothing of its own type begins a span, as in conlleval. Tokens of no width (there are none of
    them in sound text) carry no span.
    """
    spans: list[Span] = []
    kind = ""  # of the span that is open
    for (start, end), tag in zip(offsets, tags, strict=True):
        prefix, _, here = tag.partition("-")
        if prefix == "I" and here == kind:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]), kind)
        elif prefix in ("B", "I"):
            spans.append((start, end, here))
        kind = here
    return [span for span in spans if span[0] < span[1]]
