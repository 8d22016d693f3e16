"""What users get wrong, on real files: one message that says where and what to do, status 2."""

import json
import re
import shutil
from pathlib import Path

import pytest

from mmtx_cli.io.quoting import quoted
from tests.command_line import (
    CAPTIONER,
    CONTRASTIVE,
    TINY,
    TINY_IMAGE,
    error_message,
    mmtx,
    refused,
    succeeded,
)
from tests.messages import faults_mention, mentions

from .fixtures import AWKWARD_NAME


def rows_of(place):
    lines = (place / AWKWARD_NAME / "scenes" / "scenes.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture
def manifest(place, scenes, tmp_path):
    """Write rows (or lines as they are) as a manifest beside the pictures; give its override."""

    def write(rows, name="data.jsonl"):
        shutil.copytree(
            place / AWKWARD_NAME / "scenes" / "images", tmp_path / "images", dirs_exist_ok=True
        )
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
        return f"data.path={tmp_path / name}"

    return write


@pytest.fixture
def model(place, captioner, tmp_path):
    """A copy of the captioner's model folder, to be spoilt."""
    return Path(shutil.copytree(place / AWKWARD_NAME / "captioner" / "model", tmp_path / "model"))


def changed(model, edit):
    """Edit the config of a model folder."""
    config = json.loads((model / "config.json").read_text())
    edit(config)
    (model / "config.json").write_text(json.dumps(config))


# configuration


def test_every_fault_of_a_configuration_is_reported(tmp_path):
    args = ["data.batchsize=3", "trainer.max_epoch=3", "optimizer.lrr=1", "data.limit_samples=abc"]
    args += ["encoder/image=vit", "encoder.image.dept=3", "head=captioning"]
    err = refused("finetune", *args, "generation.num_beam=3", "dim=abc", cwd=tmp_path)
    faults_mention(
        err.splitlines(),
        ("mmtx finetune: 9 ",),
        ("  dim: ", "'abc'", "int | None"),
        ("  encoder.image.dept: ", "'depth'"),
        ("  data.batchsize: ", "'batch_size'"),
        ("  data.limit_samples: ", "'abc'", "int | None"),
        ("  optimizer.lrr: ", "'lr'"),
        ("  trainer.max_epoch: ", "'max_epochs'"),
        ("  generation.num_beam: ", "'num_beams'"),
        ("  fusion: ", "fusion=concat"),
        ("  data.path: ", "data.path=MANIFEST.jsonl", "data=scenes"),
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_faults_that_only_the_parts_know_name_the_part(place, scenes):
    args = [*CAPTIONER, scenes, "encoder.image.num_heads=3", "run_dir=unbuilt"]
    err = refused("finetune", *args, cwd=place)
    faults_mention([err], ("mmtx finetune: encoder.image: ", "width 16 ", "num_heads=3"))


def test_contrast_needs_texts(place, scenes):
    err = refused("pretrain", *TINY_IMAGE, *TINY, scenes, cwd=place)
    mentions(err, "head.contrastive: ", "two streams")
    err = refused("pretrain", *CONTRASTIVE, scenes, "data.text=null", cwd=place)
    mentions(err, "encoder.text: ", "data.text", "encoder.text=null")


@pytest.mark.slow
def test_a_batch_that_devices_cannot_share(place, scenes):
    args = [*CAPTIONER, scenes, "trainer.devices=3", "run_dir=unshared"]
    err = refused("finetune", *args, cwd=place)
    mentions(err, "data.batch_size: ", " 8 samples", " 3 devices")


def test_a_run_folder_that_cannot_be_written(place, captioner):
    (place / "taken").touch()
    args = [captioner, "inputs=taken", "run_dir=taken/below"]
    err = refused("caption", *args, cwd=place)
    mentions(err, "run_dir=", "taken/below: ", ": Not a directory")
    err = refused("export", captioner, "out=taken", cwd=place)
    mentions(err, "out=", "taken: ", ": File exists")


def test_a_trained_run_is_not_written_over(place, captioner):
    run_dir = captioner.replace("ckpt=", "run_dir=")
    before = (place / AWKWARD_NAME / "captioner" / "config.yaml").read_text()
    err = refused("caption", captioner, run_dir, "inputs=x.jpg", cwd=place)
    mentions(err, "run_dir=", "trained model", "resume=true")
    assert (place / AWKWARD_NAME / "captioner" / "config.yaml").read_text() == before


# trained models


@pytest.mark.parametrize(
    ("ckpt", "parts"),
    [
        ("daul", ["ckpt=daul: ", "file or folder", " dual"]),
        ("dual/checkpoints/lst.ckpt", ["file or folder", " dual/checkpoints/last.ckpt"]),
        pytest.param("text.ckpt", ["text.ckpt: ", "read as a checkpoint"], marks=pytest.mark.slow),
        pytest.param(
            "empty.ckpt", ["empty.ckpt: ", "read as a checkpoint"], marks=pytest.mark.slow
        ),
        ("cut.ckpt", ["cut.ckpt: ", "read as a checkpoint"]),
        ("nothing", ["ckpt=nothing: ", "folder", " model.safetensors"]),
    ],
)
def test_what_is_no_model(ckpt, parts, place, contrastive):
    (place / "text.ckpt").write_text("hello\n")
    (place / "empty.ckpt").touch()
    whole = (place / "dual" / "checkpoints" / "last.ckpt").read_bytes()
    (place / "cut.ckpt").write_bytes(whole[: len(whole) // 2])
    (place / "nothing").mkdir(exist_ok=True)
    mentions(refused("eval", f"ckpt={ckpt}", cwd=place), *parts)


@pytest.mark.parametrize("spoil", ["no config", "broken config", "cut weights", "no tokenizer"])
def test_a_model_folder_that_is_not_whole(spoil, model):
    if spoil == "no config":
        (model / "config.json").unlink()
    elif spoil == "broken config":
        (model / "config.json").write_text('{"model": ')
    elif spoil == "no tokenizer":
        (model / "tokenizer.json").unlink()
    else:
        (model / "model.safetensors").write_bytes(b"\x10\x00\x00")
    err = refused("caption", "ckpt=model", "inputs=x.jpg", cwd=model.parent)
    file = {"cut weights": "model.safetensors", "no tokenizer": "tokenizer.json"}
    assert file.get(spoil, "config.json") in err


EVIL = {"_target_": "builtins.open", "_args_": ["trace", "w"]}
OUTSIDE = ("'builtins.open'", "trusted_packages=[builtins]")
HIDDEN_EVIL = "\\${oc.create:{_target_:builtins.open,file:trace,mode:w}}"


@pytest.mark.parametrize(
    ("edit", "parts"),
    [
        (
            lambda c: c["model"]["fusion"].update(_target_="os.system"),
            ["fusion._target_: ", "'os.system'"],
        ),
        (
            lambda c: c["model"]["encoder"]["image"].update(mean=EVIL),
            ["encoder.image.mean._target_: ", *OUTSIDE],
        ),
        (
            lambda c: c["model"]["head"]["captioning"].update(streams=["image", EVIL]),
            ["head.captioning.streams[1]._target_: ", *OUTSIDE],
        ),
        (
            lambda c: c["model"]["encoder"]["image"].update(_args_=[EVIL], _partial_=True),
            ["encoder.image._args_[0]._target_: ", *OUTSIDE],
        ),
        (
            lambda c: c["model"]["fusion"].update(x=HIDDEN_EVIL),
            ["ckpt=model: ", "config", "interpolations"],
        ),
        (
            lambda c: c["data"].update(path="${oc.env:HOME}"),
            ["ckpt=model: ", "config", "interpolations"],
        ),
        (
            lambda c: (
                c.update(trusted_packages=["builtins"]),
                c["model"].update(trusted_packages=["builtins"]),
                c["model"]["encoder"]["image"].update(mean=EVIL),
            ),
            ["encoder.image.mean._target_: ", *OUTSIDE],
        ),
        (lambda c: c["model"]["fusion"].update(unknown=3), ["fusion.unknown: ", "key", " dim, "]),
    ],
)
def test_a_model_folder_names_nothing_outside_mmtx(edit, parts, model):
    changed(model, edit)
    mentions(refused("eval", "ckpt=model", cwd=model.parent), *parts)
    assert not (model.parent / "trace").exists()


@pytest.mark.parametrize(
    "args", [["caption", "inputs=x.jpg"], ["finetune"], ["eval", "trusted_packages=[os]"]]
)
def test_trust_is_limited_to_the_command_line(args, model):
    changed(model, lambda c: c["model"]["encoder"]["image"].update(mean=EVIL))
    err = refused(*args, "ckpt=model", cwd=model.parent)
    mentions(err, "encoder.image.mean._target_: ", *OUTSIDE)
    assert not (model.parent / "trace").exists()


def test_a_model_without_the_head_that_is_needed(place, contrastive):
    err = refused("caption", contrastive, "inputs=x.jpg", cwd=place)
    mentions(err, "ckpt=dual: ", "heads: contrastive;", "head=captioning")


def test_keys_that_would_change_a_trained_model(place, captioner):
    args = ["inputs=x.jpg", "decoder.depth=2", "run_dir=changed"]
    err = refused("caption", captioner, *args, cwd=place)
    mentions(err, "tensors", "(dim, encoder, fusion, head)")


# data


@pytest.mark.parametrize(
    ("inputs", "parts"),
    [
        ("inputs='none/*.jpg'", ["inputs: none/*.jpg: ", "file"]),
        ("inputs=without", ["inputs: without: ", "image, video or audio", "folder"]),
        ("inputs=", ["inputs: ", " inputs=FILE"]),
        ("inputs=[]", ["inputs: ", " inputs=FILE"]),
    ],
)
def test_invalid_inputs(inputs, parts, place, captioner):
    (place / "without").mkdir(exist_ok=True)
    mentions(refused("caption", captioner, inputs, cwd=place), *parts)


def test_inputs_of_which_none_can_be_read(captioner, place, tmp_path):
    (tmp_path / "a.jpg").write_text("no picture")
    (tmp_path / "b.jpg").touch()
    args = [f"inputs=[{tmp_path},{tmp_path}/missing.jpg]", "run_dir=unread_captions"]
    done = mmtx("caption", captioner, *args, cwd=place)
    *rows, folder = done.stdout.splitlines()
    mentions(error_message(done), " 3 inputs ", Path(folder).name)
    assert [json.loads(row).keys() == {"path", "error"} for row in rows] == [True] * 3
    assert len((Path(folder) / "quarantine.jsonl").read_text().splitlines()) == 3


def test_faults_of_a_manifest_are_reported_at_once(manifest, place):
    first, second, third, *rest = rows_of(place)
    third = {**third, "image": "images/missing.jpg", "captions": []}
    data = manifest([first, '{"id": ', {**second, "id": first["id"]}, third, *rest])
    err = refused("finetune", *CAPTIONER, data, cwd=place)
    path = data.removeprefix("data.path=")
    first_line, *faults = err.splitlines()
    mentions(first_line, "mmtx finetune: 4 ")
    faults_mention(
        sorted(faults),
        (f"  {path}:2: ", "JSON", "column"),
        (f"  {path}:3: ", "id 'scene00000'", "line 1"),
        (f"  {path}:4: captions ", "empty list"),
        (f"  {path}:4: image: ", "images/missing.jpg"),
    )


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("scnes/scenes.jsonl", ["scnes/scenes.jsonl: ", "manifest", "scnes "]),
        (
            f"'{AWKWARD_NAME.replace(chr(39), chr(92) + chr(39))}/scenes'",
            ["/scenes: ", "folder", "manifest", " scenes.jsonl"],
        ),
    ],
)
def test_what_is_no_manifest(path, parts, place, scenes):
    mentions(refused("finetune", *CAPTIONER, f"data.path={path}", cwd=place), *parts)


@pytest.mark.slow
def test_splits_without_rows(manifest, place, captioner):
    data = manifest([{**row, "split": "val"} for row in rows_of(place)])
    err = refused("finetune", *CAPTIONER, data, "run_dir=untrained", cwd=place)
    mentions(err, "data.jsonl: ", " split=train\n")
    err = refused("eval", captioner, data, cwd=place)
    mentions(err, "data.jsonl: ", " split=test\n")
    err = refused("eval", captioner, data, "split=tset", cwd=place)
    mentions(err, "split: ", "'tset'", "train, val, test")


@pytest.mark.slow
def test_rows_without_what_the_head_needs(manifest, place):
    rows = rows_of(place)
    data = manifest([{k: v for k, v in row.items() if k != "captions"} for row in rows])
    err = refused("finetune", *CAPTIONER, data, "data.tokenizer=null", cwd=place)
    mentions(err, "data.jsonl: ", " 48 ", "captions")


@pytest.fixture
def one_unreadable(manifest, place, tmp_path):
    """Arguments of a run over all rows, of which one has a file that is no picture."""
    data = manifest([row for row in rows_of(place) if row["split"] == "train"])
    (tmp_path / "images" / "00002.jpg").write_text("no picture")
    return ["finetune", *CAPTIONER, data, "trainer.max_steps=7"]


def test_too_many_files_that_cannot_be_read(one_unreadable, tmp_path):
    err = refused(*one_unreadable, "run_dir=run", cwd=tmp_path)
    mentions(err, "1 of 48 samples", "data.max_unreadable_fraction=0.01 ")
    mentions(err, f"scene00002 ({tmp_path}/images/00002.jpg: ", "image of a known format")


def test_few_files_that_cannot_be_read(one_unreadable, tmp_path):
    args = [*one_unreadable, "data.max_unreadable_fraction=0.1", "run_dir=run"]
    run = succeeded(mmtx(*args, cwd=tmp_path))
    (row,) = map(json.loads, (run / "quarantine.jsonl").read_text().splitlines())
    assert row["id"] == "scene00002"
    assert row["path"] == f"{tmp_path}/images/00002.jpg"
    mentions(row["reason"], "image of a known format")


# the user's own components

ENCODER = '''
from torch import nn
from mmtx_cli.encoder.base import Encoder, encode_pictures


class Mean(Encoder):
    """The mean color of a picture."""

    def __init__(self, width: int = 8, token: str = "") -> None:
        super().__init__()
        self.width = width
        self.layer = nn.Linear(3, width)

    def forward(self, field):
        return encode_pictures(field, lambda x: self.layer(x.float().mean((2, 3)) / 255)[:, None])
'''


@pytest.fixture
def project(tmp_path):
    """A user's project: one Python file, one YAML."""
    (tmp_path / "my_parts.py").write_text(ENCODER)
    folder = tmp_path / "my_conf" / "encoder" / "image"
    folder.mkdir(parents=True)
    (folder / "mean.yaml").write_text("_target_: my_parts.Mean\ntoken: ${oc.env:MYTOKEN}\n")
    return tmp_path


SECRET = "abcdef12345"
USER_ARGS = (
    "--config-dir",
    "my_conf",
    "encoder/image=mean",
    "fusion=concat",
    "head=captioning",
    *TINY,
)


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        ([], ["'my_parts.Mean'", " trusted_packages=[my_parts]"]),
        (["trusted_packages=[my_part]"], ["'my_parts.Mean'", " trusted_packages=[my_parts]"]),
        (["trusted_packages=my_parts"], ["trusted_packages: ", " trusted_packages=[my_parts]"]),
        (
            ["trusted_packages=[my_parts]", "encoder.image.widht=3"],
            ["encoder.image.widht: ", "'width'"],
        ),
        (
            ["trusted_packages=[my_parts]", "encoder.image.width=x"],
            ["encoder.image.width: ", "'x'", "int"],
        ),
        (
            ["trusted_packages=[nowhere]", "encoder.image._target_=nowhere.Mean"],
            ["encoder.image._target_: ", "'nowhere.Mean'", ": ModuleNotFoundError"],
        ),
        (["encoder/image=mena"], ["encoder/image=mena: ", "'mean'", " cnn, "]),
    ],
)
@pytest.mark.quick_cases(5)
def test_an_invalid_user_defined_component(args, parts, project):
    args = ["finetune", *USER_ARGS, "data.path=x.jsonl", *args]
    mentions(error_message(mmtx(*args, cwd=project, MYTOKEN=SECRET)), *parts)


