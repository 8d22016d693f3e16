"""Several systems: ``mmtx score predictions=[a.jsonl,b.jsonl]``."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mmtx_cli.command.score import run
from mmtx_cli.errors import ConfigError, DataError
from tests.command_line import environment
from tests.messages import faults_mention, raises

from .test_score import CAPTIONS, METRICS, PREDICTIONS, config, lines, reference_lines

OTHER = {name: own[0] for name, own in CAPTIONS.items()}


@pytest.fixture
def compare(tmp_path, monkeypatch, capsys):
    """Write the predictions of systems, run the command, and give its folder and its output."""
    monkeypatch.chdir(tmp_path)

    def compared(captions, **settings):
        Path("refs.json").write_text(reference_lines(), encoding="utf-8")
        paths = [f"{name}.jsonl" for name in captions]
        for path, own in zip(paths, captions.values(), strict=True):
            Path(path).write_text(lines({"id": i, "caption": c} for i, c in own.items()))
        run(config(predictions=paths, **settings))
        out = capsys.readouterr().out
        return Path(out.splitlines()[-1]), out

    return compared


def read(run_dir):
    return json.loads((run_dir / "result.json").read_text())


def test_each_system_each_pair_and_each_sample(compare):
    run_dir, out = compare({"beam": PREDICTIONS, "copy": OTHER, "same": OTHER})
    result = read(run_dir)
    assert list(result["systems"]) == ["beam", "copy", "same"]
    alone, _ = compare({"beam": PREDICTIONS}, run_dir="runs/alone")
    for key in ("metrics", "intervals"):
        assert result["systems"]["beam"][key] == read(alone)[key]
    pairs = {(part["a"], part["b"]): part["differences"] for part in result["pairs"]}
    assert list(pairs) == [("beam", "copy"), ("beam", "same"), ("copy", "same")]
    for (a, b), differences in pairs.items():
        assert list(differences) == [f"caption/{name}" for name in METRICS]
        for name, row in differences.items():
            parts = [result["systems"][system]["metrics"][name] for system in (a, b)]
            assert row["value"] == pytest.approx(parts[0] - parts[1])
            assert row["interval"][0] <= row["value"] <= row["interval"][1]
            assert sum(row["win_rate"].values()) == pytest.approx(1)
            # three samples have eight exchanges
            assert row["p"] >= 1 / 8
            assert row["better"] is None
    assert {row["p"] for row in pairs["copy", "same"].values()} == {1}
    rows = [json.loads(line) for line in (run_dir / "scores.jsonl").read_text().splitlines()]
    assert [(row["id"], row["system"]) for row in rows] == [
        (name, system) for system in ("beam", "copy", "same") for name in CAPTIONS
    ]
    assert all(list(row) == ["id", "system", *METRICS] for row in rows)
    for word in ("beam minus copy", "no difference shown", "tokenizer ptb", "report: "):
        assert word in out


def test_the_samples_that_differ_most(compare):
    run_dir, _ = compare({"beam": PREDICTIONS, "copy": OTHER})
    rows = [json.loads(line) for line in (run_dir / "differences.jsonl").read_text().splitlines()]
    assert {row["id"] for row in rows} == {*CAPTIONS}
    assert all((row["a"], row["b"], row["metric"]) == ("beam", "copy", "cider") for row in rows)
    gaps = [row["values"][0] - row["values"][1] for row in rows]
    assert gaps == sorted(gaps, key=abs, reverse=True)
    for row in rows:
        assert row["captions"] == [PREDICTIONS[row["id"]], OTHER[row["id"]]]
        assert row["references"] == CAPTIONS[row["id"]]
    run_dir, _ = compare({"copy": OTHER, "same": OTHER}, run_dir="runs/same")
    assert (run_dir / "differences.jsonl").read_text() == ""


def test_names_of_systems(compare):
    systems = {"one": PREDICTIONS, "two": OTHER}
    run_dir, _ = compare(systems, systems=["ours", "theirs"])
    assert list(read(run_dir)["systems"]) == ["ours", "theirs"]
    for names in (["ours"], ["ours", "ours"]):
        with raises(ConfigError, "systems: "):
            compare(systems, systems=names, run_dir="runs/other")


def test_every_system_must_have_every_id(compare):
    short = {name: text for name, text in OTHER.items() if name != "2"}
    with pytest.raises(DataError) as caught:
        compare({"a": PREDICTIONS, "b": short, "c": OTHER | {"9": "a cat"}})
    faults_mention(
        caught.value.faults,
        ("refs.json:2", "1 of 3 ids", "b.jsonl: 2;"),
        ("c.jsonl:4", "1 of 4 predictions", "refs.json: 9;"),
    )
    assert not Path("runs").exists()


def test_a_better_system_is_called_better(compare):
    ids = [f"{name} {copy}" for copy in range(8) for name in CAPTIONS]
    references = {i: CAPTIONS[i.split()[0]] for i in ids}
    Path("many.json").write_text(lines({"id": i, "captions": own} for i, own in references.items()))
    bad = dict.fromkeys(ids, "a thing is there")
    good = {i: own[0] for i, own in references.items()}
    run_dir, out = compare({"bad": bad, "good": good}, references="many.json", permutations=2000)
    rows = read(run_dir)["pairs"][0]["differences"]
    assert {row["better"] for row in rows.values()} == {"good"}
    assert all(row["p"] <= row["adjusted_p"] < 0.05 for row in rows.values())
    assert rows["caption/cider"]["win_rate"] == {"wins": 0, "losses": 1, "ties": 0}
    assert len(re.findall("good is better", out)) == len(METRICS)


def test_properties_have_no_direction_of_their_own(compare):
    run_dir, out = compare({"beam": PREDICTIONS, "copy": OTHER}, metrics=["overlap", "properties"])
    result = read(run_dir)
    rows = result["pairs"][0]["differences"]
    assert rows["caption/length"]["win_rate"] is None
    assert rows["caption/vocabulary"]["p"] is None
    assert "caption/vocabulary" not in result["systems"]["beam"]["intervals"]
    people = result["first_references"]["metrics"]
    lengths = [len(own[0].split()) for own in CAPTIONS.values()]
    assert people["caption/length"] == pytest.approx(sum(lengths) / 3)
    assert "not tested" in out
    assert "first references" in out


def test_torch_is_never_imported(tmp_path):
    """Neither for two systems, nor for ratings, nor for the page with its pictures."""
    (tmp_path / "refs.jsonl").write_text(reference_lines(image="none.jpg"))
    for name, own in (("a", PREDICTIONS), ("b", OTHER)):
        rows = lines({"id": i, "caption": text} for i, text in own.items())
        (tmp_path / f"{name}.jsonl").write_text(rows)
    ratings = [{"id": i, "system": "a", "rating": int(i)} for i in CAPTIONS]
    (tmp_path / "ratings.jsonl").write_text(lines(ratings))
    args = "score references=refs.jsonl predictions=[a.jsonl,b.jsonl] ratings=ratings.jsonl"
    code = f"""
