"""What the command line says, and how fast, before any command begins its work."""

import resource
import shlex
import subprocess
import sys

import pytest

from mmtx_cli import __version__
from mmtx_cli.cli import COMMANDS, main, run_and_report_errors
from mmtx_cli.errors import Interrupted
from tests.command_line import environment, error_message, mmtx, refused
from tests.messages import mentions

HEAVY = ("torch", "torchvision", "pytorch_lightning", "lightning_fabric", "wandb", "matplotlib")
WATCH = """
import sys
from mmtx_cli.cli import main
status = main(sys.argv[1:])
print("LOADED", *[name for name in sys.argv[0].split(",") if name in sys.modules], file=sys.stderr)
sys.exit(status)
"""


def cpu_seconds():
    """What the processes that this one started have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def watched(*args, cwd, watch=HEAVY):
    """Run a command; return its status, its output, and which of the packages it imported."""
    code = WATCH.replace("sys.argv[0]", repr(",".join(watch)))
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
    )
    err, _, loaded = done.stderr.rpartition("LOADED")
    return done.returncode, done.stdout, err, loaded.split()


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"], ["help"]])
def test_without_arguments_commands_are_listed(args, capsys):
    assert main(args) == 0
    message = capsys.readouterr().out
    assert message.startswith("mmtx: ")
    assert all(f"\n  {command} " in message for command in COMMANDS)


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mmtx {__version__}\n"


@pytest.fixture(scope="module")
def second():
    """CPU seconds that importing PyTorch takes here and now: about one on a quick machine."""
    begun = cpu_seconds()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return cpu_seconds() - begun


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.quick_cases(5)
def test_help_answers_at_once_without_torch_and_hydra(command, tmp_path, second):
    used = []
    while min(used, default=second) > second / 2 and len(used) < 4:  # others may be at work
        begun = cpu_seconds()
        watch = (*HEAVY, "hydra")
        status, out, _, loaded = watched(command, "--help", cwd=tmp_path, watch=watch)
        used.append(cpu_seconds() - begun)
    assert min(used) <= second / 2
    assert (status, loaded) == (0, [])
    assert out.startswith(f"usage: mmtx {command} ")
    assert list(tmp_path.iterdir()) == []


def test_help_knows_what_is_chosen_beside_it(tmp_path):
    done = mmtx("finetune", "head=captioning", "encoder/image=vit", "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    assert {"head.captioning.label_smoothing=0.1", "encoder.image.patch_size=16"} <= set(words)
    assert "data.batch_size=32" in words


@pytest.mark.parametrize(
    ("word", "hint"),
    [("pretrian", "`mmtx pretrain`"), ("quux", "demo, pretrain, finetune")],
)
def test_an_unknown_command(word, hint, capsys):
    assert main([word]) == 2
    mentions(capsys.readouterr().err, word, hint)


@pytest.mark.parametrize(
    "args",
    [
        ["finetune", "sed=3"],
        ["finetune", "fusion=gatted"],
        ["finetune", "data.batchsize=3", "trainer.max_epoch=3"],
        ["pretrain", "encoder/image=vit", "encoder.image.dept=3", "data.path=x.jsonl"],
        ["eval"],
        ["caption"],
        ["score"],
        ["export"],
        ["data"],
        ["data", "action=check", "manifest=nowhere.jsonl"],
    ],
)
@pytest.mark.quick_cases(8)
def test_a_wrong_configuration_fails_soon_and_without_torch(args, tmp_path):
    begun = cpu_seconds()
    status, out, err, loaded = watched(*args, cwd=tmp_path)
    assert cpu_seconds() - begun < 3
    assert (status, out, loaded) == (2, "", [])
    assert err.startswith(f"mmtx {args[0]}: ")
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_making_and_checking_data_imports_no_torch(tmp_path):
    status, _, err, loaded = watched("data", "action=create", "out=s", "num=10", cwd=tmp_path)
    assert (status, loaded) == (0, []), err
    check = ["data", "action=check", "manifest=s/scenes.jsonl", "decode=true"]
    status, _, err, loaded = watched(*check, cwd=tmp_path)
    assert (status, loaded) == (0, []), err


def test_options_and_overrides_mix_in_any_order(tmp_path):
    done = mmtx("finetune", "seed=7", "--cfg", "job", "dim=8", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "seed: 7" in done.stdout
    assert "dim: 8" in done.stdout


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["--epochs=3"], ["--epochs=3", "key=value"]),
        (["--cfg", "jo"], ["--cfg", "'jo'"]),
        (["--cfg"], ["--cfg", "argument"]),
        (["--config-dir", "nowhere"], ["--config-dir nowhere: ", "folder"]),
        (["dim=${nothing}"], ["dim: ", "'nothing'"]),
        (["dim=${oc.env:NOT_SET}"], ["dim: ", "'NOT_SET'"]),
        (["hydra.nothing=1"], ["'hydra.nothing'"]),
        (["~nothing"], ["'nothing'"]),
    ],
)
def test_hydra_errors_are_one_line(args, parts, tmp_path):
    err = error_message(mmtx("finetune", *args, cwd=tmp_path))
    mentions(err, *parts)
    assert err.count("\n") == 1


def test_debugging_shows_the_traceback(tmp_path):
    done = mmtx("finetune", "sed=3", cwd=tmp_path, MMTX_DEBUG="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("args", [[], ["finetune", "--help"], ["finetune", "--cfg", "job"]])
def test_a_reader_that_leaves_is_no_crash(args, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "mmtx_cli", *args],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    err = process.stderr.read()
    assert (process.wait(timeout=30), err) == (141, "")


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (["--config-path", "/tmp"], "--config-dir DIR"),
        (["--config-path=/tmp"], "--config-dir DIR"),
        (["-cp", "here"], "--config-dir DIR"),
        (["--config-name", "eval"], "--config-dir DIR experiment=NAME"),
        (["-cn", "mine"], "--config-dir DIR experiment=NAME"),
        (["--experimental-rerun", "job.pickle"], "resume=true run_dir=RUN"),
    ],
)
def test_an_option_of_hydra_that_mmtx_has_no_use_for(options, remedy):
    message = error_message(mmtx("score", *options, "references=a", "predictions=b"))
    assert message.startswith("mmtx score: --")
    assert message.endswith(f" {remedy}\n")
    assert message.count("\n") == 1


def test_both_at_once():
    message = error_message(mmtx("score", "-cp", "a", "-cn", "b", "references=a"))
    assert [line.split(":")[0].strip() for line in message.splitlines()[1:]] == [
        "--config-path",
        "--config-name",
    ]


def test_hydra_errors_of_a_configuration():
    done = mmtx("score", "--info", "searchpath", "references=a", "predictions=b")
    assert "Config search path" in done.stdout
    assert "usage:" not in done.stderr
    assert mmtx("score", "--version").stdout == f"mmtx {__version__}\n"


def test_a_sweep_reports_each_job_and_again_at_the_end(tmp_path):
    (tmp_path / "b").write_text('{"id": 1, "caption": "a dog"}\n')
    message = refused("score", "-m", "seed=1,2", "references=a", "predictions=b", cwd=tmp_path)
    jobs = [f"seed={seed} references=a predictions=b" for seed in (1, 2)]
    assert [message.count(f"{job}: a: ") for job in jobs] == [2, 2]
    mentions(message, "mmtx score: 2 ")
    assert list(tmp_path.rglob("multirun.yaml")) == []


def test_what_resumes_a_run_repeats_what_is_trusted(monkeypatch, capsys):
    def stopped(command, args):
        raise Interrupted(2, "stopped", "runs/a")

    monkeypatch.setattr("mmtx_cli.command.dispatch.launch", stopped)
    assert run_and_report_errors("finetune", ["trusted_packages=[mine]", "seed=2"]) == 130
    command = capsys.readouterr().err.rpartition("mmtx finetune ")[2]
    assert shlex.split(command) == ["resume=true", "run_dir=runs/a", "trusted_packages=[mine]"]
