"""Nothing runs that the command line does not trust, wherever a configuration comes from."""

import os

import pytest

from mmtx_cli.config.completion.answer import completions
from tests.command_line import error_message, mmtx, refused
from tests.messages import mentions

GLOBAL = "# @package _global_\n"
WRITES = "open('EXECUTED', 'w').close()\n"


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """Write configurations; give the options that choose the experiment ``evil``."""
    monkeypatch.chdir(tmp_path)

    def write(text, name="experiment/evil"):
        path = tmp_path / "my" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


EVIL = ("--config-dir", "my", "experiment=evil")

RUNS_CODE = {
    "a callback": "hydra: {callbacks: {e: {_target_: torch.load, f: evil.pt}}}",
    "one within a callback": "hydra: {callbacks: {e: {x: [{_target_: os.system}]}}}",
    "a callback by reference": "hydra: {callbacks: '${seed}'}",
    "a reference below": "hydra: {callbacks: {e: '${data}'}}\ndata: {_target_: os.system}",
    "callbacks by a resolver": "hydra: {callbacks: {e: '${oc.create:{_target_: os.system}}'}}",
    "a name put together": "hydra: {callbacks: {e: {_target_: 'os.${now:system}'}}}",
    "a callback of mmtx": "hydra: {callbacks: {e: {_target_: mmtx_cli.cli.main}}}",
    "the launcher": "hydra: {launcher: {_target_: hydra_plugins.evil.Evil}}",
    "the sweeper": "hydra: {sweeper: {_target_: os.system}}",
    "parameters of the sweeper": "hydra: {sweeper: {params: {a: {_target_: os.system}}}}",
    "a handler": "hydra: {job_logging: {handlers: {h: {class: evil.Handler}}}}",
    "a handler of the library": (
        "hydra: {hydra_logging: {handlers: {h: {class: logging.handlers.SocketHandler}}}}"
    ),
    "a factory": "hydra: {hydra_logging: {formatters: {f: {(): os.system}}}}",
    "a filter": "hydra: {job_logging: {filters: {f: {(): evil.Filter}}}}",
    "an object for a handler": (
        "hydra: {job_logging: {handlers: {h: {class: logging.StreamHandler, "
        "stream: 'ext://os.environ'}}}}"
    ),
    "a class put together": ("hydra: {job_logging: {handlers: {h: {class: '${hydra.job.name}'}}}}"),
    "a log by reference": "hydra: {job_logging: '${data}'}",
    "a variable of the environment": "hydra: {job: {env_set: {PYTHONPATH: evil}}}",
    "a package to search": "hydra: {searchpath: ['pkg://evil']}",
    "itself": "trusted_packages: [evil]\nfusion: {_target_: evil.Evil}",
    "itself, by reference": "trusted_packages: ['${command}']",
    "every package": "trusted_packages: ['']",
}


@pytest.mark.parametrize("text", RUNS_CODE.values(), ids=RUNS_CODE)
def test_a_file_cannot_run_code(text, conf, tmp_path):
    path = conf(f"{GLOBAL}{text}\n")
    (tmp_path / "evil.py").write_text(WRITES)
    message = refused("finetune", *EVIL)
    assert "hydra." in message or "trusted_packages" in message
    assert str(path) in message or "searchpath" in message
    assert not (tmp_path / "EXECUTED").exists()


ELSEWHERE = {
    "the folder": "hydra: {run: {dir: elsewhere}}",
    "the folder of a sweep": "hydra: {sweep: {dir: elsewhere}}",
    "its parts": "hydra: {sweep: {subdir: '../elsewhere'}}",
    "records with secrets": "hydra: {output_subdir: elsewhere}",
    "the place of work": "hydra: {job: {chdir: true}}",
    "a log": (
        "hydra: {hydra_logging: {handlers: {h: {class: logging.FileHandler, filename: elsewhere}}}}"
    ),
}


