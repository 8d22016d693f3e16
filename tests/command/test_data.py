import inspect
import json
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from mmtx_cli.command.data_create import MAKERS
from mmtx_cli.config.conf_tree import choices, conf_dir
from mmtx_cli.config.help.yaml_comments import example_in
from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.synthetic.encoder_lab.make import TASKS as ENCODER_TASKS
from mmtx_cli.synthetic.fusion_lab.task import TASKS as FUSION_TASKS
from tests.command_line import refused
from tests.data_action import run_action
from tests.messages import faults_mention, mentions, raises


def run_data(capsys, **settings):
    """Run the command in this process; return the path that it prints last."""
    run_action(**settings)
    return Path(capsys.readouterr().out.splitlines()[-1])


def test_make_and_check(tmp_path, capsys):
    path = run_data(capsys, action="create", out=str(tmp_path / "s"), num=20, size=32)
    assert path == tmp_path / "s" / "scenes.jsonl"
    assert len(read_manifest(path).samples) == 20
    assert run_data(capsys, action="check", manifest=str(path), decode=True) == path
    (tmp_path / "s" / "images" / "00002.jpg").write_bytes(b"")
    with raises(DataError, "scenes.jsonl:3: image: ", "00002.jpg: ", "empty"):
        run_data(capsys, action="check", manifest=str(path), decode=True)


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"action": "create"}, ["out=…\n", " mmtx data action=create dataset=scenes out="]),
        ({"action": "create", "out": "x", "num": "many"}, ["num=many: ", "integer", "num=100"]),
        ({"action": "check"}, ["manifest=…\n", " mmtx data action=check"]),
        (
            {"action": "check", "manifest": "x", "split": "train"},
            ["split=train: ", "ratios", "'split={train: 0.8"],
        ),
        (
            {"action": "create", "out": "x", "task": "xor"},
            ["task=xor: ", "dataset=encoder_lab or dataset=fusion_lab"],
        ),
        (
            {"action": "import", "importer": "coco"},
            ["out=…, images=…, annotations=…\n", " importer=coco "],
        ),
        (
            {"action": "import", "importer": "csv", "out": "x", "captions": "y"},
            ["out=x: ", "manifest", " out=x/data.jsonl"],
        ),
    ],
)
def test_missing_or_invalid_arguments_are_reported_with_an_example(capsys, settings, parts):
    with raises(ConfigError, *parts):
        run_data(capsys, **settings)


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (
            "",
            [
                "action ",
                "create, check, import, shard, index, cache\n",
                "\n    mmtx data action=cache ",
            ],
        ),
        ("action=chek", ["action=chek ", " action=check?\n", " mmtx data action=check "]),
        ("-m action=check,create", ["action=check,create", " one action"]),
        ("importer=coco out=x", ["action ", " action=import?\n"]),
        ("splits.train=x", ["action ", " action=import?\n"]),
        ("name=scenes out=x", ["action ", " action=create?\n", "name: now called dataset\n"]),
        ("m.jsonl", ["m.jsonl: ", " action=check manifest=m.jsonl"]),
        ("action=check m.jsonl", ["m.jsonl: ", " manifest=m.jsonl"]),
        ("action=create dataset=scene", ["dataset=scene: ", "'scenes'", " dataset=scenes "]),
        ("action=create dataset=scenes task=xor out=x", ["task=xor: ", " dataset=fusion_lab;"]),
        ("action=import", ["importer ", " coco, csv, ", "\n  e.g. mmtx data action=import "]),
        ("action=import importer=null out=x", ["importer ", " coco, csv, "]),
        ("action=import images=x out=x", ["importer ", " coco, csv, "]),
        ("action=import importer=cocoa", ["importer=cocoa: ", "'coco'", " importer=coco out="]),
        ("action=import importer=[csv]", ["importer=[csv]: ", "one"]),
        ("action=import importer=csv imags=x", ["imags: ", "'images'"]),
        ("action=import importer=coco columns.image=a", ["columns.image=a: ", "importer=mmsa"]),
        ("action=import importer=coco +columns=a", ["+columns=a: ", "importer=csv or"]),
    ],
)
def test_what_the_command_line_lacks(args, parts, tmp_path):
    message = refused("data", *args.split(), cwd=tmp_path)
    mentions(message, *parts)
    assert len(re.findall(r"importer is missing|unknown key", message)) < 2


