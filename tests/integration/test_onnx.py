"""``mmtx export format=onnx``, and captions of such a folder without torch."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mmtx_cli.inference.output_lines import NOT_FINITE
from mmtx_cli.io.onnx_folder import DECODER, ENCODER, checksum
from tests.command_line import TINY, environment, mmtx, refused, stopped, succeeded
from tests.messages import mentions

from .fixtures import AWKWARD_NAME

pytestmark = pytest.mark.xdist_group("onnx")  # so that the model is exported once

PER_BATCH = "data.batch_size=2"
TORCH = ("torch", "torchvision", "torchaudio", "torchcodec", "pytorch_lightning", "safetensors")
BLOCKED = """
import os, sys

class Blocked:
    '''These packages are not installed; who tries to import one is noted.'''

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in os.environ["NOT_INSTALLED"].split(","):
            with open(os.environ["NOTES"], "a") as file:
                file.write(f"{name}\\n")
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
"""


@pytest.fixture(scope="session")
def onnx(place, captioner):
    """Override that names a folder of ONNX graphs of the captioner."""
    done = mmtx("export", captioner, "out=graphs", "format=onnx", cwd=place)
    assert succeeded(done) == place / "graphs"
    mentions(done.stderr, "compared with the model", "differ by at most")
    return "ckpt=graphs"


@pytest.fixture
def photos(place, scenes, tmp_path):
    """Twelve pictures in two folders, one of them broken, and an animation."""
    from PIL import Image

    found = sorted((place / AWKWARD_NAME / "scenes" / "images").iterdir())[:10]
    for i, path in enumerate(found):
        folder = tmp_path / "photos" / ("a" if i % 3 else "b c")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    (tmp_path / "photos" / "a" / "broken.png").write_text("no picture")
    noise = np.random.default_rng(0).integers(0, 256, (3, 70, 50, 3), dtype=np.uint8)
    first, *others = map(Image.fromarray, noise)
    first.save(tmp_path / "photos" / "moving.gif", save_all=True, append_images=others)
    first.resize((600, 411)).save(tmp_path / "photos" / "large.png")
    return tmp_path / "photos"


def arguments(photos, model, run, *more):
    return ["caption", model, f"inputs='{photos}'", PER_BATCH, f"run_dir='{run}'", *more]


def captions(run):
    return [json.loads(line) for line in (run / "captions.jsonl").read_text().splitlines()]


def without_scores(value):
    """Rows without what rounding errors change."""
    if isinstance(value, dict):
        return {k: without_scores(v) for k, v in value.items() if k not in ("score", "probability")}
    return [*map(without_scores, value)] if isinstance(value, list) else value


METHODS = {
    "beams": (),
    "greedy": ("generation.num_beams=1", "generation.repetition_penalty=1.3"),
    "rules": ("generation.no_repeat_ngram_size=2", "generation.min_new_tokens=4"),
    "sampling": ("generation.do_sample=true", "generation.top_k=20", "seed=3"),
    "all": ("generation.num_return_sequences=3", "generation.token_scores=true"),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.quick_cases(2)
def test_captions_are_those_of_the_model(place, photos, captioner, onnx, method):
    rows = {}
    for name, model in (("torch", captioner), ("onnx", onnx)):
        args = arguments(photos, model, photos.parent / name, *METHODS[method])
        run = succeeded(mmtx(*args, "template='a sketch, {caption}'", cwd=place))
        rows[name] = captions(run)
        assert sum("error" in row for row in rows[name]) == 1
        assert len((run / "quarantine.jsonl").read_text().splitlines()) == 1
    assert without_scores(rows["onnx"]) == without_scores(rows["torch"])
    for mine, others in zip(rows["onnx"], rows["torch"], strict=True):
        assert mine.get("error") != NOT_FINITE
        assert mine.get("score", 0) == pytest.approx(others.get("score", 0), rel=1e-4)


def without(packages, tmp_path, *args, cwd):
    """A command where packages are not installed, and which of them it tried to import."""
    (tmp_path / "site").mkdir(exist_ok=True)
    (tmp_path / "site" / "sitecustomize.py").write_text(BLOCKED)
    notes = tmp_path / "notes"
    paths = f"{tmp_path / 'site'}:{Path(__file__).parents[2]}"
    env = environment(NOT_INSTALLED=",".join(packages), NOTES=str(notes), PYTHONPATH=paths)
    done = subprocess.run(
        [sys.executable, "-m", "mmtx_cli", *args],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done, notes.read_text().split() if notes.exists() else []


def test_torch_is_neither_imported_nor_needed(place, photos, onnx, tmp_path):
    """Pictures, an animation, a picture that is decoded in a process of its own, side-cars."""
    args = arguments(photos, onnx, tmp_path / "run", "sidecar=json")
    done, tried = without(TORCH, tmp_path, *args, cwd=place)
    rows = captions(succeeded(done))
    assert tried == []
    assert sum("caption" in row for row in rows) == 12
    assert len([*photos.rglob("*.json")]) == 12


def test_a_video_without_torch(place, captioner, onnx, tmp_path):
    from mmtx_cli.synthetic.events import make_events

    make_events(tmp_path / "events", num=10, size=32, seed=0)
    films = tmp_path / "films"
    films.mkdir()
    for path in sorted((tmp_path / "events" / "videos").iterdir())[:2]:
        shutil.copy(path, films)
    more = ["segment_seconds=1", "generation.num_beams=2"]
    args = arguments(films, onnx, tmp_path / "run", *more)
    done, tried = without(TORCH, tmp_path, *args, cwd=place)
    found = captions(succeeded(done))
    assert tried == []
    done = mmtx(*arguments(films, captioner, tmp_path / "torch", *more), cwd=place)
    assert without_scores(found) == without_scores(captions(succeeded(done)))
    assert len(found) > 2
    assert len([*(tmp_path / "run" / "subtitles").iterdir()]) == 4


@pytest.mark.slow
def test_a_model_of_films_without_torch(place, tmp_path):
    """With encoders of video and sound."""
    from mmtx_cli.synthetic.events import make_events

    manifest = make_events(tmp_path / "events", num=10, size=32, seed=0)
    films = ["encoder/video=vit", "encoder.video.width=16", "encoder.video.depth=1"]
    films += ["encoder.video.num_heads=2", "encoder/audio=spectrogram_cnn", "num_frames=4"]
    parts = [*TINY, *films, "fusion=concat", "head=captioning", "decoder.depth=1"]
    run = f"run_dir='{tmp_path / 'run'}'"
    succeeded(mmtx("finetune", *parts, f"data.path='{manifest}'", run, cwd=place))
    model = f"ckpt='{tmp_path / 'run'}'"
    succeeded(mmtx("export", model, f"out='{tmp_path / 'g'}'", "format=onnx", cwd=place))
    inputs = tmp_path / "events"
    args = arguments(inputs, f"ckpt='{tmp_path / 'g'}'", tmp_path / "onnx")
    done, tried = without(TORCH, tmp_path, *args, cwd=place)
    found = captions(succeeded(done))
    assert tried == []
    assert {Path(row["path"]).suffix for row in found} >= {".mp4", ".wav"}
    wanted = captions(succeeded(mmtx(*arguments(inputs, model, tmp_path / "torch"), cwd=place)))
    assert without_scores(found) == without_scores(wanted)
    message = mmtx(*args[:-1], f"run_dir='{tmp_path}'", cwd=place, MMTX_DECODER="torchcodec").stderr
    mentions(message, "MMTX_DECODER", "pyav")


def test_without_onnx_runtime(place, photos, onnx, tmp_path):
    args = arguments(photos, onnx, tmp_path / "run")
    done, tried = without(["onnxruntime"], tmp_path, *args, cwd=place)
    assert done.returncode == 2, done.stderr
    assert tried == ["onnxruntime"]
    mentions(done.stderr, "ONNX Runtime", "pip install mmtx[onnx]")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_a_killed_run_is_continued_to_the_same_bytes(place, photos, onnx, kills):
    whole, cut = photos.parent / "whole", photos.parent / "cut"
    done = mmtx(*arguments(photos, onnx, whole), cwd=place)
    succeeded(done)
    instants = random.Random(kills)
    args = arguments(photos, onnx, cut)
    for _ in range(kills):
        shutil.rmtree(cut, ignore_errors=True)
        wait = instants.random() * 0.05

        def ready(wait=wait):
            if not any((cut / ".captions").glob("0*.jsonl")):
                return False
            time.sleep(wait)
            return True

        if stopped(args, place, signal.SIGKILL, ready, group=True).returncode == 0:
            continue
        succeeded(mmtx(*args, cwd=place))
        assert (cut / "captions.jsonl").read_bytes() == (whole / "captions.jsonl").read_bytes()


def test_a_changed_model_does_not_continue_a_run(place, photos, onnx, captioner, tmp_path):
    """The graphs are part of the settings of an unfinished run."""
    shutil.copytree(place / "graphs", tmp_path / "other")
    run = photos.parent / "run"
    args = arguments(photos, f"ckpt={tmp_path / 'other'}", run)

    def ready():
        return any((run / ".captions").glob("0*.jsonl"))

    while stopped(args, place, signal.SIGKILL, ready, group=True).returncode == 0:
        shutil.rmtree(run)  # it had finished
    shutil.copy(place / "graphs" / ENCODER, tmp_path / "other" / ENCODER)
    mentions(refused(*args, cwd=place), "unfinished run", "weights of ckpt")


@pytest.mark.parametrize("command", ["eval", "finetune", "export", "predict"])
def test_other_commands_do_not_read_it(place, onnx, scenes, command):
    more = {"export": ["out=other"], "predict": ["inputs=x.jpg"]}.get(command, [scenes])
    message = refused(command, onnx, *more, cwd=place)
    mentions(message, "ckpt=graphs", "ONNX", "mmtx caption", "model that was exported")


@pytest.mark.parametrize(
    ("setting", "place_of"),
    [
        ("trainer.precision=bf16-mixed", "trainer.precision"),
        ("trainer.devices=2", "trainer.devices"),
        ("data.num_workers=2", "data.num_workers"),
        ("decoder.depth=2", "decoder"),
        ("generation.penalty_alpha=0.6", "generation.penalty_alpha"),
    ],
)
def test_settings_that_are_not_supported(place, photos, onnx, setting, place_of):
    message = refused(*arguments(photos, onnx, photos.parent / "run", setting), cwd=place)
    mentions(message, f"{place_of}", "ONNX")
    assert not (photos.parent / "run").exists()


@pytest.fixture
def copy(place, onnx, tmp_path):
    """A copy of the folder, to be damaged."""
    return Path(shutil.copytree(place / "graphs", tmp_path / "copy"))


def change_config(folder, **values):
    """Change entries of the config, and of its entry ``onnx``."""
    config = json.loads((folder / "config.json").read_text())
    for key, value in values.items():
        (config if key in config else config["onnx"])[key] = value
    (folder / "config.json").write_text(json.dumps(config))


def replace_graph(folder, name, data):
    """Replace a graph, with its right checksum."""
    (folder / name).write_bytes(data)
    config = json.loads((folder / "config.json").read_text())
    sums = {**config["onnx"]["graphs"], name: checksum(data)}
    change_config(folder, graphs=sums)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "no encoder": (lambda f: (f / ENCODER).unlink(), [ENCODER, "not found", "copy the folder"]),
    "no decoder": (lambda f: (f / DECODER).unlink(), [DECODER, "not found", "copy the folder"]),
    "no config": (lambda f: (f / "config.json").unlink(), ["config.json", "cannot be read"]),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), ["tokenizer.json", "not found"]),
    "changed": (lambda f: flip(f / DECODER), [DECODER, "checksum"]),
    "swapped": (lambda f: shutil.copy(f / DECODER, f / ENCODER), [ENCODER, "checksum"]),
    "format": (lambda f: change_config(f, format="tflite"), ["format='tflite'", "'onnx'"]),
    "version": (lambda f: change_config(f, format_version=2), ["format_version=2", "export"]),
    "facts": (lambda f: change_config(f, blocks="many"), ["config.json", "'onnx'"]),
    "head": (lambda f: change_config(f, head="x"), ["config.json", "head 'x'"]),
    "vocabulary": (lambda f: change_config(f, eos_id=10**6), ["config.json", "'onnx'"]),
    "length": (lambda f: change_config(f, max_length=2**30), ["config.json", "'onnx'"]),
    "blocks": (lambda f: change_config(f, blocks=2), [ENCODER, "inputs or outputs"]),
    "width": (lambda f: change_config(f, head_width=3), [DECODER, "cannot be run"]),
    "device": (
        lambda f: ((f / ENCODER).unlink(), (f / ENCODER).symlink_to("/dev/zero")),
        [ENCODER, "device"],
    ),
    "no graph": (lambda f: replace_graph(f, ENCODER, b"\x08\x0a"), [ENCODER, "not an ONNX graph"]),
    "cut": (lambda f: replace_graph(f, ENCODER, (f / ENCODER).read_bytes()[:-9]), [ENCODER]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder(place, photos, copy, damage):
    change, words = DAMAGES[damage]
    change(copy)
    args = arguments(photos, f"ckpt='{copy}'", photos.parent / "run")
    mentions(refused(*args, cwd=place), *words)


def test_what_cannot_be_exported(place, captioner, contrastive):
    for args, words in (
        (["format=tflite"], ["format=tflite", "safetensors or onnx"]),
        (["format=onnx", "merged=true"], ["merged", "format=onnx"]),
    ):
        mentions(refused("export", captioner, "out=new", *args, cwd=place), *words)
    message = refused("export", contrastive, "out=new", "format=onnx", cwd=place)
    mentions(message, "ckpt=dual", "generate text", "contrastive")
    mentions(refused("export", captioner, "out=graphs", cwd=place), "out=", "other files")
    assert not (place / "new").exists()


@pytest.mark.slow
def test_a_folder_is_replaced(place, captioner, copy):
    done = mmtx("export", captioner, f"out='{copy}'", "format=onnx", cwd=place)
    assert succeeded(done) == copy
    mentions((copy / "README.md").read_text(), "mmtx caption")
