"""Captions as the MS-COCO caption evaluation tokenises them, without Java."""

import re

from mmtx_cli.metric.ptb import word_lists
from mmtx_cli.metric.ptb.rules import Rule, rules_at
from mmtx_cli.metric.ptb.word_shape import SPACE, shape

# What the evaluation drops. Brackets stay: the tokenizer writes -lrb-, it looks for -LRB-.
DROPPED = frozenset(("''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"))

_LINE_BREAK = re.compile("\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")
# A word between spaces is the common case, and no rule could read it otherwise.
_PLAIN_WORD = re.compile(rf"([A-Za-z]++(?:-[A-Za-z]++)*+)(?:[,;]? ++(?![\t\xa0{SPACE}])|\n)")


def tokenize(caption: str) -> list[str]:
    r"""Return the tokens of a caption: lower case, no punctuation, clitics apart (``do n't``).

    The same tokens as Stanford CoreNLP 3.4.1's ``PTBTokenizer -preserveLines -lowerCase`` and the
    removal of punctuation in the MS-COCO caption evaluation (Chen et al., 2015, arXiv:1504.00325)
    give; it does not change British spelling. Known to differ:

    - That program reads captions as lines of one text, and now and then the next caption changes
      the end of this one (``a letter A.`` before ``The …`` loses its stop; a tag or a quoted
      attribute left open may go on). Here a caption stands alone.
    - Any line break in a caption is a space here; there only ``\n`` is, others shift every
      following caption to the wrong picture.
    - Letters that Unicode gained after 6.0 (2010) are letters here and ignored there. Characters
      beyond U+FFFF (emoji) are ignored by both; in the path of a link they count as one character
      here and as two there.

    A token may hold a no-break space (``1 1/2`` is one token).
    """
    text = _LINE_BREAK.sub(" ", caption)
    outline = shape(text) + "\n\n"
    tokens: list[str] = []
    at = 0
    while at < len(text):
        word = _PLAIN_WORD.match(outline, at)
        if word and (token := word[1].lower()) not in word_lists.SPLIT:
            tokens.append(token)
            at = word.end()
            continue
        rule, end = _best_rule(outline, at)
        if rule is not None:
            token = text[at:end]
            if written := rule.write(token) if rule.write else token:
                tokens.append(written.lower())
        at = end
    if tokens:  # a link can end with one of the rarer spaces
        tokens[-1] = tokens[-1].rstrip()
    return [token for token in tokens if token not in DROPPED]


def _best_rule(outline: str, at: int) -> tuple[Rule | None, int]:
    """Return the rule that covers most text from ``at``, and where its token ends.

    Without any, the character at ``at`` is passed over.
    """
    best, furthest, end = None, at, at + 1
    for rule in rules_at(outline[at]):
        match = rule.pattern.match(outline, at)
        if match and match.end() > furthest:
            best, furthest, end = rule, match.end(), match.end(1)
    return best, end
