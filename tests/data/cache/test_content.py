import os

import numpy as np

from mmtx_cli.data.cache.content import media_contents, text_contents
from mmtx_cli.data.manifest.feature_reference import FeaturePlace
from mmtx_cli.data.manifest.sample import Sample


def row(i="a", **kwargs):
    return Sample(i, "train", **kwargs)


def both(contents):
    return list(zip(contents.name.tolist(), contents.state.tolist(), strict=True))


def test_rows_that_name_the_same_files_have_one_content(tmp_path):
    for name in ("x", "y"):
        (tmp_path / name).write_bytes(b"1")
    x, y = str(tmp_path / "x"), str(tmp_path / "y")
    rows = [row(image=(x,)), row("b", image=(x,)), row("c", image=(y,)), row("d", image=(x, y))]
    made = both(media_contents(rows, "image"))
    assert made[0] == made[1]
    assert len({name for name, _ in made}) == 3


def test_a_clip_is_named_by_its_times(tmp_path):
    x = str(tmp_path / "x")
    rows = [row(video=x), row(video=x, start=1.0), row(video=x, start=1.0, end=2.0)]
    assert len({*both(media_contents(rows, "video"))}) == 3
    # a sound of a file of its own does not follow the times of the video
    apart = [row(video="v", audio=x), row(video="v", audio=x, start=1.0)]
    assert len({*both(media_contents(apart, "audio"))}) == 1
    own = [row(video=x, audio=x), row(video=x, audio=x, start=1.0)]
    assert len({*both(media_contents(own, "audio"))}) == 2


def test_another_size_or_time_is_another_state(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"1")
    rows = [row(image=(str(path),))]
    states = []
    for change in (
        lambda: None,
        lambda: path.write_bytes(b"22"),
        lambda: os.utime(path, ns=(1, 1)),
        lambda: os.utime(path, ns=(1, 2)),
        path.unlink,
    ):
        change()
        states.append(both(media_contents(rows, "image"))[0])
    assert len({name for name, _ in states}) == 1
    assert len({state for _, state in states}) == 5


def test_features_are_named_by_file_key_and_row():
    places = [FeaturePlace("x"), FeaturePlace("x", "k"), FeaturePlace("x", "k", 0)]
    rows = [row(features={"audio": place}) for place in places]
    assert len({*media_contents(rows, "audio", True).name.tolist()}) == 3


def test_texts():
    made = text_contents(["a", "b", "a"])
    assert made.name[0] == made.name[2] != made.name[1]
    assert made.state[0] == made.state[2] != made.state[1]
    assert made.name.dtype == np.uint64
    assert len(text_contents([])) == 0
