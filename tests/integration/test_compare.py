"""A sweep over fusions, and the comparison of what it left."""

import csv
import json
import re
import shutil
import statistics

import numpy as np
import pytest
import yaml

from mmtx_cli.synthetic.scenes import make_scenes
from tests.command_line import TINY, TINY_IMAGE, mmtx, refused, succeeded
from tests.messages import mentions

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("compare"),  # so that the sweep is made once
]

stats = pytest.importorskip("scipy.stats")


@pytest.fixture(scope="module")
def swept(place):
    make_scenes(place / "plain", num=60, size=32, seed=0, workers=1)
    text = ["encoder/text=transformer", "encoder.text.width=16"]
    args = [*TINY_IMAGE, *TINY, *text, "head=classification", "data.path=plain/scenes.jsonl"]
    done = mmtx(
        "compare",
        "sweep=fusions",
        "fusions=[sum,gated]",
        "seeds=[1,2]",
        "jobs=2",
        "bootstrap=500",
        f"train_args={args}",
        "run_dir=swept",
        cwd=place,
    )
    return succeeded(done)


def rows(folder):
    with open(folder / "comparison.csv", newline="") as file:
        return {row["group"]: row for row in csv.DictReader(file)}


def test_figures_are_those_of_the_runs(swept):
    found = rows(swept)
    assert set(found) == {"fusion=sum", "fusion=gated"}
    results = [json.loads(p.read_text()) for p in sorted(swept.glob("eval/*/result.json"))]
    accuracy = [r["metrics"]["classification/accuracy"] for r in results]
    for name, own in (("sum", accuracy[:2]), ("gated", accuracy[2:])):
        row = found[f"fusion={name}"]
        assert row["runs"] == "2"
        assert float(row["classification/accuracy"]) == pytest.approx(stats.tmean(own))
        assert float(row["sd"]) == pytest.approx(statistics.stdev(own))
        assert float(row["parameters"]) == results[0 if name == "sum" else 2]["cost"]["parameters"]
        assert float(row["flops_per_sample"]) > 1000
        assert float(row["train_seconds"]) > 0
        assert float(row["peak_memory_mb"]) > 100
    difference = float(found["fusion=gated"]["difference"])
    assert difference == pytest.approx(np.mean(accuracy[2:]) - np.mean(accuracy[:2]))
    assert found["fusion=sum"]["difference"] == ""


def test_what_it_leaves(swept):
    page = (swept / "comparison.html").read_text()
    assert "<svg" in page
    assert "fusion=gated" in page
    assert re.search(r"Bars: [^.<]*standard deviation", page)
    assert "<code>" not in page.partition("</table>")[2]  # the names say all
    assert "http" not in page.replace("http-equiv", "")
    assert "| fusion=" in (swept / "comparison.md").read_text()


@pytest.mark.slow
def test_what_is_done_is_not_done_again(place, swept):
    before = {p: p.stat().st_mtime_ns for p in swept.glob("runs/*/result.json")}
    folder = place / "again"
    shutil.copytree(swept, folder)
    (folder / "result.json").unlink()
    shutil.rmtree(folder / "eval" / "003")
    args = [
        "sweep=fusions",
        "fusions=[sum,gated]",
        "seeds=[1,2]",
        "bootstrap=100",
        "train_args=['x=1']",
    ]
    assert succeeded(mmtx("compare", *args, "run_dir=again", cwd=place)) == folder
    assert {p: p.stat().st_mtime_ns for p in swept.glob("runs/*/result.json")} == before


def test_runs_by_their_folders(place, swept):
    args = ["runs=['swept/runs/*']", "baseline=gated", "metric=classification/f1_macro"]
    done = mmtx("compare", *args, "bootstrap=100", "run_dir=by_folder", cwd=place)
    found = rows(succeeded(done))
    assert found["fusion=sum"]["difference"] == ""  # no single sample has an F1
    assert set(found) == {"fusion=sum", "fusion=gated"}


def evaluated(swept, folder, *numbers):
    """A folder for a comparison in which runs of the sweep are evaluated already."""
    for i, number in enumerate(numbers):
        shutil.copytree(swept / "eval" / f"{number:03d}", folder / "eval" / f"{i:03d}")
    return f"run_dir={folder.name}"


