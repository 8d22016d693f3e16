import io
import json

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.media.regular_file import open_regular
from mmtx_cli.media.shard.member_file import forget_shards
from tests.data_action import run_action
from tests.messages import raises


def picture(i):
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8 + i, 3), i, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def content(path):
    with open_regular(path) as file:
        return file.read()


def imported(tmp_path, source, **settings):
    out = tmp_path / "mine.jsonl"
    run_action("import", importer="parquet", source=str(source), out=str(out), **settings)
    forget_shards()
    return {sample.id: sample for sample in read_manifest(out).samples}


def test_a_table_as_datasets_writes_it(tmp_path):
    info = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    table = pa.table(
        {
            "image": [{"bytes": picture(i), "path": f"{i}.png"} for i in range(10)],
            "caption": [[f"c{i}", "d"] for i in range(10)],
            "label": [i % 2 for i in range(10)],
        }
    ).replace_schema_metadata({"huggingface": json.dumps(info)})
    parquet.write_table(table, tmp_path / "a.parquet")
    samples = imported(tmp_path, tmp_path / "a.parquet", split="train", shard_size=0.003)
    assert len(list((tmp_path / "mine_shards").glob("*.tar"))) > 2
    for i in range(10):
        sample = samples[f"{i:09d}"]
        assert sample.captions == (f"c{i}", "d")
        assert sample.label == ("cat", "dog")[i % 2]
        assert sample.image[0].endswith(".png")
        assert content(sample.image[0]) == picture(i)
    run_action("check", manifest=str(tmp_path / "mine.jsonl"), decode=True, workers=1)


def test_binary_columns_by_name_and_several_files(tmp_path):
    wave = b"RIFF\x04\x00\x00\x00WAVEnot decoded"
    for number in range(2):
        rows = {
            "key": [f"k{number}{i}" for i in range(3)],
            "pics": [[picture(i), picture(i + 1)] for i in range(3)],
            "sound": [wave + bytes([i]) for i in range(2)] + [None],
            "part": ["train", "validation", "test"],
        }
        (tmp_path / "in").mkdir(exist_ok=True)
        parquet.write_table(pa.table(rows), tmp_path / "in" / f"{number}.parquet")
    columns = {"id": "key", "image": "pics", "audio": "sound", "split": "part"}
    samples = imported(tmp_path, tmp_path / "in", columns=columns)
    assert samples.keys() == {f"k{n}{i}" for n in range(2) for i in range(3)}
    assert [content(path) for path in samples["k11"].image] == [picture(1), picture(2)]
    assert samples["k11"].audio.endswith(".wav")
    assert content(samples["k10"].audio) == wave + b"\0"
    assert samples["k02"].audio is None
    assert samples["k01"].split == "val"


@pytest.mark.parametrize(
    ("rows", "settings", "error", "parts"),
    [
        ({"image": [{"bytes": None, "path": "x.png"}]}, {}, DataError, ["a.parquet:1: image: "]),
        ({"image": ["x.png"]}, {}, DataError, ["a.parquet:1: image: is str, not bytes"]),
        ({"picture": [b"x"]}, {}, ConfigError, ["no column of images", "picture", "columns="]),
        (
            {"picture": [b"x"]},
            {"columns": {"image": "pictures"}},
            ConfigError,
            ["columns.image=pictures: unknown column", "picture"],
        ),
        ({"image": [b"x"]}, {"columns": {"picture": "image"}}, ConfigError, ["columns=", "id"]),
        ({"image": [b"x"]}, {"split": None}, DataError, ["a.parquet:1: no split", "split=train"]),
        ({"image": [b"x"]}, {"shard_size": 0}, ConfigError, ["shard_size=0: "]),
    ],
)
def test_what_cannot_be_imported(rows, settings, error, parts, tmp_path):
    parquet.write_table(pa.table(rows), tmp_path / "a.parquet")
    with raises(error, *parts):
        imported(tmp_path, tmp_path / "a.parquet", **{"split": "train", **settings})
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_files_that_are_no_tables(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not really")
    with raises(DataError, "a.parquet: cannot read Parquet"):
        imported(tmp_path, tmp_path / "a.parquet", split="train")
    (tmp_path / "empty").mkdir()
    with raises(ConfigError, "source=", "no .parquet files"):
        imported(tmp_path, tmp_path / "empty", split="train")
