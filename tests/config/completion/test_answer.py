"""What a line may go on with."""

from pathlib import Path

import pytest

from mmtx_cli.cli import COMMANDS
from mmtx_cli.command.compare import SWEEPS
from mmtx_cli.config.completion.answer import completions
from mmtx_cli.config.conf_tree import choices, group_names


def offered(line, shell="zsh"):
    return completions(line, [*COMMANDS], shell)


ACTIONS = ("cache", "check", "create", "import", "index", "shard")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("mmtx fi", ["finetune"]),
        ("mmtx completion ", ["bash", "fish", "zsh"]),
        ("mmtx nothing ", []),
        ("mmtx finetune head=capt", ["head=captioning"]),
        ("mmtx finetune head=[captioning,contr", ["head=[captioning,contrastive"]),
        ("mmtx finetune 'head=[captioning,contr", ["head=[captioning,contrastive"]),
        ("mmtx eval head=zero", ["head=zero_shot"]),
        ("mmtx eval head=capt", []),  # it is trained, not asked of a trained model
        ("mmtx finetune ++trainer.prec", ["++trainer.precision="]),
        ("mmtx finetune encoder/im", ["encoder/image="]),
        ("mmtx finetune data.augment.", [f"data.augment.{k}=" for k in ("color", "flip", "scale")]),
        (
            "mmtx finetune data.resize_mode=",
            [f"data.resize_mode={word}" for word in ("crop", "naflex", "pad", "squash")],
        ),
        ("mmtx finetune trainer.progress=", ["trainer.progress=false", "trainer.progress=true"]),
        ("mmtx finetune data.batch_size=", ["data.batch_size=32"]),
        ("mmtx finetune image_size=", []),
        ("mmtx finetune head=vqa head.vqa.dep", []),
        ("mmtx finetune head=captioning head.captioning.targ", ["head.captioning.target="]),
        ("mmtx caption generation.num_beams", ["generation.num_beams="]),
        ("mmtx pretrain experiment=scenes_pret", ["experiment=scenes_pretrain"]),
        ("mmtx data action=", [f"action={w}" for w in ACTIONS]),
        ("mmtx data action=cache encoder/te", ["encoder/text="]),
        ("mmtx data action=import importer=m", ["importer=mmimdb", "importer=mmsa"]),
        ("mmtx data action=import imp", ["importer="]),
        ("mmtx data action=import importer=csv split", ["split=", "split_by="]),
        ("mmtx data action=import importer=mmsa split", []),
        ("mmtx data action=create dataset=", [f"dataset={name}" for name in choices("dataset")]),
        ("mmtx data action=create dataset=fusion_lab task=u", ["task=unique"]),
        ("mmtx data action=create dataset=encoder_lab task=text_c", ["task=text_count"]),
        ("mmtx data action=create ta", []),
        ("mmtx data ", ["action="]),
        ("mmtx compare fusions=[film,gated_", ["fusions=[film,gated_cross_attention"]),
        ("mmtx score split=t", ["split=test", "split=train"]),
        ("mmtx finetune --c", ["--cfg", "--config-dir"]),
        ("mmtx finetune --cfg ", ["all", "hydra", "job"]),
    ],
)  # fmt: skip
def test_words(line, words):
    assert offered(line) == words


@pytest.mark.parametrize("group", group_names())
def test_every_choice_of_every_group(group):
    command = "finetune" if group not in ("logger",) else "pretrain"
    others = ("eval", "data action=create", "data action=import")
    found = [word for c in (command, *others) for word in offered(f"mmtx {c} {group}=")]
    assert {word.partition("=")[2] for word in found} >= {*choices(group)}


