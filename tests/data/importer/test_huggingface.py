import io

import numpy as np
import pytest
from PIL import Image

from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.media.image import decode_image
from mmtx_cli.media.shard.member_file import forget_shards
from tests.data_action import run_action
from tests.messages import raises


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A saved data set of two splits with pictures and numbered classes."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        image=datasets.Image(),
        caption=datasets.Value("string"),
        label=datasets.ClassLabel(names=["a", "b"]),
    )

    def part(num):
        rows = {"image": [], "caption": [], "label": []}
        for i in range(num):
            buffer = io.BytesIO()
            Image.fromarray(np.full((6, 6, 3), 20 * i, np.uint8)).save(buffer, "PNG")
            rows["image"].append({"bytes": buffer.getvalue(), "path": None})
            rows["caption"].append(f"number {i}")
            rows["label"].append(i % 2)
        return datasets.Dataset.from_dict(rows, features=features)

    folder = tmp_path_factory.mktemp("hf") / "saved"
    datasets.DatasetDict(train=part(5), validation=part(3)).save_to_disk(str(folder))
    return folder


def imported(tmp_path, source, **settings):
    out = tmp_path / "mine.jsonl"
    run_action("import", importer="huggingface", source=str(source), out=str(out), **settings)
    forget_shards()
    return read_manifest(out).samples


def test_a_saved_data_set(saved, tmp_path):
    samples = imported(tmp_path, saved)
    assert [sample.split for sample in samples] == ["train"] * 5 + ["val"] * 3
    assert [sample.label for sample in samples[:3]] == ["a", "b", "a"]
    assert samples[6].captions == ("number 1",)
    assert (decode_image(samples[4].image[0]) == 80).all()


def test_one_part_of_it(saved, tmp_path):
    assert {s.split for s in imported(tmp_path, saved, part="validation", split="test")} == {"test"}
    with raises(ConfigError, "part=dev: ", "train, validation"):
        imported(tmp_path, saved, part="dev")


def test_a_folder_of_something_else(tmp_path):
    pytest.importorskip("datasets")
    (tmp_path / "x").mkdir()
    with raises(DataError, f"source={tmp_path / 'x'}: cannot be loaded"):
        imported(tmp_path, tmp_path / "x")