@pytest.mark.parametrize("text", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_file_cannot_write_elsewhere(text, conf, tmp_path):
    path = conf(f"{GLOBAL}{text}\n")
    message = refused("finetune", *EVIL, *["-m"] * ("sweep" in text))
    assert f"{path}: hydra." in message
    assert "run_dir=FOLDER" in message or "2> FILE" in message
    assert [p.name for p in tmp_path.iterdir()] == ["my"]


@pytest.mark.parametrize(
    ("args", "remedy"),
    [
        (["hydra.run.dir=x"], "run_dir=FOLDER"),
        (["hydra.sweep.dir=x", "-m"], "run_dir=FOLDER"),
        (["hydra.output_subdir=x"], "run_dir=FOLDER"),
        (["hydra.job.chdir=true"], "run_dir=FOLDER"),
        (["+hydra.callbacks.x._target_=os.system"], "trusted_packages=[os]"),
        (["hydra.searchpath=[pkg://antigravity]"], "--config-dir DIR"),
        (["hydra.searchpath=[file:///tmp]"], "--config-dir DIR"),
        (["hydra/launcher=joblib", "-m"], "trusted_packages=[hydra_plugins]"),
        (["hydra/job_logging=default"], "mmtx … 2> FILE"),
        (["+hydra.job.env_set.X=1"], "NAME=VALUE mmtx"),
        (["--config-d=my"], "key=value"),
        (["--hydra-help"], "mmtx COMMAND --help"),
    ],
)
def test_the_message_names_what_to_write_instead(args, remedy, tmp_path):
    place = args[0].partition("=")[0].lstrip("+").removeprefix("hydra/").removesuffix(".X")
    mentions(refused("finetune", *args, cwd=tmp_path), place, remedy)
    assert list(tmp_path.iterdir()) == []


def test_files_behind_the_experiment_count_too(conf):
    conf(f"{GLOBAL}defaults: [/mine@hydra.callbacks: more]\n")
    more = conf("e: {_target_: os.system}\n", "mine/more")
    message = refused("finetune", *EVIL)
    mentions(
        message, f"{more}: hydra.callbacks.e._target_: ", "'os.system'", "trusted_packages=[os]"
    )
    conf(f"{GLOBAL}defaults: [override /hydra/launcher: joblib]\n")
    mentions(refused("finetune", *EVIL), "hydra/launcher", "trusted_packages=[hydra_plugins]")
    bad = conf("version: 1\nhandlers: {h: {(): os.system}}\n", "hydra/job_logging/bad")
    message = refused("finetune", "--config-dir", "my", "hydra/job_logging=bad")
    mentions(
        message, f"{bad}: hydra.job_logging.handlers.h.(): ", "'os.system'", "trusted_packages=[os]"
    )


def test_every_job_of_a_sweep_is_looked_at(conf, tmp_path):
    path = conf(f"{GLOBAL}hydra: {{callbacks: {{e: {{_target_: os.system}}}}}}\n")
    args = ["-m", "--config-dir", "my", "run_dir=sweep"]
    assert str(path) in refused("finetune", *args, "experiment=avdigits,evil")
    conf(f"{GLOBAL}hydra: {{sweeper: {{params: {{trusted_packages: '[evil]'}}}}}}\n")
    message = refused("finetune", *args, "experiment=evil", "seed=1,2")
    mentions(message, "trusted_packages: ", "command line")
    assert [p.name for p in tmp_path.iterdir()] == ["my"]


@pytest.mark.parametrize("show", [["--cfg", "job"], ["--cfg", "hydra"], ["--info", "config"]])
def test_what_is_only_shown_is_held_to_the_same(show, conf):
    conf(f"{GLOBAL}hydra: {{callbacks: {{e: {{_target_: os.system}}}}}}\n")
    mentions(refused("finetune", *EVIL, *show), "'os.system'", "trusted_packages=[os]")


def test_a_file_that_trusts_is_refused_though_the_command_line_trusts_too(conf):
    path = conf(f"{GLOBAL}trusted_packages: [mine]\n")
    message = refused("finetune", *EVIL, "trusted_packages=[mine]")
    mentions(message, f"{path}: trusted_packages: ", "command line")


def test_arguments_of_further_commands_come_from_the_command_line(conf):
    path = conf(f"{GLOBAL}train_args: ['trusted_packages=[evil]']\n")
    message = refused("compare", "--config-dir", "my", "+experiment=evil", "sweep=fusions")
    mentions(message, f"{path}: train_args: ", "command line", "train_args=[…]")
    conf(f"{GLOBAL}overrides: {{finetune: ['trusted_packages=[evil]']}}\n")
    message = refused("demo", "--config-dir", "my", "+experiment=evil")
    mentions(message, "overrides.finetune: ", "command line", "overrides.COMMAND=[…]")


def test_what_the_command_line_trusts_runs(conf, tmp_path):
    conf(f"{GLOBAL}hydra: {{callbacks: {{e: {{_target_: mine.Mine, word: yes}}}}}}\n")
    body = "class Mine:\n    def __init__(self, word):\n        " + WRITES
    (tmp_path / "mine.py").write_text(f"{body}    def on_run_start(self, **_): pass\n")
    mentions(refused("finetune", *EVIL), "'mine.Mine'", "trusted_packages=[mine]")
    assert not (tmp_path / "EXECUTED").exists()
    error_message(mmtx("finetune", *EVIL, "trusted_packages=[mine]", cwd=tmp_path))
    assert (tmp_path / "EXECUTED").exists()


@pytest.mark.parametrize("trusted", [False, True])
def test_plugins_of_hydra_are_loaded_where_they_are_trusted(trusted, tmp_path):
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins" / "evil.py").write_text(WRITES)
    args = ["trusted_packages=[hydra_plugins]"] if trusted else []
    done = mmtx(
        "finetune",
        "--cfg",
        "job",
        *args,
        cwd=tmp_path,
        PYTHONPATH=os.pathsep.join([".", os.getcwd()]),
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "EXECUTED").exists() == trusted


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("imagesize: 64\n", "'image_size'"),
        ("sed: 4\n", "'seed'"),
        ("batch_size: 4\n", "'data.batch_size'"),
        ("epochs: 4\n", "'trainer.max_epochs'"),
        ("trainr: {max_steps: 3}\n", "'trainer'"),
        ("experiment: avdigits\n", "key"),
    ],
)
def test_unknown_keys_in_an_experiment(text, meant, conf):
    path, key = conf(GLOBAL + text), text.partition(":")[0]
    mentions(refused("finetune", *EVIL), f"{path}: {key}: ", meant)


