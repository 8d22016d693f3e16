import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mmtx_cli.io.quoting import quoted
from mmtx_cli.synthetic.scenes.make import make_scenes
from tests.command_line import CAPTIONER, CONTRASTIVE, environment, mmtx, refused, succeeded
from tests.messages import mentions

LIMITED = """
import resource, sys
limit = int(sys.argv.pop(1))
from mmtx_cli.cli import main
import torch, pytorch_lightning
from mmtx_cli.planning.memory import _status
resource.setrlimit(resource.RLIMIT_DATA, (_status("VmData") + limit,) * 2)
sys.exit(main(sys.argv[1:]))
"""
"""A command that may allocate so many bytes beyond what its libraries take."""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = make_scenes(tmp_path_factory.mktemp("plan") / "scenes", num=100, size=32, workers=1)
    return f"data.path={quoted(str(path))}"


def finetuned(folder: Path, *more: str) -> subprocess.CompletedProcess:
    return mmtx("finetune", *CAPTIONER, *more, "run_dir=run", cwd=folder)


# what is refused before anything is measured


def test_a_plan_that_is_no_yes_or_no(manifest: str, tmp_path: Path):
    error = refused("finetune", *CAPTIONER, manifest, "plan=maybe", "seed=x", cwd=tmp_path)
    mentions(error, "plan: 'maybe' is not of type bool", "seed: 'x'")


def test_the_plan_of_a_resumed_run(tmp_path: Path):
    mentions(refused("finetune", "resume=true", "plan=true", cwd=tmp_path), "plan:", "resume")


def test_a_batch_size_that_is_no_number(manifest: str, tmp_path: Path):
    error = refused("finetune", *CAPTIONER, manifest, "data.batch_size=large", cwd=tmp_path)
    mentions(error, "data.batch_size", "'large'", "int")


def test_the_batch_size_of_a_mixture(manifest: str, tmp_path: Path):
    path = manifest.partition("=")[2]
    mixture = f"data.mixture=[{{name: a, path: {path}}},{{name: b, path: {path}}}]"
    error = refused("finetune", *CAPTIONER, mixture, "data.batch_size=auto", cwd=tmp_path)
    mentions(error, "data.batch_size=auto", "data.mixture")


def test_the_batch_size_of_a_resumed_run(tmp_path: Path):
    error = refused("finetune", "resume=true", "data.batch_size=auto", cwd=tmp_path)
    mentions(error, "data.batch_size=auto", "resumed", "config.yaml")


def test_the_batch_size_of_validation(manifest: str, tmp_path: Path):
    words = [*CAPTIONER, manifest, "data.eval_batch_size=auto"]
    mentions(refused("finetune", *words, cwd=tmp_path), "data.eval_batch_size=auto", "mmtx eval")


