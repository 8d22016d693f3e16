"""Words shared with the references: BLEU, ROUGE-L and CIDEr-D."""

from mmtx_cli.metric.caption import caption_scores
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
    return Measured(scores, tokenizer.parameters)
