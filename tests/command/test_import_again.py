"""An import that is refused leaves all files of an earlier one as they were."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmtx_cli.data.importer.staging import Staging
from mmtx_cli.data.manifest import read_manifest
from mmtx_cli.error import ConfigError, DataError
from tests.command_line import refused
from tests.data.mmsa_file import mmsa, write

from .test_data import run_data

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
            "format": "csv",
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
    with pytest.raises(DataError, match=r"t.csv:2: label 'q' is not among"):
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
    common = {"action": "import", "format": "mmsa", "out": str(tmp_path / "out" / "m.jsonl")}
    run_data(capsys, **common, source=write(tmp_path / "good.pkl", good))
    before = content(tmp_path / "out")
    with pytest.raises(DataError, match=r"no id|id is"):
        run_data(capsys, **common, source=write(tmp_path / "bad.pkl", bad))
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
        "format": "csv",
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
    ("settings", "message"),
    [
        ({"captions": ["a.csv", "b.csv"]}, r"captions=\[a.csv, b.csv\]: write one path"),
        ({"captions": {"a": "b"}}, r"captions=\{a: b\}: write one path"),
        ({"root": ["a"]}, r"root=\[a\]: write one path"),
        ({"out": {"a": "b"}}, r"out=\{a: b\}: write one path"),
        ({"out": False}, r"out=false: write one path"),
        ({"format": "folders", "source": ["a"]}, r"source=\[a\]: write one path"),
        ({"format": "coco", "annotations": ["a.json"]}, r"annotations=\[a.json\]: write one path"),
        ({"annotations": {"train": ["a"]}}, r"annotations.train=\[a\]: write one path"),
        ({"format": "vqa", "questions": ["q"]}, r"questions=\[q\]: write one path"),
        ({"images": ["a"]}, r"images=\[a\]: write one path"),
        ({"images": {"train": {"a": "b"}}}, r"images.train=\{a: b\}: write one path"),
        ({"splits": {"train": ["x"]}}, r"splits.train=\[x\]: write one path"),
        ({"splits": "x.txt"}, r"splits=x.txt: write a list of images a split"),
        ({"format": ["csv"]}, r"format=\['csv'\] is unknown"),
        ({"quoting": "maybe"}, "quoting=maybe: write true or false"),
        ({"allow_outside_root": ["a"]}, r"allow_outside_root=\[a\]: write true or false"),
        ({"action": "check", "manifest": ["m"]}, r"manifest=\[m\]: write one path"),
    ],
)
def test_lists_where_one_path_is_meant(tmp_path, capsys, settings, message):
    common = {"action": "import", "format": "csv", "out": str(tmp_path / "m.jsonl")}
    with pytest.raises(ConfigError, match=f"^{message}"):
        run_data(capsys, **common | settings)


def test_a_path_of_each_split_may_be_a_number(tmp_path, capsys):
    common = {"action": "import", "format": "coco", "out": str(tmp_path / "m.jsonl")}
    with pytest.raises(ConfigError, match=r"images.train=2024: no such folder"):
        run_data(capsys, **common, images={"train": 2024}, annotations={"train": "x.json"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "coco", "columns": {"image": "a"}}, r"columns=\{image: a\}: is for format=csv"),
        ({"format": "coco", "captions": "x.csv"}, "captions=x.csv: is for format=flickr8k or form"),
        ({"format": "csv", "source": "x"}, "source=x: is for format=folders or format=mmsa"),
        ({"format": "folders", "delimiter": ";"}, "delimiter=;: is for format=csv; leave it out"),
        ({"format": "folders", "quoting": False}, "quoting=false: is for format=csv"),
        ({"format": "mmsa", "split": "train"}, "split=train: is for format=coco or"),
        ({"format": "mmimdb", "split_by": "x"}, "split_by=x: is for format=csv"),
        ({"format": "csv", "splits": {"val": "v.txt"}}, "splits=.*val: v.txt.*: is for format=fl"),
        ({"format": "coco", "split": {"train": 1}}, r"split=\{train: 1\}: ratios are for format=c"),
        ({"format": "vqa", "split": {"train": 1}}, r"split=\{train: 1\}: ratios are for format=c"),
    ],
)
def test_keys_of_another_format(tmp_path, capsys, settings, message):
    needed = {"images": str(tmp_path), "annotations": {"train": "x"}, "captions": "y.csv"}
    given = {
        "coco": ("images", "annotations"),
        "vqa": ("images",),
        "csv": ("images", "captions"),
    }.get(settings["format"], ())
    common = {"action": "import", "out": str(tmp_path / "m.jsonl")}
    source = {} if given else {"source": "s"}
    own = {key: needed[key] for key in given}
    with pytest.raises(ConfigError, match=message):
        run_data(capsys, **common | source | own | settings)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["format=csv", "captions=[a.csv,b.csv]"], "captions=[a.csv, b.csv]: write one path"),
        (["format=csv", "captions={a: b}"], "captions={a: b}: write one path"),
        (["format=coco", "annotations=[a.json]"], "annotations=[a.json]: write one path"),
        (["format=flickr8k", "splits=x.txt"], "splits=x.txt: write a list of images a split"),
        (["format=flickr8k", "splits.train=[x]"], "splits.train=[x]: write one path"),
        (["format=vqa", "questions=[q]"], "questions=[q]: write one path"),
        (["format=folders", "source=[a]", "root=[a]"], "root=[a]: write one path"),
        (["format=[csv]"], "is unknown; did you mean csv?"),
    ],
)
def test_such_lists_on_the_command_line(args, message):
    assert message in refused("data", "action=import", "out=m.jsonl", *args)


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
    with pytest.raises(DataError, match="there is no such folder"):
        read_manifest(path, root=tmp_path / "nowhere")
    with pytest.raises(DataError, match="separated by ';': write delimiter=';'"):
        importing("file;words\na.png;a dog\n", **link)
