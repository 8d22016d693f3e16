"""Captioners from a pretrained language model, from training to captions."""

import json
import shutil
import signal

import pytest
import torch
from safetensors.torch import load_file

from mmtx_cli.synthetic.scenes.make import make_scenes
from tests.command_line import TINY, TINY_IMAGE, mmtx, refused, stopped, succeeded
from tests.integration.test_resume import steps_done
from tests.language_models import save_language_model, save_tokenizer
from tests.messages import mentions

pytestmark = pytest.mark.xdist_group("language_model")  # so that the model is trained once

pytest.importorskip("peft")
LORA = "decoder.lora={r: 4}"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return make_scenes(tmp_path_factory.mktemp("scenes"), num=40, size=32)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_language_model(tmp_path_factory.mktemp("lm") / "model")


def command(manifest, weights, *more, connector="prefix"):
    return [
        "finetune",
        *TINY_IMAGE,
        *TINY,
        "fusion=decision",
        "head=captioning",
        "generation.num_beams=2",
        "decoder=huggingface",
        f"decoder.weights={weights}",
        f"connector={connector}",
        f"data.path={manifest}",
        *more,
    ]


@pytest.fixture(scope="module")
def trained(manifest, weights, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "lora"
    return succeeded(mmtx(*command(manifest, weights, LORA), f"run_dir={run}"))


def test_only_what_is_trained_is_saved(trained):
    names = load_file(trained / "model" / "model.safetensors").keys()
    own = [name for name in names if name.startswith("head.captioning.decoder.")]
    assert any("lora_A" in name for name in own)
    assert any("connector" in name for name in own)
    assert all("lora_" in name or "connector" in name for name in own)


def test_captions_and_evaluation(trained, manifest, tmp_path):
    pictures = sorted((manifest.parent / "images").iterdir())[:2]
    inputs = f"inputs=[{pictures[0]},{pictures[1]}]"
    folder = succeeded(mmtx("caption", f"ckpt={trained}", inputs, f"run_dir={tmp_path / 'c'}"))
    rows = [json.loads(line) for line in (folder / "captions.jsonl").read_text().splitlines()]
    assert len(rows) == 2
    assert all(isinstance(row["caption"], str) for row in rows)
    done = mmtx("eval", f"ckpt={trained}", f"run_dir={tmp_path / 'e'}", "bootstrap=5")
    result = json.loads((succeeded(done) / "result.json").read_text())
    assert "captioning/cider" in result["metrics"]


def test_peft_loads_the_exported_adapter(trained, weights, tmp_path):
    import peft
    import transformers

    from mmtx_cli.io.checkpoint import read_config, read_weights
    from mmtx_cli.model.build import build_model

    folder = succeeded(mmtx("export", f"ckpt={trained}", f"out={tmp_path / 'whole'}"))
    succeeded(mmtx("export", f"ckpt={trained}", f"out={folder}"))  # replaces it
    base = transformers.AutoModelForCausalLM.from_pretrained(weights)
    theirs = peft.PeftModel.from_pretrained(base, folder / "adapter").eval()
    model = build_model(read_config(str(folder)))
    model.load_state_dict(read_weights(str(folder)))
    ours = model.eval().head["captioning"].decoder.lm
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        found, wanted = theirs(input_ids=ids).logits, ours(input_ids=ids).logits
        plain = transformers.AutoModelForCausalLM.from_pretrained(weights)(input_ids=ids).logits
    torch.testing.assert_close(found, wanted)
    assert (found - plain).abs().max() > 1e-6


@pytest.mark.slow
def test_a_merged_model_needs_no_other_file(manifest, tmp_path):
    weights = save_language_model(tmp_path / "model")
    picture = sorted((manifest.parent / "images").iterdir())[0]
    run = succeeded(mmtx(*command(manifest, weights, LORA), f"run_dir={tmp_path / 'run'}"))
    succeeded(mmtx("export", f"ckpt={run}", f"out={tmp_path / 'whole'}", "merged=true"))

    def caption(model, name):
        done = mmtx("caption", f"ckpt={model}", f"inputs={picture}", f"run_dir={tmp_path / name}")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[0])

    apart = caption(run, "a")
    shutil.rmtree(weights)
    whole = caption(tmp_path / "whole", "b")
    assert whole["caption"] == apart["caption"]
    assert whole["score"] == pytest.approx(apart["score"], abs=1e-3)
    message = refused("caption", f"ckpt={run}", f"inputs={picture}", f"run_dir={tmp_path / 'c'}")
    mentions(message, "decoder: weights=", "not found")


