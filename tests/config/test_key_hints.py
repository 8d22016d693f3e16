"""A key at the root that stands deeper in the configuration."""

import re

import pytest

from tests.command_line import refused
from tests.messages import mentions

MODEL = ("encoder/image=vit", "encoder/text=transformer", "fusion=concat", "head=captioning")


@pytest.mark.parametrize(
    ("args", "keys"),
    [
        (["encoder/image=vit", "width=128"], ["encoder.image.width"]),
        (["width=128", *MODEL[:2]], ["encoder.text.width", "encoder.image.width"]),
        (
            [*MODEL, "depth=2"],
            ["encoder.text.depth", "encoder.image.depth", "fusion.depth", "decoder.depth"],
        ),
        (["head=captioning", "label_smoothing=0"], ["head.captioning.label_smoothing"]),
        (["head=captioning", "captioning.weight=2"], ["head.captioning.weight"]),
        (["head=captioning", "+label_smoothing=0"], ["head.captioning.label_smoothing"]),
        (["experiment=avdigits", "freq_masks=1"], ["encoder.audio.freq_masks"]),
        (["batch_size=8"], ["data.batch_size"]),
        (["min_delta=8"], ["trainer.early_stopping.min_delta"]),
        (["logger=wandb", "project=mine"], ["logger.wandb.project"]),
        (["epochs=3"], ["trainer.max_epochs"]),
    ],
)
def test_the_keys_of_that_name_are_named(args, keys, tmp_path):
    message = refused("finetune", *args, cwd=tmp_path)
    (line,) = [line for line in message.splitlines() if repr(keys[0]) in line]
    assert sorted(re.findall(r"'([\w.]+)'", line)) == sorted(keys)


def test_a_key_of_what_is_not_chosen_is_not_named(tmp_path):
    message = refused("finetune", "encoder/audio=precomputed", "patch_size=8", cwd=tmp_path)
    mentions(message, "patch_size: ", "key")
    assert "encoder.image" not in message


def test_in_a_file(tmp_path):
    (tmp_path / "my" / "experiment").mkdir(parents=True)
    text = "# @package _global_\ndefaults: [{override /encoder/image: vit}]\nwidth: 64\n"
    (tmp_path / "my" / "experiment" / "mine.yaml").write_text(text)
    message = refused("finetune", "--config-dir", "my", "experiment=mine", cwd=tmp_path)
    mentions(message, "mine.yaml: width: ", "'encoder.image.width'")


def test_a_user_defined_component(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("class Fusion:\n    def __init__(self, strength=1): ...\n")
    (tmp_path / "my" / "fusion").mkdir(parents=True)
    (tmp_path / "my" / "fusion" / "own.yaml").write_text("_target_: mine.Fusion\n")
    message = refused("finetune", "--config-dir", "my", "fusion=own", "strength=2", cwd=tmp_path)
    mentions(message, "strength: ", "'fusion.strength'")
