"""The script that draws a captioner's attention, on tiny models."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra import initialize_config_dir

from mmtx_cli.command.demo import run_step
from mmtx_cli.config.conf_tree import conf_dir
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.io.quoting import quoted
from mmtx_cli.layer.attention import Attention
from mmtx_cli.synthetic.events.make import make_events
from tests.command_line import environment
from tests.tiny import tiny_batch, tiny_model

SCRIPT = Path(__file__).parents[1] / "benchmark" / "attention.py"
MODEL = (
    "experiment=events_caption",
    "dim=16",
    "image_size=32",
    "num_frames=4",
    *(
        f"encoder.{name}.{size}"
        for name in ("image", "video", "audio")
        for size in ("width=16", "depth=1", "num_heads=2")
    ),
    "encoder.audio.channels=[4,4,8,8]",
    "decoder.num_heads=2",
    "generation.num_beams=2",
    "head.captioning.max_length=12",
    "data.batch_size=8",
    "data.num_workers=0",
    "trainer.max_steps=2",
    "trainer.val_every=2",
    "trainer.accelerator=cpu",
    "trainer.progress=false",
)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("attention_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_weights_are_those_with_which_the_module_reads(script):
    torch.manual_seed(0)
    module = Attention(16, 4).eval()
    x, context = torch.randn(2, 3, 16), torch.randn(2, 5, 16)
    mask = torch.tensor([[True, True, False, True, False], [True] * 5])
    weights = script.attention_weights(module, x, context, mask)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 4, 3))
    assert not weights[0, :, :, ~mask[0]].any()
    read = (weights @ module.keys(context)[1]).transpose(1, 2).flatten(2)
    torch.testing.assert_close(module.out(read), module(x, context, mask))


@pytest.mark.parametrize("fusion", ["concat", "decision", "cross_attention"])
@pytest.mark.parametrize("num_beams", [1, 3])
def test_every_step_attends_to_tokens_of_known_modalities(script, fusion, num_beams):
    args = [f"generation.num_beams={num_beams}"]
    model = tiny_model(fusion, ["captioning"], ["image", "video", "audio"], args)
    batch = tiny_batch(model, {"image": [1], "video": [4], "audio": [20]})
    tokens, weights, layout = script.recorded(model, model.head["captioning"], batch)
    assert {name for name, _ in layout} == {"image", "video", "audio"}
    assert layout[-1][1].stop == weights.shape[1]
    assert len(weights) == max(1, len(tokens))
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(len(weights)))


def test_a_missing_modality_gets_no_attention(script):
    model = tiny_model("concat", ["captioning"], ["image", "video", "audio"])
    batch = tiny_batch(model, {"image": [0], "video": [4], "audio": [20]})
    _, weights, layout = script.recorded(model, model.head["captioning"], batch)
    assert weights[:, dict(layout)["image"]].sum() == 0


def test_words_hold_every_token_once(script):
    tokenizer = Tokenizer.train(["a red circle moves left"] * 3)
    (tokens,) = tokenizer.encode(["a red circlet moves, leftward"], 99)
    found = script.words(tokens[1:-1], tokenizer)
    assert [word for word, _ in found] == ["a", "red", "circlet", "moves,", "leftward"]
    assert [i for _, positions in found for i in positions] == list(range(len(tokens) - 2))


@pytest.mark.slow
def test_films_pictures_and_what_cannot_be_read(tmp_path):
    manifest = make_events(tmp_path / "events", num=10, size=32)
    with initialize_config_dir(str(conf_dir().absolute()), version_base="1.3"):
        trained = run_step(tmp_path, "finetune", [*MODEL, f"data.path={quoted(manifest)}"])
    film = next((tmp_path / "events" / "videos").iterdir())
    picture = next((tmp_path / "events" / "images").iterdir())
    out = tmp_path / "attention"
    args = [trained, film, picture, "missing.mp4", "--out", out]
    done = subprocess.run(
        [sys.executable, SCRIPT, *map(str, args)],
        env=environment(PYTHONPATH=str(Path(__file__).parents[2])),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "missing.mp4: " in done.stdout
    first, second = sorted(out.glob("*.json"))
    assert len(list(out.glob("*.png"))) == 2
    found = json.loads(first.read_text())
    assert " ".join(row["word"] for row in found["words"]).strip() == found["caption"]
    for row, grid in zip(found["words"], found["maps"], strict=True):
        assert sum(row["shares"].values()) == pytest.approx(1, abs=1e-5)
        assert sum(row["over_time"]["video"]) == pytest.approx(row["shares"]["video"], abs=1e-5)
        assert torch.tensor(grid).shape == (4, 1, 4)  # four tokens for each of four frames
    for row in json.loads(second.read_text())["words"]:
        assert row["shares"]["image"] == pytest.approx(1, abs=1e-5)
