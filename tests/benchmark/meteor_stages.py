"""What METEOR lacks without some of its stages: the score of captions that people wrote.

Run from the project's root: ``python tests/benchmark/meteor_stages.py``. Each of the 5,000 captions
of flickr8k_mini (``MMTX_TEST_DATA``) is scored against the other four of its picture.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from mmtx_cli.metric.meteor.data import MeteorData
from mmtx_cli.metric.meteor.load import load_meteor
from mmtx_cli.metric.meteor.score import meteor_scores
from mmtx_cli.metric.ptb.tokenize import tokenize
from tests.metric.corpora import flickr_groups

DATA = {"stem": "stem", "synonym": "synonyms", "paraphrase": "paraphrases"}


def without(data: MeteorData, *stages: str) -> MeteorData:
    """Return the data without those of some stages."""
    return replace(data, **{DATA[stage]: None for stage in stages})


def main() -> None:
    """Print the score of the corpus and the mean difference of a caption, by missing stages."""
    data = load_meteor("en")
    if data.missing:
        sys.exit(f"no data for {', '.join(data.missing)}: pip install 'mmtx[meteor]'")
    groups = [[tokenize(caption) for caption in own] for own in flickr_groups().values()]
    candidates = [caption for own in groups for caption in own]
    references = [own[:at] + own[at + 1 :] for own in groups for at in range(len(own))]
    whole = meteor_scores(candidates, references, data)
    print(f"{len(whole)} captions, all stages: {whole.metrics()['meteor']:.4f}")
    for stages in (("stem",), ("synonym",), ("paraphrase",), ("stem", "paraphrase"), (*DATA,)):
        part = meteor_scores(candidates, references, without(data, *stages))
        difference = part.per_sample["meteor"] - whole.per_sample["meteor"]
        order = np.corrcoef(part.per_sample["meteor"], whole.per_sample["meteor"])[0, 1]
        print(
            f"without {', '.join(stages)}: {part.metrics()['meteor']:.4f}; mean absolute "
            f"difference of a caption {np.abs(difference).mean():.4f}, correlation {order:.4f}"
        )


if __name__ == "__main__":
    main()
