"""Flickr8k-CN (Li et al., ICMR 2016): Baidu's translation against those of people."""

import os
from pathlib import Path

import pytest

from mmtx_cli.metric.caption import caption_scores
from mmtx_cli.metric.tokenizer.tokenizer import chosen_tokenizer

DATA = Path(os.environ.get("MMTX_TEST_DATA", "../shared/data")) / "flickr8kcn"


def captions_of(name):
    """Captions by picture and number, without the tag of the translation."""
    rows = (line.split(" ", 1) for line in (DATA / name).read_text("utf-8").splitlines() if line)
    return {(key.split("#")[0], key.rpartition("#")[2]): text for key, text in rows}


@pytest.fixture
def pairs():
    if not DATA.is_dir():
        pytest.skip(f"no {DATA}: set MMTX_TEST_DATA to the folder of flickr8kcn")
    people = captions_of("flickr8kzhmtest.captions.txt")
    machine = captions_of("flickr8kzhb.caption.txt")
    assert len(people) == 5000
    return [machine[key] for key in people], [[text] for text in people.values()]


@pytest.mark.parametrize(
    ("name", "bleu_1", "bleu_2"),
    [
        # published with jieba of 2016: 65.8 and 47.7
        ("jieba", 64.4, 48.4),
        ("zh", 73.9, 61.5),
        ("char", 73.9, 61.5),
    ],
)
def test_the_machine_translation_of_baidu(name, bleu_1, bleu_2, pairs):
    package = {"jieba": "jieba", "zh": "sacrebleu"}.get(name)
    if package:
        pytest.importorskip(package, reason=f"{package} is not installed (mmtx[languages])")
    candidates, references = pairs
    tokenizer = chosen_tokenizer(candidates, "zh", name)
    ids = [str(i) for i in range(len(candidates))]
    found = caption_scores(ids, candidates, references, tokenizer.tokens).metrics()
    assert 100 * found["bleu_1"] == pytest.approx(bleu_1, abs=0.05)
    assert 100 * found["bleu_2"] == pytest.approx(bleu_2, abs=0.05)
