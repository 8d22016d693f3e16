"""An import that is refused leaves all files of an earlier one as they were."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmtx_cli.data.importer.staging import Staging
from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.errors import ConfigError, DataError
from tests.command.test_data import run_data
from tests.command_line import refused
from tests.data.importer.mmsa_file import mmsa, write
from tests.messages import faults_mention, mentions, raises

GOOD = "name,class,m_1,m_2\na,x,1,2\nb,y,3,4\n"


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def importing(tmp_path, capsys):
    def run(text: str, **settings) -> Path:
        (tmp_path / "t.csv").write_text(text)
        common = {
            "action": "import",
            "importer": "csv",
            "captions": str(tmp_path / "t.csv"),
            "out": str(tmp_path / "out" / "m.jsonl"),
            "split": "train",
            "columns": {"id": "name", "label": "class"},
            "features": {"audio": "m_*"},
        }
        return run_data(capsys, **common | settings)

    return run


def test_a_row_that_is_refused_leaves_the_vectors(importing, tmp_path):
    importing(GOOD)
    (tmp_path / "out" / "m_features" / "mine.txt").write_text("x")
    before = content(tmp_path / "out")
    (tmp_path / "out" / "m.yaml").write_bytes(before["m.yaml"] + b"label_names: [x, y]\n")
    before = content(tmp_path / "out")
    with raises(DataError, "t.csv:2: ", "label 'q'", "label_names"):
        importing("name,class,m_1,m_2\na,q,9,9\n")
    assert content(tmp_path / "out") == before
    importing("name,class,m_1,m_2\na,y,9,9\n")
    assert np.load(tmp_path / "out" / "m_features" / "audio.npy").tolist() == [[9, 9]]
    assert (tmp_path / "out" / "m_features" / "mine.txt").exists()
    (row,) = read_manifest(tmp_path / "out" / "m.jsonl").samples
    assert row.features["audio"].path == str(tmp_path / "out" / "m_features" / "audio.npy")


def test_a_manifest_that_cannot_be_written_leaves_the_vectors(importing, tmp_path):
    importing(GOOD)
    before = content(tmp_path / "out")
    with pytest.raises(DataError):
        importing(GOOD.replace("3,4", "5,6"), root=str(tmp_path / "elsewhere"))
    assert content(tmp_path / "out") == before


def test_the_first_import_that_is_refused_leaves_nothing(importing, tmp_path):
    with pytest.raises(DataError):
        importing(GOOD, root=str(tmp_path / "elsewhere"))
    assert not (tmp_path / "out").exists()


def test_features_of_a_pickle(tmp_path, capsys):
    good, bad = mmsa(), mmsa()
    for split, fields in bad.items():
        fields["audio"] = fields["audio"] * 2
        fields["id"] = [f"{ident}" if split != "train" else "  " for ident in fields["id"]]
    common = {"action": "import", "importer": "mmsa", "out": str(tmp_path / "out" / "m.jsonl")}
    run_data(capsys, **common, source=write(tmp_path / "good.pkl", good))
    before = content(tmp_path / "out")
    with pytest.raises(DataError) as caught:
        run_data(capsys, **common, source=write(tmp_path / "bad.pkl", bad))
    faults_mention(caught.value.faults[:1], (f"{tmp_path / 'bad.pkl'}: train[0]: ", "id"))
    assert content(tmp_path / "out") == before


@pytest.mark.parametrize("earlier", [True, False])
def test_a_failure_while_the_manifest_is_written(tmp_path, earlier):
    staging = Staging(tmp_path / "features")
    if earlier:
        staging.final.mkdir()
        (staging.final / "a").write_text("old")
    before = content(tmp_path)
    with staging.removed():
        staging.folder.mkdir()
        (staging.folder / "a").write_text("new")
        (staging.folder / "b").write_text("new")
        with pytest.raises(KeyboardInterrupt), staging.in_place():
            raise KeyboardInterrupt(*content(staging.final).values())
    assert content(tmp_path) == before
    assert staging.final.exists() is earlier


def test_a_list_of_missing_files_is_that_of_the_manifest(tmp_path, capsys):
    (tmp_path / "1.png").touch()
    (tmp_path / "t.csv").write_text("image,text,split\n1.png,x,train\nno.png,y,train\n")
    common = {
        "action": "import",
        "importer": "csv",
        "captions": str(tmp_path / "t.csv"),
        "images": str(tmp_path),
        "out": str(tmp_path / "m.jsonl"),
    }
    listed = tmp_path / "m_missing.txt"
    run_data(capsys, **common, missing="skip")
    before = listed.read_text()
    (tmp_path / "t.csv").write_text("image,text,split\n1.png,x,train\n2.png,y,trian\n")
    with pytest.raises(DataError):
        run_data(capsys, **common, missing="skip")
    assert listed.read_text() == before
    (tmp_path / "t.csv").write_text("image,text,split\n1.png,x,train\n")
    run_data(capsys, **common)
    assert not listed.exists()


@pytest.mark.parametrize(
    ("settings", "given", "remedy"),
    [
        ({"captions": ["a.csv", "b.csv"]}, "captions=[a.csv,b.csv]: ", "one path"),
        ({"captions": {"a": "b"}}, "captions={a: b}: ", "one path"),
        ({"root": ["a"]}, "root=[a]: ", "one path"),
        ({"out": {"a": "b"}}, "out={a: b}: ", "one path"),
        ({"out": False}, "out=false: ", "one path"),
        ({"importer": "folders", "source": ["a"]}, "source=[a]: ", "one path"),
        ({"importer": "coco", "annotations": ["a.json"]}, "annotations=[a.json]: ", "one path"),
        (
            {"importer": "coco", "annotations": {"train": ["a"]}},
            "annotations.train=[a]: ",
            "one path",
        ),
        ({"importer": "vqa", "questions": ["q"]}, "questions=[q]: ", "one path"),
        ({"images": ["a"]}, "images=[a]: ", "one path"),
        ({"images": {"train": {"a": "b"}}}, "images.train={a: b}: ", "one path"),
        ({"importer": "flickr8k", "splits": {"train": ["x"]}}, "splits.train=[x]: ", "one path"),
        ({"importer": "flickr8k", "splits": "x.txt"}, "splits=x.txt: ", "image list"),
        ({"quoting": "maybe"}, "quoting=maybe: ", "true or false"),
        ({"allow_outside_root": ["a"]}, "allow_outside_root=[a]: ", "true or false"),
        ({"action": "check", "manifest": ["m"]}, "manifest=[m]: ", "one path"),
    ],
)
def test_lists_in_place_of_a_path(tmp_path, capsys, settings, given, remedy):
    common = {"action": "import", "importer": "csv", "out": str(tmp_path / "m.jsonl")}
    with pytest.raises(ConfigError) as caught:
        run_data(capsys, **(settings if "action" in settings else common | settings))
    faults_mention([caught.value], (given, remedy))


def test_a_path_of_each_split_may_be_a_number(tmp_path, capsys):
    common = {"action": "import", "importer": "coco", "out": str(tmp_path / "m.jsonl")}
    with raises(ConfigError, "images.train=2024: ", "folder"):
        run_data(capsys, **common, images={"train": 2024}, annotations={"train": "x.json"})


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"importer": "coco", "columns": {"image": "a"}}, ["columns={image: a}: ", "importer=csv"]),
        (
            {"importer": "coco", "captions": "x.csv"},
            ["captions=x.csv: ", "importer=flickr8k", "importer=csv"],
        ),
        ({"importer": "csv", "source": "x"}, ["source=x: ", "importer=folders", "importer=mmsa"]),
        ({"importer": "folders", "delimiter": ";"}, ["delimiter=;: ", "importer=csv"]),
        ({"importer": "folders", "quoting": False}, ["quoting=false: ", "importer=csv"]),
        ({"importer": "mmsa", "split": "train"}, ["split=train: ", "importer=coco"]),
        ({"importer": "mmimdb", "split_by": "x"}, ["split_by=x: ", "importer=csv"]),
        (
            {"importer": "csv", "splits": {"val": "v.txt"}},
            ["val: v.txt", "}: ", "importer=flickr8k"],
        ),
        (
            {"importer": "coco", "split": {"train": 1}},
            ["split={train: 1}: ", "ratios", "importer=csv"],
        ),
        (
            {"importer": "vqa", "split": {"train": 1}},
            ["split={train: 1}: ", "ratios", "importer=csv"],
        ),
    ],
)
def test_keys_of_a_different_format(tmp_path, capsys, settings, parts):
    needed = {"images": str(tmp_path), "annotations": {"train": "x"}, "captions": "y.csv"}
    needed["questions"] = {"train": "x"}
    given = {
        "coco": ("images", "annotations"),
        "vqa": ("images", "questions"),
        "csv": ("images", "captions"),
    }.get(settings["importer"], ())
    common = {"action": "import", "out": str(tmp_path / "m.jsonl")}
    source = {} if given else {"source": "s"}
    own = {key: needed[key] for key in given}
    with raises(ConfigError, *parts):
        run_data(capsys, **common | source | own | settings)


@pytest.mark.parametrize(
    ("args", "given", "remedy"),
    [
        (["importer=csv", "captions=[a.csv,b.csv]"], "captions=[a.csv,b.csv]: ", "one path"),
        (["importer=csv", "captions={a: b}"], "captions={a: b}: ", "one path"),
        (["importer=coco", "annotations=[a.json]"], "annotations=[a.json]: ", "one path"),
        (["importer=flickr8k", "splits=x.txt"], "splits=x.txt: ", "image list"),
        (["importer=flickr8k", "splits.train=[x]"], "splits.train=[x]: ", "one path"),
        (["importer=vqa", "questions=[q]"], "questions=[q]: ", "one path"),
        (["importer=folders", "source=[a]", "root=[a]"], "root=[a]: ", "one path"),
    ],
)
def test_such_lists_on_the_command_line(args, given, remedy):
    mentions(refused("data", "action=import", "out=m.jsonl", *args), given, remedy)


def test_a_linked_folder_that_is_named(importing, tmp_path, capsys):
    pictures = tmp_path / "elsewhere"
    pictures.mkdir()
    Image.new("RGB", (8, 8)).save(pictures / "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(pictures)
    columns = {"image": "file", "caption": "words"}
    link = {"images": str(tmp_path / "out" / "link"), "columns": columns, "features": None}
    path = importing("file,words\na.png,a dog\n", **link)
    assert read_manifest(path, root=pictures).samples[0].image == (str(pictures / "a.png"),)
    with raises(DataError, f"data.root={tmp_path / 'nowhere'}: ", "folder"):
        read_manifest(path, root=tmp_path / "nowhere")
    with raises(DataError, "t.csv:1: ", " ';'", " delimiter=';'"):
        importing("file;words\na.png;a dog\n", **link)
