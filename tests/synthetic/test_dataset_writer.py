import os

import pytest

from mmtx_cli.errors import ConfigError
from mmtx_cli.synthetic.dataset_writer import BuiltIn
from tests.messages import raises


def make(folder, num=3):
    def row(place, index):
        path = f"images/{index:05d}.jpg"
        (place / path).write_text(str(num))
        return {"id": str(index), "split": "train", "image": path}

    return BuiltIn("things", {"num": num}, {"images": num}).make(folder, row, {}, workers=1)


@pytest.mark.parametrize("name", ["images/mine.txt", "images/00003.jpg", "images/deep/mine.txt"])
def test_a_file_of_the_users_among_the_media_is_never_deleted(tmp_path, name):
    folder = tmp_path / "set"
    make(folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("mine")
    for num in (3, 4):
        with raises(ConfigError, f"out={folder}: ", "/".join(name.split("/")[:2])):
            make(folder, num)
    assert (folder / name).read_text() == "mine"
    os.remove(folder / name)
    if "deep" in name:
        (folder / name).parent.rmdir()
    make(folder, 4)
    assert len(os.listdir(folder / "images")) == 4


def test_media_whose_manifest_is_gone_are_not_known_to_be_ours(tmp_path):
    manifest = make(tmp_path / "set")
    os.remove(manifest)
    with raises(ConfigError, f"out={tmp_path / 'set'}: ", "images/00000.jpg, images/00001.jpg"):
        make(tmp_path / "set")


def test_what_is_damaged_is_made_again(tmp_path):
    manifest = make(tmp_path / "set")
    os.remove(tmp_path / "set" / "images" / "00001.jpg")
    make(tmp_path / "set")
    assert len(os.listdir(tmp_path / "set" / "images")) == 3
    (tmp_path / "set" / "images" / "00000.jpg").write_text("damaged")
    manifest.write_text(manifest.read_text() + "{\n")
    make(tmp_path / "set", num=4)
    assert (tmp_path / "set" / "images" / "00000.jpg").read_text() == "4"
