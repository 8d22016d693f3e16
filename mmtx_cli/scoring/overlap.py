"""Words shared with the references: BLEU, ROUGE-L and CIDEr-D."""

from mmtx_cli.metric.caption import caption_scores
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.families import Measured
from mmtx_cli.scoring.settings import ScoreSettings


def measure(captions: Captions, settings: ScoreSettings) -> Measured:
    """Return BLEU-1 to 4, ROUGE-L and CIDEr-D with the tokenizer of the COCO evaluation."""
    scores = caption_scores(captions.ids, captions.predictions, captions.references)
    return Measured(scores, {"tokenizer": "ptb"})
