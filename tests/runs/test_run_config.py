from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mmtx_cli.config.conf_tree import conf_dir
from mmtx_cli.config.overrides import force_add
from mmtx_cli.config.schema import TrainerSettings
from mmtx_cli.runs.resolve import train_config
from mmtx_cli.runs.run_config import TrainConfig, with_facts


@pytest.fixture
def run(tmp_path) -> TrainConfig:
    """The settings of a run with components that depend on the data."""
    manifest = tmp_path / "m.jsonl"
    manifest.touch()
    args = [
        f"data.path={manifest}",
        "encoder/image=vit",
        "encoder/text=transformer",
        "encoder.audio=null",
        "fusion=concat",
        "head=captioning",
        "trainer.max_steps=5",
        "logger.wandb.name='${now:%f}'",
        f"run_dir={tmp_path / 'run'}",
    ]
    with initialize_config_dir(str(conf_dir().absolute()), version_base="1.3"):
        cfg = compose("finetune", force_add(args))
    OmegaConf.set_struct(cfg, False)
    return train_config(cfg)


def test_settings_are_typed_and_frozen(run):
    assert isinstance(run.trainer, TrainerSettings)
    assert (run.trainer.max_steps, run.command, run.run_dir.name) == (5, "finetune", "run")
    assert (run.dim, run.preprocessing.image_size) == (256, 224), "defaults"
    assert isinstance(run.run_dir, Path)
    assert (run.freeze, run.stored) == ((), {})
    assert all(type(node) is dict for node in (*run.encoder.values(), *run.head.values()))
    with pytest.raises(FrozenInstanceError):
        run.seed = 2


def test_an_encoder_that_is_disabled_is_absent(run):
    assert [*run.encoder] == ["text", "image"]
    assert run.plain["encoder"]["audio"] is None, "config.yaml has it"


def test_facts_about_the_data_give_new_settings(run):
    known = with_facts(run, {"vocab_size": 30, "bos_id": 2, "eos_id": 3, "text_vocab_size": 31})
    assert known.decoder["vocab_size"] == 30
    assert known.encoder["text"]["vocab_size"] == 31
    assert known.plain["vocab_size"] == 30
    assert run.decoder["vocab_size"] is None, "the settings before are unchanged"
    assert [*known.plain] == [*run.plain], "the order of config.yaml"
    assert replace(known, plain={}, encoder={}, decoder={}, head={}) == replace(
        run, plain={}, encoder={}, decoder={}, head={}
    )


def test_what_is_resolved_once_stays(run):
    """The time of a name is that of the start."""
    known = with_facts(run, {"vocab_size": 30})
    assert known.plain["logger"] == run.plain["logger"]


def test_the_config_of_the_model_may_be_changed(run):
    run.model["decoder"]["vocab_size"] = 1
    assert run.decoder["vocab_size"] is None
