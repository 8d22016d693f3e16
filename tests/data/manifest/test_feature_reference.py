"""The key ``features`` of a manifest, from the file to the sample."""

import csv
import json

import numpy as np
import pytest

from mmtx_cli.data.manifest.feature_reference import EXAMPLE, SUFFIXES, FeaturePlace
from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.data.manifest.writer import write_manifest
from mmtx_cli.errors import DataError
from tests.messages import faults_mention, raises

BASE = {"id": "a", "split": "train"}


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "set"
    root.mkdir()
    for suffix in (*SUFFIXES, ".pkl"):
        (root / f"a{suffix}").write_bytes(b"x")
    (tmp_path / "outside.npy").write_bytes(b"x")
    return root


def manifest(folder, features, name="m.jsonl"):
    path = folder / name
    if name.endswith("csv"):
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([[*BASE, "features"], [*BASE.values(), features]])
    else:
        path.write_text(json.dumps({**BASE, "features": features}) + "\n")
    return path


def read(path, **kwargs):
    (sample,) = read_manifest(path, **kwargs).samples
    return sample.features


def test_a_path_or_path_key_and_row(folder):
    given = {
        "audio": "a.npy",
        "text": {"path": "a.npz", "key": "k"},
        "video": {"path": "a.hdf5", "key": "g/k", "row": 3},
        "image": {"path": "a.pt", "row": 0},
    }
    found = {
        "audio": FeaturePlace(f"{folder}/a.npy"),
        "text": FeaturePlace(f"{folder}/a.npz", "k"),
        "video": FeaturePlace(f"{folder}/a.hdf5", "g/k", 3),
        "image": FeaturePlace(f"{folder}/a.pt", None, 0),
    }
    assert read(manifest(folder, given)) == found
    assert read(manifest(folder, json.dumps(given), "m.csv")) == found


@pytest.mark.parametrize("nothing", [None, "", {}, {"text": None}, {"text": ""}])
def test_what_is_absent_is_a_missing_modality(folder, nothing):
    assert read(manifest(folder, nothing)) == {}


def test_parquet_has_every_key_in_every_row(folder):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pytest.importorskip("pyarrow").table
    rows = {
        "id": ["a", "b"],
        "split": ["train", "val"],
        "features": [{"text": {"path": "a.npz", "key": "k", "row": None}}, {"text": None}],
    }
    parquet.write_table(table(rows), folder / "m.parquet")
    a, b = read_manifest(folder / "m.parquet").samples
    assert a.features == {"text": FeaturePlace(f"{folder}/a.npz", "k")}
    assert b.features == {}


TAKES_KEY = '{"path": …, "key": NAME}'
FAULTS = {
    "a list": (["a.npy"], [" ", '["a.npy"]', "modality", EXAMPLE]),
    "a number": ({"text": 3}, [".text ", " 3", "path", "key", "row"]),
    "a modality": ({"adio": "a.npy"}, [" ", "modality", "'adio'", "'audio'"]),
    "another modality": ({"smell": "a.npy"}, [" ", "'smell'", "text, image, video, audio"]),
    "no path": ({"text": {"key": "k"}}, [".text ", "path", EXAMPLE]),
    "a key of its own": ({"text": {"path": "a.npy", "rows": 1}}, [".text ", "'rows'", "path, key"]),
    "a key that is no text": ({"text": {"path": "a.npz", "key": 3}}, [".text.key ", "3", "quotes"]),
    "a row that is none": ({"text": {"path": "a.npy", "row": "1"}}, [".text.row ", '"1"', "0"]),
    "a truth as row": ({"text": {"path": "a.npy", "row": True}}, [".text.row ", "true", "0"]),
    "a row below 0": ({"text": {"path": "a.npy", "row": -1}}, [".text.row ", "-1", " 0"]),
    "a pickle": (
        {"text": "a.pkl"},
        [".text: ", "a.pkl", ".npy, .npz, .pt, .safetensors, .h5, .hdf5", "convert"],
    ),
    "no key for npz": ({"text": "a.npz"}, [".text: ", "a.npz", TAKES_KEY]),
    "no key for hdf5": ({"text": "a.h5"}, [".text: ", "a.h5", TAKES_KEY]),
    "a key for npy": ({"text": {"path": "a.npy", "key": "k"}}, [".text: ", "a.npy", "unnamed"]),
    "no file": ({"text": "b.npy"}, [".text: ", "set/b.npy", "data.root="]),
    "outside": ({"text": "../outside.npy"}, [".text: ", "../outside.npy", "allow_outside_root"]),
    "a url": ({"text": "https://x.org/a.npy"}, [".text: ", "URL", "download"]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_name_the_location_and_the_remedy(name, folder):
    value, (place, *parts) = FAULTS[name]
    path = manifest(folder, value)
    with pytest.raises(DataError) as caught:
        read_manifest(path)
    faults_mention(caught.value.faults, (f"{path}:1: features{place}", *parts))


@pytest.mark.parametrize(
    ("cell", "parts"), [("{text: a.npy}", ["JSON"]), ("a.npy", ['"a.npy"', EXAMPLE])]
)
def test_a_cell_of_a_csv_is_json(cell, parts, folder):
    path = manifest(folder, cell, "m.csv")
    with raises(DataError, f"{path}:2: features ", *parts):
        read_manifest(path)


def test_all_faults_of_a_row_at_once(folder):
    value = {"text": "a.npz", "audio": {"path": "b.npy", "row": -1}}
    with pytest.raises(DataError) as caught:
        read_manifest(manifest(folder, value))
    assert len(caught.value.faults) == 3


def test_a_link_out_of_the_root_is_refused(folder, tmp_path):
    (folder / "l.npy").symlink_to(tmp_path / "outside.npy")
    with raises(DataError, "m.jsonl:1: features.text: ", "l.npy", "link", "root"):
        read_manifest(manifest(folder, {"text": "l.npy"}))
    assert read(manifest(folder, {"text": "l.npy"}), allow_outside_root=True)


def test_written_paths_are_found_again(tmp_path):
    (tmp_path / "f").mkdir()
    np.save(tmp_path / "f" / "a.npy", np.zeros(3))
    features = {"text": str(tmp_path / "f" / "a.npy"), "audio": {"path": "f/a.npy", "row": 1}}
    path = tmp_path / "m.jsonl"
    write_manifest(path, [{**BASE, "features": features}, {**BASE, "id": "b", "features": {}}])
    assert '"text": "f/a.npy", "audio": {"path": "f/a.npy", "row": 1}' in path.read_text()
    a, b = read_manifest(path).samples
    assert a.features["text"].path == str(tmp_path / "f" / "a.npy")
    assert b.features == {}
