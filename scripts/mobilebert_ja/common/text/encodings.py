"""Text in another encoding than UTF-8, if `--encoding` says so, as a stream."""

from __future__ import annotations

import codecs
import contextlib
from collections.abc import Iterable, Iterator

from mobilebert_ja.common.errors import UserError, warn
from mobilebert_ja.common.text.raw import SAMPLE_BYTES, raw_lines, recognised, utf8_lines, what_it_is

UTF8 = "utf-8"
BY_FLAG = "--encoding {name} reads it"  # what helps if a text is not UTF-8; see `raw.utf8_lines`
_OTHER_NAMES = {"windows-31j": "cp932", "ms932": "cp932", "eucjp-ms": "euc_jis_2004"}  # that Python does not know
# Stands for what cannot be decoded. Nothing that can be is half a surrogate pair.
_UNDECODED = "\udfff"
codecs.register_error("mobilebert_ja.undecoded", lambda error: (_UNDECODED, error.end))  # type: ignore[attr-defined]


def encoding_of_name(name: str) -> str:
    """Python's own name of an encoding. Raises `UserError` if it knows none of this name."""
    name = _OTHER_NAMES.get(name.lower().replace("_", "-"), name)
    try:
        "".encode(name)  # of what is no encoding of text, "base64" for example, lookup() knows the name
        return codecs.lookup(name).name.replace("utf-8-sig", UTF8)  # a mark is left out in any case
    except (LookupError, UnicodeError, ValueError):
        raise UserError(f"--encoding knows no '{name}'; it takes utf-8, cp932, utf-16, euc_jp and the like.") from None


def decoded_lines(stream: Iterable[bytes], where: str, encoding: str = UTF8) -> Iterator[str]:
    """The lines of a stream in any encoding, with their ends, by the rules of `raw.raw_lines`.

    A line is given before the next is read, but for UTF-16 and UTF-32, whose line ends go on in the next "line" of
    bytes.

    Args:
        stream: gives bytes up to and with each line feed, as binary files do.
        where: what the stream is called in a message.
        encoding: Python's own name of it, see `encoding_of_name`.

    Raises `UserError` naming the line that is not so encoded. What can be read but looks like another encoding is
    warned of.
    """
    if encoding == UTF8:
        yield from utf8_lines(stream, where, remedy=BY_FLAG)
        return
    decoder = _Decoder(encoding, where)
    for number, raw in enumerate(raw_lines(decoder.lines_as_utf8(stream)), start=1):
        line = raw.decode(UTF8, "surrogatepass")
        if _UNDECODED in line:
            raise UserError(f"{where}, line {number} is not {encoding}.{decoder.guess()}")
        yield line


class _Decoder:
    """Lines of bytes into lines of UTF-8, with a sample of them to tell what they are."""

    def __init__(self, encoding: str, where: str):
        self.encoding, self.where = encoding, where
        self._decoder = codecs.getincrementaldecoder(encoding)("mobilebert_ja.undecoded")
        self._sample = bytearray()
        self._warned = False

    def guess(self) -> str:
        """ " It looks like ..." if the sample does not look like this encoding, else nothing."""
        sample = bytes(self._sample)
        found = recognised(sample)
        if (sample.isascii() and b"\x1b" not in sample) or found in (None, self.encoding):
            return ""
        return " It looks like UTF-8." if found == UTF8 else f" {what_it_is(sample, BY_FLAG)}"

    def lines_as_utf8(self, stream: Iterable[bytes]) -> Iterator[bytes]:
        rest = ""
        for raw in stream:
            if len(self._sample) < SAMPLE_BYTES:
                self._sample += raw[:SAMPLE_BYTES]
                self._warn_once(raw)
            *lines, rest = (rest + self._decoded(raw)).split("\n")
            for line in lines:
                yield f"{line}\n".encode(UTF8, "surrogatepass")
        if rest := rest + self._decoded(b"", end=True):
            yield rest.encode(UTF8, "surrogatepass")

    def _decoded(self, raw: bytes, end: bool = False) -> str:
        try:
            return self._decoder.decode(raw, end)
        except UnicodeError as error:  # UTF-16 without the mark that says which of the two it is
            raise UserError(f"{self.where} is not {self.encoding} ({error}).{self.guess()}") from None

    def _warn_once(self, raw: bytes) -> None:
        """UTF-8 is kanji of some kind to many an encoding, so that nothing else would tell."""
        if self._warned or raw.isascii() or b"\0" in raw:
            return
        with contextlib.suppress(UnicodeDecodeError):
            raw.decode(UTF8)
            self._warned = True
            warn(f"{self.where} is read as {self.encoding} and looks like UTF-8.")
