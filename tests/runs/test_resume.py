import os

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mmtx_cli.config.conf_tree import conf_dir
from mmtx_cli.config.overrides import force_add
from mmtx_cli.errors import CheckpointError, ConfigError
from mmtx_cli.io.checkpoint import read_config
from mmtx_cli.runs import resume
from mmtx_cli.runs.resume import resume_config, run_settings
from tests.messages import faults_mention, mentions, raises

FIRST = (
    "data.path=x.jsonl",
    "encoder/image=vit",
    "encoder.image.depth=2",
    "fusion=concat",
    "head=captioning",
    "head.captioning.streams=[image,fused]",
    "dim=16",
    "optimizer.lr=1e-4",
    "trainer.max_steps=5",
)


def composed(run_dir, *args):
    with initialize_config_dir(str(conf_dir().absolute()), version_base="1.3"):
        cfg = compose("finetune", force_add([*args, f"run_dir={run_dir}"]))
    OmegaConf.set_struct(cfg, False)
    return cfg


@pytest.fixture
def go_on(tmp_path, monkeypatch):
    """Resume the run that FIRST began, with other arguments."""
    saved = OmegaConf.create(OmegaConf.to_container(composed(tmp_path, *FIRST), resolve=True))
    OmegaConf.save(saved, tmp_path / "config.yaml")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    monkeypatch.setattr(resume, "read_config", lambda path: {"tokenizer": None})

    def call(*args):
        args = ["resume=true", *args]
        monkeypatch.setattr(resume, "job_overrides", lambda: force_add(args))
        cfg, _ = resume_config(composed(tmp_path, *args))
        return OmegaConf.to_container(cfg, resolve=True)

    call.folder = tmp_path
    return call


def test_the_folder_alone_is_enough(go_on):
    cfg = go_on()
    assert (cfg["dim"], cfg["data"]["path"], cfg["resume"]) == (16, "x.jsonl", True)


def test_the_same_command_line_resumes(go_on):
    assert go_on(*FIRST)["encoder"]["image"]["depth"] == 2


def test_defaults_may_be_passed(go_on):
    cfg = go_on(
        "data.length_bucketing=false",
        "optimizer.betas=[0.9,0.98]",
        "data.num_workers=0",
        "head=captioning",
    )
    assert cfg["data"]["path"] == "x.jsonl"
    assert cfg["head"]["captioning"]["streams"] == ["image", "fused"]


def test_how_the_run_is_carried_out_may_change(go_on):
    cfg = go_on("trainer.max_steps=9", "trainer.devices=2", "logger=wandb", "data.num_workers=3")
    assert cfg["trainer"] == {"max_steps": 9, "devices": 2}
    assert cfg["logger"]["wandb"]["project"] == "mmtx"
    assert cfg["data"]["num_workers"] == 3


@pytest.mark.parametrize(
    ("arg", "given", "had"),
    [
        ("optimizer.lr=1", "optimizer.lr=1.0: ", " 0.0001"),
        ("optimizer.eps=1", "optimizer.eps=1.0: ", " 1e-08"),
        ("seed=3", "seed=3: ", " 1;"),
        ("dim=32", "dim=32: ", " 16"),
        ("data.path=y", "data.path=y: ", "'x.jsonl'"),
        ("data=scenes", "data.path=scenes/scenes.jsonl: ", "'x.jsonl'"),
        (
            "fusion=decision",
            "fusion._target_=mmtx_cli.fusion.decision.DecisionFusion: ",
            "mmtx_cli.fusion.concat",
        ),
        (
            "encoder/image=cnn",
            "encoder.image._target_=mmtx_cli.encoder.image.cnn.CnnImageEncoder: ",
            "mmtx_cli.encoder.image.vit",
        ),
        (
            "encoder/text=transformer",
            "encoder.text._target_=mmtx_cli.encoder.text.transformer.TransformerTextEncoder: ",
            None,
        ),
        ("encoder.image=null", "encoder.image=None: ", "mmtx_cli.encoder.image.vit"),
        (
            "head=contrastive",
            "head.contrastive._target_=mmtx_cli.head.contrastive.ContrastiveHead: ",
            None,
        ),
        (
            "head.captioning.streams=[image]",
            "head.captioning.streams=['image']: ",
            "['image', 'fused']",
        ),
        ("encoder.image.depht=2", "encoder.image.depht=2: ", None),
        ("ckpt=other", "ckpt=other: ", None),
    ],
)
def test_what_the_run_computes_may_not(arg, given, had, go_on):
    with pytest.raises(ConfigError) as caught:
        go_on(arg)
    faults_mention(caught.value.faults, (given, go_on.folder, had or "set", " ckpt="))


