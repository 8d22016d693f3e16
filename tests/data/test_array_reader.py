"""What is read without torch has the values of what is read with it."""

import numpy as np
import pytest
from PIL import Image

from mmtx_cli.config.preprocessing import Preprocessing
from mmtx_cli.data.array_reader import ArrayMedia, hops, padded
from mmtx_cli.data.collate import pad
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.sample_reader import Media
from mmtx_cli.data.sample_reader import hops as tensor_hops
from mmtx_cli.media.worker.limits import DecodeLimits
from mmtx_cli.synthetic.events import make_events


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")
    make_events(folder, num=10, size=48, seed=0)
    return sorted((folder / "videos").iterdir())


def both(**settings):
    p = Preprocessing(image_size=32, num_frames=5, sample_rate=11025, **settings)
    return Media(p, limits=DecodeLimits()), ArrayMedia(p, DecodeLimits())


@pytest.mark.parametrize("how", ["crop", "pad", "squash"])
def test_pictures(tmp_path, how):
    noise = np.random.default_rng(0).integers(0, 256, (130, 75, 3), dtype=np.uint8)
    paths = [tmp_path / "a.jpg", tmp_path / "b.png", tmp_path / "c.tiff"]
    for path in paths:  # TIFF is decoded in a process of its own
        Image.fromarray(noise).save(path)
    sample = Sample("a", "test", image=tuple(map(str, paths)))
    tensors, arrays = both(resize_mode=how)
    assert (arrays.pictures(sample, 0) == tensors.pictures(sample, 0).numpy()).all()


@pytest.mark.parametrize("window", [(None, None), (0.4, 1.3)])
def test_films_and_their_sound(films, window, monkeypatch):
    monkeypatch.setenv("MMTX_DECODER", "pyav")
    tensors, arrays = both(audio_seconds=1.0)
    start, end = window
    for path in map(str, films[:3]):
        sample = Sample("a", "test", video=path, audio=path, start=start, end=end)
        wanted, found = tensors.clip(sample, 0, None), arrays.clip(sample, 0, None)
        assert found.seconds == wanted.seconds
        assert (found.frames == wanted.frames.numpy()).all()
        sound = tensors.sound(sample, None)
        if sound is None:
            assert arrays.sound(sample, None) is None
        else:
            np.testing.assert_allclose(arrays.sound(sample, None), sound.numpy(), atol=2e-6)


def test_padding_is_that_of_the_collator():
    random = np.random.default_rng(0)
    rows = [random.integers(0, 9, (length, 2)).astype(np.uint8) for length in (3, 1, 2)]
    given = [rows[0], None, *rows[1:]]
    data, mask = padded(given, (2,), np.uint8)
    import torch

    tensors = [None if row is None else torch.from_numpy(row) for row in given]
    wanted = pad(tensors, 3, (2,), torch.uint8)
    assert (data == wanted.data.numpy()).all()
    assert (mask == wanted.mask.numpy()).all()
    data, mask = padded([None], (2,), np.uint8)
    assert data.shape == (1, 1, 2)
    assert not mask.any()
    wave = random.uniform(-1, 1, 333).astype(np.float32)
    assert (hops(wave, 16000) == tensor_hops(torch.from_numpy(wave), 16000).numpy()).all()
