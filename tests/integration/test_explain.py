"""``mmtx caption explain=…`` as a user has it."""

import json
import shutil
import signal

import numpy as np
import pytest
from PIL import Image

from mmtx_cli.synthetic.events.make import make_events
from tests.command_line import TINY, mmtx, refused, stopped, succeeded
from tests.messages import mentions
from tests.vision_language_models import save_vision_language_model

from .fixtures import AWKWARD_NAME

PER_BATCH = "data.batch_size=2"
EVENTS = (
    "encoder.image=null",
    *(
        f"encoder.{name}.{size}"
        for name in ("video", "audio")
        for size in ("width=16", "depth=1", "num_heads=2")
    ),
    "encoder/video=vit",
    "encoder/audio=spectrogram_cnn",
    "encoder.audio.channels=[4,4,8,8]",
    "num_frames=4",
    "audio_seconds=3",
    "fusion=concat",
    "head=captioning",
    "decoder.depth=1",
    "decoder.num_heads=2",
    *TINY,
)


@pytest.fixture
def photos(place, scenes, tmp_path):
    """Ten pictures, and a broken one in the third place."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, path in enumerate(sorted((place / AWKWARD_NAME / "scenes" / "images").iterdir())[:10]):
        shutil.copy(path, folder / f"{i} é.jpg")
    (folder / "1 x.jpg").write_text("no picture")
    return folder


def arguments(photos, captioner, run, *more):
    return ["caption", captioner, f"inputs='{photos}'", PER_BATCH, f"run_dir='{run}'", *more]


def captions(run):
    return [json.loads(line) for line in (run / "captions.jsonl").read_text().splitlines()]


def images(run):
    return {path.name: path.read_bytes() for path in (run / "explanations").iterdir()}


def test_pictures_and_a_report(place, photos, captioner):
    done = mmtx(*arguments(photos, captioner, photos.parent / "run", "explain=true"), cwd=place)
    run = succeeded(done)
    rows = captions(run)
    mentions(done.stderr, "explained 10 inputs", "report.html")
    page = (run / "report.html").read_text()
    for i, row in enumerate(rows):
        if "error" in row:
            assert "explanation" not in row
            continue
        assert row["explanation"] == f"explanations/{i:06}_{i - (i > 1)}_.png"
        with Image.open(run / row["explanation"]) as image:
            assert image.width < 1200
            assert np.asarray(image.convert("RGB")).std() > 20
        assert f"each word of the caption “{row['caption']}” of" in page
    assert len(images(run)) == 10
    assert page.count('<figure class="explained">') == 10
    assert page.count('src="data:image/png;base64,') == 10
    mentions(page, "Where the model sees each word")
    plain = mmtx(*arguments(photos, captioner, photos.parent / "plain"), cwd=place)
    without = [{k: v for k, v in row.items() if k != "explanation"} for row in rows]
    assert captions(succeeded(plain)) == without
    assert not (photos.parent / "plain" / "report.html").exists()


@pytest.mark.parametrize(
    "more",
    [
        ["generation.do_sample=true", "generation.num_return_sequences=3"],
        ["explain=rollout", "template='so: {caption}'", "sidecar=json"],
        ["generation.num_beams=4", "generation.num_return_sequences=4", "data.resize_mode=pad"],
    ],
)
def test_the_best_of_several_texts_however_it_was_found(place, photos, captioner, more):
    args = arguments(photos, captioner, photos.parent / "run", "explain=true", *more)
    run = succeeded(mmtx(*args, "generation.token_scores=true", cwd=place))
    rows = [row for row in captions(run) if "error" not in row]
    assert len(images(run)) == len(rows) == 10
    page = (run / "report.html").read_text()
    assert page.count('src="data:image/png;base64,') == 10


@pytest.mark.parametrize("parts", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_killed_run_is_continued_to_the_same_files(place, photos, captioner, parts):
    whole, cut = photos.parent / "whole", photos.parent / "cut"
    succeeded(mmtx(*arguments(photos, captioner, whole, "explain=true"), cwd=place))
    args = arguments(photos, captioner, cut, "explain=true")

    def ready():
        """Parts are of eight inputs; one is finished, or the first pictures are there."""
        if parts:
            return (cut / ".captions" / "000000.jsonl").exists()
        return (cut / "explanations").exists() and any((cut / "explanations").glob("*.png"))

    assert stopped(args, place, signal.SIGKILL, ready, group=True).returncode == -signal.SIGKILL
    succeeded(mmtx(*args, cwd=place))
    assert images(cut) == images(whole)
    assert (cut / "captions.jsonl").read_bytes() == (whole / "captions.jsonl").read_bytes()


@pytest.mark.slow
def test_processes_share_the_work(place, photos, captioner):
    alone, shared = photos.parent / "alone", photos.parent / "shared"
    succeeded(mmtx(*arguments(photos, captioner, alone, "explain=true"), cwd=place))
    args = arguments(photos, captioner, shared, "explain=true", "trainer.devices=2")
    succeeded(mmtx(*args, "trainer.accelerator=cpu", cwd=place))
    assert images(alone) == images(shared)
    assert (shared / "report.html").exists()


def test_only_the_first_inputs_are_explained(place, photos, captioner):
    args = arguments(photos, captioner, photos.parent / "run", "explain=true", "explain_limit=4")
    done = mmtx(*args, cwd=place)
    run = succeeded(done)
    assert [i for i, row in enumerate(captions(run)) if "explanation" in row] == [0, 2, 3]
    mentions(done.stderr, "explained 3 of 10 inputs", "explain_limit=11")


@pytest.mark.slow
def test_films_and_sounds(tmp_path):
    manifest = make_events(tmp_path / "events", num=10, size=32)
    data = (f"data.path={manifest}", f"run_dir={tmp_path / 'model'}")
    model = succeeded(mmtx("finetune", *EVENTS, *data))
    folder = manifest.parent
    film = next(path for path in sorted((folder / "videos").iterdir()))
    sound = next(path for path in sorted((folder / "sounds").iterdir()))
    picture = next(path for path in sorted((folder / "images").iterdir()))
    inputs = f"inputs=[{film},{sound},{picture}]"
    for method in ("gradient", "rollout"):
        out = f"run_dir={tmp_path / method}"
        run = succeeded(mmtx("caption", f"ckpt={model}", inputs, f"explain={method}", out))
        sizes = []
        for row in captions(run):
            with Image.open(run / row["explanation"]) as image:
                sizes.append(image.size)
        assert sizes[0][0] > sizes[1][0]  # frames, and in most films a sound
    segments = ["segment_seconds=1", f"run_dir={tmp_path / 'segments'}", "explain=true"]
    run = succeeded(mmtx("caption", f"ckpt={model}", f"inputs={film}", *segments))
    assert len(images(run)) == len(captions(run)) > 1


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("explain=gradients", ["explain: 'gradients'", "gradient, rollout"]),
        ("explain=3", ["explain", "3"]),
        ("explain_limit=0", ["explain_limit: 0", "at least 1"]),
        ("explian=true", ["explian", "explain"]),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(place, photos, captioner, value, words):
    run = photos.parent / "run"
    mentions(refused(*arguments(photos, captioner, run, value), cwd=place), *words)
    assert not run.exists()


def test_pooling_without_attention_has_no_rollout(place, photos, scenes):
    model = photos.parent / "model"
    args = [
        *("encoder/image=vit", "encoder.image.width=16", "encoder.image.depth=1"),
        *("encoder.image.num_heads=2", "fusion=sum", "head=captioning", "decoder.depth=1"),
        *("decoder.num_heads=2", *TINY),
    ]
    succeeded(mmtx("finetune", *args, scenes, f"run_dir='{model}'", cwd=place))
    run = photos.parent / "run"
    message = refused(*arguments(photos, f"ckpt='{model}'", run, "explain=rollout"), cwd=place)
    mentions(message, "explain=rollout", "SumFusion", "explain=gradient")
    other = photos.parent / "other"
    args = arguments(photos, f"ckpt='{model}'", other, "explain=gradient")
    assert len(images(succeeded(mmtx(*args, cwd=place)))) == 10


def test_published_models_are_not_explained(tmp_path, photos):
    pytest.importorskip("transformers")
    weights = save_vision_language_model(tmp_path / "vlm")
    args = ["caption", "vlm=huggingface", f"vlm.weights={weights}", f"inputs={photos}"]
    message = refused(*args, "explain=true", f"run_dir={tmp_path / 'run'}")
    mentions(message, "explain", "vision-language models", "remove")
