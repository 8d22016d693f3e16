"""Every subset of the modalities goes from files through training, evaluation and captioning."""

import json
from itertools import combinations
from pathlib import Path

import pytest

from mmtx_cli.command.demo import run_step
from mmtx_cli.config.conf_tree import conf_dir
from mmtx_cli.io.quoting import quoted
from mmtx_cli.synthetic.events.make import make_events

SIZES = ("width=16", "depth=1", "num_heads=2")
ENCODERS = {
    "text": ("encoder/text=transformer",),
    "image": ("encoder/image=vit", "encoder.image.patch_size=16"),
    "video": ("encoder/video=vit", "encoder.video.patch_size=16"),
    "audio": ("encoder/audio=spectrogram_cnn", "encoder.audio.channels=[4,4,8,8]"),
}
COMMON = (
    "dim=16",
    "image_size=32",
    "num_frames=4",
    "audio_seconds=3",
    "max_length=24",
    "fusion=concat",
    "head=[captioning,classification]",
    "decoder.depth=1",
    "decoder.num_heads=2",
    "generation.num_beams=1",
    "head.captioning.max_length=12",
    "data.batch_size=8",
    "data.num_workers=0",
    "trainer.max_steps=2",
    "trainer.accelerator=cpu",
    "trainer.progress=false",
)
SUBSETS = [
    pytest.param(few, marks=pytest.mark.slow if n in (2, 3) else ())
    for n in range(1, 5)
    for few in combinations(ENCODERS, n)
]


@pytest.fixture(scope="module")
def events(tmp_path_factory) -> Path:
    return make_events(tmp_path_factory.mktemp("modalities") / "events", num=10, size=32)


@pytest.fixture(autouse=True, scope="module")
def _hydra():
    from hydra import initialize_config_dir

    with initialize_config_dir(str(conf_dir().absolute()), version_base="1.3"):
        yield


def chosen(modalities) -> list[str]:
    sizes = [f"encoder.{name}.{size}" for name in modalities for size in SIZES]
    return [*(arg for name in modalities for arg in ENCODERS[name]), *sizes]


@pytest.mark.parametrize("modalities", SUBSETS, ids="+".join)
@pytest.mark.quick_cases(4)
def test_every_subset_trains_evaluates_and_captions(modalities, events, tmp_path, capsys):
    data = [f"data.path={quoted(events)}"]
    run = run_step(tmp_path, "finetune", [*COMMON, *data, *chosen(modalities)])
    result = json.loads((run / "result.json").read_text())
    assert result["metrics"]["val/loss"] > 0

    found = run_step(
        tmp_path, "eval", [f"ckpt={quoted(run)}", "modality_subsets=all", "bootstrap=10"]
    )
    result = json.loads((found / "result.json").read_text())
    names = {" + ".join(few) for n in range(1, 5) for few in combinations(modalities, n)}
    assert set(result["subsets"]) == (names if len(modalities) > 1 else set())
    assert {"captioning/bleu_4", "classification/accuracy"} <= result["metrics"].keys()
    if len(modalities) > 1:
        whole = result["subsets"][" + ".join(modalities)]["metrics"]
        assert whole == {k: result["metrics"][k] for k in whole}

    if modalities == ("text",):
        return  # there is no file to caption
    folder = events.parent
    inputs = [folder / "images", folder / "videos", folder / "sounds"]
    args = [f"ckpt={quoted(run)}", f"inputs=[{','.join(map(quoted, inputs))}]"]
    done = run_step(tmp_path, "caption", args)
    rows = [json.loads(line) for line in (done / "captions.jsonl").read_text().splitlines()]
    files = sum(len(list(path.iterdir())) for path in inputs)
    assert len(rows) == files
    for row in rows:
        kind = Path(row["path"]).parent.name
        seen = {"image", "video"} & set(modalities)
        readable = seen if kind != "sounds" else {"audio"} & set(modalities)
        if readable:
            assert "caption" in row, row
        elif kind == "videos":
            assert ("caption" in row) == has_sound(row["path"])
        else:
            assert all(name in row["error"] for name in modalities), row


def has_sound(path: str) -> bool:
    from mmtx_cli.media.video.facts import video_facts

    return video_facts(path).has_audio
