"""Image captioning metrics: BLEU, ROUGE-L and CIDEr-D against references."""

from collections.abc import Callable
from itertools import chain

from mmtx_cli.errors import DataError, listed
from mmtx_cli.io.unicode import composed
from mmtx_cli.metric.bleu import bleu_scores
from mmtx_cli.metric.cider import cider_scores, has_weights
from mmtx_cli.metric.ngrams import Corpus
from mmtx_cli.metric.ptb.tokenize import tokenize
from mmtx_cli.metric.rouge import rouge_scores
from mmtx_cli.metric.scores import Scores
from mmtx_cli.metric.tokenizer.tokenizer import chosen_tokenizer


def coco_tokens(caption: str) -> list[str]:
    """Return the tokens of a caption in NFC, as in the MS-COCO caption evaluation."""
    return tokenize(composed(caption))


def caption_scores(
    ids: list[str],
    candidates: list[str],
    references: list[list[str]],
    tokens: Callable[[str], list[str]] | None = None,
) -> Scores:
    """Return ``bleu_1`` … ``bleu_4``, ``rouge_l`` (in [0, 1]) and ``cider`` (in [0, 10]).

    The metrics of the MS-COCO caption evaluation (Chen et al., 2015, arXiv:1504.00325), including
    its tokenizer, on captions in NFC; of languages that do not separate words, characters. An empty
    candidate scores 0. ``cider`` is left out where it is undefined (``has_weights``).

    Args:
        ids: [n] ids of the samples, for messages.
        candidates: [n] captions to score.
        references: [n] lists of at least one reference each.
        tokens: Returns the tokens of a caption; by default, those of the language that the scripts
            of the references tell (``metric/tokenizer``).

    Raises:
        DataError: for ids without references or with an empty one.
    """
    missing = [
        name
        for name, captions in zip(ids, references, strict=True)
        if not (captions and all(caption.strip() for caption in captions))
    ]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(ids)} samples have a missing or empty reference caption: "
            f"{listed(missing)}; add the captions, or remove these samples"
        )
    if tokens is None:
        tokens = chosen_tokenizer(list(chain.from_iterable(references))).tokens
    return token_scores(
        [tokens(candidate) for candidate in candidates],
        [[tokens(caption) for caption in captions] for captions in references],
    )


def token_scores(candidates: list[list[str]], references: list[list[list[str]]]) -> Scores:
    """Return the metrics of ``caption_scores`` for tokenized captions."""
    corpus = Corpus.build(candidates, references)
    words = corpus
    all_captions = chain(candidates, chain.from_iterable(references))
    # COCO evaluation splits at any white space to count n-grams: a token such as a fraction that
    # contains a no-break space is one token for ROUGE-L and two words for BLEU and CIDEr-D
    if any(len(token.split()) > 1 for token in set(chain.from_iterable(all_captions))):
        words = Corpus.build(
            [_words(tokens) for tokens in candidates],
            [[_words(tokens) for tokens in captions] for captions in references],
        )
    parts = [bleu_scores(words), rouge_scores(corpus)]
    return Scores.merged(*parts, *([cider_scores(words)] if has_weights(words) else []))


def caption_words(caption: str) -> list[str]:
    """Return the words of a caption whose n-grams BLEU and CIDEr-D count."""
    return _words(coco_tokens(caption))


def _words(tokens: list[str]) -> list[str]:
    return " ".join(tokens).split()
