"""Compare the caption metrics with pycocoevalcap: speed, and the largest difference of a score.

Run from the project's root: ``python tests/benchmark/score.py``. Takes some minutes; METEOR in Java
alone takes half a minute a time (``--meteor-rounds 0`` leaves it out).
BLEU-1 to 4, ROUGE-L and CIDEr-D of 5,000 candidates with 5 references each, tokens given, one
process, one thread of Python. The captions are drawn from a grammar of scenes with a long tail of
words, 8 to 19 words each, the same ones every time.

METEOR is measured from the start of Java, and here with the reading of its data (the paraphrases in
the form that the first run keeps), on the same captions.
"""

import argparse
import random
import shutil
import sys
import time
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from paired import paired_ratio  # noqa: E402
from pycocoevalcap.bleu.bleu import Bleu  # noqa: E402
from pycocoevalcap.cider.cider import Cider  # noqa: E402
from pycocoevalcap.meteor.meteor import Meteor  # noqa: E402
from pycocoevalcap.rouge.rouge import Rouge  # noqa: E402

from mmtx_cli.metric.caption import token_scores  # noqa: E402
from mmtx_cli.metric.meteor.load import load_meteor  # noqa: E402
from mmtx_cli.metric.meteor.score import meteor_scores  # noqa: E402

Captions = tuple[list[list[str]], list[list[list[str]]]]

WHO = ["man", "woman", "boy", "girl", "dog", "child", "person", "player", "rider", "group"]
DOES = ["runs", "jumps", "sits", "stands", "plays", "walks", "looks", "climbs", "rides", "holds"]
WHERE = ["in", "on", "near", "beside", "behind", "through", "over", "with", "at"]


def corpus(samples: int, references: int, seed: int = 0) -> Captions:
    """Return candidates and references as tokens: captions of one sample tell of one scene."""
    draw = random.Random(seed)
    rare = [f"thing{rank}" for rank in range(1, 5000)]
    weights = [1 / rank for rank in range(1, 5000)]

    def caption(who: str, does: str, things: list[str]) -> list[str]:
        length = draw.randint(8, 19)
        words = [draw.choice(("a", "the", "one")), who, does]
        while len(words) < length:
            words += [draw.choice(WHERE), draw.choice(("a", "the", "some")), draw.choice(things)]
        return words[:length]

    candidates, all_references = [], []
    for _ in range(samples):
        things = draw.choices(rare, weights, k=6)
        scene = [draw.choice(WHO), draw.choice(DOES), things]
        candidates.append(caption(*scene))
        all_references.append([caption(*scene) for _ in range(references)])
    return candidates, all_references


def theirs(references: dict[int, list[str]], candidates: dict[int, list[str]]) -> np.ndarray:
    """Return pycocoevalcap's scores of each sample: BLEU-1 to 4, ROUGE-L, CIDEr-D [6, n]."""
    bleu = Bleu(4).compute_score(references, candidates, verbose=0)[1]
    rouge = Rouge().compute_score(references, candidates)[1]
    cider = Cider().compute_score(references, candidates)[1]
    return np.array([*bleu, rouge, cider])


def compare_meteor(captions: Captions, strings: tuple[dict, dict], rounds: int) -> None:
    """Print how many times faster METEOR is than in Java, and the largest difference of a score."""
    found: dict[str, np.ndarray] = {}
    seconds: list[float] = []

    def run_theirs() -> None:
        found["theirs"] = np.array(Meteor().compute_score(*strings)[1])

    def run_ours() -> None:
        start = time.process_time()
        found["ours"] = meteor_scores(*captions, load_meteor("en")).per_sample["meteor"]
        seconds.append(time.process_time() - start)

    ratio, ratios = paired_ratio(run_theirs, run_ours, rounds)
    difference = np.abs(found["ours"] - found["theirs"]).max()
    print("time of METEOR in Java / time of mmtx by round:", *(f"{r:.1f}" for r in ratios))
    print(
        f"METEOR: median ratio {ratio:.1f}; {sorted(seconds[1:])[len(seconds) // 2]:.2f} s of CPU "
        f"time in mmtx; largest difference of a score {difference:.1e}"
    )


def main() -> None:
    """Print the median ratio of times and the largest difference of a score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--references", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--meteor-rounds", type=int, default=1)
    args = parser.parse_args()
    candidates, references = corpus(args.samples, args.references)
    their_candidates = {i: [" ".join(tokens)] for i, tokens in enumerate(candidates)}
    their_references = {i: [" ".join(tokens) for tokens in own] for i, own in enumerate(references)}
    found: dict[str, np.ndarray] = {}

    def run_theirs() -> None:
        found["theirs"] = theirs(their_references, their_candidates)

    def run_ours() -> None:
        found["ours"] = np.array(list(token_scores(candidates, references).per_sample.values()))

    ratio, ratios = paired_ratio(run_theirs, run_ours, args.rounds)
    difference = np.abs(found["ours"] - found["theirs"]).max()
    print(f"{args.samples} candidates x {args.references} references, {len(ratios)} rounds A B B A")
    print("time of pycocoevalcap / time of mmtx by round:", *(f"{r:.1f}" for r in ratios))
    print(f"median ratio {ratio:.1f}; largest difference of a score {difference:.1e}")
    if args.meteor_rounds and shutil.which("java"):
        strings = (their_references, their_candidates)
        compare_meteor((candidates, references), strings, args.meteor_rounds)


if __name__ == "__main__":
    main()
