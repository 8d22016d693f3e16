import json
import re

import numpy as np
import pytest
from PIL import Image

from mmtx_cli.data.duplicate_files import connected_rows, content_leaks, same_content
from mmtx_cli.data.importer.drawn import RANDOM_SPLIT
from mmtx_cli.data.importer.rows import keep_together
from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.data.manifest.splits import split_of
from tests.messages import mentions


def photo(seed, size=(96, 64)):
    """Smooth blobs: what looks like a photograph to a thumbnail."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def manifest(folder, **splits):
    """Rows of one picture each: split -> names of files."""
    rows = [
        {"id": name, "split": split, "image": name}
        for split, names in splits.items()
        for name in names
    ]
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_manifest(folder / "m.jsonl")


def test_only_files_of_one_size_are_read(tmp_path):
    for name, content in (("a", "xx"), ("b", "xx"), ("c", "yy"), ("d", "longer")):
        (tmp_path / name).write_text(content)
    found = same_content(str(tmp_path / name) for name in "abcde")
    assert {path[-1] for path in found} == {"a", "b", "c"}
    assert found[str(tmp_path / "a")] == found[str(tmp_path / "b")] != found[str(tmp_path / "c")]


def test_identical_files_in_two_splits_are_reported(tmp_path):
    for name, seed in (("a.png", 1), ("b.png", 1), ("c.png", 2), ("d.png", 2), ("e.png", 3)):
        photo(seed).save(tmp_path / name)
    (warning,) = content_leaks(
        manifest(tmp_path, train=["a.png", "c.png", "d.png"], test=["b.png"])
    )
    mentions(warning, "leak", " 1 image ", "content", "train and test", "a.png", "m.jsonl:4")
    assert not content_leaks(manifest(tmp_path, train=["a.png", "b.png"], val=["c.png", "e.png"]))


@pytest.mark.parametrize("change", ["recompressed", "scaled", "brighter"])
def test_images_that_look_the_same_are_reported(tmp_path, change):
    for seed in range(12):
        photo(seed).save(tmp_path / f"{seed}.png")
    copy = photo(5, (48, 32)) if change == "scaled" else photo(5)
    if change == "brighter":
        copy = copy.point(lambda level: min(255, level + 2))
    copy.save(tmp_path / "copy.jpg", quality=85)
    names = [f"{seed}.png" for seed in range(12)]
    (warning,) = content_leaks(manifest(tmp_path, train=names, test=["copy.jpg"]))
    mentions(warning, "leak", " 1 image ", "look", "train and test", "5.png", "copy.jpg")
    assert not content_leaks(manifest(tmp_path, train=names[:6], test=names[6:]))


def test_rows_with_the_same_files_get_one_split(tmp_path, capsys):
    for i in range(40):
        photo(i // 4).save(tmp_path / f"{i}.png")
    rows = [{"id": str(i), "image": str(tmp_path / f"{i}.png")} for i in range(40)]
    ratios = {"train": 0.5, "test": 0.5}
    for row in rows:
        row |= {"split": split_of(row["id"], ratios, 1), RANDOM_SPLIT: True}
    rows[7] |= {"split": "val", RANDOM_SPLIT: False}  # named in the table
    assert [len(group) for group in connected_rows(rows)] == [4] * 10
    drawn = [row["split"] for row in rows]
    keep_together(rows)
    for i, row in enumerate(rows):
        assert row["split"] == ("val" if i // 4 == 1 else drawn[i - i % 4])
    assert re.search(r"\d+ rows .*split", capsys.readouterr().out)


def test_a_row_of_several_files_joins_groups(tmp_path):
    for name, content in (("a", "xx"), ("b", "yy"), ("c", "xx"), ("d", "yy"), ("e", "zz")):
        (tmp_path / name).write_text(content)
    rows = [{"image": [str(tmp_path / "a"), str(tmp_path / "b")]}]
    rows += [{"audio": str(tmp_path / name)} for name in "edc"]
    assert connected_rows(rows) == [[0, 2, 3]]
