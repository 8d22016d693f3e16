"""Films and sounds as samples: what is drawn for them, and what a hanging or broken file costs."""

import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmtx_cli.config.preprocessing import Preprocessing
from mmtx_cli.data import sample_reader
from mmtx_cli.data.dataset import ManifestDataset
from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.data.sample_reader import hops
from mmtx_cli.media.worker.limits import DecodeLimits
from mmtx_cli.synthetic.events.make import make_events
from tests.messages import mentions

PREPARATION = Preprocessing(
    image_size=32, text=None, num_frames=4, frame_sampling="dense", fps=6, audio_seconds=1.5
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = make_events(tmp_path_factory.mktemp("media") / "events", num=20, size=32)
    return [s for s in read_manifest(path).samples if s.image and s.video and s.audio]


MODALITIES = ("image", "video", "audio")


def samples_of(made, **kwargs):
    options = {"training": True, "seed": 3} | kwargs
    return ManifestDataset(made, MODALITIES, (), PREPARATION, None, **options)


def test_shapes(made):
    example = samples_of(made)[(0, 0)]
    shapes = {name: tuple(x.shape) for name, x in example.inputs.items()}
    assert shapes == {"image": (1, 3, 32, 32), "video": (4, 3, 32, 32), "audio": (150, 160)}
    assert example.inputs["audio"].abs().max() <= 1


def test_where_in_time_is_drawn_for_the_epoch_and_the_sample_alone(made):
    one, two = samples_of(made), samples_of(made[::-1])
    for name in ("video", "audio"):
        a, b = one[(5, 1)].inputs[name], two[(5, len(made) - 2)].inputs[name]
        assert torch.equal(a, b)
        others = [one[(epoch, 1)].inputs[name] for epoch in range(6, 10)]
        assert any(not torch.equal(a, other) for other in others)


def test_evaluation_takes_the_center(made):
    samples = samples_of(made, training=False)
    again = samples_of(made, training=False, seed=9)
    for name in ("video", "audio"):
        assert torch.equal(samples[(0, 2)].inputs[name], again[(0, 2)].inputs[name])


def test_dropout_takes_modalities_away_but_never_all(made):
    samples = samples_of(made, dropout=dict.fromkeys(MODALITIES, 0.6))
    places = [(epoch, row) for epoch in range(20) for row in range(len(made))]
    kept = [tuple(samples.kept_modalities(*place)) for place in places]
    assert all(kept)
    assert len(set(kept)) == 7, "every subset that is not empty"
    share = sum(len(few) for few in kept) / (3 * len(kept))
    assert 0.4 < share < 0.55  # 0.4, and one where all would be gone
    assert [
        tuple(samples_of(made, dropout=dict.fromkeys(MODALITIES, 0.6)).kept_modalities(*place))
        for place in places
    ] == kept


def test_dropout_is_for_training_alone(made):
    samples = samples_of(made, training=False, dropout=dict.fromkeys(MODALITIES, 0.9))
    assert all(len(samples.kept_modalities(0, row)) == 3 for row in range(len(samples)))


def test_a_broken_film_costs_its_sample(made, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(Path(made[0].video).read_bytes()[:2000])
    samples = samples_of([replace(made[0], video=str(bad)), made[1]])
    assert samples[(0, 0)].fault["path"] == str(bad)
    assert samples[(0, 0)].inputs == {}
    assert samples[(0, 1)].fault is None


def hang(path, *_):
    import time

    time.sleep(60)


def crash(path, *_):
    os.abort()


@pytest.mark.parametrize(("decoder", "reason"), [(hang, "longer than 1 s"), (crash, "crashed")])
def test_a_decoder_that_hangs_or_dies_costs_one_sample(made, monkeypatch, decoder, reason):
    samples = samples_of(made, limits=DecodeLimits(seconds=1.0))
    with monkeypatch.context() as patch:
        patch.setattr(sample_reader, "decode_video", decoder)
        fault = samples[(0, 0)].fault
    assert fault["id"] == made[0].id
    assert reason in fault["reason"]
    samples = samples_of(made)
    assert samples[(0, 1)].fault is None


def test_a_window_of_a_film_counts_for_its_own_sound(made):
    film = next(s for s in made if s.audio == s.video)
    samples = samples_of([replace(film, start=1.0, end=1.5)], training=False)
    assert len(samples[(0, 0)].inputs["audio"]) == 50
    apart = next(s for s in made if s.audio != s.video)
    samples = samples_of([replace(apart, start=1.0, end=1.5)], training=False)
    assert len(samples[(0, 0)].inputs["audio"]) == 150
    samples = samples_of([replace(apart, video=None, start=1.0, end=1.5)], training=False)
    assert len(samples[(0, 0)].inputs["audio"]) == 50, "without a film the window is the sound's"
    samples = samples_of([replace(apart, video=None, start=90.0, end=None)], training=False)
    mentions(samples[(0, 0)].fault["reason"], "start 90 s", "end")


def test_samples_travel_to_workers(made):
    samples = samples_of(made)
    samples[(0, 0)]
    copy = pickle.loads(pickle.dumps(samples.media))
    assert torch.equal(
        copy.clip(made[0], 0, None).frames, samples.media.clip(made[0], 0, None).frames
    )


def test_the_last_hop_is_filled_up():
    wave = torch.arange(1, 351) / 350
    cut = hops(wave, 16000)
    assert cut.shape == (3, 160)
    assert torch.equal(cut.flatten()[:350], wave)
    assert not cut.flatten()[350:].any()
