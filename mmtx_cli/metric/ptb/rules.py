"""Token patterns of the Penn Treebank tokenizer used by the MS-COCO evaluation.

Patterns match the shape of the text (``word_shape``). Group 1 is the token; the rest of the match
is context, which is required but not consumed. The longest match wins, context included; ties are
broken by order. Possessive quantifiers (``++``) are used wherever backtracking cannot help, so that
the cost is at most quadratic in the length of a caption, even for adversarial input.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from mmtx_cli.metric.ptb import normalize, word_lists
from mmtx_cli.metric.ptb.word_shape import (
    CURRENCY,
    DASH,
    DIGIT,
    FRACTION,
    HYPHEN,
    IGNORED,
    LETTER,
    LOWERED,
    MARK,
    RAISED,
    SEPARATOR,
    SIGN,
    SPACE,
    SYMBOL,
)


class Rule(NamedTuple):
    """One kind of token: its possible first characters, its pattern, and its normalization."""

    starts: re.Pattern[str]
    pattern: re.Pattern[str]
    write: Callable[[str], str] | None  # None: unchanged


_A = "A-Za-z"
_D = f"[0-9{DIGIT}]"
_ALNUM = f"[{_A}0-9{LETTER}{DIGIT}]"
_ENTITY = "&[aeiouAEIOU](?i:acute|grave|uml);"
_L = f"(?:[{_A}{LETTER}{MARK}\xad]|{_ENTITY})"
_LD = f"(?:[{_A}0-9{LETTER}{MARK}{DIGIT}\xad]|{_ENTITY})"
_APOS = "(?:['\x92’]|(?i:&apos;))"
_TICK = "(?:['\x92’`\x91‘‛]|(?i:&apos;))"
_GAP = f"[ \t\xa0{SPACE}]"
_BREAK = f"[ \t\n\xa0{SPACE}]"
_STOP = "[,;:\u3001]"

_WORD = f"(?>{_L}{_LD}*+(?:[.!?]{_L}{_LD}*+)*+)"
_AUXILIARY = f"{_APOS}(?:[msdMSD]|(?i:re|ve|ll))"
_NOT = f"(?i:n){_TICK}(?i:t)"
_PART = f"(?:[dDoOlL]{_TICK}{_ALNUM})?{_ALNUM}++"
_HYPHENATED = f"{_PART}(?:[-_{HYPHEN}]{_PART})*+"
_COMPOUND = rf"[{_A}0-9][{_A}0-9.,\xad]*+(?:-(?:[{_A}](?:\.[{_A}])+\.|[{_A}0-9\xad]++))+"
_CAPITALS = "[A-Z]++(?:(?:(?i:&amp;)|[+&])[A-Z]++)+"
_SLASHED = rf"[{_A}0-9]++(?:-[{_A}]+){{0,2}}(?:\\?/[{_A}0-9]+(?:-[{_A}]+){{0,2}}){{1,2}}"
_ELISION = (
    f"[A-HJ-XZn]{_TICK}[{_A}{LETTER}]{{2,}}+"
    f"|[{_A}{LETTER}]+[aeiouyAEIOUY]{_TICK}[aeiouA-Z][{_A}{LETTER}]*+"
    f"|(?i:dunkin|somethin|ol){_APOS}|[lLdDjJ]{_APOS}|(?i:o){_TICK}(?i:o)"
    r"|(?i:cont'd\.?|nor'easter|c'mon|e'er|s'mores|ev'ry|li'l|nat'l)"
)
_CLIPPED = f"{_APOS}(?i:n){_APOS}?|{_APOS}(?i:em|till?|cause)|{_APOS}[2-9](?i:0s)|(?i:'twas)"

_PATH = r'(?:/[^ \t\n\f\r"<>|()]+[^ \t\n\f\r"<>|.!?(){},-])'
_WWW = rf'(?i:www\.)(?:[^ \t\n\f\r"<>|.!?(){{}},]++\.)+[{_A}]{{2,4}}'
# ``,-_`` is a range, a mistake of the reference tokenizer: a host without www. has no digits and no
# capitals
_SITE = r"""(?:[^ \t\n\f\r"`'<>|.!?(){},-_$]++\.)+(?i:com|net|org|edu)"""
_LINK = f"(?:{_WWW}|{_SITE})"
_DOMAIN = r'[^ \t\n\f\r"<>|(){}.\xa0]'
_EMAIL = (
    rf'(?:(?i:&lt;)|<)?[{_A}0-9][^ \t\n\f\r"<>|()\xa0{{}}]*@'
    rf"(?:{_DOMAIN}++\.)*{_DOMAIN}++(?:(?i:&gt;)|>)?"
)
_NAME = f"[{_A}][{_A}0-9_:.-]*+"
_TAG = (
    rf"<(?:[!?][{_A}-][^>\r\n]*+|/{_NAME}"
    rf"|{_NAME}(?: ++{_NAME}(?: *= *(?:'[^']*+'|\"[^\"]*+\"))?)*+ *+/?) *+>"
)

_NUMBER = f"[-+]?(?:{_D}*+(?:[.:,\xad{SEPARATOR}]{_D}++)++|{_D}++)"
_OVER = f"{_D}{{1,4}}(?:\\\\?/|\u2044){_D}{{1,4}}"
_PHONE = (
    r"(?:\([0-9]{2,3}\)[ \xa0]?|(?:\+\+?)?(?:[0-9]{2,4}[- \xa0])?[0-9]{2,4}[- \xa0])"
    r"[0-9]{3,4}[- \xa0]?[0-9]{3,5}"
    r"|(?:(?:\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}"
)

_INITIALS = rf"[{_A}](?:\.[{_A}])*"
_RELATIONS = r"(?i:(?:canada|sino|korean|eu|japan|non)-u\.s|u\.s\.-u\.(?:k|s\.s\.r))"
_FINAL = rf"(?:{word_lists.any_of(word_lists.FINAL)}|(?i:pp?t)[ye](?i:s)?)\."
_MEDIAL = rf"(?:{word_lists.any_of(word_lists.MEDIAL)}|(?i:m)[ft](?i:g)|{_RELATIONS}|{_INITIALS})\."
_OPENERS = "|".join(
    f"{word[0].upper()}(?i:{re.escape(word[1:])})" for word in word_lists.OPENERS.split()
)

_QUOTE = f"(?:''|[`‘’‚‛“”\x91\x92\x93\x94„‟‹›«»]{{1,2}}|{_APOS})"
_SMILE = r"[<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]]"
_EMOTICON = (
    r"[\^x=~<>]\.(?i:\[\^x=~<>\])|[-\^x=~<>']_[-\^x=~<>']"
    r"|\([-\^x=~<>'][_.]?[-\^x=~<>']\)|\([\^x=~<>']-[\^x=~<>'`]\)"
)
_LETTER_START = f"{_A}{LETTER}"
_WORD_START = f"{_LETTER_START}{MARK}\xad&"
_THING_START = f"{_LETTER_START}0-9{DIGIT}"
_APOS_START = "'\x92’&"

# first characters, token, context after it, normalization
_LISTED: tuple[tuple[str, str, str, Callable[[str], str] | None], ...] = (
    ("cC", r"(?i:c)\+\+", "", None),
    ("cCfF", "(?i:[cf])#", "", None),
    *(
        (
            word[0] + word[0].upper(),
            f"(?i:{word[:at]})",
            f"(?i:{word[at:]})",
            None,
        )
        for word, at in word_lists.SPLIT.items()
    ),
    ("<", _TAG, "", normalize.use_no_break_spaces),
    (f"&{DASH}", f"&(?i:MD|mdash|ndash);|{DASH}", "", normalize.always("--")),
    ("&", "(?i:&amp;)", "", normalize.always("&")),
    ("&", "(?i:&(?:HT|TL|UR|LR|QC|QL|QR|odq|cdq|#[0-9]+);)", "", None),
    (_WORD_START, _WORD, _AUXILIARY, normalize.remove_soft_hyphens),
    (f"{_A}\xad", f"[{_A}\xad]*[A-MO-Za-mo-z]\xad*+", _NOT, normalize.remove_soft_hyphens),
    (_WORD_START, _WORD, "", normalize.remove_soft_hyphens),
    (_LETTER_START, _ELISION, "", None),
    (_APOS_START, _CLIPPED, "", None),
    ("yY", f"(?i:y){_APOS}", f"[{_A}{LETTER}]", None),
    ("hH", r'(?i:https?://)[^ \t\n\f\r"<>|(){}]+[^ \t\n\f\r"<>|.!?(){},-]', "", None),
    (r"""^ \t\n\f\r"`'<>|.!?(){},-VX-_$""", f"{_LINK}{_PATH}|{_LINK}", "", None),
    (f"<&{_A}0-9", _EMAIL, "", None),
    ("@", f"@[{_A}_][{_A}_0-9]*+", "", None),
    ("#", f"#{_L}++", "", None),
    (_APOS_START, _AUXILIARY, f"[^{_A}]", normalize.quotes),
    ("nN", _NOT, f"[^{_A}]", normalize.quotes),
    (f"0-9{DIGIT}", f"{_D}{{1,2}}[-/]{_D}{{1,2}}[-/]{_D}{{2,4}}", "", None),
    (f"-+.:,\xad{SEPARATOR}0-9{DIGIT}", _NUMBER, "", normalize.remove_soft_hyphens),
    (f"{SIGN}{RAISED}{LOWERED}", f"{SIGN}?(?:{RAISED}++|{LOWERED}++)", "", None),
    (f"0-9{DIGIT}", f"(?:{_D}{{1,4}}[- \xa0])?{_OVER}", "", normalize.use_no_break_spaces),
    (FRACTION, FRACTION, "", normalize.fraction),
    ("-", "-(?i:RRB|LRB|RCB|LCB|RSB|LSB)-", "", None),
    ("cCpPaA", rf"(?i:c\.d\.s|pro-|anti-|cap{_APOS}n|c{_APOS}est)", "", None),
    ("sS", "(?i:s(?:&amp;|&)p-500|s(?:&amp;|&)ls)", "", normalize.ampersand),
    (f"{_A}0-9", _SLASHED, "", None),
    ("A-Z$#", r"[A-Z]*+\$|#", "", None),
    (CURRENCY, CURRENCY, "", normalize.currency),
    (_A, f"[{_A}]", rf"\.{_BREAK}++(?:{_OPENERS}|{_TAG}){_BREAK}", None),
    (_A, rf"(?:{word_lists.any_of(word_lists.BEFORE_NUMBER)})\.", f"{_BREAK}?{_D}", None),
    ("pP", r"(?i:pt[ey])\.", f"{_GAP}(?i:ltd|lim)", None),
    (_A, _FINAL, r"(?:[\s\S]{2})?", None),
    (_A, _MEDIAL, "", None),
    (_A, _RELATIONS, _BREAK, None),
    (_APOS_START, f"{_APOS}[0-9][0-9]", _BREAK, None),
    (
        f"{_THING_START}{MARK}\xad&",
        rf"{_LD}++(?:\.{_LD}++)*\.(?:{word_lists.any_of(word_lists.FILE_ENDINGS)})",
        f"(?:{_BREAK}|[.?!,])",
        None,
    ),
    (_WORD_START, rf"{_WORD}\.", _STOP, normalize.remove_soft_hyphens),
    ("(+0-9", _PHONE, "", normalize.brackets),
    ('"&', '(?:"|(?i:&quot;))', "[A-Za-z0-9$]?", normalize.quotes),
    ("<&", "(?:<|(?i:&lt;))", "", normalize.always("<")),
    (">&", "(?:>|(?i:&gt;))", "", normalize.always(">")),
    ("<>:;=", _SMILE, f"[^{_A}0-9]", normalize.brackets),
    ("\\-\\^x=~<>'(", _EMOTICON, "", normalize.brackets),
    ("(){}\\[\\]", r"[(){}\[\]]", "", normalize.brackets),
    ("-", "-++", "", normalize.dash),
    (".\u2026", r"\.{3,5}|(?:\.[ \xa0]){2,4}\.|\u2026", "", normalize.always("...")),
    ("@#_", "@++|#++|_++", "", None),
    ("*\\\\", r"\*++|(?:\\\*){1,3}", "", None),
    (",;:\u3001?!.=/", r"[,;:\u3001.=/]|[?!]++", "", None),
    (f"{_A}0-9", _COMPOUND + r"\.", _STOP, normalize.remove_soft_hyphens),
    (f"{_A}0-9", _COMPOUND, "", normalize.remove_soft_hyphens),
    (_THING_START, _HYPHENATED + r"\.", _STOP, None),
    (_THING_START, _HYPHENATED, "", None),
    ("A-Z", _CAPITALS + r"\.", _STOP, normalize.ampersand),
    ("A-Z", _CAPITALS, "", normalize.ampersand),
    ("'", "'", f"[{_A}][^ \t\n\r\xa0]", normalize.always("`")),
    (_APOS_START, _AUXILIARY, "", normalize.quotes),
    ("nN", _NOT, "", normalize.quotes),
    ("'\x92’&`‘‚‛“”\x91\x93\x94„‟‹›«»", _QUOTE, "", normalize.quotes),
    ("<>", "<<|>>", "", None),
    (
        f"+%&~\\^|\\\\{SYMBOL}\u2044{SIGN}{RAISED}",
        rf"[+%&~^|\\{SYMBOL}\u2044{SIGN}{RAISED}]",
        "",
        None,
    ),
    ("&", "(?i:&nbsp;)", "", normalize.always("")),
    (f"{IGNORED} \t\xa0{SPACE}", f"{_GAP}++|{IGNORED}", "", normalize.always("")),
)

RULES = tuple(
    Rule(re.compile(f"[{starts}]"), re.compile(f"({token}){context}"), write)
    for starts, token, context, write in _LISTED
)


@cache
def rules_at(start: str) -> tuple[Rule, ...]:
    """Return the rules for tokens whose shape begins with the character ``start``."""
    return tuple(rule for rule in RULES if rule.starts.match(start))
