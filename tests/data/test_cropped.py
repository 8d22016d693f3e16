import pytest
from PIL import Image

from mmtx_cli.data.cropped import cropped
from mmtx_cli.data.decode.guard import Guard
from mmtx_cli.data.sample import Sample
from tests.data.decode import numbered


@pytest.fixture
def guard():
    made = Guard(20.0)
    yield made
    made.close()


def pictures(folder, *sizes):
    rows = []
    for i, size in enumerate(sizes):
        Image.new("RGB", size).save(folder / f"{i}.png")
        rows.append(Sample(str(i), "train", image=(str(folder / f"{i}.png"),)))
    return rows


@pytest.mark.parametrize(
    ("sizes", "share"),
    [
        ([(400, 100)] * 3, 75),
        ([(100, 400), (100, 300), (100, 100)], 67),
        ([(160, 90)], 44),
        ([(400, 300)] * 3, None),
        ([(400, 100), (100, 100), (100, 100)], None),
        ([], None),
    ],
)
def test_what_crop_cuts_away_is_told_from_a_quarter_on(tmp_path, guard, sizes, share):
    said = cropped(pictures(tmp_path, *sizes), "image", guard)
    assert (said is None) == (share is None)
    if said:
        assert f"data.fit=crop cuts {share} % of the pictures away" in said
        assert "data.fit=pad" in said


def test_films_and_files_that_cannot_be_read(tmp_path, guard):
    path = numbered.write(tmp_path / "a.mp4", range(5))  # 64 x 48
    broken = tmp_path / "b.mp4"
    broken.write_bytes(b"no film")
    rows = [Sample(str(i), "train", video=str(p)) for i, p in enumerate((path, broken, broken))]
    assert cropped(rows, "video", guard) is None
    assert cropped(rows, "image", guard) is None
