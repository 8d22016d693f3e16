from pathlib import Path

from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.overlap import measure
from mmtx_cli.scoring.settings import ScoreSettings
from tests.messages import mentions

SETTINGS = ScoreSettings((Path("refs"),), (Path("a"),), None, ("overlap",), 10, 1, 1, 0)


def test_captions_without_tokens_are_said():
    predictions = ["a dog", "🐕", "", "..."]
    references = [["a dog"], ["a dog"], ["a dog"], ["a dog", "!"]]
    ids = ["1", "2", "3", "4"]
    found = measure(Captions(ids, predictions, references, [{} for _ in ids]), SETTINGS)
    first, second = found.notes
    mentions(first, "2 of 4 predictions have no tokens", "ids 2, 4;")
    mentions(second, "1 of 4 samples have references", "ids 4;")
    assert found.scores.per_sample["rouge_l"].tolist() == [1, 0, 0, 1]
