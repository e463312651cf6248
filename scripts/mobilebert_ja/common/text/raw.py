"""Text as its bytes really come: byte order marks, line ends, and what is not UTF-8."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator

from mobilebert_ja.common.errors import UserError

SAMPLE_BYTES = 1 << 20  # of a longer text, as much tells what it is
_MARKS = (  # the longer first: that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
BY_ICONV = "iconv -f {iconv} -t UTF-8 converts it"  # what helps where there is no flag; see `utf8_lines`
# The extended ones where the plain one has no ① or 髙.
_JAPANESE = ("cp932", "euc_jp", "euc_jis_2004")
_SEVEN_BIT = ("iso2022_jp", "iso2022_jp_2004", "iso2022_jp_ext")
_ICONV = {
    "euc_jp": "EUC-JP",
    "euc_jis_2004": "EUC-JISX0213",
    "iso2022_jp": "ISO-2022-JP",
    "iso2022_jp_2004": "ISO-2022-JP-3",
    "iso2022_jp_ext": "ISO-2022-JP",
    "utf-16-le": "UTF-16LE",
    "utf-16-be": "UTF-16BE",
}


def raw_lines(stream: Iterable[bytes]) -> Iterator[bytes]:
    r"""The lines of a stream of bytes, with their ends.

    A byte order mark at the beginning of a line is left out: of the first it is a mark, of a later one it comes from
    files that were put together. Where no line ends in \n, lines end in \r.
    """
    for number, raw in enumerate(stream):
        whole = number == 0 and not raw.endswith(b"\n")  # there is no other line
        for line in raw.splitlines(keepends=True) if whole else [raw]:
            while line.startswith(codecs.BOM_UTF8):
                line = line.removeprefix(codecs.BOM_UTF8)
            yield line


def utf8_lines(
    stream: Iterable[bytes], where: str, sample: Callable[[], bytes] | None = None, remedy: str = BY_ICONV
) -> Iterator[str]:
    """The lines of a UTF-8 stream, with their ends, by the rules of `raw_lines`.

    Args:
        where: what the stream is called in a message.
        sample: gives the beginning of the text, to tell what it is if it is not UTF-8; None: the line tells.
        remedy: what helps then; {name} is Python's name of the encoding, {iconv} that of iconv.

    Raises `UserError` naming the line that is not UTF-8.
    """
    plain = True  # every line so far: in UTF-8 an escape is a character like any other
    for number, raw in enumerate(raw_lines(stream), start=1):
        plain = plain and raw.isascii()
        if plain and b"\x1b" in raw and recognised(raw) in _SEVEN_BIT:
            raise UserError(f"{where}, line {number} is not UTF-8. {what_it_is(raw, remedy)}")
        try:
            yield raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{where}, line {number} is not UTF-8 (byte {error.start + 1} of it is 0x{raw[error.start]:02x}). "
                f"{what_it_is(sample() if sample else raw, remedy)}"
            ) from None


def recognised(data: bytes) -> str | None:
    """What a text that may be Japanese is encoded in, in Python's name for it; None if its bytes do not tell.

    "utf-8" is said too of a text that is UTF-8 for the most part.

    Args:
        data: the beginning of the text; it may end within a character.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    data = data[:SAMPLE_BYTES]
    if b"\0" in data:
        return _without_mark(data)
    if data.isascii():
        if b"\x1b" not in data:
            return "utf-8"
        return next((name for name in _SEVEN_BIT if _kana_share(data, name) > 0), None)
    valid = data.decode("utf-8", "ignore")
    if 2 * (len(valid.encode()) - _count_ascii(valid)) > sum(byte >= 0x80 for byte in data):
        return "utf-8"
    shares = {name: _kana_share(data, name) for name in _JAPANESE}
    best = max(_JAPANESE, key=lambda name: shares[name])  # the plainest of those that are equal
    if shares[best] >= 0.1:
        return best
    return "cp932" if _is_common_kanji(data) else None


def _without_mark(data: bytes) -> str | None:
    """UTF-16 by the place of its zeros: the upper half of each ASCII character, line ends among them."""
    even, odd = data[::2].count(0), data[1::2].count(0)
    if even and odd:
        return None
    name = "utf-16-le" if odd else "utf-16-be"
    return name if _kana_share(data, name) >= 0.1 or 4 * (even + odd) > len(data) else None


def _count_ascii(text: str) -> int:
    return sum(letter < "\x80" for letter in text)


def _kana_share(data: bytes, encoding: str) -> float:
    """How much of what is not ASCII is kana of full width; 0 if the bytes are not in this encoding at all.

    A wrong guess gives half-width kana, rare kanji and characters for private use.
    """
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(data)
    except UnicodeDecodeError:
        return 0
    foreign = len(text) - _count_ascii(text)
    private = sum("\ue000" <= letter <= "\uf8ff" for letter in text)
    half_width = sum("\uff61" <= letter <= "\uff9f" for letter in text)
    if private or 2 * half_width > foreign:
        return 0
    return sum("\u3041" <= letter <= "\u30fe" for letter in text) / max(1, foreign)


def _is_common_kanji(data: bytes) -> bool:
    """Whether CP932 makes words in kanji of the first level of it: text without kana, such as names and places.

    The bytes of EUC-JP and of what is not Japanese give half-width kana, or kanji that stand alone between letters.
    """
    try:
        text = codecs.getincrementaldecoder("cp932")().decode(data)
    except UnicodeDecodeError:
        return False
    words = re.findall(r"[^\x00-\x7f]+", text)
    in_words = sum(len(word) for word in words if len(word) > 1)
    return 2 * in_words >= len("".join(words)) and all(
        0x81 <= letter.encode("cp932")[0] <= 0x98 for word in words for letter in word
    )


def what_it_is(data: bytes, remedy: str) -> str:
    """The sentence that follows "... is not UTF-8"; for the arguments see `utf8_lines`."""
    name = recognised(data)
    if name == "utf-8":
        return "The rest of it is, so it is damaged or was put together from several encodings."
    if name is None:
        return f"What it is cannot be told from its bytes; {remedy.format(name='NAME', iconv='NAME')}, if you know."
    shown = _ICONV.get(name, name.upper())
    return f"It looks like {shown}: {remedy.format(name=name, iconv=shown)}."
