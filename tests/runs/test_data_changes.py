from dataclasses import replace

import pytest

from mmtx_cli.data.manifest.feature_reference import FeaturePlace
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.errors import DataError
from mmtx_cli.runs.data_changes import check_data_unchanged, row_digests
from tests.messages import mentions

ROWS = [
    Sample(
        id=str(i),
        split="train" if i < 4 else "val" if i < 6 else "test",
        image=(f"/data/img/{i}.png",),
        video=f"/data/film/{i}.mp4",
        start=1.0,
        captions=(f"a {i}", "b"),
        text="what?",
        label="red",
        answers={"yes": 2.0, "no": 1.0},
        features={"audio": FeaturePlace(f"/data/f/{i}.npz", "x", 3)},
        line=i + 1,
    )
    for i in range(8)
]


def moved(row, old="/data/", new="/mnt/elsewhere/"):
    there = row.features["audio"]
    return replace(
        row,
        image=tuple(path.replace(old, new) for path in row.image),
        video=row.video.replace(old, new),
        features={"audio": replace(there, path=there.path.replace(old, new))},
    )


def changed(at, **values):
    return [replace(row, **values) if i == at else row for i, row in enumerate(ROWS)]


SAME = {
    "nothing": ROWS,
    "the data moved": [moved(row) for row in ROWS],
    "rows of the test split": ROWS[:6],
    "lines": [replace(row, line=row.line + 5, group="x") for row in ROWS],
    "answers in another order": changed(0, answers={"no": 1.0, "yes": 2.0}),
}
OTHER = {
    "rows of train": (ROWS[1:], ["3 rows", " train", "4"]),
    "rows of val": (changed(0, split="val"), ["3 rows", " val", "2"]),
    "ids": (changed(1, id="new"), ["rows", " train ", "ids"]),
    "order": ([ROWS[1], ROWS[0], *ROWS[2:]], ["rows", " train ", "order"]),
    "captions of train": (changed(2, captions=("a 2",)), ["captions", " train "]),
    "captions of val": (changed(5, captions=("a 5", "c")), ["captions", " val "]),
    "text": (changed(0, text=None), ["text", " train "]),
    "label": (changed(3, label="blue"), ["label", " train "]),
    "answers": (changed(3, answers={"yes": 3.0, "no": 1.0}), ["answers", " train "]),
    "files": (changed(0, image=("/data/img/7.png",)), ["files", " train "]),
    "times": (changed(4, start=2.0), ["files", " val "]),
}


@pytest.mark.parametrize("rows", SAME.values(), ids=SAME)
def test_rows_that_read_the_same_are_equal(rows):
    assert row_digests(rows) == row_digests(ROWS)
    check_data_unchanged(row_digests(ROWS), row_digests(rows), "m.jsonl", allowed=False)


@pytest.mark.parametrize("name", OTHER)
def test_what_changed_is_named(name):
    rows, parts = OTHER[name]
    there, here = row_digests(ROWS), row_digests(rows)
    with pytest.raises(DataError) as caught:
        check_data_unchanged(there, here, "m.jsonl", allowed=False)
    faults = caught.value.faults
    assert all(fault.startswith("m.jsonl: ") for fault in faults)
    assert any(all(part in fault for part in parts) for fault in faults), faults
    mentions(faults[-1], "allow_changed_data=true")
    check_data_unchanged(there, here, "m.jsonl", allowed=True)
    check_data_unchanged(
        {}, here, "m.jsonl", allowed=False
    )  # a checkpoint of before there were digests
