"""Which runs are one group, and what the groups are called."""

import pytest

from mmtx_cli.comparison.run_groups import MAX_NAME, group_runs
from mmtx_cli.comparison.run_results import select_baseline
from mmtx_cli.errors import ConfigError
from mmtx_cli.runs.stored_settings import flat
from tests.messages import raises


def settings(fusion="gated", seed=1, lr=1e-3, dim=16, **more):
    classes = {"gated": "GatedFusion", "tensor": "TensorFusion", "concat": "ConcatFusion"}
    target = f"mmtx_cli.fusion.{fusion}.{classes[fusion]}"
    width = {"width": 8} if fusion == "tensor" else {}
    config = {
        "seed": seed,
        "run_dir": f"runs/{fusion}-{seed}",
        "dim": dim,
        "fusion": {"_target_": target, "dim": dim, **width},
        "optimizer": {"lr": lr},
        "data": {"path": "/data/x.jsonl"},
    }
    return {**dict(flat(config)), **more}


def names(runs):
    return [group.name for group in group_runs(runs)]


def test_a_component_that_differs_is_called_by_its_choice():
    runs = [settings("gated", 1), settings("tensor", 1), settings("gated", 2)]
    assert names(runs) == ["fusion=gated", "fusion=tensor", "fusion=gated"]


def test_a_single_differing_setting_is_named_as_written():
    assert names([settings(lr=0.1), settings(lr=0.2)]) == ["optimizer.lr=0.1", "optimizer.lr=0.2"]


def test_several_settings_are_named_by_the_ends_of_their_keys():
    runs = [settings("tensor", **{"fusion.width": w}) for w in (8, 4)] + [settings("gated")]
    assert names(runs) == ["fusion tensor, width 8", "fusion tensor, width 4", "fusion gated"]
    assert group_runs(runs)[1].settings == {"fusion": "tensor", "fusion.width": "4"}


def test_keys_with_the_same_end_are_distinguished():
    depths = ("encoder.image.depth", "decoder.depth")
    runs = [settings(**dict(zip(depths, pair, strict=True))) for pair in ((1, 2), (2, 2), (2, 1))]
    assert names(runs)[0] == "image.depth 1, decoder.depth 2"


def test_runs_that_differ_in_nothing_that_counts_are_one_group():
    runs = [settings(seed=1), settings(seed=2, **{"trainer.progress": False})]
    assert names(runs) == ["all runs"] * 2


def test_equal_numbers_are_the_same_setting():
    assert names([settings(**{"optimizer.warmup": w}) for w in (1, 1.0)]) == ["all runs"] * 2


def test_what_follows_from_the_data_or_from_a_root_key_is_no_setting_of_its_own():
    runs = [
        settings(dim=d, label_names=["a"] * d, **{"head.c.label_names": ["a"] * d}) for d in (8, 16)
    ]
    assert names(runs) == ["dim=8", "dim=16"]
    own = settings(dim=16, **{"fusion.dim": 8})
    assert names([own, settings(dim=16)]) == ["fusion.dim=8", "fusion.dim=16"]


def test_runs_that_began_with_other_weights_are_another_kind():
    begun = [(seed, ckpt) for seed in (1, 2) for ckpt in (None, f"runs/pre_{seed}")]
    runs = [{**settings(seed=seed), "ckpt": ckpt} for seed, ckpt in begun]
    assert names(runs) == ["ckpt=null", "ckpt=given"] * 2


def test_of_paths_the_folders_that_all_share_are_left_out():
    folder = "/a/very/long/folder/that/says/nothing/of/the/difference/between/these/two/sets"
    runs = [settings(**{"data.path": f"{folder}/{name}"}) for name in ("a/x.jsonl", "b/x.jsonl")]
    assert names(runs) == ["path a/x.jsonl", "path b/x.jsonl"]
    assert group_runs(runs)[0].settings["data.path"] == f"{folder}/a/x.jsonl"


def test_two_classes_whose_modules_are_called_the_same():
    runs = [settings(**{"fusion._target_": target}) for target in ("a.mine.F", "b.mine.F")]
    assert names(runs) == ["fusion=a.mine.F", "fusion=b.mine.F"]


@pytest.mark.parametrize(
    "runs",
    [
        [{f"data.key_{i}": (i + j) % 3 for i in range(40)} for j in range(3)],
        [{f"data.key_{i}": i == j for i in range(40)} for j in range(40)],
        [{"data.text": f"{'x' * 200}{j}{'y' * 200}", "optimizer.lr": 0.1} for j in range(12)],
        [{f"optimizer.{'k' * 90}": j} for j in range(3)],
    ],
)
def test_names_are_short_and_unique(runs):
    found = names(runs)
    assert len({*found}) == len(runs)
    assert max(map(len, found)) <= MAX_NAME
    assert "None" not in "".join(found)


def test_a_name_indicates_omitted_differences():
    other = {f"data.a_long_name_of_a_setting_{i}": 2 for i in range(5)}
    first, second = names([settings("gated"), settings("tensor", **other)])
    assert first.startswith("fusion gated")
    assert first.endswith(", …")
    assert second.startswith("fusion tensor")


@pytest.mark.parametrize("wanted", ["fusion=concat", "concat", "fusion concat, lr 0.1"])
def test_a_baseline_by_its_name_or_by_what_it_alone_has(wanted):
    groups = group_runs([settings("gated", lr=0.1), settings("concat", lr=0.1), settings(lr=0.2)])
    assert select_baseline(groups, wanted).settings["fusion"] == "concat"
    with raises(ConfigError, "baseline=0.1: ", "ambiguous", " fusion gated, lr"):
        select_baseline(groups, "0.1")
