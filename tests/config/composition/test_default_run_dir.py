"""Commands that start in the same second have run folders of their own."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
import yaml

from mmtx_cli.cli import main
from mmtx_cli.config.composition.default_run_dir import TIMESTAMP_SUFFIX, DefaultFolders
from mmtx_cli.config.conf_tree import conf_dir
from tests.command_line import mmtx, succeeded
from tests.messages import mentions

SECOND = "2026-01-02_03-04-05"


class Stopped(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz=None):
        return cls(2026, 1, 2, 3, 4, 5)


@pytest.fixture(autouse=True)
def _one_second(tmp_path, monkeypatch):
    monkeypatch.setattr("hydra.core.utils.datetime", Stopped)
    monkeypatch.setenv("MMTX_DEBUG", "0")
    monkeypatch.chdir(tmp_path)
    for name in ("WORLD_SIZE", "SLURM_NTASKS", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    captions = [{"id": str(i), "captions": [f"a dog runs {i}"], "caption": "a dog"} for i in (1, 2)]
    for name in ("references", "predictions"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in captions))


@pytest.fixture
def score(monkeypatch, capsys):
    """Run ``mmtx score``; return its exit status, its output and its errors."""

    def run(*args):
        given = ["score", "references=references.jsonl", "predictions=predictions.jsonl", *args]
        monkeypatch.setattr("sys.argv", ["mmtx", *given])
        return main([*given, "bootstrap=2"]), *capsys.readouterr()

    return run


def folders(tmp_path):
    return sorted(path.name for path in (tmp_path / "runs" / "score").iterdir())


def test_each_of_several_commands_has_a_folder(score, tmp_path):
    for name in (SECOND, f"{SECOND}-2", f"{SECOND}-3"):
        status, out, err = score()
        assert (status, err) == (0, "")
        assert out.splitlines()[-1] == str(tmp_path / "runs" / "score" / name)
        assert (tmp_path / "runs" / "score" / name / "result.json").is_file()
    assert folders(tmp_path) == [SECOND, f"{SECOND}-2", f"{SECOND}-3"]


@pytest.mark.parametrize("name", ["mine", "'runs/${now:%Y-%m-%d_%H-%M-%S}'"])
def test_a_folder_that_is_named_is_not_replaced(name, score, tmp_path):
    assert score(f"run_dir={name}")[0] == 0
    status, _, err = score(f"run_dir={name}")
    assert status == 2
    folder = name if name == "mine" else f"runs/{SECOND}"
    mentions(err, f"run_dir={tmp_path}/{folder}: ", "result")


def test_the_runs_of_a_sweep_share_a_folder(score, tmp_path):
    for name in (SECOND, f"{SECOND}-2"):
        status, _, err = score("-m", "seed=1,2")
        assert (status, err) == (0, "")
        runs = sorted(path.name for path in (tmp_path / "runs" / "score" / name).iterdir())
        assert [run[:1] for run in runs] == ["0", "1"]
    assert folders(tmp_path) == [SECOND, f"{SECOND}-2"]


@pytest.mark.parametrize("args", [["references=none.jsonl"], ["sed=3"], ["--cfg", "job"]])
@pytest.mark.parametrize("there", [False, True])
def test_what_does_not_run_leaves_no_folder(args, there, score, tmp_path):
    if there:
        (tmp_path / "runs").mkdir()
    score(*args)
    left = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert left == ({"runs"} if there else set())
    assert not there or not any((tmp_path / "runs").iterdir())


@pytest.mark.parametrize("variable", ["WORLD_SIZE", "SLURM_NTASKS", "NODE_RANK"])
def test_processes_of_a_launcher_keep_the_name_that_all_of_them_have(
    variable, score, tmp_path, monkeypatch
):
    (tmp_path / "runs" / "score" / SECOND).mkdir(parents=True)
    monkeypatch.setenv(variable, "2")
    monkeypatch.setenv("RANK", "0")
    assert score()[0] == 0
    assert folders(tmp_path) == [SECOND]


def test_a_place_that_cannot_be_made_is_reported_where_the_run_begins(score, tmp_path):
    for make in (lambda path: path.touch(), lambda path: path.symlink_to("nowhere")):
        make(tmp_path / "runs")
        status, _, err = score()
        assert status == 2
        mentions(err, tmp_path / "runs", "written")
        (tmp_path / "runs").unlink()


def test_no_two_of_many_have_the_same(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: DefaultFolders()._create(tmp_path / "a" / "b"), range(64)))
    assert len({*made}) == 64
    assert all(path.is_dir() for path in made)


def test_every_default_is_named_by_the_second():
    contents = [yaml.safe_load(path.read_text()) for path in conf_dir().glob("*.yaml")]
    defaults = [content["run_dir"] for content in contents if "run_dir" in content]
    assert len(defaults) > 5
    assert all(default.endswith(f"/{TIMESTAMP_SUFFIX}") for default in defaults)


def test_as_a_process(tmp_path):
    given = ["score", "references=references.jsonl", "predictions=predictions.jsonl", "bootstrap=2"]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: mmtx(*given, cwd=tmp_path), range(2)))
    assert len({succeeded(one) for one in done}) == 2
