from pathlib import Path

import numpy as np
import pytest
import torch

from mmtx_cli.config.preprocessing import Preprocessing
from mmtx_cli.data.collate import Collate
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.targets import Targets
from mmtx_cli.media.image import decode_image
from mmtx_cli.media.transform import augmentation, fit, to_tensor
from mmtx_cli.media.worker.limits import DecodeLimits
from mmtx_cli.types import IGNORE_INDEX
from tests.messages import mentions

from .small import LENGTH, NAMES, SIDE, rows, samples_of, tokenizer


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return rows(tmp_path_factory.mktemp("pictures"))


def encoded(text):
    return tokenizer().encode([text], LENGTH)[0]


def test_an_example_holds_what_the_row_has(made):
    samples = samples_of(made)
    assert len(samples) == len(made)
    for i, row in enumerate(made):
        example = samples[(0, i)]
        assert example.id == row.id
        assert example.fault is None
        assert ("image" in example.inputs) == bool(row.image)
        assert ("text" in example.inputs) == (row.text is not None)
        assert ("captions" in example.targets) == bool(row.captions)
        assert ("label" in example.targets) == (row.label is not None)
        if row.image:
            wanted = fit(to_tensor(decode_image(row.image[0])), SIDE, "crop")
            assert torch.equal(example.inputs["image"], wanted[None])
        if row.text:
            assert example.inputs["text"].tolist() == encoded(row.text)
        if row.captions:
            assert example.targets["captions"].tolist() == encoded(row.captions[0])
        if row.label:
            assert example.targets["label"].item() == NAMES.index(row.label)


def test_only_requested_modalities_are_read(made):
    gone = [
        Sample("a", "test", image=("/nowhere.png",), text="a dog", captions=("x",), label="red")
    ]
    example = samples_of(gone, modalities=("text",), needs=())[(0, 0)]
    assert example.fault is None
    assert list(example.inputs) == ["text"]
    assert example.targets == {}


def test_several_captions_of_a_training_sample():
    captions = ("a dog", "a red dog runs", "one dog")
    row = [Sample("a", "train", captions=captions), Sample("b", "train", captions=captions[:1])]
    row.append(Sample("c", "train", text="nothing is said of it"))
    samples = samples_of(row, training=True, captions_per_sample=2)
    known = [encoded(caption) for caption in captions]
    for epoch in range(4):
        target = samples[(epoch, 0)].targets["captions"]
        chosen = [[t for t in each.tolist() if t != IGNORE_INDEX] for each in target]
        assert len(chosen) == 2
        assert chosen[0] != chosen[1]
        assert all(tokens in known for tokens in chosen)
    assert samples[(0, 1)].targets["captions"].tolist() == [known[0]]
    assert "captions" not in samples[(0, 2)].targets
    assert samples_of(row, captions_per_sample=2)[(0, 0)].targets["captions"].tolist() == known[0]


def test_several_labels():
    several = [
        Sample("a", "train", label=("red", "blue")),
        Sample("b", "train", label=()),
        Sample("c", "train", label="green"),
        Sample("d", "train"),
    ]
    samples = samples_of(several, modalities=(), needs=("label",), known=Targets(NAMES, True))
    found = [samples[(0, i)].targets for i in range(4)]
    assert [t["label"].tolist() for t in found[:3]] == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert found[3] == {}


def test_several_pictures(made):
    both = (made[1].image[0], made[2].image[0])
    samples = samples_of([Sample("a", "train", image=both)])
    found = samples[(0, 0)].inputs["image"]
    assert found.shape == (2, 3, SIDE, SIDE)
    assert not torch.equal(found[0], found[1])


