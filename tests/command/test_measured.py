import json

import pytest

from mmtx_cli.command.measured import flat, group_names, measured, settings_of, throughput
from mmtx_cli.error import DataError


def settings(fusion="gated", seed=1, lr=1e-3, **more):
    fusions = {"gated": "GatedFusion", "tensor": "TensorFusion"}
    target = f"mmtx_cli.fusion.{fusion}.{fusions[fusion]}"
    node = {"_target_": target, "dim": 16, **({"width": 8} if fusion == "tensor" else {}), **more}
    config = {"seed": seed, "run_dir": f"runs/{fusion}-{seed}", "fusion": node}
    return dict(flat({**config, "optimizer": {"lr": lr}, "data": {"path": "x"}}))


def test_a_component_that_differs_is_called_by_its_choice():
    runs = [settings("gated", 1), settings("tensor", 1), settings("gated", 2)]
    assert group_names(runs) == ["fusion=gated", "fusion=tensor", "fusion=gated"]


def test_keys_that_differ_are_told():
    assert group_names([settings(lr=0.1), settings(lr=0.2)]) == [
        "optimizer.lr=0.1",
        "optimizer.lr=0.2",
    ]
    runs = [settings("tensor", width=8), settings("tensor", width=4), settings("gated")]
    assert group_names(runs) == [
        "fusion=tensor fusion.width=8",
        "fusion=tensor fusion.width=4",
        "fusion=gated",
    ]


def test_runs_of_one_kind_have_no_name():
    assert group_names([settings(seed=1), settings(seed=2)]) == ["", ""]


def test_runs_that_began_with_other_weights_are_another_kind():
    begun = [(seed, ckpt) for seed in (1, 2) for ckpt in (None, f"runs/pre_{seed}")]
    runs = [{**settings(seed=seed), "ckpt": ckpt} for seed, ckpt in begun]
    assert group_names(runs) == ["ckpt=None", "ckpt=given"] * 2


def write(folder, **files):
    folder.mkdir()
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_what_a_run_left(tmp_path):
    logged = "step,items_per_second\n1,\n2,30\n3,10\n4,20\n"
    run = write(
        tmp_path / "run",
        result__json={"seconds": 9.5, "peak_memory_mb": 512.0},
        config__yaml="seed: 1\nfusion: {_target_: a.b.C}\n",
        metrics__csv=logged,
    )
    rows = [
        {"id": "a", "inputs": {}, "regression": {"prediction": 1.0, "scores": {"error": 0.5}}},
        {"id": "b", "inputs": {}, "regression": {"prediction": 1.0, "scores": {"error": 1.5}}},
    ]
    test = write(
        tmp_path / "test",
        result__json={"metrics": {"regression/mae": 1.0}, "cost": {"parameters": 7}},
        predictions__jsonl="\n".join(map(json.dumps, rows)),
    )
    found = measured(run, test)
    assert settings_of(run) == {"seed": 1, "fusion._target_": "a.b.C"}
    assert found.values("regression/mae") == {"a": 0.5, "b": 1.5}
    assert found.values("regression/pearson") == {}
    assert found.cost == {
        "parameters": 7,
        "flops_per_sample": None,
        "train_seconds": 9.5,
        "samples_per_second": 20.0,
        "peak_memory_mb": 512.0,
    }
    assert throughput(tmp_path / "none.csv") is None


def test_a_run_that_is_not_finished(tmp_path):
    with pytest.raises(DataError, match="no finished run; wait for its end, or go on by resume"):
        settings_of(write(tmp_path / "run"))