def test_a_user_defined_component_trains_and_leaves_no_secret(project, scenes):
    args = [*USER_ARGS, scenes, "trusted_packages=[my_parts]", "decoder.num_heads=2"]
    args += ["logger=wandb", "logger.wandb.offline=true", "run_dir=run"]
    noted = project / "my_conf" / "experiment" / "noted.yaml"
    noted.parent.mkdir()
    noted.write_text("# @package _global_\nlogger: {wandb: {name: 'is ${oc.env:MYTOKEN}'}}\n")
    done = mmtx("finetune", *args, "experiment=noted", cwd=project, MYTOKEN=SECRET)
    assert done.returncode == 0, done.stderr
    run = project / "run"
    assert "name: is ***" in (run / "config.yaml").read_text()
    holding = [p for p in run.rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()]
    # the model and its checkpoints are built anew from its arguments as they are
    assert {p.relative_to(run).parts[0] for p in holding} <= {"model", "checkpoints"}
    assert list(run.glob("wandb/*/*.wandb"))
    evaluation = ["eval", "ckpt=run", "bootstrap=2", "run_dir=scored"]
    message = refused(*evaluation, cwd=project)
    mentions(message, "'my_parts.Mean'", " trusted_packages=[my_parts]")
    succeeded(mmtx(*evaluation, "trusted_packages=[my_parts]", cwd=project))