def test_a_picture_that_cannot_be_read_takes_the_whole_sample_along(made, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(Path(made[1].image[0]).read_bytes()[:100])
    broken = Sample(
        "broken",
        "train",
        image=(made[1].image[0], str(bad)),
        text="a dog",
        captions=("a",),
        label="red",
    )
    samples = samples_of([made[1], broken])
    examples = [samples[(0, i)] for i in range(2)]
    assert examples[1].fault["id"] == "broken"
    assert examples[1].fault["path"] == str(bad)
    assert examples[1].fault["reason"].startswith("damaged")
    collate = Collate(samples.modalities, samples.needs, samples.preparation, samples.known)
    batch = collate(examples)
    assert batch.ids == ["s1", "broken"]
    assert batch.read_errors == [examples[1].fault]
    assert not any(f.mask[1].any() or f.data[1].any() for f in batch.inputs.values())
    assert all((t[1] == IGNORE_INDEX).all() for t in batch.targets.values())
    assert all(f.mask[0].any() for f in batch.inputs.values())


class TestCaptions:
    def drawn(self, samples, epoch):
        return [
            samples[(epoch, i)].targets["captions"].tolist()
            for i, row in enumerate(samples.samples)
            if row.captions
        ]

    def test_each_epoch_draws_one(self, made):
        samples = samples_of(made, training=True, seed=1)
        every = [{tuple(encoded(c)) for c in row.captions} for row in made if row.captions]
        epochs = [self.drawn(samples, epoch) for epoch in range(20)]
        for epoch in epochs:
            for own, caption in zip(every, epoch, strict=True):
                assert tuple(caption) in own
        used = [{tuple(epoch[i]) for epoch in epochs} for i in range(len(every))]
        assert np.mean([len(u) / len(e) for u, e in zip(used, every, strict=True)]) > 0.95
        assert epochs[0] != epochs[1]

    def test_the_place_in_the_data_does_not_matter(self, made):
        turned = samples_of(made[::-1], training=True, seed=1)
        straight = samples_of(made, training=True, seed=1)
        for epoch in (5, 0):
            assert self.drawn(turned, epoch)[::-1] == self.drawn(straight, epoch)
        assert self.drawn(samples_of(made, training=True, seed=2), 0) != self.drawn(straight, 0)

    def test_read_and_predicted_it_is_the_same_one(self, made):
        preparation = Preprocessing(SIDE, "crop", "captions", LENGTH)
        samples = samples_of(made, training=True, preparation=preparation)
        for epoch in range(3):
            for i, row in enumerate(made):
                if row.captions:
                    example = samples[(epoch, i)]
                    assert torch.equal(example.inputs["text"], example.targets["captions"])

    def test_evaluation_reads_them_in_turn(self, made):
        preparation = Preprocessing(SIDE, "crop", "captions", LENGTH)
        samples = samples_of(made, preparation=preparation)
        for turn in range(4):
            example = samples[(turn, 1)]
            if turn < len(made[1].captions):
                assert example.inputs["text"].tolist() == encoded(made[1].captions[turn])
            else:
                assert "text" not in example.inputs
            # the further texts come alone
            assert ("image" in example.inputs) == (turn == 0)
            assert ("captions" in example.targets) == (turn == 0)


class TestAugmentation:
    def picture(self, samples, epoch, row=1):
        return samples[(epoch, row)].inputs["image"]

    def test_is_drawn_from_seed_epoch_and_id(self, made):
        augment = augmentation(SIDE, scale=[0.3, 1.0], flip=True, color=0.3)
        options = {"training": True, "augment": augment}
        samples, turned = samples_of(made, **options), samples_of(made[::-1], **options)
        first = self.picture(samples, 0)
        assert first.shape == (1, 3, SIDE, SIDE)
        assert not torch.equal(first, self.picture(samples, 1))
        torch.manual_seed(123)
        assert torch.equal(first, self.picture(samples, 0))
        assert torch.equal(first, self.picture(turned, 0, len(made) - 2))
        assert not torch.equal(first, self.picture(samples_of(made, seed=5, **options), 0))

    def test_the_pictures_of_a_sample_differ(self, made):
        path = made[1].image[0]
        augment = augmentation(SIDE, scale=[0.2, 0.5])
        samples = samples_of(
            [Sample("a", "train", image=(path, path))], training=True, augment=augment
        )
        one, other = self.picture(samples, 0, 0)
        assert not torch.equal(one, other)

    def test_a_mirror_alone_keeps_the_size(self, made):
        samples = samples_of(made, training=True, augment=augmentation(SIDE, flip=True))
        plain = self.picture(samples_of(made), 0)
        seen = [self.picture(samples, epoch) for epoch in range(12)]
        mirrored = [not torch.equal(x, plain) for x in seen]
        assert any(mirrored)
        assert not all(mirrored)
        assert all(x.shape == plain.shape for x in seen)


def test_a_picture_of_more_pixels_than_allowed_is_a_fault(made):
    row = next(row for row in made if row.image)
    height, width, _ = decode_image(row.image[0]).shape
    read = samples_of([row], limits=DecodeLimits(pixels=height * width))[(0, 0)]
    assert read.fault is None
    fault = samples_of([row], limits=DecodeLimits(pixels=height * width - 1))[(0, 0)].fault
    mentions(fault["reason"], f"{height * width:,} pixels", "data.max_image_pixels")
