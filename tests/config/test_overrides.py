from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.config.composition.explain import added_faults, explain_error, override_faults
from mmtx_cli.config.conf_tree import choices, conf_dir, config_dirs, root_keys, split_args
from mmtx_cli.config.overrides import force_add, is_section_key
from mmtx_cli.io.quoting import quoted
from tests.messages import faults_mention


def faults(*args, command="finetune"):
    return [fault for arg in split_args(args)[1] for fault in override_faults(arg, command, args)]


@pytest.mark.parametrize(
    "arg",
    [
        "seed=3",
        "fusion=concat",
        "encoder/image=vit",
        "head=[captioning,contrastive]",
        "data=scenes",
        "data.path='a b, c=d'",
        "data.nothing=3",  # check knows the keys of sections
        "+head.captioning.new=3",
        "~fusion",
        "hydra.verbose=true",
        "run_dir=runs/${seed}",
        "freeze=[encoder.image]",
    ],
)
def test_what_is_right_has_no_fault(arg):
    assert faults(arg) == []


@pytest.mark.parametrize(
    ("arg", "place", "parts"),
    [
        ("sed=3", "sed: ", ["key", "'seed'"]),
        ("zzz=3", "zzz: ", ["key", "seed", "fusion"]),
        ("fusion=gatted", "fusion=gatted: ", ["'gated'"]),
        ("encoder/image=vitt", "encoder/image=vitt: ", ["'vit'", "cnn, "]),
        ("head=captionin", "head=captionin: ", ["'captioning'"]),
        ("head=[captioning,clasification]", "head=clasification: ", ["'classification'"]),
        ("fusion=null", "fusion=null: ", [" ~fusion"]),
        ("encoder/text=null", "encoder/text=null: ", [" encoder.text=null"]),
        ("data=scene", "data=scene: ", ["'scenes'"]),
        ("encodr/image=vit", "encodr/image: ", ["group", "'encoder/image'"]),
        ("encoder/imag=vit", "encoder/imag: ", ["group", "'encoder/image'"]),
        ("encoder=vit", "encoder=vit: ", ["encoder/audio=NAME", "encoder/image=NAME"]),
        ("vit", "vit: ", ["key=value", "group=choice", "mmtx finetune --help"]),
        ("=3", "=3: ", ["key=value", "group=choice"]),
        ("freeze=[a", "freeze=[a: ", ["close", "brackets", "quotes"]),
        ("data.path=a=b", "data.path=a=b: ", ["'='", "quotes", "'data.path=\"a=b\"'"]),
        ("seed=1,2", "seed=1,2: ", [" -m", "'seed=[1,2]'"]),
    ],
)
def test_faults_are_reported_with_a_remedy(arg, place, parts):
    faults_mention(faults(arg), (place, *parts))


def test_keys_are_not_added_where_nothing_reads_them(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "one.yaml").touch()
    dirs = [conf_dir(), tmp_path]
    right = ["+head.x.y=1", "++data.limit_samples=3", "+mine=one", "+experiment=avdigits", "seed=2"]
    assert list(added_faults(right, "finetune", dirs)) == []
    for arg in ("+new=3", "++new=3", "+new.deeper=3", "+mine=one"):
        faults_mention([*added_faults([arg], "finetune", [conf_dir()])], (f"{arg}: ", "key"))
    faults_mention([*added_faults(["+sed=3"], "finetune", dirs)], ("+sed=3: ", "key", "'seed'"))


def test_a_sweep_is_looked_at_value_by_value():
    assert faults("-m", "fusion=concat,decision", "seed=1,2") == []
    (fault,) = faults("-m", "fusion=concat,gatted")
    assert "fusion=gatted" in fault


def test_a_command_that_takes_the_model_from_ckpt_has_no_choice_of_it():
    found = [
        *faults("head=captioning", command="caption"),
        *faults("encoder/image=vit", command="caption"),
        *faults("fusion=concat", command="score"),
    ]
    faults_mention(
        found,
        ("head: ", "mmtx caption", "ckpt=", "head.KEY=VALUE"),
        ("encoder/image: ", "mmtx caption", "ckpt=", "encoder.image.KEY=VALUE"),
        ("fusion: ", "mmtx score", "bootstrap, "),
    )


def test_user_defined_choices_are_offered(tmp_path):
    (tmp_path / "encoder" / "image").mkdir(parents=True)
    (tmp_path / "encoder" / "image" / "mine.yaml").write_text("_target_: mine.Encoder\n")
    mine = ["--config-dir", str(tmp_path)]
    assert faults(*mine, "encoder/image=mine") == []
    assert faults(f"--config-dir={tmp_path}", "encoder/image=mine") == []
    faults_mention(faults(*mine, "encoder/image=mien"), ("encoder/image=mien: ", "'mine'"))
    assert config_dirs(mine) == [conf_dir(), tmp_path]


def test_all_faults_are_explained_at_once():
    args = ["sed=3", "fusion=gatted", "data.batchsize=3", "trainer.max_steps=x", "data.path='a"]
    message = explain_error(ValueError("whatever Hydra says"), "finetune", args)
    assert [fault.split(":")[0].split("=")[0] for fault in message] == [
        "sed", "fusion", "data.path", "data.batchsize", "trainer.max_steps"
    ]  # fmt: skip


def test_other_errors_are_one_line_without_links():
    error = ValueError("first\n  second\nSee https://hydra.cc/docs for details")
    assert explain_error(error, "finetune", ["seed=1"]) == ["first second"]
    error = ValueError("Missing mandatory value: data.path")
    faults_mention(explain_error(error, "finetune", []), ("data.path: ", "data.path=VALUE"))


def test_options_and_overrides_are_separated():
    args = ["seed=1", "-m", "--config-dir", "conf", "fusion=concat", "--cfg", "job", "-cd=x", "a"]
    options = ["-m", "--config-dir", "conf", "--cfg", "job", "-cd=x"]
    assert split_args(args) == (options, ["seed=1", "fusion=concat", "a"])


@pytest.mark.parametrize(
    ("arg", "is_one"),
    [
        ("decoder.depth=3", True),
        ("data.path=x", True),
        ("head=captioning", False),
        ("encoder/image=vit", False),
        ("+head.x=1", False),
        ("hydra.job.name=x", False),
        ("data.path", False),
    ],
)
def test_keys_of_sections_are_opened(arg, is_one):
    assert is_section_key(arg) is is_one
    assert force_add([arg]) == [f"++{arg}" if is_one else arg]


def test_root_keys_are_those_of_the_composed_configuration():
    with initialize_config_dir(str(conf_dir().absolute()), version_base="1.3"):
        for command in ("pretrain", "finetune", "eval", "caption", "score", "export"):
            assert set(compose(command)) <= set(root_keys(command)), command


def test_choices_are_the_files():
    assert choices("fusion") == sorted(p.stem for p in (conf_dir() / "fusion").glob("*.yaml"))
    assert choices("nothing", [Path("nowhere")]) == []


@given(st.text(st.characters(exclude_characters="\x00\n\r$", codec="utf-8"), min_size=1))
def test_a_quoted_text_is_read_back(text):
    override = OverridesParser.create().parse_override(f"key={quoted(text)}")
    assert override.value() == text
