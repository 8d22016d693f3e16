"""The figures in the README of aac-metrics (Étienne Labbé, MIT license), whose captions these are.

It states BLEU-1 and CIDEr-D of the two captions; METEOR is compared with Java in ``meteor/``.
"""

import pytest

from mmtx_cli.metric.caption import caption_scores

CANDIDATES = ["a man is speaking", "rain falls"]
REFERENCES = [
    [
        "a man speaks.",
        "someone speaks.",
        "a man is speaking while a bird is chirping in the background",
    ],
    ["rain is falling hard on a surface"],
]


def test_equals_the_figures_of_aac_metrics():
    scores = caption_scores(["1", "2"], CANDIDATES, REFERENCES)
    found = scores.metrics()
    assert round(found["bleu_1"], 4) == 0.4278
    assert round(found["cider"], 4) == 0.9614
    assert scores.per_sample["cider"] == pytest.approx([1.3641, 0.5587], abs=5e-5)
