"""Heads to be trained, and heads that are asked of a trained model."""

from mmtx_cli.config.conf_tree import choices
from mmtx_cli.config.groups import accepted_options, load_choices

EVAL_ONLY = ["probe", "retrieval", "zero_shot"]


def test_every_head_is_offered_where_it_makes_sense():
    trained = accepted_options("head", "pretrain")
    assert accepted_options("head", "eval") == EVAL_ONLY
    assert accepted_options("head", "finetune") == trained
    assert sorted([*trained, *EVAL_ONLY]) == choices("head")


def test_other_groups_are_offered_as_they_are():
    assert accepted_options("fusion", "pretrain") == choices("fusion")


def test_a_user_defined_head_is_trained(tmp_path):
    (tmp_path / "head").mkdir()
    (tmp_path / "head" / "mine.yaml").write_text("# @package head.mine\n_target_: my.Head\n")
    assert accepted_options("head", "finetune", [tmp_path]) == ["mine"]
    assert accepted_options("head", "eval", [tmp_path]) == []


def test_an_option_has_what_the_files_that_it_extends_have(tmp_path):
    (tmp_path / "head").mkdir()
    base = "_target_: my.Head\ndim: 1\ndefaults: [/fusion@part: concat, again]\n"
    (tmp_path / "head" / "_base.yaml").write_text(base)
    own = "# @package head.mine\ndefaults: [_base, _self_]\ndim: 2\n"
    (tmp_path / "head" / "mine.yaml").write_text(own)
    (tmp_path / "head" / "again.yaml").write_text("defaults: [again, mine]\nlast: 3\n")
    (mine,) = load_choices(["head"], ["mine"], [tmp_path])
    assert (mine.content["_target_"], mine.content["dim"], mine.content["last"]) == (
        "my.Head",
        2,
        3,
    )
    assert (mine.place, mine.parts) == ("head.mine", {"fusion@head.mine.part": ["concat"]})
    assert choices("head", [tmp_path]) == ["again", "mine"]
