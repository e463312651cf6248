"""Text to try programs with: all of Unicode, and what of it is treated in some way of its own."""

from hypothesis import strategies as st

SPACE = [chr(code) for code in range(0x110000) if chr(code).isspace()]
# Width, marks, what composes or falls apart, what has no shape, half of a pair, and quotes, brackets and ends.
_SPECIAL = "ｶﾞﾊﾟＡ１㈱㌔…ﷺか\u3099\u309ae\u0301\u0327\u1dce\u1100\u1161\u11a8가\u0dd9\u0dcf\u0dca𠮷葛\U000e0100"
_SPECIAL += "👩\u200d👧\ufe0f\u200b\ufeff\u2060\x00\x1b\x7f\ud800\udfff\"',「」。!?{}[]=^-"
LIKELY = st.text([*SPACE, *_SPECIAL, *"東京都ですカナabc12"], max_size=30)

ANY_TEXT = st.text(st.characters(codec=None), max_size=40) | LIKELY
WITHOUT_SURROGATES = ANY_TEXT.map(lambda text: text.encode("utf-8", "replace").decode("utf-8"))
