"""Commands as a user runs them, on a path that is hard on every parser."""

import csv
import json
import shlex
import signal
import subprocess
import sys

import pytest
import yaml

from mmtx_cli.io.checkpoint import load_checkpoint, read_config
from mmtx_cli.io.quoting import quoted
from tests.command_line import (
    CAPTIONER,
    TINY,
    TINY_IMAGE,
    environment,
    mmtx,
    refused,
    stopped,
    succeeded,
)
from tests.messages import faults_mention, mentions

from .fixtures import AWKWARD_NAME


def last_step(run):
    return load_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"]


def test_a_run_folder_holds_what_was_done(place, captioner):
    run = place / AWKWARD_NAME / "captioner"
    names = {path.name for path in run.iterdir()}
    assert names >= {
        "config.yaml", "environment.json", "checkpoints", "metrics.csv", "result.json",
        "report.html", "model",
    }  # fmt: skip
    checkpoints = {path.name for path in (run / "checkpoints").iterdir()}
    assert checkpoints == {"last.ckpt", "best.ckpt", "previous.ckpt"}
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["command"], config["run_dir"]) == ("finetune", str(run))
    result = json.loads((run / "result.json").read_text())
    assert (result["command"], result["count"], result["steps"]) == ("finetune", 48, 4)
    assert result["val_count"] == 6
    with open(run / "metrics.csv", newline="") as file:
        assert list(csv.DictReader(file))


def test_nothing_is_left_beside_the_run_folder(place, captioner, contrastive):
    left = {path.name for path in place.iterdir()}
    assert not left & {"outputs", "multirun", "lightning_logs", "wandb"}


def test_evaluation_of_a_run(place, captioner):
    args = [captioner, f"run_dir={quoted(AWKWARD_NAME + '/scored')}", "bootstrap=5"]
    run = succeeded(mmtx("eval", *args, cwd=place))
    assert run == place / AWKWARD_NAME / "scored"
    result = json.loads((run / "result.json").read_text())
    assert result["count"] == 6
    assert "captioning/cider" in result["metrics"]
    assert result["cost"]["parameters"] > 0
    assert result["peak_memory_mb"] > 0
    rows = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
    assert len({row["id"] for row in rows}) == 6


@pytest.mark.slow
def test_a_dual_encoder_is_evaluated_on_the_captions_it_was_trained_on(place, contrastive):
    run = succeeded(mmtx("eval", contrastive, "run_dir=dual-scored", "bootstrap=2", cwd=place))
    assert any(
        "recall" in name for name in json.loads((run / "result.json").read_text())["metrics"]
    )


def test_captions_of_files_of_which_some_cannot_be_read(place, captioner, scenes):
    picture = f"{AWKWARD_NAME}/scenes/images/00001.jpg"
    (place / "broken.jpg").write_text("no picture")
    inputs = f"inputs=[broken.jpg,{quoted(picture)},missing.png]"
    done = mmtx("caption", captioner, inputs, "run_dir=captioned", cwd=place)
    run = succeeded(done)
    mentions(done.stderr, "2 of 3 inputs")
    rows = [json.loads(line) for line in done.stdout.splitlines()[:-1]]
    assert [row["path"] for row in rows] == ["broken.jpg", picture, "missing.png"]
    assert [set(row) - {"path"} for row in rows] == [{"error"}, {"caption", "score"}, {"error"}]
    assert done.stdout.startswith((run / "captions.jsonl").read_text())
    bad = [json.loads(line) for line in (run / "quarantine.jsonl").read_text().splitlines()]
    assert [set(row) for row in bad] == [{"id", "path", "reason"}] * 2


def test_a_reader_that_leaves_early_is_no_crash(place, captioner, scenes):
    inputs = f"inputs={quoted(AWKWARD_NAME + '/scenes')}"
    process = subprocess.Popen(
        [sys.executable, "-m", "mmtx_cli", "caption", captioner, inputs, "data.batch_size=2"],
        cwd=place / AWKWARD_NAME / "..",
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "caption" in json.loads(process.stdout.readline())
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=60) == 141  # 128 + SIGPIPE, as of other commands
    assert "Traceback" not in err
    assert "Broken" not in err


def test_export_stands_by_itself(place, captioner):
    folder = succeeded(mmtx("export", captioner, "out='my export'", cwd=place))
    assert folder == place / "my export"
    assert {path.name for path in folder.iterdir()} == {
        "model.safetensors", "config.json", "tokenizer.json", "README.md"
    }  # fmt: skip
    assert read_config(str(folder))["model"]["dim"] == 16
    card = (folder / "README.md").read_text()
    assert "captioning" in card
    err = refused("export", cwd=place)
    assert err.splitlines()[1:] == [
        "  ckpt: required; set ckpt=RUN out=FOLDER",
        "  out: required; set ckpt=RUN out=FOLDER",
    ]


def test_finetuning_begins_with_trained_weights(place, captioner, contrastive, scenes):
    args = [contrastive, scenes, "head=captioning", "decoder.num_heads=2"]
    args += ["encoder.text=null", "data.num_workers=0", "trainer.max_steps=1"]
    done = mmtx("finetune", *args, "trainer.accelerator=cpu", "run_dir=tuned", cwd=place)
    run = succeeded(done)
    mentions(done.stdout, "ckpt: ", " tensors from dual", ": head.captioning")
    assert list(read_config(str(run))["model"]["head"]) == ["captioning"]