@pytest.mark.parametrize("importer", choices("importer"))
def test_an_importer_is_a_module_and_a_file(importer):
    module = import_module(f"mmtx_cli.data.importer.{importer}")
    assert inspect.signature(module.read).parameters.keys() == {"settings"}
    text = (conf_dir() / "importer" / f"{importer}.yaml").read_text()
    assert f"\nimporter: {importer}\n" in text
    args = shlex.split(example_in(text))
    assert args[:4] == ["mmtx", "data", "action=import", f"importer={importer}"]
    with initialize_config_dir(str(conf_dir().absolute()), version_base="1.3"):
        cfg = compose("data_import", args[2:])
    assert [key for key in cfg if OmegaConf.is_missing(cfg, key)] == []


def test_the_data_sets_are_those_of_the_group():
    assert sorted(MAKERS) == choices("dataset")
    for name, tasks in (("encoder_lab", ENCODER_TASKS), ("fusion_lab", FUSION_TASKS)):
        text = (conf_dir() / "dataset" / f"{name}.yaml").read_text().partition("\n\n")[2]
        assert {*re.findall(r"\w+", text.replace("# ", ""))} == {*tasks, "task"}


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
    common = {"action": "import", "importer": "coco", "out": str(tmp_path / "out" / "c.jsonl")}
    path = run_data(capsys, **common, images=str(images), annotations=files)
    assert [sample.split for sample in read_manifest(path, root=images).samples] == ["train", "val"]
    path = run_data(capsys, **common, images=str(images), annotations=files["val"], split="test")
    assert [sample.split for sample in read_manifest(path, root=images).samples] == ["test"]
    with raises(ConfigError, " split=…\n"):
        run_data(capsys, **common, images=str(images), annotations=files["val"])
    with raises(ConfigError, "images=", "folder", " train, val\n"):
        run_data(capsys, **common, images={"train": "x"}, annotations=files)


def test_import_flickr8k(tmp_path, images, capsys):
    (tmp_path / "t.txt").write_text("a.jpg#0\tone\nb.jpg#0\ttwo\n")
    (tmp_path / "train.txt").write_text("a.jpg\nb.jpg\n")
    common = {
        "action": "import",
        "importer": "flickr8k",
        "out": str(tmp_path / "f.jsonl"),
        "images": str(images),
        "captions": str(tmp_path / "t.txt"),
    }
    path = run_data(capsys, **common, splits={"train": str(tmp_path / "train.txt")})
    assert json.loads(path.read_text().splitlines()[0])["image"] == "images/a.jpg"
    with raises(ConfigError, "splits=", "file", "split", "\n", " splits.train="):
        run_data(capsys, **common)


def test_import_csv(tmp_path, images, capsys):
    (tmp_path / "t.csv").write_text("file,comment\na.jpg,one\na.jpg,two\nb.jpg,three\n")
    common = {
        "action": "import",
        "importer": "csv",
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
    with raises(DataError, f"{tmp_path / 't.csv'}:1: ", "column 'split'", " split=train"):
        run_data(capsys, **common)


@pytest.fixture
def table(tmp_path, images):
    """A table of two images with a column of splits, and settings that import it."""
    path = tmp_path / "in" / "t.csv"
    path.parent.mkdir()
    path.write_text("file,comment,split\na.jpg,one,train\na.jpg,two,train\nb.jpg,three,val\n")
    return {
        "action": "import",
        "importer": "csv",
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
    faults_mention(
        caught.value.faults,
        (f"{table['captions']}:4: image: ", f"{images}/b.jpg", " images=…"),
    )
    assert not (tmp_path / "out").exists()


def test_a_failed_import_keeps_existing_files(table, images, capsys):
    out = run_data(capsys, **table)
    before = out.read_text(), out.with_suffix(".yaml").read_text()
    (images / "a.jpg").unlink()
    with pytest.raises(DataError):
        run_data(capsys, **table)
    assert (out.read_text(), out.with_suffix(".yaml").read_text()) == before


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ("imagse", ["folder", " {}/images"]),
        ("zzz", ["folder"]),
        ("no/images", ["folder", " {}/no "]),
        ("in/t.csv", ["file", "folder"]),
    ],
)
def test_an_invalid_image_folder(table, tmp_path, capsys, given, parts):
    named = [part.format(tmp_path) for part in parts]
    with raises(ConfigError, f"images={tmp_path / given}: ", *named):
        run_data(capsys, **table | {"images": str(tmp_path / given)})
    assert not (tmp_path / "out").exists()