def test_referenced_keys_and_user_defined_groups_are_known(conf):
    path = conf(f"{GLOBAL}width: 32\ndim: ${{width}}\n")
    conf("x: 1\n", "mine/one")
    message = refused("finetune", *EVIL, "+mine=one")
    assert not [name for name in (str(path), "width: ", "mine", "x: ") if name in message], message


LAUGHS = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        (LAUGHS, ":6: ", ["aliases", "100000 values"]),
        ("a: &a {x: *a}\n", ":2: ", ["*a", "&a"]),
        ("a: " + "[" * 2000, ": ", ["nested"]),
        ("a: [1\n", ":3: ", ["YAML"]),
    ],
)
def test_a_file_that_stands_for_too_much(text, line, parts, conf):
    path = conf(GLOBAL + text)
    mentions(refused("finetune", *EVIL), f"{path.relative_to(os.getcwd())}{line}", *parts)


def test_help_and_completion_are_not_held_up_by_such_a_file(conf):
    path = conf(GLOBAL + LAUGHS)
    message = refused("finetune", *EVIL, "--help")
    mentions(message, f"{path.relative_to(os.getcwd())}:6: ", "aliases")
    assert (
        completions("mmtx finetune --config-dir my experiment=evil dim", ["finetune"], "bash") == []
    )


def test_interpolations_that_stand_for_too_much(conf):
    lines = [f"a{i}: ${{a{i - 1}}}${{a{i - 1}}}" for i in range(1, 30)]
    path = conf("\n".join([GLOBAL, "a0: ha", *lines, "run_dir: ${a29}", ""]))
    message = refused("finetune", *EVIL)
    mentions(message, f"{path}: a17: ", "interpolations", "1000000 characters")


def test_invalid_files(conf, tmp_path):
    path = conf("")
    path.unlink()
    path.symlink_to("/dev/zero")
    assert "evil" in refused("finetune", *EVIL)
