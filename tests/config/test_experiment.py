import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mmtx_cli.config.conf_tree import choices, conf_dir
from mmtx_cli.config.overrides import force_add
from mmtx_cli.config.validate import check
from mmtx_cli.runs.resolve import DEFAULTS


@pytest.mark.parametrize("name", choices("experiment"))
def test_an_experiment_is_a_sound_configuration_by_itself(name):
    command = "pretrain" if name.endswith(("pretrain", "speech")) else "finetune"
    args = [f"experiment={name}", "data.path=x.jsonl"]
    if name == "flickr8k_mini_speech":  # it takes its encoder from ckpt
        args += ["encoder/text=transformer"]
    if name == "fusion_lab":  # a fusion is its question
        args += ["fusion=concat"]
    if name == "encoder_lab":  # an encoder is its question
        args += ["encoder/image=vit"]
    if name.endswith("self_critical"):  # all but the head is from ckpt
        args += ["ckpt=x", "encoder/image=vit", "fusion=decision", "decoder=transformer"]
    with initialize_config_dir(str(conf_dir().absolute()), version_base="1.3"):
        cfg = compose(command, force_add(args))
    OmegaConf.set_struct(cfg, False)
    for key, value in DEFAULTS.items():
        cfg[key] = value if cfg[key] is None else cfg[key]
    check(OmegaConf.to_container(cfg, resolve=True))
