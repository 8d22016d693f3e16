import json
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from PIL import Image

from mmtx_cli.command.data import run
from mmtx_cli.data.manifest import read_manifest
from mmtx_cli.error import ConfigError, DataError

DEFAULTS = OmegaConf.load(Path(__file__).parents[2] / "conf" / "data.yaml")


def run_data(capsys, **settings):
    """Run the command in this process; return the path that it prints last."""
    cfg = OmegaConf.merge(DEFAULTS, settings)
    cfg.pop("defaults", None)
    run(cfg)
    return Path(capsys.readouterr().out.splitlines()[-1])


def test_make_and_check(tmp_path, capsys):
    path = run_data(capsys, action="make", out=str(tmp_path / "s"), num=20, size=32)
    assert path == tmp_path / "s" / "scenes.jsonl"
    assert len(read_manifest(path).samples) == 20
    assert run_data(capsys, action="check", manifest=str(path), decode=True) == path
    (tmp_path / "s" / "images" / "00002.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"scenes.jsonl:3: image: .*00002.jpg: empty file"):
        run_data(capsys, action="check", manifest=str(path), decode=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"action is missing; write one of make, check, import\n  e.g. mmtx data"),
        ({"action": "chek"}, r"action=chek is unknown; did you mean check\?"),
        ({"action": "make"}, r"missing: out=…\n  e.g. mmtx data action=make out=data/scenes"),
        ({"action": "make", "out": "x", "name": "scene"}, r"did you mean scenes\?"),
        ({"action": "make", "out": "x", "num": "many"}, r"num=many: write a whole number"),
        ({"action": "check"}, r"missing: manifest=…"),
        ({"action": "check", "manifest": "x", "split": "train"}, r"give ratios"),
        ({"action": "import", "format": "cocoa"}, r"did you mean coco\?"),
        ({"action": "import", "format": "coco"}, r"missing: out=…, images=…"),
        (
            {"action": "import", "format": "csv", "out": "x", "images": "y"},
            r"e.g. out=x/data.jsonl",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_said_with_an_example(capsys, settings, message):
    with pytest.raises(ConfigError, match=message):
        run_data(capsys, **settings)


@pytest.fixture
def images(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / name)
    return tmp_path / "images"


def test_import_coco(tmp_path, images, capsys):
    for ident, split in enumerate(("train", "val")):
        content = {
            "images": [{"id": ident, "file_name": "ab"[ident] + ".jpg"}],
            "annotations": [{"image_id": ident, "caption": "a cat"}],
        }
        (tmp_path / f"{split}.json").write_text(json.dumps(content))
    files = {split: str(tmp_path / f"{split}.json") for split in ("train", "val")}
    common = {"action": "import", "format": "coco", "out": str(tmp_path / "out" / "c.jsonl")}
    path = run_data(capsys, **common, images=str(images), annotations=files)
    assert [sample.split for sample in read_manifest(path).samples] == ["train", "val"]
    path = run_data(capsys, **common, images=str(images), annotations=files["val"], split="test")
    assert [sample.split for sample in read_manifest(path).samples] == ["test"]
    with pytest.raises(ConfigError, match=r"missing: split=…"):
        run_data(capsys, **common, images=str(images), annotations=files["val"])
    with pytest.raises(ConfigError, match="one for each of train, val"):
        run_data(capsys, **common, images={"train": "x"}, annotations=files)


def test_import_flickr8k(tmp_path, images, capsys):
    (tmp_path / "t.txt").write_text("a.jpg#0\tone\nb.jpg#0\ttwo\n")
    (tmp_path / "train.txt").write_text("a.jpg\nb.jpg\n")
    common = {
        "action": "import",
        "format": "flickr8k",
        "out": str(tmp_path / "f.jsonl"),
        "images": str(images),
        "captions": str(tmp_path / "t.txt"),
    }
    path = run_data(capsys, **common, splits={"train": str(tmp_path / "train.txt")})
    assert json.loads(path.read_text().splitlines()[0])["image"] == "images/a.jpg"
    with pytest.raises(ConfigError, match=r"write a file a split.*\n.*splits.train="):
        run_data(capsys, **common)


def test_import_csv(tmp_path, images, capsys):
    (tmp_path / "t.csv").write_text("file,comment\na.jpg,one\na.jpg,two\nb.jpg,three\n")
    common = {
        "action": "import",
        "format": "csv",
        "out": str(tmp_path / "c.jsonl"),
        "images": str(images),
        "captions": str(tmp_path / "t.csv"),
        "columns": {"image": "file", "caption": "comment"},
    }
    path = run_data(capsys, **common, split="test")
    assert [sample.captions for sample in read_manifest(path).samples] == [
        ("one", "two"),
        ("three",),
    ]
    run_data(capsys, **common, split={"train": 1.0})
    assert {sample.split for sample in read_manifest(path).samples} == {"train"}
    with pytest.raises(ConfigError, match=r"split: the CSV has no column"):
        run_data(capsys, **common)
    (images / "b.jpg").unlink()
    with pytest.raises(DataError, match=r"c.jsonl:2: image: no such file"):
        run_data(capsys, **common, split="test")


def mmtx(*args):
    command = [sys.executable, "-m", "mmtx_cli", "data", *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])


def test_from_the_command_line(tmp_path):
    done = mmtx("action=make", f"out={tmp_path / 's'}", "num=20", "size=32")
    assert done.returncode == 0, done.stderr
    path = done.stdout.splitlines()[-1]
    assert path == str(tmp_path / "s" / "scenes.jsonl")
    done = mmtx("action=check", f"manifest={path}", "decode=true")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == path
    wrong = mmtx("action=check", f"manifest={tmp_path / 's' / 'scene.jsonl'}")
    assert wrong.returncode == 2
    assert "did you mean scenes.jsonl?" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_nothing_heavy_is_imported():
    heavy = "{'torch', 'torchvision', 'pytorch_lightning', 'matplotlib'}"
    code = f"import sys, mmtx_cli.command.data; print({heavy} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.strip() == "set()"