def test_the_batch_size_of_processes_of_a_launcher(
    manifest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SLURM_NTASKS", "2")
    words = [*CAPTIONER, manifest, "data.batch_size=auto"]
    mentions(refused("finetune", *words, cwd=tmp_path), "data.batch_size=auto", "single process")


def test_more_steps_than_can_be_profiled(manifest: str, tmp_path: Path):
    words = [*CAPTIONER, manifest, "trainer.profile_steps=0"]
    mentions(refused("finetune", *words, cwd=tmp_path), "trainer.profile_steps", "at least 1")


# what is measured


@pytest.mark.slow
def test_the_plan_is_no_obstacle_to_the_run(manifest: str, tmp_path: Path):
    plan_file = succeeded(finetuned(tmp_path, manifest, "plan=true"))
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["plan.json"]
    plan = json.loads(plan_file.read_text())
    # a new process: a fork of one that has imported everything shares its memory
    words = [sys.executable, "-m", "mmtx_cli", "finetune", *CAPTIONER, manifest, "run_dir=run"]
    subprocess.run(words, cwd=tmp_path, env=environment(), check=True, capture_output=True)
    run = tmp_path / "run"
    result = json.loads((run / "result.json").read_text())
    assert plan["parameters"]["total"] == result["cost"]["parameters"]
    assert plan["steps"] == result["steps"]
    assert plan["memory_bytes"]["peak"] == pytest.approx(1e6 * result["peak_memory_mb"], rel=0.25)
    sizes = [p.stat().st_size for p in (run / "checkpoints").iterdir()]
    assert plan["disk_bytes"]["checkpoints"] == pytest.approx(sum(sizes), rel=0.02)
    assert "plan" not in yaml.safe_load((run / "config.yaml").read_text())


@pytest.mark.slow
def test_evaluation_and_captions_are_planned(manifest: str, tmp_path: Path):
    run = succeeded(finetuned(tmp_path, manifest))
    words = [f"ckpt={run}", "plan=true", "data.num_workers=0"]
    found = mmtx("eval", *words, manifest, "split=train", "run_dir=e", cwd=tmp_path)
    plan = json.loads(succeeded(found).read_text())
    assert plan["samples"] > 0 < plan["seconds"]["total"]
    result = json.loads((run / "result.json").read_text())
    assert plan["parameters"]["total"] == result["cost"]["parameters"]
    pictures = Path(manifest.partition("=")[2].strip("'\"")).parent / "images"
    found = mmtx("caption", *words, f"inputs={quoted(str(pictures))}", "run_dir=c", cwd=tmp_path)
    assert json.loads(succeeded(found).read_text())["samples"] == len([*pictures.iterdir()])
    assert [p.name for p in (tmp_path / "c").iterdir()] == ["plan.json"]


@pytest.mark.slow
def test_the_batch_size_that_was_found_is_recorded(manifest: str, tmp_path: Path):
    done = finetuned(tmp_path, manifest, "data.batch_size=auto")
    run = succeeded(done)
    size = yaml.safe_load((run / "config.yaml").read_text())["data"]["batch_size"]
    assert f"data.batch_size={size}: needs" in done.stderr
    assert size & (size - 1) == 0
    assert size > 8
    resumed = mmtx("finetune", "resume=true", "run_dir=run", "trainer.max_steps=3", cwd=tmp_path)
    succeeded(resumed)
    assert yaml.safe_load((run / "config.yaml").read_text())["data"]["batch_size"] == size


@pytest.mark.slow
def test_two_processes_use_the_size_that_one_found(manifest: str, tmp_path: Path):
    words = ["data.batch_size=auto", "trainer.devices=2", "trainer.strategy=ddp"]
    run = succeeded(finetuned(tmp_path, manifest, *words))
    size = yaml.safe_load((run / "config.yaml").read_text())["data"]["batch_size"]
    assert size % 2 == 0


@pytest.mark.slow
def test_the_batch_size_of_evaluation(manifest: str, tmp_path: Path):
    run = succeeded(finetuned(tmp_path, manifest))
    words = [f"ckpt={run}", manifest, "split=train", "data.eval_batch_size=auto", "run_dir=e"]
    done = mmtx("eval", *words, cwd=tmp_path)
    found = yaml.safe_load((succeeded(done) / "config.yaml").read_text())["data"]
    assert f"data.eval_batch_size={found['eval_batch_size']}: needs" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "words", "remedy"),
    [
        ("finetune", CAPTIONER, "trainer.accumulate_grad_batches="),
        ("pretrain", [*CONTRASTIVE, "data.text=captions"], "trainer.encoder_micro_batch="),
    ],
)
def test_memory_runs_out(
    manifest: str, tmp_path: Path, command: str, words: list[str], remedy: str
):
    large = ["image_size=128", "encoder.image.width=64", "data.batch_size=64"]
    args = [command, *words, *large, manifest, "run_dir=run"]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(300 * 10**6), *args],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    mentions(done.stderr, "out of memory", "data.batch_size=64 a batch does not fit", remedy)


@pytest.mark.slow
def test_profile(manifest: str, tmp_path: Path):
    steps = ["trainer.max_steps=8", "trainer.profile_steps=2"]
    done = finetuned(tmp_path, manifest, *steps)
    folder = succeeded(done) / "profile"
    events = json.loads(gzip.decompress((folder / "trace.json.gz").read_bytes()))["traceEvents"]
    names = {event.get("name") for event in events}
    assert {"module model.encoder.image", "aten::mm"} <= names
    summary = (folder / "summary.md").read_text()
    for phase in ("waiting for data", "forward", "backward", "optimizer", "model.encoder.image"):
        assert f"| {phase} |" in summary
    assert "2 training steps" in summary
    mentions(done.stdout, "profile of 2 steps", "trace.json.gz")


@pytest.mark.slow
def test_each_process_has_a_trace(manifest: str, tmp_path: Path):
    words = ["trainer.devices=2", "trainer.strategy=ddp", "trainer.profile_steps=1"]
    run = succeeded(finetuned(tmp_path, manifest, *words))
    names = sorted(p.name for p in (run / "profile").iterdir())
    assert names == ["summary-0.md", "summary-1.md", "trace-0.json.gz", "trace-1.json.gz"]