@pytest.mark.slow
def test_a_new_head_learns_the_labels_of_its_own_data(place, scenes):
    args = [*TINY_IMAGE, *TINY, "fusion=concat", "head=classification"]
    first = succeeded(mmtx("finetune", *args, scenes, "run_dir=labels", cwd=place))
    lines = (place / AWKWARD_NAME / "scenes" / "scenes.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for row in rows:
        row["label"] = "light" if "white" in str(row["captions"]) else "dark"
    other = place / AWKWARD_NAME / "scenes" / "other.jsonl"
    other.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = f"data.path={quoted(str(other))}"
    args = ["ckpt=labels", data, "data.num_workers=0", "trainer.max_steps=1"]
    args.append("trainer.accelerator=cpu")
    err = refused("finetune", *args, "run_dir=refused", cwd=place)
    mentions(err, "other.jsonl:", "model", " label '")
    run = mmtx("finetune", *args, "head=classification", "run_dir=relabeled", cwd=place)
    known = read_config(str(succeeded(run)))["label_names"]
    assert known == ["dark", "light"] != read_config(str(first))["label_names"]


@pytest.mark.slow
def test_a_finished_run_is_resumed_by_the_same_command_line(place, captioner, scenes):
    run = quoted(f"{AWKWARD_NAME}/longer")
    args = [*CAPTIONER, scenes, f"run_dir={run}", "head.captioning.streams=[image,fused]"]
    folder = succeeded(mmtx("finetune", *args, cwd=place))
    assert last_step(folder) == 2
    succeeded(mmtx("finetune", *args, "resume=true", "trainer.max_steps=3", cwd=place))
    assert last_step(folder) == 3
    for steps in (["trainer.max_steps=14", "trainer.val_every=4"], ["trainer.max_steps=15"]):
        succeeded(mmtx("finetune", *args, "resume=true", *steps, cwd=place))
    assert last_step(folder) == 15
    assert json.loads((folder / "result.json").read_text())["steps"] == 15
    err = refused(
        "finetune", f"run_dir={run}", "resume=true", "trainer.accumulate_grad_batches=2", cwd=place
    )
    mentions(err, "trainer.accumulate_grad_batches=2: ", folder, " ckpt=")
    err = refused("finetune", f"run_dir={run}", "resume=true", "optimizer.lr=1", cwd=place)
    mentions(err, "optimizer.lr=1.0: ", folder, " 0.001", " ckpt=")
    err = refused("finetune", "run_dir=none", "resume=true", cwd=place)
    mentions(err, "run_dir=", "checkpoints/last.ckpt", "resume=true run_dir=RUN")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.quick_cases(1)
def test_an_interrupted_run_saves_where_it_stands(number, place, scenes):
    run = place / f"stopped {number.name}"
    args = ["finetune", *CAPTIONER, scenes, f"run_dir='{run.name}'", "trainer.max_steps=1000000"]
    args += ["trainer.log_every=1"]
    metrics = run / "metrics.csv"
    done = stopped(args, place, number, lambda: metrics.exists() and metrics.stat().st_size > 200)
    assert done.returncode == 128 + number, done.stderr
    assert "Traceback" not in done.stderr
    last = run / "checkpoints" / "last.ckpt"
    message, _, command = done.stderr.splitlines()[-1].rpartition(": mmtx finetune ")
    faults_mention([message], ("mmtx finetune: ", f"signal {int(number)}", f" {last}"))
    assert shlex.split(command) == ["resume=true", f'run_dir="{run}"']
    assert load_checkpoint(last)["global_step"] > 0


@pytest.mark.slow
def test_ctrl_c_outside_training_is_reported_in_one_line(place, captioner):
    inputs = f"inputs={quoted(AWKWARD_NAME + '/scenes')}"
    args = ["caption", captioner, inputs, "run_dir=interrupted", "data.batch_size=1"]
    made = place / "interrupted" / ".captions" / "launch"
    done = stopped(args, place, signal.SIGINT, made.exists)
    last = done.stderr.splitlines()[-1]  # before it, a folder may have files that are left out
    assert (done.returncode, last) == (130, "mmtx caption: interrupted")


def test_a_multirun_gives_each_job_a_folder_that_ckpt_takes_as_it_is(place, captioner, scenes):
    args = [captioner, "data.limit_samples=2", "bootstrap=2", "data.num_workers=0", "run_dir=jobs"]
    done = mmtx("eval", *args, "seed=1,2", "-m", "image_size=32", cwd=place)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (place / "jobs").iterdir()} == {"0_seed-1", "1_seed-2"}
    for seed in (1, 2):
        run = place / "jobs" / f"{seed - 1}_seed-{seed}"
        assert yaml.safe_load((run / "config.yaml").read_text())["seed"] == seed
        assert json.loads((run / "result.json").read_text())["count"] == 2
        command = json.loads((run / "environment.json").read_text())["command"]
        assert f" seed={seed} " in f"{command} "
        assert " -m " not in command