def test_paths_with_anything_in_them_are_quoted(place):
    assert refused("eval", f"ckpt={quoted('it' + chr(39) + 's, [not] =there')}", cwd=place)


# labels and tables


def test_labels_that_no_training_row_has(manifest, place, tmp_path):
    rows = [{k: v for k, v in row.items() if k != "answers"} for row in rows_of(place)]
    odd = [i for i, row in enumerate(rows, 1) if row["split"] == "val"][:2]
    for i, label in zip(odd, ("purple", rows[0]["label"] + "s"), strict=True):
        rows[i - 1]["label"] = label
    data = manifest(rows)
    head = ["head=classification", "fusion=concat", *TINY_IMAGE, *TINY, "run_dir=unlabeled"]
    err = refused("finetune", *head, data, cwd=tmp_path)
    path = data.removeprefix("data.path=")
    known = rows[0]["label"]
    faults_mention(
        err.splitlines(),
        ("mmtx finetune: 2 ",),
        (f"  {path}:{odd[0]}: ", "label 'purple'", known),
        (f"  {path}:{odd[1]}: ", f"label '{known}s'", f"'{known}'"),
    )
    assert not (tmp_path / "unlabeled").exists()


def test_a_table_of_captions_is_no_manifest(tmp_path):
    (tmp_path / "table.csv").write_text("file,comment\na.jpg,one\nb.jpg,two\n")
    err = refused("finetune", *CAPTIONER, "data.path=table.csv", cwd=tmp_path)
    place = f"mmtx finetune: {tmp_path}/table.csv:1: "
    command = "`mmtx data action=import importer=csv captions="
    faults_mention([err], (place, "column 'id'", "file, comment", command))


@pytest.mark.slow
def test_ratios_are_reported_under_the_key_of_a_run(manifest, place, tmp_path):
    split = "data.split={train: 0.8, val: 0.1}"
    err = refused("finetune", *CAPTIONER, manifest(rows_of(place)), split, cwd=tmp_path)
    faults_mention([err], ("mmtx finetune: data.split={train: 0.8, val: 0.1}: ", "ratios"))


def test_skipped_steps_are_reported(place, scenes):
    args = [*CONTRASTIVE, scenes, "data.text=captions", "optimizer.lr=1e6", "optimizer.warmup=0"]
    args += ["trainer.max_skipped_steps=3", "trainer.max_steps=12", "trainer.log_every=1"]
    done = mmtx("pretrain", *args, cwd=place)
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    skipped = [line for line in done.stderr.splitlines() if re.search(r"\(\d of .*3\)", line)]
    assert {re.search(r"\((\d) of", line)[1] for line in skipped} == {"1", "2", "3"}
    last = done.stderr.splitlines()[-1]
    mentions(last, "mmtx pretrain: ", "step ", "samples scene", "optimizer.lr")
    mentions(last, "trainer.max_skipped_steps=10")
