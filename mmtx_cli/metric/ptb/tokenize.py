"""The tokenizer of the MS-COCO caption evaluation, without Java."""

import re
from itertools import chain

from mmtx_cli.metric.ptb import word_lists
from mmtx_cli.metric.ptb.rules import Rule, rules_at
from mmtx_cli.metric.ptb.word_shape import SPACE, shape

# Dropped by the evaluation. Brackets stay: the tokenizer writes -lrb-, the evaluation drops -LRB-.
DROPPED = frozenset(("''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"))

_LINE_BREAK = re.compile("\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")
# A word between spaces is the common case, which no rule would tokenize differently.
_PLAIN_WORD = re.compile(rf"([A-Za-z]++(?:-[A-Za-z]++)*+)(?:[,;]? ++(?![\t\xa0{SPACE}])|\n)")

# Text between spaces whose tokens depend on nothing before or after it: no rule for a token that
# starts in it takes a space or looks beyond one, which only those with a period or a digit in front
# do.
_WORD = re.compile("[A-Za-z][A-Za-z0-9'-]*+[,;]?")
_LAST_WORD = re.compile("(?:[A-Za-z][A-Za-z0-9'-]*+)?[,;.!?]?")
_MOST_WORDS = 1 << 18
_LONGEST_WORD = 64


class _Words(dict[str, tuple[str, ...]]):
    """The tokens of words seen before; KeyError for text that is no such word."""

    def __init__(self, form: re.Pattern[str], after: str) -> None:
        self._form, self._after = form, after

    def __missing__(self, word: str) -> tuple[str, ...]:
        if len(word) > _LONGEST_WORD or not self._form.fullmatch(word):
            raise KeyError(word)
        if len(self) >= _MOST_WORDS:
            self.clear()
        self[word] = found = tuple(_tokens(word + self._after))
        return found


_INNER, _LAST = _Words(_WORD, " "), _Words(_LAST_WORD, "")


def tokenize(caption: str) -> list[str]:
    r"""Return the tokens of a caption: lower case, no punctuation, split clitics (``do n't``).

    Gives the same tokens as Stanford CoreNLP 3.4.1's ``PTBTokenizer -preserveLines -lowerCase`` and
    the removal of punctuation in the MS-COCO caption evaluation (Chen et al., 2015,
    arXiv:1504.00325); British spelling is not changed. Known differences:

    - CoreNLP reads captions as lines of one text, and occasionally the next caption changes the end
      of the current one (``a letter A.`` before ``The …`` loses its period; an unclosed tag or
      quoted attribute may continue). Here captions are independent.
    - Any line break in a caption is a space here; in CoreNLP only ``\n`` is, and others shift every
      following caption to the wrong image.
    - Letters added after Unicode 6.0 (2010) are letters here and ignored there. Characters beyond
      U+FFFF (emoji) are ignored by both; in the path of a URL they count as one character here and
      as two there.

    A token may contain a no-break space (``1 1/2`` is one token).
    """
    *words, last = caption.split(" ")
    try:
        found = [*map(_INNER.__getitem__, words), _LAST[last]]
    except KeyError:
        return _tokens(caption)
    return [*chain.from_iterable(found)]


def _tokens(caption: str) -> list[str]:
    """Return the tokens of any caption; ``tokenize`` only remembers those of common words."""
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
    if tokens:  # a URL can end with one of the rarer spaces
        tokens[-1] = tokens[-1].rstrip()
    return [token for token in tokens if token not in DROPPED]


def _best_rule(outline: str, at: int) -> tuple[Rule | None, int]:
    """Return the rule with the longest match at ``at``, and the end of its token.

    Without a match, the character at ``at`` is skipped.
    """
    best, furthest, end = None, at, at + 1
    for rule in rules_at(outline[at]):
        match = rule.pattern.match(outline, at)
        if match and match.end() > furthest:
            best, furthest, end = rule, match.end(), match.end(1)
    return best, end
