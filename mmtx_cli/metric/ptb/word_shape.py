"""The shape of a text: its characters replaced by their classes, to keep patterns short.

ASCII characters are their own class. Other characters that a rule mentions are replaced by a
representative of their class, all others by "letter", "part of a letter", "digit", "symbol" or
"ignored". Letters are those of the current Unicode version; the reference tokenizer of 2014 ignores
letters newer than Unicode 6.0.
"""

import unicodedata

LETTER, MARK, DIGIT, SYMBOL, IGNORED, SPACE = "é", "\u0300", "٠", "§", "\u200b", "\u2003"
HYPHEN, DASH, CURRENCY, FRACTION, RAISED, LOWERED, SIGN = "‐–¤½²₂⁺"
SEPARATOR = "\u066b"

_KINDS = {
    SPACE: "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u3000",
    HYPHEN: "\u058a\u2010\u2011",
    DASH: "\x96\x97\u2013\u2014\u2015",
    CURRENCY: "\x80¢£¤¥₠₤€\u060b฿\uffe0\uffe1\uffe5\uffe6",
    FRACTION: "¼½¾⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞",
    RAISED: "⁰¹²³⁴⁵⁶⁷⁸⁹",
    LOWERED: "₀₁₂₃₄₅₆₇₈₉",
    SIGN: "⁺⁻₊₋",
    SEPARATOR: "\u066b\u066c",
}
# quotation marks, no-break space, soft hyphen, ellipsis, fraction slash, ideographic comma
_ITSELF = "\x91\x92\x93\x94‘’‚‛“”„‟‹›«»\xa0\xad\u2026\u2044\u3001"

# Hexadecimal ranges: marks and signs that continue a word, and symbols that are their own token.
_WORD_MARKS = """
02C2-02C5 02D2-02DF 02E5-02EB 02ED 02EF-036F 0375 0378-0379 0384-0385 03F6 0483-0487 055A-055F
0591-05BD 05BF 05C1-05C2 05C4-05C5 05C7 0615-061A 064B-065E 0670 06D6-06E4 06E7-06ED 06FD-06FE
070F 0711 0730-074C 07A6-07B0 07EB-07F3 0900-0903 093C 093E-094E 0951-0955 0962-0963 0981-0983
09BC 09BE-09C4 09C7-09C8 09CB-09CD 09D7 09E2-09E3 0A01-0A03 0A3C 0A3E-0A4F 0A81-0A83 0ABC
0ABE-0ACF 0B82 0BBE-0BC2 0BC6-0BC8 0BCA-0BCD 0C01-0C03 0C3E-0C56 0D3E-0D44 0D46-0D48 0E31
0E34-0E3A 0E47-0E4E 0EB1 0EB4-0EBC 0EC8-0ECD"""
_SYMBOLS = """
00A1-00BF 00D7 00F7 037E 0387 0589 05BE 05C0 05C3 05C6 05F3-05F4 0600-0603 0606-060C 0614 061B
061E-061F 066A 066D 06D4 0700-070D 07F6-07F8 0964-0965 0E4F 1FBD 2016-2017 2020-2023 2030-2038
203B 203E-2042 207A-207E 208A-208E 2100-214F 2190-2BFF 3002 3012 30FB FF01-FF0F FF1A-FF20
FF3B-FF40 FF5B-FF65"""


def _characters(ranges: str) -> set[str]:
    bounds = (part.partition("-") for part in ranges.split())
    return {
        chr(code)
        for low, _, high in bounds
        for code in range(int(low, 16), int(high or low, 16) + 1)
    }


class _Kinds(dict[int, str]):
    """Table for ``str.translate`` that determines the class of a character on first use."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        category = unicodedata.category(char)
        if code > 0xFFFF:  # the reference tokenizer drops both UTF-16 surrogates
            kind = IGNORED
        elif category[0] == "L":
            kind = LETTER
        elif category == "Nd":
            kind = DIGIT
        else:
            kind = IGNORED
        self[code] = kind
        return kind


_TABLE = _Kinds({code: chr(code) for code in range(128)})
_TABLE |= {ord(char): MARK for char in _characters(_WORD_MARKS)}
_TABLE |= {
    ord(char): SYMBOL for char in _characters(_SYMBOLS) if unicodedata.category(char)[0] != "L"
}
_TABLE |= {ord(char): kind for kind, chars in _KINDS.items() for char in chars}
_TABLE |= {ord(char): char for char in _ITSELF}


def shape(text: str) -> str:
    """Return ``text`` with each character replaced by the representative of its class."""
    return text if text.isascii() else text.translate(_TABLE)
