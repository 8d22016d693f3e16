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
        ({}, r"action is missing; write one of make, check, import, cache\n  e.g. mmtx data"),
        ({"action": "chek"}, r"action=chek is unknown; did you mean check\?"),
        ({"action": "make"}, r"missing: out=…\n  e.g. mmtx data action=make out=data/scenes"),
        ({"action": "make", "out": "x", "name": "scene"}, r"did you mean scenes\?"),
        ({"action": "make", "out": "x", "num": "many"}, r"num=many: write a whole number"),
        ({"action": "check"}, r"missing: manifest=…"),
        ({"action": "check", "manifest": "x", "split": "train"}, r"give ratios"),
        ({"action": "import", "format": "cocoa"}, r"did you mean coco\?"),
        ({"action": "import", "format": "coco"}, r"missing: out=…, images=…"),
        (
            {"action": "import", "format": "csv", "out": "x", "captions": "y"},
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
    assert [sample.split for sample in read_manifest(path, root=images).samples] == ["train", "val"]
    path = run_data(capsys, **common, images=str(images), annotations=files["val"], split="test")
    assert [sample.split for sample in read_manifest(path, root=images).samples] == ["test"]
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
    with pytest.raises(DataError, match=r"t.csv:1: no column 'split'.*write split=train"):
        run_data(capsys, **common)


@pytest.fixture
def table(tmp_path, images):
    """A table of two images with a column of splits, and settings that import it."""
    path = tmp_path / "in" / "t.csv"
    path.parent.mkdir()
    path.write_text("file,comment,split\na.jpg,one,train\na.jpg,two,train\nb.jpg,three,val\n")
    return {
        "action": "import",
        "format": "csv",
        "out": str(tmp_path / "out" / "c.jsonl"),
        "images": str(images),
        "captions": str(path),
        "columns": {"image": "file", "caption": "comment"},
    }


def test_a_column_of_splits_is_found_without_being_named(table, capsys):
    manifest = read_manifest(run_data(capsys, **table), root=table["images"])
    assert [sample.split for sample in manifest.samples] == ["train", "val"]


def test_a_failed_import_blames_its_source_and_leaves_nothing(table, tmp_path, images, capsys):
    (images / "b.jpg").unlink()
    with pytest.raises(DataError) as caught:
        run_data(capsys, **table)
    (fault,) = caught.value.faults
    assert fault.startswith(f"{table['captions']}:4: image: no such file {images}/b.jpg; ")
    assert "give images=…" in fault
    assert not (tmp_path / "out").exists()


def test_a_failed_import_leaves_what_was_there(table, images, capsys):
    out = run_data(capsys, **table)
    before = out.read_text(), out.with_suffix(".yaml").read_text()
    (images / "a.jpg").unlink()
    with pytest.raises(DataError):
        run_data(capsys, **table)
    assert (out.read_text(), out.with_suffix(".yaml").read_text()) == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("imagse", "images=.*/imagse: no such folder; did you mean .*/images"),
        ("zzz", "images=.*/zzz: no such folder; give the folder of the files"),
        ("no/images", "images=.*/no/images: no such folder; there is no folder .*/no either"),
        ("in/t.csv", "images=.*/in/t.csv: is a file, no folder"),
    ],
)
def test_a_folder_of_images_that_is_none(table, tmp_path, capsys, given, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        run_data(capsys, **table | {"images": str(tmp_path / given)})
    assert not (tmp_path / "out").exists()


def test_ids_that_two_files_share_are_told_where_they_stand(tmp_path, images, capsys):
    content = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": []}
    files = {split: str(tmp_path / f"{split}.json") for split in ("train", "val")}
    for file in files.values():
        Path(file).write_text(json.dumps(content))
    common = {"action": "import", "format": "coco", "out": str(tmp_path / "c.jsonl")}
    with pytest.raises(DataError) as caught:
        run_data(capsys, **common, images=str(images), annotations=files)
    (fault,) = caught.value.faults
    taken = f"id '1' is taken at {files['train']}: images[0]; rename one"
    assert fault == f"{files['val']}: images[0]: {taken}"


def test_links_out_of_the_images_are_told_before_anything_is_written(
    table, tmp_path, images, capsys
):
    (images / "b.jpg").rename(tmp_path / "b.jpg")
    (images / "b.jpg").symlink_to(tmp_path / "b.jpg")
    with pytest.raises(DataError, match=r"t.csv:4: .*is a link out.* or set allow_outside_root="):
        run_data(capsys, **table)
    assert not (tmp_path / "out").exists()
    run_data(capsys, **table, allow_outside_root=True)


def test_what_many_rows_share_is_told_for_the_first_of_them(tmp_path, capsys):
    path = tmp_path / "m.jsonl"
    rows = [{"id": str(i), "text": "x"} for i in range(50)] + [{"split": "val"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError) as caught:
        run_data(capsys, action="check", manifest=str(path))
    *first, more, last = caught.value.faults
    assert [fault.split(": ")[0] for fault in first] == [f"{path}:{i}" for i in range(1, 21)]
    assert {fault.split(": ", 1)[1] for fault in first} == {
        "no split; write train, val or test, or set 'split={train: 0.8, val: 0.1, test: 0.1}'"
    }
    assert more.startswith("… and 30 more: no split; ")
    assert last.startswith(f"{path}:51: no id")


@pytest.mark.parametrize(
    ("row", "remedy"),
    [
        ({"image": "/etc/passwd"}, "give root=…, or set allow_outside_root=true"),
        ({"image": "x.jpg"}, "or give root=… if the files lie elsewhere"),
    ],
)
def test_remedies_name_the_keys_that_this_command_has(tmp_path, capsys, row, remedy):
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps({"id": "a", "split": "val", **row}) + "\n")
    with pytest.raises(DataError, match=remedy) as caught:
        run_data(capsys, action="check", manifest=str(path))
    assert "data." not in str(caught.value)


def test_ratios_that_are_none_name_the_key_of_this_command(tmp_path, capsys):
    (tmp_path / "m.jsonl").write_text('{"id": "a"}\n')
    common = {"action": "check", "manifest": str(tmp_path / "m.jsonl")}
    with pytest.raises(ConfigError, match=r"^split=\{train: 0.8, val: 0.1\}: ratios are positive"):
        run_data(capsys, **common, split={"train": 0.8, "val": 0.1})


def test_keys_of_a_run_are_refused(capsys):
    cfg = {"action": "check", "data": {"split": {"train": 1}, "path": "m.jsonl"}, "trainer": {}}
    with pytest.raises(ConfigError) as caught:
        run_data(capsys, **cfg)
    split, path, trainer = caught.value.faults
    assert split == "data.split: mmtx data has no such key; did you mean 'split'?"
    assert path == "data.path: mmtx data has no such key; did you mean 'manifest'?"
    assert trainer.startswith("trainer: mmtx data has no such key; there are: action, ")


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
    foreign = mmtx("action=check", f"manifest={path}", "data.allow_outside_root=true")
    assert foreign.returncode == 2
    assert foreign.stderr == (
        "mmtx data: data.allow_outside_root: mmtx data has no such key; did you mean "
        "'allow_outside_root'?\n"
    )


def test_nothing_heavy_is_imported():
    heavy = "{'torch', 'torchvision', 'pytorch_lightning', 'matplotlib'}"
    code = f"import sys, mmtx_cli.command.data; print({heavy} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.strip() == "set()"
