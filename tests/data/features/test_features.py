"""Features from the manifest to a batch, and what is known of them before."""

import json

import numpy as np
import pytest
import torch

from mmtx_cli.config.data_settings import DataSettings
from mmtx_cli.config.preprocessing import Preprocessing
from mmtx_cli.data.collate import Collate
from mmtx_cli.data.corpus import build_data
from mmtx_cli.data.dataset import ManifestDataset
from mmtx_cli.data.features.statistics import feature_scale, feature_sizes
from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.data.validate_files import check_manifest
from mmtx_cli.errors import DataError
from tests.messages import faults_mention, mentions, raises

LENGTHS = [3, 9, 1, 0, 5, 4]
RANDOM = np.random.default_rng(0)
AUDIO = [RANDOM.normal(size=(n, 4)).astype(np.float32) for n in LENGTHS]
TEXT = RANDOM.normal(size=(6, 7)).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    """Sequences of sound, absent for one sample; a vector of text each; and words."""
    np.save(tmp_path / "text.npy", TEXT)
    rows = []
    for i, x in enumerate(AUDIO):
        features = {"text": {"path": "text.npy", "row": i}}
        if len(x):
            np.save(tmp_path / f"{i}.npy", x)
            features["audio"] = f"{i}.npy"
        rows.append({"id": str(i), "split": "train", "text": "a word", "features": features})
    return write(tmp_path, rows)


def write(folder, rows):
    path = folder / "m.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def corpus_of(path, features, **more):
    return build_data(DataSettings(path=str(path)), Preprocessing(features=features, **more))


def batch_of(corpus, modalities=("text", "audio"), round_to=1, **options):
    rows = corpus.manifest.samples
    samples = corpus.samples(rows, modalities, (), **options)
    collate = Collate(modalities, (), corpus.preparation, round_to=round_to)
    return collate([samples[(0, i)] for i in range(len(rows))])


BOTH = {"text": None, "audio": None}


def test_a_batch_of_features(path):
    corpus = corpus_of(path, BOTH)
    assert corpus.preparation.features == {"text": 7, "audio": 4}
    assert corpus.config_values()["feature_sizes"] == {
        "text": 7,
        "image": None,
        "video": None,
        "audio": 4,
    }
    batch = batch_of(corpus)
    assert batch.read_errors == []
    assert batch.inputs["text"].data.shape == (6, 1, 7)
    torch.testing.assert_close(batch.inputs["text"].data[:, 0], torch.from_numpy(TEXT))
    audio = batch.inputs["audio"]
    assert audio.data.shape == (6, 9, 4)
    assert audio.mask.sum(dim=1).tolist() == LENGTHS
    for i, x in enumerate(AUDIO):
        torch.testing.assert_close(audio.data[i, : len(x)], torch.from_numpy(x))
        assert not audio.data[i, len(x) :].any()


def test_features_beside_words(path):
    """One modality comes as features, another as it is."""
    batch = batch_of(corpus_of(path, {"audio": None}))
    assert batch.inputs["text"].data.dtype == torch.int64
    assert batch.inputs["text"].mask.any(dim=1).all()
    assert batch.inputs["audio"].data.dtype == torch.float32


def test_long_sequences_are_cut_and_batches_rounded_up(path):
    corpus = corpus_of(path, BOTH, max_feature_length=6)
    audio = batch_of(corpus).inputs["audio"]
    assert audio.mask.sum(dim=1).tolist() == [3, 6, 1, 0, 5, 4]
    torch.testing.assert_close(audio.data[1], torch.from_numpy(AUDIO[1][:6]))
    assert batch_of(corpus, round_to=8).inputs["audio"].data.shape[1] == 6
    assert batch_of(corpus_of(path, BOTH), round_to=8).inputs["audio"].data.shape[1] == 16


def test_modalities_may_be_dropped(path):
    corpus = corpus_of(path, BOTH)
    corpus.settings.modality_dropout = 0.5
    batch = batch_of(corpus, training=True)
    present = torch.stack([f.mask.any(dim=1) for f in batch.inputs.values()])
    assert present.any(dim=0).all()  # one is always left
    assert not present.all()