@pytest.mark.parametrize(
    ("arg", "parts"),
    [
        ("optimizer.lrr=1", ("optimizer.lrr: ", "key", "'lr'")),
        ("resume=often", ("resume: ", "'often'", "bool")),
    ],
)
def test_what_is_wrong_by_itself(arg, parts, go_on):
    with pytest.raises(ConfigError) as caught:
        go_on(arg)
    faults_mention(caught.value.faults, parts)


def test_all_differences_are_reported_at_once(go_on):
    with pytest.raises(ConfigError) as caught:
        go_on("seed=3", "dim=8", "head=contrastive")
    assert len(caught.value.faults) == 3


def test_trust_only_comes_from_the_command_line(go_on):
    path = go_on.folder / "config.yaml"
    saved = OmegaConf.load(path)
    saved.trusted_packages = ["os"]
    OmegaConf.save(saved, path)
    assert go_on()["trusted_packages"] == []
    assert go_on("trusted_packages=[mine]")["trusted_packages"] == ["mine"]


def test_redacted_secrets_are_passed_again(go_on):
    path = go_on.folder / "config.yaml"
    saved = OmegaConf.load(path)
    saved.encoder.image.key = "***"
    saved.data.root = "/mnt/***/x"
    OmegaConf.save(saved, path)
    with pytest.raises(ConfigError) as caught:
        go_on()
    parts = ("config.yaml", "secrets", "command line")
    faults_mention(caught.value.faults, ("encoder.image.key: ", *parts), ("data.root: ", *parts))
    cfg = go_on("encoder.image.key=abc", "data.root=/mnt/s/x")
    assert (cfg["encoder"]["image"]["key"], cfg["data"]["root"]) == ("abc", "/mnt/s/x")


@pytest.mark.parametrize("text", ["[1]", "a: [", "a: 1", "command: ${oc.env:HOME}", ""])
def test_a_folder_whose_config_is_not_ours(text, go_on):
    (go_on.folder / "config.yaml").write_text(text)
    with raises(CheckpointError, f"{go_on.folder / 'config.yaml'}: "):
        go_on()


def test_a_run_of_another_command(go_on):
    path = go_on.folder / "config.yaml"
    path.write_text(path.read_text().replace("command: finetune", "command: pretrain"))
    with raises(ConfigError, f"run_dir={go_on.folder}: ", "mmtx pretrain resume=true"):
        go_on()


def test_a_folder_without_a_run(tmp_path):
    parts = ("checkpoints/last.ckpt", " resume=true run_dir=")
    with raises(CheckpointError, f"run_dir={tmp_path}: ", *parts):
        resume_config(composed(tmp_path, "resume=true"))


def test_a_checkpoint_of_another_run_is_refused_by_what_differs(go_on, monkeypatch):
    own = {"seed": 1, "encoder.image.depth": 2, "a key of another version": 3, "data.root": "***"}
    monkeypatch.setattr(resume, "read_config", lambda path: {"run": own})
    assert go_on()["seed"] == 1
    for key, value in (("seed", 5), ("encoder.image.depth", 3), ("optimizer.lr", 0.5)):
        monkeypatch.setattr(resume, "read_config", lambda path, o=own | {key: value}: {"run": o})
        last = go_on.folder / "checkpoints" / "last.ckpt"
        config = go_on.folder / "config.yaml"
        with raises(CheckpointError, f"{last}: ", config, f": {key} ", f" {value!r} ", " ckpt="):
            go_on()