@pytest.mark.slow
def test_a_stopped_run_ends_as_one_never_stopped_to_the_bit(manifest, weights, tmp_path):
    common = command(manifest, weights, LORA, "trainer.max_steps=40", "trainer.log_every=1")
    common.remove("trainer.max_steps=2")
    whole = succeeded(mmtx(*common, f"run_dir={tmp_path / 'whole'}"))
    broken = tmp_path / "broken"
    args = [*common, f"run_dir={broken}"]
    done = stopped(args, None, signal.SIGINT, lambda: steps_done(broken) >= 8)
    assert done.returncode == 130, done.stderr
    succeeded(mmtx("finetune", "resume=true", f"run_dir={broken}"))
    one, two = (load_file(run / "model" / "model.safetensors") for run in (whole, broken))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.slow
def test_a_connector_that_knows_words_is_trained_on_texts(manifest, weights, tmp_path):
    words = "decoder.objective=words"
    first = succeeded(mmtx(*command(manifest, weights, words), f"run_dir={tmp_path / 'words'}"))
    names = load_file(first / "model" / "model.safetensors").keys()
    assert not any(".lm." in name for name in names)
    data = (f"data.path={manifest}", "trainer.max_steps=2", "data.num_workers=0")
    args = (f"ckpt={first}", "decoder.objective=text", LORA, *data)
    done = mmtx("finetune", *args, f"run_dir={tmp_path / 'text'}")
    second = load_file(succeeded(done) / "model" / "model.safetensors")
    mentions(done.stdout + done.stderr, "ckpt: loaded")
    assert any("lora_" in name for name in second)
    assert not any(".words." in name for name in second)
    message = refused(*command(manifest, weights, words, LORA), f"run_dir={tmp_path / 'no'}")
    mentions(message, "decoder: objective=words", "lora")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("connector", "more"),
    [
        ("resampler", ("connector.num_tokens=3", "decoder.pack=40")),
        ("gated_cross_attention", ("connector.every=1", "connector.num_heads=2")),
        ("prefix", ("decoder.freeze=false",)),
        ("prefix", ("decoder.dtype=bfloat16", LORA)),
    ],
)
def test_every_way_to_train(manifest, weights, tmp_path, connector, more):
    args = command(manifest, weights, *more, connector=connector)
    run = succeeded(mmtx(*args, f"run_dir={tmp_path / 'run'}"))
    done = mmtx("eval", f"ckpt={run}", f"run_dir={tmp_path / 'e'}", "bootstrap=5")
    result = json.loads((succeeded(done) / "result.json").read_text())
    assert "captioning/cider" in result["metrics"]


