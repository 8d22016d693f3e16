"""Self-critical training of a trained captioner, as a user runs it."""

import csv
import json
import shutil
import signal

import pytest
import torch
from safetensors.torch import load_file

from tests.command_line import CAPTIONER, error_message, mmtx, refused, stopped, succeeded
from tests.integration.fixtures import AWKWARD_NAME
from tests.messages import mentions

pytestmark = pytest.mark.xdist_group("self_critical")  # so that the model is trained once

SETTINGS = (
    "head=self_critical",
    "head.captioning.num_samples=3",
    "data.batch_size=8",
    "data.num_workers=0",
    "trainer.accelerator=cpu",
    "trainer.log_every=1",
)
CAPTIONING = "mmtx_cli.head.captioning.CaptioningHead"


def weights_of(run):
    return load_file(run / "model" / "model.safetensors")


def gradients_of(run):
    """The running means of the gradients, as Adam keeps them."""
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return {k: s["exp_avg"] for k, s in last["optimizer_states"][0]["state"].items()}


def rows_of(run):
    with open(run / "metrics.csv") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(place, scenes, captioner):
    """The run folder of a captioner that was trained further for three steps."""
    args = [*SETTINGS, captioner, scenes, "trainer.max_steps=3", "trainer.val_every=1"]
    done = mmtx("finetune", *args, "run_dir=critical", cwd=place)
    mentions(done.stdout, "ckpt: loaded ", " of ")
    return place / succeeded(done)


@pytest.mark.slow
def test_it_starts_from_the_captioner_and_logs_the_rewards(place, trained):
    first, *_, last = rows_of(trained)
    for row, kind, names in (
        (first, "train", ("reward", "length", "ended", "kl", "loss")),
        (last, "val", ("reward", "length", "ended", "loss", "distinct")),
    ):
        assert all(row[f"{kind}/captioning/{name}"] for name in names), row
    assert float(first["train/captioning/kl"]) == pytest.approx(0, abs=1e-5)
    assert float(last["val/loss"]) == pytest.approx(-float(last["val/captioning/reward"]), rel=1e-4)
    start = weights_of(place / AWKWARD_NAME / "captioner")
    end = weights_of(trained)
    assert start.keys() == end.keys()
    assert any(not torch.equal(start[name], end[name]) for name in start)


@pytest.mark.slow
def test_the_trained_model_is_a_captioner(place, scenes, trained):
    """Its folder names no start and no setting of the training, and works without them."""
    config = json.loads((trained / "model" / "config.json").read_text())
    node = config["model"]["head"]["captioning"]
    assert node["_target_"] == CAPTIONING
    assert not {"teacher", "kl", "num_samples"} & node.keys()
    assert "critical" not in json.dumps(config["model"])
    moved = shutil.copytree(trained / "model", place / "critical_moved")
    for ckpt in ("critical", "critical/checkpoints/last.ckpt", "critical_moved"):
        folder = succeeded(mmtx("eval", f"ckpt={ckpt}", scenes, "bootstrap=5", cwd=place))
        result = json.loads((place / folder / "result.json").read_text())
        assert "captioning/bleu_4" in result["metrics"]
    image = json.loads(next(moved.parent.rglob("scenes.jsonl")).read_text().splitlines()[0])
    picture = next(moved.parent.rglob(image["image"]))
    shutil.copy(picture, place / "picture.jpg")
    done = mmtx("caption", "ckpt=critical_moved", "inputs=picture.jpg", cwd=place)
    succeeded(done)
    assert "caption" in json.loads(done.stdout.splitlines()[0])
    succeeded(mmtx("export", "ckpt=critical", "out=critical_exported", cwd=place))
    assert (place / "critical_exported" / "model.safetensors").is_file()
    # with cross-entropy, and once more with the score
    more = ["ckpt=critical", scenes, "data.num_workers=0", "trainer.max_steps=1"]
    run = place / succeeded(mmtx("finetune", *more, "run_dir=critical_words", cwd=place))
    assert "train/captioning/kl" not in rows_of(run)[0]
    succeeded(mmtx("finetune", *SETTINGS, *more, "run_dir=critical_again", cwd=place))


