"""Numbers, ordered classes and answers, from a manifest to figures."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mmtx_cli.io.quoting import quoted
from tests.command_line import TINY, TINY_IMAGE, mmtx, refused, succeeded
from tests.messages import mentions

TEXT = ("encoder/text=transformer", "encoder.text.width=16", "encoder.text.depth=1")
FIGURES = {
    "regression": {"mae", "rmse", "pearson", "r2"},
    "ordinal": {"accuracy", "mae", "kappa", "ece"},
    "vqa": {"accuracy", "exact_match"},
}
BASELINES = {
    "regression": {"mean", "median", "20 nearest neighbors", "ridge regression"},
    "ordinal": {"most frequent class", "median class", "logistic regression"},
    "vqa": {"most frequent answer", "most frequent answer to the question"},
}
RANKS = ("9", "10", "11")
LABELS: dict[str, Callable[[int, dict], object]] = {
    "regression": lambda i, row: len(row["captions"][0]) / 10,
    "ordinal": lambda i, row: RANKS[i % 3],
    "vqa": lambda i, row: None,
    "words": lambda i, row: row["label"],
}


@pytest.fixture(scope="module")
def manifest(place: Path, scenes: str) -> Callable[[str], str]:
    """Writes the drawn scenes with the labels of a task; the argument that names the file."""
    found = next(place.glob("*/scenes/scenes.jsonl"))
    rows = [json.loads(line) for line in found.read_text().splitlines()]

    def write(task: str) -> str:
        path = found.with_name(f"{task}.jsonl")
        lines = [{**row, "label": LABELS[task](i, row)} for i, row in enumerate(rows)]
        path.write_text("\n".join(map(json.dumps, lines)))
        return f"data.path={quoted(path)}"

    return write


@pytest.mark.parametrize(
    "head",
    [pytest.param(head, marks=pytest.mark.slow if head == "vqa" else ()) for head in FIGURES],
)
@pytest.mark.quick_cases(1)
def test_a_task_from_files_to_figures(place, manifest, head):
    run = f"tasks/{head}"
    args = [*TINY_IMAGE, *TINY, *TEXT, "fusion=gated", f"head={head}", manifest(head)]
    succeeded(mmtx("finetune", *args, f"run_dir={run}", cwd=place))
    evaluated = mmtx("eval", f"ckpt={run}", f"run_dir={run}/eval", "baselines=true", cwd=place)
    done = succeeded(evaluated)
    result = json.loads((done / "result.json").read_text())
    assert result["baselines"].keys() >= BASELINES[head]
    assert any("untrained" in name for name in result["baselines"])
    page = (done / "report.html").read_text()
    for name, part in result["baselines"].items():
        assert part["metrics"].keys() == part["intervals"].keys() == part["difference"].keys()
        assert part["metrics"].keys() <= result["metrics"].keys()
        assert name in page
        assert name in evaluated.stdout
    for sentence in result["unbeaten"].values():  # as good as untrained: there may be one
        assert " ".join(sentence.split()[:2]) in " ".join(evaluated.stdout.split())
    assert {name.partition("/")[2] for name in result["metrics"]} == FIGURES[head]
    assert result["count"] == 6
    predicted = json.loads((done / "predictions.jsonl").read_text().splitlines()[0])[head]
    assert isinstance(predicted["prediction"], float if head == "regression" else str)
    if head == "ordinal":  # by size, not by the alphabet
        config = json.loads((place / run / "model" / "config.json").read_text())
        assert config["label_names"] == [*RANKS]


def test_words_have_no_order_by_themselves(place, manifest):
    args = [*TINY_IMAGE, *TINY, "fusion=concat", "head=ordinal", manifest("words")]
    fault = refused("finetune", *args, cwd=place)
    mentions(fault, "head=ordinal ", "order", " circle, ", "label_names", "lowest")
