"""NFKC in time proportional to the text, and where each character of the result comes from."""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby

# Text of these characters alone is NFKC-normalized already and holds nothing that MeCab drops or refuses (white space,
# control characters, surrogates). Most sentences are; a look at them costs a fifth of normalizing them.
_OTHER = "[^!-~\u3001-\u301b\u301d-\u3029\u3041-\u3096\u30a1-\u30fc\u4e00-\u9fff]"
OTHER_THAN_PLAIN = re.compile(_OTHER)

# Python puts the marks behind a character into their order by insertion, which takes the square of their number. Real
# text has one or two, Unicode's stream-safe text thirty at most; what is shorter than this is handed over as it is.
_SHORT = 64
_LONG_OTHER = re.compile(f"{_OTHER}{{{_SHORT},}}")
_SURROGATE = re.compile("[\ud800-\udfff]")


def without_surrogates(text: str) -> str:
    """Half a surrogate pair is nothing that UTF-8, and so MeCab, can be given; each becomes U+FFFD, so that offsets
    stay."""
    return _SURROGATE.sub("\ufffd", text)


def nfkc(text: str) -> str:
    """What `unicodedata.normalize("NFKC", text)` gives, for any text in time proportional to its length."""
    return unicodedata.normalize("NFKC", _LONG_OTHER.sub(lambda found: _in_order(found[0]), text))


def _in_order(text: str) -> str:
    """Decomposed (NFKD), each run of marks in the order of their combining classes: nothing is left to be moved."""
    decomposed = "".join(
        unicodedata.normalize("NFKD", text[start : start + _SHORT]) for start in range(0, len(text), _SHORT)
    )
    runs = groupby(decomposed, key=lambda char: unicodedata.combining(char) > 0)
    return "".join("".join(sorted(run, key=unicodedata.combining) if marks else run) for marks, run in runs)


def normalize_with_offsets(text: str) -> tuple[str, list[int]]:
    """NFKC, and for every character of the result the index in `text` of the stretch that it came from.

    The list has one entry more than the result has characters: the length of `text`. A stretch is the shortest run of
    characters that normalizes independently of its neighbours, so か + combining mark counts as one.
    """
    normalized = nfkc(text)
    if normalized == text:
        return normalized, list(range(len(text) + 1))
    pieces: list[str] = []
    starts: list[int] = []
    begin = 0
    while begin < len(text):
        # Plain characters stand for themselves, all but the last, which a mark may follow.
        other = OTHER_THAN_PLAIN.search(text, begin)
        plain_end = max(other.start() - 1, begin) if other else len(text)
        if plain_end > begin:
            pieces.append(text[begin:plain_end])
            starts.extend(range(begin, plain_end))
            begin = plain_end
            continue
        end = begin + 1
        while end < len(text):
            alone = unicodedata.normalize("NFKC", text[end])
            # A mark belongs to what precedes it, however many there are; the stretch is normalized only to see whether
            # another character composes with it, which can be so a few times at most.
            if not unicodedata.combining(alone[0]):
                piece = nfkc(text[begin:end])
                if nfkc(text[begin : end + 1]) == piece + alone:
                    break
            end += 1
        piece = nfkc(text[begin:end])
        pieces.append(piece)
        starts.extend([begin] * len(piece))
        begin = end
    return "".join(pieces), [*starts, len(text)]
