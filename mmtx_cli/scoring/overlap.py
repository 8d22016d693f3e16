"""Words shared with the references: BLEU, ROUGE-L and CIDEr-D."""

from collections.abc import Iterator

from mmtx_cli.errors import listed
from mmtx_cli.metric.caption import caption_scores
from mmtx_cli.metric.tokenizer.tokenizer import Tokenizer
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.families import Measured
from mmtx_cli.scoring.settings import ScoreSettings
from mmtx_cli.scoring.tokenization import reference_texts, tokenizer_for


def measure(captions: Captions, settings: ScoreSettings) -> Measured:
    """Return BLEU-1 to 4, ROUGE-L and CIDEr-D, by default with the tokenizer of the COCO evaluation
    or, in languages that do not separate words, with characters.
    """
    tokenizer = tokenizer_for(settings, reference_texts(captions))
    scores = caption_scores(
        captions.ids, captions.predictions, captions.references, tokenizer.tokens
    )
    return Measured(scores, tokenizer.parameters, tuple(_without_tokens(captions, tokenizer)))


def _without_tokens(captions: Captions, tokenizer: Tokenizer) -> Iterator[str]:
    """Yield notes of captions of punctuation or pictograms, of which a tokenizer leaves nothing."""

    def is_bare(caption: str) -> bool:
        return not any(map(str.isalnum, caption)) and not tokenizer.tokens(caption)

    sides = {
        "predictions": [[own] if own.strip() else [] for own in captions.predictions],
        "samples have references that": captions.references,
    }
    for side, texts in sides.items():
        ids = [
            ident for ident, own in zip(captions.ids, texts, strict=True) if any(map(is_bare, own))
        ]
        if ids:
            yield (
                f"{len(ids)} of {len(captions)} {side} have no tokens (only punctuation, emoji or "
                f"invisible characters): ids {listed(ids)}; two captions without tokens count as "
                "equal for ROUGE-L, as in the COCO evaluation"
            )