def test_files_and_folders(tmp_path, monkeypatch):
    (tmp_path / "runs" / "one").mkdir(parents=True)
    for name in ("rows.jsonl", "a b.jsonl", ".hidden"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert offered("mmtx finetune data.path=r") == ["data.path=rows.jsonl", "data.path=runs/"]
    assert offered("mmtx eval ckpt=runs/") == ["ckpt=runs/one/"]
    assert offered("mmtx eval ckpt=~/ru") == ["ckpt=~/runs/"]
    assert offered("mmtx compare 'runs=[runs/one,ru") == ["runs=[runs/one,runs/"]
    assert offered("mmtx data action=check manifest=a") == ["manifest=a b.jsonl"]
    assert offered("mmtx data action=check manifest=a", "bash") == [r"a\ b.jsonl"]
    assert offered(r"mmtx data action=check manifest=a\ b") == ["manifest=a b.jsonl"]
    assert offered("mmtx data action=check manifest=.h") == ["manifest=.hidden"]
    assert offered("mmtx finetune --config-dir r") == ["runs/"]
    assert offered("mmtx finetune data.path=nowhere/") == []


def test_user_configuration(tmp_path):
    (tmp_path / "fusion").mkdir()
    (tmp_path / "fusion" / "mine.yaml").write_text("_target_: gone.Mine\n")
    line = f"mmtx finetune --config-dir {tmp_path} fusion="
    assert "fusion=mine" in offered(line)
    assert offered(f"{line}mine fusion.") == []  # its source is not found: no keys, no fault
    assert Path("fusion") not in [Path(word) for word in offered(line)]


@pytest.mark.parametrize(
    ("command", "key", "words"),
    [
        ("data action=import", "missing", ["error", "skip"]),
        ("eval", "modality_subsets", ["all"]),
        ("compare", "sweep", [*SWEEPS]),
        ("data action=import importer=csv", "split_by", []),
        ("eval", "drop_modalities", []),
        ("finetune", "freeze", []),
        ("finetune", "trusted_packages", []),
        ("finetune", "head=captioning head.captioning.streams", []),
        ("finetune", "head=contrastive head.contrastive.pairs", []),
        ("finetune", "data.modality_dropout_by", []),
        ("compare", "metric", []),
        ("predict", "text", []),
        ("data action=cache", "modules", []),
    ],
)
def test_words_of_a_key_of_a_command(command, key, words, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    last = key.rpartition(" ")[2]
    assert offered(f"mmtx {command} {key}=") == [f"{last}={word}" for word in words]


@pytest.mark.parametrize(
    ("line", "inserted"),
    [
        (r"mmtx eval data.path=my\ f", r"my\ file.jsonl"),
        ('mmtx eval data.path="my f', "my file.jsonl"),
        ("mmtx eval data.path='my f", "my file.jsonl"),
        ("mmtx eval 'data.path=my f", "data.path=my file.jsonl"),
        ("mmtx eval data.path='my f'", r"my\ file.jsonl"),
        ('mmtx eval data.path="my "f', r"my\ file.jsonl"),
        ("mmtx predict 'inputs=[my", "inputs=[my file.jsonl"),
        (r"mmtx predict inputs=[my\ f", r"[my\ file.jsonl"),
        (r"mmtx eval data.path=it", r"it\'s\ \$5.csv"),
        ('mmtx eval data.path="it', r"it's \$5.csv"),
        ("mmtx eval data.path='it", r"it'\''s $5.csv"),
        ("mmtx eval 'data.path=dee", "data.path=deep/er/one.csv data.path=deep/er/two.csv"),
        ("mmtx eval data.path=dee", "deep/"),
        ("mmtx eval data.pa", "data.path="),
        ("mmtx eval modality_subsets=", "all"),
    ],
)
def test_what_bash_puts_in(line, inserted, tmp_path, monkeypatch):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("my file.jsonl", "it's $5.csv", "deep/er/one.csv", "deep/er/two.csv"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert " ".join(offered(line, "bash")) == inserted


def test_other_word_breaks():
    commands = [*COMMANDS]
    assert completions("mmtx finetune head=capt", commands, "bash", " ") == ["head=captioning"]
    assert completions("mmtx finetune head=[vqa,capt", commands, "bash", " =,") == ["captioning"]
