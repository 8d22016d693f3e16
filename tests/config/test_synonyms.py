import pytest
import yaml

from mmtx_cli.cli import COMMANDS, main
from mmtx_cli.config import schema
from mmtx_cli.config.composition.explain import override_faults
from mmtx_cli.config.conf_tree import root_keys
from mmtx_cli.config.synonyms import (
    BY_NAME,
    KEYS,
    POSITIONAL,
    equivalent_command,
    equivalent_key,
    file_override,
)
from mmtx_cli.config.synonyms import COMMANDS as OTHERS
from tests.messages import faults_mention, mentions


@pytest.mark.parametrize("word", OTHERS)
def test_other_programs_commands_lead_to_ours(word, capsys):
    assert main([word, "my.csv"]) == 2
    message = capsys.readouterr().err
    meant = equivalent_command(word, ["my.csv"])
    mentions(message, word, f"`mmtx {meant}`")
    assert meant.split()[0].strip("`") in COMMANDS
    assert word not in COMMANDS


@pytest.mark.parametrize("ours", KEYS)
def test_synonyms_lead_to_existing_keys(ours):
    section, *name = ours.split(".")
    if section in schema.SECTIONS:
        text = yaml.safe_dump(dict.fromkeys(schema.SECTIONS[section].__dataclass_fields__))
        assert not name or name[0] in text
    elif section != "head":
        assert any(section in root_keys(command) for command in ("finetune", "caption", "predict"))


@pytest.mark.parametrize(
    ("arg", "command", "meant"),
    [
        ("epochs=3", "finetune", "trainer.max_epochs"),
        ("learning_rate=1e-3", "pretrain", "optimizer.lr"),
        ("num_beams=5", "caption", "generation.num_beams"),
        ("output_dir=x", "finetune", "run_dir"),
        ("model=x", "eval", "ckpt"),
        ("imgsz=64", "finetune", "image_size"),
        ("gpus=2", "finetune", "trainer.devices"),
        ("labels=[a]", "predict", "texts"),
        ("embedding=true", "predict", "embeddings"),
        ("topk=3", "predict", "top"),
    ],
)
def test_other_names_of_keys(arg, command, meant):
    (fault,) = override_faults(arg, command, [])
    faults_mention([fault], (f"{arg.split('=')[0]}: ", repr(meant)))


def test_a_key_that_a_command_lacks_is_not_offered():
    assert equivalent_key("epochs", root_keys("score")) is None
    assert not BY_NAME.keys() & {*root_keys("finetune"), *root_keys("predict")} - {"logger"}


@pytest.mark.parametrize("command", POSITIONAL)
def test_a_bare_file_needs_its_key(command):
    name = "my.jpg" if POSITIONAL[command] == "inputs" else "my.jsonl"
    (fault,) = override_faults(name, command, [])
    mentions(fault, f"{name}: ", f" {POSITIONAL[command]}={name}", "key=value")
    assert file_override("nothing", command) is None


def test_a_bare_manifest_is_no_file_to_predict_for():
    assert file_override("my.jsonl", "predict") == "data.path=my.jsonl"


def test_data_is_a_group_and_a_manifest_is_a_path():
    (fault,) = override_faults("data=my.jsonl", "finetune", [])
    mentions(fault, "data=my.jsonl: ", "data.path=my.jsonl")
    (fault,) = override_faults("data=evnts", "finetune", [])
    mentions(fault, "data=evnts: ", "'events'")
