from dataclasses import replace

import pytest

from mmtx_cli.data.changes import refuse_changed, row_digests
from mmtx_cli.data.feature_place import FeaturePlace
from mmtx_cli.data.sample import Sample
from mmtx_cli.error import DataError

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
    "3 rows of split train, 4 before": ROWS[1:],
    "3 rows of split val, 2 before": changed(0, split="val"),
    "rows of split train have other ids": changed(1, id="new"),
    "rows of split train are in another order": [ROWS[1], ROWS[0], *ROWS[2:]],
    "captions of split train changed": changed(2, captions=("a 2",)),
    "captions of split val changed": changed(5, captions=("a 5", "c")),
    "text of split train changed": changed(0, text=None),
    "label of split train changed": changed(3, label="blue"),
    "answers of split train changed": changed(3, answers={"yes": 3.0, "no": 1.0}),
    "files of split train changed": changed(0, image=("/data/img/7.png",)),
    "files of split val changed": changed(4, start=2.0),
}


@pytest.mark.parametrize("rows", SAME.values(), ids=SAME)
def test_what_is_read_alike_is_the_same(rows):
    refuse_changed(row_digests(ROWS), row_digests(rows), "m.jsonl", allowed=False)


@pytest.mark.parametrize("message", OTHER)
def test_what_changed_is_named(message):
    there, here = row_digests(ROWS), row_digests(OTHER[message])
    with pytest.raises(DataError) as caught:
        refuse_changed(there, here, "m.jsonl", allowed=False)
    assert any(fault.startswith(f"m.jsonl: {message}") for fault in caught.value.faults)
    assert "allow_changed_data=true" in caught.value.faults[-1]
    refuse_changed(there, here, "m.jsonl", allowed=True)
    refuse_changed({}, here, "m.jsonl", allowed=False)  # a checkpoint of before there were digests
