import json

import pytest

from mmtx_cli.comparison.run_results import read_results, throughput
from mmtx_cli.errors import DataError


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
    found = read_results(run, test)
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


@pytest.mark.parametrize("content", ["", "[1]", "{" * 100, '{"metrics": NaN'])
def test_an_invalid_result(content, tmp_path):
    run = write(tmp_path / "run", result__json=content)
    with pytest.raises(DataError, match=r"run/result\.json"):
        read_results(run, run)
