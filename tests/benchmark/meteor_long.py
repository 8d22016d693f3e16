"""How long METEOR takes for long texts: CPU time for a pair, without reading the data.

Run from the project's root: ``python tests/benchmark/meteor_long.py``. The texts are captions of
flickr8k_mini (``MMTX_TEST_DATA``), one after the other in random order, and one word repeated.
"""

import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from mmtx_cli.metric.meteor.load import load_meteor
from mmtx_cli.metric.meteor.score import meteor_scores
from mmtx_cli.metric.ptb.tokenize import tokenize
from tests.metric.corpora import flickr_captions


def main() -> None:
    """Print the CPU time by the kind of text and its length."""
    data = load_meteor("en")
    captions = [tokenize(caption) for caption in flickr_captions()]
    draw = random.Random(0)
    for length in (300, 1500):
        running = [
            [word for caption in draw.sample(captions, length // 4) for word in caption][:length]
            for _ in range(2)
        ]
        for kind, (one, other) in {"captions": running, "one word": [["a"] * length] * 2}.items():
            start = time.process_time()
            # one word less: of equal texts, only the exact matches would be looked for
            scores = meteor_scores([one], [[other[:-1]]], data)
            seconds = time.process_time() - start
            value = scores.metrics()["meteor"]
            print(f"{kind}, {length} words: {seconds:.2f} s of CPU time, score {value:.4f}")


if __name__ == "__main__":
    main()
