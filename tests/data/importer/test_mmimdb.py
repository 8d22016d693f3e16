import numpy as np
import pytest

from mmtx_cli.data.features.reader import FeatureFiles
from mmtx_cli.data.manifest.feature_reference import FeaturePlace
from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.data.validate_files import check_manifest
from mmtx_cli.errors import DataError
from tests.data.importer.mmimdb_file import GENRES, SIZES, write
from tests.data_action import run_action
from tests.messages import mentions, raises


def imported(folder, out="mmimdb.jsonl", source=None, **changes):
    """The manifest of a file with these changes, or of another."""
    source = source or write(folder / "multimodal_imdb.hdf5", **changes)
    run_action("import", importer="mmimdb", source=source, out=str(folder / out))
    return read_manifest(folder / out, root=folder)


def test_rows_refer_into_the_file(tmp_path, capsys):
    import h5py

    manifest = imported(tmp_path)
    assert capsys.readouterr().out.splitlines()[-1] == str(manifest.path)
    assert [len(manifest.split(split)) for split in ("train", "val", "test")] == [*SIZES.values()]
    files, path = FeatureFiles(), str(tmp_path / "multimodal_imdb.hdf5")
    with h5py.File(path, "r", locking=False) as file:
        content = {name: file[name][...] for name in file}
    for i, row in enumerate(manifest.samples):
        assert row.features == {
            "text": FeaturePlace(path, "features", i),
            "image": FeaturePlace(path, "vgg_features", i),
        }
        assert row.id.partition("#")[0] == content["imdb_ids"][i].decode()
        assert row.label == tuple(np.array(GENRES)[content["genres"][i] > 0])
        for name, key in (("text", "features"), ("image", "vgg_features")):
            found = files.read(row.features[name])
            np.testing.assert_array_equal(found, content[key][i][None])
    assert len({row.id for row in manifest.samples}) == sum(SIZES.values())
    assert manifest.samples[1].id == "0000000#2"
    check_manifest(manifest.path, decode=True)


def test_films_without_words_lack_the_text(tmp_path, capsys):
    """A mean over no word vectors is NaN."""
    manifest = imported(tmp_path, nan_rows=[0, 13])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "NaN" in line]
    mentions(line, "2 movies", "text features")
    lacking = [i for i, row in enumerate(manifest.samples) if "text" not in row.features]
    assert lacking == [0, 13]
    assert all("image" in row.features for row in manifest.samples)


def test_splits_by_row_numbers(tmp_path):
    indices = {"train": [19, 3], "dev": [4], "test": [0, 7]}
    manifest = imported(tmp_path, indices=indices)
    rows = {
        split: [row.features["text"].row for row in manifest.split(split)]
        for split in ("train", "val", "test")
    }
    assert rows == {"train": [19, 3], "val": [4], "test": [0, 7]}


def test_names_of_genres(tmp_path):
    named = imported(tmp_path, target_names=np.array([b"x", b"y", b"z"]))
    assert set(named.label_names) == {"x", "y", "z"}
    numbered = imported(tmp_path, target_names=None)
    assert set(numbered.label_names) == {"genre 0", "genre 1", "genre 2"}


def test_the_manifest_may_lie_elsewhere(tmp_path):
    manifest = imported(tmp_path, out="other/m.jsonl")
    assert manifest.card.root == str(tmp_path)
    check_manifest(manifest.path, root=tmp_path, decode=True)
    with raises(DataError, "m.yaml: root ", "root="):
        check_manifest(manifest.path)


BROKEN = {
    "datasets": ({"without": ["vgg_features", "genres"]}, ["dataset", "genres, vgg_features"]),
    "names": ({"target_names": '["a"]'}, ["1 target_names", "3 genres"]),
    "splits": ({"indices": {"train": [99], "dev": [0], "test": [1]}}, [" 'split' ", "rows"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_other_files_are_reported(name, tmp_path):
    changes, parts = BROKEN[name]
    with raises(DataError, f"{tmp_path}/multimodal_imdb.hdf5: ", *parts):
        imported(tmp_path, **changes)
    assert not (tmp_path / "mmimdb.jsonl").exists()


@pytest.mark.parametrize("content", [b"junk", None])
def test_a_missing_or_wrong_file(content, tmp_path):
    path = tmp_path / "multimodal_imdb.hdf5"
    if content:
        path.write_bytes(content)
    with raises(DataError, f"{path}: ", "source= ", "HDF5 file"):
        imported(tmp_path, source=str(path))