def test_a_run_is_what_it_computes():
    plain = {"seed": 1, "run_dir": "a", "command": "finetune", "api_key": "abc"}
    plain |= {
        "trainer": {"max_steps": 3, "gradient_clip_val": 1.0},
        "data": {"num_workers": 2, "path": "x", "batch_size": 4},
    }
    given = {"seed": 1, "api_key": "***", "trainer.gradient_clip_val": 1.0, "data.batch_size": 4}
    assert run_settings(plain) == given


def test_a_damaged_last_save_falls_back_to_the_newest_whole_one(go_on, monkeypatch, capsys):
    monkeypatch.setattr(resume, "read_config", read_config)
    saves = go_on.folder / "checkpoints"
    config = {
        "model": {"dim": 2, "encoder": {}, "fusion": {}, "head": {}},
        "preparation": {}, "data": {}, "run": {"seed": 1},
    }  # fmt: skip
    for age, name in enumerate(("best.ckpt", "older.ckpt")):
        torch.save({"config": config, "state_dict": {}, "name": name}, saves / name)
        os.utime(saves / name, (1e9 - age, 1e9 - age))
    (saves / "last.ckpt").write_bytes(b"half a checkpo")
    go_on()
    assert torch.load(saves / "last.ckpt")["name"] == "best.ckpt"
    message = capsys.readouterr().err
    mentions(
        message, f"{saves / 'last.ckpt'}: ", "read as a checkpoint", f" {saves / 'best.ckpt'}, "
    )
    for path in saves.iterdir():
        path.write_bytes(b"half a checkpo")
    with raises(CheckpointError, f"{saves / 'last.ckpt'}: ", "read as a checkpoint"):
        go_on()


def test_the_path_may_change_if_the_checkpoint_has_digests_of_the_rows(go_on, monkeypatch):
    config = {"tokenizer": None, "rows": {"train": {}, "val": {}}}
    monkeypatch.setattr(resume, "read_config", lambda path: config)
    cfg = go_on("data.path=moved/y.jsonl")
    assert (cfg["data"]["path"], cfg["dim"]) == ("moved/y.jsonl", 16)
    assert go_on()["data"]["path"] == "x.jsonl"


def test_a_redacted_path_is_given_again_also_in_an_early_run(go_on):
    path = go_on.folder / "config.yaml"
    path.write_text(path.read_text().replace("path: x.jsonl", "path: /mnt/***/x.jsonl"))
    assert go_on("data.path=/mnt/s/x.jsonl")["data"]["path"] == "/mnt/s/x.jsonl"


def test_a_url_of_a_saved_run_is_not_fetched_unless_it_is_given(go_on):
    path, url = go_on.folder / "config.yaml", "s3://bucket/folder"
    saved = OmegaConf.load(path)
    saved.data.root = url
    OmegaConf.save(saved, path)
    with raises(ConfigError, f"run_dir={go_on.folder}: ", url, f"set data.root={url}"):
        go_on()
    assert go_on(f"data.root={url}")["data"]["root"] == url
    assert go_on("data.root=/other")["data"]["root"] == "/other"
    saved.data.root = None
    saved.data.mixture = [{"name": "a", "path": "a.jsonl", "root": url}]
    OmegaConf.save(saved, path)
    with raises(ConfigError, url, "set data.mixture="):
        go_on()
    mixture = f"data.mixture=[{{name: a, path: a.jsonl, root: '{url}'}}]"
    assert go_on(mixture)["data"]["mixture"][0]["root"] == url
