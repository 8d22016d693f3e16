import pytest
import torch

from mmtx_cli.config.preprocessing import Preprocessing
from mmtx_cli.data.collate import Collate
from mmtx_cli.data.dataset import Example
from mmtx_cli.data.targets import Targets
from mmtx_cli.types import IGNORE_INDEX

SIDE = 4


def collate_of(max_length=12, **kwargs):
    options = {
        "modalities": ("image", "text"),
        "needs": ("captions", "label"),
        "preparation": Preprocessing(SIDE, max_length=max_length),
    }
    return Collate(**(options | kwargs))


def pictures(num, value):
    return torch.full((num, 3, SIDE, SIDE), value, dtype=torch.uint8)


@pytest.fixture
def examples():
    return [
        Example("a", {"text": torch.tensor([2, 7, 3])}, {"label": torch.tensor(1)}),
        Example("b", {"image": pictures(2, 9)}, {"captions": torch.tensor([2, 8, 8, 8, 3])}),
        Example("c", {"text": torch.tensor([2, 3]), "image": pictures(1, 5)}),
        Example("d", fault={"id": "d", "path": "d.jpg", "reason": "damaged"}),
    ]


def test_every_modality_is_present_and_masked(examples):
    batch = collate_of()(examples)
    text, image = batch.inputs["text"], batch.inputs["image"]
    assert text.data.tolist() == [[2, 7, 3], [0, 0, 0], [2, 3, 0], [0, 0, 0]]
    assert text.data.dtype == torch.long
    assert text.mask.sum(dim=1).tolist() == [3, 0, 2, 0]
    assert image.data.shape == (4, 2, 3, SIDE, SIDE)
    assert image.data.dtype == torch.uint8
    assert image.data[:, :, 0, 0, 0].tolist() == [[0, 0], [9, 9], [5, 0], [0, 0]]
    assert image.mask.tolist() == [[False, False], [True, True], [True, False], [False, False]]


def test_targets_that_lack_are_ignored(examples):
    batch = collate_of()(examples)
    assert batch.targets["label"].tolist() == [1, IGNORE_INDEX, IGNORE_INDEX, IGNORE_INDEX]
    nothing = [IGNORE_INDEX] * 5
    assert batch.targets["captions"].tolist() == [nothing, [2, 8, 8, 8, 3], nothing, nothing]
    assert batch.ids == ["a", "b", "c", "d"]
    assert len(batch) == 4
    assert batch.read_errors == [{"id": "d", "path": "d.jpg", "reason": "damaged"}]


def test_several_captions_of_a_sample_stand_beside_each_other():
    two = torch.tensor([[2, 9, 9, 3], [2, 8, 3, IGNORE_INDEX]])
    one = torch.tensor([[2, 7, 3]])
    examples = [Example("a", targets={"captions": two}), Example("b")]
    examples.append(Example("c", targets={"captions": one}))
    nothing = [IGNORE_INDEX] * 4
    assert collate_of()(examples).targets["captions"].tolist() == [
        [[2, 9, 9, 3], [2, 8, 3, IGNORE_INDEX]],
        [nothing, nothing],
        [[2, 7, 3, IGNORE_INDEX], nothing],
    ]


def test_several_labels(examples):
    examples[0].targets["label"] = torch.tensor([1, 0, 1])
    batch = collate_of(known=Targets("abc", multi_label=True))(examples)
    assert batch.targets["label"].tolist() == [[1, 0, 1], *[[IGNORE_INDEX] * 3] * 3]


def test_nothing_at_all():
    batch = collate_of(known=Targets("abc"))([Example("a"), Example("b")])
    assert not batch.inputs["text"].mask.any()
    assert batch.inputs["text"].data.shape == (2, 1)
    assert batch.inputs["image"].data.shape == (2, 1, 3, SIDE, SIDE)
    assert (batch.targets["captions"] == IGNORE_INDEX).all()
    assert (batch.targets["label"] == IGNORE_INDEX).all()


@pytest.mark.parametrize(("round_to", "max_length", "wanted"), [(1, 12, 5), (4, 12, 8), (8, 6, 6)])
def test_texts_are_rounded_up_as_far_as_there_are_positions(round_to, max_length, wanted):
    five = torch.tensor([2, 8, 8, 8, 3])
    batch = collate_of(round_to=round_to, max_length=max_length)(
        [Example("a", {"text": five}, {"captions": five})]
    )
    assert batch.inputs["text"].data.shape == (1, wanted)
    assert batch.inputs["text"].mask.sum() == 5
    assert batch.targets["captions"].tolist() == [[2, 8, 8, 8, 3] + [IGNORE_INDEX] * (wanted - 5)]


def test_frames_and_hops_are_padded_to_the_longest():
    rows = [
        Example("a", {"video": pictures(3, 7), "audio": torch.ones(2, 80)}),
        Example("b", {"video": pictures(1, 5)}),
    ]
    options = {"modalities": ("video", "audio"), "needs": ()}
    batch = collate_of(**options, preparation=Preprocessing(SIDE, sample_rate=8000))(rows)
    video, audio = batch.inputs["video"], batch.inputs["audio"]
    assert (video.data.shape, video.data.dtype) == ((2, 3, 3, SIDE, SIDE), torch.uint8)
    assert video.mask.tolist() == [[True] * 3, [True, False, False]]
    assert (audio.data.shape, audio.data.dtype) == ((2, 2, 80), torch.float32)
    assert audio.mask.tolist() == [[True, True], [False, False]]
    assert not audio.data[1].any()
    assert not video.data[1, 1:].any()
