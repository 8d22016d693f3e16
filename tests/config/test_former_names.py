"""Former names of keys, options and classes are answered with what they are now called."""

import pytest

from mmtx_cli.config.conf_tree import choices, cli_name, root_keys
from mmtx_cli.config.key_hints import setting_keys
from mmtx_cli.config.schema import SECTIONS
from mmtx_cli.io.former_names import CHOICES, COMMAND_KEYS, KEYS, renamed
from tests.command_line import refused
from tests.messages import mentions

SETTINGS = {key for name, schema in SECTIONS.items() for key in setting_keys(name, schema)}
OF_COMMANDS = [(c, old, new) for c, keys in COMMAND_KEYS.items() for old, new in keys.items()]


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize("old", [key for key in KEYS if not key.startswith("preparation.")])
def test_a_key_of_a_section(old, tmp_path):
    assert old not in SETTINGS
    assert KEYS[old] in SETTINGS
    message = refused("finetune", f"{old}=1", cwd=tmp_path)
    mentions(message, f"{old}: ", f"now called {KEYS[old]}\n")


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize(("command", "old", "new"), OF_COMMANDS)
def test_a_key_of_a_command(command, old, new, tmp_path):
    known = root_keys(command)
    assert (old in known, new in known) == (False, True)
    mentions(
        refused(*cli_name(command).split(), f"{old}=1", cwd=tmp_path),
        f"{old}: ",
        f"now called {new}\n",
    )


@pytest.mark.parametrize("old", [name for name in CHOICES if "action" not in name])
def test_an_option_of_a_group(old, tmp_path):
    group, _, name = old.partition("=")
    assert name not in choices(group)
    assert CHOICES[old].partition("=")[2] in choices(group)
    mentions(refused("finetune", old, cwd=tmp_path), f"{old}: ", f"now called {CHOICES[old]}\n")


def test_an_action_a_class_and_an_argument(tmp_path):
    mentions(refused("data", "action=make", "out=x", cwd=tmp_path), "action=make", "action=create")
    path = "mmtx_cli.encoder.image.vit"
    node = f"encoder.image={{_target_: {path}.ImageViT}}"
    message = refused("finetune", f"+{node}", "fusion=concat", cwd=tmp_path)
    mentions(message, "encoder.image._target_: ", f"now called {path}.ViTImageEncoder\n")
    message = refused(
        "finetune", "encoder/audio=torchaudio", "+encoder.audio.mix=true", cwd=tmp_path
    )
    mentions(message, "encoder.audio.mix: ", "now called encoder.audio.layer_mix\n")


def test_stored_configurations_are_read_with_the_present_names():
    stored = {
        "encoder": {
            "audio": {"_target_": "mmtx_cli.encoder.audio.pipeline.AudioPipeline", "mix": 1}
        },
        "trainer": {"clip": 1.0, "max_steps": 3},
        "data": {"fit": "pad", "mixture": [{"name": "a"}]},
        "mix": 2,
    }
    assert renamed(stored) == {
        "encoder": {
            "audio": {
                "_target_": "mmtx_cli.encoder.audio.torchaudio.TorchaudioAudioEncoder",
                "layer_mix": 1,
            }
        },
        "trainer": {"gradient_clip_val": 1.0, "max_steps": 3},
        "data": {"resize_mode": "pad", "mixture": [{"name": "a"}]},
        "mix": 2,
    }


def test_stored_arguments_and_values_in_american_spelling():
    path = "mmtx_cli.head.masked_reconstruction.MaskedReconstructionHead"
    stored = [
        {"_target_": "mmtx_cli.encoder.audio.ast.AstAudioEncoder", "normalise": "dataset"},
        {"_target_": path, "target": "normalised"},
        {"_target_": path, "target": ["normalised"]},
    ]
    spectrogram, normalized, other = renamed(stored)
    assert spectrogram["normalize"] == "dataset"
    assert (normalized["target"], other["target"]) == ("normalized", ["normalised"])


def test_stored_settings_of_a_captioning_head():
    """The decoder and generation were arguments of the head."""
    path = "mmtx_cli.head.captioning.CaptioningHead"
    head = {"_target_": path, "dim": 8, "vocab_size": 9, "depth": 2, "num_beams": 5}
    kept = renamed({"head": {"captioning": head}})
    assert kept["head"] == {"captioning": {"_target_": path, "dim": 8}}
    assert kept["generation"] == {"num_beams": 5}
    assert (kept["decoder"]["depth"], kept["decoder"]["vocab_size"]) == (2, 9)


def test_keys_of_generation_are_named(tmp_path):
    message = refused("finetune", "head=captioning", "head.captioning.num_beams=2", cwd=tmp_path)
    mentions(message, "head.captioning.num_beams: ", "now called generation.num_beams\n")