def test_ids_shared_by_two_files_are_reported_with_their_location(tmp_path, images, capsys):
    content = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": []}
    files = {split: str(tmp_path / f"{split}.json") for split in ("train", "val")}
    for file in files.values():
        Path(file).write_text(json.dumps(content))
    common = {"action": "import", "importer": "coco", "out": str(tmp_path / "c.jsonl")}
    with pytest.raises(DataError) as caught:
        run_data(capsys, **common, images=str(images), annotations=files)
    faults_mention(
        caught.value.faults,
        (f"{files['val']}: images[0]: ", "id '1'", f"{files['train']}: images[0]"),
    )


def test_links_out_of_the_image_folder_are_reported_before_writing(table, tmp_path, images, capsys):
    (images / "b.jpg").rename(tmp_path / "b.jpg")
    (images / "b.jpg").symlink_to(tmp_path / "b.jpg")
    with raises(DataError, f"{table['captions']}:4: ", "link", " allow_outside_root="):
        run_data(capsys, **table)
    assert not (tmp_path / "out").exists()
    run_data(capsys, **table, allow_outside_root=True)


def test_a_fault_of_many_rows_is_reported_for_the_first(tmp_path, capsys):
    path = tmp_path / "m.jsonl"
    rows = [{"id": str(i), "text": "x"} for i in range(50)] + [{"split": "val"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError) as caught:
        run_data(capsys, action="check", manifest=str(path))
    *first, more, last = caught.value.faults
    assert [fault.split(": ")[0] for fault in first] == [f"{path}:{i}" for i in range(1, 21)]
    (what,) = {fault.split(": ", 1)[1] for fault in first}
    mentions(what, "split", "train, val or test", "'split={train: 0.8, val: 0.1, test: 0.1}'")
    faults_mention([more, last], ("… ", " 30 ", f": {what}"), (f"{path}:51: ", "id"))


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        ({"image": "/etc/passwd"}, ["/etc/passwd", " root=…", " allow_outside_root=true"]),
        ({"image": "x.jpg"}, ["/x.jpg", " root=…"]),
    ],
)
def test_remedies_name_the_keys_that_this_command_has(tmp_path, capsys, row, parts):
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps({"id": "a", "split": "val", **row}) + "\n")
    with raises(DataError, f"{path}:1: image: ", *parts) as caught:
        run_data(capsys, action="check", manifest=str(path))
    assert "data." not in str(caught.value)


def test_invalid_ratios_name_the_key_of_this_command(tmp_path, capsys):
    (tmp_path / "m.jsonl").write_text('{"id": "a"}\n')
    common = {"action": "check", "manifest": str(tmp_path / "m.jsonl")}
    with raises(ConfigError, "split={train: 0.8, val: 0.1}: ", "ratios") as caught:
        run_data(capsys, **common, split={"train": 0.8, "val": 0.1})
    assert "data." not in str(caught.value)


def test_keys_of_a_run_are_refused(capsys):
    cfg = {"action": "check", "data": {"split": {"train": 1}, "path": "m.jsonl"}, "trainer": {}}
    with pytest.raises(ConfigError) as caught:
        run_data(capsys, **cfg)
    faults_mention(
        caught.value.faults,
        ("data.split: ", "mmtx data action=check", "'split'"),
        ("data.path: ", "mmtx data", "'manifest'"),
        ("trainer: ", "mmtx data", " action, "),
    )


def mmtx(*args):
    command = [sys.executable, "-m", "mmtx_cli", "data", *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])


def test_from_the_command_line(tmp_path):
    done = mmtx("action=create", f"out={tmp_path / 's'}", "num=20", "size=32")
    assert done.returncode == 0, done.stderr
    path = done.stdout.splitlines()[-1]
    assert path == str(tmp_path / "s" / "scenes.jsonl")
    done = mmtx("action=check", f"manifest={path}", "decode=true")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == path
    wrong = mmtx("action=check", f"manifest={tmp_path / 's' / 'scene.jsonl'}")
    assert wrong.returncode == 2
    mentions(wrong.stderr, f"{tmp_path / 's' / 'scene.jsonl'}: ", " scenes.jsonl")
    assert "Traceback" not in wrong.stderr
    foreign = mmtx("action=check", f"manifest={path}", "data.allow_outside_root=true")
    assert foreign.returncode == 2
    faults_mention(
        foreign.stderr.splitlines(),
        ("mmtx data: data.allow_outside_root: ", "mmtx data action=check;", "'allow_outside_root'"),
    )


def test_nothing_heavy_is_imported():
    heavy = "{'torch', 'torchvision', 'pytorch_lightning', 'matplotlib'}"
    actions = ", ".join(f"mmtx_cli.command.data_{name}" for name in ("create", "check", "import"))
    code = f"import sys, {actions}; print({heavy} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.strip() == "set()"