def test_other_weights_are_refused(trained, tmp_path):
    other = save_language_model(tmp_path / "other", seed=1)
    run = f"run_dir={tmp_path / 'e'}"
    message = refused("eval", f"ckpt={trained}", f"decoder.weights={other}", run)
    mentions(message, "decoder: ", str(other), "was trained with", "decoder.weights")


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        (["decoder.weights=/nowhere/model"], ["decoder", "/nowhere/model", "not found"]),
        (["decoder.weights=x.gguf"], ["decoder", "x.gguf", "not found"]),
        (["decoder.weights=package:nothing/x.gguf"], ["nothing", "not installed"]),
        (["decoder.lora={r: 4, target_modules: [nothing]}"], ["decoder", "lora", "nothing"]),
        (["decoder.lora={rank: 4}"], ["decoder", "lora", "rank"]),
        (["decoder.lora={r: 4}", "decoder.freeze=false"], ["decoder: lora", "freeze=false"]),
        (["decoder.dtype=bfloat16", "decoder.freeze=false"], ["decoder: dtype"]),
        (["connector.num_tokens=0"], ["connector: num_tokens=0", "at least 1"]),
        (["connector.num_tokens=120"], ["decoder: 137 tokens", "128", "connector.num_tokens"]),
        (["connector.tokens=4"], ["connector.tokens: unknown key", "num_tokens"]),
        (["connector=prefx"], ["connector", "prefix"]),
        (["decoder=transformer"], ["connector: this decoder reads its context without one"]),
        (["data.tokenizer=x.json"], ["data.tokenizer", "own"]),
        (["decoder.chat=true"], ["chat", "no chat template"]),
        (["head=classification"], ["decoder: no head generates text"]),
    ],
)
def test_mistakes_are_reported_before_training(manifest, weights, tmp_path, more, parts):
    message = refused(*command(manifest, weights, *more), f"run_dir={tmp_path / 'run'}")
    mentions(message, *parts)


def test_a_connector_is_required(manifest, weights, tmp_path):
    args = [arg for arg in command(manifest, weights) if not arg.startswith("connector")]
    message = refused(*args, f"run_dir={tmp_path / 'run'}")
    mentions(message, "connector: required", "connector=prefix")


def test_a_tokenizer_without_an_end_token(manifest, tmp_path):
    weights = save_language_model(tmp_path / "model", eos=None)
    run = f"run_dir={tmp_path / 'run'}"
    mentions(refused(*command(manifest, weights), run), "decoder: ", "no end token", "eos")
    message = refused(*command(manifest, weights, "decoder.eos=nothing"), run)
    mentions(message, "eos='nothing'", "vocabulary")
    args = command(manifest, weights, "decoder.eos=</s>")
    succeeded(mmtx(*args, f"run_dir={tmp_path / 'done'}"))


def test_a_folder_that_holds_no_language_model(manifest, tmp_path):
    save_tokenizer(tmp_path / "empty")
    message = refused(*command(manifest, tmp_path / "empty"), f"run_dir={tmp_path / 'run'}")
    mentions(message, "decoder: ", "cannot be loaded")


QUESTION = "decoder.prompt='question {text} answer'"


@pytest.mark.slow
def test_weights_are_found_from_another_folder(manifest, tmp_path):
    save_language_model(tmp_path / "model")
    args = command(manifest, "model", LORA, "run_dir=run")
    run = succeeded(mmtx(*args, cwd=tmp_path))
    done = mmtx("eval", f"ckpt={run}", f"run_dir={tmp_path / 'e'}", "bootstrap=5")
    succeeded(done)


@pytest.mark.slow
def test_questions_in_the_prompt(manifest, weights, tmp_path):
    """The text of each row is part of the prompt, without a text encoder."""
    args = command(manifest, weights, LORA, QUESTION, "head.captioning.target=answers")
    run = succeeded(mmtx(*args, f"run_dir={tmp_path / 'run'}"))
    done = mmtx("eval", f"ckpt={run}", f"run_dir={tmp_path / 'e'}", "bootstrap=5")
    result = json.loads((succeeded(done) / "result.json").read_text())
    assert "captioning/accuracy" in result["metrics"]
    picture = next((manifest.parent / "images").iterdir())
    caption = ["caption", f"ckpt={run}", f"inputs={picture}", f"run_dir={tmp_path / 'c'}"]
    mentions(refused(*caption), "text: required")
    row = json.loads(mmtx(*caption, "text=what color is it").stdout.splitlines()[0])
    assert row["text"] == "what color is it"
    assert isinstance(row["caption"], str)
    message = refused("eval", f"ckpt={run}", "decoder.prompt='{text} is'", f"run_dir={tmp_path}/x")
    mentions(message, "decoder: prompt", "trained model")
