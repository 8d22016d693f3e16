import torch

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.targets import Targets
from mmtx_cli.types import IGNORE_INDEX


def sample(**has):
    return Sample("a", "train", **has)


def test_classes():
    known = Targets(["red", "green"])
    assert known.of("label", sample(label="green")).item() == 1
    assert known.of("label", sample()) is None
    assert known.absent("label").item() == IGNORE_INDEX
    several = Targets(["red", "green"], multi_label=True)
    assert several.of("label", sample(label=("green",))).tolist() == [0, 1]
    assert several.absent("label").tolist() == [IGNORE_INDEX, IGNORE_INDEX]


def test_numbers():
    known = Targets()
    assert known.of("number", sample(label=2.5)).item() == 2.5
    assert known.of("number", sample(label=3)).dtype == torch.float32
    assert known.of("number", sample(label="3")) is None
    assert known.absent("number").isnan()


def test_answers():
    known = Targets(answer_names=["red", "blue"])
    target = known.of("answers", sample(answers={"red": 9.0, "purple": 1.0}))
    torch.testing.assert_close(target, torch.tensor([1.0, 0.0]))
    assert known.of("answers", sample()) is None
    assert known.absent("answers").isnan().tolist() == [True, True]