def test_runs_of_one_configuration_are_one_group(place, swept):
    """Also where one of them spells out a default."""
    shutil.copytree(swept / "runs" / "sum-2", place / "spelt")
    config = yaml.safe_load((place / "spelt" / "config.yaml").read_text())
    config["data"] |= {"lowercase": True, "eval_batch_size": config["data"]["batch_size"]}
    config["encoder"]["image"]["dropout"] = 0.0
    (place / "spelt" / "config.yaml").write_text(yaml.safe_dump(config))
    runs = "runs=['swept/runs/sum-1',spelt]"
    done = mmtx("compare", runs, "bootstrap=100", evaluated(swept, place / "one", 0, 1), cwd=place)
    found = rows(succeeded(done))
    assert {name: row["runs"] for name, row in found.items()} == {"all runs": "2"}
    mentions(done.stderr, "seed", "one group")


def test_groups_that_differ_in_several_settings(place, swept):
    """Short names, and what they stand for, on the terminal and in all files."""
    changes = {
        "gated-1": {"text": "captions", "resize_mode": "pad"},
        "gated-2": {"length_bucketing": True},
    }
    for name, data in changes.items():
        shutil.copytree(swept / "runs" / name, place / "several" / name)
        path = place / "several" / name / "config.yaml"
        config = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump({**config, "data": {**config["data"], **data}}))
    runs = "runs=['several/*','swept/runs/sum-1']"
    into = evaluated(swept, place / "many", 2, 3, 0)
    done = mmtx("compare", runs, "bootstrap=100", into, cwd=place)
    folder = succeeded(done)
    names = [f"fusion {f}, {rest}" for f, rest in (
        ("gated", "text captions, resize_mode pad, length_bucketing false"),
        ("gated", "text text, resize_mode crop, length_bucketing true"),
        ("sum", "text text, resize_mode crop, length_bucketing false"),
    )]  # fmt: skip
    found = rows(folder)
    assert set(found) == {*names}
    assert [found[names[0]][key] for key in ("fusion", "data.resize_mode")] == ["gated", "pad"]
    full = "fusion=gated data.text=captions data.resize_mode=pad data.length_bucketing=false"
    page = (folder / "comparison.html").read_text()
    for text in (done.stdout, (folder / "comparison.md").read_text(), page):
        assert full in text
        assert names[0] in text
    labels = re.findall(r"<text[^>]*>([^<]*)</text>", page)
    assert "fusion gated, text captions" in " ".join(labels)
    assert "Bars:" not in page  # a run alone has no deviation


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        ([], ["runs: ", "finished runs"]),
        (["sweep=fusion", "train_args=['a=1']"], ["sweep=fusion: ", " fusions"]),
        (["sweep=fusions"], ["args: ", "train_args=['experiment="]),
        (["sweep=fusions", "train_args=['a=1']", "jobs=0"], ["jobs=0: ", " 1 "]),
        (
            ["sweep=fusions", "fusions=[sum,film]", "train_args=['fusion.condition=[image]']"],
            ["args, ", "fusion=sum: fusion.condition: ", "key"],
        ),
        (
            ["sweep=fusions", "train_args=['a=1']", "fusions=[gatd]"],
            ["fusions: ", "'gatd'", "'gated'"],
        ),
        (["runs=[nowhere]"], ["runs: nowhere: ", "run folder"]),
        (["runs=['swept/runs/sum-1']"], ["runs: ", " 2 runs"]),
        (
            ["runs=['swept/runs/*']", "metric=accuracy"],
            ["metric=accuracy: ", "classification/accuracy"],
        ),
        (["runs=['swept/runs/*']", "baseline=film"], ["baseline=film: ", "fusion=gated"]),
    ],
)
def test_what_cannot_be_compared(place, swept, args, parts):
    mentions(refused("compare", *args, cwd=place), *parts)


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_a_run_that_fails(place, jobs):
    """What it said is on the terminal where it was alone, else in a file."""
    (place / "broken.jsonl").write_text('{"id": 1}\n{"id": 1}\n')
    args = [*TINY_IMAGE, *TINY, "head=classification", "data.path=broken.jsonl"]
    sweep = ["sweep=fusions", "fusions=[sum,gated]", f"train_args={args}", f"run_dir=failing{jobs}"]
    done = mmtx("compare", *sweep, f"jobs={jobs}", cwd=place)
    last = done.stderr.splitlines()[-1]
    mentions(last, "args: `", "failed")
    assert (str(place / "failing2" / "runs") in last) == (jobs == 2)
    assert done.returncode == 2
    logs = [path.read_text() for path in place.glob("failing2/runs/*.log")]
    assert "broken.jsonl:2" in (done.stderr if jobs == 1 else "".join(logs))
