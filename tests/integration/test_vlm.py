"""Published vision-language models, used as they are and trained, as a user does."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from mmtx_cli.synthetic.events.make import make_events
from mmtx_cli.synthetic.scenes.make import make_scenes
from tests.command_line import TINY, mmtx, refused, succeeded
from tests.language_models import save_language_model
from tests.messages import mentions
from tests.vision_language_models import save_vision_language_model

pytestmark = pytest.mark.xdist_group("vlm")  # so that the model is trained once

pytest.importorskip("peft")
LORA = "vlm.lora={r: 2}"
BATCHES = [arg for arg in TINY if arg.startswith(("data.", "trainer."))]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return make_scenes(tmp_path_factory.mktemp("scenes"), num=20, size=32)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_vision_language_model(tmp_path_factory.mktemp("vlm") / "model")


def published(weights, *more):
    return ["vlm=huggingface", f"vlm.weights={weights}", *more]


def train(manifest, weights, run, *more):
    data = (f"data.path={manifest}", f"run_dir={run}")
    return succeeded(mmtx("finetune", *published(weights, *more), *BATCHES, *data))


@pytest.fixture(scope="module")
def trained(scenes, weights, tmp_path_factory):
    return train(scenes, weights, tmp_path_factory.mktemp("runs") / "lora", LORA)


def pictures(manifest):
    return sorted((manifest.parent / "images").iterdir())


def captions(*args, out):
    done = mmtx("caption", *args, f"run_dir={out}")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_a_published_model_is_evaluated_as_it_is(scenes, weights, tmp_path):
    args = published(weights, f"data.path={scenes}", "bootstrap=5", f"run_dir={tmp_path / 'e'}")
    result = json.loads((succeeded(mmtx("eval", *args)) / "result.json").read_text())
    assert "captioning/cider" in result["metrics"]


def test_it_captions_and_answers_as_it_is(scenes, weights, tmp_path):
    picture = f"inputs={pictures(scenes)[0]}"
    (row,) = captions(*published(weights), picture, out=tmp_path / "a")
    assert isinstance(row["caption"], str)
    scores = {row["score"]}
    for text in ("What color is it?", "two dogs"):
        question = ("vlm.prompt='{text} Answer:'", f"text='{text}'")
        (row,) = captions(*published(weights, *question), picture, out=tmp_path / text)
        scores.add(row["score"])
    assert len(scores) == 3


def test_a_trained_model_is_not_replaced(weights, scenes, trained, tmp_path):
    before = (trained / "model" / "config.json").read_text()
    args = published(weights, f"data.path={scenes}", f"run_dir={trained}")
    mentions(refused("eval", *args), "already contains a trained model")
    assert (trained / "model" / "config.json").read_text() == before
    assert not (trained / "published").exists()


def test_a_resumed_run_is_compared(trained, weights):
    run = ("resume=true", f"run_dir={trained}")
    mentions(refused("finetune", *run, "vlm.lora={r: 4}"), "decoder.lora")
    other = published(weights, "vlm.prompt=What?")
    mentions(refused("finetune", *run, *other), "decoder.prompt")


def test_parts_of_a_published_model_serve_no_other_head(trained, scenes, tmp_path):
    args = (f"ckpt={trained}", "head=classification", "fusion=concat", f"data.path={scenes}")
    message = refused("finetune", *args, f"run_dir={tmp_path / 'run'}")
    mentions(message, "encoder.image", "published model")


@pytest.mark.slow
def test_another_question_for_a_trained_model(trained, scenes, tmp_path):
    question = ("vlm.prompt='{text} Answer:'", "text='What color is it?'")
    picture = f"inputs={pictures(scenes)[0]}"
    (one,) = captions(f"ckpt={trained}", *question, picture, out=tmp_path / "a")
    (two,) = captions(f"ckpt={trained}", picture, out=tmp_path / "b")
    assert one["score"] != two["score"]


def test_it_has_no_embeddings(trained, scenes, tmp_path):
    picture = f"inputs={pictures(scenes)[0]}"
    args = (f"ckpt={trained}", "embeddings=true", picture, f"run_dir={tmp_path / 'p'}")
    mentions(refused("predict", *args), "embeddings", "published model")


def test_answers_are_evaluated(scenes, weights, tmp_path):
    args = published(weights, f"data.path={scenes}", "bootstrap=5", f"run_dir={tmp_path / 'e'}")
    done = mmtx("eval", *args, "head.captioning.target=answers")
    result = json.loads((succeeded(done) / "result.json").read_text())
    assert "captioning/accuracy" in result["metrics"]


def test_a_trained_one_is_saved_without_the_published_weights(trained, scenes, tmp_path):
    names = load_file(trained / "model" / "model.safetensors").keys()
    own = [name for name in names if name.startswith("head.")]
    assert own
    assert all("lora_" in name for name in own)
    done = mmtx("eval", f"ckpt={trained}", f"run_dir={tmp_path / 'e'}", "bootstrap=5")
    result = json.loads((succeeded(done) / "result.json").read_text())
    assert "captioning/cider" in result["metrics"]


@pytest.mark.slow
def test_an_exported_one_is_published_again(scenes, tmp_path):
    weights = save_vision_language_model(tmp_path / "model")
    run = train(scenes, weights, tmp_path / "run", LORA)
    picture = f"inputs={pictures(scenes)[0]}"
    (apart,) = captions(f"ckpt={run}", picture, out=tmp_path / "a")
    out = succeeded(mmtx("export", f"ckpt={run}", f"out={tmp_path / 'whole'}", "merged=true"))
    shutil.rmtree(weights)
    (whole,) = captions(*published(out), picture, out=tmp_path / "b")
    assert whole["caption"] == apart["caption"]
    assert whole["score"] == pytest.approx(apart["score"], abs=1e-3)
    message = refused("caption", f"ckpt={run}", picture, f"run_dir={tmp_path / 'c'}")
    mentions(message, "vlm: weights=", "not found")


@pytest.mark.slow
def test_films_are_read_as_films(tmp_path):
    films = make_events(tmp_path / "events", num=20, size=32)
    weights = save_vision_language_model(tmp_path / "model", "qwen2_vl")
    run = train(films, weights, tmp_path / "run", LORA, "num_frames=2")
    film = next((films.parent / "videos").iterdir())
    (row,) = captions(f"ckpt={run}", f"inputs={film}", out=tmp_path / "c")
    assert isinstance(row["caption"], str)


@pytest.mark.slow
def test_frames_and_pictures_count_as_context(scenes, weights, tmp_path):
    films = make_events(tmp_path / "events", num=20, size=32)
    args = published(weights, LORA, "num_frames=1000")
    message = refused("finetune", *args, f"data.path={films}", f"run_dir={tmp_path / 'a'}")
    mentions(message, "1000 frames of", "events.jsonl:", "2048", "num_frames")
    row = json.loads(scenes.read_text().splitlines()[0])
    many = {**row, "id": "many", "split": "train", "image": [row["image"]] * 600}
    album = scenes.with_name("album.jsonl")
    album.write_text(scenes.read_text() + json.dumps(many) + "\n")
    args = published(weights, LORA)
    message = refused("finetune", *args, f"data.path={album}", f"run_dir={tmp_path / 'b'}")
    mentions(message, "600 pictures of", "album.jsonl:21", "2048")
    args = (*published(weights, "bootstrap=5", "split=train"), f"data.path={album}")
    message = refused("eval", *args, f"run_dir={tmp_path / 'c'}")
    mentions(message, "vlm: an input of", "2048", "image_size")


@pytest.mark.slow
@pytest.mark.parametrize("trained_part", [LORA, "vlm.freeze=false"])
def test_two_processes_learn_what_one_learns(scenes, weights, tmp_path, trained_part):
    runs = [
        train(scenes, weights, tmp_path / str(n), trained_part, f"trainer.devices={n}")
        for n in (1, 2)
    ]
    one, two = (load_file(run / "model" / "model.safetensors") for run in runs)
    assert one.keys() == two.keys()
    # together: some have no gradient but rounding errors (biases of keys)
    a, b = (torch.cat([x[name].flatten() for name in one]) for x in (one, two))
    assert (a - b).norm() <= 1e-4 * a.norm()


def test_mistakes_are_messages(scenes, weights, trained, tmp_path):
    run, data = f"run_dir={tmp_path / 'run'}", f"data.path={scenes}"
    text_only = save_language_model(tmp_path / "lm")

    def finetune(*args):
        return refused("finetune", *args, data, run)

    mentions(finetune("vlm=huggingface"), "vlm.weights", "required")
    mentions(finetune(*published(tmp_path / "none")), "vlm", "folder not found")
    mentions(finetune(*published(text_only)), "vlm", "llama")
    mentions(finetune(*published(weights, "vlm.lora={r: 2, target_modules: [none]}")), "vlm: lora")
    mentions(finetune(*published(weights, "vlm.lorra={r: 2}")), "vlm.lorra", "lora")
    mentions(finetune(*published(weights, "encoder/image=vit")), "encoder.image", "vlm")
    mentions(finetune(*published(weights, "head=classification")), "head.classification", "vlm")
    mentions(finetune(*published(weights)), "vlm.lora", "vlm.freeze=false")
    mentions(finetune(*published(weights, LORA, "max_length=4096")), "vlm", "2048", "max_length")
    message = refused("eval", *published(weights), f"ckpt={trained}", data, run)
    mentions(message, "vlm", "ckpt")
    other = save_vision_language_model(tmp_path / "other", seed=1)
    message = refused("eval", f"ckpt={trained}", f"vlm.weights={other}", run)
    mentions(message, "vlm", "trained with")