def test_what_cannot_be_read_goes_to_the_quarantine(path, tmp_path):
    bad = AUDIO[1].copy()
    bad[0, 0] = np.inf
    np.save(tmp_path / "1.npy", bad)
    np.save(tmp_path / "2.npy", np.zeros((3, 5)))
    batch = batch_of(corpus_of(path, BOTH))
    assert [fault["id"] for fault in batch.read_errors] == ["1", "2"]
    nan, wide = (fault["reason"] for fault in batch.read_errors)
    mentions(nan, "1 of 36 ", "NaN")
    mentions(wide, "vectors", " 5 ", " 4")
    assert batch.inputs["text"].mask.any(dim=1).tolist() == [True, False, False, True, True, True]


def test_the_size_is_that_of_the_first_row_that_can_be_read(path, tmp_path):
    (tmp_path / "0.npy").write_bytes(b"junk")
    manifest = read_manifest(path)
    assert feature_sizes(manifest, {"audio": None}) == {"audio": 4}
    for i in range(1, 6):
        (tmp_path / f"{i}.npy").write_bytes(b"junk")
    with raises(DataError, "features.audio", f"{tmp_path}/0.npy"):
        feature_sizes(manifest, {"audio": None})


def test_a_model_reads_vectors_of_its_own_size_alone(path):
    manifest = read_manifest(path)
    assert feature_sizes(manifest, {"text": 7}) == {"text": 7}
    parts = (f"{path}:1: features.text: ", "text.npy: ", " 7 ", "encoder.text.num_features", "300")
    with raises(DataError, *parts):
        feature_sizes(manifest, {"text": 300})


def test_features_that_no_row_has(path):
    manifest = read_manifest(path)
    with raises(DataError, path, "features.video", "encoder/video=precomputed"):
        feature_sizes(manifest, {"video": None})
    assert feature_sizes(manifest, {"video": 9}) == {"video": 9}  # a trained model goes without


def test_the_scale_is_that_of_all_vectors(path):
    rows = read_manifest(path).samples
    mean, deviation = feature_scale(rows, "audio", 512)
    vectors = np.concatenate(AUDIO)
    np.testing.assert_allclose(mean, vectors.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(deviation, vectors.std(axis=0), atol=1e-5)
    mean, _ = feature_scale(rows, "audio", 2)
    cut = np.concatenate([x[:2] for x in AUDIO])
    np.testing.assert_allclose(mean, cut.mean(axis=0), atol=1e-5)
    assert feature_scale(rows, "video", 2) is None


def test_a_number_that_never_changes_has_deviation_1(tmp_path):
    x = np.array([[3e5, 1e-8, 2.0], [3e5, 1e-8, 4.0]])
    np.save(tmp_path / "x.npy", x)
    row = {"id": "a", "split": "train", "features": {"audio": "x.npy"}}
    mean, deviation = feature_scale(read_manifest(write(tmp_path, [row])).samples, "audio", 9)
    np.testing.assert_allclose(mean, x.mean(axis=0))
    assert deviation.tolist() == [1, 1, 1]


def test_check_reads_and_counts_them(path, tmp_path, capsys):
    summary = check_manifest(path, decode=True)
    assert summary.fields["train"]["features.text"] == 6
    assert summary.fields["train"]["features.audio"] == 5
    assert summary.fields["train"]["features.video"] == 0
    np.save(tmp_path / "4.npy", np.zeros((2, 3)))
    np.save(tmp_path / "5.npy", np.full((2, 4), np.nan))
    check_manifest(path)  # that the files are there is all that is looked at
    with pytest.raises(DataError) as caught:
        check_manifest(path, decode=True)
    faults_mention(
        caught.value.faults,
        (f"{path}:5: features.audio: {tmp_path}/4.npy: ", "vectors", " 3 ", " 4"),
        (f"{path}:6: features.audio: {tmp_path}/5.npy: ", "8 of 8 ", "NaN"),
    )


def test_the_same_features_in_two_splits_are_a_leak(path):
    rows = rows_of(path)
    rows[5] |= {"split": "test", "features": {"text": {"path": "text.npy", "row": 0}}}
    rows[4] |= {"split": "test"}
    (leak,) = [w for w in check_manifest(write(path.parent, rows)).warnings if "leak" in w]
    mentions(leak, "text features", "train and test", "text.npy", "row 0")


def test_samples_can_be_sent_to_another_process(path):
    import pickle

    corpus = corpus_of(path, BOTH)
    samples = corpus.samples(corpus.manifest.samples, ("audio",), ())
    samples[(0, 0)]
    copy = pickle.loads(pickle.dumps(samples))
    assert isinstance(copy, ManifestDataset)
    torch.testing.assert_close(copy[(0, 1)].inputs["audio"], torch.from_numpy(AUDIO[1]))
