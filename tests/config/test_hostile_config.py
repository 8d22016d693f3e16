"""Configurations of unknown origin: nothing of them runs, reads secrets out, or writes elsewhere.

The quick round takes some of each kind; the long one, marked slow, all of them and random mixtures.
"""

import json
import os
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.command_line import TINY, TINY_IMAGE, Ended, environment, forked, mmtx
from tests.hostile_config import CANARY, ENVIRONMENT, EVIL, PAYLOADS, SECRET, Case, at, cases, drawn
from tests.hostile_config import experiment as of

ROOT = Path(__file__).parents[2]
LIMIT = 2 * 10**9
TRAINS = (
    "finetune",
    *TINY_IMAGE,
    *TINY,
    "trainer.max_steps=1",
    "fusion=concat",
    "head=classification",
    "data.path=m.jsonl",
    "data.text=null",
    "run_dir=run",
)
CASES = cases()
QUICK = [*CASES][::23]
DRAWN = 60


@pytest.fixture(scope="module", autouse=True)
def _imported():
    """What the copies of this process need not import each for itself."""
    for name in (
        "hydra",
        "torch",
        "pytorch_lightning",
        "mmtx_cli.config.composition.compose",
        "mmtx_cli.command.dispatch",
    ):
        import_module(name)
    for name in ("trainer", "module", "coverage", "run"):
        import_module(f"mmtx_cli.training.{name}")
    for name in ("command.finetune", "report.html", "report.terminal", "runs.profile"):
        import_module(f"mmtx_cli.{name}")
    import_module("mmtx_cli.encoder.image.vit")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, with data, code that is not to run, and nothing beside it."""
    inside = tmp_path / "inside"
    for folder in ("inside/hydra_plugins", "inside/my", "outside", "home"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("evil.py", "hydra_plugins/evil.py"):
        (inside / name).write_text(EVIL)
    rows = []
    for i in range(4):
        Image.fromarray(np.full((8, 8, 3), 60 * i, np.uint8)).save(inside / f"{i}.png")
        rows.append({"id": str(i), "split": "train", "image": f"{i}.png", "label": "ab"[i % 2]})
    (inside / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(inside)  # sockets are made by a short path
    return inside


def files(place: Path) -> dict[str, tuple[int, int]]:
    """Every file around, but for the run's own."""
    found = {}
    for base, folders, names in os.walk(place.parent):
        folders[:] = [name for name in folders if Path(base, name) != place / "run"]
        for name in (*names, *folders):
            path = Path(base, name)
            status = path.lstat()
            found[str(path.relative_to(place.parent))] = status.st_size, status.st_mtime_ns
    return {name: of_it for name, of_it in found.items() if "__pycache__" not in name}


def arguments(case: Case) -> list[str]:
    return [*TRAINS, "--config-dir", "my", *case.args, *case.more]


def run(case: Case, place: Path) -> Ended:
    """Choose a configuration, and look at what that has changed."""
    case.write(place)
    before = contents(place)
    done = forked(
        *arguments(case), cwd=place, seconds=300, HOME=str(place.parent / "home"), **ENVIRONMENT
    )
    after = contents(place)
    assert after == before, sorted(after.items() ^ before.items())
    return done


def contents(place: Path) -> dict[str, tuple[int, int]]:
    """``files``, of which folders change by their files alone."""
    return {
        name: (0, 0) if (place.parent / name).is_dir() else of_it
        for name, of_it in files(place).items()
    }


def check(done: Ended, case: Case) -> None:
    """Refused by a message; or, where nothing of it does harm, trained."""
    assert done.status in ((0, 2) if case.harmless else (2,)), (done.status, done.output[-2000:])
    assert "Traceback" not in done.output, done.output[-2000:]
    assert SECRET not in done.output
    assert "\x1b" not in done.output
    assert done.peak < LIMIT


def holds_secret(place: Path) -> list[Path]:
    """Files, and names of files, that hold the secret."""
    return [
        path
        for path in place.parent.rglob("*")
        if SECRET in path.name or (path.is_file() and SECRET.encode() in path.read_bytes())
    ]


@pytest.mark.parametrize("name", QUICK)
def test_some_configurations(name, place):
    check(run(CASES[name], place), CASES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_configuration(name, place, record):
    done = run(CASES[name], place)
    record(done)
    check(done, CASES[name])
    assert name.startswith(("a file of 100 GB", "a device")) or holds_secret(place) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(DRAWN))
def test_mixtures(seed, place, record):
    case = drawn(seed)
    done = run(case, place)
    record(done)
    check(done, case)


@pytest.fixture(scope="module")
def record():
    """Takes note of each command; at the end the sum is printed."""
    every: list[Ended] = []
    yield every.append
    refused = sum(done.status == 2 for done in every)
    peak = max((done.peak for done in every), default=0)
    print(f"\n{len(every)} configurations, {refused} refused, at most {peak / 1e9:.2f} GB")


@pytest.mark.parametrize("args", [(), ("trusted_packages=[evil]",)])
def test_without_them_it_trains(args, place):
    """What is refused above is refused for what is hostile in it."""
    done = forked(*TRAINS, *args, cwd=place, seconds=600)
    assert (done.status, (place / "run" / "model").is_dir()) == (0, True), done.output
    assert not (place / CANARY).exists()


@pytest.mark.parametrize("path", ["hydra.callbacks.e", "encoder.image"])
def test_where_they_are_trusted_they_run(path, place):
    """The canary sings where it may."""
    case = Case(of(at(path, PAYLOADS["a class"])), more=("trusted_packages=[evil]",))
    case.write(place)
    forked(*arguments(case), cwd=place, seconds=600, **ENVIRONMENT)
    assert (place / CANARY).exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CASES][::40])
def test_in_a_separate_process(name, place):
    case = CASES[name]
    case.write(place)
    before = contents(place)
    done = mmtx(*arguments(case), cwd=place, PYTHONPATH=str(ROOT), **ENVIRONMENT)
    assert contents(place) == before
    check(Ended(done.returncode, done.stdout + done.stderr, 0), case)
    assert environment()["MMTX_DEBUG"] == "0"