@pytest.mark.slow
def test_a_stopped_run_ends_as_one_never_stopped_to_the_bit(place, scenes, captioner):
    common = [
        *(*SETTINGS, captioner, scenes, "trainer.max_steps=24", "trainer.val_every=12"),
        *("head.captioning.baseline=greedy", "head.captioning.cross_entropy=0.1"),
    ]
    whole = place / succeeded(mmtx("finetune", *common, "run_dir=critical_whole", cwd=place))
    broken = place / "critical_broken"

    def ready():
        return (broken / "metrics.csv").exists() and len(rows_of(broken)) >= 6

    args = ["finetune", *common, "run_dir=critical_broken"]
    done = stopped(args, place, signal.SIGTERM, ready)
    assert done.returncode == 143, done.stderr
    assert 6 <= int(rows_of(broken)[-1]["step"]) < 24, "the run was to be stopped in the middle"
    succeeded(mmtx("finetune", "resume=true", f"run_dir={broken}"))
    expected, found = weights_of(whole), weights_of(broken)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    rewards = [[row["train/captioning/reward"] for row in rows_of(run)] for run in (whole, broken)]
    assert rewards[0] == rewards[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        ["trainer.accumulate_grad_batches=2", "data.batch_size=4"],
        ["trainer.devices=2", "trainer.strategy=ddp"],
    ],
)
def test_micro_batches_and_processes_train_as_one(place, scenes, captioner, more):
    """The same captions are drawn, so the gradients differ by rounding alone."""
    common = [*SETTINGS, captioner, scenes, "trainer.max_steps=3", "optimizer.lr=1e-6"]
    name = more[0].partition("=")[0]
    runs = [
        place / succeeded(mmtx("finetune", *common, *own, f"run_dir={name}{len(own)}", cwd=place))
        for own in ([], more)
    ]
    rewards = [
        [float(row["train/captioning/reward"]) for row in rows_of(run) if row["train/loss"]]
        for run in runs
    ]
    assert rewards[1] == pytest.approx(rewards[0], rel=1e-5)
    one, two = map(gradients_of, runs)
    for key, wanted in one.items():
        assert (two[key] - wanted).norm() <= 1e-3 * wanted.norm() + 1e-7, key


@pytest.mark.slow
def test_precision_and_averaging(place, scenes, captioner):
    args = [*SETTINGS, captioner, scenes, "trainer.max_steps=2", "run_dir=critical_averaged"]
    args += ["trainer.precision=bf16-mixed", "trainer.ema=0.9"]
    run = place / succeeded(mmtx("finetune", *args, cwd=place))
    assert all(x.isfinite().all() for x in weights_of(run).values())


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        ([*CAPTIONER, "head=self_critical"], ["head.captioning: ", "ckpt=RUN", "head=captioning"]),
        (
            ["START", "head=self_critical", "head.captioning.num_samples=1"],
            ["head.captioning.num_samples=1: ", "at least 2", "head.captioning.baseline=greedy"],
        ),
        (
            ["START", "head=self_critical", "head.captioning.baseline=mean"],
            ["head.captioning.baseline: 'mean'", "leave_one_out, greedy"],
        ),
        (
            ["START", "head=self_critical", "head.captioning.teacher=null"],
            ["head.captioning.teacher: ", "head.captioning.kl=0"],
        ),
        (
            ["START", "head=self_critical", "head.captioning.kl=-1"],
            ["head.captioning.kl: -1 is out of range"],
        ),
        (
            ["START", "head=self_critical", "trainer.loss_spike_factor=5"],
            ["trainer.loss_spike_factor: ", "remove it"],
        ),
        (
            ["START", "head=self_critical", "head.captioning.target=answers"],
            ["head.captioning.target: ", "only captions"],
        ),
        (
            ["DUAL", "head=self_critical"],
            ["head.captioning: ", "does not exist", "ckpt="],
        ),
        (
            ["START", "head=[self_critical,classification]"],
            ["head.captioning: ", "(classification)", "head=self_critical alone"],
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(place, scenes, captioner, contrastive, args, parts):
    given = {"START": captioner, "DUAL": contrastive}
    mentions(refused("finetune", *(given.get(a, a) for a in args), scenes, cwd=place), *parts)


def test_a_model_with_new_parts_is_refused(place, scenes, captioner):
    args = [*SETTINGS, captioner, scenes, "decoder.depth=2", "run_dir=deeper"]
    parts = ["head.captioning: ", " tensors ", "head.captioning.decoder.blocks.1"]
    mentions(error_message(mmtx("finetune", *args, cwd=place)), *parts)
    assert not (place / "deeper").exists()


def test_it_is_not_a_head_of_eval(place, scenes, captioner):
    message = refused("eval", captioner, "head=self_critical", scenes, cwd=place)
    mentions(message, "head=captioning: must be trained")