import sys
from mmtx_cli.cli import main
assert main({[*args.split(), "run_dir=out"]}) == 0
print([name for name in ("torch", "matplotlib", "scipy") if name in sys.modules])
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *_, report, folder, modules = done.stdout.splitlines()
    assert modules == "[]"
    assert (report, folder) == (f"report: {tmp_path}/out/report.html", f"{tmp_path}/out")
    assert (tmp_path / "out" / "report.html").exists()


def test_novelty_needs_other_captions_than_the_references(compare):
    keys = {"metrics": ["properties"], "training": "refs.json"}
    with raises(ConfigError, "training=refs.json: ", "training_split=train"):
        compare({"a": PREDICTIONS}, **keys)
    Path("train.jsonl").write_text(lines([{"id": 1, "captions": [PREDICTIONS["1"].upper()]}]))
    run_dir, _ = compare({"a": PREDICTIONS}, **keys | {"training": "train.jsonl"})
    assert read(run_dir)["metrics"]["caption/novel"] == pytest.approx(2 / 3)
    Path("bad.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(DataError) as caught:
        compare({"a": {"1": "a dog"}}, **keys | {"training": "bad.jsonl"}, run_dir="runs/bad")
    faults_mention(
        caught.value.faults, ("refs.json:2", "a.jsonl: 2, 3"), ("bad.jsonl:1", "references")
    )


def test_parameters_that_differ_stand_under_their_system(compare, monkeypatch):
    from mmtx_cli.scoring import overlap
    from mmtx_cli.scoring import run as scoring_run

    def measured(family, captions, settings):
        found = overlap.measure(captions, settings)
        cut = sum(caption == "a girl with a balloon" for caption in captions.predictions)
        return replace(found, parameters=found.parameters | {"cut_captions": cut, "stages": []})

    monkeypatch.setattr(scoring_run, "measure", measured)
    run_dir, out = compare({"beam": PREDICTIONS, "copy": OTHER})
    result = read(run_dir)
    assert result["parameters"]["overlap"] == {"tokenizer": "ptb", "language": "und", "stages": []}
    for system, cut in (("beam", 1), ("copy", 0)):
        assert result["systems"][system]["parameters"] == {"overlap": {"cut_captions": cut}}
        assert f"overlap ({system}): cut_captions {cut}" in out
    assert "overlap: tokenizer ptb, language und\n" in out
    assert "stages" not in out
